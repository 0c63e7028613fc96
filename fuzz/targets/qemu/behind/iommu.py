"""Behind virtio-iommu: devices whose memory accesses it translates, and one that can be made to access memory.

That one is an rtl8139, because ports are all it takes: it reads a frame to send from memory. Where its endpoint is
attached to a domain that has no mapping there, that is a fault.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from fuzz.targets.qemu import behind

_READER, _BYSTANDER, _ABSENT = 0x10, 0x11, 0x12  # slots on PCI bus 0
_PORTS = 0xC000  # of the reader
_ADDRESSES = ("0x0", "0x10000", "0x7ff000")
_LENGTH = 4  # bytes that are read: each four make a fault of their own
_COMMAND, _TRANSMIT_STATUS, _TRANSMIT_START = 0x37, 0x10, 0x20  # the reader's registers
_TRANSMITTER = 0x04
_DESCRIPTORS = 4  # of the reader, used in turn


class Behind(behind.Behind):
    """Two endpoints."""

    device_class = "iommu"
    queues = 2
    machine = "q35"
    vectors = False
    accept = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6  # ranges, MAP_UNMAP, PROBE, MMIO, BYPASS_CONFIG
    pulses = (("access", _ADDRESSES),)  # an endpoint reads memory there

    def after(self, given: Mapping[str, str]) -> list[str]:
        """Both endpoints, at slots that we know."""
        return ["-device", f"rtl8139,addr={_READER:#x}", "-device", f"pci-testdev,addr={_BYSTANDER:#x}"]

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """Granularity and size of a probe from the configuration (5.13.4), endpoints as QEMU numbers them."""
        mask, probe = struct.unpack_from("<Q24xI", config)
        endpoints = (("endpoint0", _READER << 3), ("endpoint1", _BYSTANDER << 3), ("absent", _ABSENT << 3))
        return *endpoints, ("page", mask & -mask), ("probe", probe), ("phys", behind.SPARE)

    def __init__(self) -> None:
        super().__init__()
        self._turn = 0

    def ready(self) -> None:
        """Place the reader's ports, let it access memory and send."""
        self._turn = 0
        for register, value in ((0x10, _PORTS | 1), (0x04, 0x5)):
            self._write(0xCF8, 0x80000000 | _READER << 11 | register, "w")
            self._write(0xCFC, value, "w")
        self._write(_PORTS + _COMMAND, _TRANSMITTER, "b")

    def lever(self, name: str, value: str) -> None:
        """Let the reader read a frame."""
        if name != "access" or value not in _ADDRESSES:
            return
        self._write(_PORTS + _TRANSMIT_START + 4 * self._turn, int(value, 0), "w")
        self._write(_PORTS + _TRANSMIT_STATUS + 4 * self._turn, _LENGTH, "w")
        self._turn = (self._turn + 1) % _DESCRIPTORS

    def _write(self, port: int, value: int, size: str) -> None:
        """Write to an I/O port; *size*: b for 8 bits, w for 32."""
        self.monitor.human(f"o /{size} {port:#x} {value:#x}")
