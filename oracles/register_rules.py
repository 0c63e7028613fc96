"""Rules that bind the device at its registers: features, status, resets, configuration, interrupts, suspension.

Asked about what was read and what arrived, most telling first. Knows the log, and must not know what else is judged.
"""

from __future__ import annotations

from oracles import registers, spec
from oracles.register_asking import rule
from oracles.register_log import WINDOWS, Access, Log, lacking, unknown
from oracles.registers import FEATURES_OK, MMIO, NEEDS_RESET, NO_VECTOR, PCI, SUSPEND

_MEM, _MEM_NEEDS = 24, 1 << 2  # virtio-mem may insist on UNPLUGGED_INACCESSIBLE (5.15.3)
_MAY_INSIST = spec.ACCESS_PLATFORM | spec.ORDER_PLATFORM | spec.SR_IOV | spec.VERSION_1  # 6.2

# --- features ---------------------------------------------------------------------------------------------------------


@rule("INO-BIT", "read", "device_feature")
def _bit(log: Log, access: Access) -> str | None:
    window = log.select.get("device_feature_select", 0)
    if window >= WINDOWS:
        return None
    read = access.value << 32 * window
    here = 0xFFFFFFFF << 32 * window
    wrong = (log.on & ~read | log.off & read) & here
    if not wrong:
        return None
    bit = wrong.bit_length() - 1
    name = next(iter(spec.feature_names(wrong)), f"feature {bit}")
    return f"{name} was switched {'on' if log.on >> bit & 1 else 'off'}, and bit {bit} is {read >> bit & 1}"


@rule("F-VERSION1", "read", "device_feature")
def _version1(log: Log, access: Access) -> str | None:
    if log.select.get("device_feature_select") == 1 and not access.value & spec.VERSION_1 >> 32:
        return "the device does not offer VIRTIO_F_VERSION_1"
    return None


@rule("F-OFFER-DEPS", "read", "device_feature")
def _dependencies(log: Log, access: Access) -> str | None:
    if log.select.get("device_feature_select", 0) != 0:
        return None
    missing = lacking(log.known.get("device_id", 0), access.value)
    return f"the device offers {missing}" if missing else None


@rule("F-RESERVED-RANGE", "read", "device_feature", warns=True)
def _reserved(log: Log, access: Access) -> str | None:
    window = log.select.get("device_feature_select", 0)
    wrong = unknown(PCI, access.value << 32 * window) >> 32 * window if window < WINDOWS else access.value
    bit = 32 * window + wrong.bit_length() - 1
    return f"the device offers feature bit {bit}, which is reserved" if wrong else None


@rule("PCI-FEAT-WINDOW", "read", "driver_feature")
def _window(log: Log, access: Access) -> str | None:
    window = log.select.get("driver_feature_select", 0)
    valid = log.accepted.get(window, 0) & log.offered.get(window, 0)
    if access.value & log.offered.get(window, 0) != valid:
        return f"driver_feature {window} reads {access.value:#x}, where {valid:#x} of what was offered was written"
    return None


def _valid(log: Log) -> bool:
    """Whether what the driver accepts is a set that a device should take."""
    accepted, offered = log.accept(), log.offer()
    device = log.known.get("device_id", 0)
    insists = _MAY_INSIST | (_MEM_NEEDS if device == _MEM else 0)
    return not accepted & ~offered and not offered & insists & ~accepted and not lacking(device, accepted)


def _refuses(log: Log, access: Access) -> bool:
    return bool(log.status & FEATURES_OK and not log.running and not access.value & (FEATURES_OK | NEEDS_RESET))


@rule("F-RENEG", "read", "device_status", warns=True)
def _again(log: Log, access: Access) -> str | None:
    if _refuses(log, access) and log.accept() in log.succeeded:
        return f"the device refuses the features {log.accept():#x}, which it took before"
    return None


@rule("F-SUBSET", "read", "device_status", warns=True)
def _subset(log: Log, access: Access) -> str | None:
    if _refuses(log, access) and _valid(log):
        return f"the device refuses the features {log.accept():#x}, a part of what it offers"
    return None


