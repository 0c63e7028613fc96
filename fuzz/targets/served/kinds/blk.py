"""virtio-blk (5.2) for drivers: requests with a header, data, and a status byte that is written last.

Reads give, in each 16 bytes of a sector, which sector it is and which buffer it was read with. What is written to the
disk is accepted and forgotten.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from fuzz.targets.served.kinds import MARK, mark

SECTOR = 512
CAPACITY = 1 << 21  # sectors
_SEG_MAX, _BLK_SIZE, _FLUSH = 1 << 2, 1 << 6, 1 << 9
_IN, _OUT, _FLUSH_IT, _GET_ID, _DISCARD, _WRITE_ZEROES = 0, 1, 4, 8, 11, 13
_OK, _IOERR, _UNSUPP = 0, 1, 2
_HEADER = struct.Struct("<IIQ")
_SEGMENTS = 62  # of a request, so that it fits in rings of 64
#: capacity, size_max, seg_max, geometry, blk_size, topology, writeback, unused, num_queues (5.2.4)
_CONFIG = struct.Struct("<QIIHBBIBBHIBBH")


class Device:
    """A disk. *fixed*: sectors with contents of their own, by number."""

    name = "blk"
    queues = 1
    features = _SEG_MAX | _BLK_SIZE | _FLUSH
    config = _CONFIG.pack(CAPACITY, 0, _SEGMENTS, 0, 0, 0, SECTOR, 0, 0, 0, 0, 0, 0, 1)
    about: tuple[int, ...] = (0,)
    gives: tuple[int, ...] = (0,)

    def __init__(self, fixed: Mapping[int, bytes] | None = None) -> None:
        self.fixed = dict(fixed or {})

    def fill(self, queue: int, number: int, readable: bytes, room: int, length: int | None) -> bytes:
        """Data and status; the status is the last byte, so everything is written."""
        if not room:
            return b""
        data, status = self._request(readable, number, room - 1)
        return data[: room - 1].ljust(room - 1, b"\0") + bytes([status])

    def _request(self, readable: bytes, number: int, room: int) -> tuple[bytes, int]:
        if len(readable) < _HEADER.size:
            return b"", _IOERR
        kind, _, sector = _HEADER.unpack_from(readable)
        if kind == _IN:
            if room % SECTOR or sector + room // SECTOR > CAPACITY:
                return b"", _IOERR
            return b"".join(self.sector(sector + place, number) for place in range(room // SECTOR)), _OK
        if kind == _GET_ID:
            return b"vqfuzz", _OK
        return b"", _OK if kind in (_OUT, _FLUSH_IT, _DISCARD, _WRITE_ZEROES) else _UNSUPP

    def sector(self, sector: int, number: int) -> bytes:
        """What a sector reads as, with the buffer of this serial number."""
        return self.fixed.get(sector) or mark(sector, number) * (SECTOR // MARK)

    def answer(self, queue: int, number: int, readable: bytes, room: int) -> bytes | None:
        """Every request is answered at once."""
        return self.fill(queue, number, readable, room, None)

    def traces(self, queue: int, data: bytes) -> list[bytes]:
        """Each sector that was read."""
        return [data[at : at + MARK] for at in range(0, len(data) - SECTOR, SECTOR)]

    def speaks(self, queue: int) -> bool:
        """A driver that comes up is never kept waiting."""
        return True

    def wanted(self, queue: int, tag: int) -> bytes:
        """The sector's own number, or the beginning of what it has."""
        return self.sector(tag, 0)[:8]
