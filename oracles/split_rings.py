"""The split layout's memory (2.7): what a driver writes, and what a device reads and writes.

Both halves work on a memoryview of shared memory; offset 0 of it is known to the device as
*address*. Words that the other side polls are stored and loaded whole, through a native 16-bit view
(the module is for little-endian machines): ``struct.pack_into`` zeroes before it writes.
Knows bytes and positions only; who is right is the oracle's business.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from oracles import spec
from oracles.model import flags_pointer
from oracles.trace import Extent

_pack = spec.DESCRIPTOR.pack
_unpack_from = spec.DESCRIPTOR.unpack_from
NEXT, WRITE, INDIRECT = spec.DESC_F_NEXT, spec.DESC_F_WRITE, spec.DESC_F_INDIRECT

Store = Callable[[int, bytes], None]
"""Store bytes at an offset, as the device does it: the model logs these."""


class Ring:
    """Where a queue lies in shared memory, and which of its features matter: what all four halves keep."""

    def __init__(self, memory: memoryview, features: int, size: int, descriptor: int, driver: int, device: int) -> None:
        self.memory = memory
        self.words = memory.cast("H")
        self.size = size
        self.descriptor = descriptor
        self.driver = driver
        self.device = device
        self.in_order = bool(features & spec.IN_ORDER)
        self.event_idx = bool(features & spec.EVENT_IDX)


class DriverRing(Ring):
    """The driver's half: descriptor table, available ring, and reading used flags and avail_event."""

    def __init__(
        self,
        memory: memoryview,
        features: int,
        size: int,
        descriptor: int,
        driver: int,
        device: int,
        available: int = 0,
    ) -> None:
        super().__init__(memory, features, size, descriptor, driver, device)
        self.ring = driver // 2 + 2
        self.idx_word = driver // 2 + 1
        self.room = size
        self.idx = available
        self.held = 0
        self.next = 0  # IN_ORDER: table slots are taken in ring order from 0 (2.7.5)
        self.free = list(range(size)) if not self.in_order else []
        self.chains: dict[int, list[int]] = {}
        self.written: list[bytes] = [bytes(16)] * size  # what the table must still hold
        self.heads = array("H", bytes(2 * size))  # what the available ring must still hold
        self._kicked = available
        self._junk = False
        self.words[self.idx_word] = available
        memory[descriptor : descriptor + 16 * size] = bytes(16 * size)

    def table(self, elements: Sequence[Extent], readable: int) -> bytes:
        """An indirect table for *elements*, the first *readable* of them device-readable (2.7.5.3).

        With IN_ORDER entries follow each other (2.7.5.3.1); without, they are linked back to front
        behind entry 0, because a device must follow ``next``.
        """
        count = len(elements)
        order = range(count) if self.in_order else [0, *range(count - 1, 0, -1)]
        entries = [b""] * count
        for place, entry in enumerate(order):
            address, length = elements[place]
            flags = (0 if place < readable else WRITE) | (NEXT if place + 1 < count else 0)
            follower = order[place + 1] if place + 1 < count else 0x5EED & 0xFFFF
            entries[entry] = _pack(address, length, flags, follower)
        return b"".join(entries)

    def place(self, elements: Sequence[Extent], readable: int, table: Extent | None, number: int) -> tuple[int, int]:
        """Write a chain of the direct *elements*, then the indirect *table* if there is one; hold its head.

        Returns (head, descriptors taken). The caller has made sure that there is ``room``.
        """
        count = len(elements) + (1 if table else 0)
        size = self.size
        if self.in_order:
            head = self.next
            slots = [head] if count == 1 else [(head + place) % size for place in range(count)]
            self.next = (head + count) % size
        else:
            free = self.free
            slots = [free.pop() for _ in range(count)]
            head = slots[0]
            self.chains[head] = slots
        memory, written, base = self.memory, self.written, self.descriptor
        last = count - 1
        for place, slot in enumerate(slots):
            if place < len(elements):
                address, length = elements[place]
                flags = 0 if place < readable else WRITE
            else:
                assert table is not None
                address, length = table
                flags = INDIRECT | (WRITE if flags_pointer(number) else 0)  # the device must ignore WRITE here
            if place < last:
                data = _pack(address, length, flags | NEXT, slots[place + 1])
            else:
                data = _pack(address, length, flags, number * 7919 & 0xFFFF)  # next without NEXT: junk
            offset = base + 16 * slot
            memory[offset : offset + 16] = data
            written[slot] = data
        self.room -= count
        entry = (self.idx + self.held) % size
        self.words[self.ring + entry] = head
        self.heads[entry] = head
        self.held += 1
        return head, count

    def expose(self, count: int) -> None:
        """Make the oldest *count* held chains available in one idx step (2.7.13.3)."""
        self.held -= count
        self.idx = (self.idx + count) & 0xFFFF
        self.words[self.idx_word] = self.idx

    def reclaim(self, head: int, slots: int) -> None:
        """The chain at *head* came back: its descriptors are free."""
        self.room += slots
        if not self.in_order:
            self.free.extend(self.chains.pop(head))

    def decoys(self) -> tuple[int, ...]:
        """Split chains have no ids but the head."""
        return ()

    def excused(self) -> tuple[int, int, bool]:
        """(used flags, avail_event, whether we need not notify) for what was exposed since the last call (2.7.10.1)."""
        old, self._kicked = self._kicked, self.idx
        flags = self.words[self.device // 2]
        event = self.words[(self.device + 4 + 8 * self.size) // 2]
        if self.event_idx:
            return flags, event, not spec.crosses(event, self.idx, old)
        return flags, event, bool(flags & spec.USED_F_NO_NOTIFY)

    def suppress(self, mode: str, ahead: int, used: int, junk: bool = False) -> tuple[int, int]:
        """Write our words (2.7.7.1). *used*: idx up to which we have received; *event*: *ahead* past it.

        Returns (flags, used_event) as written. With EVENT_IDX flags stays 0 (2.7.7.1). *junk*: the word that has
        no meaning is written, too, and says the opposite; it stays so up to the next call.
        """
        flags, event = 0, used
        junked, self._junk = self._junk, junk
        if junk or junked:
            flags = int(junk and self.event_idx)
            if junk:
                event = (used - 1) & 0xFFFF if mode == "enable" else used
            self.words[self.driver // 2] = flags
            self.words[(self.driver + 4 + 2 * self.size) // 2] = event if junk else 0
        if self.event_idx:
            event = (used + ahead) & 0xFFFF if mode == "event" else (used - 1) & 0xFFFF if mode == "disable" else used
            self.words[(self.driver + 4 + 2 * self.size) // 2] = event
        else:
            flags = spec.AVAIL_F_NO_INTERRUPT if mode == "disable" else 0
            self.words[self.driver // 2] = flags
        return flags, event

    def disturbed(self) -> list[tuple[int, bytes]]:
        """(offset, bytes found) where the table or the available ring no longer hold what we wrote."""
        found = []
        expected = b"".join(self.written)
        table = self.memory[self.descriptor : self.descriptor + 16 * self.size].tobytes()
        if table != expected:
            found += differences(self.descriptor, expected, table)
        start = self.driver + 4
        ring = self.memory[start : start + 2 * self.size].tobytes()
        if ring != self.heads.tobytes():
            found += differences(start, self.heads.tobytes(), ring)
        if self.words[self.idx_word] != self.idx:
            found.append((self.driver + 2, self.memory[self.driver + 2 : self.driver + 4].tobytes()))
        return found


def differences(offset: int, expected: bytes, found: bytes) -> list[tuple[int, bytes]]:
    """Where *found* differs from *expected*: (offset, up to 16 bytes from the first difference on)."""
    first = next((place for place, pair in enumerate(zip(expected, found, strict=True)) if pair[0] != pair[1]), None)
    if first is None:
        return []
    return [(offset + first, found[first : first + 16])]


class Chain:
    """A buffer as the device fetched it: *id* is its head or buffer id."""

    __slots__ = ("id", "readable", "slots", "writable")

    def __init__(self, id_: int, slots: int, readable: list[Extent], writable: list[Extent]) -> None:
        self.id = id_
        self.slots = slots
        self.readable = readable
        self.writable = writable


class DeviceRing(Ring):
    """The device's half: available ring and descriptor table, and the used ring it writes.

    Small methods, so that a planted fault can replace exactly one of them.
    """

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
        available: int = 0,
        used: int = 0,
    ) -> None:
        super().__init__(memory, features, size, descriptor, driver, device)
        self.address = address
        self.store = store
        self.available = available
        self.used = used
        self.signalled = used
        self.restarted = False

    # -- fetching

    def waiting(self) -> int:
        """How many chains are available and not fetched."""
        return (self.words[self.driver // 2 + 1] - self.available) & 0xFFFF

    def head(self) -> int:
        """The head at the next place of the available ring."""
        return self.words[self.driver // 2 + 2 + self.available % self.size]

    def fetch(self) -> Chain | None:
        """The next available chain, or None."""
        if not self.waiting():
            return None
        head = self.head()
        chain = self.walk(head)
        self.step()
        return chain

    def step(self) -> None:
        """One chain was fetched."""
        self.available = (self.available + 1) & 0xFFFF

    def walk(self, head: int) -> Chain:
        """Follow a chain through the table and into an indirect table. Wild values end the walk."""
        readable: list[Extent] = []
        writable: list[Extent] = []
        slots = 0
        index = head
        memory, descriptor, size = self.memory, self.descriptor, self.size
        while slots < size:
            address, length, flags, follower = _unpack_from(memory, descriptor + 16 * (index % size))
            if flags & INDIRECT and self.indirect(flags, slots):
                self.walk_table(address - self.address, length // 16, readable, writable)
                slots += 1
                break
            (writable if flags & WRITE else readable).append((address, length))
            slots += 1
            if not flags & NEXT:
                break
            index = follower
        return Chain(head, slots, readable, writable)

    def indirect(self, flags: int, place: int) -> bool:
        """Whether the descriptor at *place* of the chain points to a table (2.7.5.3.2: also behind others)."""
        return bool(flags & INDIRECT)

    def walk_table(self, offset: int, entries: int, readable: list[Extent], writable: list[Extent]) -> None:
        """Follow an indirect table of *entries* entries at *offset*."""
        index = 0
        for _ in range(entries):
            if not 0 <= offset + 16 * index <= len(self.memory) - 16:
                return
            address, length, flags, follower = _unpack_from(self.memory, offset + 16 * index)
            (writable if flags & WRITE else readable).append((address, length))
            if not flags & NEXT:
                return
            index = follower

    # -- using

    def use(self, chains: Sequence[Chain], length: int, advance: bool = True) -> None:
        """Return a batch (2.7.9), or one chain: one element, then used idx unless the caller does it later."""
        self.element(self.batch_place(chains), self.batch_id(chains), length)
        self.used = self.moved(self.batch_count(chains))
        if advance:
            self.publish()

    def moved(self, count: int) -> int:
        """Used idx after *count* more."""
        return (self.used + count) & 0xFFFF

    def batch_place(self, chains: Sequence[Chain]) -> int:
        """The used ring slot of a batch: that of its first chain."""
        return self.used % self.size

    def batch_id(self, chains: Sequence[Chain]) -> int:
        """The id of a batch: that of its last chain."""
        return chains[-1].id

    def batch_count(self, chains: Sequence[Chain]) -> int:
        """How far used idx moves."""
        return len(chains)

    def element(self, slot: int, id_: int, length: int) -> None:
        """Store a used element."""
        self.store(self.device + 4 + 8 * slot, spec.USED_ELEMENT.pack(id_ & 0xFFFFFFFF, length & 0xFFFFFFFF))

    def publish(self) -> None:
        """Store used idx."""
        self.store(self.device + 2, self.used.to_bytes(2, "little"))

    # -- notifications

    def silence(self) -> None:
        """Ask the driver not to notify: we are looking anyway (2.7.10.2)."""
        if not self.event_idx:
            self.store(self.device, b"\1\0")

    def arm(self) -> None:
        """Ask for a notification at the next available chain."""
        if self.event_idx:
            self.store(self.device + 4 + 8 * self.size, self.available.to_bytes(2, "little"))
        else:
            self.store(self.device, b"\0\0")

    def calls(self) -> bool:
        """Whether what was published since the last call of this asks for a notification (2.7.7.2)."""
        old, self.signalled = self.signalled, self.used
        if self.event_idx:
            return self.passed(self.words[(self.driver + 4 + 2 * self.size) // 2], self.used, old)
        return old != self.used and not self.words[self.driver // 2] & spec.AVAIL_F_NO_INTERRUPT

    def passed(self, event: int, new: int, old: int) -> bool:
        """Whether used idx going from *old* to *new* passes the driver's event."""
        return spec.crosses(event, new, old)

    def base(self) -> int:
        """What a stop reports: the next available idx."""
        return self.available
