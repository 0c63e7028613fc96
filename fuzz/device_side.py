"""Runs a program as the device: the driver under test is asked to add and take back, we use its buffers.

The driver is judged by what it exposes, when it notifies, and what it hands up; and we are, by the rules of devices,
on every run: what we break is OUR_FAULT, and nobody else's. What a step means depends on the program alone. From the
first misuse on nobody is judged: then only a crash or a hang counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import cast

from fuzz.audit import OurFault
from fuzz.device_queue import UNKNOWN, DeviceQueue
from fuzz.echo import echo_of
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
from fuzz.status import counted
from fuzz.targets import TargetDied, TargetError, TargetHung
from fuzz.targets.driver import DriverQueue, DriverSession, SeveralQueues, Unsettled
from fuzz.verdict import BROKEN, CRASHED, HUNG, OUR_FAULT, UNDECIDED, VIOLATES, Outcome
from oracles import spec
from oracles.driver_oracle import DriverOracle
from oracles.oracle import Oracle
from oracles.trace import Answered, Asked, Idle, Notified, Observation, Resetting, Returned, Scanned

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
    until: float = float("inf"),
) -> Outcome:
    """Execute *program* on a fresh *session*, judging as it goes. Never raises for anything that the driver does.

    *patient*: ten times as long is waited for a driver that runs by itself, but not beyond *until*, of the monotonic
    clock. *without*, *unasked*: rules of drivers
    that are dropped, or don't bind. *begun*: called with the number of each step that begins, from 1, and with one
    more when none is left.
    """
    device = Device(program, session, DriverOracle(without, unasked), patient)
    device.begun, device.until = begun, until
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
    outcome.by_queue = {number: queue.used_total for number, queue in device.ours.queues.items()}
    outcome.chains = sum(outcome.by_queue.values())
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
        self.ours = Oracle()
        self.hostile = False
        self.patient = patient
        self.waited = PATIENCE  # the last time
        self.until = float("inf")
        self.queues = [
            DeviceQueue(number, half, judge.queue(number), self.feed)
            for number, half in enumerate(_halves(session, len(program.queues)))
        ]
        self.echo = echo_of(self.queues)
        self.missing = 0  # frames that did not come out of it in time
        self.actions: dict[type, Callable[[DeviceQueue, Step], None]] = {
            Add: self._add,
            Kick: self._kick,
            Get: self._get,
            Callbacks: self._callbacks,
            Use: self._use,
            Call: self._call,
            Suppress: self._suppress,
            QueueReset: self._queue_reset,
            Restart: self._restart,
            Misuse: self._misuse,
        }

    # -- judging

    def feed(self, number: int, seen: Observation) -> None:
        """Record an observation of a queue, and have the driver judged, then us. Raises Broken or OurFault."""
        self.outcome.trace.append((number, seen))
        if self.hostile:
            return
        oracle = self.judge.queue(number)
        violation = oracle.feed(seen)
        if violation is not None:
            raise Broken(violation)
        for told in self.queues[number].mirror.seen(seen):
            self._check(number, told)
        if not oracle.live and not isinstance(seen, Resetting):
            raise _Lost

    def _check(self, number: int, told: Observation) -> None:
        """Have ourselves judged."""
        wrong = self.ours.feed(number, told)
        judged = self.ours.queue(number)
        while wrong is None and judged.to_scan:
            buffer = judged.to_scan.pop(0)
            written = self.queues[number].wrote.get(buffer.number, 0)
            kept = ((written, buffer.writable - written),) if written < buffer.writable else ()
            wrong = self.ours.feed(number, Scanned(buffer.number, kept))
        if wrong is not None:
            raise OurFault(wrong)

    # -- the steps

    def execute(self) -> None:
        """Set up, run every step, and send what is due."""
        self._start("init", [queue.size for queue in self.program.queues])
        first = self.queues[0]
        settle(self.session, first, lambda: self._called(first), first.feed)
        for step in self.program.steps:
            self._begin()
            self.outcome.reached += 1
            self._step(step)
        self._begin()
        if self.echo is not None and not self.hostile:
            self._expect_echo(1 << 16)
            if self.missing and self.echo.owed():
                missing = counted(self.echo.owed(), "frame")
                raise Undecided(f"the driver sent {missing} not on that it was given,{self._waited()}")
        if not self.hostile:
            finish(self.session, self.queues[0])
        for queue in self.queues:
            self._called(queue)
        for queue in self.queues:
            queue.feed(Idle(True, False))
        if not self.hostile:
            leave(self.session, self.queues[0])

    def _step(self, step: Step) -> None:
        """One step, and a look at what it did to the queues that it is not about."""
        if isinstance(step, Reset):
            self._reset()
            return
        action = self.actions.get(type(step))
        number = getattr(step, "queue", 0)
        if action is None or number >= len(self.queues):
            return
        action(self.queues[number], step)
        if self.hostile:
            return
        for queue in self.queues:
            if queue.number != number and not queue.live:
                queue.look(aside=True)
            if queue.session.broken():
                raise _GaveUp

    def _begin(self) -> None:
        """A step begins, or what follows the last one."""
        marks = self.outcome.marks
        marks.append(len(self.outcome.trace))
        if self.begun is not None:
            self.begun(len(marks))
        if not self.hostile:
            hear(self.session, self.queues[0].feed)

    def _start(self, cause: str, sizes: Sequence[int]) -> None:
        if len(sizes) == 1:
            self.session.start(self.features, sizes[0])
        else:
            cast("SeveralQueues", self.session).start(self.features, *sizes)
        for queue in self.queues:
            queue.begin(cause)

    def _add(self, queue: DeviceQueue, step: Step) -> None:
        assert isinstance(step, Add)
        if len(step.readable) + len(step.writable) > queue.session.queue.size:
            return  # that would be the upper half's fault
        queue.feed(Asked(step.readable, step.writable))
        token = queue.session.add(step.readable, step.writable)
        if token is None:
            queue.feed(Answered("refused", len(step.readable) + len(step.writable)))
        else:
            queue.added(token, len(step.readable))
        self._look(queue)

    def _look(self, queue: DeviceQueue, waited: bool = False) -> None:
        if not self.hostile:
            queue.look(waited)

    def _kick(self, queue: DeviceQueue, step: Step) -> None:
        if queue.session.kick():
            queue.feed(Notified())
        self._look(queue, waited=True)

    def _get(self, queue: DeviceQueue, step: Step) -> None:
        assert isinstance(step, Get)
        if step.asleep and queue.sleeping and not queue.woken:
            return
        queue.sleeping = queue.woken = False
        for _ in range(step.count):
            got = queue.session.get()
            if got is None:
                if not self.hostile and queue.session.broken():
                    raise _GaveUp
                queue.feed(Answered("empty"))
                break
            token, length = got
            queue.feed(Returned(queue.ids.pop(token, UNKNOWN), length))
            queue.delivered(token, 0 if self.hostile else length)
        self._look(queue)

    def _callbacks(self, queue: DeviceQueue, step: Step) -> None:
        assert isinstance(step, Callbacks)
        mode = step.mode
        quiet = queue.session.callbacks("delayed" if mode == "delayed" else mode == "on")
        self._look(queue)
        queue.sleeping, queue.woken = quiet and mode != "off", False
        queue.feed(Answered("awake" if not queue.sleeping else "quiet" if mode == "on" else "delayed"))

    def _use(self, queue: DeviceQueue, step: Step) -> None:
        assert isinstance(step, Use)
        self._look(queue)
        if queue.live and not self.hostile:
            self._await(queue, min(step.count, queue.session.queue.size, queue.most))
        queue.use(step)

    def _await(self, queue: DeviceQueue, wanted: int) -> None:
        """Wait for so many buffers of a driver that runs by itself. Raises Undecided if there is none in time."""
        if self.echo is not None and queue is self.echo.sending:
            self._expect_echo(wanted)
            return
        if not queue.expect(wanted, QUICK):
            self._called(queue)  # it may have nothing to expose before it hears of what was used
        if not queue.expect(1, self._patience()):
            raise Undecided(f"the driver exposed nothing{self._where(queue)}{self._waited()}")

    def _patience(self) -> float:
        """Seconds for which it is waited from now on."""
        if self.patient:
            self.waited = max(0.0, min(10 * PATIENCE, self.until - time.monotonic()))
        return self.waited

    def _waited(self) -> str:
        return f" in {self.waited:.2g} s"

    def _where(self, queue: DeviceQueue) -> str:
        return f" on queue {queue.number}" if len(self.queues) > 1 else ""

    def _expect_echo(self, most: int) -> None:
        """Wait for what the driver was given and has not sent on, until there are *most* to be used.

        What does not come within our patience is not waited for again, before the end: what comes later tells more.
        """
        echo = self.echo
        assert echo is not None
        queue = echo.sending
        wanted = min(most, len(queue.follower.outstanding) + echo.owed() - self.missing)
        if wanted > 0 and not queue.expect(wanted, self._patience(), True):
            self.missing = echo.owed()

    def _call(self, queue: DeviceQueue, step: Step) -> None:
        assert isinstance(step, Call)
        self._called(queue, step.force)

    def _called(self, queue: DeviceQueue, force: bool = False) -> None:
        if queue.call(force):
            queue.woken = True
            self._look(queue)

    def _suppress(self, queue: DeviceQueue, step: Step) -> None:
        assert isinstance(step, Suppress)
        self._look(queue)
        queue.suppress(step)

    def _reset(self) -> None:
        sizes = [queue.session.queue.size for queue in self.queues]
        for queue in self.queues:
            queue.feed(Resetting("device"))
        self.session.reset()
        self._start("reset", sizes)
        if not self.hostile and any(queue.session.broken() for queue in self.queues):
            raise _GaveUp

    def _queue_reset(self, queue: DeviceQueue, step: Step) -> None:
        assert isinstance(step, QueueReset)
        if not self.session.features & spec.RING_RESET or self.hostile:
            return
        queue.feed(Resetting("queue"))
        if step.size:
            queue.session.resize(min(step.size, self.program.queues[queue.number].size))
        else:
            queue.session.reset_queue()
        queue.begin("queue_reset")

    def _restart(self, queue: DeviceQueue, step: Step) -> None:
        if not self.hostile:
            self._kick(queue, Kick())  # so that nothing is open: a queue that starts is looked at in any case
            queue.restart()

    def _misuse(self, queue: DeviceQueue, step: Step) -> None:
        assert isinstance(step, Misuse)
        self.hostile = True
        queue.misuse(step.what, step.value)


def _halves(session: DriverSession, count: int) -> list[DriverQueue]:
    """The driver's *count* virtqueues. Raises TargetError if it has not so many."""
    if count > 1 and not hasattr(session, "another"):
        raise TargetError(f"the program has {count} queues, and this driver one")
    return [session, *(cast("SeveralQueues", session).another(number) for number in range(1, count))]
