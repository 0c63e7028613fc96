"""Planted faults of the reference device's registers: each is the device with one small method replaced.

The test of the rules of registers: each must be named by its rule alone. Knows the device; must not know rules.
"""

from __future__ import annotations

from dataclasses import dataclass

from fuzz.targets.model.register_file import Device
from fuzz.targets.model.register_queues import QUEUES, SIZE, Queue
from oracles import registers, spec
from oracles.registers import DRIVER_OK, FEATURES_OK, MMIO, NO_VECTOR, PCI, SUSPEND
from oracles.trace import Capability

BOTH = (PCI, MMIO)


@dataclass(frozen=True, slots=True)
class Fault:
    """A planted fault: its name, what is wrong, the device that has it, on which transports."""

    name: str
    text: str
    device: type[Device]
    transports: tuple[str, ...] = BOTH


FAULTS: dict[str, Fault] = {}


def plant(name: str, text: str, transports: tuple[str, ...] = BOTH, **methods: object) -> None:
    """Enter a fault: the device with these methods or attributes."""
    FAULTS[name] = Fault(name, text, type("Faulty", (Device,), dict(methods)), transports)


# --- features ---------------------------------------------------------------------------------------------------------

plant("in-order-moved", "IN_ORDER is switched on and bit 35 is not offered", missing=spec.IN_ORDER)
plant("legacy", "VIRTIO_F_VERSION_1 is not offered", missing=spec.VERSION_1)
plant("lonely-feature", "GUEST_TSO4 is offered without GUEST_CSUM", missing=1 << 1)
plant("reserved-feature", "a reserved feature bit is offered", added=1 << 45)


def _picky(device: Device) -> bool:
    alone = device.features & spec.IN_ORDER and not device.features & spec.EVENT_IDX
    return Device.agrees(device) and not alone


def _once(device: Device) -> bool:
    taken: set[int] = device.__dict__.setdefault("taken", set())
    again = device.features in taken
    taken.add(device.features)
    return Device.agrees(device) and not again


def _low_half(device: Device, at: int, width: int) -> int:
    return 0 if device.selects["driver_feature_select"] else device.features & 0xFFFFFFFF


plant("picky", "IN_ORDER without EVENT_IDX is refused", agrees=_picky)
plant("once", "a set of features is taken only once", agrees=_once)
plant("low-half", "driver_feature shows the lower 32 bits alone", (PCI,), read_driver_feature=_low_half)

# --- status and reset -------------------------------------------------------------------------------------------------


def _flickers(device: Device, at: int, width: int) -> int:
    value = Device.read_device_status(device, at, width)
    if value == 0:
        device.status = registers.ACKNOWLEDGE
    return value


def _keeps_enabled(device: Device) -> None:
    kept = [queue.enabled for queue in device.queues]
    Device.clear(device)
    for queue, enabled in zip(device.queues, kept, strict=True):
        queue.enabled = enabled


def _silent_error(device: Device) -> None:
    announce = device.__dict__.setdefault("announce", lambda: None)
    Device.give_up(device)
    del device.__dict__["announce"], announce


plant("flickers", "the status reads 0 after a reset, and 1 after that", read_device_status=_flickers)
plant("stays-enabled", "a device reset leaves queues enabled", clear=_keeps_enabled)
plant("silent-error", "DEVICE_NEEDS_RESET is set without a notification", give_up=_silent_error)

# --- queue reset ------------------------------------------------------------------------------------------------------


def _still_enabled(device: Device, queue: Queue) -> None:
    Device.reset_queue(device, queue)
    queue.enabled = 1


def _all_queues(device: Device, queue: Queue) -> None:
    Device.reset_queue(device, queue)
    for other in device.queues:
        other.enabled = 0


def _fixed_size(device: Device, value: int, at: int, width: int) -> None:
    queue = device.queue
    if queue is not None and not device.status & DRIVER_OK:
        queue.size = value


plant("reset-queue-enabled", "a queue that was reset still reads as enabled", reset_queue=_still_enabled)
plant("reset-all-queues", "the reset of one queue disables the others", reset_queue=_all_queues)
plant("fixed-size", "the size of a queue that was reset can't be set again", (PCI,), write_queue_size=_fixed_size)

# --- configuration ----------------------------------------------------------------------------------------------------


def _hidden(device: Device, at: int, width: int) -> int:
    return Device.read_config(device, at, width) if device.status & FEATURES_OK else 0


def _no_count(device: Device) -> None:
    pass


