"""virtio-gpu (5.7) in 2D: displays, resources, scanouts and transfers on queue 0, the cursor on queue 1.

Knows commands and the headers of their answers. Must not know rings, or which device answers.

A resource that a request numbers 0 is the one that the command makes sense for: not used yet for create, the
newest that has (or lacks) backing for others. So commands mostly find what they name, but whether they succeed
is not said: a reset takes all resources away, and memory may be short at any time. That a fenced answer carries
the fence of its own request is said (5.7.6.7). The request «next» is the next command in the life of a resource.
"""

from __future__ import annotations

import struct
from functools import partial

from fuzz.choices import Choices
from fuzz.devices import Message, accept, cutting
from fuzz.devices.forms import Forms, cut, pick, septets, values, words
from fuzz.program import Limits, Request

HEADER = struct.Struct("<IIQIB3x")  # type, flags, fence_id, ctx_id, ring_idx (5.7.6.7)
_FENCE = 1
_WORD = (1 << 32) - 1
_RECT = {"x": (0, _WORD, 0), "y": (0, _WORD, 0), "width": (0, _WORD, 64), "height": (0, _WORD, 64)}
_RESOURCE = {"resource": (0, _WORD, 0)}
_FENCED = {"fence": (0, 1, 0)}
_POSITION = {"scanout": (0, _WORD, 0), "x": (0, _WORD, 0), "y": (0, _WORD, 0), "room": (0, 1, 0)}
_MOST_BACKING = 1 << 16
_PIECES = 64  # of backing, that a person may ask for

FORMS: Forms = {
    "next": _FENCED,
    "display_info": _FENCED,
    "edid": {"scanout": (0, _WORD, 0), **_FENCED},
    "create": {**_RESOURCE, "format": (0, _WORD, 1), "width": (0, _WORD, 64), "height": (0, _WORD, 64), **_FENCED},
    "unref": {**_RESOURCE, **_FENCED},
    "attach": {**_RESOURCE, "size": (1, _MOST_BACKING, 1 << 14), "entries": (1, _PIECES, 1), **_FENCED},
    "detach": {**_RESOURCE, **_FENCED},
    "scanout": {"scanout": (0, _WORD, 0), **_RESOURCE, **_RECT, **_FENCED},
    "transfer": {**_RESOURCE, **_RECT, "offset": (0, (1 << 64) - 1, 0), **_FENCED},
    "flush": {**_RESOURCE, **_RECT, **_FENCED},
    "capset_info": {"index": (0, _WORD, 0), **_FENCED},
    "update_cursor": {**_POSITION, **_RESOURCE, "hot_x": (0, _WORD, 0), "hot_y": (0, _WORD, 0)},
    "move_cursor": _POSITION,
}
#: Of each command: its number, that of its answer, and how long the answer is.
_COMMANDS = {
    "display_info": (0x100, 0x1101, 24 + 16 * 24),
    "create": (0x101, 0x1100, 24),
    "unref": (0x102, 0x1100, 24),
    "scanout": (0x103, 0x1100, 24),
    "flush": (0x104, 0x1100, 24),
    "transfer": (0x105, 0x1100, 24),
    "attach": (0x106, 0x1100, 24),
    "detach": (0x107, 0x1100, 24),
    "capset_info": (0x108, 0x1102, 40),
    "edid": (0x10A, 0x1104, 24 + 8 + 1024),
    "update_cursor": (0x300, 0x1100, 24),
    "move_cursor": (0x301, 0x1100, 24),
}
_ERRORS = range(0x1200, 0x1206)
_EDID = bytes.fromhex("00ffffffffffff00")  # how every EDID begins (VESA)
_FORMATS = (1, 2, 3, 4, 67, 68, 121, 134)
_SIDE = 64  # of the resources that are drawn, since a cursor has it (5.7.6.6)
_REMEMBERED = 16
_SHORTEST = 32  # bytes of the shortest command in the life of a resource
_LIFE = ("create", "attach", "transfer", "scanout", "flush", "transfer", "flush", "detach", "unref")
_WEIGHED = ("next",) * 8 + (
    *("create", "create", "attach", "attach", "transfer", "transfer", "flush", "scanout"),
    *("display_info", "display_info", "edid", "unref", "detach", "capset_info"),
)


