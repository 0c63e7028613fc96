"""One virtqueue as the driver uses it: supplying, publishing, notifying, looking, receiving.

Everything that is done or seen goes through ``feed``: into the trace, and to the oracle, whose books
are the driver's own. Keeps the driver's rules; never judges.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

from fuzz.arena import CANARIES, Block, survivors
from fuzz.devices import Message
from fuzz.devices.any import question, reply
from fuzz.program import Supply, divide
from fuzz.targets import QueueConfig
from oracles import packed_rings, spec, split_rings
from oracles.model import Buffer
from oracles.rules import Violation
from oracles.trace import (
    Allowed,
    Called,
    Changed,
    Idle,
    Notified,
    Observation,
    Published,
    Rechecked,
    Reclaimed,
    Resetting,
    SawDescriptor,
    SawUsed,
    Scanned,
    Started,
    Supplied,
    Suppressed,
)

if TYPE_CHECKING:
    from fuzz.driver_side import Driver

_BOTH = spec.DESC_F_AVAIL | spec.DESC_F_USED


class Broken(Exception):
    """The oracle found a violation: the run ends here."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.message)
        self.violation = violation


class Undecided(Exception):
    """Something was waited for and did not come, too soon to say that it won't."""


class DriverQueue:
    """One queue. Positions, room and free descriptors are the ring's; outstanding buffers the oracle's."""

    def __init__(self, driver: Driver, number: int, size: int, start: int, places: tuple[int, int, int], salt: int,
                 judge: bool) -> None:  # fmt: skip
        self.driver = driver
        self.session = driver.session
        self.number = number
        self.size = size
        self.split = driver.layout == spec.SPLIT
        self.start_at = start & 0xFFFF if self.split else 0
        self.places = places
        self.oracle = driver.oracle.queue(number)
        self.trace = driver.outcome.trace
        self.blocks: dict[int, Block] = {}
        self.messages: dict[int, Message] = {}
        self.lazy: set[int] = set()  # buffers whose return nobody owes
        self.serial = 0
        self.salt = salt
        self.judge = judge
        self.config: QueueConfig
        self.ring: split_rings.DriverRing | packed_rings.DriverRing
        self.words = self.session.memory.cast("H")
        self.heard = 0
        self.shown: tuple[int, int] | None = None  # the suppression words we wrote last
        self._used_shadow = bytearray()
        self._resumed = (0, 0)
        self._at_rest = b""  # the device area when the queue ended

    # -- life

    def prepare(self, start: int) -> None:
        """Lay out the rings for a new life, positions at *start* (split) or 0."""
        self._check_rest()
        memory, (descriptor, driver, device) = self.session.memory, self.places
        for at, length in zip(self.places, spec.area_sizes(self.driver.layout, self.size)):
            memory[at : at + length] = bytes(length)
        initial = start if self.split else 1 << 15
        self.config = QueueConfig(self.size, descriptor, driver, device, initial, initial)
        kind = split_rings.DriverRing if self.split else packed_rings.DriverRing
        self.ring = kind(memory, self.driver.features, self.size, descriptor, driver, device, initial)
        if self.split and start:
            # memory as an earlier life would have left it: everything used, a notification wanted for what follows
            self.words[device // 2 + 1] = start
            self.words[(device + 4 + 8 * self.size) // 2] = start
        self.shown = None
        self.blocks.clear()
        self.messages.clear()

    def begin(self, cause: str) -> None:
        """The queue is live."""
        config, address = self.config, self.session.address
        self.feed(
            Started(
                self.driver.layout,
                self.size,
                self.driver.features,
                config.descriptor + address,
                config.driver + address,
                config.device + address,
                (address, len(self.session.memory)),
                config.available,
                config.used,
                self.session.proof,
                cause,
            )
        )
        if self.shown is not None:
            self.feed(Suppressed(*self.shown))
        elif self.start_at and cause == "init":
            self.suppress("enable", 0)
            self.notify()  # a start elsewhere than 0 comes with a notification, so that the device takes up its place

    def end(self, why: Resetting) -> None:
        """The queue is no longer live; nothing may happen on it until it is started again."""
        if self.driver.listening:
            self.feed(why)
            return
        if why.what != "stop":
            self.session.called(self.number, 0.0)
        self.quiet()
        self.feed(why)
        self._at_rest = self._device_area()

    def _device_area(self) -> bytes:
        at, length = self.places[2], spec.area_sizes(self.driver.layout, self.size)[2]
        return self.session.memory[at : at + length].tobytes()

    def _check_rest(self) -> None:
        """Between its end and its next start nothing may have happened on the queue."""
        if self._at_rest:
            found = self._device_area()
            for offset, data in split_rings.differences(self.places[2], self._at_rest, found):
                self.feed(Changed(self.session.address + offset, data))
            self._at_rest = b""

    def config_after(self, base: int) -> QueueConfig | None:
        """Where a stopped queue goes on; None: it reports buffers fetched that it did not use."""
        reader = self.oracle.reader
        ring = self.ring
        if isinstance(ring, split_rings.DriverRing):
            used = reader.idx if hasattr(reader, "idx") else 0
            if base != used:
                return None
            self.config = QueueConfig(self.size, *self.places, base, used)
            self._resumed = (ring.idx, used)
            return self.config
        assert not isinstance(reader, type(None)) and hasattr(reader, "cursor")
        used = reader.cursor | reader.wrap << 15
        oldest = self.oracle.queue.oldest() if self.oracle.available else None
        available = base & 0xFFFF
        if oldest is not None and available != reader._at(oldest):
            return None
        self.config = QueueConfig(self.size, *self.places, available, used)
        position, wrap = (ring.next, ring.wrap)
        self._resumed = (position | wrap << 15, used)
        return self.config

    def resume(self) -> None:
        """The stopped queue runs again."""
        config = self.config
        self._at_rest = b""
        self.config = QueueConfig(self.size, *self.places, *self._resumed)
        self.begin("restart")
        self.config = config
        self.notify()
        if self.driver.listening:
            self.idle()

    # -- evidence

    def feed(self, observation: Observation) -> None:
        """Record an observation and have it judged; scan what it completes. Raises Broken."""
        oracle = self.oracle
        if self.judge:
            self.trace.append((self.number, observation))
        violation = oracle.feed(observation)
        if violation is not None:
            raise Broken(violation)
        if oracle.to_scan:
            found, oracle.to_scan = oracle.to_scan, []
            if self.judge:
                for buffer in found:
                    if buffer.writable or buffer.number in self.messages:
                        self.scan(buffer)

    def scan(self, buffer: Buffer) -> None:
        """Compare the writable bytes of *buffer* with their prefill and with the right answer."""
        block = self.blocks.get(buffer.number)
        if block is None:
            return
        arena = self.driver.arena
        data = arena.written(block)
        kept: tuple[tuple[int, int], ...] = ()
        wrong = ""
        message = self.messages.get(buffer.number)
        if message is None and data == block.expected:
            tail = len(data) - len(data.rstrip(block.canary))
            if tail:
                kept = ((len(data) - tail, tail),)
            elif buffer.run == 1 and buffer.length is not None:
                return
        else:
            kept = survivors(data, block.canary, self.session.proof)
            if message is not None:
                wrong = message.check(len(data) if buffer.length is None else buffer.length, data)
            elif block.expected is not None and buffer.length is not None:
                wrong = _difference(block.expected, data, block.canary)
        beside = arena.disturbed(block) if wrong or kept else None
        if beside is not None:  # bytes that are missing here may have gone there
            self.feed(Changed(self.session.address + beside[0], beside[1]))
        self.feed(Scanned(buffer.number, kept, wrong))

    def quiet(self) -> None:
        """Look for writes where nobody may write: our rings, our buffers, and nobody's memory."""
        address = self.session.address
        for offset, data in self.ring.disturbed():
            self.feed(Changed(address + offset, data))
        arena = self.driver.arena
        for block in self.blocks.values():
            found = arena.disturbed(block)
            if found:
                self.feed(Changed(address + found[0], found[1]))
            if block.table is not None:
                self._check_table(block)
        stray = arena.trespassed()
        if stray:
            self.feed(Changed(address + stray[0], stray[1]))

    def _check_table(self, block: Block) -> None:
        assert block.table is not None
        at, length = block.table
        found = self.session.memory[at : at + length].tobytes()
        expected = block.image_of_table
        if found != expected:
            for offset, data in split_rings.differences(at, expected, found):
                self.feed(Changed(self.session.address + offset, data))

    # -- supplying

    def supply(self, step: Supply) -> None:
        """Place one buffer; left out if it doesn't fit the ring, the queue size rule or memory."""
        message = None
        if step.request is not None and self.driver.device is not None:
            message = self.driver.device.message(step.request, self.serial, self.number)
            lengths, writable = divide(len(message.readable), message.writable, step.cut)
            readable = _slices(message.readable, lengths)
        else:
            readable = _slices(question(self.serial, sum(step.readable)), step.readable)
            writable = step.writable
        count = len(readable) + len(writable)
        direct = count
        if step.indirect is not None and self.driver.features & spec.INDIRECT_DESC:
            direct = min(step.indirect, count - 1) if self.split else 0
        slots = direct + (direct < count)
        if not 0 < count <= self.size or slots > self.ring.room:
            return
        canary = CANARIES[(self.serial * 7 + self.salt * 31) % len(CANARIES)]
        block = self.driver.arena.place(readable, writable, canary, count - direct)
        if block is None:
            return
        self._place(step, block, direct, message, b"".join(readable))
        if not step.held:
            self.publish()

    def _place(self, step: Supply, block: Block, direct: int, message: Message | None, readable: bytes) -> None:
        address = self.session.address
        ring = self.ring
        elements = [(address + at, length) for at, length in block.elements]
        table = None
        if direct < len(elements):
            assert block.table is not None
            data = ring.table(elements[direct:], block.readable - direct)
            at = block.table[0]
            self.session.memory[at : at + len(data)] = data
            block.image_of_table = data
            table = (address + at, len(data))
        number = self.serial
        id_, slots = ring.place(elements[:direct], block.readable, table, number)
        if message is None:
            if self.driver.program.device == "any":
                asked = block.writable if step.answer is None else min(step.answer, block.writable)
                block.expected = reply(readable, asked) + block.canary * (block.writable - asked)
                self.session.answer(self.number, step.answer)
        else:
            self.messages[number] = message
            if not message.completes:
                self.lazy.add(number)
        self.blocks[number] = block
        self.serial = number + 1
        self.feed(
            Supplied(
                number, id_, slots, len(readable), block.writable, tuple(elements), table or (0, 0), direct, ring.decoys()
            )
        )

    def publish(self) -> None:
        """Make everything that is held available, in one step."""
        held = len(self.oracle.queue.held)
        if held:
            self.ring.expose(held)
            self.feed(Published(held))

    # -- notifying

    def excused(self) -> bool:
        """Whether the device's event suppression excuses us from notifying."""
        if not self.driver.listening:
            with self.driver.fence:  # the store of idx or flags must be visible before we load (2.7.13.4.1)
                pass
        flags, event, silent = self.ring.excused()
        self.feed(Allowed(flags, event, silent))
        return silent

    def notify(self) -> None:
        """Send an available buffer notification."""
        self.feed(Notified())
        self.session.notify(self.number)

    def suppress(self, mode: str, ahead: int) -> None:
        """Write our event suppression words, then look at the ring, as a driver must (2.7.7, 2.8.22)."""
        reader = self.oracle.reader
        received = reader.idx if hasattr(reader, "idx") else reader.cursor | reader.wrap << 15
        self.shown = self.ring.suppress(mode, ahead, received)
        self.feed(Suppressed(*self.shown))
        if not self.driver.listening:
            with self.driver.fence:
                pass
            self.look()
        self.feed(Rechecked())

    # -- looking and receiving

    def look(self) -> None:
        """Look at the ring for used buffers. A target with a log has shown them already."""
        if self.driver.listening or not self.oracle.live:
            return
        self._look()
        if self.session.called(self.number, 0.0):
            self._heard()

    def _heard(self) -> None:
        """A notification came: it may be for what we saw, or for what we have not looked at yet."""
        self.feed(Called())
        self._look()
        self.feed(Rechecked())

    def _look(self) -> None:
        if self.split:
            self._look_split()
        else:
            self._look_packed()

    def _look_split(self) -> None:
        reader = self.oracle.reader
        device = self.config.device
        old = reader.idx
        new = self.words[device // 2 + 1]
        step = (new - old) & 0xFFFF
        if not step:
            return
        memory, size, first = self.session.memory, self.size, device + 4
        if step > size:
            self.feed(SawUsed(new, b"", 0))
            return
        start, end = old % size, old % size + step
        data = memory[first + 8 * start : first + 8 * min(end, size)].tobytes()
        if end > size:
            data += memory[first : first + 8 * (end - size)].tobytes()
        changed = 0
        shadow = self._shadow()
        for place in range(step):
            at = 8 * ((start + place) % size)
            element = data[8 * place : 8 * place + 8]
            if shadow[at : at + 8] != element:
                changed |= 1 << place
                shadow[at : at + 8] = element
        self.feed(SawUsed(new, data, changed))

    def _shadow(self) -> bytearray:
        """The used ring as it read when we looked last."""
        if len(self._used_shadow) != 8 * self.size:
            self._used_shadow = bytearray(8 * self.size)
        return self._used_shadow

    def _look_packed(self) -> None:
        reader = self.oracle.reader
        base = self.config.descriptor
        for _ in range(self.size):
            cursor = reader.cursor
            if not self.oracle.available:
                return
            flags = self.words[base // 2 + 8 * cursor + 7]
            if flags & _BOTH != (_BOTH if reader.wrap else 0):
                return
            self.feed(SawDescriptor(cursor, self.session.memory[base + 16 * cursor : base + 16 * cursor + 16].tobytes()))

    def owed(self) -> int:
        """How many outstanding buffers the device must return without further ado."""
        told = self.oracle.available - self.oracle.untold
        if self.lazy and told > 0:
            told -= sum(1 for buffer in self.oracle.queue.by_id.values() if buffer.number in self.lazy)
        return max(told, 0)

    def receive(self, count: int, asleep: bool) -> None:
        """Wait until *count* buffers are used, or all that are owed, and reclaim so many."""
        if asleep and self.oracle.received < count:
            self.suppress("enable", 0)
        if not self.driver.listening:
            self._wait(count, asleep)
        ready = min(count, self.oracle.received)
        if not ready:
            return
        for buffer in islice(self.oracle.queue.used, ready):
            self.ring.reclaim(buffer.id, buffer.slots)
            block = self.blocks.pop(buffer.number)
            self.messages.pop(buffer.number, None)
            self.lazy.discard(buffer.number)
            self.driver.arena.free(block)
        self.feed(Reclaimed(ready))

    def _wait(self, count: int, asleep: bool) -> None:
        """Wait for *count* used buffers; asleep: only a notification makes us look."""
        deadline = 0.0
        seen = -1
        self.look()
        while self.oracle.received < count and self.owed():
            now = time.monotonic()
            if self.oracle.used_total != seen:
                seen, deadline = self.oracle.used_total, now + self.driver.patience
            if now >= deadline:
                self.look()
                self.idle()
                if self.oracle.received < count and self.owed():
                    raise Undecided(f"{self.oracle.queue.oldest()} was not used within {self.driver.patience:g} s")
                if self.oracle.reader.due:
                    raise Undecided(f"no used buffer notification came within {self.driver.patience:g} s")
                return
            pause = deadline - now if asleep else 0.0005
            if self.session.called(self.number, pause):
                self._heard()
            elif not asleep:
                self.look()

    def idle(self) -> None:
        """The device had its chance: a log shows that it is idle, or we waited for long enough."""
        listening = self.driver.listening
        final = listening or self.driver.patient
        owed = not self.session.holding(self.number) and (listening or self.owed() > 0)
        self.feed(Idle(final, owed))

    def settle(self) -> None:
        """The program is over: see that what is owed comes, notifications included, and nothing else changed."""
        if not self.driver.listening:
            self._wait(self.oracle.received + self.oracle.available, False)
            if self.oracle.reader.due and not self.session.called(self.number, self.driver.patience):
                self.idle()
                raise Undecided("a used buffer notification that was asked for has not come")
        self.quiet()


def _difference(expected: bytes, data: bytes, canary: bytes) -> str:
    place = next((at for at in range(len(data)) if data[at] != expected[at]), len(data))
    if place == len(data):
        return ""
    found = "nothing" if data[place : place + 1] == canary else f"{data[place]:02x}"
    if expected[place : place + 1] == canary:
        return f"byte {place} was written, though only {place} bytes were asked for"
    return f"byte {place} of the answer is {found}, must be {expected[place]:02x}"


def _slices(data: bytes, lengths: tuple[int, ...]) -> list[bytes]:
    out, at = [], 0
    for length in lengths:
        out.append(data[at : at + length])
        at += length
    return out
