"""Drivers under test: the one interface through which a device that is us meets an implementation's driver.

The driver's lower half writes rings into ``memory``; whoever plays the device reads them there and stores what it
uses. The driver's upper half does what it is asked here. Nothing here judges, and nothing knows a program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from fuzz.program import Limits
from fuzz.targets import Offer, QueueConfig
from oracles.trace import Extent


class Unsettled(Exception):
    """A driver that runs by itself did not come up, or left its virtqueue: nothing can be said of it. One line, why."""


class DriverQueue(Protocol):
    """One virtqueue of a live driver. Every method may raise TargetDied or TargetHung: a find about the driver.

    Offsets are into ``memory``; the driver writes offset + ``address`` into descriptors. Nothing runs beside the
    calls: between two of them the driver does nothing at all, unless the session is ``live``. What may stand here
    beside the methods is asked for with getattr: *live*, *listen*, *prefix*, *least* (see ``device_queue``).
    """

    @property
    def memory(self) -> memoryview:
        """Format B, writable: rings, indirect tables and buffers, shared with the driver; of all queues the same."""
        ...

    @property
    def address(self) -> int:
        """Of the memory's first byte, as the driver knows it."""
        ...

    @property
    def features(self) -> int:
        """As negotiated by start(), with all bits that stayed."""
        ...

    @property
    def queue(self) -> QueueConfig:
        """Where the driver put the virtqueue; changes with start(), reset_queue() and resize()."""
        ...

    def add(self, readable: Sequence[int], writable: Sequence[int]) -> int | None:
        """Ask for a buffer with elements of these lengths in bytes: its token, or None if the driver refuses it.

        Tokens count up from 0 over the whole session, whatever the queue. A driver refuses when the ring is full, or it
        is broken. It must not be asked for more elements than the virtqueue has entries (2.7.5.3.1): that would be the
        upper half's fault.
        """
        ...

    def elements(self, token: int) -> tuple[Extent, ...]:
        """Where the elements of an outstanding buffer lie: (offset, length), the readable ones first."""
        ...

    def kick(self) -> bool:
        """Let the driver notify the device of what was added: whether it did (2.7.10, 2.8.10)."""
        ...

    def interrupt(self) -> bool:
        """Send a used buffer notification: whether the driver called its upper half for it."""
        ...

    def get(self) -> tuple[int, int] | None:
        """The next buffer that came back: (token, length as the driver says), or None if there is none."""
        ...

    def callbacks(self, on: bool | Literal["delayed"]) -> bool:
        """Disable used buffer notifications, enable them, or enable them for when most buffers came back.

        Returns whether nothing is pending: if not, get() has something now, and no notification is owed for it.
        """
        ...

    def reset_queue(self) -> list[int]:
        """Reset the virtqueue alone and enable it anew (2.6.1), as resize() does. Needs RING_RESET."""
        ...

    def resize(self, size: int) -> list[int]:
        """The same with another size, at most that of start(). Returns tokens of the buffers that were outstanding."""
        ...

    def broken(self) -> bool:
        """Whether the driver gave up the virtqueue, as it may when the device broke a rule."""
        ...


class DriverSession(DriverQueue, Protocol):
    """A live driver: it is its own virtqueue 0, and has no other unless it is one of SeveralQueues."""

    counters: memoryview | None  # format B: how often each place of the code was reached, up to 255; from 0, settable

    def start(self, features: int, size: int) -> int:
        """Set up the virtqueue on a device that offers *features*: returns those that the driver accepted (3.1.1).

        Split or packed follows from RING_PACKED in what it accepted. Raises TargetError if the driver refuses, and
        RuntimeError if it was started and not reset.
        """
        ...

    def reset(self) -> list[int]:
        """Device reset: tokens of the buffers that were outstanding, and end with it. start() may follow."""
        ...

    def words(self) -> str:
        """What the driver printed since the last call of this, or ''."""
        ...

    def close(self) -> None:
        """Let go of everything; never raises."""
        ...


class SeveralQueues(DriverSession, Protocol):
    """A DriverSession whose driver can have more virtqueues than one."""

    def start(self, features: int, size: int, *more: int) -> int:
        """The same with a virtqueue for each size. Raises TargetError if it can't have so many."""
        ...

    def another(self, number: int) -> DriverQueue:
        """Virtqueue *number*, from 1 on; before start() too, and the same over resets."""
        ...


class DriverTarget(Protocol):
    """A kind of driver with the parameters given on the command line."""

    name: str  # as typed
    role: str  # driver
    limits: Limits  # what may be drawn for it

    @property
    def starts(self) -> int:
        """How often the process was started: sessions of the same start may leave each other something."""
        ...

    def restart(self) -> None:
        """The next open() starts anew."""
        ...

    def open(self) -> DriverSession:
        """A session ready for start(). Raises TargetError, and nothing about the session before."""
        ...

    def probe(self) -> Offer:
        """What it accepts of everything that a device might offer. Raises TargetError."""
        ...

    def words(self) -> str:
        """The last lines that the driver printed, or ''."""
        ...

    def describe(self) -> dict[str, str]:
        """What a run depended on: tree, version, compiler, build … for the find's folder."""
        ...

    def close(self) -> None:
        """End what was started. Never raises."""
        ...
