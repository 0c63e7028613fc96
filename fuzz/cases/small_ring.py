"""One split virtqueue of a case: a buffer at a time, looked at and judged as any other ring.

Knows split rings (2.7) and one simple request for a few classes of devices. Must not know registers, or rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz import devices
from fuzz.cases import NotOffered
from fuzz.devices import Message
from fuzz.devices.any import question, reply
from fuzz.program import Request
from fuzz.targets import QueueConfig
from oracles import spec
from oracles.trace import (
    Changed,
    Extent,
    Notified,
    Published,
    Reclaimed,
    Resetting,
    SawUsed,
    Scanned,
    Started,
    Supplied,
)

if TYPE_CHECKING:
    from fuzz.cases.register_bench import Bench

REQUESTS = {"rng": Request("entropy", (("length", 64),)), "blk": Request("read", (("sector", 0), ("length", 512)))}
PREFILL = b"\xa5"
_STRIDE = 0x8000  # memory of one life of one queue
_LIVES = 8
_BUFFERS, _BUFFER = 0x2000, 0x400  # offset of the first buffer in it, and room of each


def knows(device_class: str) -> bool:
    """Whether there is a request for devices of this class."""
    return device_class == "any" or device_class in REQUESTS


class SmallRing:
    """One life of queue *number*: from its set-up until it is reset. ``config`` says where it lies."""

    def __init__(self, bench: Bench, number: int, size: int, life: int) -> None:
        self.bench = bench
        self.number = number
        self.size = size
        self.life = life
        self.used = 0  # buffers that came back
        self.supplied = 0
        self._memory = bench.device.memory
        self._base = 0x1000 + (number * _LIVES + life % _LIVES) * _STRIDE
        self._free = _BUFFERS
        self._told: dict[int, tuple[Supplied, Message]] = {}
        areas = (self._base, self._base + 0x800, self._base + 0x1000)
        self.config = QueueConfig(size, *areas)
        self._memory[self._base : self._base + _STRIDE] = bytes(_STRIDE)
        self._ours = b""
        self._still = b""  # the used ring when the queue stopped being live

    @property
    def outstanding(self) -> int:
        """Buffers that have not come back."""
        return self.supplied - self.used

    def begin(self, cause: str) -> None:
        """The queue is live."""
        address = self.bench.device.address
        config = self.config
        areas = (address + config.descriptor, address + config.driver, address + config.device)
        memory = (address, len(self._memory))
        position = self.used if cause == "restart" else 0
        available = self.supplied if position else 0
        features = self.bench.driver.features
        told = Started(spec.SPLIT, self.size, features, *areas, memory, available, position, 8, cause)
        self.bench.feed(told, self.number)
        self._ours = self._mine()

    def end(self, what: str) -> None:
        """From here on it is not."""
        self._still = self._theirs()
        self.bench.feed(Resetting(what), self.number)

    def message(self, serial: int) -> Message:
        """A request that every device of its class answers."""
        kind = self.bench.device.device_class
        if not knows(kind):
            raise NotOffered(f"no request is known here that a device of class {kind} always answers")
        if kind == "any":
            asked = question(serial, 16)
            return Message(asked, 64, lambda used, data: "" if data == reply(asked, 64) else "another answer")
        return devices.load(kind, {"capacity": 1 << 10}).message(REQUESTS[kind], serial, self.number)

    def supply(self) -> None:
        """Make a buffer available. Nobody is told."""
        serial = self.bench.serial(self.number)
        message = self.message(serial)
        parts = [(message.readable, 0)] if message.readable else []
        elements: list[Extent] = []
        head = 2 * self.supplied % self.size
        place = self._base + self._free
        self._free += _BUFFER
        data = [*parts, (PREFILL * message.writable, spec.DESC_F_WRITE)]
        for step, (content, flags) in enumerate(data):
            more = step + 1 < len(data)
            address = self.bench.device.address + place
            self._memory[place : place + len(content)] = content
            slot = self.config.descriptor + 16 * ((head + step) % self.size)
            entry = spec.DESCRIPTOR.pack(address, len(content), flags | more * spec.DESC_F_NEXT, (head + 1) % self.size)
            self._memory[slot : slot + 16] = entry
            elements.append((address, len(content)))
            place += len(content) + 16
        told = Supplied(
            serial, head, len(data), len(message.readable), message.writable, tuple(elements), direct=len(data)
        )
        self._told[head] = told, message
        self.bench.feed(told, self.number)
        self._publish(head)

    def _publish(self, head: int) -> None:
        words = self._memory.cast("H")
        words[(self.config.driver + 4 + 2 * (self.supplied % self.size)) // 2] = head
        self.supplied += 1
        words[(self.config.driver + 2) // 2] = self.supplied
        self._ours = self._mine()
        self.bench.feed(Published(1), self.number)

    def tempt(self) -> None:
        """Put a buffer where a device would take it that does not know that the queue isn't live. Nothing is said."""
        words = self._memory.cast("H")
        place = self._base + self._free
        self._free += _BUFFER
        message = self.message(self.bench.serial(self.number))
        self._memory[place : place + len(message.readable)] = message.readable
        first = self.config.descriptor
        address = self.bench.device.address + place
        last = spec.DESCRIPTOR.pack(address + 0x200, message.writable, spec.DESC_F_WRITE, 0)
        entries = last
        if message.readable:
            entries = spec.DESCRIPTOR.pack(address, len(message.readable), spec.DESC_F_NEXT, 1) + last
        self._memory[first : first + len(entries)] = entries
        words[(self.config.driver + 4 + 2 * (self.supplied % self.size)) // 2] = 0
        words[(self.config.driver + 2) // 2] = self.supplied + 1
        self._ours = self._mine()

    def spoil(self) -> None:
        """Make a chain available that begins outside of the table: no driver does so."""
        words = self._memory.cast("H")
        words[(self.config.driver + 4 + 2 * (self.supplied % self.size)) // 2] = self.size + 3
        words[(self.config.driver + 2) // 2] = self.supplied + 1
        self._ours = self._mine()

    def kick(self) -> None:
        """Notify the device."""
        self.bench.driver.kick(self.number, self.supplied)
        self.bench.feed(Notified(), self.number)

    def _mine(self) -> bytes:
        """What only the driver writes."""
        table = self._memory[self.config.descriptor : self.config.descriptor + 16 * self.size].tobytes()
        return table + self._memory[self.config.driver : self.config.driver + 6 + 2 * self.size].tobytes()

    def look(self) -> None:
        """What the ring looks like now."""
        device = self.config.device
        idx = self._memory.cast("H")[(device + 2) // 2]
        count = idx - self.used & 0xFFFF
        if count:
            places = [device + 4 + 8 * ((self.used + step) % self.size) for step in range(min(count, self.size))]
            elements = b"".join(self._memory[place : place + 8].tobytes() for place in places)
            self.bench.feed(SawUsed(idx, elements, (1 << len(places)) - 1), self.number)
            self.used = self.used + count & 0xFFFF
            self._scan()
        mine = self._mine()
        if mine != self._ours:
            at = next(at for at in range(len(mine)) if mine[at] != self._ours[at])
            table = 16 * self.size
            place = self.config.descriptor + at if at < table else self.config.driver + at - table
            self._ours = mine
            self.bench.feed(Changed(self.bench.device.address + place, mine[at : at + 8]), self.number)

    def _scan(self) -> None:
        oracle = self.bench.oracle.queue(self.number)
        scanned = list(oracle.to_scan)
        oracle.to_scan = []
        for buffer in scanned:
            told, message = self._told[buffer.id]
            address, length = told.elements[-1]
            start = address - self.bench.device.address
            data = self._memory[start : start + length].tobytes()
            kept = _kept(data)
            written = length - sum(run for _, run in kept)
            wrong = message.check(min(written, length), data)
            self.bench.feed(Scanned(told.buffer, kept, wrong, self.bench.device.device_class), self.number)
        if scanned:
            self.bench.feed(Reclaimed(len(scanned)), self.number)

    def watch(self) -> None:
        """Whether anything of a queue that is not live has changed, its used ring included."""
        now = self._theirs()
        if now != self._still:
            at = next(at for at in range(len(now)) if now[at] != self._still[at])
            self._still = now
            address = self.bench.device.address + self.config.device + at
            self.bench.feed(Changed(address, now[at : at + 8]), self.number)

    def _theirs(self) -> bytes:
        """What only the device writes."""
        return self._memory[self.config.device : self.config.device + 6 + 8 * self.size].tobytes()


def _kept(data: bytes) -> tuple[Extent, ...]:
    """Runs of at least eight bytes that still are as they were."""
    runs: list[Extent] = []
    start = 0
    for at in range(len(data) + 1):
        if at == len(data) or data[at : at + 1] != PREFILL:
            if at - start >= 8:
                runs.append((start, at - start))
            start = at + 1
    return tuple(runs)
