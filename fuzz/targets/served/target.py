"""Drivers in machines, as targets: which device a program meets, and when a machine is booted anew.

Knows the life of machines. Must not know what runs in one.
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz.program import Limits
from fuzz.targets import Offer, TargetDied, TargetError
from fuzz.targets.driver import Unsettled
from fuzz.targets.served.backend import RING_FEATURES
from fuzz.targets.served.bench import Bench
from fuzz.targets.served.kinds import Kind, load
from fuzz.targets.served.machine import Machine
from fuzz.targets.served.session import ServedSession
from oracles import spec


class ServedTarget:
    """The driver of devices of class *kind* in machines that *make* makes; programs are about its virtqueue *queue*.

    *fresh*: whether each program gets a machine of its own. *most*: buffers that the driver keeps outstanding.
    *starting*: seconds that a machine may take to boot, and a driver to set its device up. *device*: makes a device
    of a class.
    """

    role = "driver"

    def __init__(
        self, name: str, make: Callable[[], Machine], kind: str, limits: Limits, *, queue: int | None = None,
        fresh: bool = False, most: int = 1 << 15, starting: float = 60.0, device: Callable[[str], Kind] = load,
        ring_features: int = RING_FEATURES, facts: Callable[[], dict[str, str]] = dict,
    ) -> None:  # fmt: skip
        self.name = name
        self.kind = kind
        self.limits = limits
        known = load(kind)
        self.queue = known.about[0] if queue is None else queue
        if self.queue not in known.about:
            raise TargetError(f"queue {self.queue} of a {kind} device is none that programs can be about")
        self.fresh = fresh
        self.most = most
        self.starting = starting
        self.starts = 0
        self.said = ""
        self._make = make
        self._device = device
        self._ring_features = ring_features
        self._facts = facts
        self._machine: Machine | None = None
        self._bench: Bench | None = None

    def running(self) -> tuple[Machine, Bench]:
        """The machine and its devices: booted, unless one runs and is well."""
        if self._machine is not None and self._machine.alive():
            self.restart()
        if self._machine is None or self._bench is None:
            machine = self._make()
            self._bench = Bench(machine.slots, self._device, self._ring_features)
            self._machine = machine
            machine.boot(self._bench.slots)
            self.starts += 1
        return self._machine, self._bench

    def slot(self, features: int) -> int:
        """The device of our class with this layout and order."""
        wanted = (self.kind, bool(features & spec.RING_PACKED), bool(features & spec.IN_ORDER))
        slots = list((self._machine or self._make()).slots)
        if wanted not in slots:
            layout = spec.PACKED if wanted[1] else spec.SPLIT
            raise TargetError(f"{self.name} has no {self.kind} device with {layout} rings, in_order {int(wanted[2])}")
        return slots.index(wanted)

    def let_go(self, well: bool, said: str) -> None:
        """A session ended."""
        self.said = said
        if self.fresh or not well:
            self.restart()

    def open(self) -> ServedSession:
        """A session, which boots the machine when it starts."""
        return ServedSession(self)

    def restart(self) -> None:
        """What runs, ends; the next session boots."""
        machine, bench = self._machine, self._bench
        self._machine = self._bench = None
        if machine is not None:
            machine.close()
        if bench is not None:
            bench.close()

    def probe(self) -> Offer:
        """What it accepts of all that we offer. Raises TargetError."""
        session = self.open()
        packed, in_order = spec.PACKED in self.limits.layouts, True in self.limits.in_order
        wanted = spec.VERSION_1 | (spec.RING_PACKED if packed else 0) | (spec.IN_ORDER if in_order else 0)
        try:
            accepted = session.start(wanted, 0)
            size = session.queue.size
        except (TargetDied, Unsettled) as failed:
            raise TargetError(str(failed)) from None
        finally:
            session.close()
        details = (("queue", f"{self.queue} of {self.kind}, with {size} entries"), *self._facts().items())
        return Offer(accepted, load(self.kind).queues, load(self.kind).config, details)

    def words(self) -> str:
        """What the console said last."""
        return self.said

    def describe(self) -> dict[str, str]:
        """What a run depended on."""
        return {"target": self.name, "device": f"{self.kind}, queue {self.queue}", **self._facts()}

    def close(self) -> None:
        """End what runs."""
        self.restart()
