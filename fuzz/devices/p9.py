"""virtio-9p (device 9, of which the specification has no chapter): messages of 9P2000.L, one a buffer.

Knows 9P, and whether an answer fits its question. Must not know rings, or which device answers.

Which fids exist nobody knows for certain, for every reset takes them away: so any message may be answered by an
error. But what a fid stands for, if it stands for anything, its number tells: see _name(). All files have the same
byte at the same place, whoever wrote it. The request «next» is the next message of a client's life: version,
attach, walk, open, read … Version is sent alone, as every client does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

from fuzz.choices import Choices
from fuzz.devices import Message
from fuzz.devices.forms import Forms, cut, pick, values, words
from fuzz.devices.p9_messages import ANSWER, HEADER, TYPES, file_data, reply
from fuzz.program import Limits, Request

FILES = 4  # f0 to f3 are there, c0 to c3 can be made
ROOT, FOLDER, FILE, MADE = 0, 2, 16, 40  # the first fid of each sort
_VERSIONS = (b"9P2000.L", b"9P2000.u")
_NOFID = 0xFFFFFFFF
_NOBODY = 0x7F7F  # a tag that no message has
_MOST = 1 << 16
_LEAST_ROOM = 128  # of an answer: so that an error fits, even with words (9P2000.u)
_FID = {"fid": (0, 63, 0)}
_SPAN = {**_FID, "offset": (0, 1 << 40, 0), "length": (1, _MOST, 512)}
_EXTRA = {"room": (0, 512, 0)}  # bytes of room that no answer needs

FORMS: Forms = {
    "next": _EXTRA,
    "version": {"msize": (256, 1 << 20, 1 << 14), "dialect": (0, 1, 0), **_EXTRA},
    "attach": {"fid": (0, 63, ROOT), **_EXTRA},
    "walk": {**_FID, "newfid": (0, 63, FILE), "up": (0, 15, 0), **_EXTRA},
    "open": {"fid": (0, 63, FILE), **_EXTRA},
    "create": {"fid": (0, 63, MADE), **_EXTRA},
    "read": _SPAN,
    "write": {**_SPAN, **_EXTRA},
    "readdir": _SPAN,
    "getattr": {**_FID, **_EXTRA},
    "statfs": {**_FID, **_EXTRA},
    "fsync": {**_FID, **_EXTRA},
    "clunk": {**_FID, **_EXTRA},
    "flush": {"back": (0, 255, 0), **_EXTRA},
    "unknown": {"type": (0, 255, 60), **_EXTRA},
}
_KINDS = (
    ("next",) * 12
    + ("attach", "walk", "open", "read", "write", "read", "write", "readdir", "getattr")
    + (*("statfs", "fsync", "clunk", "version", "create", "flush", "unknown"),)
)
_LENGTHS = (1, 8, 117, 512, 513, 4096, 4097)
_OFFSETS = (0, 0, 1, 511, 4095, 4096, 65536)
_UNKNOWN = (2, 10, 60, 94)


def _request(kind: str, **fields: int) -> Request:
    return Request(kind, tuple(fields.items()))


#: A client's life; {n} below is the number of the file, which changes from life to life.
def _life(number: int) -> tuple[Request, ...]:
    file, made, folder = FILE + number % FILES, MADE + number % FILES, FOLDER + number % 2
    return (
        _request("version"),
        _request("attach"),
        _request("walk", newfid=file),
        _request("open", fid=file),
        _request("read", fid=file, length=4096),
        _request("walk", newfid=made),
        _request("create", fid=made),
        _request("write", fid=made, offset=number, length=513),
        _request("read", fid=made, length=1024),
        _request("getattr", fid=file),
        _request("walk", newfid=folder),
        _request("open", fid=folder),
        _request("readdir", fid=folder, length=512),
        _request("read", fid=file, offset=4000, length=117),
        _request("clunk", fid=file),
        _request("statfs"),
    )


def _name(fid: int) -> bytes:
    """The file that *fid* stands for, or b'': a folder, or nothing."""
    for first, letter in ((FILE, b"f"), (MADE, b"c")):
        if first <= fid < first + FILES:
            return letter + str(fid - first).encode()
    return b""


def tag(buffer: int) -> int:
    """The tag of the message in the buffer with serial number *buffer*; no byte of it is 0x80 or more."""
    return 1 + buffer % 126 + (buffer // 126 % 126 << 8)


def _string(data: bytes) -> bytes:
    return struct.pack("<H", len(data)) + data


class Device:
    """One run of one program."""

    name = "9p"

    def __init__(self, hints: dict[str, int]) -> None:
        self._flushed: set[int] = set()  # buffers that may be used without an answer
        self._turn = -1  # of the client's life
        self._last = -1  # the buffer in which that stands

    # --- requests -----------------------------------------------------------------------------------------------------

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Half of all messages are the next ones in a client's life; the others come as they come."""
        kind = _KINDS[choices.integer(0, len(_KINDS) - 1)]
        fields = {"room": pick(choices, (0, 0, 1, 100))} if "room" in FORMS[kind] else {}
        for name in FORMS[kind]:
            if name in ("fid", "newfid"):
                fields[name] = pick(choices, (FILE, MADE, FOLDER, ROOT)) + choices.integer(0, 1)
        if kind == "attach":
            fields["fid"] = ROOT
        if "offset" in FORMS[kind]:
            fields["offset"], fields["length"] = pick(choices, _OFFSETS), pick(choices, _LENGTHS)
        if kind == "walk":
            fields["fid"], fields["up"] = ROOT, pick(choices, (0, 0, 1, 15))
        elif kind == "flush":
            fields["back"] = choices.integer(0, 4)
        elif kind == "unknown":
            fields["type"] = pick(choices, _UNKNOWN)
        elif kind == "version":
            fields["msize"], fields["dialect"] = pick(choices, (1 << 14, 8192, 4096)), choices.integer(0, 7) // 7
        request = Request(kind, tuple((name, fields[name]) for name in FORMS[kind] if name in fields))
        message = Device({}).message(request, 0, queue)
        return request, cut(choices, len(message.readable), message.writable, HEADER.size)

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return words(self.name, FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        room = dict(request.fields).get("room", 0)
        if request.kind == "next":
            if buffer != self._last:  # else what had this number found no room in the ring: it never was
                self._turn += 1
            self._last = buffer
            life = _life(0)
            request = _life(self._turn // len(life))[self._turn % len(life)]
        fields = values(FORMS, request)
        if request.kind == "flush" and fields["back"]:
            self._flushed.add(buffer - fields["back"])
        kind = fields["type"] if request.kind == "unknown" else TYPES[request.kind]
        body = _body(request.kind, fields, buffer)
        readable = HEADER.pack(HEADER.size + len(body), kind, tag(buffer)) + body
        answer = ANSWER.get(request.kind, 0) + (fields["length"] if request.kind in ("read", "readdir") else 0)
        check = partial(self._answered, buffer, kind, partial(_fits, request.kind, fields))
        writable = max(_LEAST_ROOM, HEADER.size + answer) + room
        return Message(readable, writable, check, alone=request.kind == "version")

    # --- answers ------------------------------------------------------------------------------------------------------

    def _answered(self, buffer: int, kind: int, fits: Callable[[bytes], str], used: int, data: bytes) -> str:
        """What is wrong with the answer to the message in *buffer*, or ''."""
        if used > len(data):
            return ""  # the ring's rules say what there is to say
        if buffer in self._flushed and (not used or (used < 0 and len(set(data[: HEADER.size])) == 1)):
            return ""  # a message that was flushed needs no answer
        return reply(kind, tag(buffer), used, data, fits)


def _body(kind: str, fields: dict[str, int], buffer: int) -> bytes:
    """A message behind its header."""
    fid = struct.pack("<I", fields.get("fid", 0))
    match kind:
        case "version":
            return struct.pack("<I", fields["msize"]) + _string(_VERSIONS[fields["dialect"]])
        case "attach":
            return fid + struct.pack("<I", _NOFID) + _string(b"root") + _string(b"") + bytes(4)
        case "walk":
            name = _name(fields["newfid"])
            names = [b".."] * fields["up"] + ([name] if name[:1] == b"f" else [])
            return fid + struct.pack("<IH", fields["newfid"], len(names)) + b"".join(map(_string, names))
        case "open":
            return fid + bytes(4)  # O_RDONLY
        case "create":
            read_write, mode = 2, 0o644
            name = _name(fields["fid"])
            return fid + _string(name if name[:1] == b"c" else b"c0") + struct.pack("<III", read_write, mode, 0)
        case "read" | "readdir":
            return fid + struct.pack("<QI", fields["offset"], fields["length"])
        case "write":
            data = file_data(fields["offset"], fields["length"])
            return fid + struct.pack("<QI", fields["offset"], len(data)) + data
        case "getattr":
            return fid + struct.pack("<Q", 0x7FF)
        case "fsync":
            return fid + bytes(4)
        case "flush":
            back = fields["back"]
            return struct.pack("<H", tag(buffer - back) if 0 < back <= buffer else _NOBODY)
        case "unknown":
            return b""
    return fid


def _fits(kind: str, fields: dict[str, int], answer: bytes) -> str:
    """What is wrong with the body of an answer that is no error, or ''."""
    if kind in ("read", "readdir", "write"):
        count = int.from_bytes(answer[:4], "little")
        if count > fields["length"]:
            return f"{count} bytes, and {fields['length']} were asked for"
        if kind == "write":
            return (
                "" if len(answer) == 4 else f"the answer to {kind} has {len(answer)} bytes behind its header, must be 4"
            )
        if len(answer) != 4 + count:
            return f"{count} bytes are announced, {len(answer) - 4} come"
        return _content(fields, answer[4:]) if kind == "read" and _name(fields["fid"]) else ""
    if kind == "walk":
        count = int.from_bytes(answer[:2], "little")
        most = fields["up"] + (_name(fields["newfid"])[:1] == b"f")
        if count > most or len(answer) != 2 + 13 * count:
            return f"{len(answer)} bytes with {count} qids, and {most} names were walked"
        return ""
    if kind == "version":
        msize = int.from_bytes(answer[:4], "little")
        if msize > fields["msize"]:
            return f"msize {msize}, and {fields['msize']} was offered"
        return "" if answer[6:] in (*_VERSIONS, b"unknown") else f"version {answer[6:]!r}"
    if kind == "unknown":
        return ""
    expected = ANSWER[kind]
    return "" if len(answer) == expected else f"{len(answer)} bytes behind the header, must be {expected}"


def _content(fields: dict[str, int], data: bytes) -> str:
    """Every byte of a file is that of its place, or was never written and reads as zero."""
    right = file_data(fields["offset"], len(data))
    if data == right:
        return ""
    for place, (found, expected) in enumerate(zip(data, right, strict=True)):
        if found not in (0, expected):
            return f"byte {fields['offset'] + place} of the file is {found:02x}, must be {expected:02x}"
    return ""
