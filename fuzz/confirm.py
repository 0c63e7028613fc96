"""Running a program on a target again and again: to see how often it fails, and to make it smaller.

Knows programs, sessions and outcomes. Must not know where finds are kept, nor who prints what.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from fuzz import device_side, driver_side
from fuzz.driver_queue import DriverQueue
from fuzz.misspoken import judged
from fuzz.program import Program, Supply
from fuzz.shrink import shrink
from fuzz.targets import (
    Session,
    Target,
    TargetBroken,
    TargetDied,
    TargetError,
    TargetHung,
    TargetMisspoke,
)
from fuzz.targets.driver import DriverSession
from fuzz.verdict import BAD, BROKEN, CONFORMS, CRASHED, HUNG, OUR_FAULT, UNDECIDED, VIOLATES, Outcome
from oracles.rules import Level, registry
from oracles.spec import SPLIT

KEPT = 200
"""Programs run since the target was started that are remembered."""


class Runner:
    """Runs programs on one target, each on a fresh session; starts anew what died.

    ``late``: what open() had to say about the end of the session before, once; the program that was run
    on that one is to blame.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.real = not target.name.startswith("model")
        self.late = ""
        self.late_verdict = CRASHED  # or HUNG
        self.trace_of_fault = ""
        self.unasked: frozenset[str] = frozenset()  # rules that don't bind by the version of VIRTIO that we judge by
        self.strict = False  # whether a rule of level SHOULD that is broken counts as much as any
        self.until = float("inf")  # of the monotonic clock: no driver is waited for patiently beyond it
        self.audit = False  # whether what our driver writes is judged, too
        self.queue: type[DriverQueue] = DriverQueue  # its driver: one with a planted fault, to prove that
        self._hints = dict(target.limits.hints)
        self._starts = 0
        self._ran: deque[Program] = deque(maxlen=KEPT)  # on the target as it was started last
        self._gone: tuple[Program, ...] = ()  # on the one before

    def run(self, program: Program, patient: bool = False, salt: int = 0,
            without: frozenset[str] = frozenset(), finish: bool = False,
            before: Sequence[Program] = ()) -> Outcome:  # fmt: skip
        """One execution. *finish*: an end that shows only after the session counts as this program's.

        *before*: what runs first, whatever comes of it, on a target that is started anew.
        Raises TargetError if the target can't be reached or set up.
        """
        if before:
            self.restart()
        for earlier in before:
            self._run(earlier, False, 0, without, False)
        return self._run(program, patient, salt, without, finish)

    def _run(self, program: Program, patient: bool, salt: int, without: frozenset[str], finish: bool) -> Outcome:
        if (self.target.role == "driver") != (program.role == "device"):
            under_test = "a driver" if program.role == "device" else "a device"
            raise TargetError(f"the program is for {under_test}, and {self.target.name} is a {self.target.role}")
        session = self._open(without)
        self._remember(program)
        if isinstance(session, Outcome):
            return session
        try:
            outcome = self._drive(program, session, patient, salt, without)
        except TargetError:
            raise
        except Exception as error:  # a defect of ours, whatever it is: the program that shows it must not be lost
            self.trace_of_fault = traceback.format_exc()
            outcome = Outcome(OUR_FAULT, reason=f"{type(error).__name__}: {error}")
        finally:
            session.close()
        if finish and outcome.verdict not in BAD:
            self.settle()
            if self.late:
                outcome.verdict, outcome.reason, self.late = self.late_verdict, self.late, ""
        return _strictly(outcome) if self.strict else outcome

    def _drive(self, program: Program, session: Session, patient: bool, salt: int, without: frozenset[str]) -> Outcome:
        if self.target.role == "driver":
            return device_side.run(program, cast("DriverSession", session), patient=patient, without=without,
                                   unasked=self.unasked, until=self.until)  # fmt: skip

        def drive(program: Program, session: Session) -> Outcome:
            return driver_side.run(program, session, hints=self._hints, patient=patient, salt=salt, without=without,
                                   unasked=self.unasked, audit=self.audit, queue=self.queue)  # fmt: skip

        if not program.hostile:
            return drive(program, session)
        from fuzz import hostile_run  # late: only hostile programs need it

        return hostile_run.run(self.target, session, program, drive)

    def _remember(self, program: Program) -> None:
        starts = self.target.starts
        if starts != self._starts:
            self._starts, self._gone = starts, tuple(self._ran)
            self._ran.clear()
        if starts:
            self._ran.append(program)

    def earlier(self, program: Program) -> tuple[Program, ...]:
        """What ran before *program* since the target was started for them; the last ones, if there were many."""
        for ran in (tuple(self._ran), self._gone):
            if program in ran:
                return ran[: len(ran) - 1 - ran[::-1].index(program)]
        return ()

    def restart(self) -> None:
        """What runs next, runs on a target started anew."""
        self.target.restart()

    def settle(self) -> None:
        """Open and close a session, so that ``late`` tells how the one before ended."""
        session = self._open()
        if not isinstance(session, Outcome):
            session.close()

    def _open(self, without: frozenset[str] = frozenset()) -> Session | Outcome:
        for _ in range(2):
            try:
                return self.target.open()
            except TargetMisspoke as misspoke:
                return judged(misspoke, without=without)
            except TargetDied as died:
                self.late, self.late_verdict = str(died), CRASHED
            except TargetHung as hung:
                self.late, self.late_verdict = str(hung), HUNG
            except TargetBroken as broken:
                return Outcome(BROKEN, reason=str(broken))
        raise TargetError(f"{self.target.name} ends as soon as it is started: {self.late}")


