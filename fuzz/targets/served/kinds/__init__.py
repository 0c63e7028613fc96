"""Device classes as drivers meet them: feature bits, configuration space, queues, and what a used buffer says.

A class gets the device-readable bytes of a buffer and says what is written into its device-writable ones. Knows
nothing of rings or memory. What is written tells which buffer it was written into, so that what a driver hands up can
be traced back to one buffer.
"""

from __future__ import annotations

import struct
from importlib import import_module
from typing import Protocol
from zlib import crc32

NAMES = ("blk", "net", "console", "rng", "vsock")
MARK = 16
"""Bytes after which what is written repeats, or goes on counting."""
READ = 4096
"""Device-readable bytes of a buffer that a class is shown."""
_HEAD = struct.Struct("<QI")


class Kind(Protocol):
    """A device of some class, which lives as long as its connection."""

    name: str
    queues: int
    features: int  # bits of the class that are offered
    config: bytes
    about: tuple[int, ...]  # queues that a program may be about, the usual one first
    gives: tuple[int, ...]  # those of them whose data the driver's upper half is handed

    def fill(self, queue: int, number: int, readable: bytes, room: int, length: int | None) -> bytes:
        """What is written into the buffer with serial *number*, which is used now: at most *room* bytes.

        *length*: how many that should be, as far as the class leaves a choice; None: all.
        """
        ...

    def answer(self, queue: int, number: int, readable: bytes, room: int) -> bytes | None:
        """The same of a queue that no program is about; None: the buffer waits until there is something to say."""
        ...

    def traces(self, queue: int, data: bytes) -> list[bytes]:
        """The pieces of *data*, as written, that an upper half may be handed: each by its first 16 bytes."""
        ...

    def speaks(self, queue: int) -> bool:
        """Whether a buffer of a queue that a program is about should be used now, while the driver comes up."""
        ...

    def wanted(self, queue: int, tag: int) -> bytes:
        """What data must begin with that the upper half got of the request that it calls *tag*; b'': that depends."""
        ...


def load(name: str) -> Kind:
    """A fresh device of the class. Raises KeyError if there is none of that name."""
    if name not in NAMES:
        raise KeyError(name)
    kind: Kind = import_module(f"fuzz.targets.served.kinds.{name}").Device()
    return kind


def mark(place: int, number: int) -> bytes:
    """16 bytes that tell *place* and the serial number of a buffer; the last is less than 0x80."""
    head = _HEAD.pack(place, number & 0xFFFFFFFF)
    return head + (crc32(head) & 0x7FFFFFFF).to_bytes(4, "little")


def line(place: int, number: int) -> bytes:
    """The same as 16 printable characters, the last of which ends a line."""
    return b"%08x%07x\n" % (number & 0xFFFFFFFF, place & 0xFFFFFFF)


def lines(number: int, length: int) -> bytes:
    """*length* bytes of lines."""
    return b"".join(line(place, number) for place in range(-(-length // MARK)))[:length]


def whole(length: int | None, room: int) -> int:
    """How many bytes of a stream to write: whole marks, so that each that follows is where one is looked for."""
    return room if length is None or room < MARK else min(max(length, MARK), room) // MARK * MARK


def clamp(length: int | None, least: int, room: int) -> int:
    """How many bytes to write: as wanted, but not less than *least*, nor more than there is room for."""
    return room if length is None else min(max(length, least), room)
