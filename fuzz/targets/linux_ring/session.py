"""A live driver: requests to its upper half, and the memory in which its lower half and a device meet.

Knows the process with the driver. Must not know rings: what stands in memory is the device's business.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from fuzz.targets import QueueConfig, TargetDied, TargetError, TargetHung
from fuzz.targets.linux_ring.protocol import ANSWER, LONGEST, MOST, QUEUES, Op, add, request
from fuzz.targets.process import Process, state_of
from oracles import spec
from oracles.trace import Extent

MEMORY = 16 << 20  # bytes shared with the driver, next to none of which are ever touched …
RINGS = 8 << 20  # … of which it has the first for rings and indirect tables; buffers lie behind them
ADDRESS = 0x2000_0000_0000  # of the memory, as the driver knows it: VQFUZZ_ADDRESS of harness/harness.h
COUNTERS = 65536  # bytes
SLICE = 0.2  # seconds waited at a time
SPINNING = 1.0  # seconds of processor time spent on one request that make an endless loop
STUCK = 30.0  # seconds without an answer and without work …
ASLEEP = 5.0  # … and so many if the process could work and waits for something, or is stopped: nothing will wake it
_GRAIN = 64  # bytes: a buffer's elements begin at multiples of it
_FLAGS = {False: 0, True: 1, "delayed": 2}
_TICK = os.sysconf("SC_CLK_TCK")
_FOLLOW = 64  # requests after which it is looked whether we run on another processor


class Room:
    """Where buffers lie: pieces of memory, powers of two long, used again when they come back. Deterministic."""

    def __init__(self, start: int, end: int) -> None:
        self._next = start
        self._end = end
        self._free: dict[int, list[int]] = {}

    def take(self, length: int) -> int | None:
        """Offset of a piece of at least *length* bytes, or None if nothing is left."""
        size = max(_GRAIN, 1 << (length - 1).bit_length()) if length else _GRAIN
        free = self._free.get(size)
        if free:
            return free.pop()
        at = self._next
        if at + size > self._end:
            return None
        self._next = at + size
        return at

    def give(self, at: int, length: int) -> None:
        """The piece that take(*length*) found is free again."""
        size = max(_GRAIN, 1 << (length - 1).bit_length()) if length else _GRAIN
        self._free.setdefault(size, []).append(at)


class Follower:
    """Keeps a process on the processor that we run on, whichever that is.

    Two processes that wait for each other are several times faster there than on two: nobody has to be woken from afar.
    """

    def __init__(self, pid: int) -> None:
        import ctypes  # late: only those who have a driver under test pay for it

        self._pid = pid
        self._at = -1
        self._where = ctypes.CDLL(None).sched_getcpu

    def follow(self) -> None:
        """We may have moved."""
        at = self._where()
        if at != self._at:
            self._at = at
            with suppress(OSError):  # it ended, or it may not: then it is slower
                os.sched_setaffinity(self._pid, {at})


class LinuxQueue:
    """Virtqueue *number* of a session."""

    address = ADDRESS

    root: LinuxSession  # which serves them all

    def __init__(self, number: int, memory: memoryview) -> None:
        self.number = number
        self.memory = memory
        self.features = 0
        self.queue = QueueConfig(0, 0, 0, 0)

    def _do(self, op: Op, number: int = 0, value: int = 0) -> tuple[int, ...]:
        """What is answered to a request about this queue."""
        if not self.root.live:
            raise RuntimeError("the driver was not started")
        return ANSWER.unpack_from(self.root.ask(request(op, number, value, self.number)))

    def begin(self, features: int, size: int) -> None:
        """Set the queue up. Raises TargetError if the driver can't."""
        answer = ANSWER.unpack_from(self.root.ask(request(Op.START, size, features, self.number)))
        if answer[0]:
            raise TargetError(f"the driver can't set up a virtqueue of {size}: {_errno(answer[0])}")
        self.features = answer[1] & (1 << 64) - 1
        self._place(answer)

    def _place(self, answer: tuple[int, ...]) -> None:
        """The queue is new: where it lies now."""
        _, _, size, descriptor, driver, device = answer
        first = 1 << 15 if self.features & spec.RING_PACKED else 0
        self.queue = QueueConfig(size, descriptor, driver, device, first, first)

    def add(self, readable: Sequence[int], writable: Sequence[int]) -> int | None:
        """Ask for a buffer: its token, or None if the driver refuses it or nothing is left of the memory."""
        root = self.root
        if not root.live:
            raise RuntimeError("the driver was not started")
        if not 0 < len(readable) + len(writable) <= MOST:
            raise ValueError(f"a buffer has 1 to {MOST} elements")
        elements: list[Extent] = []
        for length in (*readable, *writable):
            at = root.room.take(length)
            if at is None:
                break
            elements.append((at, length))
        else:
            placed = [(ADDRESS + at, length) for at, length in elements]
            answer = root.ask(add(root.token, len(readable), placed, self.number))
            if not int.from_bytes(answer[:8], "little", signed=True):
                root.placed[root.token] = tuple(elements)
                root.token += 1
                return root.token - 1
        for at, length in elements:
            root.room.give(at, length)
        return None

    def elements(self, token: int) -> tuple[Extent, ...]:
        """Where the elements of an outstanding buffer lie. Raises KeyError if it isn't."""
        return self.root.placed[token]

    def kick(self) -> bool:
        """Whether the driver notified."""
        return bool(self._do(Op.KICK)[0])

    def interrupt(self) -> bool:
        """Whether the driver called its upper half."""
        return bool(self._do(Op.INTERRUPT)[0])

    def get(self) -> tuple[int, int] | None:
        """The next buffer that came back. Its memory may serve the next one from now on, with what stands in it."""
        token, _, length, *_ = self._do(Op.GET)
        if not token:
            return None
        self.root.release(token - 1)
        return token - 1, length

    def callbacks(self, on: bool | Literal["delayed"]) -> bool:
        """Whether nothing is pending."""
        return bool(self._do(Op.CALLBACKS, _FLAGS[on])[0])

    def reset_queue(self) -> list[int]:
        """Reset the virtqueue alone. Raises TargetError if the driver refuses."""
        return self._anew(0)

    def resize(self, size: int) -> list[int]:
        """The same with another size. The size that it has already is nothing to do for the driver: it is reset."""
        if size < 1:
            raise ValueError("a virtqueue has at least one entry")
        return self._anew(0 if size == self.queue.size else size)

    def _anew(self, size: int) -> list[int]:
        answer = self._do(Op.RESET_QUEUE, size)
        if answer[0] and answer[0] != -errno.ENOMEM:  # with ENOMEM the queue was reset, and keeps its size
            raise TargetError(f"the driver can't reset the virtqueue: {_errno(answer[0])}")
        self._place(answer)
        return self.root.taken()

    def broken(self) -> bool:
        """Whether the driver gave up the virtqueue."""
        return bool(self._do(Op.BROKEN)[0])


