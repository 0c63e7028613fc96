"""One virtqueue as the driver uses it: its life, supplying, publishing and notifying.

Keeps the driver's rules of the specification; never judges.
"""

from __future__ import annotations

import time

from fuzz.arena import CANARIES, Block
from fuzz.devices import Message
from fuzz.devices.any import question, reply
from fuzz.looking import Looking
from fuzz.program import Supply, directly, divide
from fuzz.targets import QueueConfig
from oracles import packed_rings, spec, split_rings
from oracles.trace import (
    Allowed,
    Called,
    Changed,
    Notified,
    Published,
    Rechecked,
    Resetting,
    Started,
    Supplied,
    Suppressed,
)


class DriverQueue(Looking):
    """One queue. Positions, room and free descriptors are the ring's; outstanding buffers the oracle's."""

    # -- life

    def prepare(self, start: int) -> None:
        """Lay out the rings for a new life, positions at *start* (split) or 0."""
        self._check_rest()
        memory, (descriptor, driver, device) = self.session.memory, self.places
        for at, length in zip(self.places, spec.area_sizes(self.driver.layout, self.size), strict=True):
            memory[at : at + length] = bytes(length)
        if self.split:  # so that an element that was never written can't pass for head 0
            memory[device + 4 : device + 4 + 8 * self.size] = b"\xff" * (8 * self.size)
            self._used_shadow = bytearray()
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
        self.lazy.clear()

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
                self.number not in self.session.unmeasured,
            )
        )
        if self.shown is not None:
            self.feed(Suppressed(*self.shown))  # the words stand in memory as they did before the stop
            self.feed(Rechecked())
        elif self.start_at and cause == "init":
            self.suppress("enable", 0)
            self.notify()  # a start elsewhere than 0 comes with a notification, so that the device takes up its place

    def end(self, why: Resetting) -> None:
        """The queue is no longer live; nothing may happen on it until it is started again."""
        if self.driver.listening:
            self.feed(why)
            return
        if why.what != "stop":
            self._hears_others(0.0)
        self.quiet()
        self.feed(why)
        memory = self.session.memory
        self._at_rest = [(at, memory[at : at + length].tobytes()) for at, length in self._device_areas(why.what)]

    def _hears_others(self, seconds: float) -> bool:
        """Whether a notification came where this queue has none to expect; on a shared line it is for the others."""
        came = self.session.called(self.number, seconds)
        if came and self.session.shared:
            for queue in self.driver.queues:
                if queue is not self:
                    queue.overhear()
        return came

    def _device_areas(self, what: str) -> list[tuple[int, int]]:
        """What the device may write: of the rings, and after a queue reset, when all is the driver's (2.6.1.1.2),
        of the buffers. (offset, length) each, of the size that the queue has: it may begin again with another."""
        sizes = spec.area_sizes(self.driver.layout, self.size)
        areas = [(self.places[area], sizes[area]) for area in ((2,) if self.split else (0, 2))]
        if what == "queue":
            areas += [extent for block in self.blocks.values() for extent in block.elements[block.readable :]]
        return areas

    def _check_rest(self) -> None:
        """Between its end and its next start nothing may have happened on the queue."""
        at_rest, self._at_rest = self._at_rest, []
        for at, expected in at_rest:
            found = self.session.memory[at : at + len(expected)].tobytes()
            for offset, data in split_rings.differences(at, expected, found):
                self.feed(Changed(self.session.address + offset, data))

    def watch_rest(self, seconds: float) -> None:
        """Watch a queue that is not live for so long: the device must leave it alone."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.driver.listening:
            at_rest = self._at_rest
            if self._hears_others(0.001) and not self.session.shared:
                self.feed(Called())
            self._check_rest()
            self._at_rest = at_rest

    def config_after(self, base: int) -> QueueConfig | None:
        """Where a stopped queue goes on; None: it reports buffers fetched that it did not use."""
        reader = self.oracle.reader
        if not reader.drained(base):
            return None
        ring, used = self.ring, reader.position()
        self.config = QueueConfig(self.size, *self.places, base & 0xFFFF, used)
        available = ring.idx if isinstance(ring, split_rings.DriverRing) else ring.next | ring.wrap << 15
        self._resumed = (available, used)
        return self.config

    def resume(self) -> None:
        """The stopped queue runs again."""
        config = self.config
        self._at_rest = []
        self.config = QueueConfig(self.size, *self.places, *self._resumed)
        self.begin("restart")
        self.config = config
        self.ring.excused()  # this notification tells of all that is exposed, so the next decision begins here
        self.notify()
        if self.driver.listening:
            self.idle()

    # -- supplying

    def supply(self, step: Supply) -> None:
        """Place one buffer; left out if it doesn't fit the ring, the queue size rule or memory, or must be alone."""
        message = None
        if step.request is not None and self.driver.device is not None:
            message = self.driver.device.message(step.request, self.serial, self.number)
            if message.alone and self.blocks:
                return
            lengths, writable = divide(len(message.readable), message.writable, step.cut)
            readable = _slices(message.readable, lengths)
        else:
            readable = _slices(question(self.serial, sum(step.readable)), step.readable)
            writable = step.writable
        count = len(readable) + len(writable)
        direct = directly(step, count, self.driver.layout, self.driver.features)
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
                number,
                id_,
                slots,
                len(readable),
                block.writable,
                tuple(elements),
                table or (0, 0),
                direct,
                ring.decoys(),
                message.fails if message is not None else step.answer == 0 < block.writable,
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


def _slices(data: bytes, lengths: tuple[int, ...]) -> list[bytes]:
    out, at = [], 0
    for length in lengths:
        out.append(data[at : at + length])
        at += length
    return out
