"""Runs a program as the driver: the only place where steps become writes, notifications and looks.

Keeps every driver rule of the specification in doing so; what a step means depends on the program
alone. Its own bookkeeping of outstanding buffers is the oracle's: it asks the oracle what a used
entry completes. Never judges.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache

from fuzz import devices
from fuzz.arena import Arena
from fuzz.audit import OurFault
from fuzz.devices import Message
from fuzz.driver_queue import DriverQueue
from fuzz.evidence import Broken
from fuzz.looking import GLANCE, Undecided
from fuzz.misspoken import judged
from fuzz.program import (
    Lever,
    Notify,
    Program,
    Publish,
    QueueReset,
    Receive,
    Request,
    Reset,
    Restart,
    Step,
    Supply,
    Suppress,
)
from fuzz.targets import Session, TargetBroken, TargetDied, TargetHung, TargetMisspoke
from fuzz.verdict import BROKEN, CRASHED, HUNG, OUR_FAULT, UNDECIDED, VIOLATES, Outcome
from oracles import spec
from oracles.driver_oracle import DriverOracle
from oracles.oracle import Oracle
from oracles.trace import Called, Resetting, Stored

PATIENCE = 1.0
"""Seconds after which a wait is undecided; with *patient* ten times as long, and then it counts."""


LINGER = 0.01
"""Seconds given at the end of a program to buffers whose return nobody owes."""

REST = 0.05
"""Seconds for which a queue that was stopped with buffers in flight is watched: it must lie still."""


class Stop(Exception):
    """The rest of the program can't be run in a way that would prove anything; what was seen stands."""


def run(
    program: Program,
    session: Session,
    *,
    hints: dict[str, int] | None = None,
    patient: bool = False,
    salt: int = 0,
    judge: bool = True,
    without: frozenset[str] = frozenset(),
    unasked: frozenset[str] = frozenset(),
    begun: Callable[[int], None] | None = None,
    audit: bool = False,
    queue: type[DriverQueue] = DriverQueue,
) -> Outcome:
    """Execute *program* on a fresh *session*, judging as it goes. Never raises for anything the target does.

    *salt* varies canaries from one re-run to the next. *judge* False: the oracle keeps
    books, but nothing is recorded or scanned. *begun*: called with the number of each step that
    begins, from 1, and with one more when none is left. *without*, *unasked*: see Oracle. *audit*: what our driver
    writes is judged, too; a rule that it breaks ends the run with OUR_FAULT. *queue*: the driver of a queue, which
    may have a fault planted.
    """
    kind = _kind(program)
    ours = DriverOracle(without) if audit and not program.hostile else None
    queues = kind.queue_kind if queue is DriverQueue else queue
    driver = kind(program, session, hints or {}, patient, salt, judge, Oracle(without, unasked), ours, queues)
    driver.begun = begun
    outcome = driver.outcome
    session.unsettled = True
    try:
        try:
            driver.execute()
            session.unsettled = any(queue.owed() for queue in driver.queues)
        except Stop:
            pass
        violation = driver.oracle.conclude()
        if violation is not None:
            raise Broken(violation)
    except Broken as broken:
        outcome.verdict = VIOLATES
        outcome.violation = broken.violation
    except OurFault as fault:
        outcome.verdict, outcome.violation = OUR_FAULT, fault.violation
        outcome.reason = f"its driver broke {fault.violation.rule}: {fault.violation.message}"
    except Undecided as undecided:
        outcome.verdict, outcome.reason = UNDECIDED, str(undecided)
    except TargetMisspoke as misspoke:
        outcome.warnings = driver.oracle.warnings
        return judged(misspoke, outcome, without)
    except TargetDied as died:
        outcome.verdict, outcome.reason = CRASHED, str(died)
    except TargetHung as hung:
        outcome.verdict, outcome.reason = HUNG, str(hung)
    except TargetBroken as needy:
        outcome.verdict, outcome.reason = BROKEN, str(needy)
    outcome.warnings = driver.oracle.warnings + (ours.warnings if ours is not None else [])
    outcome.chains = sum(queue.oracle.used_total for queue in driver.queues)
    driver.conclude(outcome)
    return outcome


