"""Behind virtio-gpu and virtio-vga: nothing but displays that nobody looks at."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from fuzz.targets.qemu import behind


class Behind(behind.Behind):
    """Two displays."""

    device_class = "gpu"
    queues = 2
    accept = 1 << 1  # EDID

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """More than one display, so that their numbers matter."""
        return {"max_outputs": "2"}

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """How many scanouts and capability sets (5.7.4), and memory that resources may be backed with."""
        scanouts, capsets = struct.unpack_from("<8xII", config)
        return ("spare", behind.SPARE), ("scanouts", scanouts), ("capsets", capsets)
