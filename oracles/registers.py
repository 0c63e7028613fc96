"""The registers of both transports as the specification has them: names, places, widths, directions.

Knows struct virtio_pci_common_cfg (4.1.4.3) with the ISR status and the notification area beside it, and the MMIO
device registers (4.2.2), and by which common name the rules call what is the same in both. Must not know rules,
devices or values that anything has.
"""

from __future__ import annotations

from typing import NamedTuple

PCI, MMIO = "pci", "mmio"
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, SUSPEND, NEEDS_RESET, FAILED = 1, 2, 4, 8, 16, 64, 128  # 2.1
NO_VECTOR = 0xFFFF  # 4.1.5.1.2
MAGIC, VERSION = 0x74726976, 2  # 4.2.2
USED, CONFIG = 1, 2  # bits of the ISR status and of InterruptStatus
COMMON_CFG, NOTIFY_CFG, ISR_CFG, DEVICE_CFG = 1, 2, 3, 4  # cfg_type (4.1.4)


class Register(NamedTuple):
    """One register: *common*: the name that both transports share, *half*: which part of a 64-bit field it is."""

    offset: int
    width: int  # bytes of one access
    access: str  # R, W or RW
    common: str
    half: int = 0  # bytes into the field


def _pci() -> dict[str, Register]:
    rows = [
        ("device_feature_select", 0, 4, "RW"), ("device_feature", 4, 4, "R"), ("driver_feature_select", 8, 4, "RW"),
        ("driver_feature", 12, 4, "RW"), ("config_msix_vector", 16, 2, "RW"), ("num_queues", 18, 2, "R"),
        ("device_status", 20, 1, "RW"), ("config_generation", 21, 1, "R"), ("queue_select", 22, 2, "RW"),
        ("queue_size", 24, 2, "RW"), ("queue_msix_vector", 26, 2, "RW"), ("queue_enable", 28, 2, "RW"),
        ("queue_notify_off", 30, 2, "R"), ("queue_desc", 32, 4, "RW"), ("queue_driver", 40, 4, "RW"),
        ("queue_device", 48, 4, "RW"), ("queue_notif_config_data", 56, 2, "R"), ("queue_reset", 58, 2, "RW"),
    ]  # fmt: skip
    return {name: Register(offset, width, access, name) for name, offset, width, access in rows}


def _mmio() -> dict[str, Register]:
    rows = [
        ("MagicValue", 0x0, "R", "magic"), ("Version", 0x4, "R", "version"), ("DeviceID", 0x8, "R", "device_id"),
        ("VendorID", 0xC, "R", "vendor_id"), ("DeviceFeatures", 0x10, "R", "device_feature"),
        ("DeviceFeaturesSel", 0x14, "W", "device_feature_select"), ("DriverFeatures", 0x20, "W", "driver_feature"),
        ("DriverFeaturesSel", 0x24, "W", "driver_feature_select"), ("QueueSel", 0x30, "W", "queue_select"),
        ("QueueSizeMax", 0x34, "R", "queue_size_max"), ("QueueSize", 0x38, "W", "queue_size"),
        ("QueueReady", 0x44, "RW", "queue_enable"), ("QueueNotify", 0x50, "W", "queue_notify"),
        ("InterruptStatus", 0x60, "R", "interrupt_status"), ("InterruptACK", 0x64, "W", "interrupt_ack"),
        ("Status", 0x70, "RW", "device_status"), ("SHMSel", 0xAC, "W", "shm_select"),
        ("QueueReset", 0xC0, "RW", "queue_reset"), ("ConfigGeneration", 0xFC, "R", "config_generation"),
    ]  # fmt: skip
    table = {name: Register(offset, 4, access, common) for name, offset, access, common in rows}
    pairs = [
        ("QueueDesc", 0x80, "W", "queue_desc"), ("QueueDriver", 0x90, "W", "queue_driver"),
        ("QueueDevice", 0xA0, "W", "queue_device"), ("SHMLen", 0xB0, "R", "shm_length"),
        ("SHMBase", 0xB8, "R", "shm_base"),
    ]  # fmt: skip
    for name, offset, access, common in pairs:
        table[f"{name}Low"] = Register(offset, 4, access, common)
        table[f"{name}High"] = Register(offset + 4, 4, access, common, 4)
    return table


#: Beside struct virtio_pci_common_cfg: the ISR status, the notification area, the device configuration, the PCI id.
PCI_REGISTERS: dict[str, Register] = {
    **_pci(),
    "isr": Register(0, 1, "R", "isr"),
    "queue_notify": Register(0, 2, "W", "queue_notify"),
    "config": Register(0, 1, "RW", "config"),
    "device_id": Register(2, 2, "R", "device_id"),
}
MMIO_REGISTERS: dict[str, Register] = {**_mmio(), "Config": Register(0x100, 1, "RW", "config")}
REGISTERS = {PCI: PCI_REGISTERS, MMIO: MMIO_REGISTERS}
#: What each transport calls a register, by its common name; of a 64-bit field of virtio-mmio, the lower half.
NAMES: dict[str, dict[str, str]] = {
    kind: {entry.common: name for name, entry in table.items() if not entry.half} for kind, table in REGISTERS.items()
}
AREAS = ("queue_desc", "queue_driver", "queue_device")


def transport_of(name: str) -> str:
    """The transport that has a register called *name*; virtio-mmio's begin with a capital letter."""
    return MMIO if name[:1].isupper() else PCI


def found(name: str) -> Register | None:
    """The register called *name*, or None."""
    return REGISTERS[transport_of(name)].get(name)


_TRANSITIONAL = {0x1000: 1, 0x1001: 2, 0x1002: 5, 0x1003: 3, 0x1004: 8, 0x1005: 4, 0x1009: 9}  # 4.1.2.1


def device_type(transport: str, number: int) -> int:
    """The type of device that a PCI device id, or virtio-mmio's DeviceID, stands for; 0: none."""
    if transport == MMIO:
        return number
    return _TRANSITIONAL.get(number, max(number - 0x1040, 0))


def power_of_two(number: int) -> bool:
    """Whether *number* is one."""
    return number > 0 and not number & number - 1