# --- status and reset -------------------------------------------------------------------------------------------------


@rule("RST-STATUS0", "read", "device_status")
def _not_zero(log: Log, access: Access) -> str | None:
    if log.reset == "done" and not log.status and access.value:
        return f"the status reads {access.value:#x} after the reset was over, though nothing was written to it"
    return None


@rule("RST-STATUS0", "idle")
def _never_zero(log: Log, access: Access) -> str | None:
    if access.value and log.reset == "asked" and log.shown > 0:
        return f"0 was written to the status, and it still reads {log.shown:#x}"
    return None


@rule("PCI-RESET", "read", "queue_enable")
def _enabled_after_reset(log: Log, access: Access) -> str | None:
    if log.transport == PCI and _forgotten(log, access):
        return f"queue_enable of queue {log.selected} reads {access.value} after a device reset"
    return None


@rule("MM-INT", "read", "queue_enable")
def _ready_after_reset(log: Log, access: Access) -> str | None:
    if log.transport == MMIO and _forgotten(log, access):
        return f"QueueReady of queue {log.selected} reads {access.value} after a device reset"
    return None


def _forgotten(log: Log, access: Access) -> bool:
    """Whether a queue reads as enabled though the device was reset, and nobody enabled it since."""
    queue = log.queue
    return bool(log.reset == "done" and access.value and not queue.enabled and not queue.again)


@rule("ST-NEEDS-RESET", "idle")
def _unannounced(log: Log, access: Access) -> str | None:
    silent = log.transport == PCI and log.config_vector == NO_VECTOR and bool(log.mapped())
    if access.value and log.running and log.shown > 0 and log.shown & NEEDS_RESET and not log.announced and not silent:
        return "the device has set DEVICE_NEEDS_RESET, and sent no configuration change notification"
    return None


# --- queue reset ------------------------------------------------------------------------------------------------------


def _queue_reset(log: Log, access: Access) -> str | None:
    queue = log.queue
    name = f"{access.written} of queue {log.selected}"
    if access.name == "queue_enable":
        wrong = access.value and queue.reset == "done" and not queue.enabled
        return f"{name} reads {access.value} when the queue reset is over" if wrong else None
    if access.value and log.reset == "done" and not queue.reset and log.offer() & spec.RING_RESET:
        return f"{name} reads {access.value}, though {'the queue was enabled' if queue.enabled else 'nobody wrote it'}"
    return None


@rule("PCI-QRESET", "read", "queue_reset", "queue_enable")
def _queue_reset_pci(log: Log, access: Access) -> str | None:
    return _queue_reset(log, access) if log.transport == PCI else None


@rule("MM-QRESET", "read", "queue_reset", "queue_enable")
def _queue_reset_mmio(log: Log, access: Access) -> str | None:
    return _queue_reset(log, access) if log.transport == MMIO else None


@rule("VQR-DEV-SCOPE", "read", "queue_enable")
def _scope(log: Log, access: Access) -> str | None:
    others = [number for number, queue in log.queues.items() if queue.again and number != log.selected]
    if log.queue.enabled and not access.value and others:
        return f"queue {log.selected} is no longer enabled since queue {others[0]} was reset"
    return None


@rule("VQR-REENABLE-DEV", "read", "queue_size", *registers.AREAS)
def _reconfigured(log: Log, access: Access) -> str | None:
    queue = log.queue
    wanted = queue.size if access.name == "queue_size" else queue.areas.get((access.name, access.at), -1)
    if queue.again and queue.enabled and wanted not in (-1, access.value):
        return f"{access.name} of a queue that was reset and enabled again reads {access.value:#x}, not {wanted:#x}"
    return None


# --- configuration ----------------------------------------------------------------------------------------------------


