"""virtio-pci (4.1): the device is looked for on bus 0, its BARs are placed, its capabilities read.

Knows PCI configuration space through ports 0xcf8 and 0xcfc, and virtio's structures. Must not know sessions
or programs. MSI-X vectors are pointed at guest memory, so that an interrupt is a number that appears there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from fuzz.targets import QueueConfig, TargetError
from fuzz.targets.qemu.qtest import Qtest, Silent
from fuzz.targets.qemu.transport import RESET_SECONDS
from oracles.registers import PCI_REGISTERS
from oracles.trace import Capability

VENDOR = 0x1AF4  # 4.1.2
_BARS = 0xE000_0000  # where BARs are placed, upwards
_MEMORY_AND_MASTER = 6  # bits of the command register
_VENDOR_CAP, _MSIX_CAP = 0x09, 0x11
_COMMON, _NOTIFY, _ISR, _DEVICE = 1, 2, 3, 4  # cfg_type (4.1.4)
NO_VECTOR = 0xFFFF
# struct virtio_pci_common_cfg (4.1.4.3)
_DEVICE_FEATURE_SELECT, _DEVICE_FEATURE, _DRIVER_FEATURE_SELECT, _DRIVER_FEATURE = 0, 4, 8, 12
_CONFIG_VECTOR, _NUM_QUEUES, _STATUS, _QUEUE_SELECT, _QUEUE_SIZE = 16, 18, 20, 22, 24
_QUEUE_VECTOR, _QUEUE_ENABLE, _QUEUE_NOTIFY_OFF, _QUEUE_DESC = 26, 28, 30, 32
_QUEUE_RESET = 58
_FIELDS = {
    _DRIVER_FEATURE_SELECT: "driver_feature_select",
    _DRIVER_FEATURE: "driver_feature",
    _CONFIG_VECTOR: "config_msix_vector",
    _STATUS: "device_status",
    _QUEUE_SELECT: "queue_select",
    _QUEUE_SIZE: "queue_size",
    _QUEUE_VECTOR: "queue_msix_vector",
    _QUEUE_ENABLE: "queue_enable",
    _QUEUE_DESC: "queue_desc",
    _QUEUE_DESC + 8: "queue_driver",
    _QUEUE_DESC + 16: "queue_device",
    _QUEUE_RESET: "queue_reset",
}


@dataclass(frozen=True, slots=True)
class _Structure:
    address: int
    length: int
    multiplier: int = 0


@dataclass(frozen=True, slots=True)
class _Msix:
    register: int  # of the capability
    head: int  # its first 32 bits
    table: int
    vectors: int


class Pci:
    """The one virtio device on bus 0. *landing*: guest address where MSI-X vectors write their numbers."""

    def __init__(self, qtest: Qtest, landing: int) -> None:
        self._qtest = qtest
        self._landing = landing
        self.listed: list[Capability] = []
        self._slot = self._find()
        bars = self._place()
        self._parts, msix = self._capabilities(bars)
        for part, name in ((_COMMON, "common"), (_NOTIFY, "notify"), (_ISR, "ISR"), (_DEVICE, "device")):
            if part not in self._parts and part != _DEVICE:
                raise TargetError(f"the device has no {name} configuration structure (4.1.4): is it legacy only?")
        self._common = self._parts[_COMMON].address
        self.shared = msix is None
        self._offsets: dict[int, int] = {}  # queue_notify_off
        self.sizes = sizes = self._queues()
        if msix is not None:
            self.shared = msix.vectors < len(sizes) + 1  # vectors=0 was asked for, say
            if not self.shared:
                self._route(msix, len(sizes) + 1)

    # --- PCI configuration space --------------------------------------------------------------------------------------

    def _select(self, register: int) -> str:
        return f"outl 0xcf8 {0x80000000 | self._slot << 11 | register & 0xFC:#x}"

    def _load(self, *registers: int) -> list[int]:
        """32-bit registers."""
        commands = [line for register in registers for line in (self._select(register), "inl 0xcfc")]
        return [int(answer, 0) for answer in self._qtest.ask(*commands)[1::2]]

    def _store(self, register: int, value: int) -> None:
        self._qtest.post(self._select(register), f"outl 0xcfc {value:#x}")

    def _find(self) -> int:
        for slot in range(32):
            self._slot = slot
            if self._load(0)[0] & 0xFFFF == VENDOR:
                return slot
        raise TargetError("there is no virtio device on PCI bus 0: leave bus= and addr= out")

    def _place(self) -> dict[int, int]:
        """Give every memory BAR an address; by number."""
        found: dict[int, int] = {}
        next_free = _BARS
        number = 0
        while number < 6:
            register = 0x10 + 4 * number
            kind = self._load(register)[0] & 0xF
            wide = not kind & 1 and kind & 4
            self._store(register, 0xFFFFFFFF)
            mask = self._load(register)[0]
            if mask & ~0xF and not mask & 1:
                size = -(mask & ~0xF) & 0xFFFFFFFF
                next_free = (next_free + size - 1) & -size
                self._store(register, next_free)
                if wide:
                    self._store(register + 4, 0)
                found[number] = next_free
                next_free += size
            number += 2 if wide else 1
        command = self._load(4)[0] & 0xFFFF
        self._store(4, command | _MEMORY_AND_MASTER)
        self._qtest.settle()
        return found

    def _capabilities(self, bars: dict[int, int]) -> tuple[dict[int, _Structure], _Msix | None]:
        """Virtio's structures by type, and MSI-X if there is such a thing."""
        parts: dict[int, _Structure] = {}
        msix = None
        at = self._load(0x34)[0] & 0xFC
        for _ in range(48):
            if not at:
                break
            head, second, third, fourth = self._load(at, at + 4, at + 8, at + 12)
            if head & 0xFF == _VENDOR_CAP:
                kind, bar = head >> 24, second & 0xFF
                if kind in (_COMMON, _NOTIFY, _ISR, _DEVICE):
                    wide = self._load(at + 16)[0] if kind == _NOTIFY else 0
                    self.listed.append(Capability(kind, bar, third, fourth, wide))
                if bar in bars and kind not in parts:  # the first of its kind is the preferred one (4.1.4.1)
                    multiplier = self._load(at + 16)[0] if kind == _NOTIFY else 0
                    parts[kind] = _Structure(bars[bar] + third, fourth, multiplier)
            elif head & 0xFF == _MSIX_CAP:
                msix = _Msix(at, head, bars[second & 7] + (second & ~7), (head >> 16 & 0x7FF) + 1)
            at = head >> 8 & 0xFC
        return parts, msix

    def _route(self, msix: _Msix, count: int) -> None:
        """Turn MSI-X on; vector n writes n + 1 into word n of the landing place."""
        self._store(msix.register, msix.head | 1 << 31)
        for vector in range(count):
            at = msix.table + 16 * vector
            self._qtest.post(
                f"writel {at:#x} {self._landing + 4 * vector & 0xFFFFFFFF:#x}",
                f"writel {at + 4:#x} {self._landing >> 32:#x}",
                f"writel {at + 8:#x} {vector + 1:#x}",
                f"writel {at + 12:#x} 0x0",
            )
        self._qtest.settle()

    # --- virtio -------------------------------------------------------------------------------------------------------

    def place(self, name: str) -> int:
        """Where a register is, by the specification's name."""
        part = {"isr": _ISR, "queue_notify": _NOTIFY, "config": _DEVICE}.get(name)
        if part is not None:
            return self._parts[part].address
        return self._common + PCI_REGISTERS[name].offset

    def identity(self) -> int:
        """The PCI device id."""
        return self._load(0)[0] >> 16

    def status(self) -> int:
        """The device status field."""
        return self._qtest.numbers(f"readb {self._common + _STATUS:#x}")[0]

    def offered(self) -> int:
        """Feature bits."""
        common = self._common
        commands = []
        for half in (0, 1):
            commands += [f"writel {common + _DEVICE_FEATURE_SELECT:#x} {half}", f"readl {common + _DEVICE_FEATURE:#x}"]
        answers = self._qtest.ask(*commands)
        return int(answers[1], 0) | int(answers[3], 0) << 32

    def _queues(self) -> list[int]:
        """The largest size of each queue."""
        common = self._common
        count = self._qtest.numbers(f"readw {common + _NUM_QUEUES:#x}")[0]
        sizes = []
        for queue in range(count):
            answers = self._qtest.ask(
                f"writew {common + _QUEUE_SELECT:#x} {queue:#x}",
                f"readw {common + _QUEUE_SIZE:#x}",
                f"readw {common + _QUEUE_NOTIFY_OFF:#x}",
            )
            sizes.append(int(answers[1], 0))
            self._offsets[queue] = int(answers[2], 0)
        return sizes

    def config(self, size: int) -> bytes:
        """The first bytes of the device configuration space, as many of *size* as there are."""
        part = self._parts.get(_DEVICE)
        size = min(size, part.length) if part else 0
        answers = self._qtest.numbers(*(f"readb {part.address + at:#x}" for at in range(size))) if part and size else []
        return bytes(answers)

    def set_status(self, status: int) -> list[str]:
        """Commands that write the status field."""
        return [f"writeb {self._common + _STATUS:#x} {status:#x}"]

    def accept(self, features: int) -> list[str]:
        """Commands that write the driver's feature bits."""
        common = self._common
        return [
            f"writel {common + _DRIVER_FEATURE_SELECT:#x} 0x0",
            f"writel {common + _DRIVER_FEATURE:#x} {features & 0xFFFFFFFF:#x}",
            f"writel {common + _DRIVER_FEATURE_SELECT:#x} 0x1",
            f"writel {common + _DRIVER_FEATURE:#x} {features >> 32:#x}",
        ]

    def enable(self, queue: int, config: QueueConfig, address: int) -> list[str]:
        """Commands that set a queue up and enable it."""
        common = self._common
        lines = [
            f"writew {common + _QUEUE_SELECT:#x} {queue:#x}",
            f"writew {common + _QUEUE_SIZE:#x} {config.size:#x}",
            f"writew {common + _QUEUE_VECTOR:#x} {NO_VECTOR if self.shared else queue + 1:#x}",
        ]
        at = common + _QUEUE_DESC
        for area in (config.descriptor, config.driver, config.device):
            place = address + area
            lines += [f"writel {at:#x} {place & 0xFFFFFFFF:#x}", f"writel {at + 4:#x} {place >> 32:#x}"]
            at += 8
        return [*lines, f"writew {common + _QUEUE_ENABLE:#x} 0x1"]

    def finish(self) -> list[str]:
        """The configuration's vector is the first one."""
        return [f"writew {self._common + _CONFIG_VECTOR:#x} {NO_VECTOR if self.shared else 0:#x}"]

    def vectors(self, queues: Iterable[int]) -> list[str]:
        """Commands that read back what is mapped to a vector."""
        if self.shared:
            return []
        common = self._common
        lines = [f"readw {common + _CONFIG_VECTOR:#x}"]
        for queue in queues:
            lines += [f"writew {common + _QUEUE_SELECT:#x} {queue:#x}", f"readw {common + _QUEUE_VECTOR:#x}"]
        return lines

    def registers(self) -> dict[int, str]:
        """The fields of struct virtio_pci_common_cfg (4.1.4.3)."""
        return {self._common + offset: name for offset, name in _FIELDS.items()}

    def doorbell(self, queue: int) -> str:
        """The command that notifies the device."""
        part = self._parts[_NOTIFY]
        return f"writew {part.address + self._offsets.get(queue, queue) * part.multiplier:#x} {queue:#x}"

    def reset_queue(self, queue: int) -> None:
        """Write 1 to queue_reset and wait until it reads 0 (4.1.4.3.2)."""
        common = self._common
        select = f"writew {common + _QUEUE_SELECT:#x} {queue:#x}"
        self._qtest.post(select, f"writew {common + _QUEUE_RESET:#x} 0x1")
        deadline = time.monotonic() + RESET_SECONDS
        while self._qtest.numbers(f"readw {common + _QUEUE_RESET:#x}")[0]:
            if time.monotonic() > deadline:
                raise Silent(f"does not let queue {queue} become reset within {RESET_SECONDS:g} s (2.6.1.1)")

    def interrupts(self) -> int:
        """The ISR status (4.1.4.5): reading clears it."""
        return self._qtest.numbers(f"readb {self._parts[_ISR].address:#x}")[0]
