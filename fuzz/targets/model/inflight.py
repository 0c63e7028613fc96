"""The inflight area of one ring: what a back-end keeps of requests, so that another can take them up.

Follows the document step by step («Inflight I/O tracking»). Knows the area and the device's half of a ring. Must not
know messages.
"""

from __future__ import annotations

from oracles import packed_rings, spec, split_rings
from oracles import vhost_user as vu
from oracles.split_rings import Chain

VERSION = 1


def room(packed: bool, size: int) -> int:
    """Bytes that a queue of *size* entries takes, up to a multiple of 64."""
    head, entry = (vu.INFLIGHT_PACKED, vu.ENTRY_PACKED) if packed else (vu.INFLIGHT_SPLIT, vu.ENTRY_SPLIT)
    return (head.size + entry.size * size + 63) & ~63


class SplitArea:
    """The area of a split ring in *view*."""

    def __init__(self, view: memoryview, size: int) -> None:
        self.view = view
        self.size = size
        self.counter = 0

    def fresh(self, used: int) -> None:
        """Begin, at this used idx."""
        vu.INFLIGHT_SPLIT.pack_into(self.view, 0, 0, self.version(), self.entries(), 0, used)

    def version(self) -> int:
        """What stands in the header."""
        return VERSION

    def entries(self) -> int:
        """How many entries the header tells."""
        return self.size

    def used(self) -> bool:
        """Whether there is something in it already."""
        return int(vu.INFLIGHT_SPLIT.unpack_from(self.view)[1]) != 0

    def _at(self, head: int) -> int:
        return vu.INFLIGHT_SPLIT.size + vu.ENTRY_SPLIT.size * (head % self.size)

    def fetched(self, ring: split_rings.DeviceRing, chain: Chain) -> None:
        """A buffer was fetched."""
        vu.ENTRY_SPLIT.pack_into(self.view, self._at(chain.id), 1, 0, self.counter)
        self.counter += 1

    def returned(self, ring: split_rings.DeviceRing, chains: list[Chain], used: int) -> None:
        """Buffers were handed back; used idx in memory is *used* now."""
        for chain in chains:
            counter = vu.ENTRY_SPLIT.unpack_from(self.view, self._at(chain.id))[2]
            vu.ENTRY_SPLIT.pack_into(self.view, self._at(chain.id), 0, self._head(), counter)
            self._set(3, chain.id)
        self.synced(used)

    def synced(self, used: int) -> None:
        """Used idx in memory is *used*."""
        self._set(4, used)

    def _head(self) -> int:
        return int(vu.INFLIGHT_SPLIT.unpack_from(self.view)[3])

    def _set(self, place: int, value: int) -> None:
        fields = list(vu.INFLIGHT_SPLIT.unpack_from(self.view))
        fields[place] = value
        vu.INFLIGHT_SPLIT.pack_into(self.view, 0, *fields)

    def repair(self, used: int) -> None:
        """After a reconnection: what the last batch left half done, by *used*, the used idx in memory."""
        last, known = vu.INFLIGHT_SPLIT.unpack_from(self.view)[3:5]
        for _ in range(min(used - known & 0xFFFF, self.size)):
            _, follower, counter = vu.ENTRY_SPLIT.unpack_from(self.view, self._at(last))
            vu.ENTRY_SPLIT.pack_into(self.view, self._at(last), 0, follower, counter)
            last = follower
        self.synced(used)

    def unfinished(self, ring: split_rings.DeviceRing) -> list[Chain]:
        """What is in flight, in the order in which it was fetched."""
        found = []
        for head in range(self.size):
            inflight, _, counter = vu.ENTRY_SPLIT.unpack_from(self.view, self._at(head))
            if inflight:
                found.append((counter, head))
        self.counter = max(found)[0] + 1 if found else 0
        chains = [ring.walk(head) for _, head in sorted(found)]
        ring.available = ring.used + len(chains) & 0xFFFF
        return chains