def _strictly(outcome: Outcome) -> Outcome:
    """The outcome if what should be must be: the first warning of that level is a violation."""
    if outcome.verdict == CONFORMS:
        for warning in outcome.warnings:
            if registry()[warning.rule].level is Level.SHOULD:
                outcome.verdict, outcome.violation = VIOLATES, warning
                break
    return outcome


@dataclass(frozen=True, slots=True)
class Needs:
    """What it takes to see a find again."""

    rule: str
    patient: bool = False  # only a long wait shows it
    finish: bool = False  # it shows when the session is over
    tries: int = 1  # executions of one candidate, for what does not happen every time
    before: tuple[Program, ...] = ()  # what must have run on the target since it was started
    cause: str = ""  # what a sanitizer or an assertion said

    def fits(self, outcome: Outcome) -> bool:
        """Whether *outcome* is what is looked for."""
        alike = not self.cause or not outcome.cause or outcome.cause == self.cause
        return outcome.rule == self.rule and outcome.verdict in BAD and alike

    def seen(self, runner: Runner, program: Program, salt: int = 0) -> Outcome | None:
        """The outcome if *program* shows it, else None."""
        for attempt in range(self.tries):
            outcome = runner.run(program, self.patient, salt + attempt, finish=self.finish, before=self.before)
            if self.fits(outcome):
                return outcome
        return None


def decide(runner: Runner, program: Program, before: Sequence[Program] = ()) -> tuple[Outcome, bool]:
    """Run *program*; what is undecided again with ten times the patience, if there is time.

    (outcome, whether that was needed)
    """
    outcome = runner.run(program, before=before)
    if outcome.verdict == UNDECIDED and time.monotonic() < runner.until:
        return runner.run(program, patient=True, before=before), True
    return outcome, False


def again(runner: Runner, program: Program, needs: Needs, times: int,
          progress: Callable[[int], None] | None = None) -> int:  # fmt: skip
    """How many of *times* executions show it, each with other canaries."""
    count = 0
    for salt in range(times):
        outcome = runner.run(program, needs.patient, salt, finish=needs.finish, before=needs.before)
        count += needs.fits(outcome)
        if progress is not None:
            progress(salt + 1)
    return count


def audited(runner: Runner, program: Program, needs: Needs) -> Outcome | None:
    """What comes of *program* when our driver is judged, too, if it breaks a rule there: then nobody is accused."""
    runner.audit = True
    try:
        outcome = runner.run(program, before=needs.before)
    except TargetError:  # the find stands, and what is wrong with the target is told by who needs it next
        return None
    finally:
        runner.audit = False
    return outcome if outcome.verdict == OUR_FAULT else None


@dataclass(slots=True)
class Smaller:
    """What shrinking came to: the program and how it failed; *stopped*: interrupted by the user."""

    program: Program
    outcome: Outcome
    executions: int
    seconds: float
    complete: bool
    stopped: bool = False


