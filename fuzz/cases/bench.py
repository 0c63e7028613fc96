"""A front-end on the bench: one message at a time, rings of a few buffers, and a log of all that was said and seen.

What a case needs beneath programs, which always set up a device in full. Everything stands in ``log``, for the oracle:
nothing is judged here. Knows vhost-user targets and requests; must not know rules.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from fuzz.cases import NotOffered
from fuzz.program import Limits
from fuzz.targets import Offer
from fuzz.targets.presets import Preset
from fuzz.targets.vhost_user import protocol
from fuzz.targets.vhost_user.frontend import ConversationError, Frontend
from fuzz.targets.vhost_user.session import GUEST_ADDRESS, STATUS_ALL, USER_ADDRESS, Backend, Events, SharedMemory
from oracles import packed_rings, spec, split_rings
from oracles import vhost_user as vu
from oracles.trace import Activity, Entry, Idle

EVERYTHING = (
    vu.MQ | vu.LOG_SHMFD | vu.REPLY_ACK | vu.CONFIG | vu.INFLIGHT | vu.RESET | vu.MEM_SLOTS | vu.STATUS
)  # fmt: skip
MEMORY = 1 << 20
WATCH = 0.03  # seconds for which nothing may happen
PATIENCE = 0.4  # seconds after which a wait is undecided
_AREAS = 0x2000  # of queue n from n times as many on
_BUFFERS = 0x10000
_ROOM = 0x800  # of a buffer
_PER_QUEUE = 32
SECTOR = 7  # of a disk, that we write


class Undecided(Exception):
    """Only a wait expired. One line: what was waited for."""


class Subject(Backend, Protocol):
    """A vhost-user target as cases need it."""

    preset: Preset | None
    limits: Limits
    seconds: float
    certain: bool  # whatever it does, it has done by the time that a call of ours returns

    def probe(self) -> Offer:
        """What it offers."""
        ...


class Line:
    """One ring of a bench, and our half of it."""

    def __init__(self, bench: Bench, number: int, layout: str, size: int) -> None:
        self.number = number
        self.layout = layout
        self.size = size
        memory = bench.memory
        descriptor, driver, device = spec.area_sizes(layout, size)
        start = _AREAS * number
        self.areas = (start, start + (descriptor + 63 & ~63), start + 0x1000)
        assert descriptor + driver < 0x1000 > device
        kind = split_rings.DriverRing if layout == spec.SPLIT else packed_rings.DriverRing
        features = spec.VERSION_1 | (spec.RING_PACKED if layout == spec.PACKED else 0)
        memory[start : start + _AREAS] = bytes(_AREAS)
        if layout == spec.SPLIT:
            self.ring = kind(memory, features, size, *self.areas)
            self.base = 0
        else:
            self.ring = kind(memory, features, size, *self.areas, 1 << 15)
            self.base = 1 << 15 | 1 << 31
        self.words = memory.cast("H")
        self.memory = memory
        self.events = Events()
        self.used = 0  # idx or position
        self.wrap = 1
        self.out: list[tuple[int, int, int]] = []  # (id, slots, number of the buffer) of those available, oldest first
        self.came: list[int] = []  # numbers of the buffers that came back
        self.made = 0

    def collect(self) -> list[int]:
        """Numbers of the buffers that came back since the last look, as the ring tells; -1: one that isn't out."""
        found = []
        while True:
            ident = self._next()
            if ident is None:
                break
            out = next((one for one in self.out if one[0] == ident), None)
            if out is None:
                found.append(-1)
                continue
            self.out.remove(out)
            self.ring.reclaim(ident, out[1])
            if self.layout == spec.PACKED:
                self.used += out[1]
                if self.used >= self.size:
                    self.used, self.wrap = self.used - self.size, self.wrap ^ 1
            found.append(out[2])
        self.came += found
        return found

    def _next(self) -> int | None:
        if self.layout == spec.SPLIT:
            if self.words[self.areas[2] + 2 >> 1] == self.used:
                return None
            at = self.areas[2] + 4 + 8 * (self.used % self.size)
            self.used = self.used + 1 & 0xFFFF
            return int(spec.USED_ELEMENT.unpack_from(self.memory, at)[0])
        at = self.areas[0] + 16 * self.used
        flags = self.words[at + 14 >> 1]
        if bool(flags & spec.DESC_F_AVAIL) != bool(self.wrap) or bool(flags & spec.DESC_F_USED) != bool(self.wrap):
            return None
        return int(spec.DESCRIPTOR.unpack_from(self.memory, at)[2])


