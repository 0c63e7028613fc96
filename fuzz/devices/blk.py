"""virtio-blk (5.2): reads, writes, flushes and the device's name, and whether the answers are right.

Knows requests, statuses and what was written where. Must not know rings, or which device answers.

What is on the disk is known to ``fuzz.devices.sectors``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from fuzz.choices import Choices
from fuzz.devices import Message
from fuzz.devices.sectors import SECTOR, Place, Sectors, sector_data
from fuzz.program import Limits, Request

_HEADER = struct.Struct("<IIQ")  # type, reserved, sector (5.2.6)
_TYPES = {"read": 0, "write": 1, "flush": 4, "get_id": 8}
_ID_BYTES = 20
_STATUSES = {0: "OK", 1: "IOERR", 2: "UNSUPP"}
_FEW_SECTORS = 4096  # of a device whose capacity nobody told us
_MOST_SECTORS = 1 << 13  # of one request that a person writes


class Device:
    """One run of one program. *hints*: capacity in sectors; forgets: 1 if nothing written is kept."""

    name = "blk"

    def __init__(self, hints: dict[str, int]) -> None:
        self._sectors = Sectors(hints.get("capacity", _FEW_SECTORS), bool(hints.get("forgets", 0)))

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
        self._sectors.supplied(buffer, queue)
        fields = dict(request.fields)
        sector = fields.get("sector", 0)
        count = fields.get("length", SECTOR) // SECTOR
        header = _HEADER.pack(_TYPES[request.kind], 0, sector)
        beyond = self._sectors.beyond(sector, count)
        if request.kind == "read":
            return Message(header, count * SECTOR + 1, self._reader(sector, count), fails=beyond)
        if request.kind == "write":
            data = b"".join([sector_data(buffer, queue, number) for number in range(sector, sector + count)])
            return Message(header + data, 1, self._writer(sector, count, (buffer, queue)), fails=beyond)
        if request.kind == "get_id":
            return Message(header, _ID_BYTES + 1, _optional)
        return Message(header, 1, _optional)

    # --- answers ------------------------------------------------------------------------------------------------------

    def _writer(self, sector: int, count: int, writer: Place) -> Callable[[int, bytes], str]:
        if self._sectors.beyond(sector, count):
            return _beyond
        answered = self._sectors.write(sector, count, writer)

        def check(used: int, data: bytes) -> str:
            wrong = _wrong_status(data)
            answered(not wrong)
            return wrong

        return check

    def _reader(self, sector: int, count: int) -> Callable[[int, bytes], str]:
        if self._sectors.beyond(sector, count):
            return _beyond
        compare = self._sectors.read(sector, count)
        return lambda used, data: _wrong_status(data) or compare(data)


def _wrong_status(data: bytes) -> str:
    status = data[-1] if data else -1
    return "" if status == 0 else f"status {status} ({_STATUSES.get(status, 'none of the specification')})"


def _beyond(used: int, data: bytes) -> str:
    """A request for what lies behind the end of the disk, which may fail."""
    return "" if data[-1:] == b"\1" else _wrong_status(data)


def _optional(used: int, data: bytes) -> str:
    """A request that a device need not know."""
    return "" if data[-1:] == b"\2" else _wrong_status(data)
