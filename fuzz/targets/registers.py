"""Registers of a device by the specification's names, and a driver's way through them (2.1, 3.1, 4.1, 4.2).

``Registers`` is what a transport shows; ``Driver`` sets a device up as drivers do, over whatever passes accesses on.
Knows names, values and their order. Must not know what reaches the device, or who judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from fuzz.targets import QueueConfig
from oracles import registers, spec
from oracles.registers import ACKNOWLEDGE, AREAS, DRIVER, DRIVER_OK, FAILED, FEATURES_OK, NO_VECTOR, PCI, SUSPEND
from oracles.trace import Capability

ATTEMPTS = 40  # reads of a register that must change, with pauses between them


class Port(Protocol):
    """Where accesses go. *width* 0: that of the register. *queue*: the one that is meant, for whoever keeps a log."""

    transport: str  # pci | mmio

    def read(self, name: str, at: int = 0, width: int = 0, queue: int = 0) -> int:
        """The value of the register *name*, at so many bytes into it."""
        ...

    def write(self, name: str, value: int, at: int = 0, width: int = 0, queue: int = 0) -> None:
        """Write *value* to it."""
        ...

    def pause(self, attempt: int) -> None:
        """Let the device have its chance; the longer, the more *attempt* there were."""
        ...


class Registers(Port, Protocol):
    """A device's registers with what belongs to them. Everything raises as a Session does."""

    memory: memoryview  # shared with the device, which knows offset 0 as ``address``
    address: int
    device_class: str  # what its requests are
    accept: int  # feature bits of the class that its driver accepts where they are offered
    vectors: int  # of MSI-X; 0: there is one interrupt for everything

    def capabilities(self) -> Sequence[Capability]:
        """virtio-pci: the structures that are listed, in their order."""
        ...

    def configured(self) -> tuple[int, int]:
        """Ring features that the implementation was told by name to offer, and not to offer."""
        ...

    def interrupts(self, seconds: float) -> list[int]:
        """Vectors of the interrupts that arrived, waiting up to *seconds* for the first; 65535: the one line."""
        ...

    def disturb(self) -> bool:
        """Let the device's configuration change from behind; False: it can't be made to."""
        ...


class Refused(Exception):
    """What the driver waits for does not come, or the device declines. One line."""


class Ignored(Refused):
    """There is no device that this driver could drive, so it leaves it alone."""


