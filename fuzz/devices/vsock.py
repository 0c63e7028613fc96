"""virtio-vsock (5.10): packets of stream sockets: what is sent on one queue, rooms on the other, events on the third.

Knows the packet's header. Must not know rings, or who answers. Nobody listens on the host, so whatever is sent may
be answered by a reset of the connection, or not at all.
"""

from __future__ import annotations

import struct

from fuzz.choices import Choices
from fuzz.devices import Message
from fuzz.devices.forms import Forms, cut, pick, values, words
from fuzz.program import Limits, Request

HEADER = struct.Struct("<QQIIIHHIII")  # src_cid, dst_cid, src_port, dst_port, len, type, op, flags, buf_alloc, fwd_cnt
HOST, GUEST = 2, 3
_STREAM = 1
_MOST = 1 << 16
_OPS = {"request": 1, "response": 2, "rst": 3, "shutdown": 4, "rw": 5, "credit_update": 6, "credit_request": 7}
_PORT = {"port": (0, 0xFFFFFFFF, 1234)}

FORMS: Forms = {
    **{kind: _PORT for kind in _OPS if kind != "rw"},
    "rw": {**_PORT, "length": (0, _MOST, 16)},
    "room": {"length": (HEADER.size, _MOST, 4096)},
    "event": {"length": (4, 64, 4)},
}
_LENGTHS = (0, 1, 16, 511, 512, 4096)


class Device:
    """One run of one program."""

    name = "vsock"

    def __init__(self, hints: dict[str, int]) -> None:
        """No packet depends on another."""

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Rooms to receive in on queue 0, packets on queue 1, rooms for events on queue 2."""
        if queue != 1:
            kind, least = ("room", 4096) if queue == 0 else ("event", 4)
            length = least if queue else pick(choices, (4096, 4096, HEADER.size + 64))
            whole = queue in limits.uncut
            return Request(kind, (("length", length),)), () if whole else cut(choices, 0, length, 0, 0)
        kind = tuple(_OPS)[choices.integer(0, len(_OPS) - 1)]
        fields = [("port", pick(choices, (1234, 0, 0xFFFFFFFF)))]
        if kind == "rw":
            fields.append(("length", pick(choices, _LENGTHS)))
        request = Request(kind, tuple(fields))
        whole = queue in limits.uncut
        return request, () if whole else cut(choices, len(self._packet(request)), 0, HEADER.size, 0)

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return words(self.name, FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*. Rooms are filled when there is something to receive, so none is owed."""
        if request.kind == "room":
            return Message(b"", values(FORMS, request)["length"], _received, completes=False)
        if request.kind == "event":
            return Message(b"", values(FORMS, request)["length"], completes=False)
        return Message(self._packet(request), 0)

    @staticmethod
    def _packet(request: Request) -> bytes:
        fields = values(FORMS, request)
        length = fields.get("length", 0)
        head = HEADER.pack(GUEST, HOST, 4000, fields["port"], length, _STREAM, _OPS[request.kind], 0, 1 << 16, 0)
        return head + bytes(place * 7 & 0x7F for place in range(length))


def _received(used: int, data: bytes) -> str:
    """What is wrong with a packet that came, or ''."""
    if used < HEADER.size or used > len(data):
        return f"a packet of {used} bytes, less than its header" if used < HEADER.size else ""
    source, target, _, _, length, kind, op, *_ = HEADER.unpack_from(data)
    if (source, target) != (HOST, GUEST):
        return f"a packet from {source} to {target} instead of {HOST} to {GUEST} (5.10.6)"
    if length > used - HEADER.size:
        return f"a packet that says {length} bytes follow its header, of which {used - HEADER.size} came"
    return "" if kind in (1, 2) and 1 <= op <= 7 else f"type {kind} and op {op} are not both of the specification"
