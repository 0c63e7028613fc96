"""Counters that a target keeps of its own code, in memory shared with us: cleared, kept at the right moment, read.

Knows the layout that ``fuzz/coverage/runtime/vqcov.c`` shares (struct header there). Must not know what a program is,
or what a count is good for.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from contextlib import suppress
from typing import NamedTuple, Protocol, runtime_checkable

VARIABLE = "VQFUZZ_COVERAGE"
"""Of the target's environment: ``fd:N``, or the path of the memory file."""
_MAGIC = 0x31766F6371767176
_HEAD = struct.Struct("=Q10IQ")  # magic; three pairs of place and size; attached, used, regions, epoch; count
_WORD = struct.Struct("=I")
_EPOCH = 44  # bytes from the beginning
_REGION = struct.Struct("=II")
_ENTRY = struct.Struct("=QQQII")
_PAGE = 4096
COUNTERS = 1 << 16  # bytes; more would cost more to read than they tell
_COMPARED = 1024  # entries
_ROOM = 1 << 20  # bytes for counters of the compiler's own
_EXACT = 1 << 24  # added to the number of those: they are nobody else's
_PIECE = 512  # bytes looked at in one go
_HIT = re.compile(rb"[^\0]")


class Compared(NamedTuple):
    """A comparison that found *left* and *right*, of *size* bytes, unequal, at *place* of the code.

    *constant*: the right side is one, that stands in the code.
    """

    place: int
    left: int
    right: int
    size: int
    constant: bool = False


class Counters(Protocol):
    """How often places of the code were reached since clear(), up to 255 times."""

    @property
    def memory(self) -> mmap.mmap | memoryview:
        """Where they are, writable: for who hands them to another engine."""
        ...

    def places(self) -> list[tuple[int, int]]:
        """(offset, bytes) of all counters in the memory."""
        ...

    def forget(self) -> None:
        """Nothing was compared, whatever was counted."""
        ...

    def clear(self) -> None:
        """All begin at 0, and nothing was compared."""
        ...

    def keep(self) -> None:
        """What happens after this, until clear(), is none of the run's."""
        ...

    def hits(self) -> list[tuple[int, int]]:
        """(place, count) of each that was reached, as kept; places mean the same as long as the target is the same."""
        ...

    def compared(self) -> list[Compared]:
        """The last comparisons, in the order in which they were made."""
        ...


@runtime_checkable
class Counted(Protocol):
    """A target that may be built to count."""

    def counters(self) -> Counters | None:
        """Of what runs now; None if it does not count. A target that has them clears them when a session begins, and
        keeps them before it ends: they may be others after a restart."""
        ...


def hits_in(data: bytes) -> list[tuple[int, int]]:
    """(place, count) of each byte that is not 0."""
    found = []
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE]
        if piece.count(0) != len(piece):
            found += [(start + match.start(), piece[match.start()]) for match in _HIT.finditer(piece)]
    return found


class PlainCounters:
    """Bytes that count, and nothing else: ``DriverSession.counters``."""

    def __init__(self, memory: memoryview) -> None:
        self.memory = memory
        self._zeros = bytes(len(memory))
        self._kept: bytes | None = None

    def places(self) -> list[tuple[int, int]]:
        """All of the memory."""
        return [(0, len(self.memory))]

    def forget(self) -> None:
        """There are no comparisons."""

    def clear(self) -> None:
        """All begin at 0."""
        self.memory[:] = self._zeros
        self._kept = None

    def keep(self) -> None:
        """What happens after this is none of the run's."""
        self._kept = self.memory.tobytes()

    def hits(self) -> list[tuple[int, int]]:
        """(place, count) of each that was reached."""
        return hits_in(self.memory.tobytes() if self._kept is None else self._kept)

    def compared(self) -> list[Compared]:
        """Nobody says."""
        return []


class SharedCounters:
    """A memory file for a program with vqcov.c in it. *descriptor* is to be inherited by it. Raises OSError."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("vqfuzz-counters", os.MFD_CLOEXEC)
        self._compared_at = _PAGE + COUNTERS
        self._room_at = -(-(self._compared_at + _COMPARED * _ENTRY.size) // _PAGE) * _PAGE
        size = self._room_at + _ROOM
        try:
            os.ftruncate(self.descriptor, size)
            self._map = mmap.mmap(self.descriptor, size)
        except BaseException:
            os.close(self.descriptor)
            raise
        _HEAD.pack_into(
            self._map, 0, _MAGIC, _PAGE, COUNTERS, self._compared_at, _COMPARED, self._room_at, _ROOM, 0, 0, 0, 0, 0
        )
        self._zeros = bytes(COUNTERS)
        self._epoch = 0
        self._since = 0  # comparisons that were logged before the last clear()
        self._kept: tuple[list[tuple[int, int]], list[Compared]] | None = None
        self.wanted = False  # whether anybody reads them: else they are not even cleared

    @property
    def attached(self) -> bool:
        """Whether a program has begun to count here."""
        return bool(self._field(7))

    def _field(self, place: int) -> int:
        return int(_HEAD.unpack_from(self._map)[place])

    def places(self) -> list[tuple[int, int]]:
        """(offset, bytes) of all counters in the memory: those found by address or number, then the compiler's own."""
        count = min(self._field(9), (_PAGE - _HEAD.size) // _REGION.size)
        own = [_REGION.unpack_from(self._map, _HEAD.size + place * _REGION.size) for place in range(count)]
        used = self._field(8) or COUNTERS
        return [(_PAGE, min(used, COUNTERS)), *[one for one in own if one[0] + one[1] <= len(self._map)]]

    @property
    def memory(self) -> mmap.mmap:
        """All of it."""
        return self._map

    def clear(self) -> None:
        """All begin at 0, and nothing was compared."""
        if not self.wanted:
            return
        for start, length in self.places():
            self._map[start : start + length] = self._zeros[:length] if length <= COUNTERS else bytes(length)
        self.forget()

    def forget(self) -> None:
        """Nothing was compared, whatever was counted."""
        self._epoch = self._epoch + 1 & 0xFFFFFFFF
        _WORD.pack_into(self._map, _EPOCH, self._epoch)
        self._since = self._field(11)
        self._kept = None

    def keep(self) -> None:
        """What happens after this is none of the run's."""
        if self.wanted:
            self._kept = self._hits(), self._compared()

    def hits(self) -> list[tuple[int, int]]:
        """(place, count) of each that was reached."""
        return self._kept[0] if self._kept is not None else self._hits()

    def compared(self) -> list[Compared]:
        """The last comparisons, each once."""
        return self._kept[1] if self._kept is not None else self._compared()

    def _hits(self) -> list[tuple[int, int]]:
        (start, length), *own = self.places()
        found = hits_in(self._map[start : start + length])
        base = _EXACT
        for start, length in own:
            found += [(base + place, count) for place, count in hits_in(self._map[start : start + length])]
            base += length
        return found

    def _compared(self) -> list[Compared]:
        now = self._field(11)
        count = min(now - self._since, _COMPARED)
        if count <= 0:
            return []
        found: dict[Compared, None] = {}
        for number in range(now - count, now):
            at = self._compared_at + number % _COMPARED * _ENTRY.size
            left, right, place, size, constant = _ENTRY.unpack_from(self._map, at)
            if size in (1, 2, 4, 8):
                found[Compared(place, left, right, size, bool(constant))] = None
        return [*found]

    def close(self) -> None:
        """Let go. Never raises; may be called twice."""
        with suppress(BufferError):
            self._map.close()
        if self.descriptor >= 0:
            with suppress(OSError):
                os.close(self.descriptor)
        self.descriptor = -1