class Device:
    """One run of one program.

    *hints*: spare: address of guest memory that a device may read; scanouts and capsets: how many there are.
    """

    name = "gpu"

    def __init__(self, hints: dict[str, int]) -> None:
        self._spare = hints.get("spare", 0)
        self._backed: dict[int, bool] = {}  # of the resources created, in that order: whether they have backing
        self._last = 0  # resource that was created with a number of ours
        self._stage = 0  # of the life of a resource

    # --- requests -----------------------------------------------------------------------------------------------------

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Commands on few resources, most of them with a fence."""
        hints = dict(limits.hints)
        integer = choices.integer
        fields: dict[str, int]
        if queue == 1:
            kind = ("move_cursor", "update_cursor")[integer(0, 1)]
            # Whether there is room for an answer is open: no driver gives any, 5.7.6.10 tells of one.
            fields = {"scanout": integer(0, max(0, hints.get("scanouts", 1) - 1)), "room": integer(0, 3) // 3}
            fields |= {"x": integer(0, 127), "y": integer(0, 127)}
            if kind == "update_cursor":
                fields |= {"resource": 0, "hot_x": integer(0, 63), "hot_y": integer(0, 63)}
        else:
            kind = _WEIGHED[integer(0, len(_WEIGHED) - 1)]
            if kind == "capset_info" and not hints.get("capsets"):
                kind = "display_info"
            fields = self._drawn(kind, choices, hints)
            fields["fence"] = min(1, integer(0, 3))
        request = Request(kind, tuple(fields.items()))
        if kind == "next":
            # How long it is depends on how many there were before; of how many elements it is must not.
            ways = cutting.cut(choices, (HEADER.size, 0), _SHORTEST, HEADER.size)
            return request, (*ways, 0) if ways and ways[-1] else ways
        message = self.message(request, 0, queue)
        return request, cut(choices, len(message.readable), message.writable, HEADER.size)

    @staticmethod
    def _drawn(kind: str, choices: Choices, hints: dict[str, int]) -> dict[str, int]:
        """Fields of a control command."""
        integer = choices.integer
        if kind in ("next", "display_info"):
            return {}
        if kind == "capset_info":
            return {"index": integer(0, hints["capsets"] - 1)}
        scanouts = max(1, hints.get("scanouts", 1))
        if kind == "edid":
            return {"scanout": integer(0, scanouts - 1)}
        fields = {"resource": max(0, integer(-4, 3))}
        if kind == "create":
            return {**fields, "format": pick(choices, _FORMATS), "width": _SIDE, "height": _SIDE}
        if kind == "attach":
            return {**fields, "size": 4 * _SIDE * _SIDE, "entries": pick(choices, (1, 1, 2, 3, 4, 8))}
        if kind in ("unref", "detach"):
            return fields
        if kind == "scanout":
            fields["scanout"] = integer(0, scanouts - 1)
        x, y = (0, 0) if integer(0, 1) else (integer(0, _SIDE - 16), integer(0, _SIDE - 16))
        whole = kind == "scanout" or integer(0, 1)  # devices may refuse to show very little
        fields |= {"x": x, "y": y}
        fields["width"] = _SIDE - x if whole else integer(1, _SIDE - x)
        fields["height"] = _SIDE - y if whole else integer(1, _SIDE - y)
        if kind == "transfer":
            fields["offset"] = 4 * (y * _SIDE + x)
        return fields

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return words(self.name, FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        kind, given = request.kind, values(FORMS, request)
        if kind == "next":
            kind = _LIFE[self._stage % len(_LIFE)]
            given |= values(FORMS, Request(kind, (("fence", given["fence"]),)))
            self._stage += 1
        if "resource" in given:
            given["resource"] = self._resource(kind, given["resource"])
        command, answer, room = _COMMANDS[kind]
        fence = septets(buffer + 1) if given.get("fence") else 0
        readable = HEADER.pack(command, _FENCE if fence else 0, fence, 0, 0) + self._body(kind, given)
        if "room" not in given:
            return Message(readable, room, partial(_check, answer, room, fence))
        if given["room"]:
            return Message(readable, room, partial(_check_cursor, answer, room))
        return Message(readable, 0, accept)

    def _resource(self, kind: str, number: int) -> int:
        """The resource that a request means, and what becomes of it if the device does as it is told."""
        backed = self._backed
        if kind == "create":
            if not number:
                number = self._last = self._last % 0x7F + 1
            backed[number] = False
            if len(backed) > _REMEMBERED:
                del backed[next(iter(backed))]
            return number
        if not number:
            wanted = {"attach": (False,), "transfer": (True,), "detach": (True,)}.get(kind, (False, True))
            number = next((other for other in reversed(backed) if backed[other] in wanted), 1)
        if kind == "unref":
            backed.pop(number, None)
        elif kind in ("attach", "detach") and number in backed:
            backed[number] = kind == "attach"
        return number

    def _body(self, kind: str, given: dict[str, int]) -> bytes:
        """What follows the header (5.7.6.8, 5.7.6.10)."""
        if kind == "display_info":
            return b""
        if kind in ("edid", "capset_info", "unref", "detach"):
            return struct.pack("<II", given[{"edid": "scanout", "capset_info": "index"}.get(kind, "resource")], 0)
        if kind == "attach":
            return self._backing(given["resource"], given["size"], given["entries"])
        if kind == "create":
            return struct.pack("<4I", *(given[name] for name in ("resource", "format", "width", "height")))
        if "room" in given:
            place = struct.pack("<4I", given["scanout"], given["x"], given["y"], 0)
            return place + struct.pack("<4I", *(given.get(name, 0) for name in ("resource", "hot_x", "hot_y")), 0)
        rectangle = struct.pack("<4I", *(given[name] for name in ("x", "y", "width", "height")))
        if kind == "scanout":
            return rectangle + struct.pack("<II", given["scanout"], given["resource"])
        if kind == "transfer":
            return rectangle + struct.pack("<QII", given["offset"], given["resource"], 0)
        return rectangle + struct.pack("<II", given["resource"], 0)

    def _backing(self, resource: int, size: int, entries: int) -> bytes:
        """Memory entries: pieces of a stretch of spare memory, last piece first."""
        base = self._spare + (resource & 15) * _MOST_BACKING
        entries = min(entries, size)
        bounds = [size * place // entries for place in range(entries + 1)]
        pieces = [(base + bounds[place], bounds[place + 1] - bounds[place]) for place in reversed(range(entries))]
        return struct.pack("<II", resource, entries) + b"".join(struct.pack("<QII", *piece, 0) for piece in pieces)


# --- answers ----------------------------------------------------------------------------------------------------------


def _check(answer: int, room: int, fence: int, used: int, data: bytes) -> str:
    """5.7.6.7: the type that the command has, or an error; the fence of the request. *used* below 0: unknown."""
    if 0 <= used < HEADER.size:
        return f"an answer of {used} bytes has no header (5.7.6.7)"
    kind, flags, found, _, _ = HEADER.unpack_from(data)
    if kind != answer and kind not in _ERRORS:
        return f"type {kind:#x}, which is neither {answer:#x} nor an error (5.7.6.7)"
    if fence and (not flags & _FENCE or found != fence):
        return f"flags {flags:#x}, fence {found:#x} for a request with fence {fence:#x} (5.7.6.7)"
    if kind == answer and 0 <= used < room:
        return f"{used} of the {room} bytes that type {answer:#x} has (5.7.6.8)"
    if kind == 0x1104:
        size = int.from_bytes(data[24:28], "little")
        if size > 1024 or (size >= 128 and data[32:40] != _EDID):
            return f"an EDID of {size} bytes that begins {data[32:40].hex()}"
    return ""


def _check_cursor(answer: int, room: int, used: int, data: bytes) -> str:
    """5.7.6.10 tells of an answer, which nobody waits for and devices leave out."""
    return _check(answer, room, 0, used, data) if used >= HEADER.size else ""
