"""The shrinker: from a program that shows something to the smallest one that still does.

Big jumps first (the end of the program alone, nothing but buffers and notifications, one-byte buffers,
a tiny ring), then steps in halving chunks, then every step and the header for themselves, until nothing
can be made simpler by one move. Its order is fixed and its goal is one measure, so that different finds
of one defect end in the same program. Knows programs. Must not know targets, or what is being shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fuzz.program import (
    Add,
    Call,
    Callbacks,
    Get,
    Kick,
    Lever,
    Levers,
    Notify,
    Program,
    Publish,
    QueueReset,
    Receive,
    Reset,
    Restart,
    Step,
    Supply,
    Suppress,
    Use,
)
from fuzz.simpler import (
    alone,
    calm,
    earlier,
    headers,
    levers_first,
    measure,
    on_queue,
    ones,
    plainest,
    resized,
    simpler,
    smaller_rings,
    tidy,
    tighter,
    values,
)

if TYPE_CHECKING:
    from fuzz.devices import DeviceClass

#: Above so many steps, leaving out several at once is not tried in every place.
_LONG = 24

Still = Callable[[Program], bool]
Progress = Callable[[int, Program], None]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest program found, what it cost, and whether no single move makes it smaller."""

    program: Program
    executions: int
    complete: bool


def shrink(
    program: Program,
    still: Still,
    budget: int = 1000,
    progress: Progress | None = None,
    *,
    reached: int | None = None,
    levers: Levers = (),
    pulses: Levers = (),
) -> Shrunk:
    """Make *program* smaller as long as *still* says that it shows the same thing; at most *budget* executions.

    *progress* is told of each smaller program. *reached*: how many steps had begun when it showed, if known.
    *levers* and *pulses*: those of the target's limits, so that their simplest values can be tried.
    """
    work = _Shrinker(program, still, budget, progress, levers, pulses)
    try:
        work.jumps(reached)
        while work.round():
            pass
    except _SpentError:
        return Shrunk(work.best, work.executions, False)
    return Shrunk(work.best, work.executions, True)


class _SpentError(Exception):
    """The budget is used up."""


