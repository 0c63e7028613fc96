"""The packed layout's memory (2.8): what a driver writes, and what a device reads and writes.

The same two halves with the same methods as split_rings. Flags are the words that the other side
polls: stored whole, and for the first descriptor of a list last of all (2.8.17).
"""

from __future__ import annotations

from collections.abc import Sequence

from oracles import spec
from oracles.model import flags_pointer
from oracles.split_rings import Chain, Ring, Store, differences
from oracles.trace import Extent

_pack = spec.DESCRIPTOR.pack
_unpack_from = spec.DESCRIPTOR.unpack_from
NEXT, WRITE, INDIRECT = spec.DESC_F_NEXT, spec.DESC_F_WRITE, spec.DESC_F_INDIRECT
AVAIL, USED = spec.DESC_F_AVAIL, spec.DESC_F_USED


class DriverRing(Ring):
    """The driver's half: the descriptor ring and the driver event suppression area."""

    def __init__(
        self,
        memory: memoryview,
        features: int,
        size: int,
        descriptor: int,
        driver: int,
        device: int,
        available: int = 1 << 15,
    ) -> None:
        super().__init__(memory, features, size, descriptor, driver, device)
        self.room = size
        self.next = available & 0x7FFF
        self.wrap = available >> 15
        self.ids = list(range(size - 1, -1, -1))  # opaque to the device; below the queue size (2.8.22)
        self.heads: list[tuple[int, int]] = []  # (position, flags) of lists written but not exposed
        self.written: dict[int, bytes] = dict.fromkeys(range(size), bytes(16))  # what the ring must still hold
        self.wanted = (0, 0)  # our event suppression: off_wrap and flags, as written
        self._decoys: tuple[int, ...] = ()
        self._kicked = (self.next, self.wrap)
        memory[descriptor : descriptor + 16 * size] = bytes(16 * size)

    def table(self, elements: Sequence[Extent], readable: int) -> bytes:
        """An indirect table (2.8.7): only WRITE is set, entries follow each other, ids mean nothing."""
        return b"".join(
            _pack(address, length, 0xDEC0 + place & 0xFFFF, 0 if place < readable else WRITE)
            for place, (address, length) in enumerate(elements)
        )

    def place(self, elements: Sequence[Extent], readable: int, table: Extent | None, number: int) -> tuple[int, int]:
        """Write a list of direct *elements*, or one descriptor for *table*; its first flags are held back.

        Returns (buffer id, descriptors taken). Descriptors before the last carry ids that mean nothing.
        """
        id_ = self.ids.pop()
        written, size = self.written, self.size
        count = 1 if table else len(elements)
        last = count - 1
        decoys = []
        for place in range(count):
            position = self.next
            flags = USED if not self.wrap else AVAIL
            if table:
                address, length = table
                flags |= INDIRECT | (WRITE if flags_pointer(number) else 0)  # the device must ignore WRITE here
            else:
                address, length = elements[place]
                if place >= readable:
                    flags |= WRITE
            shown = id_
            if place < last:
                flags |= NEXT
                shown = (id_ * 31 + place + 0x4000) & 0xFFFF
                decoys.append(shown)
            written[position] = data = _pack(address, length, shown, flags)
            self.put(position, data, flags, place == 0)
            self.next = position + 1
            if self.next == size:
                self.next = 0
                self.wrap ^= 1
        self.room -= count
        self._decoys = tuple(decoys)
        return id_, count

    def put(self, position: int, data: bytes, flags: int, first: bool) -> None:
        """Store a descriptor; of the *first* of a list the flags are held back (2.8.17)."""
        offset = self.descriptor + 16 * position
        if first:
            self.memory[offset : offset + 14] = data[:14]
            self.heads.append((position, flags))
        else:
            self.memory[offset : offset + 16] = data

    def expose(self, count: int) -> None:
        """Make the oldest *count* held lists available: the first flags of all, the oldest last (2.8.21.1)."""
        heads = self.heads[:count]
        del self.heads[:count]
        for position, flags in reversed(heads):
            self.words[self.descriptor // 2 + 8 * position + 7] = flags

    def reclaim(self, id_: int, slots: int) -> None:
        """The buffer *id_* came back: its id and descriptors are free."""
        self.room += slots
        self.ids.append(id_)

    def decoys(self) -> tuple[int, ...]:
        """The ids without meaning of the list placed last."""
        return self._decoys

    def excused(self) -> tuple[int, int, bool]:
        """(flags, off_wrap, whether we need not notify) for what was exposed since the last call (2.8.10)."""
        event = self.words[self.device // 2]
        flags = self.words[self.device // 2 + 1]
        old, old_wrap = self._kicked
        new, wrap = self._exposed()
        self._kicked = (new, wrap)
        if flags == spec.EVENT_FLAGS_DESC and self.event_idx:
            place = event & 0x7FFF
            end = new + (self.size if wrap != old_wrap else 0)
            if event >> 15 != old_wrap:
                place += self.size
            return flags, event, not old <= place < end
        return flags, event, flags == spec.EVENT_FLAGS_DISABLE

    def _exposed(self) -> tuple[int, int]:
        """Position and wrap counter of the first descriptor that is not available."""
        if not self.heads:
            return self.next, self.wrap
        position, flags = self.heads[0]
        return position, int(bool(flags & AVAIL))

    def suppress(self, mode: str, ahead: int, used: int) -> tuple[int, int]:
        """Write the driver area (2.8.10). *used*: position | wrap << 15 up to which we have received.

        Returns (flags, off_wrap) as written. Without EVENT_IDX there is no DESC: event means enable.
        """
        flags = {"disable": spec.EVENT_FLAGS_DISABLE, "enable": spec.EVENT_FLAGS_ENABLE}.get(mode, 2)
        event = used
        if flags == spec.EVENT_FLAGS_DESC:
            if self.event_idx:
                place, wrap = used & 0x7FFF, used >> 15
                place += ahead % self.size
                if place >= self.size:
                    place -= self.size
                    wrap ^= 1
                event = place | wrap << 15
                self.words[self.driver // 2] = event
                self.wanted = (event, flags)
            else:
                flags = spec.EVENT_FLAGS_ENABLE
        self.words[self.driver // 2 + 1] = flags
        self.wanted = (self.wanted[0], flags)
        return flags, event

    def accept(self, position: int, data: bytes) -> None:
        """A used descriptor was seen at *position*, where it belongs."""
        self.written[position] = data

    def misplaced(self) -> list[tuple[int, bytes]]:
        """(offset, bytes found) of descriptors whose flags the device changed, and that were not accepted."""
        held = {position for position, _ in self.heads}
        found = []
        for position, data in self.written.items():
            offset = self.descriptor + 16 * position
            flags = self.words[offset // 2 + 7]
            if flags != data[14] | data[15] << 8 and position not in held:
                found.append((offset, self.memory[offset : offset + 16].tobytes()))
        return found

    def disturbed(self) -> list[tuple[int, bytes]]:
        """(offset, bytes found) where the driver event suppression area, which is ours alone, reads differently.

        Changes of the descriptor ring are followed by the oracle.
        """
        event, flags = self.wanted
        found = self.memory[self.driver : self.driver + 4].tobytes()
        return differences(self.driver, (event | flags << 16).to_bytes(4, "little"), found)


class DeviceRing(Ring):
    """The device's half. Small methods, so that a planted fault can replace exactly one of them."""

    def __init__(
        self,
        memory: memoryview,
        address: int,
        store: Store,
        features: int,
        size: int,
        descriptor: int,
        driver: int,
        device: int,
        available: int = 1 << 15,
        used: int = 1 << 15,
    ) -> None:
        super().__init__(memory, features, size, descriptor, driver, device)
        self.address = address
        self.store = store
        self.next = available & 0x7FFF
        self.wrap = available >> 15 & 1
        self.used = used & 0x7FFF
        self.used_wrap = used >> 15 & 1
        self.signalled = (self.used, self.used_wrap)  # where the last decision to notify was taken
        self.since = 0  # descriptors used since then
        self.restarted = False
        self.junk = 0

    # -- fetching

    def waiting(self) -> int:
        """Whether the descriptor at our position is available (2.8.1)."""
        flags = self.words[self.descriptor // 2 + 8 * self.next + 7]
        return int(bool(flags & AVAIL) == bool(self.wrap) and bool(flags & USED) != bool(self.wrap))

    def fetch(self) -> Chain | None:
        """The next available list, or None."""
        if not self.waiting():
            return None
        readable: list[Extent] = []
        writable: list[Extent] = []
        index = self.next
        slots = 0
        ids = []
        while slots < self.size:
            address, length, id_, flags = _unpack_from(self.memory, self.descriptor + 16 * index)
            ids.append(id_)
            slots += 1
            index = self.follow(index)
            if flags & INDIRECT:
                entries = self.walk_table(address - self.address, length // 16, readable, writable)
                chain = Chain(id_, self.taken(entries), readable, writable)
                self.step(1)
                return chain
            (writable if flags & WRITE else readable).append((address, length))
            if not flags & NEXT:
                break
        self.step(slots)
        return Chain(self.chosen(ids), slots, readable, writable)

    def follow(self, index: int) -> int:
        """The descriptor behind *index* in the ring."""
        return (index + 1) % self.size

    def chosen(self, ids: list[int]) -> int:
        """The buffer id among the ids of a list's descriptors: the last (2.8.6)."""
        return ids[-1]

    def taken(self, entries: int) -> int:
        """Ring descriptors that an indirect list takes."""
        return 1

    def step(self, slots: int) -> None:
        """Move the fetching position past *slots* descriptors."""
        self.next += slots
        if self.next >= self.size:
            self.next -= self.size
            self.flip()

    def flip(self) -> None:
        """The fetching position passed the ring end."""
        self.wrap ^= 1

    def walk_table(self, offset: int, entries: int, readable: list[Extent], writable: list[Extent]) -> int:
        """All *entries* of an indirect table at *offset*, in order (2.8.7). Returns how many there were."""
        for entry in range(entries):
            place = offset + 16 * entry
            if not 0 <= place <= len(self.memory) - 16:
                return entry
            address, length, _, flags = _unpack_from(self.memory, place)
            (writable if flags & WRITE else readable).append((address, length))
            if self.ends(flags):
                return entry + 1
        return entries

    def ends(self, flags: int) -> bool:
        """Whether a table ends behind an entry with these flags: never, its length says so (2.8.7)."""
        return False

    # -- using

    def use(self, chains: Sequence[Chain], length: int, advance: bool = True) -> None:
        """Return a batch (2.8.8), or one list: one used descriptor, and the position moves over all of it."""
        both = AVAIL | USED if self.used_wrap else 0
        flags = both | (WRITE if length else 0) | self.junk
        self.descriptor_store(self.used, self.batch_id(chains), length, flags)
        self.advance(self.batch_slots(chains), len(chains) > 1)

    def publish(self) -> None:
        """The flags published it already."""

    def batch_id(self, chains: Sequence[Chain]) -> int:
        """The id of a batch: that of its last list."""
        return chains[-1].id

    def batch_slots(self, chains: Sequence[Chain]) -> int:
        """Descriptors of all lists of a batch."""
        return sum(chain.slots for chain in chains)

    def descriptor_store(self, position: int, id_: int, length: int, flags: int) -> None:
        """Id and length first, flags last."""
        self.store_id(position, id_, length)
        self.store_flags(position, flags)

    def store_id(self, position: int, id_: int, length: int) -> None:
        """Store length and id of a used descriptor."""
        data = (length & 0xFFFFFFFF).to_bytes(4, "little") + id_.to_bytes(2, "little")
        self.store(self.descriptor + 16 * position + 8, data)

    def store_flags(self, position: int, flags: int) -> None:
        """Store the flags of a used descriptor."""
        self.store(self.descriptor + 16 * position + 14, flags.to_bytes(2, "little"))

    def advance(self, slots: int, batch: bool) -> None:
        """Move the using position (2.8.1)."""
        self.since += slots
        new = (self.used + slots) % self.size
        if self.wraps(self.used, slots, new, batch):
            self.used_wrap ^= 1
        self.used = new

    def wraps(self, old: int, slots: int, new: int, batch: bool) -> bool:
        """Whether going *slots* from *old* to *new* passes or exactly reaches the ring end."""
        return old + slots >= self.size

    # -- notifications

    def silence(self) -> None:
        """Ask the driver not to notify: we are looking anyway."""
        self.store(self.device + 2, b"\1\0")

    def arm(self) -> None:
        """Ask for a notification at the next available list."""
        if self.event_idx:
            self.store(self.device, (self.next | self.wrap << 15).to_bytes(2, "little"))
            self.store(self.device + 2, b"\2\0")
        else:
            self.store(self.device + 2, b"\0\0")

    def calls(self) -> bool:
        """Whether what was used since the last call of this asks for a notification (2.8.10)."""
        old, old_wrap = self.signalled
        since, self.since = self.since, 0
        self.signalled = (self.used, self.used_wrap)
        if not since:
            return False
        flags = self.words[self.driver // 2 + 1]
        if flags == spec.EVENT_FLAGS_DESC and self.event_idx:
            return self.passed(self.words[self.driver // 2], old + since, old, old_wrap)
        return flags != spec.EVENT_FLAGS_DISABLE

    def passed(self, event: int, end: int, old: int, wrap: int) -> bool:
        """Whether the position going from *old* (wrap counter *wrap*) to *end* passes the driver's event."""
        place = event & 0x7FFF
        if event >> 15 != wrap:
            place += self.size
        return old <= place < end

    def base(self) -> int:
        """What a stop reports: available position and wrap in the low half, used in the high half."""
        return self.next | self.wrap << 15 | (self.used | self.used_wrap << 15) << 16
