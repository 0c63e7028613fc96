"""DPDK's virtio driver (virtio-user) under testpmd as a driver under test: we are its vhost-user back-end.

It connects to our socket, sets up its rings, and from then on sends as fast as we use its buffers, or receives as many
frames as we put into them. Nobody can ask its upper half for anything, so programs for it are our own steps only. One
process for each program. Knows testpmd and the set-up of a connection; must not judge.
"""

from __future__ import annotations

import os
import shlex
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from fuzz.program import Limits
from fuzz.targets import Offer, QueueConfig, TargetDied, TargetError, TargetHung
from fuzz.targets.model.backend import Backend
from fuzz.targets.model.vring import Vring
from fuzz.targets.process import Process, first_line, state_of
from oracles import spec
from oracles import vhost_user as vu
from oracles.trace import Extent

NAME = "dpdk-virtio-user"
VARIABLE = "VQFUZZ_DPDK_TESTPMD"
PROGRAM = "dpdk-testpmd"
_QUEUES = {"": 1, "rx": 0}  # whose buffers we use: frames that testpmd sends, or room for those that it gets
_HEADER = bytes(10) + b"\1\0"  # of a frame: one buffer, and nothing to be said of it (5.1.6)
_LEAST = len(_HEADER) + 60  # bytes of a frame with its header
_RX_MRG = 1 << 15  # VIRTIO_NET_F_MRG_RXBUF
EXTRA = _RX_MRG
"""What is offered to any program, beside the features that it is about."""
_OFFERED = spec.VERSION_1 | spec.RING_PACKED | spec.IN_ORDER
_STARTING = 30.0  # seconds that testpmd may take to set its rings up
_CHECKING = 0.5  # seconds after which it is looked again whether the process is stopped
_MEMORY = "256"  # MiB


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
    used = 1  # the queue that the program is about

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
        """Nothing to do for a kick."""

    def ready(self) -> bool:
        """Whether the rings are set up, and the driver is done (3.1.1)."""
        ring = self.rings[self.used]
        return ring.started and ring.enabled and bool(self.status & 4) and bool(ring.size)


class DpdkSession:
    """A testpmd of its own; the transmit queue's rings lie in its memory."""

    live = True
    counters: memoryview | None = None

    def __init__(self, target: DpdkVirtioUser) -> None:
        self.target = target
        self.memory = memoryview(bytearray(16))
        self.address = 0
        self.features = 0
        self.queue = QueueConfig(0, 0, 0, 0)
        self._process: Process | None = None
        self._backend: _Served | None = None
        self._number = target.queue
        self._checked = 0.0  # when it was looked whether the process is stopped
        self.prefix, self.least = target.prefix, target.least

    def start(self, features: int, size: int) -> int:
        """Start testpmd with these features and this size, and serve its set-up to the end."""
        if self._process is not None:
            raise RuntimeError("it was started")
        process = self._process = self.target.process(features, size)
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
            self._backend.used = self._number
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
        ring = backend.rings[self._number]
        regions = [backend.regions.by_user(address) for address in ring.addresses[:3]]
        region = regions[0]
        if region is None or any(one is not region for one in regions):
            raise TargetError("testpmd's rings are not in one region of its memory")
        self.memory, self.address = region.view, region.guest
        self.features = backend.accepted & ~(vu.PROTOCOL_FEATURES | _RX_MRG)
        descriptor, used, avail = ring.addresses[0], ring.addresses[1], ring.addresses[2]
        if wanted & spec.RING_PACKED and not self.features & spec.RING_PACKED:
            raise TargetError("testpmd does not take packed virtqueues")
        initial = 1 << 15 if self.features & spec.RING_PACKED else 0
        at = region.user
        self.queue = QueueConfig(ring.size, descriptor - at, avail - at, used - at, initial, initial)

    # -- what nobody can ask of it

    def add(self, readable: Sequence[int], writable: Sequence[int]) -> int | None:
        """It adds by itself."""
        return None

    def elements(self, token: int) -> tuple[Extent, ...]:
        """There are no tokens."""
        return ()

    def kick(self) -> bool:
        """Deal with what it says. Raises TargetDied if it is gone."""
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
        return False

    def interrupt(self) -> bool:
        """Signal its call descriptor."""
        assert self._backend is not None
        ring = self._backend.rings[self._number]
        if ring.call >= 0:
            with suppress(OSError):
                os.write(ring.call, (1).to_bytes(8, "little"))
        return False

    def get(self) -> tuple[int, int] | None:
        """It takes back by itself."""
        return None

    def callbacks(self, on: bool | Literal["delayed"]) -> bool:
        """It polls."""
        return False

    def reset(self) -> list[int]:
        """It can't be made to."""
        raise TargetHung("testpmd can't be reset from outside")

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
    """The target ``dpdk-virtio-user``, or ``dpdk-virtio-user:rx``, which receives (*way*) instead of sending."""

    role = "driver"
    limits = Limits(
        role="device",
        features=0,
        split_sizes=(64, 256),
        packed_sizes=(64, 256),
        actions=frozenset({"passive"}),
        longest_element=1500,
        steps=60,
    )

    def __init__(self, way: str = "") -> None:
        if way not in _QUEUES:
            raise TargetError(f"{NAME} either sends, or receives as {NAME}:rx; there is no {way!r}")
        self.name = f"{NAME}:{way}" if way else NAME
        self.way = way
        self.queue = _QUEUES[way]
        self.prefix, self.least = (_HEADER, _LEAST) if way else (b"", 0)
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
            f"--vdev={device},in_order={in_order},packed_vq={packed}", "--", "-i", "--no-mlockall",
            "--total-num-mbufs=8192", f"--forward-mode={'rxonly' if self.way else 'txonly'}", "--auto-start",
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
