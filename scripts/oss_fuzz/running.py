"""Commands that the check runs: their output, their end, and a place like that in which ClusterFuzz runs targets.

Knows processes and namespaces. Must not know fuzz targets.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fuzz.targets.process import death_signal

#: Only /tmp can be written, and there is no /dev. What the system keeps us from making so, stays as it is.
_PLACE = """
mount --bind /tmp /tmp
while read -r _ at _; do
  [ "$at" = /tmp ] || mount -o remount,bind,ro "$at" 2>/dev/null || :
done < /proc/self/mounts
mount -t tmpfs -o ro none /dev
exec "$@"
"""
#: Whoever dies takes all that it started with it, and theirs.
_LEASH = ("--pid", "--fork", "--kill-child", "--")


class Ran(NamedTuple):
    """What came of a command: its exit status (negative: a signal), all its output, and how long it took."""

    status: int
    output: str
    seconds: float

    def tail(self, lines: int = 12) -> str:
        """The lines of the output that say most: an exception's, if a target had one, else the last ones."""
        said = [line for line in self.output.splitlines() if line.strip()]
        raised = [number for number, line in enumerate(said) if "Uncaught Python exception" in line]
        return "\n".join(said[raised[-1] :][:lines] if raised else said[-lines:])


def run(command: Sequence[str], environment: Mapping[str, str], folder: str | Path = "/", patience: float = 300) -> Ran:
    """Run *command* in *folder* without input; it and all that it started are killed after *patience* seconds."""
    begun = time.monotonic()
    # a session of its own, so that all of it can be ended at once, also when we are interrupted
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=death_signal(),  # noqa: PLW1509  # two system calls, nothing that could need a lock
    )
    late = ""
    try:
        output, _ = child.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        _end(child)
        output, _ = child.communicate()
        late = f"\nno end after {patience:.0f} s"
    except BaseException:
        _end(child)
        child.wait()
        raise
    text = output.decode(errors="replace") + late
    return Ran(child.returncode, text, time.monotonic() - begun)


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


@cache
def leash() -> tuple[str, ...]:
    """What stands before a command whose children must not outlive us; empty where namespaces can't be made."""
    before = ("unshare", *_mapped(), *_LEASH)
    return before if _goes((*before, "true")) else ()


@cache
def confinement() -> tuple[str, ...]:
    """What stands before a command that is to run as on ClusterFuzz; empty where namespaces can't be made."""
    before = ("unshare", *_mapped(), "--mount", *_LEASH, "sh", "-ec", _PLACE, "sh")
    return before if _goes((*before, "test", "!", "-w", "/")) else ()


def _mapped() -> tuple[str, ...]:
    return () if os.geteuid() == 0 else ("--map-root-user",)


def _goes(command: Sequence[str]) -> bool:
    try:
        return run(command, {"PATH": os.environ.get("PATH", os.defpath)}, patience=20).status == 0
    except OSError:
        return False
