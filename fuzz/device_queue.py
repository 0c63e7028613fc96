"""One virtqueue as we serve it: looking at what the driver exposes, using its buffers, and notifying it.

Reads raw memory, and keeps the rules of devices; never judges. What the driver made available, the oracle of drivers
knows; it is asked, so that both have the same books.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Union

from fuzz.program import Suppress, Use
from fuzz.regarding import found
from fuzz.targets.driver import DriverQueue
from fuzz.targets.extents import gather, scatter
from oracles import exposed, packed_rings, spec, split_rings
from oracles.driver_oracle import DriverQueueOracle
from oracles.exposing import Follower
from oracles.mirror import Mirror
from oracles.split_rings import Chain
from oracles.trace import Called, Delivered, Extent, Filled, Looked, Observation, Resetting, Started, Stored

Ring = Union[split_rings.DeviceRing, packed_rings.DeviceRing]
RingClass = Union[type[split_rings.DeviceRing], type[packed_rings.DeviceRing]]
Filling = Callable[[int, Sequence[Extent], int, "int | None"], bytes]
"""Says what is written into a buffer: serial number, device-readable elements, room, length wanted."""
_FENCE = Lock()  # taken and let go, it keeps loads behind it from being done before stores
UNKNOWN = 0xFFFF
"""The id of a buffer that the driver handed up and never exposed."""


class DeviceQueue:
    """The device's half of one of a driver's queues. *judge*: takes each observation, and raises if it is a find."""

    def __init__(
        self, number: int, session: DriverQueue, oracle: DriverQueueOracle, judge: Callable[[int, Observation], None]
    ) -> None:
        self.number = number
        self.session = session
        self.oracle = oracle
        self.mirror = Mirror(oracle)
        self._judge = judge
        listen = getattr(session, "listen", None)  # our own driver shows its stores
        self.logging = bool(listen is not None and listen(self.feed))
        self.live = bool(getattr(session, "live", False))  # the driver runs by itself
        #: how many buffers the driver keeps outstanding at most, where that is known
        self.most = int(getattr(session, "most", 1 << 15))
        self.memory = session.memory
        self.words = session.memory.cast("H")
        #: says what is written into a buffer, where we are of some class
        self.fill: Filling | None = getattr(session, "fill", None)
        #: the pieces of that, which the upper half may be handed each by itself
        self.traces: Callable[[bytes], list[bytes]] | None = getattr(session, "traces", None)
        #: what each device-writable part begins with, and how much is written at least, where we are of some class
        self.prefix = bytes(getattr(session, "prefix", b""))
        self.least = int(getattr(session, "least", 0))
        #: makes the ring, where more is to be kept of it than we need
        self.ring_class: Callable[[], RingClass] | None = getattr(session, "ring_class", None)
        self.stamp = 0  # so many bytes behind that prefix say which buffer it is
        self.given: Callable[[list[tuple[int, int]]], None] | None = None  # buffers are about to be used: number, id
        self.arrived: Callable[[exposed.Chain], None] | None = None  # a buffer is found exposed
        self.ring: Ring
        self.fetched: deque[tuple[int, Chain]] = deque()  # (serial number, buffer) that were fetched and not used
        self.wrote: dict[int, int] = {}  # serial number to bytes written
        self.waiting: deque[int] = deque()  # tokens of buffers that were not seen exposed yet
        self.rooms: dict[int, tuple[Extent, ...]] = {}  # by token, where the device-writable elements are
        self.ids: dict[int, int] = {}  # tokens to heads or buffer ids
        self.count = 0  # buffers fetched over the whole run
        self.due = False  # a notification was asked for and not sent
        self.woken = False  # a notification came since the driver said that nothing is there
        self.sleeping = False
        self._serial = 0
        self._last: Chain | None = None

    @property
    def follower(self) -> Follower:
        """What the oracle knows of the queue."""
        assert self.oracle.follower is not None
        return self.oracle.follower

    def feed(self, seen: Observation) -> None:
        """Tell what was seen or done on this queue."""
        self._judge(self.number, seen)

    # -- life

    def begin(self, cause: str) -> None:
        """The driver set the queue up."""
        session, config = self.session, self.session.queue
        address = session.address
        self.memory = session.memory
        self.words = session.memory.cast("H")
        split = not session.features & spec.RING_PACKED
        kind: RingClass = split_rings.DeviceRing if split else packed_rings.DeviceRing
        if self.ring_class is not None:
            kind = self.ring_class()
        places = (config.descriptor, config.driver, config.device)
        self.ring = kind(
            self.memory, address, self._store, session.features, config.size, *places, config.available, config.used
        )
        self.fetched.clear()
        self.waiting.clear()
        self.ids.clear()
        self.due = self.sleeping = self.woken = False
        self.count = self.mirror.count
        self._serial = 0
        self._last = None
        self.feed(self._started(cause, config.available, config.used))
        if self.logging and self.oracle.live:  # what was there before the first store that is logged
            for seen in found(self.follower, self.memory, address):
                self.feed(seen)
        self.look()

    def _started(self, cause: str, available: int, used: int) -> Started:
        session, config = self.session, self.session.queue
        address = session.address
        layout = spec.PACKED if session.features & spec.RING_PACKED else spec.SPLIT
        return Started(
            layout, config.size, session.features, config.descriptor + address, config.driver + address,
            config.device + address, (address, len(self.memory)), available, used, 1, cause,
        )  # fmt: skip

    def restart(self) -> None:
        """Stop and go on where we were; buffers that we fetched out of turn keep us from it."""
        if self.fetched or not self.oracle.live:
            return
        ring, config = self.ring, self.session.queue
        self.feed(Resetting("stop", ring.base()))
        available, used = (ring.available, ring.used) if isinstance(ring, split_rings.DeviceRing) else _positions(ring)
        places = (config.descriptor, config.driver, config.device)
        self.ring = type(ring)(
            self.memory, self.session.address, self._store, self.session.features, config.size, *places, available, used
        )
        self.feed(self._started("restart", self.follower.place(), used))

    # -- looking

    def look(self, waited: bool = False, aside: bool = False) -> None:
        """See what the driver exposes. *aside*: it was asked for nothing here, so that only news are told."""
        if not self.oracle.live:
            return
        if self.live:
            self.session.kick()  # what it has to say, and whether it lives
        news = not (self.live or aside) or not self.follower.begun
        if not self.logging:
            for seen in found(self.follower, self.memory, self.session.address, self.live):
                self.feed(seen)
                news = True
        if news:
            self.feed(Looked(waited, self.logging))
        if self.oracle.live:
            self._name_tokens()

    def added(self, token: int, readable: int) -> None:
        """The driver took a buffer, with so many device-readable elements."""
        self.waiting.append(token)
        self.rooms[token] = self.session.elements(token)[readable:]

    def delivered(self, token: int, length: int) -> None:
        """It handed the buffer up, with so many bytes: what stands there."""
        data = gather(self.session.memory, 0, self.rooms.pop(token, ()), min(length, 16))
        if data:
            self.feed(Delivered(data, last=True))

    def _name_tokens(self) -> None:
        """Buffers are exposed in the order in which they were added."""
        follower = self.follower
        fresh = follower.serial - self._serial
        self._serial = follower.serial
        ids = list(follower.outstanding)[-fresh:] if fresh else []
        for id_ in ids:
            if self.waiting:
                self.ids[self.waiting.popleft()] = id_
            if self.arrived is not None:
                self.arrived(follower.outstanding[id_])

    def expect(self, count: int, seconds: float, every: bool = False) -> bool:
        """Look until *count* buffers are there to be used, or the time is over; whether any are, or *every* one."""
        deadline = time.monotonic() + seconds
        while self.oracle.live and len(self.follower.outstanding) < count and time.monotonic() < deadline:
            time.sleep(0.0005)
            self.look()
        return self.oracle.live and len(self.follower.outstanding) >= (count if every else 1)

    def fetch(self, most: int) -> None:
        """Fetch what is available, until there are so many that were not used."""
        if self.live:
            most = min(most, len(self.follower.outstanding))  # nothing that the last look did not show
        while len(self.fetched) < most and self.ring.waiting():
            chain = self.ring.fetch()
            if chain is None:
                return
            self.fetched.append((self.count, chain))
            self.count += 1

    # -- using

    def _store(self, offset: int, data: bytes) -> None:
        if len(data) == 2:
            self.words[offset >> 1] = data[0] | data[1] << 8
        else:
            self.memory[offset : offset + len(data)] = data
        self.feed(Stored(self.session.address + offset, data))

    def write(self, number: int, chain: Chain, length: int | None) -> int:
        """Write so many bytes to the buffer, or all that it has room for; how many."""
        capacity = sum(size for _, size in chain.writable)
        if self.fill is not None:
            data = self.fill(number, chain.readable, capacity, length)
            written = len(data)
        else:
            written = capacity if length is None else min(max(length, self.least), capacity)
            head = self.prefix + number.to_bytes(8, "little")[: self.stamp]
            data = (head + bytes([1 + number % 127]) * written)[:written]
        self.wrote[number] = written
        scatter(self.memory, self.session.address, chain.writable, data)
        pieces = self.traces(data) if self.traces is not None else [] if self.live else [data]
        if any(pieces):
            told = b"".join(piece[:16].ljust(16, b"\0") for piece in pieces[:-1]) + pieces[-1][:16]
            self.feed(Filled(chain.id, told))
        return written

    def use(self, step: Use) -> None:
        """Use the buffers that the step means."""
        in_order = self.ring.in_order
        self.fetch(1 << 16 if step.order == "youngest" and not in_order else step.count)
        count = min(step.count, len(self.fetched))
        if not count:
            return
        if step.order == "youngest" and not in_order:
            taken = [self.fetched.pop() for _ in range(count)]
        else:
            taken = [self.fetched.popleft() for _ in range(count)]
            if step.order == "reversed" and not in_order:
                taken.reverse()
        if self.given is not None:
            self.given([(number, chain.id) for number, chain in taken])
        packed = isinstance(self.ring, packed_rings.DeviceRing)
        if isinstance(self.ring, packed_rings.DeviceRing):
            self.ring.junk = spec.DESC_F_NEXT if step.junk else 0
        if in_order and not step.singly:
            self._use_batch(taken, step)
        else:
            for number, chain in taken:
                self.ring.use([chain], self.write(number, chain, step.length), step.singly)
                if step.singly or packed:  # else nothing is published, and the driver's words may change before it is
                    self._decide()
            if not step.singly:
                self.ring.publish()
        self._decide()
        self._last = taken[-1][1]

    def _use_batch(self, taken: Sequence[tuple[int, Chain]], step: Use) -> None:
        """One used element for all; what is skipped is written completely (2.7.9)."""
        for number, chain in taken[:-1]:
            self.write(number, chain, None)
        length = self.write(*taken[-1], step.length)
        chains = [chain for _, chain in taken]
        ring = self.ring
        if step.junk and isinstance(ring, split_rings.DeviceRing):
            for place in range(1, len(chains)):
                ring.element((ring.used + place) % ring.size, chains[place - 1].id, self.least + place)
        ring.use(chains, length)

    def _decide(self) -> None:
        """Whether what was published asks for a notification, by the words as they are now."""
        if self.live:  # what was stored must be seen before the driver's words are read, which it changes meanwhile
            with _FENCE:
                pass
        self.due = self.ring.calls() or self.due

    # -- notifying

    def call(self, force: bool = False) -> bool:
        """Notify the driver if that is due; whether we did."""
        if not self.due and not force:
            return False
        self.due = False
        self.feed(Called())
        self.session.interrupt()
        return True

    def suppress(self, step: Suppress) -> None:
        """Write our suppression words (2.7.10, 2.8.10), from where the driver is."""
        place, ring, device = self.follower.place(), self.ring, self.session.queue.device
        mode = step.mode if self.ring.event_idx or step.mode != "event" else "enable"
        if isinstance(ring, split_rings.DeviceRing):
            if ring.event_idx:
                ahead = {"event": step.ahead, "disable": -1}.get(mode, 0)
                self._store(device + 4 + 8 * ring.size, (place + ahead & 0xFFFF).to_bytes(2, "little"))
            else:
                self._store(device, int(mode == "disable").to_bytes(2, "little"))
            return
        if mode == "event":
            at, wrap = (place & 0x7FFF) + step.ahead % ring.size, place >> 15
            if at >= ring.size:
                at, wrap = at - ring.size, wrap ^ 1
            self._store(device, (at | wrap << 15).to_bytes(2, "little"))
        self._store(device + 2, {"enable": 0, "disable": 1}.get(mode, 2).to_bytes(2, "little"))

    # -- breaking rules

    def misuse(self, what: str, value: int) -> None:
        """Break a rule of devices; nobody judges what follows."""
        self.fetch(1 << 16)
        ring, size = self.ring, self.ring.size
        slots = sum(chain.slots for _, chain in list(self.fetched)[:1]) or 1
        oldest = self.fetched[0][1] if self.fetched else Chain(value, slots, [], [])
        if what == "flags":
            self._flags(value)
        elif what == "jump" and isinstance(ring, split_rings.DeviceRing):
            ring.used = ring.used + value & 0xFFFF
            ring.publish()
        elif what == "jump" and isinstance(ring, packed_rings.DeviceRing):
            ring.advance(value % size, False)
            ring.use([oldest], 0)
        elif what == "again" and self._last is not None:
            ring.use([self._last], 0)
        elif what == "youngest" and self.fetched:
            ring.use([self.fetched.pop()[1]], 0)
        elif what == "length":
            ring.use([oldest], value or 0xFFFFFFFF)
        else:
            ring.use([Chain(value, slots, [], [])], 0)
        self.due = True

    def _flags(self, value: int) -> None:
        ring = self.ring
        if isinstance(ring, split_rings.DeviceRing):
            self._store(ring.device, (value & 0xFFFF).to_bytes(2, "little"))
        else:
            ring.store_flags(ring.used, value & 0xFFFF)


def _positions(ring: packed_rings.DeviceRing) -> tuple[int, int]:
    return ring.next | ring.wrap << 15, ring.used | ring.used_wrap << 15
