"""What is simpler than a step that a program has where we are the device: the shrinker's moves among these.

Knows such steps. Must not know why a program is interesting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fuzz.program import CALLBACK_MODES, MISUSES, USE_ORDERS, Add, Call, Callbacks, Get, Misuse, Step, Use

PLAINEST = (Add((), (1,)), Add((1,)), Add((1,), (1,)))


def weight(step: Step) -> tuple[int, int]:
    """(bytes and elements, what isn't as usual): a part of the measure."""
    if isinstance(step, Add):
        lengths = (*step.readable, *step.writable)
        return 1 + len(lengths) + sum(lengths), len(step.readable)
    if isinstance(step, Use):
        odd = step.count + USE_ORDERS.index(step.order) + step.singly + step.junk
        return 0, odd + (0 if step.length is None else 1 + step.length)
    if isinstance(step, Get):
        return 0, step.count + step.asleep
    if isinstance(step, Callbacks):
        return 0, CALLBACK_MODES.index(step.mode)
    if isinstance(step, Call):
        return 0, step.force
    if isinstance(step, Misuse):
        return 0, MISUSES.index(step.what) + step.value
    return 0, 0


def device_simpler(step: Step) -> Iterator[Step]:
    """Alternatives to one step, the simplest first."""
    if isinstance(step, Add):
        yield from _simpler_add(step)
    elif isinstance(step, Use):
        yield Use(step.count, queue=step.queue)
        yield from (replace(step, junk=False), replace(step, singly=False), replace(step, order="oldest"))
        yield from (replace(step, length=None), replace(step, length=0))
        for count in down(step.count):
            yield replace(step, count=count)
    elif isinstance(step, Get):
        yield replace(step, asleep=False)
        for count in down(step.count):
            yield replace(step, count=count)
    elif isinstance(step, Callbacks):
        yield Callbacks(queue=step.queue)
    elif isinstance(step, Call):
        yield Call(queue=step.queue)
    elif isinstance(step, Misuse):
        for value in (0, 1, step.value >> 1):
            yield replace(step, value=value)


def _simpler_add(step: Add) -> Iterator[Step]:
    """Plain ones; then fewer elements, and shorter ones."""
    readable, writable, queue = step.readable, step.writable, step.queue
    count = len(readable) + len(writable)
    yield from (replace(plain, queue=queue) for plain in PLAINEST)
    for fewer in dict.fromkeys([2, count >> 1, count - 1, count]):
        if 0 < fewer <= count:
            yield Add((), (1,) * fewer, queue)
    yield short(step)
    if count > 1:
        if readable:
            yield Add(readable[:-1], writable, queue)
        if writable:
            yield Add(readable, writable[:-1], queue)


def short(step: Step) -> Step:
    """The same elements, each one byte long."""
    if not isinstance(step, Add):
        return step
    return Add((1,) * len(step.readable), (1,) * len(step.writable), step.queue)


def down(value: int) -> Iterator[int]:
    """One, then by halves up to one less."""
    for smaller in dict.fromkeys((1, value >> 1, value - 1)):
        if 0 < smaller < value:
            yield smaller
