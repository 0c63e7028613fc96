"""Behind virtio-mem: memory to plug, of which more or less is requested."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from fuzz.targets.qemu import behind

_ACPI_PXM, _UNPLUGGED_INACCESSIBLE = 1 << 0, 1 << 1  # 5.15.3; without the second, QEMU doesn't take FEATURES_OK
_BLOCK, _SIZE = 1 << 20, 16 << 20  # bytes
#: block_size, node_id, addr, region_size, usable_region_size, plugged_size, requested_size (5.15.4)
_CONFIG = struct.Struct("<QH6xQQQQQ")


class Behind(behind.Behind):
    """A memory device of 16 blocks."""

    device_class = "mem"
    accept = _ACPI_PXM | _UNPLUGGED_INACCESSIBLE
    #: How much is requested, in megabytes. Never nothing: then an UNPLUG ALL would leave no usable region.
    pulses = (("requested", ("16", "12", "4")),)

    def memory(self, megabytes: int) -> str:
        """Room in the address space for it."""
        return f"{megabytes}M,slots=1,maxmem={megabytes + 256}M"

    def before(self, given: Mapping[str, str]) -> list[str]:
        """The memory, unless the user names some."""
        return [] if "memdev" in given else ["-object", f"memory-backend-ram,id=mem0,size={_SIZE}"]

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """Which memory, in which blocks, and that all of it is requested at first."""
        return {"memdev": "mem0", "block-size": str(_BLOCK), "requested-size": str(_SIZE)}

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """Where the blocks are; all of them are usable as long as something is requested."""
        block, _, address, size, usable, _, _ = _CONFIG.unpack_from(config)
        return ("address", address), ("block_size", block), ("blocks", size // block), ("usable", usable // block)

    def fresh(self) -> None:
        """What was plugged stays plugged, but as much as at first is requested again."""
        self.lever("requested", "16")

    def lever(self, name: str, value: str) -> None:
        """Request more or less."""
        if name == "requested" and value.isdigit():
            size = min(max(1, int(value)) << 20, _SIZE)
            self.monitor.execute("qom-set", path="/machine/peripheral/vq", property="requested-size", value=size)
