"""Rules that bind the driver at the registers of both transports: features, status, resets, suspension.

What breaks one of them is a defect of ours. Knows the log, and must not know what else is judged. What binds it on
one transport alone stands in ``register_transport_rules``.
"""

from __future__ import annotations

from oracles import registers, spec
from oracles.register_asking import rule
from oracles.register_log import WINDOWS, Access, Log, lacking, unknown
from oracles.registers import ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED, FEATURES_OK, MMIO, PCI, SUSPEND

_CONFIGURES = ("queue_size", *registers.AREAS)

# --- features ---------------------------------------------------------------------------------------------------------


@rule("F-ACCEPT-OFFERED", "write", "driver_feature")
def _not_offered(log: Log, access: Access) -> str | None:
    window = log.select.get("driver_feature_select", 0)
    extra = access.value & ~log.offered.get(window, 0)
    return f"feature {32 * window + extra.bit_length() - 1} is accepted, and was not offered" if extra else None


@rule("F-VALIDATE", "write", "driver_feature")
def _unknown(log: Log, access: Access) -> str | None:
    window = log.select.get("driver_feature_select", 0)
    wrong = unknown(log.transport, access.value << 32 * window) if window < WINDOWS else 0
    return f"feature {wrong.bit_length() - 1} is accepted, which this transport does not have" if wrong else None


def _agreeing(log: Log, access: Access) -> bool:
    """Whether FEATURES_OK is being set."""
    return bool(access.value & ~log.status & FEATURES_OK) and not log.status & FAILED


@rule("F-ACCEPT-OFFERED", "write", "device_status")
def _prerequisite(log: Log, access: Access) -> str | None:
    missing = lacking(log.known.get("device_id", 0), log.accept())
    return f"the driver accepts {missing}" if missing and _agreeing(log, access) else None


def _declined(log: Log, access: Access, bit: int) -> str | None:
    if _agreeing(log, access) and log.offer() & ~log.accept() & bit:
        return f"feature {bit.bit_length() - 1} is offered, and not accepted"
    return None


@rule("F-VERSION1", "write", "device_status")
def _version1(log: Log, access: Access) -> str | None:
    return _declined(log, access, spec.VERSION_1)


@rule("F-ACCESS-PLATFORM", "write", "device_status", warns=True)
def _access_platform(log: Log, access: Access) -> str | None:
    return _declined(log, access, spec.ACCESS_PLATFORM)


@rule("F-PACKED-ACCEPT", "write", "device_status", warns=True)
def _packed(log: Log, access: Access) -> str | None:
    return _declined(log, access, spec.RING_PACKED)


@rule("F-ORDER-PLATFORM", "write", "device_status", warns=True)
def _order_platform(log: Log, access: Access) -> str | None:
    return _declined(log, access, spec.ORDER_PLATFORM)


@rule("F-NOTIF-CONFIG-ACCEPT", "write", "device_status", warns=True)
def _notif_config(log: Log, access: Access) -> str | None:
    return _declined(log, access, spec.NOTIF_CONFIG_DATA) if log.transport == PCI else None


@rule("F-NOFAIL-UNKNOWN", "write", "device_status")
def _gave_up(log: Log, access: Access) -> str | None:
    ours = log.known.get("magic", registers.MAGIC) == registers.MAGIC and log.offer() & spec.VERSION_1
    known = sum(spec.FEATURE_NAMES.values())
    strange = log.offer() & ~known & ~0xFFFFFF
    if access.value & ~log.status & FAILED and ours and strange and not log.status & FEATURES_OK:
        return f"the driver gives up, and all that is new to it is feature {strange.bit_length() - 1}"
    return None


# --- status -----------------------------------------------------------------------------------------------------------


@rule("ST-FAILED-RESET", "write", "device_status")
def _after_failed(log: Log, access: Access) -> str | None:
    if log.status & FAILED and access.value and access.value != log.status:
        return f"{access.value:#x} is written to the status, and FAILED calls for a reset first"
    return None


@rule("ST-NOCLEAR", "write", "device_status")
def _cleared(log: Log, access: Access) -> str | None:
    gone = log.status & ~access.value
    if log.suspended or log.suspending or log.resuming:
        gone &= ~(SUSPEND | DRIVER_OK)
    return f"{access.value:#x} clears the status bits {gone:#x}" if access.value and gone else None


@rule("PCI-DRV-RESET-WAIT", "write", "device_status")
def _hurry_pci(log: Log, access: Access) -> str | None:
    return _hurry(log, access) if log.transport == PCI else None


@rule("RST-DRV-WAIT", "write", "device_status", warns=True)
def _hurry_mmio(log: Log, access: Access) -> str | None:
    return _hurry(log, access) if log.transport == MMIO else None


def _hurry(log: Log, access: Access) -> str | None:
    if access.value and log.reset == "asked":
        return "the driver goes on after a reset, and has not read that the status is 0"
    return None


@rule("ST-FAIL", "write", "device_status", "queue_enable")
def _goes_on(log: Log, access: Access) -> str | None:
    goes_on = access.value and (access.name == "queue_enable" or access.value & DRIVER_OK)
    return "the driver goes on, and FEATURES_OK was refused" if log.refused and goes_on else None