def _kind(program: Program) -> type[Driver]:
    if not program.hostile:
        return Driver
    from fuzz.hostile_side import HostileDriver  # late: it is made of this one

    return HostileDriver


class Driver:
    """One execution."""

    queue_kind: type[DriverQueue] = DriverQueue

    def __init__(
        self,
        program: Program,
        session: Session,
        hints: dict[str, int],
        patient: bool,
        salt: int,
        judge: bool,
        oracle: Oracle,
        audit: DriverOracle | None = None,
        queue_kind: type[DriverQueue] = DriverQueue,
    ) -> None:
        self.program = program
        self.session = session
        self.outcome = Outcome()
        self.begun: Callable[[int], None] | None = None
        self.oracle = oracle
        self.audit = audit
        self.patient = patient
        self.patience = PATIENCE * session.patience * (10 if patient else 1)
        self.layout = program.layout
        self.features = program.features | spec.VERSION_1
        if self.layout == spec.PACKED:
            self.features |= spec.RING_PACKED
        self.hints = hints
        self.device = None if program.device == "any" else devices.load(program.device, hints)
        self.listening = session.listen(self._observe)
        self.fence = threading.Lock()
        self.again: list[int] = []
        self.moved = False  # whether levers were, so that they must be moved back
        self.stirred = False  # whether one was, and what that brings has not been waited for
        self.arena, places = self._lay_out(hints)
        self.queues = [
            queue_kind(self, number, queue.size, queue.start, places[number], salt, judge)
            for number, queue in enumerate(program.queues)
        ]
        self.actions: dict[type, Callable[[Step], None]] = {
            Supply: self._supply,
            Publish: self._publish,
            Notify: self._notify,
            Receive: self._receive,
            Suppress: self._suppress,
            Reset: self._reset,
            QueueReset: self._queue_reset,
            Restart: self._restart,
            Lever: self._lever,
        }

    def _lay_out(self, hints: dict[str, int]) -> tuple[Arena, list[tuple[int, int, int]]]:
        """Areas for every queue at its largest size, then the arena."""
        largest = max([step.size for step in self.program.steps if isinstance(step, QueueReset)], default=0)
        at = 64
        places = []
        for queue in self.program.queues:
            sizes = spec.area_sizes(self.layout, max(queue.size, largest))
            areas = []
            for length in sizes:
                areas.append(at)
                at = (at + length + 16 + 63) & ~63
            places.append((areas[0], areas[1], areas[2]))
        lengths = _lengths(self.program.device, hints)
        need = at + 256 + sum(_room(step, lengths) for step in self.program.steps if isinstance(step, Supply))
        end = min(len(self.session.memory), max(need, at + 4096))
        return Arena(self.session.memory, at, end), places

    def overhear(self) -> None:
        """A notification came that may be for any queue."""
        for queue in self.queues:
            queue.overhear()

    def _observe(self, queue: int, observation: Stored | Called) -> None:
        self.queues[queue].feed(observation)

    # -- the steps

    def execute(self) -> None:
        """Set up, run every step, and settle what is open."""
        self.start("init")
        for step in self.program.steps:
            self._begin()
            self.outcome.reached += 1
            self.actions[type(step)](step)
        self._begin()
        if self.moved:
            self._release()
        for queue in self.queues:
            queue.settle()
        for queue in self.queues:
            queue.linger(LINGER)

    def conclude(self, outcome: Outcome) -> None:
        """The last word about what came of it."""

    def _begin(self) -> None:
        """A step begins, or what follows the last one."""
        marks = self.outcome.marks
        marks.append(len(self.outcome.trace))
        if self.begun is not None:
            self.begun(len(marks))

    def start(self, cause: str) -> None:
        """Initialize the device and make every queue live."""
        for queue in self.queues:
            queue.prepare(queue.start_at if cause == "init" else 0)
        self.session.start(self.features, [queue.config for queue in self.queues])
        for queue in self.queues:
            queue.begin(cause)
        self._notify_again()

    def _queue_of(self, number: int) -> DriverQueue | None:
        return self.queues[number] if number < len(self.queues) else None

    def _supply(self, step: Step) -> None:
        assert isinstance(step, Supply)
        queue = self._queue_of(step.queue)
        if queue is None:
            return
        if step.gap and self.session.at_gap(step.queue, lambda: self._in_gap(queue, step)):
            return
        queue.supply(step)

    def _in_gap(self, queue: DriverQueue, step: Supply) -> None:
        """The device is between «ring drained» and «doorbell armed»: supply, and notify as it asks us to."""
        queue.supply(step)
        queue.publish()
        if not queue.excused():
            self.again.append(queue.number)
        else:
            queue.decided()

    def _publish(self, step: Step) -> None:
        assert isinstance(step, Publish)
        queue = self._queue_of(step.queue)
        if queue is not None:
            queue.publish()

    def _notify(self, step: Step) -> None:
        assert isinstance(step, Notify)
        queue = self._queue_of(step.queue)
        if queue is None:
            return
        queue.publish()
        excused = queue.excused()
        if not excused or step.force:
            queue.notify(forced=excused)
        self._notify_again()
        queue.decided()
        if self.listening:
            queue.idle()

    def _notify_again(self) -> None:
        """Notify for what was supplied in a gap."""
        while self.again:
            self.queues[self.again.pop()].notify()

    def _receive(self, step: Step) -> None:
        assert isinstance(step, Receive)
        queue = self._queue_of(step.queue)
        if queue is not None:
            queue.receive(step.count, step.asleep)

    def _suppress(self, step: Step) -> None:
        assert isinstance(step, Suppress)
        queue = self._queue_of(step.queue)
        if queue is not None:
            queue.suppress(step.mode, step.ahead, step.junk)

    def _lever(self, step: Step) -> None:
        assert isinstance(step, Lever)
        self.moved = self.stirred = True
        self.session.lever(step.name, step.value)
        self._notify_again()

    def _release(self) -> None:
        """No step follows: what levers hold back is owed now."""
        self.session.release()
        self._notify_again()
        if self.listening:
            for queue in self.queues:
                queue.idle()

    def _reset(self, step: Step) -> None:
        self.session.reset()
        for queue in self.queues:
            queue.end(Resetting("device"))
        self.start("reset")

    def _queue_reset(self, step: Step) -> None:
        assert isinstance(step, QueueReset)
        queue = self._queue_of(step.queue)
        if queue is None or not self.features & spec.RING_RESET:
            return
        queue.look()
        in_flight = queue.oracle.available > 0
        self.session.reset_queue(step.queue)
        queue.look()
        queue.end(Resetting("queue"))
        if in_flight:
            queue.watch_rest(GLANCE)
        if step.size:
            queue.size = step.size
        queue.prepare(0)
        self.session.resume(step.queue, queue.config)
        queue.begin("queue_reset")

    def _restart(self, step: Step) -> None:
        assert isinstance(step, Restart)
        queue = self._queue_of(step.queue)
        if queue is None:
            return
        queue.look()
        base = self.session.stop(step.queue)
        queue.look()
        queue.end(Resetting("stop", base))
        config = queue.config_after(base)
        if config is None:
            queue.watch_rest(REST)  # fetched, not used, and not finished by the stop: they must not come now
            raise Stop  # and what becomes of them, nobody says
        self.session.resume(step.queue, config)
        queue.resume()
        self._notify_again()  # of what was supplied in a gap meanwhile: later it would be of nothing


def _lengths(name: str, hints: dict[str, int]) -> Callable[[Request, int], int]:
    """How many bytes a request of the class *name* has in a queue. That instance of the class sees nothing else."""
    device = None if name == "any" else devices.load(name, hints)

    @cache
    def length(request: Request, queue: int) -> int:
        message = device.message(request, 0, queue) if device is not None else Message(b"", 0)
        return len(message.readable) + message.writable

    return length


def _room(step: Supply, lengths: Callable[[Request, int], int]) -> int:
    """An upper bound of the memory that a supply takes in the arena."""
    if step.request is not None:
        length = lengths(step.request, step.queue)
        return length + 1024 + 32 * min(length, 256)
    pieces = len(step.readable) + len(step.writable)
    return sum(step.readable) + sum(step.writable) + 32 * pieces + 64
