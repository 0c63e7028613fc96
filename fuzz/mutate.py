"""Programs from programs: one changed a little, or two joined.

Knows programs, limits, and the directed generator, of which new steps come. Must not know targets, nor why a program is
worth changing. Whatever comes out keeps the limits, and means something on every target.
"""

from __future__ import annotations

from dataclasses import replace

from fuzz import generate
from fuzz.choices import Choices
from fuzz.program import Limits, Notify, Program, Queue, Receive, Reset, Step, Supply
from fuzz.simpler import tidy
from oracles import spec

_LONGEST = 16  # steps taken out, repeated or moved at once


def mutate(program: Program, choices: Choices, limits: Limits) -> Program:
    """*program* with one thing changed."""
    integer = choices.integer
    kind = integer(0, 9)
    if kind < 8:
        steps, tail = _open(program)
        changed = _steps(program, steps, kind, choices, limits)
        return _kept(replace(program, steps=(*changed, *tail)), limits)
    if kind == 8 and not program.hostile:
        sizes = limits.split_sizes if program.layout == spec.SPLIT else limits.packed_sizes
        at = integer(0, len(program.queues) - 1)
        queues = list(program.queues)
        queues[at] = Queue(sizes[integer(0, len(sizes) - 1)], queues[at].start)
        return _kept(replace(program, queues=tuple(queues)), limits)
    bits = [bit for bit in spec.FEATURE_NAMES.values() if bit & limits.features]
    if not bits:
        return program
    return _kept(replace(program, features=program.features ^ bits[integer(0, len(bits) - 1)]), limits)


def cross(a: Program, b: Program, choices: Choices, limits: Limits) -> Program:
    """The beginning of *a* and the end of *b*'s steps, under the header of *a*."""
    if a.role != b.role or a.device != b.device or a.layout != b.layout or a.hostile != b.hostile:
        return a
    first, tail = _open(a)
    second, _ = _open(b)
    queues = len(a.queues)
    end = choices.integer(0, len(first))
    begin = choices.integer(0, len(second))
    steps = [*first[:end], *(step for step in second[begin:] if getattr(step, "queue", 0) < queues)]
    return _kept(replace(a, steps=(*steps[: limits.steps], *tail)), limits)


def _open(program: Program) -> tuple[list[Step], list[Step]]:
    """The steps that may be changed, and those at the end that may not: what must work after hostile ones."""
    steps = list(program.steps)
    if not program.hostile:
        return steps, []
    at = max((place for place, step in enumerate(steps) if isinstance(step, Reset)), default=len(steps))
    return steps[:at], steps[at:]


def _steps(program: Program, steps: list[Step], kind: int, choices: Choices, limits: Limits) -> list[Step]:
    integer = choices.integer
    at = integer(0, max(0, len(steps) - 1))
    count = integer(1, _LONGEST if integer(0, 1) else 2)
    piece = steps[at : at + count]
    if kind < 2:  # out with it
        return steps[:at] + steps[at + count :] if len(piece) < len(steps) else steps
    if kind == 2:  # once more
        return steps[: at + count] + piece + steps[at + count :]
    if kind == 3:  # somewhere else
        rest = steps[:at] + steps[at + count :]
        to = integer(0, len(rest))
        return rest[:to] + piece + rest[to:]
    if kind == 4:  # waited for
        return [*steps[:at], Notify(), Receive(integer(1, 4)), *steps[at:]] if limits.role == "driver" else steps
    fresh = generate.program(choices, replace(limits, layouts=(program.layout,)))
    new = [step for step in fresh.steps if getattr(step, "queue", 0) < len(program.queues)]
    if program.hostile:
        new = [step for step in new if isinstance(step, Supply | Notify | Receive)]
    start = integer(0, max(0, len(new) - 1))
    return steps[:at] + new[start : start + count] + (steps[at:] if integer(0, 1) else steps[at + count :])


def _kept(program: Program, limits: Limits) -> Program:
    """The program as far as the limits go."""
    steps = program.steps
    if not program.hostile:
        steps = steps[: limits.steps]
        if limits.singly:
            steps = tuple(generate.singly(steps))
    return tidy(replace(program, steps=steps))