@rule("ST-SEQ", "write", "device_status")
def _sequence(log: Log, access: Access) -> str | None:
    if log.suspended or log.resuming or log.suspending:
        return None
    added = access.value & ~log.status
    if added & ACKNOWLEDGE and not log.reset:
        return "ACKNOWLEDGE is set, and the device was never reset"
    if added & DRIVER and not log.status & ACKNOWLEDGE:
        return "DRIVER is set before ACKNOWLEDGE"
    if added & FEATURES_OK and not log.status & DRIVER:
        return "FEATURES_OK is set before DRIVER"
    if added & FEATURES_OK and not log.accepted:
        return "FEATURES_OK is set, and no features were written"
    if added & DRIVER_OK and not log.status & FEATURES_OK:
        return "DRIVER_OK is set before FEATURES_OK"
    if added & DRIVER_OK and not log.reread:
        return "DRIVER_OK is set, and FEATURES_OK was not read back"
    return None


@rule("ST-NO-LATE-FEAT", "write", "driver_feature")
def _late(log: Log, access: Access) -> str | None:
    return "features are written after FEATURES_OK" if log.status & FEATURES_OK else None


@rule("ST-SEQ", "write", "driver_feature", "queue_enable")
def _out_of_turn(log: Log, access: Access) -> str | None:
    if access.name == "driver_feature":
        return None if log.status & DRIVER else "features are written before DRIVER is set"
    if access.value and not log.status & FEATURES_OK:
        return "a queue is enabled before FEATURES_OK"
    return None


@rule("ST-CFG-READ-EARLY", "write", "config")
def _early_config(log: Log, access: Access) -> str | None:
    return None if log.status & FEATURES_OK else "the configuration is written before FEATURES_OK"


@rule("ST-NO-EARLY-KICK", "write", "queue_notify")
def _early_kick(log: Log, access: Access) -> str | None:
    if log.running or log.suspended or log.suspending:
        return None
    return f"queue {access.queue} is notified before DRIVER_OK"


# --- configuration ----------------------------------------------------------------------------------------------------


def _torn(log: Log) -> bool:
    return len(set(log.loop)) > 1


@rule("CFG-READ", "read", "config_generation")
def _no_generation_before(log: Log, access: Access) -> str | None:
    if _torn(log) and log.headless:
        return "parts of the configuration are read together, and its generation was not read before them"
    return None


@rule("CFG-READ", "read")
def _no_generation(log: Log, access: Access) -> str | None:
    return None if access.name in ("config", "config_generation") else _no_generation_after(log)


@rule("CFG-READ", "write")
def _no_generation_written(log: Log, access: Access) -> str | None:
    return _no_generation_after(log)


@rule("CFG-READ", "end", "trace")
def _no_generation_at_all(log: Log, access: Access) -> str | None:
    return _no_generation_after(log)


def _no_generation_after(log: Log) -> str | None:
    if _torn(log):
        return "parts of the configuration were read together, and its generation was not read after them"
    return None


# --- queue reset ------------------------------------------------------------------------------------------------------


def _enabling(log: Log, access: Access) -> bool:
    return bool(access.value) and log.queue.again


@rule("VQR-DRV-VERIFY", "write", "queue_enable")
def _not_verified(log: Log, access: Access) -> str | None:
    if _enabling(log, access) and log.queue.reset == "asked":
        return f"queue {log.selected} is enabled, and that its reset is over was never read"
    return None


def _busy(log: Log, access: Access) -> str | None:
    if _enabling(log, access) and log.queue.reset == "busy":
        return f"queue {log.selected} is enabled, and its reset was not over when it was read last"
    return None


@rule("PCI-DRV-QRESET", "write", "queue_enable")
def _busy_pci(log: Log, access: Access) -> str | None:
    return _busy(log, access) if log.transport == PCI else None


@rule("MM-DRV-QRESET", "write", "queue_enable")
def _busy_mmio(log: Log, access: Access) -> str | None:
    return _busy(log, access) if log.transport == MMIO else None


@rule("VQR-REENABLE-DRV", "write", "queue_enable")
def _not_configured(log: Log, access: Access) -> str | None:
    missing = log.queue.size < 0 or len(log.queue.areas) < 2 * len(registers.AREAS)
    if _enabling(log, access) and missing:
        return f"queue {log.selected} is enabled again, and not all of it was configured anew"
    return None


# --- suspension -------------------------------------------------------------------------------------------------------


@rule("SUS-DRV-WHEN", "write", "device_status", warns=True)
def _when(log: Log, access: Access) -> str | None:
    if access.value & ~log.status & SUSPEND and not (log.running and log.negotiated(spec.SUSPEND)):
        return "SUSPEND is written to a device that is not running, or did not agree to it"
    return None


@rule("SUS-DRV-VERIFY", "write", "device_status")
def _not_seen(log: Log, access: Access) -> str | None:
    if log.suspending and log.running and access.value & DRIVER_OK and not access.value & SUSPEND:
        return "the driver resumes the device, and never read that it was suspended"
    return None


@rule("SUS-DRV-QUIET", "write", "queue_notify", "config")
def _busy_driver(log: Log, access: Access) -> str | None:
    return f"{access.written} is written while the device is suspended" if log.suspended else None


@rule("SUS-DRV-RESUME", "write", "queue_notify", "config")
def _too_soon(log: Log, access: Access) -> str | None:
    return f"{access.written} is written, and that the device has resumed was never read" if log.resuming else None
