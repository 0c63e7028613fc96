"""Faults of our own driver at a device's registers: the accesses of a case with one thing done otherwise.

Knows cases and accesses. Each row: rule, transport, what is wrong, case, features that the device offers besides,
and the defect.
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz.cases import register_cases as made
from fuzz.cases import register_suspend as asleep
from fuzz.cases.register_bench import Case, Op, Tamper
from oracles import spec
from oracles.registers import DRIVER_OK, FAILED, MMIO, PCI, SUSPEND

Row = tuple[str, str, str, Case, int, Callable[[], Tamper]]
_STATUS, _FEATURE = "device_status", "driver_feature"
_KICK = Op("write", "queue_notify", 0)


def _ok(value: int) -> bool:
    return bool(value & DRIVER_OK)


def _failed(value: int) -> bool:
    return bool(value & FAILED)


def _declines(bit: int) -> Callable[[], Tamper]:
    """The driver does not accept one of the features 32 to 63."""
    return lambda: Tamper("write", _FEATURE, first=1, change=lambda value: value & ~(bit >> 32))


def _before_ok(*ops: Op) -> Callable[[], Tamper]:
    return lambda: Tamper("write", _STATUS, when=_ok, before=ops)


_GIVE_UP = Op("write", _STATUS, FAILED | 3)
_SIZE_LATE = Op("write", "queue_size", 16)
ROWS: tuple[Row, ...] = (
    ("F-ACCEPT-OFFERED", PCI, "a feature is accepted that was not offered", made.initialize, 0,
     lambda: Tamper("write", _FEATURE, change=lambda value: value | 1 << 2)),
    ("F-VALIDATE", MMIO, "a feature that virtio-mmio does not have is accepted", made.initialize, spec.ADMIN_VQ,
     lambda: Tamper("write", _FEATURE, first=1, change=lambda value: value | spec.ADMIN_VQ >> 32)),
    ("F-VERSION1", PCI, "VIRTIO_F_VERSION_1 is not accepted", made.accept_all, 0, _declines(spec.VERSION_1)),
    ("F-ACCESS-PLATFORM", PCI, "VIRTIO_F_ACCESS_PLATFORM is not accepted", made.accept_all, 0,
     _declines(spec.ACCESS_PLATFORM)),
    ("F-PACKED-ACCEPT", PCI, "VIRTIO_F_RING_PACKED is not accepted", made.accept_all, 0, _declines(spec.RING_PACKED)),
    ("F-ORDER-PLATFORM", PCI, "VIRTIO_F_ORDER_PLATFORM is not accepted", made.accept_all, 0,
     _declines(spec.ORDER_PLATFORM)),
    ("F-NOTIF-CONFIG-ACCEPT", PCI, "VIRTIO_F_NOTIF_CONFIG_DATA is not accepted", made.accept_all, 0,
     _declines(spec.NOTIF_CONFIG_DATA)),
    ("F-NOFAIL-UNKNOWN", PCI, "the driver gives up on a feature that it does not know", made.initialize, 1 << 60,
     lambda: Tamper("write", "driver_feature_select", before=(_GIVE_UP,), skip=True, stop=True)),
    ("ST-SEQ", PCI, "DRIVER is not set", made.initialize, 0,
     lambda: Tamper("write", _STATUS, when=lambda value: value == 3, skip=True)),
    ("ST-NOCLEAR", PCI, "ACKNOWLEDGE is cleared when DRIVER_OK is set", made.initialize, 0,
     lambda: Tamper("write", _STATUS, when=_ok, change=lambda value: value & ~1)),
    ("ST-FAILED-RESET", PCI, "the driver goes on after FAILED", made.refused, 0,
     lambda: Tamper("write", _STATUS, when=_failed, after=(Op("write", _STATUS, FAILED | 15),))),
    ("ST-FAIL", PCI, "the driver goes on after FEATURES_OK was refused", made.refused, 0,
     lambda: Tamper("write", _STATUS, when=_failed, change=lambda value: 15)),
    ("ST-CFG-READ-EARLY", PCI, "the configuration is written before FEATURES_OK", made.configuration, 0,
     lambda: Tamper("write", "driver_feature_select", before=(Op("write", "config", 1),))),
    ("ST-NO-LATE-FEAT", PCI, "features are written again after FEATURES_OK", made.initialize, 0,
     _before_ok(Op("write", "driver_feature_select", 0), Op("write", _FEATURE, 0))),
    ("ST-NO-EARLY-KICK", PCI, "the device is notified before DRIVER_OK", made.initialize, 0, _before_ok(_KICK)),
    ("CFG-READ", PCI, "the configuration's generation is not read", made.configuration, 0,
     lambda: Tamper("read", "config_generation", times=-1, skip=True, result=0)),
    ("RST-DRV-WAIT", MMIO, "the driver does not wait for a reset", made.initialize, 0,
     lambda: Tamper("read", _STATUS, first=1, skip=True, result=0)),
    ("PCI-DRV-RESET-WAIT", PCI, "the driver does not wait for a reset", made.initialize, 0,
     lambda: Tamper("read", _STATUS, first=1, skip=True, result=0)),
    ("VQR-DRV-VERIFY", PCI, "the driver does not look whether a queue reset is over", made.queue_reset, 0,
     lambda: Tamper("read", "queue_reset", first=2, skip=True, result=0)),
    ("VQR-REENABLE-DRV", PCI, "a queue is enabled again without its size", made.queue_reset, 0,
     lambda: Tamper("write", "queue_size", first=2, skip=True)),
    ("PCI-DRV-QRESET", PCI, "the driver goes on though a queue reset is not over", made.queue_reset, 0,
     lambda: Tamper("read", "queue_reset", first=2, result=0)),
    ("PCI-DRV-RO", PCI, "num_queues is written", made.initialize, 0,
     lambda: Tamper("write", "queue_select", after=(Op("write", "num_queues", 1),))),
    ("PCI-DRV-QSIZE", PCI, "15 is written to queue_size of a split queue", made.initialize, 0,
     lambda: Tamper("write", "queue_size", change=lambda value: 15)),
    ("PCI-DRV-ENABLE-LAST", PCI, "queue_size is written after the queue was enabled", made.initialize, 0,
     lambda: Tamper("write", "queue_enable", after=(_SIZE_LATE,))),
    ("PCI-DRV-NO-DISABLE", PCI, "0 is written to queue_enable", made.initialize, 0,
     lambda: Tamper("write", "queue_enable", before=(Op("write", "queue_enable", 0),))),
    ("PCI-QSETUP", PCI, "a queue is made larger than it may be", made.initialize, 0,
     lambda: Tamper("write", "queue_size", change=lambda value: 512)),
    ("PCI-ISR-DRV", PCI, "the ISR status is read on a queue interrupt", made.reset, 0,
     lambda: Tamper("write", _STATUS, when=lambda value: not value, first=3, before=(Op("read", "isr"),))),
    ("PCI-MSIX-DRV", PCI, "a vector is not read back", made.initialize, 0,
     lambda: Tamper("read", "queue_msix_vector", skip=True, result=1)),
    ("PCI-KICK-FORM", PCI, "a notification is 32 bits wide", made.initialize, 0,
     lambda: Tamper("write", "queue_notify", width=4)),
    ("MM-KICK-FORM", MMIO, "a notification says more than the queue", made.initialize, 0,
     lambda: Tamper("write", "queue_notify", change=lambda value: value | 1 << 16)),
    ("MM-DRV-ACCESS", MMIO, "QueueSel is read", made.initialize, 0, _before_ok(Op("read", "queue_select"))),
    ("MM-DRV-IGNORE", MMIO, "Version is not looked at", made.initialize, 0,
     lambda: Tamper("read", "version", skip=True, result=2)),
    ("MM-DRV-QSIZE", MMIO, "a queue is made larger than it may be", made.initialize, 0,
     lambda: Tamper("write", "queue_size", change=lambda value: 512)),
    ("MM-DRV-READY", MMIO, "QueueSize is written while QueueReady is 1", made.initialize, 0,
     lambda: Tamper("write", "queue_enable", after=(_SIZE_LATE,))),
    ("MM-DRV-INT", MMIO, "a bit is acknowledged that means nothing", made.interrupt_status, 0,
     lambda: Tamper("write", "interrupt_ack", change=lambda value: value | 4)),
    ("MM-DRV-QRESET", MMIO, "the driver goes on though a queue reset is not over", made.queue_reset, 0,
     lambda: Tamper("read", "queue_reset", first=2, result=0)),
    ("SUS-DRV-WHEN", PCI, "SUSPEND is written before DRIVER_OK", made.initialize, 0,
     _before_ok(Op("write", _STATUS, 11 | SUSPEND))),
    ("SUS-DRV-VERIFY", PCI, "the driver does not look whether the device is suspended", asleep.sleep, 0,
     lambda: Tamper("read", _STATUS, first=4, skip=True, result=11 | SUSPEND)),
    ("SUS-DRV-QUIET", PCI, "a suspended device is notified", asleep.sleep, 0,
     lambda: Tamper("write", _STATUS, when=lambda value: value == 15, first=1, before=(_KICK,))),
    ("SUS-DRV-RESUME", PCI, "a device is notified before it has resumed", asleep.sleep, 0,
     lambda: Tamper("write", _STATUS, when=lambda value: value == 15, first=1, after=(_KICK,))),
)  # fmt: skip
