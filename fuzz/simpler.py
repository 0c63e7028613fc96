"""What is simpler than a step, and than a program's header: the alphabet of the shrinker's moves.

Each function lists alternatives, the simplest first. Knows programs. Must not know why a program is
interesting, or how many of the alternatives are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from fuzz import wild
from fuzz.device_simpler import PLAINEST, device_simpler, short, weight
from fuzz.program import (
    Add,
    Lever,
    Levers,
    Notify,
    Poke,
    Program,
    Queue,
    QueueReset,
    Receive,
    Request,
    Reset,
    Restart,
    Step,
    Supply,
    Suppress,
    Wild,
)
from oracles import spec

#: Sizes worth trying, the smallest first; larger ones go down by halves.
_SIZES = {spec.SPLIT: (1, 2, 4, 8, 16), spec.PACKED: (1, 2, 3, 4, 5, 7, 8, 16)}


def measure(program: Program, levers: Levers = (), pulses: Levers = ()) -> tuple[int, ...]:
    """Order of preference: steps, queues, bytes and elements, ring sizes, then what isn't as usual.

    Finer than ``weight``: any move of the shrinker makes it smaller, so shrinking ends.
    """
    ranks = {(name, value): rank for name, known in (*levers, *pulses) for rank, value in enumerate(known)}
    events = dict(pulses)
    numbers = 0
    odd = sum(queue.start for queue in program.queues)
    waiting = 0  # steps since the last notification that a reception could as well stand before
    for place, step in enumerate(program.steps):
        if isinstance(step, Supply):
            waiting += 1
            numbers += _numbers(step)
            odd += step.held + step.gap + (step.answer is not None)
            odd += (0 if step.indirect is None else 1 + step.indirect) + len(step.readable)
        elif isinstance(step, Receive):
            odd += step.count + step.asleep + waiting
        elif isinstance(step, Suppress):
            odd += step.ahead + _MODES.index(step.mode) + waiting
        elif isinstance(step, Notify):
            odd += step.force
            waiting = 0
        elif isinstance(step, QueueReset):
            odd += 1 + step.size
        elif isinstance(step, Restart):
            waiting += 1
        elif isinstance(step, Poke | Wild):
            odd += wild.weight(step)
        elif program.role == "device":
            size, strange = weight(step)
            numbers, odd = numbers + size, odd + strange
        elif isinstance(step, Lever):
            odd += ranks.get((step.name, step.value), 0) + (0 if step.name in events else place)  # levers stand first
    sizes = sum(queue.size for queue in program.queues)
    features = program.features.bit_count()
    # Counters begin at 0, or near to where something happens to them.
    starts = sum(min(queue.start, abs(0x8000 - queue.start), 0x10000 - queue.start) for queue in program.queues)
    starts += sum(queue.start > 0 for queue in program.queues)
    return len(program.steps), len(program.queues), numbers, sizes, starts, features, odd


_MODES = ("enable", "disable", "event")


def _numbers(step: Supply) -> int:
    """Elements and bytes of a buffer; an empty element is odder than one of a byte."""
    lengths = (*step.readable, *step.writable, *step.cut)
    fields = sum(value for _, value in step.request.fields) if step.request is not None else 0
    return 1 + len(lengths) + sum(length or 2 for length in lengths) + fields


def earlier(program: Program) -> Iterator[Program]:
    """One reception or suppression before the supply or restart that it stands behind."""
    steps = program.steps
    for place in range(len(steps) - 1):
        first, second = steps[place : place + 2]
        if isinstance(first, Supply | Restart) and isinstance(second, Receive | Suppress):
            yield replace(program, steps=(*steps[:place], second, first, *steps[place + 2 :]))


def values(step: Lever, levers: Levers, pulses: Levers = ()) -> Iterator[Step]:
    """The same lever or pulse at values that stand before its own; at its first, a lever changes nothing."""
    for least, moves in ((1, levers), (0, pulses)):
        known = dict(moves).get(step.name, ())
        for value in known[least : known.index(step.value)] if step.value in known else ():
            yield Lever(step.name, value)


def calm(step: Step) -> Step:
    """The step without any of its additions."""
    if isinstance(step, Supply) and (step.held or step.gap or step.answer is not None or step.indirect is not None):
        return replace(step, held=False, gap=False, answer=None, indirect=None)
    if isinstance(step, Notify) and step.force:
        return Notify(False, step.queue)
    if isinstance(step, Receive) and step.asleep:
        return Receive(step.count, False, step.queue)
    return step


def plainest(step: Step) -> list[Step]:
    """For a supply, buffers that are as plain as can be; for other steps nothing."""
    if isinstance(step, Add):
        return list(PLAINEST)
    if not isinstance(step, Supply) or step.request is not None:
        return []
    queue = step.queue
    return [Supply((), (1,), queue=queue), Supply((1,), queue=queue), Supply((1,), (1,), queue=queue)]


def ones(step: Step) -> Step:
    """The same elements, each one byte long."""
    if isinstance(step, Supply) and step.request is None:
        writable = (1,) * len(step.writable)
        answer = None if step.answer is None else min(step.answer, len(writable))
        return replace(step, readable=(1,) * len(step.readable), writable=writable, answer=answer)
    return short(step)


def simpler(step: Step) -> Iterator[Step]:
    """Alternatives to one step."""
    if isinstance(step, Supply):
        yield from _simpler_request(step) if step.request is not None else _simpler_supply(step)
    elif isinstance(step, Receive):
        for count in _down(step.count, 1):
            yield Receive(count, False, step.queue)
        if step.asleep:
            yield Receive(step.count, False, step.queue)
            for count in _down(step.count, 1):
                yield Receive(count, True, step.queue)
    elif isinstance(step, Notify):
        if step.force:
            yield Notify(False, step.queue)
    elif isinstance(step, Suppress):
        if step.mode != "enable":
            yield Suppress("enable", 0, step.queue)
        for ahead in _down(step.ahead, 0):
            yield Suppress(step.mode, ahead, step.queue, step.junk)
        if step.junk:
            yield Suppress(step.mode, step.ahead, step.queue)
    elif isinstance(step, QueueReset):
        yield Reset()
        if step.size:
            yield QueueReset(0, step.queue)
    elif isinstance(step, Poke | Wild):
        yield from wild.simpler(step)
    else:
        yield from device_simpler(step)


def _simpler_supply(step: Supply) -> Iterator[Step]:
    """Plain ones; then with the same additions; then single additions less, fewer elements, shorter ones."""
    readable, writable = step.readable, step.writable
    count = len(readable) + len(writable)
    yield from plainest(step)
    if step.answer is not None:
        for room in (1, 2):
            yield Supply((), (1,) * room, answer=room - 1, queue=step.queue)
            yield _with(replace(step, answer=room - 1), (), (room,))
    if step.indirect and count > 3:
        yield replace(step, readable=(), writable=(1, 1), indirect=1, answer=None)
        yield replace(step, readable=(), writable=(1, 1, 1), indirect=1, answer=None)
    for fewer in dict.fromkeys([1, 2, count >> 1, count - 1, count]):
        if 0 < fewer <= count:
            yield _with(step, (), (1,) * fewer)
    yield ones(step)
    if step.held:
        yield replace(step, held=False)
    if step.gap:
        yield replace(step, gap=False)
    if step.indirect is not None:
        yield replace(step, indirect=None)
        for direct in _down(step.indirect, 0):
            yield replace(step, indirect=direct)
    if step.answer is not None:
        yield replace(step, answer=None)
        for answer in _down(step.answer, 0):
            yield replace(step, answer=answer)
    if count > 1:
        for less in (1, count >> 1):
            yield _with(step, readable[:-less], writable) if len(readable) > less else step
            yield _with(step, readable, writable[:-less]) if len(writable) > less else step
    for place, length in enumerate((*readable, *writable)):
        for shorter in _down(length, 1):
            lengths = [*readable, *writable]
            lengths[place] = shorter
            yield _with(step, tuple(lengths[: len(readable)]), tuple(lengths[len(readable) :]))


def _with(step: Supply, readable: tuple[int, ...], writable: tuple[int, ...]) -> Supply:
    """Other elements; the rest of the step as far as it still makes sense."""
    count = len(readable) + len(writable)
    indirect = None if step.indirect is None else min(step.indirect, count - 1)
    answer = None if step.answer is None or not writable else min(step.answer, sum(writable))
    return replace(step, readable=readable, writable=writable, indirect=indirect, answer=answer)


def _simpler_request(step: Supply) -> Iterator[Step]:
    """In one piece, without additions, with smaller numbers."""
    assert step.request is not None
    bare = Supply(request=step.request, queue=step.queue)
    if bare != step:
        yield bare
    for single in (replace(step, cut=()), replace(step, held=False), replace(step, gap=False)):
        if single != step:
            yield single
    if step.indirect is not None:
        yield replace(step, indirect=None)
    fields = step.request.fields
    for place, (name, value) in enumerate(fields):
        for smaller in dict.fromkeys([0, 1, 512, value >> 1 & ~511, value >> 1, value - 1]):
            if 0 <= smaller < value and (smaller < value - 1 or value < 16):
                changed = (*fields[:place], (name, smaller), *fields[place + 1 :])
                yield replace(step, request=Request(step.request.kind, changed))
    if len(step.cut) > 1:
        yield replace(step, cut=step.cut[:-1])
        yield replace(step, cut=step.cut[1:])


def _down(value: int, least: int) -> Iterator[int]:
    """The least, then by halves up to one less: a few tries find a bound that is anywhere."""
    tried = set()
    for smaller in (least, value >> 2, value >> 1, value - 1):
        if least <= smaller < value and smaller not in tried:
            tried.add(smaller)
            yield smaller


def headers(program: Program) -> Iterator[Program]:
    """The same steps under a simpler header: fewer features, counters from 0 or from a smaller number."""
    usual = spec.VERSION_1
    if program.features != usual:
        yield replace(program, features=usual)
        if program.features & ~spec.IN_ORDER != usual:
            yield replace(program, features=usual | program.features & spec.IN_ORDER)
    for bit in spec.FEATURE_NAMES.values():
        if program.features & bit and bit != spec.VERSION_1:
            yield replace(program, features=program.features & ~bit)
    largest = max(queue.start for queue in program.queues)
    if largest:
        below = 1 << largest.bit_length() - 1
        for start in dict.fromkeys([0, 1, 2, 0xFFFF, 0xFFFE, below - 1, below, below + 1]):
            yield replace(
                program, queues=tuple(Queue(queue.size, start if queue.start else 0) for queue in program.queues)
            )


def smaller_rings(program: Program) -> Iterator[Program]:
    """Rings cut down, the smallest first: the steps as they are, or chains and events cut down with them."""
    largest = max(queue.size for queue in program.queues)
    sizes = [size for size in _SIZES[program.layout] if size < largest]
    if largest > 32:
        sizes.append(largest >> 1)
    for size in sizes:
        queues = tuple(Queue(min(size, queue.size), queue.start) for queue in program.queues)
        for scale in (_same, _in_proportion, _from_end):
            steps = tuple(_scaled(step, scale, largest, size) for step in program.steps)
            yield replace(program, queues=queues, steps=steps)


def _same(number: int, old: int, new: int) -> int:
    return number


def _in_proportion(number: int, old: int, new: int) -> int:
    return (2 * number * new + old) // (2 * old)


def _from_end(number: int, old: int, new: int) -> int:
    return max(number - (old - new), 0) if 2 * number > old else number


def _scaled(step: Step, scale: Callable[[int, int, int], int], old: int, new: int) -> Step:
    """The step for a ring of *new* entries instead of *old*."""
    if isinstance(step, Supply) and step.request is None:
        count = len(step.readable) + len(step.writable)
        kept = max(1, scale(count, old, new))
        if kept < count:
            readable = step.readable[: kept - bool(step.writable)]
            return _with(step, readable, step.writable[: kept - len(readable)])
    elif isinstance(step, Suppress) and step.ahead:
        return replace(step, ahead=scale(step.ahead, old, new))
    return step


def tighter(program: Program) -> Iterator[Program]:
    """One entry and one buffer less: what is full then was full before."""
    below = [size for size in _SIZES[program.layout] if size < program.queues[0].size]
    if not below or len(program.queues) > 1:
        return
    queues = (Queue(below[-1], program.queues[0].start),)
    for place, step in enumerate(program.steps):
        if isinstance(step, Supply | Add):
            yield replace(program, queues=queues, steps=program.steps[:place] + program.steps[place + 1 :])


def tidy(program: Program) -> Program:
    """Without the supplies that can't fit their ring at any time: the executor leaves them out anyway."""
    largest = [queue.size for queue in program.queues]
    kept: list[Step] = []
    for step in program.steps:
        if isinstance(step, QueueReset) and step.size:
            largest[step.queue] = max(largest[step.queue], step.size)
        elif isinstance(step, Supply) and step.request is None:
            count = len(step.readable) + len(step.writable)
            if (count if step.indirect is None else step.indirect + 1) > largest[step.queue]:
                continue
        elif isinstance(step, Add) and len(step.readable) + len(step.writable) > largest[0]:
            continue
        kept.append(step)
    return program if len(kept) == len(program.steps) else replace(program, steps=tuple(kept))


