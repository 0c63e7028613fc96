"""The bench on which cases of registers are run: every access is recorded and judged as it is made.

``Bench`` is a port that keeps a log, a driver on it, and one small split ring for each queue that a case uses.
Knows observations and outcomes. Must not know which device it is, nor how it is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fuzz.cases import NotOffered
from fuzz.cases.small_ring import SmallRing
from fuzz.targets import TargetBroken, TargetDied, TargetHung
from fuzz.targets.registers import Driver, Ignored, Refused, Registers
from fuzz.verdict import BROKEN, CRASHED, HUNG, OUR_FAULT, UNDECIDED, VIOLATES, Outcome
from oracles import registers, spec
from oracles.oracle import Oracle
from oracles.registers import NO_VECTOR, PCI
from oracles.rules import Violation, registry
from oracles.trace import Called, Configured, Idle, Interrupted, Meant, Observation, Read, Wrote

LINE = 65535
LONG = 1.0  # seconds after which nothing more comes of a device that answers
#: What a case does not negotiate unless it is about that.
PLAIN = spec.VERSION_1 | spec.ACCESS_PLATFORM | spec.ORDER_PLATFORM


@dataclass(frozen=True, slots=True)
class Op:
    """One access: *moment*: read or write; *name*: the common name of a register, or one that no register has."""

    moment: str
    name: str
    value: int = 0
    width: int = 0
    at: int = 0


@dataclass(slots=True)
class Tamper:
    """A defect of a driver: what it does at an access to the register *name* instead of what it should.

    It applies from the *first* such access on that *when* holds for, *times* times; -1: each time.
    """

    moment: str
    name: str
    when: Callable[[int], bool] = lambda value: True
    first: int = 0
    times: int = 1
    change: Callable[[int], int] | None = None  # of the value written
    width: int = 0
    at: int = -1
    skip: bool = False
    stop: bool = False  # the driver does nothing more after it
    result: int = -1  # what the driver takes a read for
    before: tuple[Op, ...] = ()
    after: tuple[Op, ...] = ()
    seen: int = field(default=0, init=False)

    def applies(self, moment: str, name: str, value: int) -> bool:
        """Whether this is the access, or one of them."""
        if (moment, name) != (self.moment, self.name) or not self.when(value):
            return False
        self.seen += 1
        number = self.seen - 1 - self.first
        return number >= 0 and (self.times < 0 or number < self.times)


class Broke(Exception):
    """A rule was broken: the case is over."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.message)
        self.violation = violation


class Stopped(Exception):
    """The driver of a tampered case does nothing more."""


