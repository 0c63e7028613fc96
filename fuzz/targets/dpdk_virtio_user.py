"""DPDK's virtio driver (virtio-user) under testpmd as a driver under test: we are its vhost-user back-end.

It connects to our socket, sets up its rings, and from then on forwards each frame that we put into a buffer of its
receive queue (a program's first) to its transmit queue (the second). Or there is one queue: it only receives, or sends
as fast as we use its buffers. Nobody can ask its upper half for anything, so programs for it are our own steps only.
One process for each program. Knows testpmd and the set-up of a connection; must not judge.
"""

from __future__ import annotations

import os
import shlex
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from fuzz.program import Limits
from fuzz.targets import Offer, QueueConfig, TargetDied, TargetError, TargetHung
from fuzz.targets.model.backend import Backend
from fuzz.targets.model.regions import Region
from fuzz.targets.model.vring import Vring
from fuzz.targets.process import Process, first_line, state_of
from oracles import spec
from oracles import vhost_user as vu
from oracles.trace import Extent

NAME = "dpdk-virtio-user"
VARIABLE = "VQFUZZ_DPDK_TESTPMD"
PROGRAM = "dpdk-testpmd"
_WAYS = {"": ("io", (0, 1)), "rx": ("rxonly", (0,)), "tx": ("txonly", (1,))}
"""What testpmd does, and which of its queues (0: receive, 1: transmit) are a program's first, second."""
_HEADER = bytes(10) + b"\1\0"  # of a frame: one buffer, and nothing to be said of it (5.1.6)
_LEAST = len(_HEADER) + 60  # bytes of a frame with its header
_RX_MRG = 1 << 15  # VIRTIO_NET_F_MRG_RXBUF
EXTRA = _RX_MRG
"""What is offered to any program, beside the features that it is about."""
_OFFERED = spec.VERSION_1 | spec.RING_PACKED | spec.IN_ORDER
_SMALLEST = 16  # entries of a queue; with fewer it never sets its rings up
_STARTING = 30.0  # seconds that testpmd may take to set its rings up
_CHECKING = 0.5  # seconds after which it is looked again whether the process is stopped
_MEMORY = "256"  # MiB


def begins(number: int) -> tuple[bytes, int]:
    """What is written first into a buffer of queue *number*, and how much at least: a frame where it receives."""
    return (b"", 0) if number else (_HEADER, _LEAST)


def program() -> list[str]:
    """The words that start testpmd: of the environment, else those of the usual program."""
    return shlex.split(os.environ.get(VARIABLE, "")) or [PROGRAM]


def available() -> bool:
    """Whether testpmd is there."""
    from shutil import which

    return which(program()[0]) is not None


