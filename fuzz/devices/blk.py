"""virtio-blk (5.2): reads, writes, flushes and the device's name, and whether the answers are right.

Knows requests, statuses and what was written where. Must not know rings, or which device answers.

What is on the disk at first is unknown: only sectors that this program wrote are compared, and only
while no other write could have changed them since. All data bytes are 0x01 to 0x7f and never eight
equal ones in a row, so that they can't be taken for the prefill of a buffer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

from fuzz.choices import Choices
from fuzz.devices import Message
from fuzz.program import Limits, Request

SECTOR = 512
_HEADER = struct.Struct("<IIQ")  # type, reserved, sector (5.2.6)
_TYPES = {"read": 0, "write": 1, "flush": 4, "get_id": 8}
_ID_BYTES = 20
_STATUSES = {0: "OK", 1: "IOERR", 2: "UNSUPP"}
_FEW_SECTORS = 4096  # of a device whose capacity nobody told us
_MOST_SECTORS = 1 << 13  # of one request that a person writes

# Any 512 bytes of it: a period of 127, so that each of 127 starting places gives another sector.
_PATTERN = bytes(1 + place * 53 % 127 for place in range(127)) * 6
_STAMP = struct.Struct("10B")
_Place = tuple[int, int]  # buffer, queue


def sector_data(buffer: int, queue: int, sector: int) -> bytes:
    """What the buffer with serial number *buffer* of *queue* writes into *sector*: 512 bytes."""
    start = (buffer * 31 + queue * 17 + sector * 7) % 127
    stamp = _STAMP.pack(
        *(1 + buffer % 127, 1 + buffer // 127 % 127, 1 + (buffer // 16129 + queue * 5) % 127, 0x55, 0x2A),
        *(1 + sector % 127, 1 + sector // 127 % 127, 1 + sector // 16129 % 127, 0x2A, 0x55),
    )
    return stamp + _PATTERN[start : start + SECTOR - len(stamp)]


class Device:
    """One run of one program. *hints*: capacity in sectors; forgets: 1 if nothing written is kept."""

    name = "blk"

    def __init__(self, hints: dict[str, int]) -> None:
        self._capacity = hints.get("capacity", _FEW_SECTORS)
        self._forgets = bool(hints.get("forgets", 0))
        self._owner: dict[int, _Place] = {}  # sector: the buffer whose data it holds, where that is known
        self._writes: dict[int, int] = {}  # sector: writes supplied so far
        self._pending: dict[int, int] = {}  # sector: of these, not yet answered
        self._undo: dict[int, tuple[int, Callable[[], None]]] = {}  # queue: the last buffer, if it writes

    # --- requests -----------------------------------------------------------------------------------------------------

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Mostly reads and writes of few sectors that collide, in all ways to cut them."""
        integer = choices.integer
        kind = ("read", "write", "read", "write", "read", "write", "flush", "get_id")[integer(0, 7)]
        if kind in ("flush", "get_id"):
            return Request(kind), self._cut(choices, 16, 1 if kind == "flush" else _ID_BYTES + 1)
        capacity = dict(limits.hints).get("capacity", _FEW_SECTORS)
        most = max(1, min(8, capacity))
        count = min(most, (1, 1, 1, 2, 3, 4, 7, 8)[integer(0, 7)])
        places = (integer(0, 3), integer(0, 16), capacity - count, capacity - count - integer(0, 8))
        sector = max(0, min(places[integer(0, 3)], capacity - count))
        request = Request(kind, (("sector", sector), ("length", count * SECTOR)))
        data = count * SECTOR
        return request, self._cut(choices, 16, data + 1) if kind == "read" else self._cut(choices, 16 + data, 1)

    @staticmethod
    def _cut(choices: Choices, readable: int, writable: int) -> tuple[int, ...]:
        """As drivers do it; in one piece; single bytes at either end; even pieces; ends off the boundaries."""
        integer = choices.integer
        style = integer(0, 6)
        if style == 0:  # header | data | status, as every driver does it
            return (16, readable - 16, 1) if readable > 16 else (16, writable - 1, 1) if writable > 1 else (16, 1)
        if style == 1:
            return ()
        if style == 2:
            return (1, 15, 0)
        if style == 3:
            return (integer(1, 15), integer(1, 3), 0)
        if style == 4:  # about as many pieces of one length
            return (max(1, (readable + writable) // integer(2, 8)),)
        if style == 5:
            return (16, (511, 513, 1, 512, 256)[integer(0, 4)], 0)
        if writable > 1:  # the status byte alone, or with the last byte of data
            return (0, max(1, writable - integer(1, 2)), 0)
        return (max(1, readable - 1), 1)

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        if request.kind not in _TYPES:
            return f"blk has no request {request.kind!r}; it has {', '.join(_TYPES)}"
        fields = dict(request.fields)
        takes = ("sector", "length") if request.kind in ("read", "write") else ()
        for name in fields:
            if name not in takes:
                return f"{request.kind} has no field {name!r}" + (f"; it has {' and '.join(takes)}" if takes else "")
        for name in takes:
            if name not in fields:
                return f"{request.kind} lacks {name}, as in «{request.kind} sector=0 length=512»"
        length = fields.get("length", SECTOR)
        if length <= 0 or length % SECTOR or length > _MOST_SECTORS * SECTOR:
            return f"length is a multiple of 512 up to {_MOST_SECTORS * SECTOR} (5.2.6.1), not {length}"
        if not 0 <= fields.get("sector", 0) < 1 << 64:
            return "sector is a 64-bit number"
        return None

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        last, undo = self._undo.pop(queue, (-1, None))
        if last == buffer and undo is not None:
            undo()  # what had this number found no room in the ring: it never was
        fields = dict(request.fields)
        sector = fields.get("sector", 0)
        count = fields.get("length", SECTOR) // SECTOR
        header = _HEADER.pack(_TYPES[request.kind], 0, sector)
        if request.kind == "read":
            return Message(header, count * SECTOR + 1, self._reader(sector, count))
        if request.kind == "write":
            data = b"".join([sector_data(buffer, queue, number) for number in range(sector, sector + count)])
            return Message(header + data, 1, self._writer(sector, count, (buffer, queue)))
        if request.kind == "get_id":
            return Message(header, _ID_BYTES + 1, _optional)
        return Message(header, 1, _optional)

    # --- answers ------------------------------------------------------------------------------------------------------

    def _beyond(self, sector: int, count: int) -> bool:
        return sector + count > self._capacity

    def _writer(self, sector: int, count: int, writer: _Place) -> Callable[[int, bytes], str]:
        """From now until it is answered, nobody knows what is in these sectors."""
        if self._forgets or self._beyond(sector, count):
            return partial(self._status, self._beyond(sector, count))
        sectors = range(sector, sector + count)
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

        def check(used: int, data: bytes) -> str:
            nonlocal answered
            wrong = _wrong_status(data)
            if answered:
                return wrong
            answered = True
            for number, stamp, only in zip(sectors, stamps, alone, strict=True):
                self._pending[number] -= 1
                # Of writes that were on their way together, any may have come last: then it stays unknown.
                if only and not wrong and self._writes[number] == stamp:
                    self._owner[number] = writer
            return wrong

        self._undo[writer[1]] = (writer[0], undo)
        return check

    def _reader(self, sector: int, count: int) -> Callable[[int, bytes], str]:
        """What is known now must be what comes, unless something is written meanwhile."""
        if self._forgets or self._beyond(sector, count):
            return partial(self._status, self._beyond(sector, count))
        owner = self._owner
        known = [(number, owner[number]) for number in range(sector, sector + count) if number in owner]

        def check(used: int, data: bytes) -> str:
            wrong = _wrong_status(data)
            if wrong:
                return wrong
            for number, writer in known:
                place = (number - sector) * SECTOR
                if owner.get(number) == writer and data[place : place + SECTOR] != sector_data(*writer, number):
                    return f"sector {number} does not read as buffer {writer[0]} wrote it"
            return ""

        return check

    @staticmethod
    def _status(beyond: bool, used: int, data: bytes) -> str:
        """A request about whose data nothing is known; *beyond* the end of the disk it may fail."""
        return "" if beyond and data[-1:] == b"\1" else _wrong_status(data)


def _wrong_status(data: bytes) -> str:
    status = data[-1] if data else -1
    return "" if status == 0 else f"status {status} ({_STATUSES.get(status, 'none of the specification')})"


def _optional(used: int, data: bytes) -> str:
    """A request that a device need not know."""
    return "" if data[-1:] == b"\2" else _wrong_status(data)
