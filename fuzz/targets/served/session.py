"""A program's meeting with one virtqueue of a machine's device: from its driver's first buffer to its last.

The driver does what its own upper half wants; nobody asks it for anything. Knows the bench and the machine. Must not
judge: it says what was written into buffers, and what the machine's upper half says that it got.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from fuzz.targets import QueueConfig, TargetDied, TargetHung
from fuzz.targets.driver import Unsettled
from fuzz.targets.extents import gather
from fuzz.targets.served.backend import Served
from fuzz.targets.served.bench import Bench
from fuzz.targets.served.keeping import RingClass
from fuzz.targets.served.kinds import READ
from fuzz.targets.served.machine import OFF, WORKING, Machine
from oracles import spec
from oracles.trace import Extent

RING_BITS = spec.VERSION_1 | spec.INDIRECT_DESC | spec.EVENT_IDX | spec.RING_PACKED | spec.IN_ORDER
_PAUSE = 0.002  # seconds for which something is waited for between two looks at the machine


class Host(Protocol):
    """What a session needs of its target."""

    queue: int  # the virtqueue that programs are about
    most: int  # buffers that the driver keeps outstanding
    starting: float  # seconds that a machine, or a driver, may take to come up

    def running(self) -> tuple[Machine, Bench]:
        """The machine, booted if it was not."""
        ...

    def slot(self, features: int) -> int:
        """Which device is one with these features. Raises TargetError."""
        ...

    def let_go(self, well: bool, said: str) -> None:
        """The session is over: *well*, if the machine can serve another."""
        ...


class ServedSession:
    """One life of a driver of ours to serve."""

    live = True
    counters: memoryview | None = None

    def __init__(self, host: Host) -> None:
        self.host = host
        self.memory = memoryview(bytearray(16))
        self.address = 0
        self.features = 0
        self.queue = QueueConfig(0, 0, 0, 0)
        self.most = host.most
        self._machine: Machine | None = None
        self._bench: Bench | None = None
        self._slot = 0
        self._well = True
        self._said = ""
        self._seen = 0.0  # when the machine was last asked whether it lives

    # -- life

    def start(self, features: int, size: int) -> int:
        """Have the driver begin; returns when its virtqueue is live, with nothing used.

        The size is the driver's business. Raises TargetDied, Unsettled.
        """
        if self._machine is not None:
            raise RuntimeError("it was started")
        self._slot = self.host.slot(features)
        self._well = False
        machine, self._bench = self.host.running()
        self._machine = machine
        self._await(lambda: machine.state(self._slot) == OFF, "the machine does not come up")
        self._bench.leave_to_program(self._slot, self.host.queue)
        machine.handed(self._slot)  # what another session's driver got
        self.begins()
        machine.begin(self._slot)
        self._await(self._ready, "the driver sets up no virtqueue")
        self._place()
        return self.features

    def begins(self) -> None:
        """The machine is up, and its driver about to begin."""

    def _ready(self) -> bool:
        assert self._bench is not None
        assert self._machine is not None
        device = self._bench.device(self._slot)
        state = self._machine.state(self._slot)
        if state.startswith("failed"):
            raise Unsettled(f"the driver does not come up: {state}")
        return device is not None and device.ready(self.host.queue)

    def _await(self, done: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + self.host.starting
        while not done():
            self._pump(_PAUSE)
            if time.monotonic() > deadline:
                raise Unsettled(f"{otherwise} in {self.host.starting:g} s{self._spoken()}")

    def _spoken(self) -> str:
        said = [line for line in self.words().splitlines() if line.strip()]
        return f"; the console's last line: {said[-1].strip()[:160]}" if said else ""

    def _pump(self, seconds: float = 0.0) -> None:
        """Serve the machine, and see whether it lives."""
        assert self._bench is not None
        assert self._machine is not None
        self._bench.pump(seconds)
        now = time.monotonic()
        if seconds or now - self._seen > 0.01:
            self._seen = now
            died = self._machine.alive()
            if died:
                raise TargetDied(f"{self._machine.name} is gone: {died}")

    def _device(self) -> Served:
        assert self._bench is not None
        assert self._machine is not None
        device = self._bench.device(self._slot)
        if device is None or not device.ready(self.host.queue):
            self._pump(_PAUSE * 10)  # a machine that dies hangs up first, and one that fails says so later
            state = self._machine.state(self._slot)
            raise Unsettled(f"the driver left its virtqueue in mid-life{f': {state}' * state.startswith('failed')}")
        return device

    def _place(self) -> None:
        """Where the rings are."""
        device = self._device()
        ring = device.rings[self.host.queue]
        places = device.places(ring)
        assert places is not None
        assert device.regions.space is not None
        self.memory, self.address = device.regions.space.view, device.regions.space.low
        self.features = device.accepted & RING_BITS
        self.queue = QueueConfig(ring.size, *places, *device.positions(ring))

    def kick(self) -> bool:
        """Serve what is said, and other queues. Raises TargetDied or Unsettled if the machine or the driver is gone."""
        self._pump()
        self._device()
        return False

    def settled(self) -> bool:
        """Whether the driver's upper half works. Raises Unsettled if it never will."""
        assert self._machine is not None
        state = self._machine.state(self._slot)
        if state.startswith("failed"):
            raise Unsettled(f"the driver does not come up: {state}")
        return state == WORKING

    def speaks(self) -> bool:
        """Whether the device has something to say to a driver that comes up."""
        return self._device().kind.speaks(self.host.queue)

    def end(self, available: int, used: int) -> None:
        """Have the driver let go of the device; from these positions on its queue is served as others are."""
        assert self._machine is not None
        assert self._bench is not None
        device = self._device()
        self._bench.leave_to_program(self._slot, None)
        device.hand_over(self.host.queue, (available, used))
        self._machine.end(self._slot)

    def left(self) -> bool:
        """Whether it has, serving it meanwhile. Raises Unsettled if it can't."""
        assert self._machine is not None
        self._pump(_PAUSE)
        state = self._machine.state(self._slot)
        if state.startswith("failed"):
            raise Unsettled(f"the driver does not let go: {state}")
        self._well = state == OFF
        return self._well

    def ring_class(self) -> RingClass:
        """The class of the device's half of the ring: it keeps what is in flight, if the front-end asked for that."""
        device = self._device()
        return device.ring_class(device.rings[self.host.queue])

    # -- what a device of the class says

    def fill(self, number: int, readable: Sequence[Extent], room: int, length: int | None) -> bytes:
        """What is written into a buffer with these device-readable elements, and room for so many bytes."""
        data = gather(self.memory, self.address, readable, READ)
        device = self._device()
        written = device.kind.fill(self.host.queue, number, data, room, length)
        device.others(self.host.queue)
        return written

    def traces(self, data: bytes) -> list[bytes]:
        """The pieces of what was written that the upper half may get, each by its first 16 bytes."""
        return self._device().kind.traces(self.host.queue, data)

    def handed(self) -> list[tuple[bytes, bytes]]:
        """What the upper half got since the last call: of each read its first bytes, and what they must begin with."""
        assert self._machine is not None
        kind = self._device().kind
        found = self._machine.handed(self._slot)
        if self.host.queue not in kind.gives:
            return []  # what it got, others gave it
        return [(one.check, kind.wanted(self.host.queue, one.tag)) for one in found if one.check and one.result > 0]

    # -- what nobody can ask of it

    def add(self, readable: Sequence[int], writable: Sequence[int]) -> int | None:
        """It adds by itself."""
        return None

    def elements(self, token: int) -> tuple[Extent, ...]:
        """There are no tokens."""
        return ()

    def interrupt(self) -> bool:
        """Signal its call descriptor."""
        self._device().call_for(self.host.queue)
        return False

    def get(self) -> tuple[int, int] | None:
        """It takes back by itself."""
        return None

    def callbacks(self, on: bool | Literal["delayed"]) -> bool:
        """It decides by itself."""
        return False

    def reset(self) -> list[int]:
        """It can't be made to."""
        raise TargetHung("a driver that runs by itself can't be reset from outside")

    def reset_queue(self) -> list[int]:
        """Nor this."""
        return self.reset()

    def resize(self, size: int) -> list[int]:
        """Nor this."""
        return self.reset()

    def broken(self) -> bool:
        """It never says so."""
        return False

    def words(self) -> str:
        """What the console said since the last call."""
        said = self._machine.words() if self._machine is not None else ""
        self._said = (self._said + said)[-(1 << 16) :]
        return said

    def close(self) -> None:
        """Over: a machine whose driver did not let go of the device can't serve another program."""
        if self._bench is not None:
            self._bench.leave_to_program(self._slot, None)
        self.words()
        self.host.let_go(self._well, self._said)
        self._machine = self._bench = None
