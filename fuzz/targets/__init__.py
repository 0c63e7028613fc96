"""Targets: ways to reach an implementation, and the one interface through which a program drives it.

A target knows how to start, reach and end an implementation; shared memory, notifications, set-up
and reset. It never sees a program, and never judges: it says what happened to the process or the
socket, and hands over memory. Targets load by name and late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from fuzz.program import Limits
from oracles.trace import Called, Entry, Stored


class TargetError(Exception):
    """The target could not be reached, started or set up: not a verdict on it. One line, ends in exit code 3."""


class TargetMisspoke(TargetError):
    """What the target said on its transport can't be right: *entries*, all that was said, are for the oracle to judge.

    If no rule explains it, it is what the line says: *used*: it counts as a death, else as a target that can't be used.
    """

    def __init__(self, line: str, entries: tuple[Entry, ...], used: bool) -> None:
        super().__init__(line)
        self.entries = entries
        self.used = used


class TargetDied(Exception):
    """The target's process ended or its connection broke while it was in use. One line: how, with its last words."""


class TargetHung(Exception):
    """The target answers no request any more (control messages; used buffers are the oracle's business)."""


class TargetBroken(Exception):
    """The device says that it needs a reset (2.1.2), though the driver kept every rule. One line, with its words."""


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """Where a queue lies: offsets into the session's memory; positions to start from (3.1.1 step 7).

    Split: *available* and *used* are idx values. Packed: position | wrap << 15 of either side.
    """

    size: int
    descriptor: int
    driver: int
    device: int
    available: int = 0
    used: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a target offers, as found by asking it: feature bits, queues, configuration space."""

    features: int
    queues: int
    config: bytes = b""
    details: tuple[tuple[str, str], ...] = field(default=())  # what else is worth printing: name, value

    def facts(self) -> dict[str, str]:
        """What a run depended on, for the find's folder. What explains finds to people is not among it."""
        return {"features": f"{self.features:#x}", **{name: text for name, text in self.details if name != "fact"}}


class Session(Protocol):
    """A live connection. All offsets are into ``memory``; the device knows offset 0 as ``address``."""

    memory: memoryview  # format B, writable, shared with the device
    address: int
    unsettled: bool  # set by the driver while buffers may be in flight: then the memory must serve nobody else
    proof: int  # so many surviving prefill bytes in a row prove that the device did not write there
    unmeasured: frozenset[int]  # queues whose used lengths the device is known to get wrong all the time
    patience: float  # of the usual time to wait before something is undecided, how much it takes here
    shared: bool  # a notification doesn't tell for which queue it is (INTx, virtio-mmio): called() means «some queue»

    def start(self, features: int, queues: list[QueueConfig]) -> None:
        """Initialize the device with these features and queues; afterwards they are live."""
        ...

    def notify(self, queue: int) -> None:
        """Send an available buffer notification."""
        ...

    def called(self, queue: int, seconds: float) -> bool:
        """Whether a used buffer notification arrived, waiting up to *seconds*; it is consumed."""
        ...

    def listen(self, observer: Callable[[int, Stored | Called], None]) -> bool:
        """Call *observer* (queue, observation) at every store to a ring and every notification, at the moment it
        happens; then the device is idle when notify() returns. False: this target can't, look at memory instead."""
        ...

    def stop(self, queue: int) -> int:
        """Stop a queue and return the position that the device reports (2.7 idx; packed 32-bit form)."""
        ...

    def resume(self, queue: int, config: QueueConfig) -> None:
        """Start a stopped or reset queue with this configuration."""
        ...

    def reset(self) -> None:
        """Device reset; start() must follow. What a lever holds back must not keep it from ending."""
        ...

    def reset_queue(self, queue: int) -> None:
        """Reset one queue (RING_RESET), as reset() does it for all; resume() must follow."""
        ...

    def lever(self, name: str, value: str) -> None:
        """Move a lever; unknown ones are ignored."""
        ...

    def answer(self, queue: int, length: int | None) -> None:
        """The next buffer supplied asks for *length* written bytes (class «any» on targets that are ours)."""
        ...

    def at_gap(self, queue: int, action: Callable[[], None]) -> bool:
        """Run *action* when the device is next between «ring drained» and «doorbell armed»; False: can't."""
        ...

    def holding(self, queue: int) -> bool:
        """Whether the device was told by a lever to hold buffers back, so that none is owed."""
        ...

    def wild(self, way: str, name: str, values: dict[str, int]) -> bool:
        """Do on the control plane what no driver does: ``fuzz.wild`` lists what; *way*: say or register. What this
        target has not is ignored. Whether the session is good for nothing but being closed now."""
        ...

    def release(self) -> None:
        """Move all levers back to where they change nothing, so that everything owed comes."""
        ...

    def close(self) -> None:
        """Let go of everything; never raises."""
        ...


class Target(Protocol):
    """A kind of implementation with the parameters given on the command line."""

    name: str  # as typed
    role: str  # under test: device | driver
    limits: Limits  # what may be drawn for it

    @property
    def starts(self) -> int:
        """How often what it reaches was started: sessions of the same start may leave each other something.

        0 as long as that can't be told: it is somebody else's.
        """
        ...

    def restart(self) -> None:
        """The next open() starts anew, if it is ours to start."""
        ...

    def open(self) -> Session:
        """A session ready for start(). Starts or restarts what must run.

        Raises TargetError; TargetDied if what ran ended badly since the session before, TargetHung if it no longer
        answers, or TargetBroken: that is a find about what ran last. The next open() starts anew.
        """
        ...

    def probe(self) -> Offer:
        """What it offers. Raises TargetError."""
        ...

    def spare(self) -> None:
        """The session that is open may end in any way: what runs goes on serving, unless it ended itself."""
        ...

    def revives(self, seconds: float) -> bool:
        """Whether what did not answer answers after all, within so long: then it was only slow."""
        ...

    def ending(self) -> str:
        """How its process ended, if that can't be meant; '' while it runs, or if it isn't ours."""
        ...

    def words(self) -> str:
        """The last lines that the target's process printed, or ''."""
        ...

    def describe(self) -> dict[str, str]:
        """What a run depended on: command line, version, pid … for the find's folder."""
        ...

    def close(self) -> None:
        """End what was started. Never raises."""
        ...
