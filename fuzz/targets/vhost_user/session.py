"""A device behind vhost-user: shared memory, event descriptors, and the life of its queues.

Knows the order of messages that brings a device up, and turns every way in which a back-end can fail
into the three exceptions of the target interface. Must not know programs, or which back-end it is.
"""

from __future__ import annotations

import errno
import mmap
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from fuzz.program import Limits
from fuzz.targets import QueueConfig, TargetDied, TargetError, TargetHung, TargetMisspoke
from fuzz.targets.vhost_user import protocol, wild
from fuzz.targets.vhost_user.frontend import Closed, ConversationError, Frontend, Refused, Silent
from oracles import spec
from oracles import vhost_user as vu
from oracles.trace import Called, Stored

# Different bases, both beyond 32 bits: whoever mixes them up, or cuts them, reads nothing of ours.
GUEST_ADDRESS = 0x1_0000_0000
USER_ADDRESS = 0x7_4000_0000
STATUS_ALL = 0xF  # ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK (2.1)
_ATTEMPTS = 40  # at a connection that is reset before the first reply
_PAUSE = 0.005  # seconds between them
_HEED = 2.0  # seconds in which a kick is taken by who takes kicks
_LAST_BREATH = 1.0  # seconds a process may take to end after its connection closed (it may be writing a report)


class Backend(Protocol):
    """Whoever serves the socket, as a session needs it."""

    name: str
    limits: Limits
    device_features: int  # of the device class, accepted wherever offered
    reset_by: str  # without RESET_DEVICE: «reconnect», or «stop» all queues and start them again
    stop_spreads: bool  # stopping one queue silences the others until they are enabled anew

    def connect(self) -> socket.socket:
        """A new connection. Raises TargetError."""
        ...

    def frontend(self, connection: socket.socket, seconds: float, acknowledge: bool = True) -> Frontend:
        """The front-end for a connection."""
        ...

    def obituary(self, seconds: float) -> str:
        """How its process ended, if it did or does within *seconds*; '' if not, or if it isn't ours."""
        ...

    def ended(self, well: bool) -> None:
        """The session is over; not *well*: whatever runs must not serve another."""
        ...


class SharedMemory:
    """Zeroed memory, shared by passing its descriptor. It never shrinks: that would be SIGBUS for everybody else."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.descriptor = os.memfd_create("vqfuzz", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.descriptor, size)
            self._map = mmap.mmap(self.descriptor, size)
        except BaseException:
            os.close(self.descriptor)
            raise
        self._zeros = bytes(size)

    def view(self) -> memoryview:
        """A view of all of it."""
        return memoryview(self._map)

    def clear(self) -> None:
        """All zeros again."""
        self._map[:] = self._zeros

    def close(self) -> None:
        """Let go of it, as far as nobody holds a view (then it goes with the last one). Never raises."""
        with suppress(BufferError):
            self._map.close()
        with suppress(OSError):
            os.close(self.descriptor)
        self.descriptor = -1


class Events:
    """The event descriptors of one queue."""

    def __init__(self) -> None:
        self.all: list[int] = []
        try:
            for _ in range(3):
                self.all.append(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        except OSError:
            self.close()
            raise
        self.kick, self.call, self.error = self.all
        self.poll = select.poll()
        self.poll.register(self.call, select.POLLIN)

    def take(self, descriptor: int) -> bool:
        """Whether the event was there; it no longer is."""
        try:
            os.eventfd_read(descriptor)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Close them."""
        for descriptor in self.all:
            os.close(descriptor)
        self.all = []


