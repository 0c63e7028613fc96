"""Programs made of programs: what a fuzzer that keeps what was interesting changes in it, and how it joins two.

Runs of steps are dropped, repeated, moved, swapped, and put in from elsewhere; numbers, orders, modes and flags of
single steps change, and so do layout, sizes, features and starts. Whatever comes of that is made to fit, so that the
result is always a program within the limits. Everything comes from ``Choices``. Knows programs and limits. Must not
know targets, or why a program is interesting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from fuzz import generate, hostile
from fuzz.choices import Choices
from fuzz.draft import facts
from fuzz.fitting import fit
from fuzz.program import Limits, Program, Queue, Step
from fuzz.tweaks import Tweaks
from oracles import spec

__all__ = ["cross", "fit", "mutate"]

_MOST = 4  # moves of one mutation
_TRIES = 8  # until something has changed
_DONOR = 12  # steps, about, of a program from which a run is taken


def mutate(program: Program, choices: Choices, limits: Limits) -> Program:
    """*program* with one to four changes, within *limits*; the same only if nothing of it can be changed."""
    made = program = fit(program, limits)
    for _ in range(_TRIES):
        mutant = _Mutant(program, choices, limits)
        for _ in range(choices.integer(1, _MOST)):
            mutant.move()
        made = fit(mutant.program(), limits)
        if made != program:
            break
    return made


def cross(a: Program, b: Program, choices: Choices, limits: Limits) -> Program:
    """Steps of *a* and of *b* behind or inside each other, with the header of *a*, within *limits*."""
    a, b = fit(a, limits), fit(b, limits)
    integer = choices.integer
    first, second = a.steps, b.steps
    at = integer(0, len(first))
    start = integer(0, len(second))
    if integer(0, 1):  # the beginning of one, and the end of the other
        steps = first[:at] + second[start:]
    else:  # a run of one instead of a run of the other
        end = integer(start, len(second))
        steps = first[:at] + second[start:end] + first[integer(at, len(first)) :]
    return fit(replace(a, steps=steps), limits)


@lru_cache(64)
def _short(limits: Limits) -> Limits:
    return replace(limits, steps=min(_DONOR, limits.steps))


class _Mutant:
    """One program while it is changed."""

    def __init__(self, program: Program, choices: Choices, limits: Limits) -> None:
        self.choices = choices
        self.integer = choices.integer
        self.limits = limits
        self.header = program
        self.steps = list(program.steps)
        self.tweaks = Tweaks(choices, limits)

    def program(self) -> Program:
        """What came of it."""
        return replace(self.header, steps=tuple(self.steps))

    def move(self) -> None:
        """One change: of a step in half of them, of their order or number mostly else, of the header rarely."""
        kind = self.integer(0, 15)
        if not self.steps and kind < 13:
            self.put_in()
        elif kind < 6:
            self.tweak()
        elif kind < 13:
            (self.drop, self.repeat, self.shift, self.swap, self.put_in, self.put_in, self.replace)[kind - 6]()
        else:
            changes = self._header_changes()
            changes[self.integer(0, len(changes) - 1)]()

    # -- runs of steps

    def run(self) -> tuple[int, int]:
        """A run of steps, as [start, end): one, a few, or any."""
        count = len(self.steps)
        start = self.integer(0, count - 1)
        most = (1, 1, 4, count)[self.integer(0, 3)]
        return start, min(count, start + self.integer(1, most))

    def drop(self) -> None:
        """Without a run."""
        start, end = self.run()
        del self.steps[start:end]

    def repeat(self) -> None:
        """A run several times: as often as it takes to fill a ring, at most."""
        start, end = self.run()
        size = max(queue.size for queue in self.header.queues)
        times = self.integer(1, (1, 2, 8, size)[self.integer(0, 3)])
        self.steps[end:end] = self.steps[start:end] * min(times, self.limits.steps)

    def shift(self) -> None:
        """A run elsewhere."""
        start, end = self.run()
        moved = self.steps[start:end]
        del self.steps[start:end]
        at = self.integer(0, len(self.steps))
        self.steps[at:at] = moved

    def swap(self) -> None:
        """Two runs, each in the place of the other; mostly neighbours."""
        start, end = self.run()
        if self.integer(0, 2) or end >= len(self.steps):
            after = min(len(self.steps), end + self.integer(1, 2))
            self.steps[start:after] = self.steps[end:after] + self.steps[start:end]
            return
        other = self.integer(end, len(self.steps) - 1)
        self.steps[start:end], self.steps[other : other + 1] = self.steps[other : other + 1], self.steps[start:end]

    def put_in(self) -> None:
        """A run of another program."""
        at = self.integer(0, len(self.steps))
        self.steps[at:at] = self._donated()

    def replace(self) -> None:
        """A run of another program in the place of one."""
        start, end = self.run()
        self.steps[start:end] = self._donated()

    def _donated(self) -> list[Step]:
        """A run of a new program for the same kind of target; directed or uniform, so that all steps exist in it."""
        limits = _short(self.limits)
        if "hostile" in limits.actions and limits.role == "driver" and self.integer(0, 1):
            donor = hostile.program(self.choices, limits)
        elif limits.role == "driver" and self.integer(0, 1):
            donor = generate.uniform(self.choices, limits)
        else:
            donor = generate.program(self.choices, limits)
        count = len(donor.steps)
        if not count:
            return []
        start = self.integer(0, count - 1)
        return list(donor.steps[start : start + self.integer(1, (1, 2, 4, count)[self.integer(0, 3)])])

    # -- one step

    def tweak(self) -> None:
        """One step differs a little."""
        at = self.integer(0, len(self.steps) - 1)
        self.steps[at] = self.tweaks.step(self.steps[at], self.header)

    # -- the header

    def _header_changes(self) -> list[Callable[[], None]]:
        limits = self.limits
        changes: list[Callable[[], None]] = [self._size, self._feature]
        changes += [self._layout] if len(limits.layouts) > 1 else []
        changes += [self._start] if "start" in limits.actions and self.header.layout == spec.SPLIT else []
        changes += [self._count] if limits.queues > 1 and limits.device == "any" else []
        return changes

    def _size(self) -> None:
        """Another size: the next one, or any."""
        sizes = sorted(facts(self.limits).sizes[self.header.layout])
        number = self.integer(0, len(self.header.queues) - 1)
        queue = self.header.queues[number]
        way = self.integer(0, 3)
        if way < 2 and queue.size in sizes:
            at = sizes.index(queue.size) + (1 if way else -1)
            size = sizes[min(max(at, 0), len(sizes) - 1)]
        else:
            size = sizes[self.integer(0, len(sizes) - 1)]
        self._set(number, Queue(size, queue.start))

    def _set(self, number: int, queue: Queue) -> None:
        queues = self.header.queues
        self.header = replace(self.header, queues=(*queues[:number], queue, *queues[number + 1 :]))

    def _feature(self) -> None:
        """One feature more, or less."""
        optional = facts(self.limits).optional
        bits = [*optional, *([spec.IN_ORDER] if len(self.limits.in_order) > 1 else [])]
        if bits:
            bit = bits[self.integer(0, len(bits) - 1)]
            self.header = replace(self.header, features=self.header.features ^ bit)

    def _layout(self) -> None:
        """The other layout."""
        layouts = [layout for layout in self.limits.layouts if layout != self.header.layout]
        self.header = replace(self.header, layout=layouts[self.integer(0, len(layouts) - 1)])

    def _start(self) -> None:
        """Position counters that begin shortly before they wrap or change sign, somewhat later, or at 0."""
        number = self.integer(0, len(self.header.queues) - 1)
        queue = self.header.queues[number]
        before = self.integer(0, min(2 * queue.size, 20))
        start = (0, -before, 0x8000 - before, queue.start + before, self.integer(0, 0xFFFF))[self.integer(0, 4)]
        self._set(number, Queue(queue.size, start & 0xFFFF))

    def _count(self) -> None:
        """A queue more, or less."""
        queues = self.header.queues
        if self.integer(0, 1) and len(queues) < self.limits.queues:
            self.header = replace(self.header, queues=(*queues, queues[self.integer(0, len(queues) - 1)]))
        elif len(queues) > 1:
            self.header = replace(self.header, queues=queues[:-1])
