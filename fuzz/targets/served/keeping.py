"""Rings that keep an inflight area («Inflight I/O tracking»), for front-ends that ask for one.

A buffer is in flight from when it was fetched until it was returned, whoever serves the ring: a program, or nobody in
particular. A ring that begins where another left off fetches first what that left in flight. Knows the device's half
of rings and the area. Must not know messages or programs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from fuzz.targets.model.inflight import Area, PackedArea, SplitArea
from oracles import packed_rings, split_rings
from oracles.split_rings import Chain

RingClass = type[split_rings.DeviceRing] | type[packed_rings.DeviceRing]


def ring_class(packed: bool, area: Area | None) -> RingClass:
    """The class of a ring that keeps *area*; of one that keeps none, if there is none."""
    if isinstance(area, PackedArea):
        return _packed(area)
    if isinstance(area, SplitArea):
        return _split(area)
    return packed_rings.DeviceRing if packed else split_rings.DeviceRing


def _split(area: SplitArea) -> type[split_rings.DeviceRing]:
    class KeptRing(split_rings.DeviceRing):
        """Its area tells used idx as it was published."""

        again: deque[Chain]
        returned: list[Chain]

        def __init__(
            self, memory: memoryview, address: int, store: split_rings.Store, features: int, size: int,
            descriptor: int, driver: int, device: int, available: int = 0, used: int = 0,
        ) -> None:  # fmt: skip
            super().__init__(memory, address, store, features, size, descriptor, driver, device, available, used)
            self.returned = []
            if area.used():
                area.repair(used)
                self.again = deque(area.unfinished(self))
            else:
                area.fresh(used)
                self.again = deque()

        def waiting(self) -> int:
            """What was in flight waits, too."""
            return len(self.again) + super().waiting()

        def fetch(self) -> Chain | None:
            """What was in flight, then what is new."""
            if self.again:
                return self.again.popleft()
            chain = super().fetch()
            if chain is not None:
                area.fetched(self, chain)
            return chain

        def use(self, chains: Sequence[Chain], length: int, advance: bool = True) -> None:
            """It is returned when that is published."""
            self.returned += chains
            super().use(chains, length, advance)

        def publish(self) -> None:
            """What is published is no longer in flight."""
            super().publish()
            area.returned(self, self.returned, self.used)
            self.returned = []

    return KeptRing


def _packed(area: PackedArea) -> type[packed_rings.DeviceRing]:
    class KeptRing(packed_rings.DeviceRing):
        """Its area has copies of the descriptors, which a used one overwrites."""

        again: deque[Chain]

        def __init__(
            self, memory: memoryview, address: int, store: split_rings.Store, features: int, size: int,
            descriptor: int, driver: int, device: int, available: int = 1 << 15, used: int = 1 << 15,
        ) -> None:  # fmt: skip
            super().__init__(memory, address, store, features, size, descriptor, driver, device, available, used)
            if area.used():
                area.repair(used)
                self.again = deque(area.unfinished(self))
            else:
                area.fresh(used)
                self.again = deque()

        def waiting(self) -> int:
            """What was in flight waits, too."""
            return len(self.again) + super().waiting()

        def fetch(self) -> Chain | None:
            """What was in flight, then what is new."""
            if self.again:
                return self.again.popleft()
            chain = super().fetch()
            if chain is not None:
                area.fetched(self, chain)
            return chain

        def use(self, chains: Sequence[Chain], length: int, advance: bool = True) -> None:
            """Published at once, and no longer in flight."""
            super().use(chains, length, advance)
            area.returned(self, list(chains), self.used | self.used_wrap << 15)

    return KeptRing