class _Shrinker:
    def __init__(
        self, program: Program, still: Still, budget: int, progress: Progress | None, levers: Levers, pulses: Levers
    ) -> None:
        self.best = program
        self.executions = 0
        self._still = still
        self._budget = budget
        self._progress = progress
        self._levers = levers
        self._pulses = pulses
        self._measure = measure(program, levers, pulses)
        self._failed: set[Program] = set()
        self._speaker: DeviceClass | None = None

    def better(self, candidate: Program) -> bool:
        """Take *candidate* if it is smaller and still shows it."""
        candidate = tidy(candidate)
        if candidate in self._failed:
            return False
        size = measure(candidate, self._levers, self._pulses)
        if size >= self._measure:
            return False
        if self.executions >= self._budget:
            raise _SpentError
        self.executions += 1
        if not self._still(candidate):
            self._failed.add(candidate)
            return False
        self.best, self._measure = candidate, size
        if self._progress is not None:
            self._progress(self.executions, candidate)
        return True

    def first(self, candidates: Iterable[Program]) -> bool:
        """Take the first candidate that still shows it."""
        return any(map(self.better, candidates))

    def steps(self, steps: Iterable[Step]) -> bool:
        """Take other steps under the same header."""
        return self.better(replace(self.best, steps=tuple(steps)))

    # --- big jumps, each of which can fail at the price of one execution ---

    def jumps(self, reached: int | None) -> None:
        """What usually halves a program."""
        if reached is not None:
            self.steps(self.best.steps[:reached])
        self._queues()
        self._tail()
        self.steps(map(calm, self._without(Lever, Suppress, Publish, Callbacks, Reset, QueueReset, Restart)))
        self.first(headers(self.best))
        self._plain()
        self.first(smaller_rings(self.best))
        self._kinds()

    def _queues(self) -> None:
        """One queue alone, if there are several."""
        if len({on_queue(step) for step in self.best.steps} - {None}) > 1 or len(self.best.queues) > 1:
            best = self.best
            self.first(alone(best, number) for number in range(len(best.queues)))

    def _tail(self) -> None:
        """The shortest of a few tails of the program, with the levers as they stood where it begins."""
        steps = self.best.steps
        length = 3
        while length < len(steps) * 3 // 4:
            if self.steps((*_standing(steps[:-length], self._pulses), *steps[-length:])):
                return
            length *= 2

    def _without(self, *kinds: type) -> tuple[Step, ...]:
        return tuple(step for step in self.best.steps if not isinstance(step, kinds))

    def _plain(self) -> None:
        """All buffers alike, and as plain as can be; or at least short."""
        steps = self.best.steps
        supplies = [step for step in steps if isinstance(step, Supply | Add)]
        if not supplies:
            return
        for choice in range(len(plainest(supplies[0]))):
            if self.steps(plainest(step)[choice] if isinstance(step, Supply | Add) else step for step in steps):
                return
        self.steps(map(ones, steps))

    def _kinds(self) -> None:
        """All steps of one kind less; of notifications, all but the last."""
        for kind in (Receive, Suppress, Publish, Lever, Callbacks, Call, Kick, Get, Reset, QueueReset, Restart):
            if any(isinstance(step, kind) for step in self.best.steps):
                self.steps(self._without(kind))
        steps = self.best.steps
        notifies = [place for place, step in enumerate(steps) if isinstance(step, Notify)]
        if len(notifies) > 1:
            self.steps(step for place, step in enumerate(steps) if place not in notifies[:-1])

    # --- the rest, until nothing helps any more ---

    def round(self) -> bool:
        """Every kind of move once; whether any of them helped."""
        before = self._measure
        self._chunks()
        self._each()
        self._header()
        self._pairs()
        return self._measure < before

    def _chunks(self) -> None:
        """Leave out stretches of steps, of half the program first and of single steps last."""
        size = max(1, len(self.best.steps) // 2)
        while True:
            end = len(self.best.steps)
            helped = False
            while end > 0:
                start = max(0, end - size)
                steps = self.best.steps
                if self.steps(steps[:start] + steps[end:]):
                    helped = True
                end = start
            if size == 1 and not helped:
                return
            size = max(1, min(size // 2, len(self.best.steps) // 2))

    def _each(self) -> None:
        """Every step as simple as it can be."""
        place = 0
        while place < len(self.best.steps):
            if not self._one(place):
                place += 1

    def _one(self, place: int) -> bool:
        steps = self.best.steps
        step = steps[place]
        others = values(step, self._levers, self._pulses) if isinstance(step, Lever) else simpler(step)
        return any(
            self.steps((*steps[:place], other, *steps[place + 1 :])) for other in others if self._is_spoken(other)
        )

    def _is_spoken(self, step: Step) -> bool:
        """Whether the device class knows a request, with these numbers."""
        if not isinstance(step, Supply) or step.request is None:
            return True
        if self._speaker is None:
            from fuzz.devices import load  # late: most programs name no class

            self._speaker = load(self.best.device, {})
        return self._speaker.words(step.request) is None

    def _header(self) -> None:
        """Features, rings, start."""
        while self.first(headers(self.best)):
            pass
        while self.first(smaller_rings(self.best)):
            pass
        self.first(resized(self.best))
        self.first(tighter(self.best))
        self.better(levers_first(self.best, self._pulses))
        while self.first(earlier(self.best)):
            pass
        self._queues()

    def _pairs(self) -> None:
        """A few steps less at once, where each alone is needed by the others: a buffer and its reception, say."""
        if len(self.best.steps) > _LONG:
            return
        for size in (4, 3, 2):
            end = len(self.best.steps)
            while end >= size:
                steps = self.best.steps
                self.steps(steps[: end - size] + steps[end:])
                end = min(end - 1, len(self.best.steps))
        for second in range(len(self.best.steps) - 1, 0, -1):
            for first in range(second - 1, -1, -1):
                steps = self.best.steps
                if second < len(steps) and _belong(steps[first], steps[second]):
                    self.steps((*steps[:first], *steps[first + 1 : second], *steps[second + 1 :]))


def _belong(first: Step, second: Step) -> bool:
    """Whether leaving out both may keep what follows as it is."""
    if isinstance(first, Lever) and isinstance(second, Lever):
        return first.name == second.name
    if isinstance(first, Add):
        return isinstance(second, Use | Get)
    return isinstance(first, Supply) and isinstance(second, Receive) and first.queue == second.queue


def _standing(steps: tuple[Step, ...], pulses: Levers) -> list[Step]:
    """The levers and suppressions that are in force after *steps*."""
    events = dict(pulses)
    last: dict[tuple[str, int | None], Step] = {}
    for step in steps:
        if isinstance(step, Lever):
            if step.name not in events:
                last[step.name, None] = step
        elif isinstance(step, Suppress):
            last["", step.queue] = step
    return list(last.values())
