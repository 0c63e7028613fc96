"""The target ``linux-ring:SRC``: which tree, which build, and the process with the driver.

Knows the life of that process. Must not know what is asked of the driver.
"""

from __future__ import annotations

import mmap
import os
import socket
from contextlib import suppress

from fuzz.program import Limits
from fuzz.targets import Offer, TargetDied, TargetError, TargetHung
from fuzz.targets.counters import Counters, PlainCounters
from fuzz.targets.linux_ring import build as building
from fuzz.targets.linux_ring import trees
from fuzz.targets.linux_ring.protocol import QUEUES
from fuzz.targets.linux_ring.session import COUNTERS, MEMORY, RINGS, LinuxSession
from fuzz.targets.process import Process, first_line
from oracles import spec

KIND = "linux-ring"
_ALL = (1 << 64) - 1
_LIMITS = Limits(
    role="device",
    actions=frozenset({"reset", "queue_reset"}),
    queues=3,
    split_sizes=(1, 2, 4, 8, 16, 64, 256),
    packed_sizes=(1, 2, 3, 5, 7, 8, 16, 64, 256),
)


def parse(words: str) -> LinuxRing:
    """The target that ``linux-ring:SRC[,build=plain|sanitized|coverage]`` names. Raises TargetError."""
    source, *options = words.removeprefix(f"{KIND}:").split(",")
    build = building.PLAIN
    for option in options:
        name, _, value = option.partition("=")
        if name != "build" or value not in building.BUILDS:
            raise TargetError(f"{KIND} has no option {option!r}: build= one of {', '.join(building.BUILDS)}")
        build = value
    return LinuxRing(words, source, build)


class LinuxRing:
    """A DriverTarget: virtio_ring.c of the tree that *source* names. Nothing is looked for before open()."""

    role = "driver"

    def __init__(self, name: str, source: str, build: str = building.PLAIN) -> None:
        self.name = name
        self.limits = _LIMITS
        self._source = source
        self._build = build
        self._process: Process | None = None
        self._channel: socket.socket | None = None
        self._memory: mmap.mmap | None = None
        self._counters: mmap.mmap | None = None
        self._counts: PlainCounters | None = None
        self._session: LinuxSession | None = None

    @property
    def starts(self) -> int:
        """How often the process was started."""
        return self._process.starts if self._process else 0

    def restart(self) -> None:
        """The next open() starts anew."""
        if self._session is not None:
            self._session = None
        if self._channel is not None:
            self._channel.close()  # at which it ends by itself
            self._channel = None
        if self._process is not None:
            self._process.end(1.0)

    def open(self) -> LinuxSession:
        """A session ready for start(): of the process that runs, or of a new one. Raises TargetError."""
        if self._session is not None:
            self._session.close()
        process = self._process
        if process is None or self._channel is None or self._session is None or self._session.ended:
            return self._begin()
        process.trim()
        process.disregard()
        try:
            self._session = self._made(process, self._channel)
            self._session.accepts(0)  # an answer: it is not in the middle of something
        except (TargetDied, TargetHung):
            return self._begin()
        return self._session

    def _begin(self) -> LinuxSession:
        """A new process, with memory that no other one knows."""
        self.restart()
        if self._process is None:
            program = building.built(trees.find(self._source), self._build)
            words = [str(program), "{channel}", "{memory}", str(MEMORY), str(RINGS)]
            words += ["{counters}"] if self._build == building.COVERAGE else []
            self._process = Process(words, building.ENVIRONMENT if self._build == building.SANITIZED else None)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptors = {"channel": theirs.fileno()}
        try:
            self._memory, descriptors["memory"] = _shared(MEMORY)
            self._counters, descriptors["counters"] = _shared(COUNTERS)
            self._process.start(descriptors)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            for name in ("memory", "counters"):
                if name in descriptors:
                    os.close(descriptors[name])
        self._channel = ours
        self._session = self._made(self._process, ours)
        try:
            self._session.accepts(0)
        except (TargetDied, TargetHung) as error:
            raise TargetError(f"{self.name} can't be started: {error}") from None
        return self._session

    def _made(self, process: Process, channel: socket.socket) -> LinuxSession:
        assert self._memory is not None
        assert self._counters is not None
        counted = memoryview(self._counters) if self._build == building.COVERAGE else None
        if counted is not None:
            self._counts = PlainCounters(counted)
            self._counts.clear()
        return LinuxSession(process, channel, memoryview(self._memory), counted)

    def probe(self) -> Offer:
        """Which features the driver accepts of all that there are; of a transport's, RING_RESET."""
        session = self.open()
        try:
            known = 0
            for bit in spec.FEATURE_NAMES.values():
                known |= bit
            details = tuple((name, text) for name, text in self.describe().items() if name != "target")
            return Offer(session.accepts(_ALL) & known, QUEUES, b"", details)
        except (TargetDied, TargetHung) as error:
            raise TargetError(f"{self.name} can't be asked: {error}") from None

    def counters(self) -> Counters | None:
        """Of a coverage build."""
        if self._build != building.COVERAGE:
            return None
        if self._counts is None:
            self.open()
        return self._counts

    def words(self) -> str:
        """The last lines that the driver printed."""
        return self._process.words() if self._process else ""

    def describe(self) -> dict[str, str]:
        """Tree, version, compiler and build."""
        tree = trees.find(self._source)
        return {
            "target": self.name,
            "tree": str(tree),
            "version": f"Linux {trees.version(tree)}",
            "compiler": first_line([*building.compiler(), "--version"]),
            "build": self._build,
        }

    def close(self) -> None:
        """End the process."""
        self.restart()
        if self._process is not None:
            self._process.close()
        for held in (self._memory, self._counters):
            if held is not None:
                with suppress(BufferError):  # a view of it is left: it goes when that goes
                    held.close()
        self._memory = self._counters = None


def _shared(size: int) -> tuple[mmap.mmap, int]:
    """Zeroed memory to share, and its descriptor. Raises TargetError."""
    descriptor = -1
    try:
        descriptor = os.memfd_create("vqfuzz", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, size)
        return mmap.mmap(descriptor, size), descriptor
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        raise TargetError(f"no memory can be shared with the driver: {error.strerror}") from None
