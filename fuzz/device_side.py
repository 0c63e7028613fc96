"""Runs a program as the device: the driver under test is asked to add and take back, we use its buffers.

The driver is judged by what it exposes, when it notifies, and what it hands up; and we are, by the rules of devices,
on every run: what we break is OUR_FAULT, and nobody else's. What a step means depends on the program alone. From the
first misuse on nobody is judged: then only a crash or a hang counts.
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz.audit import OurFault
from fuzz.device_queue import UNKNOWN, DeviceQueue
from fuzz.evidence import Broken
from fuzz.looking import Undecided
from fuzz.program import (
    Add,
    Call,
    Callbacks,
    Get,
    Kick,
    Misuse,
    Program,
    QueueReset,
    Reset,
    Restart,
    Step,
    Suppress,
    Use,
)
from fuzz.settling import finish, hear, leave, settle
from fuzz.targets import TargetDied, TargetHung
from fuzz.targets.driver import DriverSession, Unsettled
from fuzz.verdict import BROKEN, CRASHED, HUNG, OUR_FAULT, UNDECIDED, VIOLATES, Outcome
from oracles import spec
from oracles.driver_oracle import DriverOracle
from oracles.mirror import Mirror
from oracles.oracle import Oracle
from oracles.trace import (
    Answered,
    Asked,
    Exposed,
    Idle,
    Notified,
    Observation,
    Resetting,
    Returned,
    Scanned,
)

PATIENCE = 2.0
"""Seconds after which it is undecided whether a driver that runs by itself exposes something; patient: ten times."""
QUICK = 0.02
"""Seconds for which it is waited for as many buffers as a step wants."""


class _GaveUp(Exception):
    """The driver gave its queue up, though we broke no rule."""


class _Lost(Exception):
    """Only a dropped rule explains what was seen: nothing that follows would prove anything."""


def run(
    program: Program,
    session: DriverSession,
    *,
    patient: bool = False,
    without: frozenset[str] = frozenset(),
    unasked: frozenset[str] = frozenset(),
    begun: Callable[[int], None] | None = None,
) -> Outcome:
    """Execute *program* on a fresh *session*, judging as it goes. Never raises for anything that the driver does.

    *patient*: ten times as long is waited for a driver that runs by itself. *without*, *unasked*: rules of drivers
    that are dropped, or don't bind. *begun*: called with the number of each step that begins, from 1, and with one
    more when none is left.
    """
    device = Device(program, session, DriverOracle(without, unasked), patient)
    device.begun = begun
    outcome = device.outcome
    try:
        device.execute()
    except Broken as broken:
        outcome.verdict, outcome.violation = VIOLATES, broken.violation
    except OurFault as fault:
        outcome.verdict, outcome.violation = OUR_FAULT, fault.violation
        outcome.reason = f"its device broke {fault.violation.rule}: {fault.violation.message}"
    except _GaveUp:
        said = session.words().strip()
        outcome.verdict = BROKEN
        outcome.reason = f"the driver gives up its queue, though the device kept every rule: {said or 'no word why'}"
    except (Undecided, Unsettled) as undecided:
        outcome.verdict, outcome.reason = UNDECIDED, str(undecided)
    except _Lost:
        pass
    except TargetDied as died:
        outcome.verdict, outcome.reason = CRASHED, str(died)
    except TargetHung as hung:
        outcome.verdict, outcome.reason = HUNG, str(hung)
    outcome.warnings = device.judge.warnings
    outcome.chains = device.ours.queue(0).used_total
    return outcome


class Device:
    """One execution."""

    def __init__(self, program: Program, session: DriverSession, judge: DriverOracle, patient: bool) -> None:
        self.program = program
        self.session = session
        self.outcome = Outcome()
        self.begun: Callable[[int], None] | None = None
        self.judge = judge
        self.features = program.features | spec.VERSION_1
        if program.layout == spec.PACKED:
            self.features |= spec.RING_PACKED
        self.oracle = judge.queue(0)
        self.mirror = Mirror(self.oracle)
        self.ours = Oracle()
        self.hostile = False
        self.patience = PATIENCE * (10 if patient else 1)
        self.woken = False  # a notification came since the driver said that nothing is there
        self.sleeping = False
        listen = getattr(session, "listen", None)  # our own driver shows its stores
        logging = bool(listen is not None and listen(self._stored))
        self.queue = DeviceQueue(session, self.oracle, self.feed, logging)
        self.actions: dict[type, Callable[[Step], None]] = {
            Add: self._add,
            Kick: self._kick,
            Get: self._get,
            Callbacks: self._callbacks,
            Use: self._use,
            Call: self._call,
            Suppress: self._suppress,
            Reset: self._reset,
            QueueReset: self._queue_reset,
            Restart: self._restart,
            Misuse: self._misuse,
        }

    # -- judging

    def _stored(self, seen: Exposed) -> None:
        self.feed(seen)

    def feed(self, seen: Observation) -> None:
        """Record an observation, and have the driver judged, then us. Raises Broken or OurFault."""
        self.outcome.trace.append((0, seen))
        if self.hostile:
            return
        violation = self.oracle.feed(seen)
        if violation is not None:
            raise Broken(violation)
        for told in self.mirror.seen(seen):
            self._check(told)
        if not self.oracle.live and not isinstance(seen, Resetting):
            raise _Lost

    def _check(self, told: Observation) -> None:
        """Have ourselves judged."""
        wrong = self.ours.feed(0, told)
        judged = self.ours.queue(0)
        while wrong is None and judged.to_scan:
            buffer = judged.to_scan.pop(0)
            written = self.queue.wrote.get(buffer.number, 0)
            kept = ((written, buffer.writable - written),) if written < buffer.writable else ()
            wrong = self.ours.feed(0, Scanned(buffer.number, kept))
        if wrong is not None:
            raise OurFault(wrong)

    # -- the steps

    def execute(self) -> None:
        """Set up, run every step, and send what is due."""
        self._start("init", self.program.queues[0].size)
        settle(self.session, self.queue, self._called, self.feed)
        for step in self.program.steps:
            self._begin()
            self.outcome.reached += 1
            action = self.actions.get(type(step))
            if action is not None:
                action(step)
            if not self.hostile and self.session.broken():
                raise _GaveUp
        self._begin()
        if not self.hostile:
            finish(self.queue)
        self._called()
        self.feed(Idle(True, False))
        if not self.hostile:
            leave(self.session, self.queue)

    def _begin(self) -> None:
        """A step begins, or what follows the last one."""
        marks = self.outcome.marks
        marks.append(len(self.outcome.trace))
        if self.begun is not None:
            self.begun(len(marks))
        if not self.hostile:
            hear(self.session, self.feed)

    def _start(self, cause: str, size: int) -> None:
        self.sleeping = self.woken = False
        self.session.start(self.features, size)
        self.queue.count = self.mirror.count
        self.queue.begin(cause)

    def _add(self, step: Step) -> None:
        assert isinstance(step, Add)
        if len(step.readable) + len(step.writable) > self.session.queue.size:
            return  # that would be the upper half's fault
        self.feed(Asked(step.readable, step.writable))
        token = self.session.add(step.readable, step.writable)
        if token is None:
            self.feed(Answered("refused", len(step.readable) + len(step.writable)))
        else:
            self.queue.added(token, len(step.readable))
        self._look()

    def _look(self, waited: bool = False) -> None:
        if not self.hostile:
            self.queue.look(waited)

    def _kick(self, step: Step) -> None:
        if self.session.kick():
            self.feed(Notified())
        self._look(waited=True)

    def _get(self, step: Step) -> None:
        assert isinstance(step, Get)
        if step.asleep and self.sleeping and not self.woken:
            return
        self.sleeping = self.woken = False
        for _ in range(step.count):
            got = self.session.get()
            if got is None:
                if not self.hostile and self.session.broken():
                    raise _GaveUp
                self.feed(Answered("empty"))
                break
            token, length = got
            self.feed(Returned(self.queue.ids.pop(token, UNKNOWN), length))
            self.queue.delivered(token, 0 if self.hostile else length)
        self._look()

    def _callbacks(self, step: Step) -> None:
        assert isinstance(step, Callbacks)
        mode = step.mode
        quiet = self.session.callbacks("delayed" if mode == "delayed" else mode == "on")
        self._look()
        self.sleeping, self.woken = quiet and mode != "off", False
        self.feed(Answered("awake" if not self.sleeping else "quiet" if mode == "on" else "delayed"))

    def _use(self, step: Step) -> None:
        assert isinstance(step, Use)
        self._look()
        if self.queue.live and not self.hostile:
            wanted = min(step.count, self.session.queue.size, self.queue.most)
            if not self.queue.expect(wanted, QUICK):
                self._called()  # it may have nothing to expose before it hears of what was used
            if not self.queue.expect(1, self.patience):
                raise Undecided(f"the driver exposed nothing in {self.patience:g} s")
        self.queue.use(step)

    def _call(self, step: Step) -> None:
        assert isinstance(step, Call)
        self._called(step.force)

    def _called(self, force: bool = False) -> None:
        if self.queue.call(force):
            self.woken = True
            self._look()

    def _suppress(self, step: Step) -> None:
        assert isinstance(step, Suppress)
        self._look()
        self.queue.suppress(step)

    def _reset(self, step: Step) -> None:
        self.feed(Resetting("device"))
        size = self.session.queue.size
        self.session.reset()
        self._start("reset", size)

    def _queue_reset(self, step: Step) -> None:
        assert isinstance(step, QueueReset)
        if not self.session.features & spec.RING_RESET or self.hostile:
            return
        self.feed(Resetting("queue"))
        self.sleeping = self.woken = False
        if step.size:
            self.session.resize(min(step.size, self.program.queues[0].size))
        else:
            self.session.reset_queue()
        self.queue.count = self.mirror.count
        self.queue.begin("queue_reset")

    def _restart(self, step: Step) -> None:
        if not self.hostile:
            self._kick(Kick())  # so that nothing is open: a queue that starts is looked at in any case
            self.queue.restart()

    def _misuse(self, step: Step) -> None:
        assert isinstance(step, Misuse)
        self.hostile = True
        self.queue.misuse(step.what, step.value)
