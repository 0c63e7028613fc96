"""One ring of the reference back-end: what the front-end told of it, and the engine that serves it.

Knows the device's engine, the log and the inflight area. Must not know sockets or messages.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from fuzz.targets.model.engine import Engine, Job
from fuzz.targets.model.inflight import Area
from fuzz.targets.model.regions import Region
from oracles import spec
from oracles import vhost_user as vu
from oracles.split_rings import Chain
from oracles.trace import Called, Stored

LEVERS = {"order": "fifo", "hold": "0", "batch": "1", "publish": "each", "signal": "each", "junk": "off"}


class Log:
    """The log of dirty pages, once the front-end has given one."""

    def __init__(self) -> None:
        self.view: memoryview | None = None
        self.on = False

    def mark(self, address: int, length: int) -> None:
        """Bytes from the guest address *address* on were written."""
        if self.view is None or not self.on or not length:
            return
        for page in range(address // vu.LOG_PAGE, (address + length - 1) // vu.LOG_PAGE + 1):
            if page // 8 < len(self.view):
                self.view[page // 8] |= 1 << page % 8


class Vring:
    """Ring *number*. *observer*: called with its stores and signals, as they happen."""

    def __init__(self, number: int, kind: type[Engine], log: Log) -> None:
        self.number = number
        self.kind = kind
        self.log = log
        self.levers = dict(LEVERS)
        self.answers: deque[int | None] = deque()
        self.observer: Callable[[int, Stored | Called], None] | None = None
        self.say: Callable[[int], None] | None = None  # in-band: tell that ring number was used
        self.engine: Engine | None = None
        self.area: Area | None = None
        self.gap: Callable[[], None] | None = None
        self.kick = self.call = self.error = -1
        self.forget()

    def forget(self) -> None:
        """The initial state: stopped, disabled, at position 0."""
        self.size = 0
        self.flags = 0
        self.addresses = (0, 0, 0, 0)
        self.base = 0
        self.started = self.polling = self.enabled = False
        self.began = False  # once, since the connection began or the device was reset
        if self.engine is not None and self.engine.live:
            self.engine.halt()
        self.engine = None
        self.area = None
        self.take("kick", -1)
        self.take("call", -1)
        self.take("error", -1)

    def take(self, what: str, descriptor: int) -> None:
        """Keep *descriptor* as kick, call or error; let go of the one before."""
        old = getattr(self, what)
        if old >= 0:
            os.close(old)
        setattr(self, what, descriptor)

    def kicked(self) -> bool:
        """Whether the kick descriptor was signalled; it no longer is."""
        if self.kick < 0:
            return False
        try:
            os.eventfd_read(self.kick)
        except BlockingIOError:
            return False
        return True

    # -- life

    def start(self, features: int, region: Region) -> None:
        """Bring up the engine, in the region that has the ring's areas."""
        packed = bool(features & spec.RING_PACKED)
        descriptor, used, available, _ = (address - region.user for address in self.addresses)
        engine = self._engine_class()(region.view, region.guest, self._store_of(region, used), self.signal)
        engine.levers, engine.answers, engine.gap = self.levers, self.answers, self.gap
        position = self.base >> 16 if packed else int(region.view[: region.size].cast("H")[used + 2 >> 1])
        areas = (descriptor, available, used)
        restarted = self.began
        engine.start(features, self.size, areas, self.base & 0xFFFF, position, restarted)
        self.engine, self.began = engine, True
        if self.area is not None:
            self._take_up(engine, position)

    def _take_up(self, engine: Engine, position: int) -> None:
        """Begin the inflight area, or resume what is in it."""
        area: Any = self.area
        if not area.used():
            area.fresh(position)
            return
        area.repair(position)
        for chain in area.unfinished(engine.ring):
            engine.todo.append(Job(chain, engine.serial, None))
            engine.serial += 1

    def _engine_class(self) -> type[Engine]:
        ring = self

        class Serving(ring.kind):  # type: ignore[misc,name-defined]  # the class of the engine is a parameter
            """The engine, with what a back-end keeps beside it."""

            def fetch(self) -> bool:
                """Fetch, and note what is in flight."""
                count = len(self.todo)
                found: bool = super().fetch()
                if len(self.todo) > count:
                    ring.fetched(self, self.todo[-1].chain)
                return found

            def hand_back(self, jobs: Sequence[Job], advance: bool) -> None:
                """Hand back, log what was written, note what is no longer in flight."""
                for job in jobs:
                    ring.log_written(job.chain, job.written)
                super().hand_back(jobs, advance)
                ring.returned(self, [job.chain for job in jobs])

            def publish_all(self) -> None:
                """Publish, and note used idx."""
                super().publish_all()
                ring.returned(self, [])

        return Serving

    def _store_of(self, region: Region, used: int) -> Callable[[int, bytes], None]:
        view, words = region.view, region.view.cast("H")

        def store(offset: int, data: bytes) -> None:
            if len(data) == 2:
                words[offset >> 1] = data[0] | data[1] << 8
            else:
                view[offset : offset + len(data)] = data
            if self.flags & vu.LOG_USED and offset >= used:
                self.log.mark(self.addresses[3] + offset - used, len(data))
            if self.observer is not None:
                self.observer(self.number, Stored(region.guest + offset, data))

        return store

    def fetched(self, engine: Engine, chain: Chain) -> None:
        """A buffer is in flight."""
        area: Any = self.area
        if area is not None:
            area.fetched(engine.ring, chain)

    def returned(self, engine: Engine, chains: list[Chain]) -> None:
        """Buffers are no longer in flight."""
        area: Any = self.area
        if area is not None:
            ring = engine.ring
            area.returned(ring, chains, self.position(engine))

    def position(self, engine: Engine) -> int:
        """Used idx as it stands in memory, or the used position."""
        ring: Any = engine.ring
        if hasattr(ring, "used_wrap"):
            return int(ring.used | ring.used_wrap << 15)
        return int(ring.words[ring.device // 2 + 1])

    def log_written(self, chain: Chain, written: int) -> None:
        """Mark the pages of a buffer into which *written* bytes were written."""
        for address, length in chain.writable:
            self.log.mark(address, min(length, written))
            written -= min(length, written)

    def signal(self) -> None:
        """Notify the driver."""
        if self.say is not None:
            self.say(self.number)
        elif self.call >= 0:
            with suppress(OSError):
                os.eventfd_write(self.call, 1)
        if self.observer is not None:
            self.observer(self.number, Called())

    def stop(self) -> int:
        """Finish what is in flight and stop; the position (GET_VRING_BASE)."""
        engine = self.engine
        if engine is not None and engine.live:
            self.base = engine.stop()
        self.engine = None
        self.started = self.polling = False
        self.take("kick", -1)
        self.take("call", -1)
        return self.base

    def run(self) -> None:
        """Serve what is available."""
        if self.engine is not None and self.engine.live:
            self.engine.gap, self.gap = self.gap, None
            self.engine.run()

    def close(self) -> None:
        """The connection is over: let go, leaving memory as it is."""
        self.engine = self.area = self.log.view = None
        for what in ("kick", "call", "error"):
            self.take(what, -1)
