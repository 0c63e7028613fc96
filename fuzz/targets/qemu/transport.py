"""What both transports have in common: registers in guest address space, and the order of a set-up (3.1.1).

A transport turns what is wanted into qtest commands; it waits for nothing unless it must know an answer.
Must not know sessions, processes or programs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from fuzz.targets import QueueConfig, TargetError
from fuzz.targets.qemu.qtest import Qtest, Silent
from oracles.registers import NO_VECTOR
from oracles.trace import Capability

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET = 1, 2, 4, 8, 64  # 2.1
RESET_SECONDS = 5.0


class Transport(Protocol):
    """A device that was found, over one of the transports."""

    sizes: list[int]  # the largest of each queue there is
    shared: bool  # one interrupt for everything: who was meant, nobody can tell

    listed: list[Capability]  # virtio-pci: its structures, in the order of their capabilities

    def place(self, name: str) -> int:
        """Address of the register that the specification calls *name*. KeyError if there is none."""
        ...

    def identity(self) -> int:
        """The number that says which type of device it is: DeviceID, or the PCI device id."""
        ...

    def status(self) -> int:
        """The device status field (2.1)."""
        ...

    def offered(self) -> int:
        """Feature bits."""
        ...

    def config(self, size: int) -> bytes:
        """The first *size* bytes of the device configuration space."""
        ...

    def set_status(self, status: int) -> list[str]:
        """Commands that write the status field."""
        ...

    def accept(self, features: int) -> list[str]:
        """Commands that write the driver's feature bits."""
        ...

    def enable(self, queue: int, config: QueueConfig, address: int) -> list[str]:
        """Commands that set a queue up and enable it; *address* of offset 0."""
        ...

    def finish(self) -> list[str]:
        """Commands that route interrupts, after which the device may be driven."""
        ...

    def vectors(self, queues: Iterable[int]) -> list[str]:
        """Commands that read back the vectors of the configuration and of *queues*, if there are any."""
        ...

    def registers(self) -> dict[int, str]:
        """What the specification calls the registers that commands write, by address."""
        ...

    def doorbell(self, queue: int) -> str:
        """The command that notifies the device."""
        ...

    def reset_queue(self, queue: int) -> None:
        """Reset a queue, and wait until it is (2.6.1)."""
        ...

    def interrupts(self) -> int:
        """The interrupt status, cleared by this: 1 used buffers, 2 configuration; only with *shared*."""
        ...


def reset(qtest: Qtest, transport: Transport) -> None:
    """Device reset, and wait until it is done: the status reads 0 (2.4.1, 4.1.4.3.2)."""
    qtest.post(*transport.set_status(0))
    deadline = time.monotonic() + RESET_SECONDS
    while status := transport.status():
        if time.monotonic() > deadline:
            raise Silent(f"does not become reset: its status is {status:#x} {RESET_SECONDS:g} s after 0 was written")


def start(qtest: Qtest, transport: Transport, features: int, queues: Iterable[QueueConfig], address: int) -> None:
    """Initialize a device that is reset: from ACKNOWLEDGE to DRIVER_OK, in three round trips (3.1.1)."""
    agreed = ACKNOWLEDGE | DRIVER | FEATURES_OK
    qtest.post(*transport.set_status(ACKNOWLEDGE), *transport.set_status(ACKNOWLEDGE | DRIVER))
    qtest.post(*transport.accept(features), *transport.set_status(agreed))
    status = transport.status()
    if not status & FEATURES_OK:
        raise TargetError(f"the device refuses the features {features:#x}: FEATURES_OK does not stay")
    count = 0
    for count, config in enumerate(queues, 1):
        qtest.post(*transport.enable(count - 1, config, address))
    qtest.post(*transport.finish())
    verify(qtest, transport, range(count))
    qtest.post(*transport.set_status(agreed | DRIVER_OK))
    qtest.settle()


def verify(qtest: Qtest, transport: Transport, queues: Iterable[int]) -> None:
    """See that the device took the vectors (4.1.5.1.2.2). Raises TargetError."""
    lines = transport.vectors(queues)
    answers = qtest.ask(*lines) if lines else []
    for line, answer in zip(lines, answers, strict=True):
        if line.startswith("read") and int(answer, 0) == NO_VECTOR:
            raise TargetError("the device takes no MSI-X vector for one of its events: leave vectors= out")
