"""Programs from choices: directed, uniform, or every small one there is.

One generator serves a seed, somebody's bytes, Hypothesis and exhaustive enumeration alike: it asks
``Choices.integer`` and nothing else. About a fifth of what it makes is uniform, because a boundary that
nobody thought of is found by the naive generator first. Knows programs and limits. Must not know targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count

from fuzz.choices import Bytes, Choices, Exhaustive, Seeded
from fuzz.device_draws import device_program
from fuzz.draft import facts
from fuzz.phases import directed
from fuzz.program import (
    Lever,
    Limits,
    Notify,
    Program,
    Publish,
    Queue,
    QueueReset,
    Receive,
    Reset,
    Restart,
    Step,
    Supply,
    Suppress,
)
from oracles import spec

__all__ = [
    "Bytes",
    "Choices",
    "Exhaustive",
    "Seeded",
    "exhaustive",
    "longest",
    "nth",
    "plain",
    "program",
    "programs",
    "uniform",
]
_PHASE = 100  # steps that what was begun may still take when there are enough


def longest(limits: Limits) -> int:
    """Most steps of a program within *limits*: a generator finishes what it began at the last but one."""
    return limits.steps + _PHASE


def program(choices: Choices, limits: Limits) -> Program:
    """A program within *limits*: directed four times out of five, else uniform."""
    if limits.role == "device":
        return device_program(choices, limits)
    made = (uniform if choices.integer(0, 4) == 4 else directed)(choices, limits)
    return replace(made, steps=tuple(singly(made.steps))) if limits.singly else made


def singly(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps with a notification behind each buffer, wanted or not, and nowhere else."""
    for step in steps:
        if isinstance(step, Supply):
            yield replace(step, held=False)
            yield Notify(True, step.queue)
        elif not isinstance(step, Notify | Publish):
            yield step


def nth(seed: int, index: int, limits: Limits) -> Program:
    """Program number *index* of *seed*; depends on nothing else, so any of them can be made alone."""
    return program(Seeded(seed << 40 ^ index), limits)


def plain(seed: int, index: int, limits: Limits) -> Program:
    """The same in which nothing is aimed at, for comparison: a uniform program for either side."""
    choices = Seeded(seed << 40 ^ index)
    if limits.role == "device":
        return device_program(choices, limits, uniform=True)
    made = uniform(choices, limits)
    return replace(made, steps=tuple(singly(made.steps))) if limits.singly else made


def programs(seed: int, limits: Limits) -> Iterator[Program]:
    """All programs of *seed*, one after the other, without end."""
    return (nth(seed, index, limits) for index in count())


# --- uniform ---------------------------------------------------------------------------------------------------------


def uniform(choices: Choices, limits: Limits) -> Program:
    """A program in which nothing is aimed at: of each kind of step and each number, all are equally likely."""
    return _Uniform(choices, limits).program()


_STEPS: tuple[type, ...] = (Supply,) * 9 + (Notify,) * 5 + (Receive,) * 5 + (Publish, Suppress, Suppress)
_ACTIONS: dict[str, type] = {"reset": Reset, "queue_reset": QueueReset, "restart": Restart}


