"""Rules that bind the driver on virtio-pci alone (4.1), and on virtio-mmio alone (4.2).

What breaks one of them is a defect of ours. Knows the log, and must not know what else is judged.
"""

from __future__ import annotations

from oracles import registers, spec
from oracles.register_asking import rule
from oracles.register_log import Access, Log
from oracles.registers import DRIVER_OK, MMIO, NO_VECTOR, PCI

_CONFIGURES = ("queue_size", *registers.AREAS)
_PROBED = ("magic", "version", "device_id")

# --- virtio-pci -------------------------------------------------------------------------------------------------------


@rule("PCI-DRV-RO", "write")
def _read_only(log: Log, access: Access) -> str | None:
    register = registers.found(access.written)
    if log.transport == PCI and register is not None and register.access == "R":
        return f"{access.written} is written, which is read-only"
    return None


@rule("PCI-DRV-QSIZE", "write", "queue_size")
def _size(log: Log, access: Access) -> str | None:
    packed = log.negotiated(spec.RING_PACKED)
    wrong = access.value == 0 if packed else not registers.power_of_two(access.value)
    if log.transport == PCI and wrong:
        return f"{access.value} is written to queue_size of a {'packed' if packed else 'split'} queue"
    return None


@rule("PCI-QSETUP", "write", "queue_size")
def _larger(log: Log, access: Access) -> str | None:
    if log.transport == PCI and access.value > log.queue.maximum >= 0:
        return f"queue_size of queue {log.selected} is set to {access.value}, of {log.queue.maximum}"
    return None


@rule("PCI-DRV-NO-DISABLE", "write", "queue_enable")
def _disable(log: Log, access: Access) -> str | None:
    return "0 is written to queue_enable" if log.transport == PCI and not access.value else None


@rule("PCI-DRV-ENABLE-LAST", "write", "queue_enable")
def _not_configured(log: Log, access: Access) -> str | None:
    missing = len(log.queue.areas) < 2 * len(registers.AREAS)
    if log.transport == PCI and access.value and missing and not log.queue.again:
        return f"queue {log.selected} is enabled, and its areas were not all written"
    return None


@rule("PCI-DRV-ENABLE-LAST", "write", *_CONFIGURES, "queue_msix_vector")
def _configured_late(log: Log, access: Access) -> str | None:
    if log.transport == PCI and log.queue.enabled:
        return f"{access.written} of queue {log.selected} is written after the queue was enabled"
    return None


@rule("PCI-MSIX-DRV", "write", "device_status")
def _vector_unread(log: Log, access: Access) -> str | None:
    if not access.value & ~log.status & DRIVER_OK:
        return None
    if log.config_unread and log.config_vector != NO_VECTOR:
        return "config_msix_vector was written and not read back"
    for number, queue in log.queues.items():
        if queue.unread and queue.vector != NO_VECTOR:
            return f"queue_msix_vector of queue {number} was written and not read back"
    return None


@rule("PCI-ISR-DRV", "read", "isr", warns=True)
def _isr(log: Log, access: Access) -> str | None:
    vectors = {queue.vector for queue in log.queues.values()} - {NO_VECTOR, log.config_vector}
    if log.last_vector in vectors:
        return f"the ISR status is read on the queue interrupt {log.last_vector}, with MSI-X enabled"
    return None


def _kick(log: Log, access: Access) -> str | None:
    """What is wrong with the form of a notification (4.1.5.2.1, 4.2.3.3)."""
    queue = log.queues.get(access.queue)
    wanted = access.queue
    if log.transport == PCI and log.negotiated(spec.NOTIF_CONFIG_DATA) and queue is not None and queue.data >= 0:
        wanted = queue.data
    width = 4 if log.transport == MMIO or log.negotiated(spec.NOTIFICATION_DATA) else 2
    if access.width != width:
        return f"a notification is {8 * access.width} bits wide, not {8 * width}"
    value = access.value & 0xFFFF if log.negotiated(spec.NOTIFICATION_DATA) else access.value
    if value != wanted:
        return f"a notification of queue {access.queue} says {value:#x}, not {wanted:#x}"
    return None


