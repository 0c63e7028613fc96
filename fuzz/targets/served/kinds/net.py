"""virtio-net (5.1) for drivers: frames that we receive and forget, and frames that we send.

A frame goes to everybody, in a protocol for experiments; its sender's address has the serial number of the buffer.
"""

from __future__ import annotations

from fuzz.targets.served.kinds import MARK, clamp, lines

RX, TX = 0, 1
_MAC, _MRG_RXBUF, _STATUS = 1 << 5, 1 << 15, 1 << 16
HEADER = bytes(10) + b"\1\0"  # of a frame that lies in one buffer (5.1.6)
_LEAST = len(HEADER) + 60
_PROTOCOL = b"\x88\xb5"  # IEEE 802, local experiments
ADDRESS = b"\x02\x76\x71\x66\x7a\x01"


class Device:
    """A card with one pair of queues, whose link is up."""

    name = "net"
    queues = 2
    features = _MAC | _MRG_RXBUF | _STATUS
    config = ADDRESS + b"\1\0" + b"\1\0"
    about: tuple[int, ...] = (TX, RX)
    gives: tuple[int, ...] = (RX,)

    def fill(self, queue: int, number: int, readable: bytes, room: int, length: int | None) -> bytes:
        """A frame for the driver, into a buffer of the receive queue."""
        if queue != RX or not room:
            return b""
        return (HEADER + frame(number, clamp(length, _LEAST, room) - len(HEADER)))[:room]

    def answer(self, queue: int, number: int, readable: bytes, room: int) -> bytes | None:
        """What is sent, is used; there is nothing to receive."""
        return b"" if queue == TX else None

    def traces(self, queue: int, data: bytes) -> list[bytes]:
        """The frame."""
        return [data[len(HEADER) :][:MARK]] if queue == RX else []

    def speaks(self, queue: int) -> bool:
        """A driver that comes up is never kept waiting."""
        return True

    def wanted(self, queue: int, tag: int) -> bytes:
        """Nobody asks for anything in particular."""
        return b""


def frame(number: int, length: int) -> bytes:
    """A frame of *length* bytes, which tells the serial number of the buffer in its first 16."""
    head = b"\xff" * 6 + b"\x02\0" + (number & 0xFFFFFFFF).to_bytes(4, "big") + _PROTOCOL
    return (head + lines(number, max(0, length - len(head))))[: max(0, length)]
