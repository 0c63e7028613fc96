"""The reference device behind registers: virtio-pci's and virtio-mmio's, in front of the engines of its queues.

Correct, and awkward within what is legal: a reset takes a moment, the configuration may change. A planted fault is
a subclass that replaces one small method. Knows registers by the name that both transports share. It says of itself
that it is a network device, so that its features may depend on each other; its requests are of the class «any».
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz.targets.model.engine import Engine
from oracles import registers, spec
from oracles.registers import DRIVER_OK, FEATURES_OK, MMIO, NEEDS_RESET, NO_VECTOR, PCI, SUSPEND
from oracles.trace import Capability, Stored

RING = spec.VERSION_1 | spec.INDIRECT_DESC | spec.EVENT_IDX | spec.RING_PACKED | spec.IN_ORDER | spec.RING_RESET
PLATFORM = spec.ACCESS_PLATFORM | spec.ORDER_PLATFORM
CLASS = 1 << 0 | 1 << 1 | 1 << 7  # CSUM, GUEST_CSUM and GUEST_TSO4, which needs it (5.1.3.1)
OFFERED = RING | PLATFORM | CLASS | spec.NOTIFICATION_DATA | spec.SUSPEND
QUEUES, SIZE = 2, 256
CONFIG = bytes(range(1, 17))
MULTIPLIER = 4
_LINE = 65535


class Queue:
    """What the registers say of one virtqueue."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.clear()

    def clear(self) -> None:
        """As after a reset."""
        self.size = SIZE
        self.vector = NO_VECTOR
        self.enabled = 0
        self.busy = 0  # reads until its reset is over
        self.areas = dict.fromkeys(((area, half) for area in registers.AREAS for half in (0, 4)), 0)

    def place(self, area: str) -> int:
        """Address of an area."""
        return self.areas[area, 0] | self.areas[area, 4] << 32


