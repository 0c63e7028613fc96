"""virtio-net (5.1): frames to send on queue 1, room to receive on queue 0, and what may come back.

Knows frames and the header before each. Must not know rings, or which device answers. No feature bit
of the device class is negotiated, so a frame stands in one buffer, unsegmented and without checksum help.

scapy builds the frame once; after that numbers are patched into a copy. Losing frames is legal for a
network, so nothing is said about those that don't come: only about those that do.
"""

from __future__ import annotations

import struct
from functools import cache

from fuzz.choices import Choices
from fuzz.devices import Message
from fuzz.program import Limits, Request

HEADER = 12  # bytes of virtio_net_hdr with VERSION_1 (5.1.6)
_NET_HEADER = struct.Struct("<BBHHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers
MIN_FRAME = 54  # Ethernet, IP and UDP headers, then what tells frames apart
MAX_FRAME = 1514
MIN_ROOM = 1526  # 5.1.6.3.1: a receive buffer is at least so large
_MAX_ROOM = 65562
_IP_LENGTH = 16  # where in the frame: 16-bit fields that depend on its length
_IP_CHECKSUM = 24
_UDP_LENGTH = 38
_STAMP = 42  # where the UDP payload begins
_MARK = b"vqfz"
_NUMBER = struct.Struct(">4sQ")  # mark, serial number + 1
_PATTERN = bytes(1 + place * 53 % 127 for place in range(127)) * 14
_LENGTH = struct.Struct(">H")


@cache
def template() -> bytes:
    """A frame of the greatest length, with neither number nor length nor checksum in it; UDP goes without one."""
    from scapy.layers.inet import IP, UDP  # late: half a second
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    ethernet = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
    udp = UDP(sport=4242, dport=4243, chksum=0)
    data = _PATTERN[: MAX_FRAME - _STAMP]
    return bytes(ethernet / IP(src="192.0.2.1", dst="192.0.2.2", len=0, chksum=0) / udp / Raw(data))


@cache
def _header_sum() -> int:
    """The sum of the IP header's words, to which the length is still to be added (RFC 1071)."""
    return sum(struct.unpack_from(">10H", template(), 14))


def frame(number: int, length: int) -> bytes:
    """The frame that the buffer with serial number *number* sends, *length* bytes from MIN_FRAME to MAX_FRAME."""
    data = bytearray(template()[:length])
    total = _header_sum() + length - 14
    _LENGTH.pack_into(data, _IP_LENGTH, length - 14)
    _LENGTH.pack_into(data, _IP_CHECKSUM, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    _LENGTH.pack_into(data, _UDP_LENGTH, length - 34)
    _NUMBER.pack_into(data, _STAMP, _MARK, number + 1)
    return bytes(data)


class Device:
    """One run of one program.

    *hints*: echo: 1 if frames that come were sent by us, in that order; num_buffers: 0 if the device is known
    not to set that field, which would hide everything else.
    """

    name = "net"

    def __init__(self, hints: dict[str, int]) -> None:
        self._echo = bool(hints.get("echo", 0))
        self._num_buffers = bool(hints.get("num_buffers", 1))
        self._sent: dict[int, int] = {}  # buffer: length of its frame
        self._last = -1  # buffer whose frame came last

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Frames and rooms of lengths around the boundaries, cut in many ways."""
        integer = choices.integer
        if queue == 0:
            room = (MIN_ROOM, MIN_ROOM, MIN_ROOM + 1, 2048, 4096)[integer(0, 4)]
            return Request("room", (("length", room),)), () if queue in limits.uncut else self._cut(choices, room)
        lengths = (MIN_FRAME, 60, 64, 128, 511, 512, 1024, MAX_FRAME - 1, MAX_FRAME, integer(MIN_FRAME, MAX_FRAME))
        length = lengths[integer(0, len(lengths) - 1)]
        return Request("frame", (("length", length),)), self._cut(choices, HEADER + length)

    @staticmethod
    def _cut(choices: Choices, total: int) -> tuple[int, ...]:
        """One piece; header apart; header in pieces; even pieces; a short end."""
        integer = choices.integer
        style = integer(0, 5)
        if style == 0:
            return ()
        if style == 1:
            return (HEADER, 0)
        if style == 2:
            return (integer(1, HEADER - 1), 0)
        if style == 3:
            return (1, integer(1, 10), 1, 0)
        if style == 4:
            return (max(1, total // integer(2, 8)),)
        return (total - integer(1, 3), 1)

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        bounds = {"frame": (MIN_FRAME, MAX_FRAME), "room": (MIN_ROOM, _MAX_ROOM)}.get(request.kind)
        if bounds is None:
            return f"net has no request {request.kind!r}; it has frame (queue 1) and room (queue 0)"
        fields = dict(request.fields)
        for name in fields:
            if name != "length":
                return f"{request.kind} has no field {name!r}; it has length"
        low, high = bounds
        if not low <= fields.get("length", low) <= high:
            return f"length of {request.kind} is {low} to {high}, not {fields['length']}"
        return None

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        length = dict(request.fields).get("length")
        if request.kind == "frame":
            data = frame(buffer, length or MIN_FRAME)
            self._sent[buffer] = len(data)
            return Message(bytes(HEADER) + data, 0)
        return Message(b"", length or MIN_ROOM, self._received, completes=False)

    def _received(self, used: int, data: bytes) -> str:
        """What is wrong with a frame that came, or ''."""
        if not HEADER <= used <= len(data):
            return ""  # the ring's rules say what there is to say, or it is a skipped buffer
        flags, kind, _, _, _, _, buffers = _NET_HEADER.unpack_from(data)
        if flags or kind:
            return f"header flags {flags}, gso_type {kind} where nothing was negotiated (5.1.6.4.1)"
        if buffers != 1 and self._num_buffers:
            return f"num_buffers {buffers} without MRG_RXBUF (5.1.6.4.1)"
        return self._echoed(data[HEADER:used]) if self._echo else ""

    def _echoed(self, data: bytes) -> str:
        mark, number = _NUMBER.unpack_from(data, _STAMP) if len(data) >= MIN_FRAME else (b"", 0)
        buffer = number - 1
        length = self._sent.get(buffer)
        if mark != _MARK or length is None:
            return f"a frame of {len(data)} bytes that nobody sent"
        if data != frame(buffer, length):
            return f"the frame of buffer {buffer} came back changed"
        if buffer <= self._last:
            return f"the frame of buffer {buffer} came after that of buffer {self._last}"
        self._last = buffer
        return ""