class LinuxSession(LinuxQueue):
    """A DriverSession over the channel to the process, and its first queue. *counters*: of a coverage build."""

    def __init__(
        self, process: Process, channel: socket.socket, memory: memoryview, counters: memoryview | None
    ) -> None:
        super().__init__(0, memory)
        self.root = self
        self.counters = counters
        self.ended: TargetDied | TargetHung | None = None  # how, if it did: nothing can be asked any more
        self._process = process
        self._channel = channel
        self._queues: list[LinuxQueue] = [self]
        self.live = False  # it was started, and not reset
        self.token = 0  # of the next buffer
        self.placed: dict[int, tuple[Extent, ...]] = {}  # elements of each that is outstanding
        self.room = Room(RINGS, MEMORY)
        # so that waiting costs nothing while answers come at once: a timeout of Python's would ask before each
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, int(SLICE * 1e6)))
        self._heard = self._printed()
        self._follower = Follower(process.pid)
        self._requests = 0

    # --- requests -----------------------------------------------------------------------------------------------------

    def ask(self, what: bytes) -> bytes:
        """Send a request and return the answer. Raises TargetDied or TargetHung."""
        channel = self._channel
        if self.ended is not None:
            raise self.ended
        if not self._requests % _FOLLOW:
            self._follower.follow()
        self._requests += 1
        try:
            channel.send(what)
            answer = channel.recv(LONGEST)
        except BlockingIOError:
            answer = self._wait(what)
        except OSError:
            answer = b""
        except BaseException:  # Ctrl-C: the answer that is still to come would be taken for that of the next request
            self.ended = TargetDied("a request to the driver was interrupted")
            raise
        if not answer:
            self._process.wait(5.0)
            self.ended = TargetDied(self._process.obituary() or "the process with the driver closed its connection")
            raise self.ended
        return answer

    def _wait(self, what: bytes) -> bytes:
        """The answer that did not come at once. An endless loop is told by the processor time that it takes."""
        where = f"the driver does not come back from {Op(int.from_bytes(what[:4], 'little')).name.lower()}"
        worked, since = self._worked(), time.monotonic()
        while True:
            try:
                return self._channel.recv(LONGEST)
            except BlockingIOError:
                pass
            except OSError:
                return b""
            spent = self._worked() - worked
            if spent >= SPINNING:
                self.ended = TargetHung(f"{where}: {spent:.1f} s of processor time")
            elif time.monotonic() - since > (ASLEEP if state_of(self._process.pid) in "ST" else STUCK):
                waited = round(time.monotonic() - since)
                self.ended = TargetHung(f"{where}, and does nothing there for {waited} s")
            if self.ended is not None:
                raise self.ended

    def _worked(self) -> float:
        """Seconds of processor time that the process took so far."""
        try:
            with open(f"/proc/{self._process.pid}/stat", encoding="utf-8") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICK

    def taken(self) -> list[int]:
        """Tokens that a reset gave back, in ascending order."""
        tokens: list[int] = []
        while True:
            answer = self.ask(request(Op.TAKEN))
            count = ANSWER.unpack_from(answer)[0]
            tokens += struct.unpack_from(f"={count}Q", answer, ANSWER.size)
            if count < MOST:
                break
        for token in tokens:
            self.release(token)
        return sorted(tokens)

    def release(self, token: int) -> None:
        """A buffer's memory may serve the next one."""
        for at, length in self.placed.pop(token, ()):
            self.room.give(at, length)

    # --- the driver ---------------------------------------------------------------------------------------------------

    def accepts(self, features: int) -> int:
        """What the driver would accept of *features*."""
        return int(ANSWER.unpack_from(self.ask(request(Op.START, 0, features)))[1]) & (1 << 64) - 1

    def another(self, number: int) -> LinuxQueue:
        """Virtqueue *number*."""
        while len(self._queues) <= number:
            queue = LinuxQueue(len(self._queues), self.memory)
            queue.root = self
            self._queues.append(queue)
        return self._queues[number]

    def start(self, features: int, size: int, *more: int) -> int:
        """Set up the virtqueues. Raises TargetError if the driver can't, RuntimeError if it has some."""
        if self.live:
            raise RuntimeError("the driver was started already: reset it first")
        if len(more) >= QUEUES:
            raise TargetError(f"linux-ring has at most {QUEUES} queues")
        self.room = Room(RINGS, MEMORY)
        try:
            for number, each in enumerate((size, *more)):
                self.another(number).begin(features, each)
        except TargetError:
            self.ask(request(Op.RESET))  # those that were set up
            raise
        self.live = True
        return self.features

    def reset(self) -> list[int]:
        """Device reset: tokens of what was outstanding."""
        if not self.live:
            return []
        self._do(Op.RESET)
        self.live = False
        return self.taken()

    def starve(self, after: int) -> None:
        """The *after*-th allocation of the driver from here on fails, once; 0: none does."""
        self.ask(request(Op.FAIL, after))

    # --- what it says, and the end ------------------------------------------------------------------------------------

    def _printed(self) -> int:
        try:
            return (self._process.folder / "output").stat().st_size
        except (OSError, TargetError):
            return 0

    def words(self) -> str:
        """What the driver printed since the last call of this."""
        size = self._printed()
        if size == self._heard:
            return ""
        since = self._heard if self._heard < size else 0  # the file was started anew
        self._heard = size
        with open(self._process.folder / "output", "rb") as file:
            file.seek(max(since, size - (64 << 10)))
            return file.read().decode("utf-8", "replace")

    def close(self) -> None:
        """Let go of the virtqueues; the process goes on, for the next session. Never raises."""
        try:
            self.reset()
        except (TargetDied, TargetHung):
            pass  # whoever had to know knows: open() starts a new process


def _errno(number: int) -> str:
    return errno.errorcode.get(-number, str(-number))