class Device:
    """A device on *transport*. *interrupt*: called with the vector of each interrupt; *stored*: with each store."""

    engine: type[Engine] = Engine
    added = missing = 0  # feature bits that a defect offers, or forgets

    def __init__(
        self,
        transport: str,
        memory: memoryview,
        address: int,
        interrupt: Callable[[int], None],
        stored: Callable[[int, Stored], None],
    ) -> None:
        self.transport = transport
        self.memory = memory
        self.address = address
        self.interrupt = interrupt
        self.stored = stored
        offered = OFFERED | (spec.NOTIF_CONFIG_DATA if transport == PCI else 0)
        self.offered = (offered | self.added) & ~self.missing
        self.configured = (RING | PLATFORM) & ~spec.VERSION_1
        self.insists = spec.ORDER_PLATFORM  # the device may fail to operate without it (6.2)
        self.queues = [Queue(number) for number in range(QUEUES)]
        self.engines = [
            self.engine(memory, address, self._store_of(number), self._signal_of(number)) for number in range(QUEUES)
        ]
        self.config = bytearray(CONFIG)
        self.generation = 0
        self.selects = {"device_feature_select": 0, "driver_feature_select": 0, "queue_select": 0}
        self.clear()

    def clear(self) -> None:
        """Device reset."""
        self.status = 0
        self.lag = 0  # what the status reads once more before it is 0
        self.features = 0
        self.isr = 0
        self.config_vector = NO_VECTOR
        self.deferred = False
        for queue, engine in zip(self.queues, self.engines, strict=True):
            queue.clear()
            engine.halt()

    # --- stores and interrupts ----------------------------------------------------------------------------------------

    def _store_of(self, number: int) -> Callable[[int, bytes], None]:
        words = self.memory.cast("H")

        def store(offset: int, data: bytes) -> None:
            if len(data) == 2:
                words[offset >> 1] = data[0] | data[1] << 8
            else:
                self.memory[offset : offset + len(data)] = data
            self.stored(number, Stored(self.address + offset, data))

        return store

    def _signal_of(self, number: int) -> Callable[[], None]:
        return lambda: self.signal(number)

    def signal(self, number: int) -> None:
        """A used buffer notification."""
        self.isr |= registers.USED if self.transport == MMIO else 0
        self.raise_interrupt(self.queues[number].vector)

    def raise_interrupt(self, vector: int) -> None:
        """On the vector that the event is mapped to, or the one line that virtio-mmio has."""
        if self.transport == MMIO:
            self.interrupt(_LINE)
        elif vector != NO_VECTOR:
            self.interrupt(vector)

    def announce(self) -> None:
        """A configuration change notification."""
        self.isr |= registers.CONFIG
        self.raise_interrupt(self.config_vector)

    def disturb(self) -> None:
        """The configuration changes, from behind; while suspended, when the device resumes."""
        if self.asleep():
            self.deferred = True
        else:
            self.reconfigure()
            if self.status & DRIVER_OK:
                self.announce()

    def reconfigure(self) -> None:
        """Two fields of the configuration have other values."""
        self.config[0] ^= 0x40
        self.config[4] ^= 0x40
        self.count()

    def count(self) -> None:
        """Another generation."""
        self.generation = self.generation + 1 & 0xFF

    def asleep(self) -> bool:
        """Whether it is suspended."""
        return bool(self.status & SUSPEND)

    # --- registers ----------------------------------------------------------------------------------------------------

    def read(self, name: str, at: int, width: int) -> int:
        """The value of a register, by its common name."""
        simple = {
            "magic": registers.MAGIC, "version": registers.VERSION, "vendor_id": 0x1AF4, "num_queues": QUEUES,
            "config_generation": self.generation, "shm_length": 0xFFFFFFFF, "shm_base": 0xFFFFFFFF,
        }  # fmt: skip
        if name in simple:
            return simple[name]
        if name in self.selects:
            return self.selects[name]
        if name in registers.AREAS:
            return self.read_area(name, at)
        value: int = getattr(self, f"read_{name}")(at, width)
        return value

    def write(self, name: str, value: int, at: int, width: int) -> None:
        """Write a register, by its common name; one that can't be written stays as it is."""
        if name in self.selects:
            self.selects[name] = value
            return
        if name in registers.AREAS:
            self.write_area(name, value, at)
            return
        method = getattr(self, f"write_{name}", None)
        if method is not None:
            method(value, at, width)

    @property
    def queue(self) -> Queue | None:
        """The one that is selected."""
        number = self.selects["queue_select"]
        return self.queues[number] if number < QUEUES else None

    def read_device_id(self, at: int, width: int) -> int:
        """A network device; on PCI, transitional ids aside, 0x1040 more."""
        return 1 if self.transport == MMIO else 0x1041

    def read_device_feature(self, at: int, width: int) -> int:
        """32 bits of what is offered."""
        window = self.selects["device_feature_select"]
        return self.offered >> 32 * window & 0xFFFFFFFF if window < 4 else 0

    def read_driver_feature(self, at: int, width: int) -> int:
        """32 bits of what the driver accepted."""
        window = self.selects["driver_feature_select"]
        return self.features >> 32 * window & 0xFFFFFFFF if window < 4 else 0

    def write_driver_feature(self, value: int, at: int, width: int) -> None:
        """The driver accepts."""
        shift = 32 * min(self.selects["driver_feature_select"], 4)
        if not self.status & FEATURES_OK and shift < 64:
            self.features = (self.features & ~(0xFFFFFFFF << shift) | value << shift) & self.offered

    def read_device_status(self, at: int, width: int) -> int:
        """The status; a reset is over when it was looked for once."""
        lag, self.lag = self.lag, 0
        return lag or self.status

    def write_device_status(self, value: int, at: int, width: int) -> None:
        """Reset, or a step of the driver."""
        if value == 0:
            self.write_reset()
        elif self.asleep():
            if value & DRIVER_OK:
                self.write_resume(value)
        else:
            self.write_step(value)

    def write_reset(self) -> None:
        """It takes a moment."""
        lag = self.status
        self.clear()
        self.lag = lag

    def write_step(self, value: int) -> None:
        """Bits are set."""
        if value & FEATURES_OK and not self.status & FEATURES_OK and not self.agrees():
            value &= ~FEATURES_OK
        if value & SUSPEND and not self.sleepy(value):
            value &= ~SUSPEND
        started = value & DRIVER_OK and not self.status & DRIVER_OK
        self.status = value | self.status & NEEDS_RESET
        if started:
            for number in range(QUEUES):
                self.start(number)
        if value & SUSPEND:
            self.suspend()

    def agrees(self) -> bool:
        """Whether the driver accepted what this device takes."""
        return not self.insists & ~self.features

    def sleepy(self, value: int) -> bool:
        """Whether SUSPEND means anything now (3.4.2)."""
        return bool(self.status & DRIVER_OK and self.features & spec.SUSPEND)

    # --- suspension

    def suspend(self) -> None:
        """Finish what was started, and be quiet."""
        for engine in self.engines:
            if engine.live:
                hold, engine.levers["hold"] = engine.levers["hold"], "0"
                engine.work()
                engine.flush(True)
                engine.levers["hold"] = hold
                engine.live = False
        self.status = self.status & ~DRIVER_OK | SUSPEND

    def write_resume(self, value: int) -> None:
        """Go on where it stopped."""
        self.status = value & ~SUSPEND | DRIVER_OK
        for queue, engine in zip(self.queues, self.engines, strict=True):
            engine.live = bool(queue.enabled)
        if self.deferred:
            self.deferred = False
            self.reconfigure()
            self.announce()
        for engine in self.engines:
            if engine.live:
                engine.run()

    # --- queues

    def start(self, number: int) -> None:
        """The queue is live, if it is enabled and the driver is ready."""
        queue = self.queues[number]
        if queue.enabled and self.status & DRIVER_OK:
            areas = tuple(queue.place(area) - self.address for area in registers.AREAS)
            first = 1 << 15 if self.features & spec.RING_PACKED else 0
            self.engines[number].start(self.features, queue.size, (areas[0], areas[1], areas[2]), first, first)

    def read_queue_size(self, at: int, width: int) -> int:
        """The size of the queue, or the largest one before it was written."""
        return self.queue.size if self.queue else 0

    def read_queue_size_max(self, at: int, width: int) -> int:
        """The largest size of the queue."""
        return SIZE if self.queue else 0

    def write_queue_size(self, value: int, at: int, width: int) -> None:
        """The size of the queue."""
        if self.queue:
            self.queue.size = value

    def read_queue_msix_vector(self, at: int, width: int) -> int:
        """What the queue is mapped to."""
        return self.queue.vector if self.queue else NO_VECTOR

    def write_queue_msix_vector(self, value: int, at: int, width: int) -> None:
        """Map the queue."""
        if self.queue:
            self.queue.vector = value if value <= QUEUES else NO_VECTOR

    def read_config_msix_vector(self, at: int, width: int) -> int:
        """What configuration changes are mapped to."""
        return self.config_vector

    def write_config_msix_vector(self, value: int, at: int, width: int) -> None:
        """Map configuration changes."""
        self.config_vector = value if value <= QUEUES else NO_VECTOR

    def read_queue_enable(self, at: int, width: int) -> int:
        """Whether the queue is enabled."""
        return self.queue.enabled if self.queue else 0

    def write_queue_enable(self, value: int, at: int, width: int) -> None:
        """Enable it; virtio-mmio also lets it be disabled."""
        queue = self.queue
        if queue is None:
            return
        if value:
            queue.enabled, queue.busy = 1, 0
            self.start(queue.number)
        elif self.transport == MMIO:
            queue.enabled = 0
            self.disable(queue)

    def disable(self, queue: Queue) -> None:
        """QueueReady is 0: the rings are left alone."""
        self.engines[queue.number].halt()

    def read_queue_notify_off(self, at: int, width: int) -> int:
        """Each queue has a place of its own."""
        return self.queue.number if self.queue else 0

    def read_queue_notif_config_data(self, at: int, width: int) -> int:
        """What to say in a notification, with NOTIF_CONFIG_DATA."""
        return 0x100 + self.queue.number if self.queue else 0

    def read_queue_reset(self, at: int, width: int) -> int:
        """1 as long as the reset goes on."""
        queue = self.queue
        if queue is None or not queue.busy:
            return 0
        queue.busy -= 1
        return 1

    def write_queue_reset(self, value: int, at: int, width: int) -> None:
        """Reset the queue; that takes a moment."""
        if self.queue and value == 1 and self.features & spec.RING_RESET:
            self.reset_queue(self.queue)

    def reset_queue(self, queue: Queue) -> None:
        """Everything of it as at first; its vector is its driver's."""
        vector = queue.vector
        queue.clear()
        queue.vector = vector
        queue.busy = 1
        self.engines[queue.number].halt()

    def write_area(self, name: str, value: int, half: int) -> None:
        """Half of an area's address."""
        if self.queue:
            self.queue.areas[name, half] = value

    def read_area(self, name: str, half: int) -> int:
        """Half of an area's address."""
        return self.queue.areas[name, half] if self.queue else 0

    def write_queue_notify(self, value: int, at: int, width: int) -> None:
        """An available buffer notification."""
        number = value & 0xFFFF
        if self.transport == PCI and self.features & spec.NOTIF_CONFIG_DATA:
            number -= 0x100
        if self.status & DRIVER_OK and 0 <= number < QUEUES and self.engines[number].live:
            if self.broken(self.queues[number]):
                self.give_up()
            else:
                self.engines[number].run()

    def broken(self, queue: Queue) -> bool:
        """Whether the next buffer of a split queue begins outside of its table: no driver does so."""
        ring = self.engines[queue.number].ring
        if self.features & spec.RING_PACKED or not ring.waiting():
            return False
        place = queue.place("queue_driver") - self.address
        idx = int.from_bytes(self.memory[place + 2 : place + 4], "little") - 1
        slot = place + 4 + 2 * (idx % queue.size)
        return int.from_bytes(self.memory[slot : slot + 2], "little") >= queue.size

    def give_up(self) -> None:
        """An error that only a reset mends, and the driver is told (2.1.2)."""
        for engine in self.engines:
            engine.live = False
        self.status |= NEEDS_RESET
        self.announce()

    # --- configuration and interrupts

    def read_config(self, at: int, width: int) -> int:
        """Part of the device configuration."""
        return int.from_bytes(self.config[at : at + width].ljust(width, b"\0"), "little")

    def write_config(self, value: int, at: int, width: int) -> None:
        """Written, but while suspended (3.4.2)."""
        if not self.asleep():
            self.config[at : at + width] = value.to_bytes(width, "little")
            self.count()

    def read_isr(self, at: int, width: int) -> int:
        """The ISR status: reading clears it."""
        isr, self.isr = self.isr, 0
        return isr

    def read_interrupt_status(self, at: int, width: int) -> int:
        """InterruptStatus."""
        return self.isr

    def write_interrupt_ack(self, value: int, at: int, width: int) -> None:
        """InterruptACK."""
        self.isr &= ~value

    def capabilities(self) -> list[Capability]:
        """Where its structures are."""
        wide = MULTIPLIER * QUEUES
        return [
            Capability(registers.COMMON_CFG, 4, 0, 64),
            Capability(registers.ISR_CFG, 4, 0x1000, 4),
            Capability(registers.DEVICE_CFG, 4, 0x2000, len(CONFIG)),
            Capability(registers.NOTIFY_CFG, 4, 0x3000, wide, MULTIPLIER),
        ]
