"""A small driver for tests of sessions, so that they are tested without what else drives them.

Chains of direct descriptors on split and packed rings; nothing is judged here.
"""

from __future__ import annotations

import struct
import time
from typing import Any

from fuzz.targets import QueueConfig
from oracles import spec

BUFFERS = 1 << 16  # where in memory buffers begin
ROOM = 8192


class Ring:
    """One queue, split or packed, with chains of direct descriptors; slots are never reused before all are free."""

    def __init__(self, session, number, layout, size, at, start=0):
        self.session, self.number, self.layout, self.size = session, number, layout, size
        self.memory, self.words = session.memory, session.memory.cast("H")
        descriptor, driver, _ = spec.area_sizes(layout, size)
        self.descriptor = at
        self.driver = (at + descriptor + 63) & ~63
        self.device = (self.driver + driver + 63) & ~63
        self.available = self.used = start
        self.next = self.wrap = self.used_wrap = 0
        if layout == spec.SPLIT:
            self.words[self.driver + 2 >> 1] = self.words[self.device + 2 >> 1] = start
        else:
            self.next, self.used, self.wrap, self.used_wrap = 0, 0, 1, 1
        self.outstanding = []  # (id, descriptors, what belongs to it), oldest first

    def config(self):
        if self.layout == spec.SPLIT:
            return QueueConfig(self.size, self.descriptor, self.driver, self.device, self.available, self.used)
        positions = (self.next | self.wrap << 15, self.used | self.used_wrap << 15)
        return QueueConfig(self.size, self.descriptor, self.driver, self.device, *positions)

    def supply(self, elements, what):
        """*elements*: (offset, length, writable)."""
        slots = [(self.next + place) % self.size for place in range(len(elements))]
        ident = slots[0]
        flags = [2 * writable | 1 for _, _, writable in elements]
        flags[-1] &= ~1
        exposing = 0, 0
        for place, (slot, (offset, length, _)) in enumerate(zip(slots, elements, strict=True)):
            at = self.descriptor + 16 * slot
            last = ident if self.layout == spec.PACKED else slots[(place + 1) % len(slots)]
            bits = flags[place] | (0 if self.layout == spec.SPLIT else 0x80 if self.wrap else 0x8000)
            struct.pack_into("<QI", self.memory, at, self.session.address + offset, length)
            if self.layout == spec.SPLIT:
                struct.pack_into("<HH", self.memory, at + 12, bits, last)
            else:
                struct.pack_into("<H", self.memory, at + 12, last)
                if place:
                    self.words[at + 14 >> 1] = bits
                else:
                    exposing = at + 14 >> 1, bits  # of the first descriptor: stored last
                if slot == self.size - 1:
                    self.wrap ^= 1
        self.next = (self.next + len(elements)) % self.size
        if self.layout == spec.SPLIT:
            self.words[(self.driver + 4 >> 1) + self.available % self.size] = ident
            self.available = (self.available + 1) & 0xFFFF
            self.words[self.driver + 2 >> 1] = self.available
        else:
            self.words[exposing[0]] = exposing[1]
        self.outstanding.append((ident, len(elements), what))

    def take(self):
        """(what, used length or None if skipped) of all that was used since."""
        taken: list[tuple[Any, int | None]] = []
        while True:
            ident, length = self._look()
            if ident is None:
                return taken
            place = [entry[0] for entry in self.outstanding].index(ident)
            skipped = place + 1 if self.layout == spec.PACKED else 1  # only testpmd's packed transmit queue batches
            first = 0 if self.layout == spec.PACKED else place
            for entry in self.outstanding[first : first + skipped]:
                taken.append((entry[2], length if entry[0] == ident else None))
                if self.layout == spec.PACKED:
                    self.used += entry[1]
                    self.used_wrap ^= self.used >= self.size
                    self.used %= self.size
            del self.outstanding[first : first + skipped]

    def _look(self):
        if self.layout == spec.SPLIT:
            if self.words[self.device + 2 >> 1] == self.used:
                return None, 0
            at = self.device + 4 + 8 * (self.used % self.size)
            self.used = (self.used + 1) & 0xFFFF
            return struct.unpack_from("<II", self.memory, at)
        at = self.descriptor + 16 * self.used
        bits = self.words[at + 14 >> 1]
        if bits >> 15 != self.used_wrap or bits >> 7 & 1 != self.used_wrap:
            return None, 0
        length, ident = struct.unpack_from("<IH", self.memory, at + 8)
        return ident, length


def place(session, number, message, pieces=1):
    """Put *message* into buffer *number*; elements: the readable part, then the writable one in *pieces*."""
    at = BUFFERS + number * ROOM
    session.memory[at : at + len(message.readable)] = message.readable
    elements = [(at, len(message.readable), False)] if message.readable else []
    at += len(message.readable)
    left = message.writable
    while left:
        length = max(1, min(left, message.writable // pieces))
        elements.append((at, length, True))
        at += length
        left -= length
    session.memory[at - message.writable : at] = b"\x9a" * message.writable
    return elements


def answer(session, message, elements):
    return b"".join(bytes(session.memory[at : at + length]) for at, length, writable in elements if writable)


def drive(ring, session, requests, seconds=10.0):
    """Send (message, elements) and return what comes, in the order in which it comes."""
    for message, elements in requests:
        ring.supply(elements, (message, elements))
    session.notify(ring.number)
    got: list[tuple[Any, int | None]] = []
    deadline = time.monotonic() + seconds
    while len(got) < len(requests) and time.monotonic() < deadline:
        got += ring.take()
        if len(got) < len(requests):
            session.called(ring.number, 0.01)
    return got


def listen(session):
    """Wait for calls, several times."""
    for _ in range(100):
        session.called(0, 0.1)
