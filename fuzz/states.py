"""States of the protocol that a run went through, as numbers: what a search can look for where no code is counted.

Of each thing that happened: how full the ring was, in eighths; how many buffers came or went in one step, as a power
of two; whether the end of the ring was passed, or 32768 or 65536; how many were finished and not taken back; how
direct and indirect buffers were mixed. From the trace alone, so from what every target shows. Judges nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from oracles import spec
from oracles.trace import (
    Answered,
    Asked,
    Called,
    Entry,
    Exposed,
    Idle,
    Notified,
    Observation,
    Published,
    Reclaimed,
    Resetting,
    Returned,
    SawDescriptor,
    SawUsed,
    Started,
    Stored,
    Supplied,
    Suppressed,
)

_EVENTS: dict[type[Observation], int] = {
    kind: number
    for number, kind in enumerate(
        (Started, Supplied, Published, Notified, Suppressed, Stored, SawUsed, SawDescriptor, Called, Idle, Reclaimed,
         Resetting, Asked, Answered, Returned, Exposed),
        1,
    )
}  # fmt: skip
_QUIET = (Exposed,)  # too many, and each says less than what follows it
_FLAGS_AT = 14  # in a packed descriptor (2.8.13)


def states(trace: Iterable[Entry]) -> frozenset[int]:
    """The states in *trace*: the same numbers for the same trace, on every machine."""
    found: set[int] = set()
    queues: dict[int, _Queue] = {}
    for number, observation in trace:
        event = _EVENTS.get(type(observation))
        if event is None:
            continue
        queue = queues.get(number)
        if queue is None:
            queue = queues[number] = _Queue()
        if queue.take(observation) and not isinstance(observation, _QUIET):
            queue.tell(event, found)
    return frozenset(found)


class _Queue:
    """What is known of one queue."""

    def __init__(self) -> None:
        self.header = 0  # layout and features that matter
        self.size = 1
        self.device = self.descriptor = 0
        self.packed = False
        self.out: deque[tuple[int, bool]] = deque()  # (descriptors, whether in a table) of each outstanding buffer
        self.slots = 0  # descriptors of these
        self.tables = 0  # how many of them are in tables
        self.added = 0  # buffers, or descriptors (packed), since the beginning
        self.used = 0  # the same of what the device used, as it counts
        self.back = 0  # buffers taken back
        self.finished = 0  # buffers used since the beginning
        self.batch = 0  # of the last event
        self.passed = 0  # bit 0: the end of the ring, 1: a power of two of the counter
        self.before = 0
        self.mode = 0

    def take(self, seen: Observation) -> bool:
        """Follow what was seen; whether it is worth telling."""
        self.batch = self.passed = 0
        if isinstance(seen, Started):
            self._start(seen)
        elif isinstance(seen, Supplied):
            self._add(seen.slots, seen.table[1] > 0)
        elif isinstance(seen, Asked):
            count = len(seen.readable) + len(seen.writable)
            self._add(count, False)
        elif isinstance(seen, Answered):
            if seen.what == "refused" and self.out:
                self.slots -= self.out.pop()[0]
        elif isinstance(seen, Published):
            self.batch = seen.buffers
        elif isinstance(seen, Stored):
            return self._store(seen)
        elif isinstance(seen, SawUsed):
            self._advance(seen.idx)
        elif isinstance(seen, SawDescriptor):
            self._descriptor(seen.position)
        elif isinstance(seen, Reclaimed):
            self._take_back(seen.buffers)
        elif isinstance(seen, Returned):
            self._take_back(1)
        elif isinstance(seen, Suppressed):
            self.mode = 1 + (seen.flags & 3)
        elif isinstance(seen, Resetting):
            self.batch = len(self.out)
        return True

    def _start(self, seen: Started) -> None:
        self.packed = seen.layout == spec.PACKED
        self.size = max(1, seen.size)
        self.device, self.descriptor = seen.device, seen.descriptor
        bits = (spec.IN_ORDER, spec.EVENT_IDX, spec.INDIRECT_DESC)
        self.header = self.packed + sum(2 << place for place, bit in enumerate(bits) if seen.features & bit)
        self.out.clear()
        self.slots = self.tables = self.back = self.finished = self.mode = 0
        self.added, self.used = seen.available & 0x7FFF if self.packed else seen.available, seen.used
        self.used &= 0x7FFF if self.packed else 0xFFFF

    def _add(self, slots: int, table: bool) -> None:
        self.out.append((slots, table))
        self.slots += slots
        self.tables += table
        self._pass(self.added, slots if self.packed else 1)
        self.added += slots if self.packed else 1

    def _pass(self, start: int, count: int) -> None:
        end = start + count
        self.passed = (start // self.size != end // self.size) | (start >> 15 != end >> 15) << 1
        self.passed |= (end % self.size == 0) << 2

    def _store(self, seen: Stored) -> bool:
        """The used idx, or the flags of a used descriptor; the rest says nothing by itself."""
        if not self.packed:
            if seen.address != self.device + 2 or len(seen.data) != 2:
                return False
            self._advance(int.from_bytes(seen.data, "little"))
            return True
        place = seen.address - self.descriptor
        if not 0 <= place < 16 * self.size or place % 16 + len(seen.data) <= _FLAGS_AT:
            return False
        self._descriptor(place // 16)
        return True

    def _advance(self, idx: int) -> None:
        self.batch = (idx - self.used) & 0xFFFF
        self._pass(self.used, self.batch)
        self.used = idx
        self.finished += self.batch

    def _descriptor(self, position: int) -> None:
        """A used descriptor: what was passed over since the last one is the batch, in descriptors."""
        self.batch = (position - self.used) % self.size + 1
        self._pass(self.used % self.size, self.batch)
        self.used = position + 1
        self.finished += 1

    def _take_back(self, count: int) -> None:
        self.batch = count
        self.back += count
        for _ in range(min(count, len(self.out))):
            slots, table = self.out.popleft()
            self.slots -= slots
            self.tables -= table

    def tell(self, event: int, found: set[int]) -> None:
        """The features of this moment: several small groups, so that what is new in one is not drowned in all."""
        full = min(8, -(-8 * self.slots // self.size))
        batch = min(self.batch, 4096).bit_length()
        waiting = max(0, self.finished - self.back)
        late = 0 if not waiting else 1 if waiting == 1 else 3 if waiting >= len(self.out) else 2
        mix = 0 if not self.tables else 2 if self.tables == len(self.out) else 1
        header = self.header & 3
        found.add(_number(1, event, header, full, batch))
        found.add(_number(2, event, header, self.passed, mix))
        found.add(_number(3, event, self.header, late, self.mode))
        found.add(_number(4, event, header, self.before, late))
        self.before = event


def _number(*parts: int) -> int:
    """One number of some small ones, each below 32."""
    number = 0
    for part in parts:
        number = number << 5 | part & 31
    return number
