"""The beginning and the end of a run with a driver that comes up and goes by itself, beside its program's steps.

A driver must have come up before a program means anything: it scans for partitions, or asks for its ports, one
request behind another. What it exposes meanwhile is used one buffer at a time, and judged. Behind the program all
is used, and the driver lets go of its device; that is served by whoever serves all other queues, and not judged.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, cast

from fuzz.device_queue import DeviceQueue
from fuzz.looking import Undecided
from fuzz.program import Use
from fuzz.targets.driver import DriverSession
from oracles import packed_rings
from oracles.trace import Delivered, Observation

SETTLING = 20.0
"""Seconds for which it is waited until a driver works, and at the end until it has let go."""
_PAUSE = 0.0005


class Settles(Protocol):
    """What such a session can do beside a DriverSession."""

    def settled(self) -> bool:
        """Whether the driver's upper half works."""
        ...

    def speaks(self) -> bool:
        """Whether a buffer should be used while it comes up, if one is outstanding."""
        ...

    def handed(self) -> list[tuple[bytes, bytes]]:
        """What its upper half got since the last call: first bytes of each piece, and what they begin with if right."""
        ...

    def end(self, available: int, used: int) -> None:
        """Have the driver let go; its queue is served from these positions on without us."""
        ...

    def left(self) -> bool:
        """Whether it has let go, serving it meanwhile."""
        ...


def settles(session: DriverSession) -> Settles | None:
    """The session as one whose driver comes up by itself, if it is such a one."""
    return cast("Settles", session) if hasattr(session, "settled") else None


def hear(session: DriverSession, feed: Callable[[Observation], None]) -> None:
    """Tell what the driver's upper half got."""
    one = settles(session)
    for data, wanted in one.handed() if one is not None else ():
        feed(Delivered(data, wanted))


def settle(
    session: DriverSession, queue: DeviceQueue, call: Callable[[], None], feed: Callable[[Observation], None]
) -> None:
    """Use one buffer after another until the driver works. *call*: notifies it, if that is due. Raises Undecided."""
    one = settles(session)
    if one is None:
        return
    deadline = time.monotonic() + SETTLING
    while not one.settled():
        queue.look()
        hear(session, feed)
        if queue.follower.outstanding and one.speaks():
            queue.use(Use())
            call()
        else:
            time.sleep(_PAUSE)
        if time.monotonic() > deadline:
            raise Undecided(f"the driver does not work after {SETTLING:g} s, in which {queue.count} buffers were used")


def finish(session: DriverSession, queue: DeviceQueue) -> None:
    """Use all that is outstanding."""
    if settles(session) is not None and queue.oracle.live:
        queue.look()
        queue.use(Use(len(queue.follower.outstanding), singly=True))


def leave(session: DriverSession, queue: DeviceQueue) -> None:
    """Have the driver let go. Raises Undecided if it does not."""
    one = settles(session)
    if one is None:
        return
    ring = queue.ring
    if isinstance(ring, packed_rings.DeviceRing):
        one.end(ring.next | ring.wrap << 15, ring.used | ring.used_wrap << 15)
    else:
        one.end(ring.available, ring.used)
    deadline = time.monotonic() + SETTLING
    while not one.left():
        if time.monotonic() > deadline:
            raise Undecided(f"the driver does not let go of its device in {SETTLING:g} s, though all buffers were used")
