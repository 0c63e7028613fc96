"""The reference driver of one virtqueue: our ring's driver half, and an upper half that knows buffers by tokens.

It takes back what the device used by itself: it looks at used idx or flags, and walks a batch buffer by buffer
(2.7.9, 2.8.8). Small methods, so that a planted fault can replace exactly one of them. Knows rings; never judges.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from oracles import packed_rings, spec, split_rings
from oracles.trace import Extent

BOTH = spec.DESC_F_AVAIL | spec.DESC_F_USED


class Held:
    """A buffer from add() to get()."""

    __slots__ = ("block", "elements", "entries", "id", "slots", "token", "writable")

    def __init__(self, token: int, elements: list[Extent], writable: int, block: Extent) -> None:
        self.token = token
        self.elements = elements  # (offset, length), the readable ones first
        self.writable = writable  # bytes
        self.block = block  # of memory
        self.entries = 0  # of its indirect table
        self.id = -1
        self.slots = 0


class Upper:
    """What both layouts share."""

    ring: split_rings.DriverRing | packed_rings.DriverRing

    def __init__(self, features: int, size: int, used: int) -> None:
        self.size = size
        self.in_order = bool(features & spec.IN_ORDER)
        self.event_idx = bool(features & spec.EVENT_IDX)
        self.indirect = bool(features & spec.INDIRECT_DESC)
        self.used = used  # up to where buffers were taken back: split: idx; packed: position | wrap << 15
        self.batch: tuple[int, int] | None = None  # id and length of a used element that is not walked to its end
        self.held: dict[int, Held] = {}  # by id, oldest first
        self.fifo: deque[Held] = deque()  # IN_ORDER: the same, in order
        self.listening = True  # used buffer notifications are enabled
        self.broken = ""

    def keep(self, before: Upper) -> None:
        """What is left over a reset of the queue that *before* was: nothing."""

    # -- making available

    def slots_for(self, elements: int) -> int:
        """Descriptors that a buffer of so many elements takes."""
        return 1 if self.indirect and elements > 1 else elements

    def add(self, held: Held, readable: int, table: Extent | None, address: int) -> None:
        """Make *held* available: its first *readable* elements device-readable, in *table* if there is one."""
        elements = [(address + at, length) for at, length in held.elements]
        held.id, held.slots = self.ring.place([] if table else elements, readable, table, held.token)
        self.ring.expose(1)
        self.held[held.id] = held
        self.fifo.append(held)

    # -- taking back

    def pending(self) -> bool:
        """Whether the device used something behind our position."""
        raise NotImplementedError

    def element(self) -> tuple[int, int]:
        """(id, length) of the used element or descriptor at our position."""
        raise NotImplementedError

    def move(self, held: Held) -> None:
        """Our position moves over *held*."""
        raise NotImplementedError

    def get(self) -> tuple[Held, int] | None:
        """The next buffer that came back, and its length; None: there is none, or the device broke a rule."""
        if self.broken or not self.anything():
            return None
        found = self.next_in_order() if self.in_order else self.next_named()
        if found is None:
            return None
        held, length = found
        self.move(held)
        self.release(held)
        if self.listening and self.event_idx:
            self.ask("on")
        return held, length

    def anything(self) -> bool:
        """Whether there is something to take back: the rest of a batch, or a used element."""
        return self.batch is not None or self.pending()

    def next_named(self) -> tuple[Held, int] | None:
        """Without IN_ORDER: the buffer that the used element names."""
        id_, length = self.element()
        held = self.held.pop(id_, None)
        if held is None:
            self.broken = f"used id {id_} is of no buffer"
            return None
        return held, length

    def next_in_order(self) -> tuple[Held, int] | None:
        """The oldest buffer: alone, or the next of a batch that ends with the one that its element names."""
        if self.batch is None:
            self.batch = self.element()
        id_, length = self.batch
        if all(held.id != id_ for held in self.fifo):
            self.broken = f"used id {id_} is of no buffer"
            return None
        held = self.fifo.popleft()
        self.held.pop(held.id, None)
        if held.id != id_:
            return held, held.writable  # skipped by the batch: written completely
        self.batch = None
        return held, length

    def release(self, held: Held) -> None:
        """The descriptors of *held* are free again."""
        self.ring.reclaim(held.id, held.slots)

    # -- notifications

    def callbacks(self, mode: str) -> bool:
        """Enable or disable used buffer notifications; whether nothing is pending."""
        self.listening = mode != "off"
        self.ask(mode)
        return not self.still()

    def still(self) -> bool:
        """What is looked at once notifications are enabled."""
        return self.anything()

    def ask(self, mode: str) -> None:
        """Write our suppression words."""
        ahead = 0
        if mode == "delayed" and self.event_idx:
            ahead = self.outstanding() * 3 // 4
        told = {"off": "disable"}.get(mode, "event" if self.event_idx else "enable")
        self.ring.suppress(told, ahead, self.event_place())

    def event_place(self) -> int:
        """From where a notification is asked for."""
        return self.used

    def outstanding(self) -> int:
        """Buffers that the device has (split), or the descriptors that they take (packed)."""
        raise NotImplementedError


class SplitUpper(Upper):
    """A split queue's."""

    kind: type[split_rings.DriverRing] = split_rings.DriverRing

    def __init__(self, memory: memoryview, features: int, size: int, places: Sequence[int]) -> None:
        super().__init__(features, size, 0)
        self.device = places[2]
        self.split = self.ring = self.kind(memory, features, size, *places)

    def idx(self) -> int:
        """The used idx."""
        return self.split.words[self.device // 2 + 1]

    def pending(self) -> bool:
        """Whether used idx moved (2.7.14)."""
        return self.idx() != self.used

    def element(self) -> tuple[int, int]:
        """The used element at our position."""
        at = self.device + 4 + 8 * (self.used % self.size)
        id_, length = spec.USED_ELEMENT.unpack(self.split.memory[at : at + 8])
        return int(id_), int(length)

    def move(self, held: Held) -> None:
        """One place for each buffer, skipped or not (2.7.9)."""
        self.used = (self.used + 1) & 0xFFFF

    def outstanding(self) -> int:
        """Buffers."""
        return len(self.held)


class PackedUpper(Upper):
    """A packed queue's."""

    kind: type[packed_rings.DriverRing] = packed_rings.DriverRing

    def __init__(self, memory: memoryview, features: int, size: int, places: Sequence[int]) -> None:
        super().__init__(features, size, 1 << 15)
        self.descriptor = places[0]
        self.packed = self.ring = self.kind(memory, features, size, *places)

    def flags(self) -> int:
        """Of the descriptor at our position."""
        return self.packed.words[self.descriptor // 2 + 8 * (self.used & 0x7FFF) + 7]

    def pending(self) -> bool:
        """Whether both bits of the descriptor equal our wrap counter (2.8.1)."""
        return self.flags() & BOTH == (BOTH if self.used >> 15 else 0) and bool(self.held)

    def element(self) -> tuple[int, int]:
        """The used descriptor at our position; without WRITE its length means nothing (2.8.4)."""
        at = self.descriptor + 16 * (self.used & 0x7FFF)
        _, length, id_, flags = spec.DESCRIPTOR.unpack(self.packed.memory[at : at + 16])
        return int(id_), int(length) if flags & spec.DESC_F_WRITE else 0

    def move(self, held: Held) -> None:
        """As many places as the buffer took (2.8.8)."""
        self.forward(held.slots)

    def forward(self, slots: int) -> None:
        """Our position moves by *slots*."""
        place, wrap = (self.used & 0x7FFF) + slots, self.used >> 15
        if place >= self.size:
            place, wrap = place - self.size, wrap ^ 1
        self.used = place | wrap << 15

    def outstanding(self) -> int:
        """Descriptors."""
        return sum(held.slots for held in self.held.values())
