"""The split layout as a device finds it: descriptor table and available ring, raw, to exposed chains (2.7).

Knows how chains are followed and where in-order use must put them (2.7.5). Knows no rule: what it cannot
wave through it hands over as a Situation.
"""

from __future__ import annotations

from oracles import spec, split
from oracles.exposing import Chain, Follower, Found, Situation
from oracles.trace import SawUsed, Started

NEXT, WRITE, INDIRECT = spec.DESC_F_NEXT, spec.DESC_F_WRITE, spec.DESC_F_INDIRECT
_unpack = spec.DESCRIPTOR.unpack_from


class SplitFollower(Follower):
    """Follows the driver's half of one split queue."""

    def __init__(self, told: Started) -> None:
        self.owner: dict[int, Chain] = {}  # by descriptor
        self.stored_to: set[int] = set()  # descriptors stored to since they were free
        self.next = 0  # IN_ORDER: the descriptor that comes next (2.7.5)
        super().__init__(told)
        self.idx = told.available
        self.consumed = told.available  # the device took available entries up to here at least
        self.used_idx = told.used
        self.inside = False  # the buffer returned next is one of a batch that began before it

    # -- what the driver exposes

    def _in_descriptors(self, offset: int, data: bytes) -> None:
        table = self.descriptor
        slots = range(offset >> 4, (offset + len(data) + 15) >> 4)
        before = {slot: table[16 * slot : 16 * slot + 16] for slot in slots if slot in self.owner}
        table[offset : offset + len(data)] = data
        self.stored_to.update(slots)
        for slot, old in before.items():
            if old != table[16 * slot : 16 * slot + 16]:
                self._alter(slot, "descriptor")

    def _in_driver_area(self, offset: int, data: bytes) -> Found:
        ring, size = self.driver, self.size
        if offset == 2 and len(data) == 2:  # as most often
            ring[2:4] = data
            return self._published(data[0] | data[1] << 8)
        before = bytes(ring)
        ring[offset : offset + len(data)] = data
        waiting = (self.idx - self.consumed) & 0xFFFF
        for at in range(max(offset, 4), min(offset + len(data), 4 + 2 * size), 2):
            slot = (at - 4) >> 1
            if (slot - self.consumed) % size < waiting and before[at : at + 2] != ring[at : at + 2]:
                self._alter(slot, "entry")
        if offset < 2 and (ring[0] | ring[1] << 8) not in ((0,) if self.event_idx else (0, 1)):
            one = self.situation("word")
            one.new = ring[0] | ring[1] << 8
            return [one]
        if offset < 4 and offset + len(data) > 2:
            return self._published(ring[2] | ring[3] << 8)
        return None

    def _published(self, new: int) -> Found:
        """The available idx is *new* (2.7.6)."""
        step = (new - self.idx) & 0xFFFF
        if step > self.size or step + len(self.outstanding) > self.size:
            one = self.situation("idx")
            one.old, one.new, one.slot = self.idx, new, len(self.outstanding)
            return [one]
        if step:
            self.unsettled = self.steady = True
        for _ in range(step):
            at = 4 + 2 * (self.idx % self.size)
            head = self.driver[at] | self.driver[at + 1] << 8
            self.idx = (self.idx + 1) & 0xFFFF
            self.take(self._walk(head), head)
        return None

    def _walk(self, head: int) -> Chain:
        """Follow the chain that begins at *head*, as a device does (2.7.5)."""
        chain = Chain(head)
        size, table, in_order, owner = self.size, self.descriptor, self.in_order, self.owner
        if in_order:
            chain.expected = self.next
            chain.untouched = self.next not in self.stored_to
            chain.wrong = head != self.next
        index, written = head, 0
        while index < size:
            if index in chain.slots:
                chain.loops = True
                break
            address, length, flags, follower = _unpack(table, 16 * index)
            chain.items.append((index, address, length, flags, follower))
            chain.slots.append(index)
            if index in owner and chain.overlaps < 0:
                chain.overlaps = index
            if flags & INDIRECT:
                chain.wrong = chain.wrong or self._pointer(chain, address, length, flags, written)
                break
            self.measure(chain, length, flags)
            if flags > 3 or (written and not flags & WRITE):
                chain.wrong = True
            written |= flags & WRITE
            if not flags & NEXT:
                break
            if in_order and follower != (index + 1) % size:
                chain.wrong = True
            index = follower
        if in_order and chain.expected in chain.slots[1:]:
            chain.untouched = True  # it was stored to as a part of this chain, not as its head
        total = chain.readable + chain.writable
        chain.wrong = chain.wrong or index >= size or chain.loops or chain.overlaps >= 0 or total > 1 << 32
        for slot in chain.slots:
            owner.setdefault(slot, chain)
        self.next = ((chain.slots[-1] if chain.slots else head) + 1) % size
        return chain

    def _pointer(self, chain: Chain, address: int, length: int, flags: int, written: int) -> bool:
        """Follow an indirect table; whether it, or the descriptor that points to it, can't be waved through."""
        self.follow_table(chain, address, length)
        entries = chain.entries
        wrong = bool(flags & NEXT or flags > 7 or length & 15 or not length) or chain.loops
        wrong = wrong or not self.told.features & spec.INDIRECT_DESC or len(chain.items) - 1 + len(entries) > self.size
        for place, (index, _, _, own, follower) in enumerate(entries):
            wrong = wrong or own > 3 or (bool(written) and not own & WRITE)
            written |= own & WRITE
            if own & NEXT and (follower >= length // 16 or (self.in_order and follower != index + 1)):
                wrong = True
            if not own & NEXT and place != len(entries) - 1:
                wrong = True
        return wrong

    def begin(self) -> list[Situation]:
        """Used ring flags must have been 0 from the start (2.7.10.1)."""
        self.stored_to.clear()  # what is there at first was not stored to be available
        if not self.device[0] | self.device[1] << 8 or self.exact:
            return []
        one = self.situation("begun")
        one.new = self.device[0] | self.device[1] << 8
        return [one]

    # -- what the device did

    def saw(self, seen: SawUsed) -> None:
        """Used idx and elements, found by looking."""
        for place in range(len(seen.elements) >> 3):
            at = 4 + 8 * ((self.used_idx + place) % self.size)
            self.device[at : at + 8] = seen.elements[8 * place : 8 * place + 8]
        assert isinstance(self.reader, split.Reader)
        self.lost = self.reader.saw(seen) is not None
        self._returned()

    def free(self, chain: Chain) -> None:
        """The descriptors of *chain* are the driver's again."""
        for slot in chain.slots:
            if self.owner.get(slot) is chain:
                del self.owner[slot]
            self.stored_to.discard(slot)
        if self.inside:
            at = 4 + 8 * (self.used_idx % self.size)
            chain.used = bytes(self.device[at : at + 8])
        self.inside = chain.buffer.length is None
        self.used_idx = (self.used_idx + 1) & 0xFFFF
        # an entry of the available ring was read once a buffer made available with it, or later, came back
        ahead = (chain.buffer.position - self.consumed) % self.size + 1
        if ahead <= (self.idx - self.consumed) & 0xFFFF:
            self.consumed = (self.consumed + ahead) & 0xFFFF

    # -- notifications

    def device_words(self) -> tuple[int, int]:
        """Used flags and avail_event (2.7.10)."""
        device = self.device
        return device[0] | device[1] << 8, device[-2] | device[-1] << 8

    def place(self) -> int:
        """The available idx."""
        return self.idx

    def wants(self) -> bool:
        """Whether the device asks for a notification of what was exposed since the last decision (2.7.10.1)."""
        flags, event = self.words
        if self.event_idx:
            return spec.crosses(event, self.idx, self.decided)
        return not flags & spec.USED_F_NO_NOTIFY
