"""From what a target counted to what tells one run from another: a set of numbers, and comparisons worth solving.

Knows counts, and how often a program that runs twice shows the same. Must not know how counts are shared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fuzz.targets.counters import Compared, Counters
from fuzz.values import Pair

#: Counts that tell the same: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more; classes 0 to 7.
BUCKETS = bytes(
    [0, 0, 1, 2, *(3,) * 4, *(4,) * 8, *(5,) * 16, *(6,) * 96, *(7,) * 128]
)  # the first stands for no count at all
_COMPARISON = 1 << 40  # added to features that come from comparisons
_POINTERS = range(0x5500_0000_0000, 0x8000_0000_0000)  # where a process has its own memory: other in every run


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run showed."""

    features: frozenset[int]
    pairs: tuple[Pair, ...]


def edge(place: int, count: int) -> int:
    """The feature of a place that was reached so often (1 to 255)."""
    return place << 3 | BUCKETS[count]


def likeness(one: Compared) -> int:
    """How many bytes of both sides are alike, counted at their own places: a step on the way to equality."""
    differ = one.left ^ one.right
    return sum(not differ >> 8 * place & 0xFF for place in range(one.size))


class Feedback:
    """What a target's counters say of one run, without the places that showed something else when it ran again."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self.masked: set[int] = set()  # places that count by chance
        self.edges: set[int] = set()  # places ever reached

    def look(self) -> Seen:
        """What was reached since the counters were cleared."""
        masked = self.masked
        hits = [(place, count) for place, count in self.counters.hits() if place not in masked]
        self.edges.update(place for place, _ in hits)
        features = {edge(place, count) for place, count in hits}
        pairs = []
        for one in self.counters.compared():
            if one.left in _POINTERS or one.right in _POINTERS:
                continue
            pairs.append(Pair(*one))
            alike = likeness(one)
            if alike and one.size > 1 and _COMPARISON | one.place not in masked:
                features.add(_COMPARISON | one.place << 4 | alike)
        return Seen(frozenset(features), tuple(pairs))

    def unsteady(self, first: Iterable[int], second: Iterable[int]) -> int:
        """Mask what only one of two runs of the same program has: how many places that are."""
        differ = frozenset(first) ^ frozenset(second)
        before = len(self.masked)
        self.masked.update(_place(feature) for feature in differ)
        self.edges -= self.masked
        return len(self.masked) - before

    def steady(self, features: Iterable[int]) -> frozenset[int]:
        """Those that belong to no masked place."""
        return frozenset(feature for feature in features if _place(feature) not in self.masked)


def _place(feature: int) -> int:
    """What is masked where *feature* comes and goes."""
    if feature & _COMPARISON:
        return _COMPARISON | (feature & _COMPARISON - 1) >> 4
    return feature >> 3
