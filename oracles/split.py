"""The split layout (2.7): the reader that turns observations of a used ring into used buffers.

Knows where things lie and how in-order batches are written. Knows no rule: what it cannot wave
through it hands over as a Case. The driver's and the device's writes are in split_rings.
"""

from __future__ import annotations

from oracles import spec
from oracles.announcing import Announcing
from oracles.model import Buffer, Case, Virtqueue
from oracles.trace import SawUsed, Started, Stored

_unpack = spec.USED_ELEMENT.unpack


class Reader(Announcing):
    """Follows the used ring of one live queue."""

    def __init__(self, started: Started, queue: Virtqueue) -> None:
        super().__init__(queue, bool(started.features & spec.EVENT_IDX))
        self.size = started.size
        self.device = started.device
        self.event_offset = 4 + 8 * started.size
        self.idx = started.used
        self.available = started.available
        self.pending: dict[int, bytes] = {}  # elements written, not yet published, by slot
        self.first = True
        self.lengths = started.lengths

    # -- what the driver did

    def publish(self, count: int) -> None:
        """*count* held buffers became available."""
        self.available = (self.available + count) & 0xFFFF

    def position_of_next(self, slots: int) -> int:
        """Where in the ring the next supplied buffer stands (available ring slot)."""
        return (self.available + len(self.queue.held)) % self.size

    def position(self) -> int:
        """Used idx up to which buffers were seen used."""
        return self.idx

    def drained(self, base: int) -> bool:
        """Whether a stop that reported *base* left nothing fetched and unused."""
        return base == self.idx

    def unwanted(self) -> str:
        """What says that a notification with nothing due is unwanted (2.7.7.2)."""
        if self.event_idx:
            return "split event"
        return "split flags" if self.flags & spec.AVAIL_F_NO_INTERRUPT else ""

    # -- what the device did

    def stored(self, seen: Stored) -> Case | None:
        """A store to the device area, as logged."""
        self.exact = True
        address, data = seen
        offset = address - self.device
        if offset == 2 and len(data) == 2:
            return self._publish(data[0] | data[1] << 8)
        if 4 <= offset < self.event_offset and len(data) == 8 and not offset & 3:
            self.pending[(offset - 4) >> 3] = data
            return None
        if offset == 0 or offset == self.event_offset:
            return self.word(offset == 0, int.from_bytes(data, "little"))
        return self.stray(address, data)

    def saw(self, seen: SawUsed) -> Case | None:
        """Used idx and the elements up to it, as found by looking."""
        idx, elements, changed = seen
        step = len(elements) >> 3
        old, size, pending = self.idx, self.size, self.pending
        if pending:
            pending.clear()
        if step == 1:
            pending[old % size] = elements
        else:
            for place in range(step):
                pending[(old + place) % size] = elements[8 * place : 8 * place + 8]
        case = self._publish(idx, changed)
        if case is not None and case.fresh and case.slot >= 0:
            case.fresh = bool(changed >> ((case.slot - old) % size) & 1)
            case.others = [(old + place) % size for place in range(step) if changed >> place & 1]
        return case

    def _publish(self, new: int, changed: int = -1) -> Case | None:
        """Used idx is *new*: account for every element of the step (2.7.8, 2.7.9)."""
        old = self.idx
        step = (new - old) & 0xFFFF
        queue = self.queue
        by_id = queue.by_id
        if step > len(by_id):
            return self._bound(old, new)
        pending, size, lengths = self.pending, self.size, self.lengths
        place = 0
        longest = 1
        while place < step:
            data = pending.pop((old + place) % size, None)
            if data is None:
                return self._case(old, new, place, "unwritten")
            id_, length = _unpack(data)
            if not lengths:
                length = -1
            buffer = by_id.get(id_)
            if buffer is None:
                return self._case(old, new, place, "id", id_, length)
            if queue.in_order:
                distance = buffer.number - queue.fifo[0].number
                if place + distance >= step or length > buffer.writable:
                    return self._case(old, new, place, "run", id_, length, buffer, distance)
                self.done.extend(queue.older(distance + 1)) if distance else self.done.append(buffer)
                queue.take_run(distance, length)
                if distance:
                    longest = max(longest, distance + 1)
                    self._skipped(old, place, distance, changed)
                place += distance + 1
            else:
                if length > buffer.writable:
                    return self._case(old, new, place, "run", id_, length, buffer, 0)
                queue.take(id_, length)
                self.done.append(buffer)
                place += 1
        self.idx = new
        self.first = False
        if step and not self.ambiguous:
            self._notify(old, new, longest)
        return None

    def _notify(self, old: int, new: int, run: int) -> None:
        """Whether this publication asks for a used buffer notification (2.7.7.2)."""
        if self.event_idx:
            if spec.crosses(self.event, new, old):
                inside = run > 1 and (new - self.event) & 0xFFFF != 1
                self.owe("batch" if inside else "event")
        elif not self.flags & spec.AVAIL_F_NO_INTERRUPT:
            self.owe("flags")

    def _skipped(self, old: int, place: int, distance: int, changed: int) -> None:
        """Slots behind the first of a batch have no meaning; what was written there may betray reordering."""
        for extra in range(place + 1, place + distance + 1):
            slot = (old + extra) % self.size
            data = self.pending.pop(slot, None)
            if data is None or not changed >> extra & 1:
                continue
            id_, length = _unpack(data)
            buffer = self.queue.used[extra - place - distance - 1]
            if id_ != buffer.id:
                for back in range(2, distance + 2):
                    self.queue.used[-back].masked = True
                case = self._case(old, old, extra, "mask", id_, length, buffer)
                self.lint.append(case)

    def _case(
        self,
        old: int,
        new: int,
        place: int,
        what: str,
        id_: int = -1,
        length: int = 0,
        buffer: Buffer | None = None,
        distance: int | None = None,
    ) -> Case:
        case = Case("used", self.queue, (old + place) % self.size)
        case.old, case.new, case.step, case.place = old, new, (new - old) & 0xFFFF, place
        case.what, case.id, case.length, case.buffer = what, id_, length, buffer
        case.distance = distance
        case.run = (distance or 0) + 1
        case.fresh = what != "unwritten"
        case.others = [
            (old + other) % self.size
            for other in range(min(case.step, self.size))
            if (old + other) % self.size in self.pending
        ]
        case.first = self.first
        if place and what != "mask":
            case.counted = _entries(list(self.queue.used)[-place:])
        if distance:
            case.permuted = any(self._names_older(other, buffer) for other in case.others)
        return case

    def _bound(self, old: int, new: int) -> Case:
        """Used idx moved by more than there are buffers outstanding."""
        case = self._case(old, new, 0, "bound")
        data = self.pending.get(old % self.size)
        distance = self.queue.distance(_unpack(data[:8])[0]) if data and len(data) >= 8 else None
        if distance is not None:
            case.counted = _entries(self.queue.older(distance + 1))
        return case

    def _names_older(self, slot: int, buffer: Buffer | None) -> bool:
        """Whether the element at *slot*, of the same idx step, names a buffer older than *buffer*."""
        other = self.queue.by_id.get(_unpack(self.pending[slot])[0])
        return other is not None and buffer is not None and other.number < buffer.number

    def word(self, is_flags: bool, value: int) -> Case | None:
        """A suppression word of the device: used flags, or avail_event (2.7.10)."""
        if not is_flags:
            return None
        if value > 1 or (self.event_idx and value):
            case = Case("event", self.queue)
            case.what = "event_idx" if self.event_idx else "flags"
            case.flags = value
            return case
        return None

    def stray(self, address: int, data: bytes) -> Case | None:
        """A write outside of what the device may write."""
        case = Case("changed", self.queue)
        case.address, case.data = address, data
        return case

    def base(self, base: int) -> Case | None:
        """The position reported by a stop: between used and available idx (vhost-user: Ring states)."""
        case = Case("stopped", self.queue)
        case.base, case.old, case.new = base, self.idx, self.available
        if not 0 <= base <= 0xFFFF or (base - self.idx) & 0xFFFF > (self.available - self.idx) & 0xFFFF:
            case.what = "range"
            return case
        if base != self.idx:
            case.what = "drain"
            self.lint.append(case)
        return None


def _entries(buffers: list[Buffer]) -> int:
    """How many descriptors *buffers* would take without indirect tables; 0: none of them has one."""
    return sum(buffer.entries() for buffer in buffers) if any(buffer.table[1] for buffer in buffers) else 0