class _OutOfTimeError(Exception):
    """No more time for shrinking."""


def minimise(runner: Runner, program: Program, outcome: Outcome, needs: Needs, *, budget: int = 0,
             seconds: float = 0.0, progress: Callable[[int, Program], None] | None = None) -> Smaller:  # fmt: skip
    """The smallest program that shows the same. Interrupted: the smallest so far, marked as *stopped*."""
    budget = budget or (1000 if not runner.real else 40 if needs.patient else 300)
    hangs = program.hostile and needs.rule == HUNG  # each candidate that shows it takes half a minute
    seconds = seconds or (300.0 if not runner.real or hangs else 45.0)
    if needs.patient:
        hasty = _Shrinking(runner, program, outcome, replace(needs, patient=False), True, seconds, progress)
        found = hasty.run(5 * budget)
        if found.stopped:
            return replace(found, program=program, outcome=outcome)
        if runner.target.role == "driver":  # the time of the run is for both
            seconds = max(seconds - found.seconds, 0.01)
        shown = needs.seen(runner, found.program)
        if shown is not None:
            return replace(found, outcome=shown)
    return _Shrinking(runner, program, outcome, needs, False, seconds, progress).run(budget)


class _Shrinking:
    """One search for a smaller program; *hasty*: what is undecided after a short wait counts as the same.

    With a hasty search, whoever waited for the whole of every candidate's patience waits once, at its end.
    """

    def __init__(self, runner: Runner, program: Program, outcome: Outcome, needs: Needs, hasty: bool, seconds: float,
                 progress: Callable[[int, Program], None] | None) -> None:  # fmt: skip
        self.runner = runner
        self.needs = needs
        self.hasty = hasty
        self.progress = progress
        self.began = time.monotonic()
        self.deadline = self.began + seconds
        self.best = (program, outcome)
        self.seen = outcome
        self.count = 0
        self.cuts = self._cuts(program)

    def still(self, candidate: Program) -> bool:
        """Whether *candidate* shows it."""
        if time.monotonic() > self.deadline:
            raise _OutOfTimeError
        if not self._cuts(candidate) <= self.cuts or not self._fits(candidate):
            return False
        self.count += 1
        found = self._undecided(candidate) if self.hasty else self.needs.seen(self.runner, candidate)
        if found is None:
            return False
        self.seen = found
        return True

    def _fits(self, program: Program) -> bool:
        """Whether the target has queues so small: a driver that can't be started with them would end the search."""
        limits = self.runner.target.limits
        sizes = limits.split_sizes if program.layout == SPLIT else limits.packed_sizes
        return limits.role != "device" or all(queue.size >= min(sizes) for queue in program.queues)

    def _cuts(self, program: Program) -> set[tuple[str, tuple[int, ...]]]:
        """How requests are cut where any other cut may hide what is looked for: their kinds, and cuts."""
        uncut = self.runner.target.limits.uncut
        supplies = [step for step in program.steps if isinstance(step, Supply) and step.queue in uncut]
        return {(step.request.kind, step.cut) for step in supplies if step.request is not None}

    def _undecided(self, candidate: Program) -> Outcome | None:
        needs = self.needs
        outcome = self.runner.run(candidate, finish=needs.finish, before=needs.before)
        return outcome if outcome.verdict == UNDECIDED or outcome.rule == needs.rule else None

    def told(self, executions: int, smaller: Program) -> None:
        """A smaller program was found."""
        self.best = (smaller, self.seen)
        if self.progress is not None:
            self.progress(executions, smaller)

    def run(self, budget: int) -> Smaller:
        """Search, within *budget* executions and the time that there is."""
        stopped = complete = False
        limits = self.runner.target.limits
        program, outcome = self.best
        try:
            result = shrink(program, self.still, budget, self.told, reached=outcome.reached or None,
                            levers=limits.levers, pulses=limits.pulses)  # fmt: skip
            complete = result.complete
        except KeyboardInterrupt:
            stopped = True
        except (_OutOfTimeError, TargetError):
            pass  # what was reached so far stands
        self.runner.late = ""
        return Smaller(*self.best, self.count, time.monotonic() - self.began, complete, stopped)


__all__ = ["Needs", "Runner", "Smaller", "again", "audited", "decide", "minimise"]