@rule("CFG-ALLOW-READ", "read", "config")
def _early(log: Log, access: Access) -> str | None:
    old = log.config.get((access.at, access.width))
    hidden = (0, (1 << 8 * access.width) - 1)
    if old is None or old.agreed or not log.agreed or log.generation < 0 or old.generation != log.generation:
        return None
    if old.value in hidden and access.value not in hidden:
        return f"the configuration at {access.at} read {old.value:#x} before FEATURES_OK, and now {access.value:#x}"
    return None


def _generation(log: Log, access: Access) -> str | None:
    if log.stale and access.value == log.generation:
        return f"the configuration has changed, and its generation is still {access.value}"
    return None


@rule("PCI-CFGGEN", "read", "config_generation")
def _generation_pci(log: Log, access: Access) -> str | None:
    return _generation(log, access) if log.transport == PCI else None


@rule("MM-CFGGEN", "read", "config_generation")
def _generation_mmio(log: Log, access: Access) -> str | None:
    return _generation(log, access) if log.transport == MMIO else None


# --- virtio-pci -------------------------------------------------------------------------------------------------------


@rule("PCI-CAPS", "end", "capabilities")
def _capabilities(log: Log, access: Access) -> str | None:
    names = {registers.COMMON_CFG: "common", registers.NOTIFY_CFG: "notification", registers.ISR_CFG: "ISR"}
    types = {one.type for one in log.capabilities}
    for kind, name in names.items():
        if kind not in types:
            return f"there is no capability for the {name} configuration"
    for one in log.capabilities:
        if one.type in (registers.COMMON_CFG, registers.DEVICE_CFG) and one.offset % 4:
            return f"the structure of type {one.type} is at offset {one.offset:#x}"
    return None


@rule("PCI-NOTIFY-CAP", "read", "queue_notify_off")
def _notify_place(log: Log, access: Access) -> str | None:
    one = log.notify_capability()
    if one is None:
        return None
    width = 4 if log.offer() & spec.NOTIFICATION_DATA else 2
    if one.offset % width:
        return f"the notification structure is at offset {one.offset:#x}, no multiple of {width}"
    if one.multiplier and (not registers.power_of_two(one.multiplier) or one.multiplier % width):
        return f"notify_off_multiplier is {one.multiplier}"
    need = access.value * one.multiplier + width
    if one.length < need:
        return f"the notification structure has {one.length} bytes, and queue {log.selected} needs {need}"
    return None


@rule("PCI-QSIZE0", "read", "queue_size")
def _no_such_queue(log: Log, access: Access) -> str | None:
    count = log.known.get("num_queues")
    if count is None or log.selected < count or not access.value or log.negotiated(spec.ADMIN_VQ):
        return None
    return f"queue {log.selected} of {count} has size {access.value}"


@rule("PCI-QSIZE-POW2", "read", "queue_size")
def _odd_size(log: Log, access: Access) -> str | None:
    if access.value and not registers.power_of_two(access.value) and not log.accept() & spec.RING_PACKED:
        return f"queue_size of queue {log.selected} reads {access.value}, and packed is not negotiated"
    return None


@rule("PCI-MSIX-DEV", "read", "queue_msix_vector", "config_msix_vector")
def _vector(log: Log, access: Access) -> str | None:
    wanted = log.config_vector if access.name == "config_msix_vector" else log.queue.vector
    if access.value in (wanted, NO_VECTOR) or log.reset != "done":
        return None
    return f"{access.name} reads {access.value:#x}, not {wanted:#x}"


@rule("PCI-ISR", "read", "isr")
def _isr(log: Log, access: Access) -> str | None:
    if log.owed_isr and not access.value & log.owed_isr:
        return f"an interrupt arrived, and the ISR status reads {access.value:#x}"
    if log.emptied and access.value:
        return f"the ISR status reads {access.value:#x} again, though it was read and nothing happened since"
    return None


def _stray(log: Log, access: Access) -> bool:
    """Whether an MSI-X message came with a vector that nothing is mapped to."""
    return access.value != 65535 and access.value not in log.mapped() and log.running