class Bench:
    """A front-end in front of *target*. *wanted*: protocol features to agree on. Close it."""

    def __init__(self, target: Subject, layout: str = spec.SPLIT, size: int = 8) -> None:
        self.target = target
        self.kind = target.limits.device
        self.layout = layout
        self.size = size
        self.log: list[Entry] = []
        self.shared = SharedMemory(MEMORY)
        self.memory = self.shared.view()
        self.lines: dict[int, Line] = {}
        self.tested = 1 if self.kind == "net" else 0  # the queue that cases look at
        self.certain = target.certain
        self.frontend: Frontend
        self.salt = 0  # of what is written on a disk: chosen so that it isn't there already

    # -- the conversation

    def connect(self, wanted: int = EVERYTHING, acknowledge: bool = True) -> Frontend:
        """A new connection, on which nothing was said."""
        if self.log:
            self.frontend.close()
        self.frontend = self.target.frontend(self.target.connect(), self.target.seconds, acknowledge)
        self.frontend.wanted = wanted
        self.log.extend(self.frontend.log)
        self.frontend.log = self.log
        return self.frontend

    def introduce(self, wanted: int = EVERYTHING, needed: int = 0, acknowledge: bool = True) -> Frontend:
        """A new connection, negotiated. Raises NotOffered without the protocol features *needed*."""
        frontend = self.connect(wanted, acknowledge)
        frontend.negotiate()
        missing = needed & ~frontend.protocol_features
        if missing:
            raise NotOffered(f"no protocol feature {' '.join(protocol.protocol_names(missing))}")
        return frontend

    def ring_features(self, more: int = 0) -> int:
        """Features that rings are run with. Raises NotOffered without the layout."""
        features = spec.VERSION_1 | (spec.RING_PACKED if self.layout == spec.PACKED else 0)
        if (features | more) & ~self.frontend.features:
            raise NotOffered(f"no {' '.join(spec.feature_names((features | more) & ~self.frontend.features))}")
        return features | more

    def share(self, more: int = 0, bit30: bool = True) -> None:
        """Accept features, and share the memory."""
        frontend = self.frontend
        features = self.ring_features(more)
        if bit30:
            frontend.set_features(features)
        else:
            frontend.accepted = features
            frontend.send(protocol.number(vu.SET_FEATURES, features))
        frontend.share(GUEST_ADDRESS, MEMORY, USER_ADDRESS, self.shared.descriptor)

    @property
    def queues(self) -> Sequence[int]:
        """All queues that the device needs."""
        return (0, 1) if self.kind == "net" else (0,)

    def line(self, number: int = -1) -> Line:
        """The ring *number*; -1: that which cases look at."""
        number = self.tested if number < 0 else number
        if number not in self.lines:
            self.lines[number] = Line(self, number, self.layout, self.size)
        return self.lines[number]

    def place(self, line: Line, flags: int = 0) -> None:
        """Tell where *line* is."""
        areas = tuple(USER_ADDRESS + area for area in line.areas)
        self.frontend.place(line.number, line.size, line.base, (areas[0], areas[1], areas[2]))

    def start(self, line: Line, enable: bool = True, inject: bool = True) -> None:
        """Start *line*, the kick last, and perhaps enable it."""
        self.place(line)
        self.frontend.ring(line.number, line.events)
        if enable:
            self.frontend.enable(line.number)
        if inject:
            self.inject(line)

    def inject(self, line: Line) -> None:
        """A kick of our own."""
        self.frontend.inject(line.number, line.events.kick)
        self.pump()

    def others(self) -> None:
        """Start all queues but the one that cases look at."""
        for number in self.queues:
            if number != self.tested:
                self.start(self.line(number))

    def ready(self) -> None:
        """All rings are set up: say so, and wait until it is dealt with."""
        self.frontend.set_status(STATUS_ALL)
        self.frontend.settle()

    def up(self, needed: int = 0) -> Line:
        """A connection with all queues running."""
        self.introduce(needed=needed)
        self.share()
        line = self.line()
        self.others()
        self.start(line)
        self.ready()
        return line

    def stop(self, line: Line) -> int:
        """GET_VRING_BASE, the position kept for the next start."""
        self.look(line)
        line.base = self.frontend.vring_base(line.number)
        self.look(line)
        return line.base

    def pump(self) -> None:
        """A back-end in our thread does what there is to do."""
        backend = getattr(self.target, "backend", None)
        if backend is not None:
            backend.pump()

    # -- rings

    def supply(self, line: Line, count: int = 1, write: bool = False) -> None:
        """Make *count* buffers available; *write*: requests that change something, where there are such."""
        for _ in range(count):
            number = line.made
            line.made += 1
            at = self.place_of(line, number)
            readable, writable = self._request(line, number, write)
            self.memory[at : at + _ROOM] = bytes(_ROOM)
            self.memory[at : at + len(readable)] = readable
            elements = [(GUEST_ADDRESS + at, len(readable))] if readable else []
            if writable:
                elements.append((GUEST_ADDRESS + at + len(readable), writable))
            ident, slots = line.ring.place(elements, int(bool(readable)), None, number)
            line.out.append((ident, slots, number))
        line.ring.expose(count)

    def _request(self, line: Line, number: int, write: bool) -> tuple[bytes, int]:
        if self.kind == "blk":
            if write:
                return (1).to_bytes(8, "little") + SECTOR.to_bytes(8, "little") + self.pattern(number), 1
            return bytes(8) + SECTOR.to_bytes(8, "little"), 513
        if self.kind == "net":
            return (b"", 1500) if line.number == 0 else (bytes(12) + b"\xff" * 6 + bytes([number + 1] * 54), 0)
        return bytes([number + 1]) * 16, 32

    def pattern(self, number: int) -> bytes:
        """What the write request *number* puts on the disk."""
        return bytes([self.salt, number + 1]) * 256

    def place_of(self, line: Line, number: int) -> int:
        """Where the buffer *number* lies in the memory."""
        return _BUFFERS + (line.number * _PER_QUEUE + number % _PER_QUEUE) * _ROOM

    def part(self, line: Line, number: int, length: int, at: int = 0) -> bytes:
        """Bytes of the buffer *number*."""
        start = self.place_of(line, number) + at
        return bytes(self.memory[start : start + length])

    def kick(self, line: Line, value: int = 1) -> None:
        """Notify the device."""
        os.eventfd_write(line.events.kick, value)
        self.pump()

    def look(self, line: Line) -> int:
        """Log what *line* shows; how many buffers came back."""
        came = line.collect()
        number = line.number
        if came:
            self.log.append((number, Activity("used", len(came))))
            if self.kind == "any" or (self.kind == "net" and number == 0):
                self.log.append((number, Activity("executed", len(came))))
        if -1 in came:
            self.log.append((number, Activity("again", came.count(-1))))
        if line.events.take(line.events.error):
            self.log.append((number, Activity("errored")))
        return len(came)

    def expect(self, line: Line, count: int = 1) -> None:
        """Wait until *count* buffers came back. Raises Undecided, or Served at all if it is certain that none comes."""
        if not self.served(line, count, PATIENCE):
            self.log.append((line.number, Idle(self.certain)))
            if not self.certain:
                raise Undecided(f"no buffer of ring {line.number} came back within {PATIENCE:g} s")

    def served(self, line: Line, count: int, seconds: float) -> bool:
        """Whether *count* buffers come back within *seconds*."""
        deadline = time.monotonic() + (0 if self.certain else seconds)
        while True:
            self.pump()
            count -= self.look(line)
            if count <= 0:
                return True
            if time.monotonic() > deadline:
                return False
            line.events.poll.poll(1)

    def watch(self, line: Line, seconds: float = WATCH) -> None:
        """Log whatever *line* shows for a while, calls included."""
        deadline = time.monotonic() + (0 if self.certain else seconds)
        while True:
            self.pump()
            self.look(line)
            if line.events.take(line.events.call):
                self.log.append((line.number, Activity("called")))
            if time.monotonic() > deadline:
                return
            time.sleep(0.001)

    def silence(self, line: Line) -> None:
        """Forget calls that came until now."""
        line.events.take(line.events.call)

    # -- the end

    def forget(self) -> None:
        """All rings begin anew."""
        for line in self.lines.values():
            line.events.close()
        self.lines.clear()

    def close(self, well: bool = True) -> None:
        """Stop everything and let go. Never raises."""
        frontend: Frontend | None = getattr(self, "frontend", None)
        if frontend is not None:
            with suppress(ConversationError, OSError):
                if well and self.target.reset_by == "stop":
                    for number in sorted(self.lines):
                        frontend.vring_base(number)
                    frontend.set_status(0)
                if well:
                    frontend.settle()
            frontend.close()
        self.forget()
        self.target.ended(well)
        self.shared.close()