class Bench:
    """One device, one case. Implements Port for its own driver."""

    def __init__(self, device: Registers, without: frozenset[str] = frozenset(), tamper: Tamper | None = None) -> None:
        self.device = device
        self.transport = device.transport
        self.pci = device.transport == PCI
        self.oracle = Oracle(without)
        self.outcome = Outcome()
        self.driver = Driver(self)
        self.rings: dict[int, SmallRing] = {}
        self._tamper = tamper
        self._serial = 0

    # --- keeping the log ----------------------------------------------------------------------------------------------

    def feed(self, observation: Observation, queue: int = 0) -> None:
        """Record and judge. Raises Broke."""
        self.outcome.trace.append((queue, observation))
        violation = self.oracle.feed(queue, observation)
        if violation is not None:
            raise Broke(violation)

    def read(self, name: str, at: int = 0, width: int = 0, queue: int = 0) -> int:
        """Read a register."""
        tamper = self._applies("read", name, 0)
        if tamper is None:
            return self._read(name, at, width)
        self._extra(tamper.before)
        value = 0 if tamper.skip else self._read(name, at, tamper.width or width)
        self._extra(tamper.after)
        return value if tamper.result < 0 else tamper.result

    def write(self, name: str, value: int, at: int = 0, width: int = 0, queue: int = 0) -> None:
        """Write a register."""
        tamper = self._applies("write", name, value)
        if tamper is None:
            self._write(name, value, at, width, queue)
            return
        self._extra(tamper.before)
        if not tamper.skip:
            changed = tamper.change(value) if tamper.change else value
            self._write(name, changed, at if tamper.at < 0 else tamper.at, tamper.width or width, queue)
        self._extra(tamper.after)
        if tamper.stop:
            raise Stopped

    def _applies(self, moment: str, name: str, value: int) -> Tamper | None:
        tamper = self._tamper
        if tamper is None:
            return None
        register = registers.found(name)
        common = name if register is None else register.common
        return tamper if tamper.applies(moment, common, value) else None

    def _extra(self, ops: Sequence[Op]) -> None:
        for op in ops:
            name = registers.NAMES[self.transport].get(op.name, op.name)
            if op.moment == "read":
                self._read(name, op.at, op.width)
            else:
                self._write(name, op.value, op.at, op.width, 0)

    def _width(self, name: str, width: int) -> int:
        register = registers.found(name)
        return width or (register.width if register is not None else 4)

    def _read(self, name: str, at: int, width: int) -> int:
        width = self._width(name, width)
        value = self.device.read(name, at, width)
        self.feed(Read(name, value, width, at))
        return value

    def _write(self, name: str, value: int, at: int, width: int, queue: int) -> None:
        width = self._width(name, width)
        self.device.write(name, value, at, width)
        self.feed(Wrote(name, value, width, at), queue)

    def pause(self, attempt: int) -> None:
        """Let the device have its chance."""
        self.device.pause(attempt)

    # --- what cases do ------------------------------------------------------------------------------------------------

    def meaning(self, *rules: str) -> None:
        """From here on the driver breaks these rules on purpose."""
        for rule in rules:
            self.feed(Meant(rule))

    def probe(self) -> int:
        """Find the device: its structures or its identity, and what it offers. Returns the offer."""
        for one in self.device.capabilities():
            self.feed(one)
            if one.type == registers.NOTIFY_CFG and not self.driver.multiplier:
                self.driver.multiplier = one.multiplier
        on, off = self.device.configured()
        if on or off:
            self.feed(Configured(on, off))
        self.driver.identify()
        self.driver.reset()
        return self.driver.offer()

    def choose(self, more: int = 0, less: int = 0) -> Callable[[int], int]:
        """What to accept of an offer: what a case can't do without, and *more*; never *less*."""
        wanted = (PLAIN | self.device.accept | more) & ~less
        return lambda offered: offered & wanted

    def need(self, bit: int) -> None:
        """Raises NotOffered if the device does not offer it."""
        if not self.driver.offered & bit:
            names = " ".join(spec.feature_names(bit)) or f"feature {bit.bit_length() - 1}"
            raise NotOffered(f"{names} is not offered")

    def agree(self, more: int = 0, less: int = 0) -> int:
        """Everything up to FEATURES_OK. What a driver should accept, and this one leaves out, it means to."""
        driver = self.driver
        wanted = self.choose(more, less)(driver.offered)
        should = {
            spec.ACCESS_PLATFORM: "F-ACCESS-PLATFORM", spec.RING_PACKED: "F-PACKED-ACCEPT",
            spec.ORDER_PLATFORM: "F-ORDER-PLATFORM", spec.NOTIF_CONFIG_DATA: "F-NOTIF-CONFIG-ACCEPT",
        }  # fmt: skip
        self.meaning(*(rule for bit, rule in should.items() if driver.offered & bit & ~wanted))
        return driver.begin(self.choose(more, less))

    def ring(self, queue: int, size: int = 0, vector: int = -1) -> SmallRing:
        """A ring for the queue, set up and enabled; the size is at most 16. *vector*: -1: one of its own."""
        maximum = self.driver.maximum(queue)
        if not maximum:
            raise NotOffered(f"there is no queue {queue}")
        old = self.rings.get(queue)
        ring = SmallRing(self, queue, min(size or 16, maximum), 0 if old is None else old.life + 1)
        self.rings[queue] = ring
        self.driver.enable(queue, ring.config, self.device.address, self.vector(queue) if vector < 0 else vector)
        return ring

    def vector(self, queue: int) -> int:
        """The vector of a queue: the configuration has the first one."""
        return queue + 1 if 0 < queue + 1 < self.device.vectors else NO_VECTOR

    def run(self, announce: bool = True) -> None:
        """DRIVER_OK; then the rings are live."""
        if announce and self.device.vectors:
            self.driver.announce(0)
        self.driver.run()
        for ring in self.rings.values():
            ring.begin("init")

    def serial(self, queue: int) -> int:
        """Number of the next buffer of a queue."""
        self._serial += 1
        return self._serial - 1

    def listen(self, seconds: float = 0.0) -> list[int]:
        """Interrupts that came. Used buffer notifications among them count for their queues."""
        vectors = self.device.interrupts(seconds)
        for vector in vectors:
            self.feed(Interrupted(vector))
        if self.device.vectors:
            for number in self.rings:
                if self.vector(number) in vectors:
                    self.feed(Called(), number)
        else:
            self._shared()
        return vectors

    def _shared(self) -> None:
        """One interrupt for everything: what it is about stands in a register."""
        if not self.oracle.registers or not self.oracle.registers.log.status:
            return
        if self.pci:
            status = self.driver.get("isr")
        else:
            status = self.driver.get("interrupt_status")
            if status:
                self.driver.put("interrupt_ack", status)
        if status & registers.USED:
            for number in self.rings:
                if self.oracle.queue(number).live:  # nobody knows for which it is
                    self.feed(Called(), number)

    def look(self, seconds: float = 0.0) -> None:
        """What came, and what the rings look like."""
        for ring in self.rings.values():
            ring.look()
        self.listen(seconds)

    def watch(self, seconds: float) -> None:
        """Whether anything moves that should not, the rings not being live."""
        for ring in self.rings.values():
            ring.watch()
        self.listen(seconds)

    def until(self, done: Callable[[], bool], seconds: float = LONG) -> bool:
        """Look until *done*, or for so long that it counts."""
        tries = 40
        for _ in range(tries):
            self.look(seconds / tries)
            if done():
                return True
        return False

    def until_used(self, ring: SmallRing) -> bool:
        """Look at one ring, and at no interrupt, until everything came back."""
        for attempt in range(100):
            ring.look()
            if not ring.outstanding:
                return True
            self.pause(attempt)
        return False

    def quiet(self) -> None:
        """The device had its chance; nothing is owed of any ring, whatever was put there."""
        self.listen(0.1)
        self.feed(Idle(True, False))

    def idle(self, owed: bool = True) -> None:
        """The device had its chance for so long that it counts."""
        self.until(lambda: False, 0.2)
        for number in self.rings or (0,):
            self.feed(Idle(True, owed), number)