def resized(program: Program) -> Iterator[Program]:
    """A queue that has from the beginning the size that a reset gives it."""
    for place, step in enumerate(program.steps):
        if isinstance(step, QueueReset) and step.size and step.queue < len(program.queues):
            queues = list(program.queues)
            queues[step.queue] = Queue(step.size, queues[step.queue].start)
            steps = program.steps[:place] + program.steps[place + 1 :]
            yield replace(program, queues=tuple(queues), steps=steps)


def levers_first(program: Program, pulses: Levers = ()) -> Program:
    """All levers moved before anything else happens."""
    events = dict(pulses)
    levers = [step for step in program.steps if isinstance(step, Lever) and step.name not in events]
    others = [step for step in program.steps if not isinstance(step, Lever) or step.name in events]
    return replace(program, steps=(*levers, *others))


def on_queue(step: Step) -> int | None:
    """The queue that a step is about; None: all of them, or none."""
    return None if isinstance(step, Reset | Lever | Wild) else step.queue


def alone(program: Program, number: int) -> Program:
    """Only what happens on queue *number*; where queues have no roles, it becomes the only one."""
    steps = tuple(step for step in program.steps if on_queue(step) in (None, number))
    if program.device != "any":
        return replace(program, steps=steps)
    return replace(program, queues=(program.queues[number],), steps=tuple(map(_first_queue, steps)))


def _first_queue(step: Step) -> Step:
    return step if isinstance(step, Reset | Lever | Wild) else replace(step, queue=0)
