"""The reference device behind registers: virtio-pci's and virtio-mmio's, in front of the engines of its queues.

Correct, and awkward within what is legal: a reset takes a moment, the configuration may change. A planted fault is
a subclass that replaces one small method. Knows registers by the name that both transports share. It says of itself
that it is a network device, so that its features may depend on each other; its requests are of the class «any».
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz.targets.model.engine import Engine
from fuzz.targets.model.register_queues import QUEUES, Queue, QueueRegisters
from oracles import registers, spec
from oracles.registers import DRIVER_OK, FEATURES_OK, MMIO, NEEDS_RESET, NO_VECTOR, PCI, SUSPEND
from oracles.trace import Capability, Stored

RING = spec.VERSION_1 | spec.INDIRECT_DESC | spec.EVENT_IDX | spec.RING_PACKED | spec.IN_ORDER | spec.RING_RESET
PLATFORM = spec.ACCESS_PLATFORM | spec.ORDER_PLATFORM
CLASS = 1 << 0 | 1 << 1 | 1 << 7  # CSUM, GUEST_CSUM and GUEST_TSO4, which needs it (5.1.3.1)
OFFERED = RING | PLATFORM | CLASS | spec.NOTIFICATION_DATA | spec.SUSPEND
CONFIG = bytes(range(1, 17))
MULTIPLIER = 4
_LINE = 65535


class Device(QueueRegisters):
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
