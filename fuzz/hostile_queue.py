"""A virtqueue of a driver that breaks its rules: books that go on, looks that prove nothing, and only safety judged.

Of a queue that was poked, nothing is received any more until it is started again. The others are judged as ever, but
nobody owes them anything, for a device may give up as a whole. Knows both kinds. Never judges.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fuzz.devices import Message
from fuzz.driver_queue import DriverQueue
from fuzz.guard import Reach, overlaps
from oracles import spec, split_rings
from oracles.model import Buffer
from oracles.trace import Changed, Extent, Observation, Poked, Resetting, Supplied

if TYPE_CHECKING:
    from fuzz.hostile_side import HostileDriver

MOMENT = 0.01
"""Seconds for which buffers that nobody owes are waited for."""

#: Device classes whose answers can be judged after a reset, whatever was asked before: nothing of that comes back.
PLAIN = frozenset({"any", "blk", "rng"})


class HostileQueue(DriverQueue):
    """One queue, of which *last* is the buffer supplied last, *slots* its descriptors, *ids* all buffer ids so far."""

    driver: HostileDriver
    poked = False
    last: Supplied | None = None

    def prepare(self, start: int) -> None:
        """A new life: whatever was poked is gone."""
        super().prepare(start)
        self.poked = False
        self.last = None
        self.slots: list[int] = []
        self.ids: list[int] = []
        self.tables: set[Extent] = set()
        self.reach = Reach((self.session.address, len(self.session.memory)))

    def feed(self, observation: Observation) -> None:
        """Record and judge, but for changes that may be allowed: the guard looks for those that are not."""
        if isinstance(observation, Changed) and self.driver.ever:
            return
        if isinstance(observation, Supplied):
            self._supplied(observation)
        super().feed(observation)

    def stray(self, offset: int, data: bytes) -> None:
        """Something was written that nothing allowed. Raises Broken."""
        super().feed(Changed(self.session.address + offset, data))

    def _supplied(self, told: Supplied) -> None:
        ring, size = self.ring, self.size
        self.last = told
        self.ids.append(told.id)
        if told.table[1]:
            self.tables.add(told.table)
        if not isinstance(ring, split_rings.DriverRing):
            self.slots = [(ring.next - told.slots + at) % size for at in range(told.slots)]
        elif ring.in_order:
            self.slots = [(told.id + at) % size for at in range(told.slots)]
        else:
            self.slots = list(ring.chains[told.id])

    # -- a poke

    def spoil(self, what: str) -> None:
        """It is poked from here on."""
        self.poked = True
        self.feed(Poked(what))

    def note(self, poked: bool) -> None:
        """Remember what the descriptors allow, as they stand."""
        memory, base, split = self.session.memory, self.places[0], self.split
        self.reach.note(base, memory[base : base + 16 * self.size].tobytes(), not split, self.tables, poked)
        for address, length in self.tables:
            at = address - self.session.address
            table = memory[at : at + length].tobytes()
            self.reach.note(at, table, not split, self.tables, poked)
            if split and poked and any(int.from_bytes(table[spot : spot + 2], "little") >= length // 16
                                       for spot in range(14, length, 16) if table[spot - 2] & 1):  # fmt: skip
                self.reach.loose = True  # next leads out of the table: what stands there, nobody knows

    def areas(self) -> list[Extent]:
        """What any device may write while the queue lives: its part of the rings, and writable elements."""
        sizes = spec.area_sizes(self.driver.layout, self.size)
        found = [(self.places[area], sizes[area]) for area in ((2,) if self.split else (0, 2))]
        for block in self.blocks.values():
            found += block.elements[block.readable :]
        return found

    def structures(self) -> list[Extent]:
        """The rings, and the indirect tables that a device may read."""
        sizes = spec.area_sizes(self.driver.layout, self.size)
        tables = [block.table for block in self.blocks.values() if block.table is not None]
        return [*zip(self.places, sizes, strict=True), *tables]

    # -- looking

    def look(self) -> None:
        """Of a poked queue, there is nothing to see."""
        if not self.poked:
            super().look()

    def _look(self) -> None:
        if not self.poked:
            super()._look()

    def owed(self) -> int:
        """As ever; of a poked queue, something may be in flight for ever."""
        return 1 if self.poked else super().owed()

    def receive(self, count: int, asleep: bool) -> None:
        """As ever; of a poked queue, give the device a moment."""
        if self.poked:
            self._pause()
        else:
            super().receive(count, asleep)

    def _pause(self) -> None:
        """Until the device wrote something into its rings, but not for long."""
        if self.driver.listening:
            return
        spans = [(at, length) for at, length in self.areas()[: 1 if self.split else 2]]
        memory = self.session.memory
        before = [memory[at : at + length].tobytes() for at, length in spans]
        deadline = time.monotonic() + MOMENT
        while time.monotonic() < deadline:
            self.session.called(self.number, 0.001)
            if before != [memory[at : at + length].tobytes() for at, length in spans]:
                return

    def _wait(self, count: int, asleep: bool) -> None:
        if not self.driver.wild:
            super()._wait(count, asleep)
            return
        deadline = time.monotonic() + MOMENT
        self.look()
        while self.oracle.received < count and self.oracle.available and time.monotonic() < deadline:
            if not self._hears(0.0005):
                self.look()

    def idle(self) -> None:
        """While anything is poked, nobody owes anything."""
        if not self.driver.wild:
            super().idle()

    def settle(self) -> None:
        """As ever, unless something is poked."""
        if not self.driver.wild:
            super().settle()
        elif not self.poked:
            self._wait(self.oracle.received + self.oracle.available, False)

    def _may_be_spoilt(self, number: int) -> bool:
        """Whether what is poked lets the device write into this buffer, or has a part in what it answers there."""
        block = self.blocks.get(number)
        if block is None or not self.driver.wild:
            return False
        if self.driver.device is not None:
            return True  # requests of one queue have effects on another: frames that come back, sectors, ports
        reached = [one for queue in self.driver.queues if queue.poked for one in queue.reach.extents]
        return self.driver.loose or overlaps(block.elements, reached)

    def scan(self, buffer: Buffer) -> None:
        """As ever, unless the device was allowed to write there, or what it answers depends on what was poked."""
        if self._may_be_spoilt(buffer.number):
            return
        message = self.messages.get(buffer.number)
        if message is not None and self.driver.ever and self.driver.program.device not in PLAIN:
            self.messages[buffer.number] = Message(message.readable, message.writable, completes=message.completes)
        super().scan(buffer)

    def quiet(self) -> None:
        """Once anything was poked, the guard looks for writes where nobody may write."""
        if not self.driver.ever:
            super().quiet()

    def end(self, why: Resetting) -> None:
        """As ever."""
        super().end(why)
        if self.driver.ever:
            self._at_rest = []
