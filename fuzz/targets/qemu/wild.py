"""Accesses to a virtio device's registers that no driver makes: wrong values, widths, places and moments.

Knows the transports' registers by name. Must not know sessions. Every access lies within the device's own structures.
"""

from __future__ import annotations

from fuzz.targets.qemu.qtest import Qtest, Refused
from fuzz.targets.qemu.transport import Transport

_SUFFIX = {1: "b", 2: "w", 4: "l", 8: "q"}
#: what virtio-mmio calls the fields of 4.1.4.3 (4.2.2)
_MMIO = {
    "driver_feature_select": "DriverFeaturesSel",
    "driver_feature": "DriverFeatures",
    "device_status": "Status",
    "queue_select": "QueueSel",
    "queue_size": "QueueSize",
    "queue_enable": "QueueReady",
    "queue_desc": "QueueDesc",
    "queue_driver": "QueueDriver",
    "queue_device": "QueueDevice",
}
_USUAL = {"device_status": 1, "config": 1, "queue_desc": 4, "queue_driver": 4, "queue_device": 4,
          "driver_feature": 4, "driver_feature_select": 4, "device_feature_select": 4}  # fmt: skip
_OFFSETS = 64  # an offset stays within a structure: modulo this


def access(qtest: Qtest, transport: Transport, name: str, values: dict[str, int]) -> None:
    """Write the register *name*: *value*, *width* bytes, *offset* past it. What the device has not is left alone."""
    width = values.get("width", 0)
    width = width if width in _SUFFIX else _USUAL.get(name, 2)
    value = values.get("value", 0) & (1 << 8 * width) - 1
    if name == "notify":
        address = transport.doorbell(0).split()[1]
    else:
        known = {title: place for place, title in transport.registers().items()}
        place = known.get(name, known.get(_MMIO.get(name, ""), -1))
        if name == "device_feature_select" and place < 0 and "driver_feature_select" in known:
            place = known["driver_feature_select"] - 8
        if place < 0:
            return
        address = hex(place)
    at = int(address, 16) + values.get("offset", 0) % _OFFSETS
    try:
        qtest.ask(f"write{_SUFFIX[width]} {at:#x} {value:#x}", "endianness")
    except Refused:
        return  # qtest has no such command: then nothing happened