class PackedArea:
    """The area of a packed ring in *view*."""

    def __init__(self, view: memoryview, size: int) -> None:
        self.view = view
        self.size = size
        self.counter = 0
        self.places: dict[int, int] = {}  # entry of the first descriptor, by buffer id

    def fresh(self, used: int) -> None:
        """Begin, at this used position (with the wrap counter in bit 15)."""
        position, wrap = used & 0x7FFF, used >> 15 & 1
        head = (0, self.version(), self.entries(), 0, 0, position, position, wrap, wrap)
        vu.INFLIGHT_PACKED.pack_into(self.view, 0, *head)
        for place in range(self.size):
            vu.ENTRY_PACKED.pack_into(self.view, self._at(place), 0, (place + 1) % self.size, 0, 0, 0, 0, 0, 0, 0)

    def version(self) -> int:
        """What stands in the header."""
        return VERSION

    def entries(self) -> int:
        """How many entries the header tells."""
        return self.size

    def used(self) -> bool:
        """Whether there is something in it already."""
        return int(vu.INFLIGHT_PACKED.unpack_from(self.view)[1]) != 0

    def _at(self, place: int) -> int:
        return vu.INFLIGHT_PACKED.size + vu.ENTRY_PACKED.size * (place % self.size)

    def _head(self) -> list[int]:
        return list(vu.INFLIGHT_PACKED.unpack_from(self.view))

    def _entry(self, place: int) -> list[int]:
        return list(vu.ENTRY_PACKED.unpack_from(self.view, self._at(place)))

    def fetched(self, ring: packed_rings.DeviceRing, chain: Chain) -> None:
        """A buffer was fetched: the descriptors before the ring's position."""
        head = self._head()
        first, free = head[4], head[3]
        for number in range(chain.slots):
            slot = (ring.next - chain.slots + number) % ring.size
            at = ring.descriptor + 16 * slot
            address, length, id_, flags = spec.DESCRIPTOR.unpack_from(ring.memory, at)
            entry = self._entry(free)
            follower = entry[1]
            entry[5:] = [id_, flags, length, address]
            if number == 0:
                entry[0], entry[4] = 1, self.counter
                self.counter += 1
                self.places[chain.id] = free
            vu.ENTRY_PACKED.pack_into(self.view, self._at(free), *entry)
            last, free = free, follower
        entry = self._entry(first)
        entry[2], entry[3] = last, chain.slots
        vu.ENTRY_PACKED.pack_into(self.view, self._at(first), *entry)
        head[3] = head[4] = free
        vu.INFLIGHT_PACKED.pack_into(self.view, 0, *head)

    def returned(self, ring: packed_rings.DeviceRing, chains: list[Chain], used: int) -> None:
        """Buffers were handed back; the ring's used position is *used* now."""
        head = self._head()
        for chain in chains:
            place = self.places.pop(chain.id, None)
            if place is None:
                continue
            entry = self._entry(place)
            last = self._entry(entry[2])
            last[1] = head[3]
            vu.ENTRY_PACKED.pack_into(self.view, self._at(entry[2]), *last)
            entry = self._entry(place)
            entry[0] = 0
            vu.ENTRY_PACKED.pack_into(self.view, self._at(place), *entry)
            head[3] = head[4] = place
        vu.INFLIGHT_PACKED.pack_into(self.view, 0, *head)
        self.synced(used)

    def synced(self, used: int) -> None:
        """The ring's used position is *used*."""
        head = self._head()
        head[5] = head[6] = used & 0x7FFF
        head[7] = head[8] = used >> 15 & 1
        vu.INFLIGHT_PACKED.pack_into(self.view, 0, *head)

    def repair(self, used: int) -> None:
        """After a reconnection: an update that was not finished is rolled back (nothing here is ever half done)."""
        head = self._head()
        head[3], head[5], head[7] = head[4], head[6], head[8]
        vu.INFLIGHT_PACKED.pack_into(self.view, 0, *head)

    def unfinished(self, ring: packed_rings.DeviceRing) -> list[Chain]:
        """What is in flight, in the order in which it was fetched; the ring goes on behind it."""
        head = self._head()
        ring.used, ring.used_wrap = head[5], head[7]
        found = sorted((self._entry(place)[4], place) for place in range(self.size) if self._entry(place)[0])
        self.counter = found[-1][0] + 1 if found else 0
        chains = [self._chain(ring, place) for _, place in found]
        moved = ring.used + sum(chain.slots for chain in chains)
        ring.next, ring.wrap = moved % ring.size, ring.used_wrap ^ (moved >= ring.size)
        return chains

    def _chain(self, ring: packed_rings.DeviceRing, place: int) -> Chain:
        count = self._entry(place)[3]
        readable: list[tuple[int, int]] = []
        writable: list[tuple[int, int]] = []
        at, entry = place, self._entry(place)
        for _ in range(count):
            entry = self._entry(at)
            flags, length, address = entry[6], entry[7], entry[8]
            if flags & spec.DESC_F_INDIRECT:
                ring.walk_table(address - ring.address, length // 16, readable, writable)
            else:
                (writable if flags & spec.DESC_F_WRITE else readable).append((address, length))
            at = entry[1]
        self.places[entry[5]] = place
        return Chain(entry[5], count, readable, writable)


Area = SplitArea | PackedArea
