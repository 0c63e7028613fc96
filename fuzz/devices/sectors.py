"""What is known to be in the sectors of a disk, as long as the disk does what it must.

What is there at first is unknown: a sector's content is known from the moment a write of it was answered until
another write of it is supplied. All data bytes are 0x01 to 0x7f and never eight equal ones in a row, so that they
can't be taken for the prefill of a buffer. Must not know requests, statuses or rings.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

SECTOR = 512

# Any 512 bytes of it: a period of 127, so that each of 127 starting places gives another sector.
_PATTERN = bytes(1 + place * 53 % 127 for place in range(127)) * 6
_STAMP = struct.Struct("10B")
Place = tuple[int, int]  # buffer, queue


def sector_data(buffer: int, queue: int, sector: int) -> bytes:
    """What the buffer with serial number *buffer* of *queue* writes into *sector*: 512 bytes."""
    start = (buffer * 31 + queue * 17 + sector * 7) % 127
    stamp = _STAMP.pack(
        *(1 + buffer % 127, 1 + buffer // 127 % 127, 1 + (buffer // 16129 + queue * 5) % 127, 0x55, 0x2A),
        *(1 + sector % 127, 1 + sector // 127 % 127, 1 + sector // 16129 % 127, 0x2A, 0x55),
    )
    return stamp + _PATTERN[start : start + SECTOR - len(stamp)]


class Sectors:
    """A disk of *capacity* sectors; *forgets*: nothing written is kept, so nothing is ever known."""

    def __init__(self, capacity: int, forgets: bool) -> None:
        self._capacity = capacity
        self._forgets = forgets
        self._owner: dict[int, Place] = {}  # sector: the buffer whose data it holds, where that is known
        self._writes: dict[int, int] = {}  # sector: writes supplied so far
        self._pending: dict[int, int] = {}  # sector: of these, not yet answered
        self._undo: dict[int, tuple[int, Callable[[], None]]] = {}  # queue: the last buffer, if it writes

    def beyond(self, first: int, count: int) -> bool:
        """Whether the disk ends before these sectors do."""
        return first + count > self._capacity

    def supplied(self, buffer: int, queue: int) -> None:
        """*buffer* is supplied next: what had this number before found no room in the ring, so it never was."""
        last, undo = self._undo.pop(queue, (-1, None))
        if last == buffer and undo is not None:
            undo()

    def write(self, first: int, count: int, writer: Place) -> Callable[[bool], None]:
        """From now until the returned function is told whether it went well, nobody knows what is in these sectors."""
        if self._forgets:
            return lambda well: None
        sectors = range(first, first + count)
        before = {number: self._owner.pop(number) for number in sectors if number in self._owner}
        alone = [not self._pending.get(number, 0) for number in sectors]
        for number in sectors:
            self._writes[number] = self._writes.get(number, 0) + 1
            self._pending[number] = self._pending.get(number, 0) + 1
        stamps = [self._writes[number] for number in sectors]
        answered = False

        def undo() -> None:
            for number, stamp in zip(sectors, stamps, strict=True):
                self._pending[number] -= 1
                if self._writes[number] == stamp:  # else another queue wrote meanwhile: then it stays unknown
                    self._writes[number] -= 1
                    if number in before:
                        self._owner[number] = before[number]

        def answer(well: bool) -> None:
            nonlocal answered
            if answered:
                return
            answered = True
            for number, stamp, only in zip(sectors, stamps, alone, strict=True):
                self._pending[number] -= 1
                # Of writes that were on their way together, any may have come last: then it stays unknown.
                if only and well and self._writes[number] == stamp:
                    self._owner[number] = writer

        self._undo[writer[1]] = (writer[0], undo)
        return answer

    def read(self, first: int, count: int) -> Callable[[bytes], str]:
        """What is known now must be what comes, unless something is written meanwhile: says what is wrong, or ''."""
        owner = self._owner
        known = [(number, owner[number]) for number in range(first, first + count) if number in owner]

        def compare(data: bytes) -> str:
            for number, writer in known:
                place = (number - first) * SECTOR
                if owner.get(number) == writer and data[place : place + SECTOR] != sector_data(*writer, number):
                    return f"sector {number} does not read as buffer {writer[0]} wrote it"
            return ""

        return compare
