"""The targets ``model-pci`` and ``model-mmio``: the reference device, driven through its registers.

``model-pci:FAULT`` plants a defect of the register file. Knows sessions and the register file. Must not know rules.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from fuzz.program import Limits
from fuzz.targets import Offer, QueueConfig, TargetError
from fuzz.targets.model import ADDRESS, LEVERS, MEMORY, Levered
from fuzz.targets.model.register_file import RING, Device
from fuzz.targets.model.register_queues import QUEUES
from fuzz.targets.registers import Driver, Refused
from oracles import registers, spec
from oracles.registers import MMIO, PCI
from oracles.trace import Called, Capability, Stored

_LINE = 65535


class ModelRegisters:
    """The registers of one device. Implements Registers."""

    device_class = "any"
    accept = 0
    address = ADDRESS

    def __init__(self, device: type[Device], transport: str, raw: bytearray, extra: int = 0) -> None:
        self.transport = transport
        self.memory = memoryview(raw)
        self.vectors = QUEUES + 1 if transport == PCI else 0
        self.stored: Callable[[int, Stored], None] | None = None
        self.heard: Callable[[int], None] | None = None
        self._arrived: list[int] = []
        self.device = device(transport, self.memory, ADDRESS, self._interrupt, self._store)
        self.device.offered |= extra

    def _interrupt(self, vector: int) -> None:
        self._arrived.append(vector)
        if self.heard is not None:
            self.heard(vector)

    def _store(self, queue: int, store: Stored) -> None:
        if self.stored is not None:
            self.stored(queue, store)

    def read(self, name: str, at: int = 0, width: int = 0, queue: int = 0) -> int:
        """Read a register."""
        register = registers.REGISTERS[self.transport].get(name)
        if register is None:
            return 0
        return self.device.read(register.common, at + register.half, width or register.width)

    def write(self, name: str, value: int, at: int = 0, width: int = 0, queue: int = 0) -> None:
        """Write a register."""
        register = registers.REGISTERS[self.transport].get(name)
        if register is not None:
            self.device.write(register.common, value, at + register.half, width or register.width)

    def pause(self, attempt: int) -> None:
        """Everything happens at once."""

    def capabilities(self) -> list[Capability]:
        """virtio-pci: where its structures are."""
        return self.device.capabilities() if self.transport == PCI else []

    def configured(self) -> tuple[int, int]:
        """Everything that it has is switched on."""
        return self.device.configured, 0

    def interrupts(self, seconds: float) -> list[int]:
        """Those that came."""
        arrived, self._arrived = self._arrived, []
        return arrived

    def disturb(self) -> bool:
        """Change the configuration."""
        self.device.disturb()
        return True


class RegisterSession(Levered):
    """A reference device that is driven through its registers. Everything happens inside ``notify()``."""

    proof = 1
    unmeasured: frozenset[int] = frozenset()
    patience = 1.0
    unsettled = False
    address = ADDRESS

    def __init__(self, port: ModelRegisters) -> None:
        self._port = port
        self.engines = port.device.engines
        self.memory = port.memory
        self.shared = False  # it listens: each notification is shown with the queue that it is for
        self._driver = Driver(port)
        self._observer: Callable[[int, Stored | Called], None] | None = None
        port.stored = self._stored
        self._calls = [False] * QUEUES
        for number, engine in enumerate(self.engines):
            engine.signal = self._signal_of(number)

    def registers(self) -> ModelRegisters:
        """The device without a driver."""
        return self._port

    def _stored(self, queue: int, store: Stored) -> None:
        if self._observer is not None:
            self._observer(queue, store)

    def _signal_of(self, number: int) -> Callable[[], None]:
        def signal() -> None:
            self._port.device.signal(number)
            self._calls[number] = True
            if self._observer is not None:
                self._observer(number, Called())

        return signal

    def start(self, features: int, queues: list[QueueConfig]) -> None:
        """Initialize the device, from reset to DRIVER_OK."""
        if any((config.available, config.used) not in ((0, 0), (1 << 15, 1 << 15)) for config in queues):
            raise TargetError("a queue of a virtio-pci or virtio-mmio device starts at its beginning")
        driver = self._driver
        try:
            driver.begin(lambda offered: offered & (features | self._port.device.insists | spec.ACCESS_PLATFORM))
            for number, config in enumerate(queues):
                driver.enable(number, config, ADDRESS, self._vector(number))
            driver.announce(0 if self._port.vectors else registers.NO_VECTOR)
        except Refused as refused:
            raise TargetError(str(refused)) from None
        driver.run()

    def _vector(self, queue: int) -> int:
        return queue + 1 if self._port.vectors else registers.NO_VECTOR

    def notify(self, queue: int) -> None:
        """Run the device until it is idle; what it says with an interrupt status is acknowledged."""
        self._driver.kick(queue)
        self._acknowledge()

    def _acknowledge(self) -> None:
        self._port.interrupts(0)
        if self._port.transport == MMIO:
            self._port.write("InterruptACK", self._port.read("InterruptStatus"))

    def called(self, queue: int, seconds: float) -> bool:
        """Whether a notification came; there is nothing to wait for."""
        came, self._calls[queue] = self._calls[queue], False
        return came

    def listen(self, observer: Callable[[int, Stored | Called], None]) -> bool:
        """Show every store and signal at the moment it happens."""
        self._observer = observer
        return True

    def stop(self, queue: int) -> int:
        """A queue can only be reset."""
        raise TargetError("a queue can't be stopped and started here, only reset")

    def resume(self, queue: int, config: QueueConfig) -> None:
        """Set up a queue that was reset."""
        self._driver.enable(queue, config, ADDRESS, self._vector(queue))

    def reset(self) -> None:
        """Device reset."""
        self._driver.reset()

    def reset_queue(self, queue: int) -> None:
        """Queue reset (2.6.1)."""
        self._driver.reset_queue(queue)

    def lever(self, name: str, value: str) -> None:
        """Move a lever of all queues, and acknowledge what that brings."""
        super().lever(name, value)
        if value in dict(LEVERS).get(name, ()):
            self._acknowledge()

    def close(self) -> None:
        """Nothing to let go of but memory."""
        self._observer = None


class RegisterModel:
    """The target ``model-pci[:fault]`` or ``model-mmio[:fault]``. *extra*: features that it offers besides."""

    role = "device"

    def __init__(self, transport: str, fault: str = "", extra: int = 0) -> None:
        kind = f"model-{transport}"
        self.name = f"{kind}:{fault}" if fault else kind
        self.transport = transport
        self.limits = Limits(
            actions=frozenset({"reset", "queue_reset", "asleep"}), levers=LEVERS, empty_elements=True, queues=QUEUES
        )
        self.starts = 0
        self.device = Device
        self._raw = bytearray(MEMORY)
        self._extra = extra
        if fault:
            from fuzz.targets.model.register_faults import FAULTS

            known = [name for name, planted in FAULTS.items() if transport in planted.transports]
            if fault not in known:
                close = get_close_matches(fault, known, 1, 0)
                raise TargetError(f"{kind} has no fault {fault!r}; the nearest is {close[0]!r}")
            self.device = FAULTS[fault].device

    def open(self) -> RegisterSession:
        """A new device; its memory is reused, and as dirty as a real machine's."""
        self.starts += 1
        return RegisterSession(ModelRegisters(self.device, self.transport, self._raw, self._extra))

    def restart(self) -> None:
        """Every session is a new device."""

    def probe(self) -> Offer:
        """Everything that it has."""
        port = ModelRegisters(self.device, self.transport, bytearray(4096), self._extra)
        details = (("device class", "any"), ("interrupts", "MSI-X" if port.vectors else "one for all"))
        return Offer(port.device.offered, QUEUES, bytes(port.device.config), details)

    def words(self) -> str:
        """A model prints nothing."""
        return ""

    def describe(self) -> dict[str, str]:
        """There is nothing beside the name."""
        return {"target": self.name}

    def close(self) -> None:
        """Nothing was started."""


__all__ = ["MMIO", "PCI", "RING", "ModelRegisters", "RegisterModel", "RegisterSession"]