plant("hidden-config", "the configuration reads 0 before FEATURES_OK", read_config=_hidden)
plant("same-generation", "the configuration changes, and its generation does not", count=_no_count)

# --- virtio-pci -------------------------------------------------------------------------------------------------------


def _no_isr(device: Device) -> list[Capability]:
    return [one for one in Device.capabilities(device) if one.type != registers.ISR_CFG]


def _short(device: Device) -> list[Capability]:
    listed = Device.capabilities(device)
    return [one._replace(length=2) if one.type == registers.NOTIFY_CFG else one for one in listed]


def _endless(device: Device, at: int, width: int) -> int:
    return device.queue.size if device.queue else SIZE


def _odd(device: Device, at: int, width: int) -> int:
    size = Device.read_queue_size(device, at, width)
    return size - 6 if size == SIZE else size


def _other_vector(device: Device, value: int, at: int, width: int) -> None:
    Device.write_queue_msix_vector(device, value, at, width)
    if device.queue is not None and device.queue.vector == QUEUES:
        device.queue.vector = 0


def _sticky_isr(device: Device, at: int, width: int) -> int:
    return device.isr


def _default_vector(device: Device, number: int) -> None:
    vector = device.queues[number].vector
    device.raise_interrupt(1 if vector == NO_VECTOR else vector)


def _default_config_vector(device: Device) -> None:
    device.isr |= registers.CONFIG
    device.raise_interrupt(0 if device.config_vector == NO_VECTOR else device.config_vector)


plant("no-isr", "there is no capability for the ISR status", (PCI,), capabilities=_no_isr)
plant("short-notify", "the notification structure is too short for its queues", (PCI,), capabilities=_short)
plant("endless-queues", "a queue that is not there has a size", (PCI,), read_queue_size=_endless)
plant("odd-size", "queue_size of a split queue is no power of two", (PCI,), read_queue_size=_odd)
plant("other-vector", "queue_msix_vector reads another vector", (PCI,), write_queue_msix_vector=_other_vector)
plant("sticky-isr", "reading the ISR status does not clear it", (PCI,), read_isr=_sticky_isr)
plant("default-vector", "a queue without a vector uses vector 1", (PCI,), signal=_default_vector)
plant("default-config", "the configuration without a vector uses vector 0", (PCI,), announce=_default_config_vector)

# --- virtio-mmio ------------------------------------------------------------------------------------------------------


def _version_one(device: Device, name: str, at: int, width: int) -> int:
    return 1 if name == "version" else Device.read(device, name, at, width)


def _both_bits(device: Device) -> None:
    device.isr |= registers.USED | registers.CONFIG
    device.raise_interrupt(device.config_vector)


def _goes_on(device: Device, queue: Queue) -> None:
    pass


plant("version-1", "Version reads 1", (MMIO,), read=_version_one)
plant("both-bits", "a configuration change also sets the bit for used buffers", (MMIO,), announce=_both_bits)
plant("ready-ignored", "a queue goes on though QueueReady is 0", (MMIO,), disable=_goes_on)

# --- suspension -------------------------------------------------------------------------------------------------------


def _eager(device: Device, value: int) -> bool:
    return bool(device.features & spec.SUSPEND)


def _writable(device: Device, value: int, at: int, width: int) -> None:
    device.config[at : at + width] = value.to_bytes(width, "little")
    device.count()


def _chatty(device: Device, at: int, width: int) -> int:
    if device.asleep():
        device.announce()
    return Device.read_config(device, at, width)


def _forgets(device: Device, value: int) -> None:
    if device.deferred:
        device.deferred = False
        device.reconfigure()
    Device.write_resume(device, value)


def _half_asleep(device: Device) -> None:
    Device.suspend(device)
    device.status |= SUSPEND | DRIVER_OK


def _late_signal(device: Device, number: int) -> None:
    device.__dict__.setdefault("late", []).append(number)


def _resume_late(device: Device, value: int) -> None:
    Device.write_resume(device, value)
    for number in device.__dict__.pop("late", []):
        Device.signal(device, number)


plant("eager-suspend", "SUSPEND before DRIVER_OK is taken", sleepy=_eager)
plant("writable-asleep", "the configuration can be written while suspended", write_config=_writable)
plant("chatty-asleep", "a configuration change notification is sent while suspended", read_config=_chatty)
plant("forgets-change", "a configuration change while suspended is never announced", write_resume=_forgets)
plant("half-asleep", "the status shows SUSPEND and DRIVER_OK", suspend=_half_asleep)
plant("late-signal", "used buffers of before are announced on resuming", signal=_late_signal, write_resume=_resume_late)
