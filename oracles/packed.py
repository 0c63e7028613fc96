"""The packed layout (2.8): the reader that turns observations of a descriptor ring into used buffers.

Knows the device's position and wrap counter, and how an in-order batch moves them. Knows no rule:
what it cannot wave through it hands over as a Case. The rings' writers are in packed_rings.
"""

from __future__ import annotations

import struct

from oracles import spec
from oracles.announcing import Announcing
from oracles.model import Buffer, Case, Run, Virtqueue, pointer_flagged
from oracles.trace import SawDescriptor, Started, Stored

_written = struct.Struct("<IH").unpack  # length and id of a used descriptor
_BOTH = spec.DESC_F_AVAIL | spec.DESC_F_USED


class Reader(Announcing):
    """Follows the descriptor ring of one live queue; the same interface as split.Reader."""

    def __init__(self, started: Started, queue: Virtqueue) -> None:
        super().__init__(queue, bool(started.features & spec.EVENT_IDX))
        self.size = started.size
        self.descriptor = started.descriptor
        self.device = started.device
        self.end = started.descriptor + 16 * started.size
        self.cursor = started.used & 0x7FFF
        self.wrap = started.used >> 15 & 1
        self.next = started.available & 0x7FFF  # where the next supplied buffer begins
        self.next_wrap = started.available >> 15 & 1
        self.pending: dict[int, bytes] = {}  # id and length written, flags not yet
        self.first = True
        self.lengths = started.lengths
        self.last: Run | None = None

    # -- what the driver did

    def publish(self, count: int) -> None:
        """*count* held buffers became available: nothing to do, positions were taken when they were supplied."""

    def position_of_next(self, slots: int) -> int:
        """Where in the ring the next supplied buffer begins; it takes *slots* descriptors."""
        position = self.next
        self.next += slots
        if self.next >= self.size:
            self.next -= self.size
            self.next_wrap ^= 1
        return position

    def position(self) -> int:
        """Position | wrap << 15 up to which buffers were seen used."""
        return self.cursor | self.wrap << 15

    def drained(self, base: int) -> bool:
        """Whether a stop that reported *base* left nothing fetched and unused."""
        return not self.queue.by_id or base & 0xFFFF == self._at(self.queue.oldest())

    def unwanted(self) -> str:
        """What says that a notification with nothing due is unwanted (2.8.10)."""
        return "packed flags" if self.flags == spec.EVENT_FLAGS_DISABLE else ""

    # -- what the device did

    def stored(self, seen: Stored) -> Case | None:
        """A store to the descriptor ring or the device area, as logged."""
        self.exact = True
        address, data = seen
        if self.descriptor <= address < self.end:
            place = address - self.descriptor
            offset = place & 15
            if offset == 8 and len(data) == 6:
                self.pending[place >> 4] = data
                return None
            if offset == 14 and len(data) == 2:
                return self._flags(place >> 4, data[0] | data[1] << 8)
        elif self.device <= address < self.device + 4:
            return self._words(address - self.device, data)
        return self.stray(address, data)

    def _flags(self, position: int, flags: int) -> Case | None:
        data = self.pending.pop(position, None)
        if data is None:
            case = self._case(position, flags, 0, 0)
            case.fresh = False
            return case
        length, id_ = _written(data)
        return self._used(position, flags, id_, length)

    def saw(self, seen: SawDescriptor) -> Case | None:
        """A descriptor that now reads as used, as found by looking at the device's position."""
        _, length, id_, flags = spec.DESCRIPTOR.unpack(seen.data[:16].ljust(16, b"\0"))
        return self._used(seen.position, flags, id_, length)

    def _used(self, position: int, flags: int, id_: int, length: int) -> Case | None:
        """A used descriptor was published at *position* (2.8.6, 2.8.8)."""
        queue = self.queue
        buffer = queue.by_id.get(id_)
        if not self.lengths:
            flags &= ~spec.DESC_F_WRITE
        if (
            buffer is None
            or position != self.cursor
            or flags & _BOTH != (_BOTH if self.wrap else 0)
            or (flags & spec.DESC_F_WRITE and length > buffer.writable and not self._left_over(buffer))
        ):
            return self._case(position, flags, id_, length)
        if not flags & spec.DESC_F_WRITE or length > buffer.writable:
            length = -1  # reserved (2.8.4); or WRITE is our own, left in the descriptor that was overwritten
        done = self.done
        if queue.in_order:
            distance = buffer.number - queue.fifo[0].number
            taken = queue.older(distance + 1) if distance else [buffer]
            queue.take_run(distance, length)
        else:
            taken = [buffer]
            queue.take(id_, length)
        done += taken
        self._advance(taken)
        return None

    def _left_over(self, buffer: Buffer) -> bool:
        """Whether WRITE in the used descriptor of *buffer* may be what the driver set in the list that began there.

        A device that keeps such bits is sloppy (2.8.3), but its length means nothing then.
        """
        for owner in (*self.queue.by_id.values(), *self.queue.used):
            if owner.position == self.cursor:
                return pointer_flagged(owner) or (owner is not buffer and not owner.table[1] and not owner.readable)
        return False

    def _advance(self, taken: list[Buffer]) -> None:
        """Move past all descriptors of *taken*, toggling the wrap counter at the ring end (2.8.1)."""
        old = self.cursor
        total = taken[0].slots if len(taken) == 1 else sum([buffer.slots for buffer in taken])
        new = old + total
        crossed = new >= self.size
        if not self.ambiguous:
            self._notify(old, new, len(taken), taken[0].slots if len(taken) > 1 else total)
        if crossed:
            new -= self.size
            self.wrap ^= 1
        self.cursor = new
        self.first = False
        self.last = Run(old, total, new, crossed, taken)

    def _notify(self, old: int, new: int, run: int, head: int) -> None:
        """Whether this used descriptor asks for a used buffer notification (2.8.10)."""
        if self.flags == spec.EVENT_FLAGS_ENABLE:
            self.owe("flags")
        elif self.flags == spec.EVENT_FLAGS_DESC and self.event_idx:
            event = self.event & 0x7FFF
            if self.event >> 15 != self.wrap:
                event += self.size
            if old <= event < new:
                self.owe("batch" if run > 1 and event >= old + head else "event")

    def _case(self, position: int, flags: int, id_: int, length: int) -> Case:
        case = Case("descriptor", self.queue, position)
        case.old, case.flags, case.id, case.length = self.cursor, flags, id_, length
        case.wrap = self.wrap
        case.buffer = self.queue.by_id.get(id_)
        case.distance = self.queue.distance(id_)
        case.run = 1 + (case.distance or 0)
        case.last = self.last
        case.first = self.first
        return case

    def _words(self, offset: int, data: bytes) -> Case | None:
        """The device's event suppression structure (2.8.10)."""
        if offset == 0 and len(data) == 4:
            return self.word(False, int.from_bytes(data[:2], "little")) or self.word(
                True, int.from_bytes(data[2:], "little")
            )
        return self.word(offset == 2, int.from_bytes(data, "little"))

    def word(self, is_flags: bool, value: int) -> Case | None:
        """A word of the device event suppression structure: flags (0, 1 and 2), or offset and wrap."""
        if value <= (2 if self.event_idx else 1) if is_flags else value & 0x7FFF < self.size:
            return None
        case = Case("event", self.queue)
        case.flags = value
        case.what = "flags" if is_flags else "offset"
        return case

    def stray(self, address: int, data: bytes) -> Case | None:
        """A write outside of what the device may write; in the ring: a used descriptor at a wrong place."""
        if self.descriptor <= address < self.end and len(data) >= 16:
            _, length, id_, flags = spec.DESCRIPTOR.unpack(data[:16])
            return self._case((address - self.descriptor) // 16, flags, id_, length)
        case = Case("changed", self.queue)
        case.address, case.data = address, data
        return case

    def base(self, base: int) -> Case | None:
        """The positions reported by a stop: available in the low half, used in the high half (vhost-user)."""
        available, used = base & 0xFFFF, base >> 16
        case = Case("stopped", self.queue)
        case.base = base
        case.old = self.cursor | self.wrap << 15
        case.new = self.next | self.next_wrap << 15
        allowed = {case.new, *(self._at(buffer) for buffer in self.queue.by_id.values())}
        allowed |= {self._at(buffer) for buffer in self.queue.held}
        if base < 0 or available not in allowed or used not in (0, case.old):
            case.what = "range"
            return case
        if used != case.old:
            case.what = "half"
            self.lint.append(case)
        elif self.queue.by_id and available != self._at(self.queue.oldest()):
            case.what = "drain"
            self.lint.append(case)
        return None

    def _at(self, buffer: Buffer) -> int:
        """Position and wrap counter with which *buffer* was made available."""
        wrap = self.next_wrap if buffer.position < self.next else self.next_wrap ^ 1
        return buffer.position | wrap << 15
