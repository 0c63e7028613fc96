"""A device in QEMU as the driver sees it: memory, doorbells, interrupts, resets.

Turns every way in which a QEMU can fail into the exceptions of the target interface: it ended, its main
loop hangs, the device says that it needs a reset. Must not know programs, or which device it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from fuzz.targets import QueueConfig, TargetBroken, TargetDied, TargetError, TargetHung
from fuzz.targets.qemu import transport, wild
from fuzz.targets.qemu.machine import LANDING_SIZE, Machine
from fuzz.targets.qemu.qtest import Closed, QtestError, Silent
from fuzz.targets.qemu.registers import QemuRegisters
from fuzz.targets.qemu.transport import NEEDS_RESET
from oracles import spec
from oracles.trace import Called, Stored

_NOTHING = memoryview(bytes(LANDING_SIZE)).cast("I")
_LAST_BREATH = 2.0  # seconds a process may take to end after its sockets closed (it may be dumping core)
_TURNS = 12  # looks at the beginning of a wait, between which whoever wants our processor has it
_EAGER = 6  # round trips that a wait begins with: most requests need less, and each lets the main loop run
_NAPS = (0.00005, 0.0005)  # seconds between looks after that: the first one, and the longest
_SHORT = 0.001  # seconds: in a wait of up to that, one step is enough
_SIGN_OF_LIFE = 0.25  # seconds without a reply after which we ask for one


class Owner(Protocol):
    """The target, as its session needs it."""

    name: str
    accept: int  # feature bits of the device class, negotiated wherever offered

    def ended(self, well: bool, untold: TargetDied | TargetHung | None) -> None:
        """The session is over; not *well*: whatever runs must not serve another. *untold*: what happened last of
        all, if nobody has been told."""
        ...


class QemuSession:
    """From one device reset to the next. Raises TargetError, TargetDied, TargetHung or TargetBroken."""

    proof = 8
    patience = 0.25  # it is a process that does nothing else, and says every so often that it lives
    unsettled = False

    def __init__(self, owner: Owner, machine: Machine) -> None:
        self._owner = owner
        self._machine = machine
        self._qtest = machine.qtest
        self._transport = machine.transport
        self._behind = machine.behind
        self.shared = machine.transport.shared
        self.unmeasured = machine.behind.unmeasured
        self.address = machine.address
        self.memory = machine.window()
        self._landing = machine.landing()
        self._vain = 0  # steps of waiting since something happened
        self._broken = False
        self._closed = False
        with self._talking():
            self._behind.fresh()

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Turn what a conversation may raise into what a session may raise."""
        try:
            yield
        except (TargetHung, TargetDied, TargetBroken):
            self._broken = True
            raise
        except (TargetError, QtestError) as error:
            raise self._trouble(error) from None

    def _trouble(self, error: Exception) -> Exception:
        """What *error*, which a conversation raised, means to whoever uses the session."""
        self._broken = True
        name = self._owner.name
        if isinstance(error, Silent):
            return TargetHung(f"{name} {error}")
        if isinstance(error, Closed):
            end = self._machine.obituary(_LAST_BREATH)
            return TargetDied(f"{name} ended: {end}" if end else f"{name} {error}")
        return TargetError(f"{name}: {error}")

    def _needs_reset(self) -> None:
        """Whether the device says that it can't go on, though nothing was done to it that is not allowed (2.1.2)."""
        status = self._transport.status()
        if status & NEEDS_RESET:
            said = self._machine.last_word()
            raise TargetBroken(f"{self._owner.name} sets DEVICE_NEEDS_RESET" + (f": {said}" if said else ""))

    def registers(self) -> QemuRegisters:
        """The device by its registers: whoever takes them does everything else, too, from here on."""
        self._forget()
        return QemuRegisters(self._machine, self._talking)

    # --- the device ---------------------------------------------------------------------------------------------------

    def start(self, features: int, queues: list[QueueConfig]) -> None:
        """Negotiate *features*, which are ring features, and those of the class; start all *queues*."""
        with self._talking():
            offered = self._transport.offered()
            missing = features & ~offered
            if missing:
                names = " ".join(spec.feature_names(missing)) or f"{missing:#x}"
                raise TargetError(f"does not offer {names}")
            for queue, config in enumerate(queues):
                self._check_size(queue, config)
            self._forget()
            wanted = features | offered & self._owner.accept
            transport.start(self._qtest, self._transport, wanted, queues, self.address)

    def _check_size(self, queue: int, config: QueueConfig) -> None:
        """A driver never sets up a queue that isn't there, or a larger one than there may be (4.1.4.3.2, 4.2.2.2)."""
        sizes = self._transport.sizes
        if queue >= len(sizes):
            raise TargetError(f"has {len(sizes)} virtqueues, so there is no queue {queue}")
        if config.size > sizes[queue]:
            raise TargetError(f"queue {queue} has at most {sizes[queue]} entries, not {config.size}")

    def _forget(self) -> None:
        """Interrupts of before, those of the session before included. The device is reset: none can come any more."""
        self._landing[:] = _NOTHING
        if self.shared:
            self._transport.interrupts()

    def notify(self, queue: int) -> None:
        """Ring the doorbell. What QEMU answers is read when there is time."""
        self._vain = 0
        try:
            self._qtest.post(self._transport.doorbell(queue))
            self._qtest.flush()
        except QtestError as error:
            raise self._trouble(error) from None

    def called(self, queue: int, seconds: float) -> bool:
        """Whether an interrupt came for *queue* (a shared one: for any), waiting up to *seconds*; it is consumed."""
        if self._came(queue):
            return True
        if seconds <= 0:
            return False
        if seconds <= _SHORT:
            return self._step(queue, seconds)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._step(queue, left):
                return True
        return False

    def _step(self, queue: int, left: float) -> bool:
        """Wait for a moment, the longer the longer nothing happened already. Whether an interrupt came."""
        vain = self._vain
        self._vain = vain + 1
        if vain >= _EAGER and time.monotonic() - self._qtest.replied < _SIGN_OF_LIFE:
            time.sleep(min(left, _NAPS[1], _NAPS[0] * 2 ** min(vain - _EAGER, 8)))
        elif not self.shared:  # looking at a shared one is a round trip by itself
            for _ in range(0 if vain else _TURNS):
                os.sched_yield()
                if self._came(queue):
                    return True
            try:
                self._qtest.ping()
            except QtestError as error:
                raise self._trouble(error) from None
        return self._came(queue)

    def _came(self, queue: int) -> bool:
        self._behind.pump()
        if self.shared:
            return self._came_shared()
        landing = self._landing
        if landing[0]:
            landing[0] = 0
            with self._talking():
                self._needs_reset()
        if landing[queue + 1]:
            landing[queue + 1] = 0
            self._vain = 0
            return True
        return False

    def _came_shared(self) -> bool:
        with self._talking():
            status = self._transport.interrupts()
            if status & 2:
                self._needs_reset()
        if status & 1:
            self._vain = 0
        return bool(status & 1)

    def listen(self, observer: Callable[[int, Stored | Called], None]) -> bool:
        """Nobody tells us what another process stores."""
        return False

    def stop(self, queue: int) -> int:
        """A queue of a virtio-pci or virtio-mmio device can only be reset."""
        raise TargetError(f"{self._owner.name}: a queue can't be stopped and started here, only reset")

    def resume(self, queue: int, config: QueueConfig) -> None:
        """Set up a queue that was reset."""
        with self._talking():
            self._check_size(queue, config)
            self._landing[queue + 1] = 0
            self._qtest.ask(*self._transport.enable(queue, config, self.address))
            transport.verify(self._qtest, self._transport, (queue,))

    def reset(self) -> None:
        """Device reset."""
        with self._talking():
            self._behind.before_reset()
            transport.reset(self._qtest, self._transport)
        self._broken = False  # if it needed a reset, it had it

    def wild(self, way: str, name: str, values: dict[str, int]) -> bool:
        """Access a register as no driver does. A reset is all that it takes afterwards."""
        if way == "register":
            with self._talking():
                wild.access(self._qtest, self._transport, name, values)
        return False

    def reset_queue(self, queue: int) -> None:
        """Reset one queue (2.6.1)."""
        with self._talking():
            self._transport.reset_queue(queue)

    def lever(self, name: str, value: str) -> None:
        """Move a lever of what stands behind the device, or let something happen there."""
        self._vain = 0
        with self._talking():
            self._behind.lever(name, value)

    def answer(self, queue: int, length: int | None) -> None:
        """A device answers what its class answers."""

    def at_gap(self, queue: int, action: Callable[[], None]) -> bool:
        """When QEMU is between two looks, nobody knows."""
        return False

    def holding(self, queue: int) -> bool:
        """Whether a lever holds requests back."""
        return self._behind.holding()

    def release(self) -> None:
        """All levers as they were at the start."""
        with self._talking():
            self._behind.release()

    def close(self) -> None:
        """Reset the device and let go."""
        if self._closed:
            return
        self._closed = True
        untold = None
        if not self._broken:
            try:
                with self._talking():
                    self._behind.fresh()
                    transport.reset(self._qtest, self._transport)
            except (TargetDied, TargetHung) as error:
                untold = error
            except (TargetError, TargetBroken):
                pass  # the next session gets a new QEMU
        for view in (self._landing, self.memory):
            with suppress(BufferError):  # somebody still has a part of it; then it stays until they let go
                view.release()
        self._owner.ended(not self._broken, untold)
