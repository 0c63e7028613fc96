"""What every answer of 9P2000.L has in common, and the bytes of files.

Knows the frame of a message. Must not know requests of ours, or rings.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

HEADER = struct.Struct("<IBH")  # size of all, type, tag
_RLERROR, _RERROR = 7, 107
TYPES = {
    "statfs": 8,
    "open": 12,
    "create": 14,
    "getattr": 24,
    "readdir": 40,
    "fsync": 50,
    "version": 100,
    "attach": 104,
    "flush": 108,
    "walk": 110,
    "read": 116,
    "write": 118,
    "clunk": 120,
}
#: bytes of an answer behind its header, at most; of read and readdir: without the data
ANSWER = {
    "statfs": 60,
    "open": 17,
    "create": 17,
    "getattr": 153,
    "readdir": 4,
    "fsync": 0,
    "version": 14,
    "attach": 13,
    "flush": 0,
    "walk": 2 + 13 * 16,
    "read": 4,
    "write": 4,
    "clunk": 0,
}
_PERIOD = bytes(1 + place * 53 % 127 for place in range(127)) * 520


def file_data(offset: int, length: int) -> bytes:
    """The bytes of every file at this place: never zero, and every thousand of them other ones."""
    start = (offset + offset // 1000 * 7) % 127
    if length <= 1000 - offset % 1000:
        return _PERIOD[start : start + length]
    first = 1000 - offset % 1000
    return _PERIOD[start : start + first] + file_data(offset + first, length - first)


def reply(kind: int, tag: int, used: int, data: bytes, fits: Callable[[bytes], str]) -> str:
    """What is wrong with the answer *data* to a message of type *kind*, or ''.

    *used*: its length, negative if nobody said; *fits*: what is wrong with the body of one that is no error.
    """
    if 0 <= used < HEADER.size:
        return f"an answer of {used} bytes, it has {HEADER.size} at least"
    size, type_, tag_ = HEADER.unpack_from(data)
    if used >= 0 and size != used:
        return f"the answer says that its size is {size}, and {used} bytes are used"
    if not HEADER.size <= size <= len(data):
        return f"the answer says that its size is {size}, and there is room for {len(data)} bytes"
    if tag_ != tag:
        return f"the answer has tag {tag_}, the message had {tag}"
    body = data[HEADER.size : size]
    if type_ == _RLERROR:
        return "" if len(body) == 4 else f"an Rlerror of {size} bytes, must be {HEADER.size + 4}"
    if type_ == _RERROR:
        length = int.from_bytes(body[:2], "little")
        return "" if len(body) in (2 + length, 6 + length) else f"an Rerror of {size} bytes with {length} of text"
    if type_ != kind + 1:
        return f"the answer to a message of type {kind} has type {type_}"
    return fits(body)
