"""A small device that conforms, for tests of driver sessions: it looks at memory, uses buffers, and keeps a trace.

Everything that it sees and does goes into ``trace``, for the oracle of drivers. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.targets.driver import DriverSession
from fuzz.targets.linux_ring.session import MEMORY
from oracles import packed_rings, spec, split_rings
from oracles.split_rings import Chain
from oracles.trace import (
    Entry,
    Exposed,
    Looked,
    Notified,
    Observation,
    Resetting,
    Returned,
    Started,
    Stored,
    Supplied,
)


class Device:
    """One virtqueue of *session*, which was started."""

    def __init__(self, session: DriverSession) -> None:
        self.session = session
        self.trace: list[Entry] = []
        self.begin("init")

    def note(self, observation: Observation) -> None:
        self.trace.append((0, observation))

    def begin(self, cause: str) -> None:
        """The queue is live."""
        session, queue = self.session, self.session.queue
        self.features, self.size = session.features, queue.size
        self.packed = bool(self.features & spec.RING_PACKED)
        self.indirect = bool(self.features & spec.INDIRECT_DESC)
        layout = spec.PACKED if self.packed else spec.SPLIT
        places = (queue.descriptor, queue.driver, queue.device)
        kind = packed_rings.DeviceRing if self.packed else split_rings.DeviceRing
        self.ring: split_rings.DeviceRing | packed_rings.DeviceRing
        self.ring = kind(session.memory, session.address, self.store, self.features, self.size, *places,
                         queue.available, queue.used)  # fmt: skip
        self.areas = list(zip(places, spec.area_sizes(layout, self.size), strict=True))
        self.known = [bytes(size) for _, size in self.areas]
        self.fetched: dict[int, Chain] = {}  # by token, oldest first
        self.added: list[int] = []  # tokens, oldest first, not fetched
        self.ids: dict[int, int] = {}
        base = session.address
        self.note(Started(layout, self.size, self.features, base + places[0], base + places[1], base + places[2],
                          (base, MEMORY), queue.available, queue.used, cause=cause))  # fmt: skip
        self.look()

    def store(self, offset: int, data: bytes) -> None:
        self.session.memory[offset : offset + len(data)] = data
        self.note(Stored(self.session.address + offset, data))
        for index, (start, size) in enumerate(self.areas):
            if start <= offset < start + size:
                known = bytearray(self.known[index])
                known[offset - start : offset - start + len(data)] = data
                self.known[index] = bytes(known)

    # -- looking

    def look(self, waited: bool = False) -> None:
        """Take in all that changed, in an order in which what publishes comes last."""
        self.tables()
        for index in range(3):
            self.exposed(index)
        self.note(Looked(waited, logged=False))
        while chain := self.ring.fetch():
            token = self.added.pop(0)
            elements = tuple((at - self.session.address, length) for at, length in chain.readable + chain.writable)
            assert elements == self.session.elements(token), "the driver exposes another buffer than was added"
            self.fetched[token] = chain
            self.ids[token] = chain.id

    def exposed(self, index: int) -> None:
        """Show what changed in an area, piece by piece."""
        start, size = self.areas[index]
        found = self.session.memory[start : start + size].tobytes()
        old, self.known[index] = self.known[index], found
        if found == old:
            return
        grain = 16 if index == 0 else 4 if self.packed else 2
        order = list(range(size // grain))
        if index == 0 and self.packed:  # from behind, so that the first descriptor of a list is shown when all are
            assert isinstance(self.ring, packed_rings.DeviceRing)
            order = [(self.ring.next + place) % self.size for place in reversed(order)]
        elif index == 1 and not self.packed:
            order.append(order.pop(1))  # idx
        pieces = [(place * grain, found[place * grain : place * grain + grain]) for place in order]
        changed = [(at, data) for at, data in pieces if data != old[at : at + grain]]
        for at, data in changed:
            self.note(Exposed(self.session.address + start + at, data))

    def tables(self) -> None:
        """Show the tables of what is available and not fetched. Their descriptors may read as they did a lap ago."""
        ring, memory, base = self.ring, self.session.memory, self.session.address
        for head in self.lists() if isinstance(ring, packed_rings.DeviceRing) else self.heads():
            address, length, third, fourth = spec.DESCRIPTOR.unpack_from(memory, ring.descriptor + 16 * head)
            if (fourth if self.packed else third) & spec.DESC_F_INDIRECT:
                self.note(Exposed(address, memory[address - base : address - base + length].tobytes()))

    def heads(self) -> list[int]:
        """Split: heads of what is available and not fetched."""
        ring = self.ring
        assert isinstance(ring, split_rings.DeviceRing)
        places = [(ring.available + place) % self.size for place in range(ring.waiting())]
        return [ring.words[ring.driver // 2 + 2 + place] for place in places]

    def lists(self) -> Iterator[int]:
        """Packed: descriptors that are available in this lap and not fetched."""
        ring = self.ring
        assert isinstance(ring, packed_rings.DeviceRing)
        position, wrap = ring.next, ring.wrap
        for _ in range(self.size):
            flags = ring.words[ring.descriptor // 2 + 8 * position + 7]
            if bool(flags & spec.DESC_F_AVAIL) != bool(wrap) or bool(flags & spec.DESC_F_USED) == bool(wrap):
                return
            yield position
            position += 1
            if position == self.size:
                position, wrap = 0, wrap ^ 1

    # -- the driver's upper half

    def add(self, readable: tuple[int, ...], writable: tuple[int, ...]) -> int | None:
        token = self.session.add(readable, writable)
        if token is not None:
            count = len(readable) + len(writable)
            slots = 1 if self.indirect and count > 1 else count
            self.note(Supplied(token, 0, slots, sum(readable), sum(writable)))
            self.added.append(token)
        return token

    def kick(self) -> bool:
        """All that was due has come when this returns."""
        self.look()
        notified = self.session.kick()
        if notified:
            self.note(Notified())
        self.look(waited=True)
        return notified

    def get(self) -> list[tuple[int, int]]:
        """All that the driver hands up."""
        got = []
        while answer := self.session.get():
            token, length = answer
            self.note(Returned(self.ids.pop(token), length))
            got.append(answer)
        self.look()
        return got

    def reset_queue(self, size: int = 0) -> list[int]:
        self.note(Resetting("queue"))
        tokens = self.session.resize(size) if size else self.session.reset_queue()
        self.begin("queue_reset")
        return tokens

    # -- the device

    def use(self, tokens: list[int], length: int) -> bool:
        """Return buffers one by one, or several as a batch, the last with *length*; whether the driver is called."""
        self.ring.use([self.fetched.pop(token) for token in tokens], length)
        return self.ring.calls()