class _Uniform:
    """The header of a uniform program, from which its steps are drawn."""

    def __init__(self, choices: Choices, limits: Limits) -> None:
        self.choices = choices
        self.limits = limits
        self.known = facts(limits)
        integer = choices.integer
        self.layout = limits.layouts[integer(0, len(limits.layouts) - 1)]
        in_order = limits.in_order[integer(0, len(limits.in_order) - 1)]
        self.features = spec.VERSION_1 | (spec.IN_ORDER if in_order else 0)
        for bit in self.known.optional:
            self.features |= bit * integer(0, 1)
        self.sizes = self.known.sizes[self.layout]
        count = integer(1, limits.queues) if limits.device == "any" else limits.queues
        last = 0xFFFF if "start" in limits.actions and self.layout == spec.SPLIT else 0
        self.queues = tuple(Queue(self._pick(self.sizes), integer(0, last)) for _ in range(count))
        scale = (1, 16, 128, limits.longest_element)[integer(0, 3)]
        self.longest = min(scale, limits.longest_element, self.known.share(self.queues, self.layout))

    def _pick(self, among: tuple[int, ...]) -> int:
        return among[self.choices.integer(0, len(among) - 1)]

    def program(self) -> Program:
        """Steps as long as there shall be more of them."""
        integer = self.choices.integer
        limits = self.limits
        kinds = [*_STEPS, *(kind for action, kind in _ACTIONS.items() if action in limits.actions)]
        kinds += [Lever for moves in (limits.levers, limits.pulses) if moves]
        steps: list[Step] = []
        stop = integer(0, limits.steps)
        while len(steps) < limits.steps and integer(0, stop):
            number = integer(0, len(self.queues) - 1)
            steps.append(self._step(kinds[integer(0, len(kinds) - 1)], number))
        return Program(self.layout, self.queues, self.features, limits.device, tuple(steps))

    def _step(self, kind: type, number: int) -> Step:
        """One step of *kind* on queue *number*."""
        integer = self.choices.integer
        size = self.queues[number].size
        if kind is Supply:
            return self._supply(number, size)
        if kind is Notify:
            return Notify(integer(0, 3) == 3, number)
        if kind is Receive:
            asleep = "asleep" in self.limits.actions and integer(0, 1) == 1
            return Receive(integer(1, size), asleep, number)
        if kind is Publish:
            return Publish(number)
        if kind is Suppress:
            mode = ("enable", "disable", "event")[integer(0, 2 if self.features & spec.EVENT_IDX else 1)]
            return Suppress(mode, integer(0, size - 1) if mode == "event" else 0, number)
        if kind is QueueReset:
            return QueueReset(self._pick(self.known.resizes(self.layout, size)) * integer(0, 1), number)
        if kind is Restart:
            return Restart(number)
        if kind is Lever:
            moves = (*self.limits.levers, *self.limits.pulses)
            name, values = moves[integer(0, len(moves) - 1)]
            return Lever(name, values[integer(0, len(values) - 1)])
        return Reset()

    def _supply(self, number: int, size: int) -> Supply:
        """Elements of any number and length, as far as ring and memory reach."""
        integer = self.choices.integer
        limits = self.limits
        held = integer(0, 2) == 2
        gap = "gap" in limits.actions and integer(0, 15) == 15
        table = bool(self.features & spec.INDIRECT_DESC) and integer(0, 1) == 1
        device = self.known.device
        if device is not None:
            request, cut = device.draw(self.choices, number, limits)
            return Supply((), (), request, cut, 0 if table else None, held, gap, queue=number)
        elements = integer(1, min(size, 8))
        direct = None
        if table:
            mixes = self.layout == spec.SPLIT and limits.mixed_indirect
            direct = integer(0, elements - 1) if mixes else 0
        most = max(1, self.longest // elements) if table else self.longest
        least = 0 if limits.empty_elements else 1
        lengths = tuple([integer(least, most) for _ in range(elements)])
        readable = integer(0, elements)
        room = sum(lengths[readable:])
        answer = integer(0, room) if room and integer(0, 3) == 3 else None
        return Supply(lengths[:readable], lengths[readable:], None, (), direct, held, gap, answer, number)


# --- exhaustive ------------------------------------------------------------------------------------------------------


def exhaustive(limits: Limits, steps: int, sizes: tuple[int, ...] = (1, 2)) -> Iterator[Program]:
    """Every program of 1..*steps* steps over a small alphabet, on one ring of each of *sizes*.

    Each program ends in a step that can show something (a notification or a receive), and has no step that
    the executor would leave out. Levers stay where they are, and nothing happens on the other side; elements
    are one byte long.
    """
    for choices in Exhaustive().rounds():
        made = _tiny(choices, limits, steps, sizes)
        if made is not None:
            yield made


def _tiny(choices: Choices, limits: Limits, most: int, sizes: tuple[int, ...]) -> Program | None:
    """One path through the tree of small programs; None for those that end in nothing."""
    integer = choices.integer
    layout = limits.layouts[integer(0, len(limits.layouts) - 1)]
    in_order = limits.in_order[integer(0, len(limits.in_order) - 1)]
    size = sizes[integer(0, len(sizes) - 1)]
    features = spec.VERSION_1 | (spec.IN_ORDER if in_order else 0) | limits.features
    supplies = [(step, slots) for step, slots in _TINY if step.indirect is None or features & spec.INDIRECT_DESC]
    steps: list[Step] = []
    waiting: list[int] = []  # slots of each outstanding buffer
    unseen = 0  # buffers that the device wasn't notified of
    while len(steps) < most:
        free = size - sum(waiting)
        options: list[tuple[Step, int]] = [(supply, slots) for supply, slots in supplies if slots <= free]
        if unseen:
            options.append((Notify(), 0))
        if waiting and not unseen:
            options.append((Receive(1), 0))
        options.extend((step, 0) for action, step in _TINY_ACTIONS.items() if action in limits.actions and steps)
        step, slots = options[integer(0, len(options) - 1)]
        steps.append(step)
        if slots:
            waiting.append(slots)
            unseen += 1
        elif isinstance(step, Notify):
            unseen = 0
        elif isinstance(step, Receive):
            waiting.pop(0)
        elif isinstance(step, Reset):
            waiting.clear()
            unseen = 0
        if isinstance(step, Notify | Receive) and len(steps) < most and not integer(0, 1):
            break
    if not isinstance(steps[-1], Notify | Receive):
        return None
    return Program(layout, (Queue(size),), features, "any", tuple(steps))


_TINY: tuple[tuple[Supply, int], ...] = (
    (Supply((1,)), 1),
    (Supply((), (1,)), 1),
    (Supply((1,), (1,)), 2),
    (Supply((1,), (1,), indirect=0), 1),
)
_TINY_ACTIONS: dict[str, Step] = {"reset": Reset(), "restart": Restart()}
