"""virtio-vsock (5.10) for drivers: a host that accepts every stream, and sends as much as it is allowed to.

Knows packets, streams and their credit. What a used receive buffer says is the next thing that the host has to say;
if that is nothing, it is data for a stream that is open, or a reset of one that never was, which drivers ignore.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from fuzz.devices.vsock import GUEST, HEADER, HOST
from fuzz.targets.served.kinds import MARK, clamp, lines

RX, TX, EVENT = 0, 1, 2
_STREAM = 1
_REQUEST, _RESPONSE, _RST, _SHUTDOWN, _RW, _CREDIT_UPDATE, _CREDIT_REQUEST = 1, 2, 3, 4, 5, 6, 7
_ROOM = 1 << 18  # bytes that we take of a stream before it must wait


@dataclass(slots=True)
class Stream:
    """A stream as the host knows it: what the guest has room for, and how much went either way."""

    room: int
    taken: int
    sent: int = 0
    received: int = 0
    told: int = 0  # of what was received, in the last packet for the guest

    def credit(self) -> int:
        """How many bytes may be sent (5.10.6.3)."""
        return max(0, self.room - (self.sent - self.taken & 0xFFFFFFFF))


class Device:
    """A socket device; the guest has the usual address."""

    name = "vsock"
    queues = 3
    features = 1  # VIRTIO_VSOCK_F_STREAM
    config = struct.pack("<Q", GUEST)
    about: tuple[int, ...] = (RX, TX)
    gives: tuple[int, ...] = (RX,)

    def __init__(self) -> None:
        self.pending: deque[bytes] = deque()
        self.streams: dict[tuple[int, int], Stream] = {}  # by the host's port and the guest's

    # -- what the guest says

    def heard(self, packet: bytes) -> None:
        """A packet of the guest: what the host has to say to it."""
        if len(packet) < HEADER.size:
            return
        _, _, port, own, length, kind, op, _, room, taken = HEADER.unpack_from(packet)
        key = (own, port)
        stream = self.streams.get(key)
        if kind != _STREAM or (stream is None and op not in (_REQUEST, _RST)):
            self._say(key, _RST)
            return
        if op == _RST:
            self.streams.pop(key, None)
        elif op == _REQUEST:
            self.streams.pop(key, None)
            self.streams[key] = Stream(room, taken)
            self._say(key, _RESPONSE)
        elif stream is not None:
            stream.room, stream.taken = room, taken
            if op == _SHUTDOWN:
                self._say(key, _RST)
                self.streams.pop(key, None)
            elif op == _RW:
                stream.received = stream.received + length & 0xFFFFFFFF
                if (stream.received - stream.told & 0xFFFFFFFF) > _ROOM // 4:  # else our next data tells it
                    self._say(key, _CREDIT_UPDATE)
            elif op == _CREDIT_REQUEST:
                self._say(key, _CREDIT_UPDATE)

    def _say(self, key: tuple[int, int], op: int) -> None:
        self.pending.append(self.packet(key, op, b""))

    def packet(self, key: tuple[int, int], op: int, data: bytes) -> bytes:
        """A packet of the host on a stream."""
        stream = self.streams.get(key)
        taken = stream.received if stream is not None else 0
        if stream is not None:
            stream.told = taken
        return HEADER.pack(HOST, GUEST, *key, len(data), _STREAM, op, 0, _ROOM, taken) + data

    # -- what is written

    def fill(self, queue: int, number: int, readable: bytes, room: int, length: int | None) -> bytes:
        """The next packet, in a buffer of the receive queue."""
        if queue == TX:
            self.heard(readable)
        if queue != RX or room < HEADER.size:
            return b""
        size = clamp(length, HEADER.size, room)
        packet = self.pending.popleft() if self.pending else self._data(number, size - HEADER.size)
        return packet.ljust(size, b"\0") if length is None else packet

    def _data(self, number: int, size: int) -> bytes:
        """Data for the stream that was opened last of those that have credit."""
        for key, stream in reversed(self.streams.items()):
            data = lines(number, min(size, stream.credit()) // MARK * MARK)
            if data:
                stream.sent = stream.sent + len(data) & 0xFFFFFFFF
                return self.packet(key, _RW, data)
        return self.packet((1, 1), _RST, b"")

    def answer(self, queue: int, number: int, readable: bytes, room: int) -> bytes | None:
        """Take packets; say what there is to say; there are no events."""
        if queue == TX:
            self.heard(readable)
            return b""
        return self.pending.popleft()[:room] if queue == RX and self.pending and room >= HEADER.size else None

    def traces(self, queue: int, data: bytes) -> list[bytes]:
        """The data of a packet that has some."""
        if queue != RX or len(data) < HEADER.size:
            return []
        length = HEADER.unpack_from(data)[4]
        data = data[HEADER.size :][:length]
        return [data[at : at + MARK] for at in range(0, len(data), MARK)]

    def speaks(self, queue: int) -> bool:
        """A receive buffer waits until there is something to say: else a driver would be out of them soon."""
        return queue != RX or bool(self.pending)

    def wanted(self, queue: int, tag: int) -> bytes:
        """Nobody asks for anything in particular."""
        return b""
