"""The packed layout as a device finds it: the descriptor ring, raw, to exposed lists (2.8).

Knows the driver's position and wrap counter, and how lists are read. Knows no rule: what it cannot wave
through it hands over as a Situation.
"""

from __future__ import annotations

from oracles import packed, spec
from oracles.exposing import Chain, Follower, Found, Situation
from oracles.trace import SawDescriptor, Started, Stored

NEXT, WRITE, INDIRECT = spec.DESC_F_NEXT, spec.DESC_F_WRITE, spec.DESC_F_INDIRECT
AVAIL, USED = spec.DESC_F_AVAIL, spec.DESC_F_USED
_unpack = spec.DESCRIPTOR.unpack_from
_BODY, _FLAGS = 1, 2


class PackedFollower(Follower):
    """Follows the driver's half of one packed queue."""

    packed_layout = True

    def __init__(self, told: Started) -> None:
        self.owner: list[Chain | None] = [None] * told.size
        self.touched = bytearray(told.size)  # _BODY, _FLAGS: what was stored to a free descriptor
        super().__init__(told)
        self.next = told.available & 0x7FFF
        self.wrap = told.available >> 15
        self.used_at = told.used & 0x7FFF
        self.last_flags = 0

    # -- what the driver exposes

    def flags(self, slot: int) -> int:
        """The flags of a descriptor."""
        at = 16 * slot + 14
        return self.descriptor[at] | self.descriptor[at + 1] << 8

    def is_available(self, slot: int, wrap: int) -> bool:
        """Whether the descriptor reads as available in the lap of *wrap* (2.8.1)."""
        return self.flags(slot) & (AVAIL | USED) == (AVAIL if wrap else USED)

    def _in_descriptors(self, offset: int, data: bytes) -> None:
        ring, touched = self.descriptor, self.touched
        end = offset + len(data)
        slots = range(offset >> 4, (end + 15) >> 4)
        before = {slot: ring[16 * slot : 16 * slot + 16] for slot in slots if self.owner[slot] is not None}
        ring[offset:end] = data
        for slot in slots:
            touched[slot] |= (_BODY if offset < 16 * slot + 14 else 0) | (_FLAGS if end > 16 * slot + 14 else 0)
        for slot, old in before.items():
            new = ring[16 * slot : 16 * slot + 16]
            if old != new:
                bits = (old[14] ^ new[14]) & AVAIL or (old[15] ^ new[15]) & 0x80
                self._alter(slot, "bits" if bits else "descriptor", self.owner[slot])
        if self.is_available(self.next, self.wrap):
            self._advance()

    def _in_driver_area(self, offset: int, data: bytes) -> Found:
        self.driver[offset : offset + len(data)] = data
        event, flags = self.driver[0] | self.driver[1] << 8, self.driver[2] | self.driver[3] << 8
        if flags > (2 if self.event_idx else 1) or event & 0x7FFF >= self.size:
            one = self.situation("word")
            one.new, one.old = flags, event
            return [one]
        return None

    def _advance(self) -> None:
        """Take what is available from the driver's position on."""
        while self.is_available(self.next, self.wrap):
            if not self.unsettled:
                self.unsettled = self.steady = True
            chain = self._read()
            if chain.loops or chain.overlaps >= 0:
                self.take(chain, -1)
                return
            self.take(chain, chain.items[-1][4])

    def _read(self) -> Chain:
        """Read the list at the driver's position, as a device does (2.8.6, 2.8.7)."""
        chain = Chain(self.next)
        size, features = self.size, self.told.features
        position, wrap, written = self.next, self.wrap, 0
        while True:
            address, length, id_, flags = _unpack(self.descriptor, 16 * position)
            chain.items.append((position, address, length, flags, id_))
            chain.slots.append(position)
            if self.owner[position] is not None and chain.overlaps < 0:
                chain.overlaps = position
            if flags & (AVAIL | USED) != (AVAIL if wrap else USED) and chain.turned < 0:
                chain.turned = position
            if flags & INDIRECT:
                self.follow_table(chain, address, length)
                chain.wrong = chain.wrong or not features & spec.INDIRECT_DESC or len(chain.items) > 1
                chain.wrong = chain.wrong or length // 16 > size or bool(flags & NEXT)
                chain.wrong = chain.wrong or any(entry[3] & ~WRITE for entry in chain.entries)
            else:
                self.measure(chain, length, flags)
                chain.wrong = chain.wrong or bool(written and not flags & WRITE)
                written |= flags & WRITE
            position += 1
            if position == size:
                position, wrap = 0, wrap ^ 1
            if not flags & NEXT:
                break
            if len(chain.items) == size:
                chain.loops = True
                break
        order = [entry[3] & WRITE for entry in chain.entries]
        chain.wrong = chain.wrong or order != sorted(order) or id_ >= size
        chain.wrong = chain.wrong or chain.loops or chain.overlaps >= 0 or chain.turned >= 0
        for slot in chain.slots:
            self.owner[slot] = self.owner[slot] or chain
            self.touched[slot] = 0
        self.next, self.wrap = position, wrap
        return chain

    def begin(self) -> list[Situation]:
        """All that isn't exposed must read 0 when the queue starts (2.8.13)."""
        self.touched = bytearray(self.size)  # what is there at first was not stored to be available
        if self.told.cause == "restart":
            return []
        for slot in range(self.size):
            if self.owner[slot] is None and any(self.descriptor[16 * slot : 16 * slot + 16]):
                one = self.situation("begun")
                one.slot, one.data = slot, bytes(self.descriptor[16 * slot : 16 * slot + 16])
                return [one]
        return []

    def unseen(self) -> list[Situation]:
        """A descriptor that was written to be available, and isn't where a device looks, or not in this lap."""
        here = self.touched[self.next] if self.owner[self.next] is None else 0  # else a full ring's is stored again
        if not any(self.touched):
            return []
        one = self.situation("unseen")
        one.slot, one.new = self.next, self.flags(self.next)
        if here & _FLAGS and self.is_available(self.next, self.wrap ^ 1):
            one.what = "lap"
            return [one]
        ahead = [slot for slot in range(self.size) if self.touched[slot] & _FLAGS and self.owner[slot] is None]
        if ahead and not here:
            one.what, one.slot = "place", ahead[0]
            return [one]
        return []

    # -- what the device did

    def stored(self, seen: Stored) -> None:
        """The device stored something: logged."""
        if len(seen.data) == 2 and (seen.address - self.told.descriptor) % 16 == 14:
            self.last_flags = seen.data[0] | seen.data[1] << 8
        super().stored(seen)

    def saw(self, seen: SawDescriptor) -> None:
        """A used descriptor, found by looking."""
        if seen.position >= self.size or len(seen.data) != 16:
            self.lost = True
            return
        at = 16 * seen.position
        self.descriptor[at : at + 16] = seen.data
        self.last_flags = seen.data[14] | seen.data[15] << 8
        assert isinstance(self.reader, packed.Reader)
        self.lost = self.reader.saw(seen) is not None
        self._returned()

    def free(self, chain: Chain) -> None:
        """As many descriptors as *chain* has are the driver's again, from the device's position on (2.8.1).

        Not those of the chain itself, if it came back before an older one.
        """
        for _ in chain.slots:
            self.owner[self.used_at] = None
            self.touched[self.used_at] = 0
            self.used_at = (self.used_at + 1) % self.size
        chain.used_flags = self.last_flags

    # -- notifications

    def device_words(self) -> tuple[int, int]:
        """Flags and off_wrap of the device area (2.8.10)."""
        device = self.device
        return device[2] | device[3] << 8, device[0] | device[1] << 8

    def place(self) -> int:
        """Position | wrap << 15 of the first descriptor that is not exposed."""
        return self.next | self.wrap << 15

    def wants(self) -> bool:
        """Whether the device asks for a notification of what was exposed since the last decision (2.8.10)."""
        flags, event = self.words
        if flags == spec.EVENT_FLAGS_DESC and self.event_idx:
            old, old_wrap = self.decided & 0x7FFF, self.decided >> 15
            end = self.next + (self.size if self.wrap != old_wrap else 0)
            place = (event & 0x7FFF) + (self.size if event >> 15 != old_wrap else 0)
            return old <= place < end
        return flags != spec.EVENT_FLAGS_DISABLE
