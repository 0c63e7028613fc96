"""The processes below us: whoever loses its parent becomes ours, so that nothing outlives a run.

Knows the system. Must not know what the processes do.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_ROUNDS = 16  # of orphans whose end makes orphans


class Family:
    """From here until close() orphans below us are ours; *members* are the children that must live."""

    def __init__(self) -> None:
        self.members: set[int] = set()
        self._before = children()
        _adopt(True)

    def bury(self) -> int:
        """End the orphans that are ours by now, and take note of their end; how many there were."""
        count = 0
        for _ in range(_ROUNDS):
            orphans = children() - self._before - self.members
            if not orphans:
                break
            for pid in orphans:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            count += len(orphans)
        return count

    def close(self) -> None:
        """End what is left; orphans are the system's again."""
        self.bury()
        _adopt(False)


def _adopt(on: bool) -> None:
    import ctypes  # late: only those who start workers pay for it

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(on), 0, 0, 0)


def children() -> frozenset[int]:
    """Our children, ended or not; none where the system doesn't tell."""
    found: set[int] = set()
    with suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            found.update(map(int, (task / "children").read_text().split()))
    return frozenset(found)


def ending(status: int) -> str:
    """How a process ended, by what waitpid() says: ``killed by SIGKILL``, ``exit status 1``."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