class Driver:
    """A driver of one device, step by step. Raises Refused where it would have to give up."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.pci = port.transport == PCI
        self._names = registers.NAMES[port.transport]
        self.status = 0
        self.features = 0
        self.offered = 0
        self.places: dict[int, int] = {}  # queue_notify_off, in bytes
        self.words: dict[int, int] = {}  # what a notification says
        self.multiplier = 0
        self.sizes: dict[int, int] = {}

    def has(self, common: str) -> bool:
        """Whether the transport has this register."""
        return common in self._names

    def get(self, common: str, at: int = 0, width: int = 0) -> int:
        """Read a register by the name that both transports share."""
        return self.port.read(self._names[common], at, width)

    def put(self, common: str, value: int, at: int = 0, width: int = 0, queue: int = 0) -> None:
        """Write a register by the name that both transports share."""
        self.port.write(self._names[common], value, at, width, queue)

    def wait(self, common: str, right: Callable[[int], bool], what: str) -> int:
        """Read until the value is *right*. Raises Refused after a while."""
        for attempt in range(ATTEMPTS):
            value = self.get(common)
            if right(value):
                return value
            self.port.pause(attempt)
        raise Refused(f"{what}: {self._names[common]} reads {value:#x}")

    # --- initialization (3.1.1) ---------------------------------------------------------------------------------------

    def identify(self) -> int:
        """The type of the device, as virtio-mmio's drivers look for it (4.2.3.1)."""
        if not self.pci:
            if self.get("magic") != registers.MAGIC or self.get("version") != registers.VERSION:
                raise Ignored("this is no virtio-mmio device of version 2")
        return self.get("device_id")

    def reset(self) -> None:
        """Device reset, until the status reads 0."""
        self.put("device_status", 0)
        self.wait("device_status", lambda value: not value, "the device does not become reset")
        self.status = 0

    def say(self, bits: int) -> None:
        """Set bits of the status."""
        self.status |= bits
        self.put("device_status", self.status)

    def acknowledge(self) -> None:
        """ACKNOWLEDGE, then DRIVER."""
        self.say(ACKNOWLEDGE)
        self.say(DRIVER)

    def offer(self) -> int:
        """The features that the device offers."""
        self.offered = 0
        for window in (0, 1):
            self.put("device_feature_select", window)
            self.offered |= self.get("device_feature") << 32 * window
        return self.offered

    def negotiate(self, features: int) -> None:
        """Accept *features*; FEATURES_OK. Raises Refused if it does not stay; FAILED is set then."""
        for window in (0, 1):
            self.put("driver_feature_select", window)
            self.put("driver_feature", features >> 32 * window & 0xFFFFFFFF)
        self.say(FEATURES_OK)
        if not self.get("device_status") & FEATURES_OK:
            self.say(FAILED)
            raise Refused(f"the device refuses the features {features:#x}: FEATURES_OK does not stay")
        self.features = features

    def begin(self, choose: Callable[[int], int]) -> int:
        """Everything up to FEATURES_OK; *choose*: what of an offer to accept."""
        self.reset()
        self.acknowledge()
        self.negotiate(choose(self.offer()))
        return self.features

    def maximum(self, queue: int) -> int:
        """The largest size of a queue; 0: there is no such queue."""
        self.put("queue_select", queue)
        self.sizes[queue] = self.get("queue_size" if self.pci else "queue_size_max")
        return self.sizes[queue]

    def count(self, most: int = 64) -> int:
        """How many queues there are."""
        if self.pci:
            return self.get("num_queues")
        return next((queue for queue in range(most) if not self.maximum(queue)), most)

    def describe(self, queue: int, config: QueueConfig, address: int) -> None:
        """Size and areas of the queue that is selected."""
        self.put("queue_size", config.size)
        for area, offset in zip(AREAS, (config.descriptor, config.driver, config.device), strict=True):
            self._put_area(area, address + offset)

    def _put_area(self, area: str, place: int) -> None:
        if self.pci:
            self.put(area, place & 0xFFFFFFFF)
            self.put(area, place >> 32, at=4)
        else:
            name = self._names[area]
            self.port.write(name, place & 0xFFFFFFFF)
            self.port.write(name.removesuffix("Low") + "High", place >> 32)

    def enable(self, queue: int, config: QueueConfig, address: int, vector: int = NO_VECTOR) -> None:
        """Set a queue up and enable it (4.1.5.1.3, 4.2.3.2)."""
        self.maximum(queue)
        if self.pci:
            self.places[queue] = self.get("queue_notify_off") * self.multiplier
            self.words[queue] = queue
            if self.features & spec.NOTIF_CONFIG_DATA:
                self.words[queue] = self.get("queue_notif_config_data")
            self._map("queue_msix_vector", vector)
        self.describe(queue, config, address)
        self.put("queue_enable", 1)

    def _map(self, register: str, vector: int) -> None:
        """Map an event to a vector, and see that it is (4.1.5.1.2.2)."""
        if vector == NO_VECTOR:
            return
        self.put(register, vector)
        if self.get(register) != vector:
            raise Refused(f"{register} does not take vector {vector}")

    def announce(self, vector: int) -> None:
        """Map configuration changes to a vector."""
        if self.pci:
            self._map("config_msix_vector", vector)

    def run(self) -> None:
        """DRIVER_OK."""
        self.say(DRIVER_OK)

    # --- operation ----------------------------------------------------------------------------------------------------

    def kick(self, queue: int, position: int = 0) -> None:
        """Notify the device of a queue; *position*: next_off and next_wrap, for those that want them (2.9)."""
        value = self.words.get(queue, queue)
        wide = bool(self.features & spec.NOTIFICATION_DATA)
        if wide:
            value |= position << 16
        width = 4 if wide or not self.pci else 2
        self.put("queue_notify", value, self.places.get(queue, 0), width, queue)

    def config(self, *parts: tuple[int, int]) -> list[int]:
        """Parts of the configuration, (offset, width) each, all of one generation (2.5.1)."""
        for attempt in range(ATTEMPTS):
            before = self.get("config_generation")
            values = [self.get("config", at, width) for at, width in parts]
            if self.get("config_generation") == before:
                return values
            self.port.pause(attempt)
        raise Refused("the configuration's generation does not stay the same")

    def reset_queue(self, queue: int) -> None:
        """Reset one queue, until it is (2.6.1.1.2)."""
        self.put("queue_select", queue)
        self.put("queue_reset", 1)
        self.wait("queue_reset", lambda value: not value, f"queue {queue} does not become reset")

    def suspend(self) -> None:
        """Suspend the device, until it is (3.4.1)."""
        self.say(SUSPEND)
        wanted = lambda value: value & (SUSPEND | DRIVER_OK) == SUSPEND  # noqa: E731 - a condition, said where it is used
        self.status = self.wait("device_status", wanted, "the device does not become suspended")

    def resume(self) -> None:
        """Let it go on, and wait until it does."""
        self.status = self.status & ~SUSPEND | DRIVER_OK
        self.put("device_status", self.status)
        wanted = lambda value: value & (SUSPEND | DRIVER_OK) == DRIVER_OK  # noqa: E731 - as above
        self.wait("device_status", wanted, "the device does not resume")