class _Served(Backend):
    """The back-end's end of the connection, whose rings nobody serves but the program."""

    offered = _OFFERED | vu.PROTOCOL_FEATURES | _RX_MRG
    used: tuple[int, ...] = (0, 1)  # the queues that the program is about
    kicked: frozenset[int] = frozenset()

    def get_features(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        """What the program wants, no more."""
        self.features = self.offered
        return super().get_features(payload, descriptors)

    def get_protocol_features(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        """Enough for testpmd to say when it is done."""
        return vu.U64.pack(vu.MQ | vu.REPLY_ACK | vu.STATUS)

    def serve(self, ring: Vring) -> None:
        """Our own steps do that."""

    def poll(self) -> None:
        """A kick says that a queue is in use: what came before it, the driver throws away when it starts the port."""
        self.kicked |= {ring.number for ring in self.rings if ring.kicked()}

    def ready(self) -> bool:
        """Whether the rings are set up and kicked, and the driver is done (3.1.1)."""
        rings = [self.rings[number] for number in self.used]
        done = bool(self.status & 4) and self.kicked >= set(self.used)
        return done and all(ring.started and ring.enabled and ring.size for ring in rings)


class DpdkQueue:
    """One queue of a session, testpmd's queue *number*."""

    live = True
    session: DpdkSession

    def __init__(self, number: int) -> None:
        self.number = number
        self.memory = memoryview(bytearray(16))
        self.address = 0
        self.features = 0
        self.queue = QueueConfig(0, 0, 0, 0)
        self.prefix, self.least = begins(number)

    def place(self, features: int, ring: Vring, region: Region) -> None:
        """It is set up in *region*, on a device of which testpmd accepted *features*."""
        self.features = features
        self.memory, self.address = region.view, region.guest
        descriptor, device, driver = (address - region.user for address in ring.addresses[:3])
        initial = 1 << 15 if features & spec.RING_PACKED else 0
        self.queue = QueueConfig(ring.size, descriptor, driver, device, initial, initial)

    # -- what nobody can ask of it

    def add(self, readable: Sequence[int], writable: Sequence[int]) -> int | None:
        """It adds by itself."""
        return None

    def elements(self, token: int) -> tuple[Extent, ...]:
        """There are no tokens."""
        return ()

    def kick(self) -> bool:
        """Deal with what it says. Raises TargetDied if it is gone."""
        self.session.serve()
        return False

    def interrupt(self) -> bool:
        """Signal its call descriptor."""
        self.session.call(self.number)
        return False

    def get(self) -> tuple[int, int] | None:
        """It takes back by itself."""
        return None

    def callbacks(self, on: bool | Literal["delayed"]) -> bool:
        """It polls."""
        return False

    def reset_queue(self) -> list[int]:
        """It can't be made to."""
        raise TargetHung("testpmd can't be reset from outside")

    def resize(self, size: int) -> list[int]:
        """Nor this."""
        return self.reset_queue()

    def broken(self) -> bool:
        """It never says so."""
        return False


class DpdkSession(DpdkQueue):
    """A testpmd of its own, and the first of the queues that a program is about."""

    counters: memoryview | None = None

    def __init__(self, target: DpdkVirtioUser) -> None:
        numbers = _WAYS[target.way][1]
        super().__init__(numbers[0])
        self.target = target
        self.session = self
        self.forwards = len(numbers) > 1  # each frame of the first queue comes out of the second one
        self._queues = [self, *(DpdkQueue(number) for number in numbers[1:])]
        self._process: Process | None = None
        self._backend: _Served | None = None
        self._checked = 0.0  # when it was looked whether the process is stopped

    def another(self, number: int) -> DpdkQueue:
        """The program's queue *number*. Raises TargetError if testpmd serves no such."""
        if number >= len(self._queues):
            raise TargetError(f"the program has more queues than {self.target.name}, which has {len(self._queues)}")
        self._queues[number].session = self
        return self._queues[number]

    def start(self, features: int, size: int, *more: int) -> int:
        """Start testpmd with these features and the largest of the sizes, and serve its set-up to the end."""
        if self._process is not None:
            raise RuntimeError("it was started")
        if max(size, *more, 0) < _SMALLEST:
            raise TargetError(f"testpmd has no queues of fewer than {_SMALLEST} entries")
        process = self._process = self.target.process(features, max(size, *more, 0))
        path = process.folder / "device"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
            listener.bind(str(path))
            listener.listen(1)
            process.start()
            self.target.starts += 1
            self._accept(listener, process)
        assert self._backend is not None
        self._backend.offered = features & _OFFERED | spec.VERSION_1 | vu.PROTOCOL_FEATURES | _RX_MRG
        deadline = time.monotonic() + _STARTING
        while not self._backend.ready():
            self._pump(deadline)
        self._place(features)
        return self.features

    def _accept(self, listener: socket.socket, process: Process) -> None:
        deadline = time.monotonic() + _STARTING
        listener.settimeout(0.05)
        while True:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                if not process.alive():
                    raise TargetError(f"testpmd ended before it connected: {process.obituary()}") from None
                if time.monotonic() > deadline:
                    raise TargetError(f"testpmd did not connect in {_STARTING:g} s: {process.last_word()}") from None
                continue
            connection.setblocking(True)
            self._backend = _Served(connection, queues=2)
            self._backend.used = tuple(queue.number for queue in self._queues)
            return

    def _pump(self, deadline: float) -> None:
        assert self._backend is not None
        assert self._process is not None
        self._backend.pump()
        if not self._backend.open or not self._process.alive():
            self._process.wait(1.0)
            raise TargetError(f"testpmd ended while it set up its rings: {self._process.obituary() or 'hung up'}")
        if time.monotonic() > deadline:
            raise TargetError(f"testpmd set up no rings in {_STARTING:g} s: {self._process.last_word()}")
        time.sleep(0.0005)

    def _place(self, wanted: int) -> None:
        """Where the rings are."""
        backend = self._backend
        assert backend is not None
        features = backend.accepted & ~(vu.PROTOCOL_FEATURES | _RX_MRG)
        if wanted & spec.RING_PACKED and not features & spec.RING_PACKED:
            raise TargetError("testpmd does not take packed virtqueues")
        rings = [backend.rings[queue.number] for queue in self._queues]
        regions = [backend.regions.by_user(address) for ring in rings for address in ring.addresses[:3]]
        region = regions[0]
        if region is None or any(one is not region for one in regions):
            raise TargetError("testpmd's rings are not in one region of its memory")
        for queue, ring in zip(self._queues, rings, strict=True):
            queue.place(features, ring, region)

    def serve(self) -> None:
        """Deal with what testpmd says. Raises TargetDied if it is gone."""
        assert self._backend is not None
        assert self._process is not None
        self._backend.pump()
        if not self._backend.open or not self._process.alive():
            self._process.wait(1.0)
            raise TargetDied(f"testpmd is gone: {self._process.obituary() or 'it closed the connection'}")
        if time.monotonic() > self._checked + _CHECKING:
            self._checked = time.monotonic()
            if state_of(self._process.pid) == "T":
                raise TargetHung("testpmd is stopped by a signal")

    def call(self, number: int) -> None:
        """Signal the call descriptor of its queue *number*."""
        assert self._backend is not None
        ring = self._backend.rings[number]
        if ring.call >= 0:
            with suppress(OSError):
                os.write(ring.call, (1).to_bytes(8, "little"))

    def reset(self) -> list[int]:
        """It can't be made to."""
        return self.reset_queue()

    def words(self) -> str:
        """What it printed last."""
        return self._process.last_word() if self._process is not None else ""

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self.target.said = self._process.words()
            self._process.end(0.0)
        if self._backend is not None:
            self._backend.close()
        if self._process is not None:
            self._process.close()
        self._process = self._backend = None


class DpdkVirtioUser:
    """The target ``dpdk-virtio-user``, which forwards; *way*: as ``:rx`` it only receives, as ``:tx`` only sends."""

    role = "driver"
    limits = Limits(
        role="device",
        features=0,
        split_sizes=(_SMALLEST, 64, 256),
        packed_sizes=(_SMALLEST, 48, 64, 256),
        actions=frozenset({"passive"}),
        longest_element=1500,
        steps=60,
    )

    def __init__(self, way: str = "") -> None:
        if way not in _WAYS:
            raise TargetError(
                f"{NAME} forwards, only receives as {NAME}:rx, or sends as {NAME}:tx; there is no {way!r}"
            )
        self.name = f"{NAME}:{way}" if way else NAME
        self.way = way
        self.limits = replace(self.limits, queues=len(_WAYS[way][1]))
        self.numbers = _WAYS[way][1]  # of its queues, in the order of a program's
        self.prefix, self.least = begins(self.numbers[0])
        self.starts = 0
        self.said = ""
        self._command = ""

    def process(self, features: int, size: int) -> Process:
        """A testpmd that is to be started, with a ring of that kind and size."""
        words = self._words(features, size, "{folder}/device", f"vqfuzz{os.getpid()}x{self.starts}")
        process = Process(words, {"RUNTIME_DIRECTORY": "{folder}"})
        self._command = process.command
        return process

    def words_for(self, features: int, size: int, path: str) -> list[str]:
        """The words that start a testpmd with such a ring, which connects to the socket at *path*."""
        return self._words(features, size, path, "vqfuzz")

    def _words(self, features: int, size: int, path: str, prefix: str) -> list[str]:
        packed, in_order = int(bool(features & spec.RING_PACKED)), int(bool(features & spec.IN_ORDER))
        device = f"net_virtio_user0,path={path},queues=1,queue_size={size},mrg_rxbuf=1"
        return [
            *program(), "--lcores=0@(0-1),1@(0-1)", "--no-pci", "--no-huge", "-m", _MEMORY, "--no-telemetry", "-v",
            f"--file-prefix={prefix}",
            f"--vdev={device},in_order={in_order},packed_vq={packed}", "--", "-i", "--no-mlockall", "--no-flush-rx",
            "--total-num-mbufs=8192", f"--forward-mode={_WAYS[self.way][0]}", "--auto-start",
        ]  # fmt: skip

    def open(self) -> DpdkSession:
        """A session, whose testpmd begins with its queue."""
        return DpdkSession(self)

    def restart(self) -> None:
        """Every session has a process of its own."""

    def probe(self) -> Offer:
        """What it takes of all that we offer."""
        session = self.open()
        try:
            accepted = session.start(_OFFERED, 256)
        finally:
            session.close()
        return Offer(accepted, 2, b"", (("version", self.version()),))

    def version(self) -> str:
        """The first line that says so."""
        return first_line([*program(), "--version"]) if not self.said else _version(self.said)

    def words(self) -> str:
        """The last lines that testpmd printed."""
        return self.said

    def describe(self) -> dict[str, str]:
        """Command line and version."""
        return {"target": self.name, "command": self._command, "version": _version(self.said)}

    def close(self) -> None:
        """Nothing runs between sessions."""


def _version(said: str) -> str:
    lines = [line for line in said.splitlines() if "RTE Version" in line]
    return lines[0].partition("RTE Version")[2].strip(" :'\"") if lines else ""
