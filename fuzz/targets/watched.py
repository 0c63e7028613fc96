"""Memory that tells of each store: for rings of drivers that are ours, so that the order of stores shows.

Knows bytes. Must not know what they mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

Told = Callable[[int, bytes], None]
"""Called with offset and data of each store, after it."""


def watched(memory: memoryview, told: Told) -> memoryview:
    """*memory* for a ring, whose stores are all shown to *told*."""
    return cast("memoryview", _Watched(memory, told))


class _Words:
    """A 16-bit view of watched memory."""

    def __init__(self, words: memoryview, told: Told) -> None:
        self.words = words
        self.told = told

    def __getitem__(self, index: int) -> int:
        return self.words[index]

    def __setitem__(self, index: int, value: int) -> None:
        self.words[index] = value
        self.told(2 * index, value.to_bytes(2, "little"))


class _Watched:
    """What rings use of a memoryview, with every store told."""

    def __init__(self, memory: memoryview, told: Told) -> None:
        self.memory = memory
        self.told = told

    def __getitem__(self, place: slice) -> memoryview:
        return self.memory[place]

    def __setitem__(self, place: slice, data: bytes) -> None:
        self.memory[place] = data
        self.told(place.start, bytes(data))

    def __len__(self) -> int:
        return len(self.memory)

    def cast(self, kind: str) -> _Words:
        return _Words(self.memory.cast("H"), self.told)
