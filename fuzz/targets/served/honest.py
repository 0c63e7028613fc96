"""A virtqueue that no program is about, served as a good device serves it: at once, in order, one buffer at a time.

Knows rings and what a class answers. Must not know messages or programs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock

from fuzz.targets.extents import gather, scatter
from fuzz.targets.served.keeping import RingClass
from fuzz.targets.served.kinds import READ, Kind
from oracles import packed_rings, split_rings
from oracles.split_rings import Chain

Ring = split_rings.DeviceRing | packed_rings.DeviceRing
_APART = 1 << 31  # serial numbers begin there: a program's own begin at 0
FENCE = Lock()
"""Taken and let go, it orders a store before the loads behind it, which neither x86 nor Python does otherwise."""


class HonestQueue:
    """One live virtqueue, whose areas lie at these offsets of *memory*.

    *signal*: notifies the driver. *make*: makes the ring.
    """

    def __init__(
        self, kind: Kind, queue: int, memory: memoryview, address: int, features: int, size: int,
        places: tuple[int, int, int], positions: tuple[int, int], signal: Callable[[], None],
        make: RingClass,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.queue = queue
        self.memory = memory
        self.words = memory.cast("H")
        self.address = address
        self.signal = signal
        self.ring: Ring = make(memory, address, self._store, features, size, *places, *positions)
        self.kept: deque[Chain] = deque()
        self.count = _APART

    def _store(self, offset: int, data: bytes) -> None:
        if len(data) == 2:  # a word that the driver may be reading
            self.words[offset >> 1] = data[0] | data[1] << 8
        else:
            self.memory[offset : offset + len(data)] = data

    def run(self) -> bool:
        """Serve what is there; whether anything was used."""
        used = False
        while True:
            while self.ring.waiting():
                chain = self.ring.fetch()
                if chain is None:
                    break
                self.kept.append(chain)
            used |= self._answer()
            self.ring.arm()
            with FENCE:
                pass
            if not self.ring.waiting():
                return used

    def _answer(self) -> bool:
        used = False
        while self.kept:
            chain = self.kept[0]
            room = sum(size for _, size in chain.writable)
            readable = gather(self.memory, self.address, chain.readable, READ)
            data = self.kind.answer(self.queue, self.count, readable, room)
            if data is None:
                break
            self.kept.popleft()
            self.count += 1
            scatter(self.memory, self.address, chain.writable, data)
            self.ring.use([chain], len(data))
            used = True
        if used:
            with FENCE:
                pass
            if self.ring.calls():
                self.signal()
        return used