@rule("PCI-KICK-FORM", "write", "queue_notify")
def _kick_pci(log: Log, access: Access) -> str | None:
    if log.transport != PCI:
        return None
    wrong = _kick(log, access)
    one, queue = log.notify_capability(), log.queues.get(access.queue)
    if wrong is None and one is not None and queue is not None and queue.notify_off >= 0:
        place = queue.notify_off * one.multiplier
        if access.at != place:
            wrong = f"a notification of queue {access.queue} goes to offset {access.at:#x}, not {place:#x}"
    return wrong


# --- virtio-mmio ------------------------------------------------------------------------------------------------------


@rule("MM-KICK-FORM", "write", "queue_notify")
def _kick_mmio(log: Log, access: Access) -> str | None:
    return _kick(log, access) if log.transport == MMIO else None


def _ignored(log: Log, access: Access) -> str | None:
    if log.transport != MMIO:
        return None
    known = log.known
    if access.name in _PROBED:
        missing = [name for name in _PROBED[: _PROBED.index(access.name)] if name not in known]
    else:
        missing = [name for name in _PROBED if name not in known]
    if missing:
        return f"{access.written} is accessed before {', '.join(missing)} was read"
    wrong = known.get("magic", registers.MAGIC) != registers.MAGIC or known.get("version", 2) != registers.VERSION
    if wrong or (access.name not in _PROBED and known["device_id"] == 0):
        return f"{access.written} of a device is accessed that is to be ignored"
    return None


@rule("MM-DRV-IGNORE", "read")
def _probed_read(log: Log, access: Access) -> str | None:
    return _ignored(log, access)


@rule("MM-DRV-IGNORE", "write")
def _probed_write(log: Log, access: Access) -> str | None:
    return _ignored(log, access)


def _undocumented(log: Log, access: Access, letter: str) -> str | None:
    if log.transport != MMIO:
        return None
    register = registers.found(access.written)
    if register is None:
        return f"{access.written} is no register of virtio-mmio"
    if letter not in register.access:
        return f"{access.written} is {'read' if letter == 'R' else 'written'}, which is not its direction"
    if access.name == "config":
        odd = access.width not in (1, 2, 4) or access.at % access.width
        return f"the configuration is accessed by {access.width} bytes at {access.at}" if odd else None
    if access.width != 4:
        return f"{access.written} is accessed by {access.width} bytes"
    select = f"{access.name}_select"
    if access.name in ("device_feature", "driver_feature") and select not in log.select:
        return f"{access.written} is accessed, and nothing was written to its selector"
    return None


@rule("MM-DRV-ACCESS", "read")
def _undocumented_read(log: Log, access: Access) -> str | None:
    return _undocumented(log, access, "R")


@rule("MM-DRV-ACCESS", "write")
def _undocumented_write(log: Log, access: Access) -> str | None:
    return _undocumented(log, access, "W")


@rule("MM-DRV-QSIZE", "write", "queue_size")
def _too_large(log: Log, access: Access) -> str | None:
    if log.transport == MMIO and access.value > log.queue.maximum:
        return f"QueueSize is set to {access.value}, and QueueSizeMax is {max(log.queue.maximum, 0)}"
    return None


@rule("MM-DRV-READY", "write", *_CONFIGURES)
def _ready(log: Log, access: Access) -> str | None:
    if log.transport == MMIO and log.queue.enabled:
        return f"{access.written} of queue {log.selected} is written while QueueReady is 1"
    if log.transport == MMIO and log.queue.disabling:
        return f"{access.written} of queue {log.selected} is written, and that QueueReady is 0 was not read"
    return None


@rule("MM-DRV-INT", "write", "interrupt_ack")
def _acknowledged(log: Log, access: Access) -> str | None:
    if access.value & ~(registers.USED | registers.CONFIG):
        return f"{access.value:#x} is written to InterruptACK: bits above 1 mean nothing"
    if access.value & ~log.heard:
        return f"{access.value:#x} is acknowledged, and InterruptStatus read {log.heard:#x}"
    return None
