"""The least that drives a virtio-blk queue: ring code and nothing else, to compare the whole driver with.

No generator, no oracle, no canaries, no trace: what is left is what the shim and QEMU themselves cost. In ring
order, and every word that the device polls is stored whole (``struct.pack_into`` zeroes before it writes).
"""

from __future__ import annotations

import struct
import time
from typing import Any

from fuzz.targets import QueueConfig
from oracles import spec

SIZE = 256  # of the queue; a power of two
_BUFFERS, _ROOM = 1 << 16, 1024  # where buffers lie, and what each takes: header, data, status
_HEADER = struct.Struct("<IIQ")  # type, reserved, sector (5.2.6)
_READ, _SECTOR = 0, 512
_PARTS = (  # offset, length, flags
    (0, 16, spec.DESC_F_NEXT),
    (64, _SECTOR, spec.DESC_F_WRITE | spec.DESC_F_NEXT),
    (600, 1, spec.DESC_F_WRITE),
)
_SECONDS = 10.0


class Bare:
    """One queue of a started session, whose requests each read a sector."""

    def __init__(self, session: Any, layout: str) -> None:
        self.session = session
        self.memory = session.memory
        self.words = session.memory.cast("H")
        self.split = layout == spec.SPLIT
        descriptor, driver, device = spec.area_sizes(layout, SIZE)
        self.descriptor = 64
        self.driver = (64 + descriptor + 63) & ~63
        self.device = (self.driver + driver + 63) & ~63
        end = self.device + device
        self.memory[64:end] = bytes(end - 64)
        self.next = 0  # descriptors ever placed
        self.supplied = 0
        features = spec.VERSION_1 | spec.IN_ORDER | (0 if self.split else spec.RING_PACKED)
        first = 0 if self.split else 1 << 15
        session.start(features, [QueueConfig(SIZE, 64, self.driver, self.device, first, first)])

    def batch(self, count: int) -> None:
        """Supply *count* requests, notify once, and take them all back."""
        (self._split if self.split else self._packed)(count)

    def _split(self, count: int) -> None:
        memory, words, pack = self.memory, self.words, spec.DESCRIPTOR.pack
        base, ring = self.session.address + _BUFFERS, self.driver // 2 + 2
        idx = self.supplied
        for number in range(idx, idx + count):
            buffer = _BUFFERS + number % SIZE * _ROOM
            memory[buffer : buffer + 16] = _HEADER.pack(_READ, 0, number & 1023)
            head = slot = self.next % SIZE
            for at, length, flags in _PARTS:
                following = (slot + 1) % SIZE
                offset = self.descriptor + 16 * slot
                memory[offset : offset + 16] = pack(base + number % SIZE * _ROOM + at, length, flags, following)
                slot = following
            self.next += 3
            words[ring + number % SIZE] = head
        words[self.driver // 2 + 1] = self.supplied = (idx + count) & 0xFFFF
        self.session.notify(0)
        self._until(self.device // 2 + 1, 0xFFFF, self.supplied)
        for number in range(idx, idx + count):
            head, length = spec.USED_ELEMENT.unpack_from(memory, self.device + 4 + 8 * (number % SIZE))
            assert length == _SECTOR + 1
            assert memory[_BUFFERS + number % SIZE * _ROOM + 600] == 0

    def _packed(self, count: int) -> None:
        memory, words, pack = self.memory, self.words, spec.DESCRIPTOR.pack
        base = self.session.address + _BUFFERS
        first, exposing = self.next, []
        for number in range(count):
            buffer = _BUFFERS + number * _ROOM
            memory[buffer : buffer + 16] = _HEADER.pack(_READ, 0, number)
            for at, length, kind in _PARTS:
                wrapped, slot = divmod(self.next, SIZE)
                flags = kind | (spec.DESC_F_USED if wrapped & 1 else spec.DESC_F_AVAIL)
                offset = self.descriptor + 16 * slot
                data = pack(base + number * _ROOM + at, length, number, flags)
                if at:
                    memory[offset : offset + 16] = data
                else:
                    memory[offset : offset + 14] = data[:14]
                    exposing.append((offset // 2 + 7, flags))
                self.next += 1
        for word, flags in reversed(exposing):
            words[word] = flags
        self.session.notify(0)
        both = spec.DESC_F_AVAIL | spec.DESC_F_USED
        for number in range(count):
            wrapped, slot = divmod(first + 3 * number, SIZE)
            offset = self.descriptor + 16 * slot
            self._until(offset // 2 + 7, both, 0 if wrapped & 1 else both)  # flags first, the rest after them
            _, length, ident, _ = spec.DESCRIPTOR.unpack_from(memory, offset)
            assert (ident, length) == (number, _SECTOR + 1)
            assert memory[_BUFFERS + number * _ROOM + 600] == 0

    def _until(self, word: int, mask: int, value: int) -> None:
        """Look until *word* reads as *value* under *mask*."""
        words = self.words
        if words[word] & mask == value:
            return
        deadline = time.monotonic() + _SECONDS
        while words[word] & mask != value:
            assert time.monotonic() < deadline, "the device does not answer"
