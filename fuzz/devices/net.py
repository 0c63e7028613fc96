"""virtio-net (5.1): frames to send on queue 1, room to receive on queue 0, commands on queue 2, and what may come back.

Knows frames, the header before each, and the control queue. Must not know rings, or which device answers. No
offload is negotiated, so a frame comes unsegmented and without checksum help; with MRG_RXBUF it may be spread over
several buffers.

scapy builds the frame once; after that numbers are patched into a copy. Losing frames is legal for a
network, so nothing is said about those that don't come: only about those that do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache, partial

from fuzz.choices import Choices
from fuzz.devices import Message
from fuzz.program import Limits, Request

FULL, TOGETHER = "DT-NET-MRG-FULL", "DT-NET-MRG-TOGETHER"  # rules for frames in several buffers (5.1.6.4.1)
HEADER = 12  # bytes of virtio_net_hdr with VERSION_1 (5.1.6)
_NET_HEADER = struct.Struct("<BBHHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers
MIN_FRAME = 54  # Ethernet, IP and UDP headers, then what tells frames apart
MAX_FRAME = 1514
MIN_ROOM = 1526  # 5.1.6.3.1: a receive buffer is at least so large without MRG_RXBUF, else as large as the header
_MAX_ROOM = 65562
_SMALL_ROOMS = (HEADER, HEADER + 1, HEADER + MIN_FRAME, 128, 256, 526, MIN_ROOM, MIN_ROOM, 2048, 4096)
_IP_LENGTH = 16  # where in the frame: 16-bit fields that depend on its length
_IP_CHECKSUM = 24
_UDP_LENGTH = 38
_STAMP = 42  # where the UDP payload begins
SENT, PEERS = b"vqfz", b"peer"  # marks of frames: sent by a buffer, or by the peer on its own account
_NUMBER = struct.Struct(">4sQ")  # mark, number + 1
_PATTERN = bytes(1 + place * 53 % 127 for place in range(127)) * 14
_LENGTH = struct.Struct(">H")

#: Commands (5.1.6.5): class, command, feature bit that allows it; highest value of each field.
_CONTROLS: dict[str, tuple[int, int, int, dict[str, int]]] = {
    "promisc": (0, 0, 18, {"on": 1}),
    "allmulti": (0, 1, 18, {"on": 1}),
    "alluni": (0, 2, 20, {"on": 1}),
    "nomulti": (0, 3, 20, {"on": 1}),
    "nouni": (0, 4, 20, {"on": 1}),
    "nobcast": (0, 5, 20, {"on": 1}),
    "mac_table": (1, 0, 18, {"unicast": 127, "multicast": 127}),
    "mac_address": (1, 1, 23, {"number": 127}),
    "vlan_add": (2, 0, 19, {"id": 4095}),
    "vlan_del": (2, 1, 19, {"id": 4095}),
}
_TABLE_LENGTHS = (0, 0, 1, 2, 3, 20, 63, 64, 65, 127)


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


def frame(number: int, length: int, mark: bytes = SENT) -> bytes:
    """Frame *number* of those with this *mark*, *length* bytes from MIN_FRAME to MAX_FRAME.

    The number of a frame that was sent is the serial number of the buffer that it was in.
    """
    data = bytearray(template()[:length])
    total = _header_sum() + length - 14
    _LENGTH.pack_into(data, _IP_LENGTH, length - 14)
    _LENGTH.pack_into(data, _IP_CHECKSUM, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    _LENGTH.pack_into(data, _UDP_LENGTH, length - 34)
    _NUMBER.pack_into(data, _STAMP, mark, number + 1)
    return bytes(data)


class Device:
    """One run of one program.

    *hints*: echo: 1 if frames that come were sent by us, in that order; peer: 1 if some come from a peer that counts
    its own; num_buffers: 0 if the device is known not to set that field, which would hide everything else;
    mrg_rxbuf: 1 if that is negotiated; control: feature bits that allow commands.
    """

    name = "net"

    def __init__(self, hints: dict[str, int]) -> None:
        self._echo = bool(hints.get("echo", 0))
        self._peer = bool(hints.get("peer", 0))
        self._num_buffers = bool(hints.get("num_buffers", 1))
        self._merges = bool(hints.get("mrg_rxbuf", 0))
        self._control = hints.get("control", 0)
        self._sent: dict[int, int] = {}  # buffer: length of its frame
        self._last = {SENT: -1, PEERS: -1}  # number of the frame that came last
        self._parts: list[bytes] = []  # of a frame of which buffers are still missing
        self._missing = 0
        self._next = -1  # buffer that has the next part
        self._spoilt = False  # something was said of that frame already

    # --- requests -----------------------------------------------------------------------------------------------------

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Frames and rooms of lengths around the boundaries, and commands, cut in many ways."""
        integer = choices.integer
        hints = dict(limits.hints)
        if queue == 0:
            rooms = _SMALL_ROOMS if hints.get("mrg_rxbuf", 0) else (MIN_ROOM, MIN_ROOM, MIN_ROOM + 1, 2048, 4096)
            room = rooms[integer(0, len(rooms) - 1)]
            return Request("room", (("length", room),)), () if queue in limits.uncut else self._cut(choices, room)
        if queue > 1:
            return self._command(choices, hints.get("control", 0))
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

    @staticmethod
    def _command(choices: Choices, allowed: int) -> tuple[Request, tuple[int, ...]]:
        """A command, in as many pieces as Linux has for it, or otherwise."""
        integer = choices.integer
        kinds = [kind for kind, (_, _, bit, _) in _CONTROLS.items() if allowed >> bit & 1] or list(_CONTROLS)
        kind = kinds[integer(0, len(kinds) - 1)]
        fields = []
        for name, most in _CONTROLS[kind][3].items():
            among = _TABLE_LENGTHS if kind == "mac_table" else (0, 1, most, integer(0, most))
            fields.append((name, among[integer(0, len(among) - 1)]))
        total = len(_data(kind, dict(fields))) + 3
        cuts = ((2, 0), (), (1, 1, 0), (1, 0), (2, integer(1, 6), 0), (max(1, total // integer(2, 8)),))
        return Request(kind, tuple(fields)), cuts[integer(0, len(cuts) - 1)]

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        kind = request.kind
        if kind in _CONTROLS:
            bounds = {name: (0, most) for name, most in _CONTROLS[kind][3].items()}
        elif kind in ("frame", "room"):
            bounds = {"length": (MIN_FRAME, MAX_FRAME) if kind == "frame" else (HEADER, _MAX_ROOM)}
        else:
            return f"net has no request {kind!r}; it has room (queue 0), frame (queue 1), and {', '.join(_CONTROLS)}"
        for name, value in request.fields:
            if name not in bounds:
                return f"{kind} has no field {name!r}; it has {' and '.join(bounds)}"
            low, high = bounds[name]
            if not low <= value <= high:
                return f"{name} of {kind} is {low} to {high}, not {value}"
        return None

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*. A room that only MRG_RXBUF allows is as large as it must be without."""
        fields = dict(request.fields)
        if request.kind == "frame":
            data = frame(buffer, fields.get("length", MIN_FRAME))
            self._sent[buffer] = len(data)
            return Message(bytes(HEADER) + data, 0)
        if request.kind == "room":
            room = max(fields.get("length", MIN_ROOM), HEADER if self._merges else MIN_ROOM)
            check = partial(self._received, buffer)
            return Message(b"", room, check, completes=False, together=self._all_there)
        group, command, bit, _ = _CONTROLS[request.kind]
        acknowledged: Callable[[int, bytes], str] = _acknowledged if self._control >> bit & 1 else _answered
        return Message(bytes((group, command)) + _data(request.kind, fields), 1, acknowledged)

    # --- answers ------------------------------------------------------------------------------------------------------

    def _received(self, buffer: int, used: int, data: bytes) -> str:
        """What is wrong with what came in *buffer*, or ''."""
        if used > len(data):
            return ""  # the ring's rules say what there is to say
        if self._missing and buffer == self._next:
            self._missing -= 1
            return self._part(buffer, data[:used], len(data))
        self._missing = 0  # a reset took the rest, perhaps
        if used < HEADER:
            return ""
        flags, kind, _, _, _, _, buffers = _NET_HEADER.unpack_from(data)
        if flags or kind:
            return f"header flags {flags}, gso_type {kind} where nothing was negotiated (5.1.6.4.1)"
        if self._num_buffers and (not buffers if self._merges else buffers != 1):
            return f"num_buffers {buffers} with{'' if self._merges else 'out'} MRG_RXBUF (5.1.6.4.1)"
        self._parts.clear()
        self._spoilt = False
        self._missing = buffers - 1 if self._merges else 0
        return self._part(buffer, data[HEADER:used], len(data) - HEADER)

    def _part(self, buffer: int, data: bytes, room: int) -> str:
        """The next part of a frame: all but the last fill their buffers (5.1.6.4.1)."""
        self._parts.append(data)
        self._next = buffer + 1
        if not self._missing:
            return "" if self._spoilt else self._frame(b"".join(self._parts))
        if len(data) == room or self._spoilt:
            return ""
        self._spoilt = True
        return f"{FULL}: {room - len(data)} bytes are left, and yet {self._missing} more buffers belong to the frame"

    def _all_there(self) -> str:
        """A frame's buffers are used together (5.1.6.4.1): none may be missing when those that came were checked."""
        if not self._missing or self._spoilt:
            return ""
        self._spoilt = True
        return f"{TOGETHER}: {self._missing} more buffers belong to the frame, and are not used"

    def _frame(self, data: bytes) -> str:
        """What is wrong with a whole frame that came, or ''."""
        mark, number = _NUMBER.unpack_from(data, _STAMP) if len(data) >= MIN_FRAME else (b"", 0)
        number -= 1
        if self._peer and mark == PEERS:
            whose, length = f"frame {number} of the peer", len(data)
        elif not self._echo:
            return ""
        elif mark != SENT or number not in self._sent:
            return f"a frame of {len(data)} bytes that nobody sent"
        else:
            whose, length = f"the frame of buffer {number}", self._sent[number]
        if length > MAX_FRAME or data != frame(number, length, mark):
            return f"{whose} came {'back ' if mark == SENT else ''}changed"
        last = self._last[mark]
        if number <= last:
            return f"{whose} came after that of buffer {last}" if mark == SENT else f"{whose} came after frame {last}"
        self._last[mark] = number
        return ""


def _data(kind: str, fields: dict[str, int]) -> bytes:
    """What a command has behind its class and command."""
    values = [fields.get(name, 0) for name in _CONTROLS[kind][3]]
    if kind == "mac_table":  # le32 entries, then the addresses; first unicast, then multicast (5.1.6.5.2)
        one, many = (b"\x02\0\0\0\0", b"\x01\0\x5e\0\0")
        tables = [(one, values[0]), (many, values[1])]
        return b"".join(
            struct.pack("<I", count) + b"".join(start + bytes((place,)) for place in range(count))
            for start, count in tables
        )
    if kind == "mac_address":
        return b"\x02\0\0\0\0" + bytes(values)
    return struct.pack("<H", values[0]) if kind.startswith("vlan") else bytes(values)


def _acknowledged(used: int, data: bytes) -> str:
    """5.1.6.5: a command that was negotiated and is well formed succeeds."""
    return "" if data[:1] == b"\0" else f"ack {data[0] if data else -1}, not VIRTIO_NET_OK (5.1.6.5)"


def _answered(used: int, data: bytes) -> str:
    """A command that the device need not know."""
    return "" if data[:1] in (b"\0", b"\1") else f"ack {data[0] if data else -1}, neither OK nor ERR (5.1.6.5)"
