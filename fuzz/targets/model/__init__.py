"""The model target: the Python reference device, in our own process, clean or with a planted fault.

``model`` is boringly correct and, through its levers, as awkward as the specification allows;
``model:a05`` plants the defect of that name. It logs its stores, so that order can be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fuzz.program import Limits
from fuzz.targets import Offer, QueueConfig, TargetError
from fuzz.targets.model.engine import Engine
from oracles import spec
from oracles.trace import Called, Stored

OFFERED = spec.VERSION_1 | spec.INDIRECT_DESC | spec.EVENT_IDX | spec.RING_PACKED | spec.IN_ORDER | spec.RING_RESET
LEVERS = (
    ("order", ("fifo", "lifo", "shuffle")),
    ("hold", ("0", "1", "2", "all")),
    ("batch", ("1", "2", "3", "all")),
    ("publish", ("each", "all")),
    ("signal", ("each", "last")),
    ("junk", ("off", "on")),
)
ADDRESS = 0x1_0000_0000
MEMORY = 1 << 22


class Levered:
    """A session of which each queue is an engine in this process: its levers, answers and gap."""

    engines: list[Engine]

    def lever(self, name: str, value: str) -> None:
        """Move a lever of all queues."""
        values = dict(LEVERS).get(name, ())
        if value in values:
            for engine in self.engines:
                engine.levers[name] = value
                if name == "hold" and engine.live and engine.todo:
                    engine.run()  # what was held back may finish now

    def answer(self, queue: int, length: int | None) -> None:
        """How many bytes the next buffer supplied asks for."""
        self.engines[queue].answers.append(length)

    def at_gap(self, queue: int, action: Callable[[], None]) -> bool:
        """Run *action* between «ring drained» and «doorbell armed»."""
        engine = self.engines[queue]
        if not engine.live or engine.gap is not None:
            return False
        engine.gap = action
        return True

    def holding(self, queue: int) -> bool:
        """Whether a lever keeps buffers unfinished."""
        return self.engines[queue].levers["hold"] != "0"

    def release(self) -> None:
        """All levers neutral; what was held back first, so that it comes as the others say."""
        for name, values in sorted(LEVERS, key=lambda lever: lever[0] != "hold"):
            self.lever(name, values[0])


class ModelSession(Levered):
    """A reference device and its memory. Everything happens inside ``notify()``."""

    proof = 1
    unmeasured: frozenset[int] = frozenset()
    patience = 1.0
    shared = False
    unsettled = False
    address = ADDRESS

    def __init__(self, engine: type[Engine], raw: bytearray, queues: int = 1) -> None:
        self.raw = raw
        self.memory = memoryview(self.raw)
        self._observer: Callable[[int, Stored | Called], None] | None = None
        self._kind = engine
        self._calls: list[bool] = []
        self.engines: list[Engine] = []
        self._have(queues)
        self._features = 0

    def _have(self, queues: int) -> None:
        """At least so many queues, which know each other."""
        for queue in range(len(self.engines), queues):
            engine = self._kind(self.memory, ADDRESS, self._store_of(queue), self._signal_of(queue))
            engine.levers.update(self.engines[0].levers if self.engines else {})
            engine.number, engine.siblings = queue, self.engines
            self.engines.append(engine)
            self._calls.append(False)

    def _store_of(self, queue: int) -> Callable[[int, bytes], None]:
        raw, words = self.raw, self.memory.cast("H")

        def store(offset: int, data: bytes) -> None:
            if len(data) == 2:
                words[offset >> 1] = data[0] | data[1] << 8
            else:
                raw[offset : offset + len(data)] = data
            observer = self._observer
            if observer is not None:
                observer(queue, Stored(ADDRESS + offset, data))

        return store

    def _signal_of(self, queue: int) -> Callable[[], None]:
        def signal() -> None:
            self._calls[queue] = True
            if self._observer is not None:
                self._observer(queue, Called())

        return signal

    def start(self, features: int, queues: list[QueueConfig]) -> None:
        """Initialize: reset everything, then bring up the queues, as many as are wanted."""
        self._have(len(queues))
        self._features = features
        for engine in self.engines:
            if engine.live:
                engine.halt()
        while len(self.engines) < len(queues):  # hostile programs have several
            number = len(self.engines)
            self._calls.append(False)
            self.engines.append(
                type(self.engines[0])(self.memory, ADDRESS, self._store_of(number), self._signal_of(number))
            )
        for number, config in enumerate(queues):
            self._start(number, config, False)

    def _start(self, number: int, config: QueueConfig, restarted: bool) -> None:
        areas = (config.descriptor, config.driver, config.device)
        self.engines[number].start(self._features, config.size, areas, config.available, config.used, restarted)

    def notify(self, queue: int) -> None:
        """Run the device until it is idle."""
        self.engines[queue].run()

    def called(self, queue: int, seconds: float) -> bool:
        """Whether a notification came; there is nothing to wait for."""
        came, self._calls[queue] = self._calls[queue], False
        return came

    def listen(self, observer: Callable[[int, Stored | Called], None]) -> bool:
        """Show every store and signal at the moment it happens."""
        self._observer = observer
        return True

    def stop(self, queue: int) -> int:
        """Drain and stop."""
        return self.engines[queue].stop()

    def resume(self, queue: int, config: QueueConfig) -> None:
        """Start where it stopped, or afresh after a queue reset."""
        initial = (0, 0) if not self._features & spec.RING_PACKED else (1 << 15, 1 << 15)
        self._start(queue, config, (config.available, config.used) != initial)

    def reset(self) -> None:
        """Device reset."""
        for engine in self.engines:
            engine.reset()

    def reset_queue(self, queue: int) -> None:
        """Queue reset (2.6.1)."""
        self.engines[queue].reset_queue()

    def wild(self, way: str, name: str, values: dict[str, int]) -> bool:
        """A model has no control plane."""
        return False

    def close(self) -> None:
        """Nothing to let go of but memory."""
        self._observer = None


class Model:
    """The target ``model[:fault]``. *mended*: the device that has the fault, without it."""

    role = "device"
    limits = Limits(levers=LEVERS, empty_elements=True)

    def __init__(self, fault: str = "", mended: bool = False) -> None:
        self.name = f"model:{fault}" if fault else "model"
        self._raw = bytearray(MEMORY)
        self.starts = 0
        self.engine = Engine
        if fault:
            from fuzz.targets.model.faults import FAULTS, Fault
            from fuzz.targets.model.hostile_faults import HOSTILE, HostileFault

            known: dict[str, Fault | HostileFault] = {**FAULTS, **HOSTILE}
            if fault not in known:
                from difflib import get_close_matches

                close = get_close_matches(fault, known, 1, 0)
                raise TargetError(
                    f"model has no fault {fault!r}; the nearest is {close[0]!r} (vqfuzz targets lists all {len(known)})"
                )
            found = self.fault = known[fault]
            self.engine = found.engine
            if isinstance(found, Fault):
                self.engine = found.base if mended else found.engine
                self.limits = replace(self.limits, device=found.device, queues=found.queues, hints=found.hints)

    def open(self) -> ModelSession:
        """A new device; its memory is reused, and as dirty as a real machine's."""
        self.starts += 1
        return ModelSession(self.engine, self._raw)

    def restart(self) -> None:
        """Every session is a new device."""

    def probe(self) -> Offer:
        """Everything that this project can negotiate."""
        return Offer(OFFERED, 1, b"", (("device class", "any"),))

    def spare(self) -> None:
        """Every session is a new device."""

    def revives(self, seconds: float) -> bool:
        """A model never does."""
        return False

    def ending(self) -> str:
        """Nothing runs that could end."""
        return ""

    def words(self) -> str:
        """A model prints nothing."""
        return ""

    def describe(self) -> dict[str, str]:
        """There is nothing beside the name."""
        return {"target": self.name}

    def close(self) -> None:
        """Nothing was started."""