class VhostUserSession:
    """One device, on one connection after the other.

    *memory* is cleared here, once the back-end answers: by then it has let go of any connection
    before this one. Raises TargetError, TargetDied (its process is gone) or TargetHung.
    """

    proof = 8
    unmeasured: frozenset[int] = frozenset()
    patience = 1.0
    shared = False
    unsettled = False
    address = GUEST_ADDRESS

    def __init__(self, backend: Backend, memory: SharedMemory, seconds: float = 5.0, acknowledge: bool = True) -> None:
        self._backend = backend
        self._shared = memory
        self._seconds = seconds
        self._acknowledge = acknowledge
        self._events: list[Events] = []
        self._live: set[int] = set()  # queues that are started
        self._in_use = False  # between start() and reset()
        self._packed = False
        self._broken = False
        self._closed = False
        self.awaits = False  # whether a kick is followed by a question, whose answer says that its handler has run
        self.heedless = False  # nobody took a kick
        self.leaving: Callable[[], None] | None = None  # called when all is said, before the connection ends
        self.frontend = self._introduce()
        memory.clear()
        self.memory = memory.view()

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    @contextmanager
    def _conversing(self) -> Iterator[None]:
        """Turn what a conversation may raise into what a session may raise."""
        try:
            yield
        except ConversationError as error:
            raise self._fault(error, self.frontend) from None
        except OSError as error:
            raise TargetError(_no_resources(error)) from None

    def _fault(self, error: ConversationError, frontend: Frontend) -> Exception:
        """What to raise for *error* on *frontend*; this session, and the process behind it, serves no more."""
        self._broken = True
        line = f"{self._backend.name} {error}"
        if isinstance(error, Silent):
            return TargetHung(line)
        if isinstance(error, Closed):
            # A process that ends closes its sockets before anybody can see that it ended.
            end = self._backend.obituary(_LAST_BREATH)
            if end or self._in_use:
                return TargetDied(f"{line}: {end}" if end else line)
        return TargetMisspoke(line, tuple(frontend.log), self._in_use and not isinstance(error, Refused))

    def _introduce(self) -> Frontend:
        """A new connection, as far as it goes before features are chosen.

        A back-end that is still busy letting go of the connection before may reset this one (vhost-device-vsock
        does), so a connection that ends without a single reply is tried again.
        """
        attempts = _ATTEMPTS
        while True:
            frontend = self._backend.frontend(self._backend.connect(), self._seconds, self._acknowledge)
            try:
                frontend.negotiate()
            except ConversationError as error:
                frontend.close()
                attempts -= 1
                if isinstance(error, Closed) and not frontend.replied and attempts and not self._backend.obituary(0):
                    time.sleep(_PAUSE)
                    continue
                raise self._fault(error, frontend) from None
            except BaseException:
                frontend.close()
                raise
            return frontend

    # --- the device ---------------------------------------------------------------------------------------------------

    def start(self, features: int, queues: list[QueueConfig]) -> None:
        """Negotiate *features*, which are ring features, share the memory and start all *queues*."""
        frontend = self.frontend
        missing = features & ~frontend.features
        if missing:
            names = " ".join(spec.feature_names(missing)) or f"{missing:#x}"
            offered = " ".join(spec.feature_names(frontend.features)) or "none of them"
            raise TargetError(f"{self._backend.name} does not offer {names}; it offers {offered}")
        packed = bool(features & spec.RING_PACKED)
        with self._conversing():
            self._count(len(queues))
            frontend.set_features(features | frontend.features & self._backend.device_features)
            frontend.share(GUEST_ADDRESS, self._shared.size, USER_ADDRESS, self._shared.descriptor)
            for queue, config in enumerate(queues):
                self._set_up(queue, config, packed)
            frontend.set_status(STATUS_ALL)
            frontend.settle()
        self._packed = packed
        self._live = set(range(len(queues)))
        self._in_use = True
        for queue in self._live:
            self.inject(queue)

    def _count(self, queues: int) -> None:
        """There must be that many: a back-end that is told of more may die of it. Who has as many as its entry says is
        not asked. For net, those who answer mean pairs."""
        limits, frontend = self._backend.limits, self.frontend
        if queues <= limits.queues or not frontend.negotiated & vu.MQ:
            return
        found = frontend.queue_count() * (2 if limits.device == "net" else 1)
        if queues > found:
            some = "1 virtqueue" if found == 1 else f"{found} virtqueues"
            raise TargetError(f"{self._backend.name} has {some}; the program has {queues}")

    def _set_up(self, queue: int, config: QueueConfig, packed: bool) -> None:
        """All messages that start one queue. The kick comes after the last of them."""
        while len(self._events) <= queue:
            self._events.append(Events())
        events = self._events[queue]
        for descriptor in events.all:
            events.take(descriptor)
        frontend = self.frontend
        base = config.available | config.used << 16 if packed else config.available
        areas = (USER_ADDRESS + config.descriptor, USER_ADDRESS + config.driver, USER_ADDRESS + config.device)
        frontend.place(queue, config.size, base, areas)
        frontend.ring(queue, events)
        frontend.enable(queue)

    def inject(self, queue: int) -> None:
        """Kick a queue that was just started. Older texts start it then, newer ones before: here they coincide."""
        self.frontend.inject(queue, self._events[queue].kick)
        self._await(queue)

    def notify(self, queue: int) -> None:
        """Kick. A system call, so everything stored before is visible, and loads after it come after it."""
        os.eventfd_write(self._events[queue].kick, 1)
        self._await(queue)

    def _await(self, queue: int) -> None:
        """Return when a back-end with one thread has run its kick handler: without that, what it counts is chance.

        It has taken the kick when the event is gone, so it deals with our question after that: the answer proves it.
        """
        if not self.awaits:
            return
        kick = select.poll()
        kick.register(self._events[queue].kick, select.POLLIN)
        deadline = time.monotonic() + _HEED
        while kick.poll(0):
            if time.monotonic() > deadline:
                self.awaits, self.heedless = False, True
                return
            os.sched_yield()
        with self._conversing():
            self.frontend.number(vu.GET_FEATURES)

    def called(self, queue: int, seconds: float) -> bool:
        """Whether the call event is there, waiting up to *seconds*. Raises TargetDied if the connection ends."""
        events = self._events[queue]
        poll = events.poll
        connection = self.frontend.fileno()
        poll.register(connection, select.POLLIN)
        for descriptor, _ in poll.poll(max(0.0, seconds) * 1000):
            if descriptor == connection:
                with self._conversing():
                    self.frontend.unasked()
        poll.unregister(connection)
        return events.take(events.call)

    def listen(self, observer: Callable[[int, Stored | Called], None]) -> bool:
        """Nobody tells us what another process stores."""
        return False

    def stop(self, queue: int) -> int:
        """Stop a queue (GET_VRING_BASE); what the back-end reports, as it reports it."""
        with self._conversing():
            base = self.frontend.vring_base(queue)
        self._live.discard(queue)
        return base

    def resume(self, queue: int, config: QueueConfig) -> None:
        """Start a stopped queue."""
        with self._conversing():
            self._set_up(queue, config, self._packed)
            if self._backend.stop_spreads:
                for other in sorted(self._live):
                    self.frontend.enable(other, False)
                    self.frontend.enable(other)
            self.frontend.settle()
        self._live.add(queue)
        self.inject(queue)

    def reset(self) -> None:
        """Device reset: RESET_DEVICE where it exists, else what the back-end's entry says is as good as one."""
        with self._conversing():
            frontend = self.frontend
            if frontend.negotiated & vu.RESET:
                frontend.send(protocol.plain(vu.RESET_DEVICE))
            elif self._backend.reset_by == "stop":
                self._stop_all()
            frontend.settle()
        if not frontend.negotiated & vu.RESET and self._backend.reset_by == "reconnect":
            frontend.close()
            self.frontend = self._introduce()
        self._live.clear()
        self._in_use = False

    def _stop_all(self) -> None:
        for queue in sorted(self._live):
            self.frontend.vring_base(queue)
        self.frontend.set_status(0)

    def reset_queue(self, queue: int) -> None:
        """There is no such thing in the protocol."""
        raise TargetError("vhost-user has no queue reset")

    def lever(self, name: str, value: str) -> None:
        """A back-end has no levers."""

    def answer(self, queue: int, length: int | None) -> None:
        """A back-end answers what its device class answers."""

    def at_gap(self, queue: int, action: Callable[[], None]) -> bool:
        """When a back-end is between two looks, nobody knows."""
        return False

    def holding(self, queue: int) -> bool:
        """Nothing holds it back."""
        return False

    def wild(self, way: str, name: str, values: dict[str, int]) -> bool:
        """Send a message as no front-end does. What comes of it, nobody knows: nothing else can be said here."""
        if way != "say":
            return False
        wild.say(self.frontend.fileno(), name, values, self._shared.descriptor, (USER_ADDRESS, self._shared.size))
        return True

    def release(self) -> None:
        """There is nothing to move back."""

    def close(self) -> None:
        """Leave as the back-end's entry says that it is to be reset, and let go."""
        if self._closed:
            return
        self._closed = True
        if not self._broken:
            try:
                if self._backend.reset_by == "stop":
                    self._stop_all()
                self.frontend.settle()  # with anything left unread, the back-end would see a reset connection
                if self.leaving is not None:
                    self.leaving()
            except (ConversationError, OSError):
                self._broken = True
        self.frontend.close()
        for events in self._events:
            events.close()
        with suppress(BufferError):  # somebody still has a part of it; then it stays until they let go
            self.memory.release()
        self._backend.ended(not self._broken)


def _no_resources(error: OSError) -> str:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "no file descriptors are left: raise the limit (ulimit -n)"
    return f"no shared memory or event descriptors: {error.strerror}"
