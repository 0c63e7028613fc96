"""The registers of a QEMU device by the specification's names, one qtest command each.

Knows where each transport has them. Must not know drivers or what is right. It lives in a session, which turns
whatever goes wrong into its exceptions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from fuzz.targets.qemu.machine import Machine
from fuzz.targets.qemu.pci import Pci
from oracles import registers, spec
from oracles.trace import Capability

_SUFFIX = {1: "b", 2: "w", 4: "l"}
#: QEMU's names of ring features; the first is what it is if nobody says so.
_PROPERTIES = {
    "indirect_desc": spec.INDIRECT_DESC, "event_idx": spec.EVENT_IDX, "iommu_platform": spec.ACCESS_PLATFORM,
    "packed": spec.RING_PACKED, "in_order": spec.IN_ORDER, "queue_reset": spec.RING_RESET,
}  # fmt: skip
_ON, _OFF = ("on", "true", "yes"), ("off", "false", "no")
_STEP = 0.002  # seconds between looks for an interrupt


class QemuRegisters:
    """Implements Registers. *talking*: around every conversation."""

    def __init__(self, machine: Machine, talking: Callable[[], AbstractContextManager[None]]) -> None:
        self._qtest = machine.qtest
        self._device = machine.transport
        self._machine = machine
        self._talking = talking
        self.transport = registers.PCI if isinstance(machine.transport, Pci) else registers.MMIO
        self.memory = machine.window()
        self.address = machine.address
        self.device_class = machine.behind.device_class
        self.accept = machine.behind.accept
        self._landing = machine.landing()
        self.vectors = 0 if machine.transport.shared else len(machine.transport.sizes) + 1

    def _place(self, name: str, at: int) -> int:
        return self._device.place(name) + at

    def read(self, name: str, at: int = 0, width: int = 0, queue: int = 0) -> int:
        """Read a register."""
        if name == "device_id":  # of virtio-pci: it stands in configuration space
            with self._talking():
                return self._device.identity()
        width = width or registers.REGISTERS[self.transport][name].width
        with self._talking():
            return self._qtest.numbers(f"read{_SUFFIX[width]} {self._place(name, at):#x}")[0]

    def write(self, name: str, value: int, at: int = 0, width: int = 0, queue: int = 0) -> None:
        """Write a register."""
        width = width or registers.REGISTERS[self.transport][name].width
        with self._talking():
            self._qtest.ask(f"write{_SUFFIX[width]} {self._place(name, at):#x} {value:#x}")

    def pause(self, attempt: int) -> None:
        """Let QEMU's main loop run."""
        with self._talking():
            self._qtest.ping()
        if attempt > 8:
            time.sleep(0.01)

    def capabilities(self) -> list[Capability]:
        """virtio-pci: the structures that are listed."""
        return self._device.listed

    def configured(self) -> tuple[int, int]:
        """What the device's properties say, as far as they were given."""
        given = self._machine.given
        on = sum(bit for name, bit in _PROPERTIES.items() if given.get(name) in _ON)
        off = sum(bit for name, bit in _PROPERTIES.items() if given.get(name) in _OFF)
        return on, off

    def interrupts(self, seconds: float) -> list[int]:
        """Vectors that appeared in guest memory. The one line of virtio-mmio is not watched."""
        deadline = time.monotonic() + seconds
        while True:
            with self._talking():
                self._machine.behind.pump()
                self._qtest.ping()
            landing = self._landing
            found = [vector for vector in range(self.vectors) if landing[vector]]
            for vector in found:
                landing[vector] = 0
            if found or time.monotonic() >= deadline:
                return found
            time.sleep(_STEP)

    def disturb(self) -> bool:
        """Let the configuration change, if what stands behind the device can do that."""
        with self._talking():
            return self._machine.behind.reconfigure()