Case = Callable[[Bench], None]


def run(case: Case, device: Registers, without: frozenset[str] = frozenset(), tamper: Tamper | None = None) -> Outcome:
    """Run one case on one device. Raises NotOffered, and TargetError."""
    bench = Bench(device, without, tamper)
    outcome = bench.outcome
    try:
        try:
            case(bench)
        except (Ignored, Stopped):
            pass
        except Refused as refused:
            outcome.verdict, outcome.reason = UNDECIDED, str(refused)
            bench.feed(Idle(True, False))  # it was waited for long enough: a rule may have a name for it
        violation = bench.oracle.conclude()
        if violation is not None:
            raise Broke(violation)
    except Broke as broke:
        outcome.violation = broke.violation
        outcome.verdict = OUR_FAULT if _ours(outcome) else VIOLATES
    except TargetDied as died:
        outcome.verdict, outcome.reason = CRASHED, str(died)
    except TargetHung as hung:
        outcome.verdict, outcome.reason = HUNG, str(hung)
    except TargetBroken as needy:
        outcome.verdict, outcome.reason = BROKEN, str(needy)
    outcome.warnings = bench.oracle.warnings
    outcome.chains = sum(ring.used for ring in bench.rings.values())
    return outcome


def _ours(outcome: Outcome) -> bool:
    """Whether the rule broken binds the driver: where it binds both, whoever made the last observation."""
    assert outcome.violation is not None
    rule = registry().get(outcome.violation.rule)
    if rule is None or rule.subject == "device":
        return False
    return rule.subject == "driver" or isinstance(outcome.trace[-1][1], Wrote)