@rule("PCI-NOVECTOR", "interrupt")
def _queue_without_vector(log: Log, access: Access) -> str | None:
    silent = [number for number, queue in log.queues.items() if queue.kicked and queue.vector == NO_VECTOR]
    if _stray(log, access) and silent:
        return f"vector {access.value} arrived, and queue {silent[0]} has none"
    return None


@rule("PCI-CFG-INT", "interrupt")
def _config_without_vector(log: Log, access: Access) -> str | None:
    if _stray(log, access) and log.config_vector == NO_VECTOR:
        return f"vector {access.value} arrived, and the configuration has none"
    return None


# --- virtio-mmio ------------------------------------------------------------------------------------------------------


@rule("MM-ID", "read", "magic", "version")
def _identity(log: Log, access: Access) -> str | None:
    wanted = registers.MAGIC if access.name == "magic" else registers.VERSION
    return f"{access.written} reads {access.value:#x}, not {wanted:#x}" if access.value != wanted else None


@rule("MM-INT", "read", "interrupt_status")
def _interrupt_status(log: Log, access: Access) -> str | None:
    value = access.value
    if value & ~(registers.USED | registers.CONFIG):
        return f"InterruptStatus reads {value:#x}: bits above 1 mean nothing"
    if log.reset == "done" and not log.status and value:
        return f"InterruptStatus reads {value:#x} after a device reset"
    if log.heard & ~value:
        return f"InterruptStatus lost the bits {log.heard & ~value:#x} before they were acknowledged"
    if value & registers.USED and not any(queue.kicked for queue in log.queues.values()):
        return "InterruptStatus says that a buffer was used, and none was ever made available"
    if log.emptied and value & ~log.heard:
        return f"InterruptStatus reads {value:#x}, though it was acknowledged and nothing happened since"
    return None


# --- suspension -------------------------------------------------------------------------------------------------------


@rule("SUS-DEV-IGNORE", "read", "device_status")
def _too_early(log: Log, access: Access) -> str | None:
    if log.status & SUSPEND and not log.running and not log.suspended and access.value & SUSPEND:
        return "SUSPEND was written before DRIVER_OK, and the device shows it"
    return None


@rule("SUS-DEV-RESULT", "idle")
def _neither(log: Log, access: Access) -> str | None:
    if not access.value or log.shown < 0 or log.shown & NEEDS_RESET or not log.running | log.resuming:
        return None
    if log.suspending and log.negotiated(spec.SUSPEND):
        return f"SUSPEND was written, and the status reads {log.shown:#x}"
    if log.resuming:
        return f"the device was to resume, and its status reads {log.shown:#x}"
    return None


@rule("SUS-DEV-QUIET", "interrupt")
def _interrupt_asleep(log: Log, access: Access) -> str | None:
    asleep = log.suspended and log.settled
    return f"an interrupt ({access.value}) arrived while the device was suspended" if asleep else None


@rule("SUS-DEV-CFG", "read", "config", warns=True)
def _config_written(log: Log, access: Access) -> str | None:
    written = log.meddled.get((access.at, access.width))
    if written is None or written != access.value or access.value == log.before.get((access.at, access.width)):
        return None
    return f"the configuration at {access.at} was written while the device was suspended, and reads {written:#x}"


@rule("SUS-DEV-QUIET", "read", "config")
def _config_asleep(log: Log, access: Access) -> str | None:
    old = log.before.get((access.at, access.width))
    if log.suspended and (access.at, access.width) not in log.meddled and old not in (None, access.value):
        return f"the configuration at {access.at} changed from {old:#x} to {access.value:#x} while suspended"
    return None


@rule("SUS-DEV-DEFER", "idle")
def _deferred(log: Log, access: Access) -> str | None:
    if not access.value or not log.running or log.suspended or log.suspending or log.resuming or log.announced:
        return None
    for part, old in log.before.items():
        seen = log.config.get(part)
        if seen is not None and seen.value != old and part not in log.meddled:
            return f"the configuration at {part[0]} changed while suspended, and no notification came after that"
    return None
