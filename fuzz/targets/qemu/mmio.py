"""virtio-mmio (4.2) on QEMU's microvm: the device is looked for where the machine has its transports.

Knows the registers. Must not know sessions or programs. There is one interrupt for everything.
"""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.targets import QueueConfig, TargetError
from fuzz.targets.qemu.qtest import Qtest
from oracles.registers import MMIO_REGISTERS
from oracles.trace import Capability

_FIRST, _STEP, _COUNT = 0xFEB0_0000, 0x200, 24  # of microvm's transports
_MAGIC, _MODERN = 0x74726976, 2
# registers (4.2.2)
_VERSION, _DEVICE_ID = 0x04, 0x08
_DEVICE_FEATURES, _DEVICE_FEATURES_SELECT, _DRIVER_FEATURES, _DRIVER_FEATURES_SELECT = 0x10, 0x14, 0x20, 0x24
_QUEUE_SELECT, _QUEUE_SIZE_MAX, _QUEUE_SIZE, _QUEUE_READY, _QUEUE_NOTIFY = 0x30, 0x34, 0x38, 0x44, 0x50
_INTERRUPT_STATUS, _INTERRUPT_ACK, _STATUS = 0x60, 0x64, 0x70
_QUEUE_AREAS = (0x80, 0x90, 0xA0)
_CONFIG = 0x100
_REGISTERS = {
    _DRIVER_FEATURES_SELECT: "DriverFeaturesSel",
    _DRIVER_FEATURES: "DriverFeatures",
    _QUEUE_SELECT: "QueueSel",
    _QUEUE_SIZE: "QueueSize",
    _QUEUE_READY: "QueueReady",
    _QUEUE_AREAS[0]: "QueueDesc",
    _QUEUE_AREAS[1]: "QueueDriver",
    _QUEUE_AREAS[2]: "QueueDevice",
    _INTERRUPT_ACK: "InterruptACK",
    _STATUS: "Status",
}
_MOST_QUEUES = 64


class Mmio:
    """The one virtio device of a microvm."""

    shared = True

    def __init__(self, qtest: Qtest) -> None:
        self._qtest = qtest
        self.listed: list[Capability] = []
        for number in range(_COUNT):
            base = _FIRST + number * _STEP
            magic, version, device = qtest.numbers(*(f"readl {base + at:#x}" for at in (0, _VERSION, _DEVICE_ID)))
            if magic == _MAGIC and device:
                if version != _MODERN:
                    raise TargetError(f"the virtio-mmio device is of version {version}: only version 2 is driven")
                self._base = base
                self.sizes = self._queues()
                return
        raise TargetError("there is no virtio device behind any of microvm's virtio-mmio transports")

    def _write(self, register: int, value: int) -> str:
        return f"writel {self._base + register:#x} {value:#x}"

    def _read(self, register: int) -> str:
        return f"readl {self._base + register:#x}"

    def place(self, name: str) -> int:
        """Where a register is, by the specification's name."""
        return self._base + MMIO_REGISTERS[name].offset

    def identity(self) -> int:
        """DeviceID."""
        return self._qtest.numbers(self._read(_DEVICE_ID))[0]

    def status(self) -> int:
        """The device status field."""
        return self._qtest.numbers(self._read(_STATUS))[0]

    def offered(self) -> int:
        """Feature bits."""
        low, high = (
            int(self._qtest.ask(self._write(_DEVICE_FEATURES_SELECT, half), self._read(_DEVICE_FEATURES))[1], 0)
            for half in (0, 1)
        )
        return low | high << 32

    def _queues(self) -> list[int]:
        """The largest size of each queue: as far as they are not 0."""
        sizes: list[int] = []
        for queue in range(_MOST_QUEUES):
            answers = self._qtest.ask(self._write(_QUEUE_SELECT, queue), self._read(_QUEUE_SIZE_MAX))
            if not int(answers[1], 0):
                break
            sizes.append(int(answers[1], 0))
        return sizes

    def config(self, size: int) -> bytes:
        """The first *size* bytes of the device configuration space."""
        return bytes(self._qtest.numbers(*(f"readb {self._base + _CONFIG + at:#x}" for at in range(size))))

    def set_status(self, status: int) -> list[str]:
        """Commands that write the status field."""
        return [self._write(_STATUS, status)]

    def accept(self, features: int) -> list[str]:
        """Commands that write the driver's feature bits."""
        lines = []
        for half in (0, 1):
            lines += [self._write(_DRIVER_FEATURES_SELECT, half)]
            lines += [self._write(_DRIVER_FEATURES, features >> 32 * half & 0xFFFFFFFF)]
        return lines

    def enable(self, queue: int, config: QueueConfig, address: int) -> list[str]:
        """Commands that set a queue up and enable it."""
        lines = [self._write(_QUEUE_SELECT, queue), self._write(_QUEUE_SIZE, config.size)]
        for register, area in zip(_QUEUE_AREAS, (config.descriptor, config.driver, config.device), strict=True):
            place = address + area
            lines += [self._write(register, place & 0xFFFFFFFF), self._write(register + 4, place >> 32)]
        return [*lines, self._write(_QUEUE_READY, 1)]

    def finish(self) -> list[str]:
        """Nothing: the interrupt is where it is."""
        return []

    def vectors(self, queues: Iterable[int]) -> list[str]:
        """There are none."""
        return []

    def registers(self) -> dict[int, str]:
        """MMIO device registers (4.2.2)."""
        return {self._base + offset: name for offset, name in _REGISTERS.items()}

    def doorbell(self, queue: int) -> str:
        """The command that notifies the device."""
        return self._write(_QUEUE_NOTIFY, queue)

    def reset_queue(self, queue: int) -> None:
        """QEMU's virtio-mmio has no QueueReset register (4.2.2)."""
        raise TargetError("this virtio-mmio has no queue reset")

    def interrupts(self) -> int:
        """InterruptStatus, acknowledged (4.2.2)."""
        status = self._qtest.numbers(self._read(_INTERRUPT_STATUS))[0]
        if status:
            self._qtest.ask(self._write(_INTERRUPT_ACK, status))
        return status
