"""virtio-fs (5.11): FUSE requests, one a buffer, and whether an answer fits its question.

Knows FUSE as far as a request needs it. Must not know rings, or which device answers. Any request may be answered by
an error: what is checked is that an answer is one, that it is whole, and that it belongs to its question.
"""

from __future__ import annotations

import struct
from functools import partial

from fuzz.choices import Choices
from fuzz.devices import Message
from fuzz.devices.forms import Forms, cut, pick, values, words
from fuzz.program import Limits, Request

_IN = struct.Struct("<IIQQIIIHH")  # len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding
_OUT = struct.Struct("<IiQ")  # len, error, unique
_ROOT = 1
_ROOM = (0, 512, 0)  # bytes of room that no answer needs
_NODE = {"node": (0, 1 << 40, _ROOT), "room": _ROOM}

FORMS: Forms = {
    "init": {"minor": (0, 64, 38), "room": _ROOM},
    "lookup": {**_NODE, "length": (1, 255, 4)},
    "getattr": _NODE,
    "statfs": _NODE,
    "access": _NODE,
    "opendir": _NODE,
    "unknown": {"opcode": (5000, 60000, 9999), "room": _ROOM},
    "forget": {"node": (0, 1 << 40, _ROOT)},
}
_KINDS = ("init", "lookup", "getattr", "statfs", "getattr", "lookup", "access", "opendir", "unknown")
_NODES = (_ROOT, _ROOT, _ROOT, 0, 2, 1 << 32)
#: opcode, bytes of the answer behind its header
_OPCODES = {"init": (26, 64), "lookup": (1, 128), "getattr": (3, 104), "statfs": (17, 80), "access": (34, 0),
            "opendir": (27, 16), "forget": (2, 0)}  # fmt: skip


class Device:
    """One run of one program."""

    name = "fs"

    def __init__(self, hints: dict[str, int]) -> None:
        """There is nothing to remember: no request depends on another."""

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Requests on queue 1; on queue 0, for what is urgent, only those that are never answered (5.11.6.2)."""
        if queue == 0:
            return Request("forget", (("node", pick(choices, _NODES)),)), cut(choices, _IN.size + 8, 0, _IN.size)
        kind = pick_kind(choices)
        fields: list[tuple[str, int]] = []
        if kind == "init":
            fields.append(("minor", (38, 31, 27, 38)[choices.integer(0, 3)]))
        elif kind != "unknown":
            fields.append(("node", pick(choices, _NODES)))
        if kind == "lookup":
            fields.append(("length", pick(choices, (1, 4, 255))))
        if choices.integer(0, 3) == 3:
            fields.append(("room", pick(choices, (1, 64, 512))))
        request = Request(kind, tuple(fields))
        readable, writable = len(self._question(request, 0)), self._room(request)
        return request, cut(choices, readable, writable, _IN.size, 0)

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return words(self.name, FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        question = self._question(request, buffer)
        if request.kind == "forget":
            return Message(question, 0)
        return Message(question, self._room(request), partial(_answer, _unique(buffer)))

    @staticmethod
    def _room(request: Request) -> int:
        fields = values(FORMS, request)
        return 0 if request.kind == "forget" else _OUT.size + _OPCODES.get(request.kind, (0, 0))[1] + fields["room"]

    @staticmethod
    def _question(request: Request, buffer: int) -> bytes:
        fields = values(FORMS, request)
        kind = request.kind
        body = b""
        if kind == "init":
            body = struct.pack("<IIII", 7, fields["minor"], 4096, 0) + bytes(48 if fields["minor"] >= 36 else 0)
        elif kind == "lookup":
            body = b"x" * fields["length"] + b"\0"
        elif kind in ("getattr", "forget", "access", "opendir"):
            body = bytes(16 if kind == "getattr" else 8)
        opcode = fields["opcode"] if kind == "unknown" else _OPCODES[kind][0]
        node = fields.get("node", _ROOT)
        head = _IN.pack(_IN.size + len(body), opcode, _unique(buffer), node, 0, 0, 1, 0, 0)
        return head + body


def pick_kind(choices: Choices) -> str:
    """A kind of request for the request queue."""
    return _KINDS[choices.integer(0, len(_KINDS) - 1)]


def _unique(buffer: int) -> int:
    """The number of the request in this buffer."""
    return 2 * (buffer + 1)


def _answer(unique: int, used: int, data: bytes) -> str:
    """What is wrong with an answer, or ''."""
    if len(data) < _OUT.size or used < _OUT.size:
        return f"the answer has {used} bytes, less than its header"
    length, error, number = _OUT.unpack_from(data)
    if number != unique:
        return f"the answer is to request {number}, not {unique}"
    if length > len(data):
        return f"the answer says that it has {length} bytes, where there is room for {len(data)}"
    if error > 0 or error < -4095:
        return f"error {error} is none"
    return f"the answer fails with {error}, and has {length} bytes" if error and length != _OUT.size else ""
