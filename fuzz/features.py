"""What a run exercised, as a set of words: states of the virtqueues that it went through, shapes of buffers, rules.

For corpora, which keep a program for what it alone shows, and for engines that look for what was not seen yet. All of
it follows from the trace and the program, so the same run has the same features everywhere. Knows programs,
observations and the oracles' books. Must not know targets, nor what a feature is good for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Union
from zlib import crc32

from fuzz.program import Lever, Misuse, Poke, Program, Wild
from fuzz.tally import of_target
from fuzz.verdict import Outcome
from oracles import spec
from oracles.driver_oracle import DriverOracle
from oracles.mirror import Mirror
from oracles.model import Buffer
from oracles.oracle import Oracle, QueueOracle
from oracles.trace import (
    Allowed,
    Called,
    Entry,
    Notified,
    Observation,
    Poked,
    Published,
    Reclaimed,
    Resetting,
    SawDescriptor,
    SawUsed,
    Started,
    Stored,
    Supplied,
    Suppressed,
)

EIGHTHS = 8
_LAPS = 8  # class of the most laps of a ring that are told apart
Found = set[tuple[str, str, Union[int, str, None]]]
"""Where (layout and order), what, and how much of it: put into words once, at the end."""


def features(program: Program, outcome: Outcome) -> frozenset[str]:
    """Everything that running *program* exercised, as *outcome* shows it, each as a few words.

    ``split in_order: batch=3`` means 4 to 7 buffers: numbers are classes, as by bit_length(); occupancies are eighths
    of the queue size.
    """
    found: Found = set()
    followed: dict[int, _Queue] = {}
    oracle = Oracle()
    for number, seen in _told(program, outcome.trace):
        wrong = oracle.feed(number, seen)
        if isinstance(seen, Started) and number not in followed:
            followed[number] = _Queue(oracle.queue(number), found)
        if number in followed:
            followed[number].see(seen)
        if wrong is not None:
            break  # where the rings stand, nobody knows any more
    words = {f"{where}: {what}" if much is None else f"{where}: {what}={much}" for where, what, much in found}
    words |= _of_program(program)
    words |= {f"warning {warning.rule}" for warning in outcome.warnings}
    return frozenset(words)


def _of_program(program: Program) -> set[str]:
    """What follows from the program alone: how many queues, levers, what is broken on purpose, and what it bears on."""
    words = {f"rule {rule}" for rule in _bearing(program.role, program.layout, program.features)}
    if len(program.queues) > 1:
        words.add(f"queues={len(program.queues)}")
    for step in program.steps:
        if isinstance(step, Lever):
            words.add(f"lever {step.name}={step.value}")
        elif isinstance(step, Poke | Misuse):
            words.add(f"{type(step).__name__.lower()} {step.what}")
        elif isinstance(step, Wild):
            words.add(f"{step.way} {step.name}")
    return words


def number(feature: str) -> int:
    """A feature as a number of 32 bits, the same everywhere: for engines that count in these."""
    return crc32(feature.encode())


@lru_cache(4096)
def _bearing(role: str, layout: str, bits: int) -> tuple[str, ...]:
    """Rules that bind the other side of such a queue, and are checked there."""
    bits |= spec.RING_PACKED if layout == spec.PACKED else 0
    bound = of_target("driver" if role == "device" else "device")
    return tuple(rule.id for rule in bound if rule.bears(layout, bits))


def _told(program: Program, entries: Iterable[Entry]) -> Iterator[Entry]:
    """The trace as an oracle of devices reads it: where we are the device, from the other side."""
    if program.role != "device":
        yield from entries
        return
    driver = DriverOracle()
    mirror = Mirror(driver.queue(0))
    for _, seen in entries:
        if driver.feed(0, seen) is not None:
            return
        for told in mirror.seen(seen):
            yield 0, told


class _Queue:
    """One queue over a run; *oracle* was fed with each observation before it is seen here."""

    def __init__(self, oracle: QueueOracle, found: Found) -> None:
        self.oracle = oracle
        self.found = found
        self.where = ""
        self.size = 1
        self.in_order = False
        self.packed_layout = False
        self.supplied: list[int] = []  # slots of what is held
        self.slots = 0  # of what is available and not used
        self.taken = 0  # of what is used and not reclaimed
        self.places = {"available": 0, "used": 0}  # where each side is in the ring, and would be if that had no end
        self.laps = {"available": 0, "used": 0}  # since the queue was started
        self.total = 0  # buffers used so far
        self.kind = ""  # of the buffer before

    def see(self, seen: Observation) -> None:
        """Note what state *seen* brought the queue to."""
        handler = _HANDLERS.get(type(seen))
        if handler is not None:
            handler(self, seen)

    def _add(self, what: str, value: int | str | None = None) -> None:
        self.found.add((self.where, what, value))

    def _eighth(self, slots: int) -> int:
        return min(-(-slots * EIGHTHS // self.size), EIGHTHS)

    # -- life

    def started(self, told: Started) -> None:
        self.size = max(told.size, 1)
        self.in_order = bool(told.features & spec.IN_ORDER)
        self.packed_layout = told.layout == spec.PACKED
        self.where = f"{told.layout} in_order" if self.in_order else told.layout
        if told.cause != "restart":
            self.supplied, self.slots, self.taken = [], 0, 0
        mask = 0x7FFF if self.packed_layout else 0xFFFF
        self.places = {"available": told.available & mask, "used": told.used & mask}
        self.laps = {"available": 0, "used": 0}
        self._add("size", self.size)
        others = told.features & ~(spec.VERSION_1 | spec.IN_ORDER | spec.RING_PACKED)
        self._add("features", "+".join(spec.feature_names(others)) or "none")
        self._add(f"start by {told.cause}")

    def ended(self, told: Resetting) -> None:
        self._add(f"{told.what} with outstanding", self.oracle.available.bit_length())
        self._add(f"{told.what} with unreclaimed", self.oracle.received.bit_length())

    # -- what the driver did

    def buffer(self, told: Supplied) -> None:
        self.supplied.append(told.slots)
        kind = "direct" if not told.table[1] else "mixed" if told.direct else "table"
        if self.kind:
            self._add(f"{self.kind} then {kind}")
        self.kind = kind
        parts = ("readable" if told.readable else "") + ("+writable" if told.writable else "")
        self._add(f"{kind} of {parts.lstrip('+') or 'nothing'}", len(told.elements).bit_length())

    def published(self, told: Published) -> None:
        fresh = sum(self.supplied[: told.buffers])
        del self.supplied[: told.buffers]
        self.slots += fresh
        self._pass("available", fresh if self.packed_layout else told.buffers)
        self._add("published", told.buffers.bit_length())
        self._add("occupied", self._eighth(self.slots))
        self._add("taken", self._eighth(self.slots + self.taken))

    def _pass(self, side: str, entries: int) -> bool:
        """Go on in the ring; whether that passed its end."""
        before = self.places[side]
        after = self.places[side] = before + entries
        if after // self.size == before // self.size:
            return False
        self.laps[side] += 1
        self._add(f"{side} laps", min(self.laps[side].bit_length(), _LAPS))
        self._add(f"{side} passes the end", "exactly" if after % self.size == 0 else "across")
        if not self.packed_layout and after >> 16 != before >> 16:
            self._add(f"{side} passes 65536")
        return True

    def notified(self, told: Notified) -> None:
        self._add("notified " + ("forced" if told.forced else "asked"), self._eighth(self.slots))

    def allowed(self, told: Allowed) -> None:
        if told.silent:
            self._add("not notified", self._eighth(self.slots))

    def suppressed(self, told: Suppressed) -> None:
        self._add("suppressed", f"{told.flags}{' junk' if told.junk else ''}")
        ahead = (told.event - self.places["used"]) & 0x7FFF
        self._add("event ahead", min(ahead.bit_length(), 9))

    def reclaimed(self, told: Reclaimed) -> None:
        self.taken = sum(buffer.slots for buffer in self.oracle.queue.used)
        self._add("reclaimed", told.buffers.bit_length())

    def poked(self, told: Poked) -> None:
        self._add("poked at", self._eighth(self.slots))

    # -- what the device did

    def used(self, seen: Observation) -> None:
        """It stored something, or that was found: part of a completion, or one or more of them."""
        unpublished = len(self.oracle.reader.pending)
        if unpublished:
            self._add("unpublished", unpublished.bit_length())
        count = self.oracle.used_total - self.total
        if count <= 0:
            return
        self.total += count
        buffers = list(islice(reversed(self.oracle.queue.used), count))[::-1]
        slots = sum(buffer.slots for buffer in buffers)
        before = self._eighth(self.slots)
        self.slots = max(self.slots - slots, 0)
        self.taken += slots
        wraps = self._pass("used", slots if self.packed_layout else count)
        self._add("together", count.bit_length())
        for buffer in buffers:
            if buffer.length is not None:
                self._run(buffer, before, wraps)

    def _run(self, buffer: Buffer, before: int, wraps: bool) -> None:
        run = buffer.run.bit_length()
        if self.in_order:
            self._add("batch", run)
            self._add(f"batch of {run} at", before)
            if wraps and run > 1:
                self._add("batch over the end", run)
        elif self.oracle.queue.by_id:
            late = self.oracle.queue.oldest().number < buffer.number
            self._add("out of order" if late else "oldest first", before)
        if buffer.writable and buffer.length is not None and buffer.length >= 0:
            whole = "all" if buffer.length == buffer.writable else "part" if buffer.length else "nothing"
            self._add(f"wrote {whole} of {'table' if buffer.table[1] else 'direct'}")

    def called(self, seen: Called) -> None:
        self._add("called with", self._eighth(self.slots))


_HANDLERS: dict[type, Callable[[_Queue, Any], None]] = {
    Started: _Queue.started,
    Resetting: _Queue.ended,
    Supplied: _Queue.buffer,
    Published: _Queue.published,
    Notified: _Queue.notified,
    Allowed: _Queue.allowed,
    Suppressed: _Queue.suppressed,
    Reclaimed: _Queue.reclaimed,
    Poked: _Queue.poked,
    Stored: _Queue.used,
    SawUsed: _Queue.used,
    SawDescriptor: _Queue.used,
    Called: _Queue.called,
}
