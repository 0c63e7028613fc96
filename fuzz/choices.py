"""Where a generator's decisions come from: a seed, somebody's bytes, or every possibility in turn.

Knows numbers only. Must not know programs. Everything here gives the same numbers on every machine
and Python version, so integers are derived from ``getrandbits`` by our own hand and never from
``randrange`` or ``choice``, whose algorithms are the standard library's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Protocol
from zlib import crc32

_WIDE = 1 << 24  # above this many values, 32 random bits would make the bias of scaling noticeable


class Choices(Protocol):
    """Where decisions come from."""

    def integer(self, low: int, high: int) -> int:
        """A number in low..high, both included; low <= high is the caller's promise."""
        ...


class Seeded:
    """Choices from a seed: the same seed makes the same choices, for ever."""

    __slots__ = ("integer",)

    def __init__(self, seed: int) -> None:
        bits = Random(seed).getrandbits

        def integer(low: int, high: int) -> int:
            """A number in low..high, every one (nearly) equally likely."""
            span = high - low + 1
            if span < _WIDE:
                return low + (bits(32) * span >> 32)
            return low + bits(span.bit_length() + 32) % span

        # A closure, since a generator asks a hundred times per program and every look-up counts.
        self.integer = integer


class Bytes:
    """Choices from bytes as far as they reach, then from a generator seeded with their checksum.

    A short input still makes a whole program, so nothing is wasted on inputs that stop early, and a
    byte that is changed late in the input changes the program late. Small bytes mean low numbers.
    """

    __slots__ = ("_at", "_data", "_rest")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._rest: Seeded | None = None

    def integer(self, low: int, high: int) -> int:
        """A number in low..high: one byte for up to 256 values, as many as it takes for more."""
        span = high - low + 1
        if span == 1:
            return low
        at = self._at
        data = self._data
        if span <= 256 and at < len(data):
            self._at = at + 1
            return low + data[at] % span
        end = at + ((span - 1).bit_length() + 7 >> 3)
        if end <= len(data):
            self._at = end
            return low + int.from_bytes(data[at:end], "big") % span
        if self._rest is None:
            self._at = len(data)
            self._rest = Seeded(crc32(data))
        return self._rest.integer(low, high)


class Exhaustive:
    """Every path through a tree of decisions, one path per round, like an odometer.

    Use: ``for choices in Exhaustive().rounds(): build(choices)``. The tree must be finite, and the
    same decisions must lead to the same next question.
    """

    __slots__ = ("_at", "_path")

    def __init__(self) -> None:
        self._path: list[tuple[int, int]] = []  # (value, bound) of each decision of this round
        self._at = 0

    def integer(self, low: int, high: int) -> int:
        """The number in low..high whose turn it is in this round."""
        at = self._at
        if at == len(self._path):
            self._path.append((0, high - low))
        self._at = at + 1
        return low + self._path[at][0]

    def advance(self) -> bool:
        """Go to the next path; False if that was the last."""
        del self._path[self._at :]
        self._at = 0
        while self._path:
            value, bound = self._path.pop()
            if value < bound:
                self._path.append((value + 1, bound))
                return True
        return False

    def rounds(self) -> Iterator[Exhaustive]:
        """Itself, once per path."""
        while True:
            yield self
            if not self.advance():
                return
