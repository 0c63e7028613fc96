"""Counters of a back-end's process: given to it when it starts, cleared and kept around a session.

Knows when a single-threaded back-end has run what it was kicked for. Must not know what is done with the counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from fuzz.targets.counters import VARIABLE, Counters, SharedCounters
from fuzz.targets.process import Process
from fuzz.targets.vhost_user.session import VhostUserSession

_REST = 1.0  # seconds that a process may take, after its last answer, until it waits for what comes


class Counting:
    """The memory file of one back-end; made when the process is first started, and the same for all that follow."""

    def __init__(self) -> None:
        self._shared: SharedCounters | None = None
        self._session: VhostUserSession | None = None
        self._rests = True  # until it was seen to be busy all the time
        self._alone = True  # until it turned out that it doesn't run its kick handlers between two messages

    def given(self) -> tuple[Mapping[str, int], Mapping[str, str]]:
        """Descriptors and environment for the process; nothing if there is no memory for it."""
        if self._shared is None:
            with suppress(OSError):
                self._shared = SharedCounters()
        if self._shared is None:
            return {}, {}
        return {"counters": self._shared.descriptor}, {VARIABLE: "fd:{counters}"}

    def counters(self) -> Counters | None:
        """What the process counts; None if it does not. From now on they are cleared and kept."""
        shared = self._shared
        if shared is None or not shared.attached:
            return None
        shared.wanted = True
        return shared

    def begin(self, session: VhostUserSession, process: Process | None) -> None:
        """A session is open, and the back-end waits for what we say: what is counted from now on belongs to it."""
        shared = self._shared
        if shared is None or not shared.wanted or process is None:
            return
        if self._session is not None and self._session.heedless:
            self._alone = False
        self._session = session
        pid = process.pid
        session.awaits = self._alone and _single(pid)
        session.leaving = partial(self._leave, pid)
        self._rest(pid)
        shared.clear()

    def _leave(self, pid: int) -> None:
        """All is said, and the connection about to end: what is counted from now on belongs to nobody."""
        if self._shared is not None:
            self._rest(pid)
            self._shared.keep()

    def _rest(self, pid: int) -> None:
        """Let the process find its way back to where it waits for us, unless it never waits."""
        self._rests = self._rests and _rests(pid)

    def close(self) -> None:
        """Let go."""
        self._session = None
        if self._shared is not None:
            self._shared.close()
            self._shared = None


def _single(pid: int) -> bool:
    """Whether the process has one thread, and no children that might serve instead of it."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            return len(os.listdir(f"/proc/{pid}/task")) == 1 and not file.read().split()
    except OSError:
        return False


def _rests(pid: int) -> bool:
    """Return when the process waits; False if it is busy all the time."""
    deadline = time.monotonic() + _REST
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                if file.read().rpartition(")")[2][1:2] != "R":
                    return True
        except OSError:
            return True
        os.sched_yield()
    return False
