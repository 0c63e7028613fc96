"""A guest in a thread of ours, for tests of devices that are served: a front-end, a driver's rings, an upper half.

Its memory is two regions far from each other: descriptors and what the driver says in one, what the device says and
all buffers in the other. It waits for acknowledgements as front-ends do: the device must be served meanwhile.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fuzz.targets.process import connect
from fuzz.targets.served.machine import OFF, STARTING, WORKING, Handed
from fuzz.targets.served.memory import Space
from fuzz.targets.vhost_user.frontend import WANTED, ConversationError, Frontend
from oracles import packed_rings, spec, split_rings
from oracles import vhost_user as vu

SIZE = 1 << 20
HIGH = 1 << 32
USER = 0x7F00_0000_0000
PLACES = (0x1000, 0x3000, HIGH + 0x1000)  # descriptors, driver area; device area
BUFFERS = HIGH + 0x4000


@dataclass
class Events:
    kick: int
    call: int
    error: int


class Guest:
    """The guest's side of one device at *path*: memory, and one virtqueue."""

    def __init__(self, path: str, *, slots: bool = True) -> None:
        self.space = Space(0)
        self.files = [os.memfd_create("region", os.MFD_CLOEXEC) for _ in range(2)]
        for file, address in zip(self.files, (0, HIGH), strict=True):
            os.ftruncate(file, SIZE)
            self.space.map(address, SIZE, file, 0)
        self.memory = self.space.view
        wanted = WANTED | vu.BACKEND_REQ | (vu.MEM_SLOTS if slots else 0)
        self.frontend = Frontend(connect(path), wanted=wanted)
        self.events = Events(*(os.eventfd(0) for _ in range(3)))  # kicks block when they are read: as some are
        self.ring: split_rings.DriverRing | packed_rings.DriverRing

    def begin(self, features: int, size: int, queue: int = 0, base: int | None = None) -> None:
        """Set the device up, and a virtqueue of it, from the start."""
        front = self.frontend
        front.set_features(features)
        front.share(0, SIZE, USER, self.files[0])
        front.add_region(HIGH, SIZE, USER + HIGH, self.files[1])
        packed = bool(features & spec.RING_PACKED)
        self.place(features, size, queue, (0x80008000 if packed else 0) if base is None else base)
        front.enable(queue)
        front.set_status(0xF)
        front.settle()

    def place(self, features: int, size: int, queue: int, base: int) -> None:
        """Lay the rings out, and tell where."""
        packed = bool(features & spec.RING_PACKED)
        lengths = spec.area_sizes(spec.PACKED if packed else spec.SPLIT, size)
        for at, length in zip(PLACES, lengths, strict=True):
            self.memory[at : at + length] = bytes(length)
        make = packed_rings.DriverRing if packed else split_rings.DriverRing
        self.ring = make(self.memory, features, size, *PLACES)
        areas = [USER + at for at in PLACES]
        self.frontend.place(queue, size, base, (areas[0], areas[1], areas[2]))
        self.frontend.ring(queue, self.events)

    def read_sector(self, sector: int, number: int = 0) -> tuple[int, int]:
        """Make a read of one sector available: head or id, and where its data will be."""
        at = BUFFERS + 0x400 * number
        self.memory[at : at + 16] = struct.pack("<IIQ", 0, 0, sector)
        self.memory[at + 16 : at + 0x300] = b"\xa5" * (0x300 - 16)
        elements = [(at, 16), (at + 16, 512), (at + 16 + 512, 1)]
        id_, _ = self.ring.place(elements, 1, None, number)
        self.ring.expose(1)
        return id_, at + 16

    def kick(self) -> None:
        os.eventfd_write(self.events.kick, 1)

    def used(self) -> int:
        """Used idx, of a split virtqueue."""
        return int.from_bytes(self.memory[PLACES[2] + 2 : PLACES[2] + 4], "little")

    def close(self) -> None:
        self.frontend.close()
        for descriptor in (*self.files, self.events.kick, self.events.call, self.events.error):
            os.close(descriptor)


def behind(bench, action):
    """Do what blocks, in a thread, while *bench* is served: what it returned."""
    found = []
    thread = threading.Thread(target=lambda: found.append(action()), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while thread.is_alive() and time.monotonic() < deadline:
        bench.pump(0.005)
    assert not thread.is_alive(), "the front-end waits for ever"
    return found[0]


class OneGuest:
    """A Machine that runs a disk's driver in a thread: it reads one sector after another, *most* at a time.

    *fault*: dies, silent (exposes nothing), stuck (sets up nothing), foreign (hands up other data), stays (does not
    let go).
    """

    name = "guest"
    slots: Sequence[tuple[str, bool, bool]] = (("blk", False, False),)

    def __init__(self, fault: str = "", most: int = 4) -> None:
        self.fault = fault
        self.most = most
        self.path = ""
        self.gone = ""
        self.saying = OFF
        self.ending = self.closing = False
        self.reports: list[Handed] = []
        self.thread: threading.Thread | None = None

    def boot(self, slots) -> None:
        self.path = slots[0].socket

    def alive(self) -> str:
        return self.gone

    def begin(self, slot: int) -> None:
        self.saying = STARTING
        self.ending = False
        if self.fault != "stuck":
            self.thread = threading.Thread(target=self._run, daemon=True)
            self.thread.start()

    def end(self, slot: int) -> None:
        self.ending = True

    def state(self, slot: int) -> str:
        return self.saying

    def handed(self, slot: int) -> list[Handed]:
        found, self.reports = self.reports, []
        return found

    def words(self) -> str:
        return ""

    def close(self) -> None:
        self.ending = self.closing = True
        if self.thread is not None:
            self.thread.join(5)

    def _run(self) -> None:
        guest = Guest(self.path)
        try:
            guest.frontend.negotiate()
            guest.begin(spec.VERSION_1, 16)
            self._drive(guest)
            if self.fault != "stays" and not self.closing:
                guest.frontend.vring_base(0)
                self.saying = OFF
        except ConversationError:
            self.gone = self.gone or "the connection broke"
        finally:
            guest.close()

    def _drive(self, guest: Guest) -> None:
        sector, taken = 1, 0
        waiting: dict[int, tuple[int, int, int]] = {}
        while not self.closing and (waiting or not self.ending):
            while len(waiting) < self.most and not self.ending and self.fault != "silent":
                free = next(number for number in range(16) if all(number != one[1] for one in waiting.values()))
                id_, at = guest.read_sector(sector, free)
                waiting[id_] = (sector, free, at)
                sector += 1
            guest.kick()
            if self.fault == "dies" and taken > 2:
                self.gone = "killed by SIGSEGV"
                return
            time.sleep(0.0005)
            while taken != guest.used():
                at = PLACES[2] + 4 + 8 * (taken % 16)
                id_ = int.from_bytes(guest.memory[at : at + 4], "little")
                taken += 1
                self._hand_up(guest, waiting.pop(id_))
                guest.ring.reclaim(id_, 3)

    def _hand_up(self, guest: Guest, request: tuple[int, int, int]) -> None:
        sector, _, at = request
        check = guest.memory[at : at + 16].tobytes()
        if self.fault == "foreign" and sector == 7:
            check = bytes(8) + check[8:]
        self.reports.append(Handed(sector, 512, check))
        self.saying = WORKING
