"""Any program as one within limits: what a mutation left behind, or what was written for another target.

Where ``fuzz.adapting`` keeps a program's idea or refuses, this keeps what it can of its steps, and never refuses.
What has to be drawn comes from choices that depend on the program alone. Knows programs and limits. Must not know
targets, or what a program is good for.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fuzz import generate, hostile
from fuzz.choices import Seeded
from fuzz.draft import Facts, facts
from fuzz.encoding import dump
from fuzz.program import (
    Add,
    Call,
    Callbacks,
    Get,
    Kick,
    Lever,
    Limits,
    Misuse,
    Notify,
    Poke,
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
    Use,
    Wild,
)
from oracles import spec

#: What a mutated program may cost the executor, in descriptors, apart from a few small buffers.
WORK = 5000
_SMALL = 4  # elements of a buffer that is always let through
_ACTIONS: dict[type, str] = {
    Reset: "reset",
    QueueReset: "queue_reset",
    Restart: "restart",
    Poke: "hostile",
    Wild: "hostile",
    Misuse: "hostile",
}
_OF_DEVICE = (Add, Kick, Get, Callbacks, Use, Call, Misuse, Suppress, Reset, QueueReset, Restart)
_OF_PASSIVE = (
    Callbacks,
    Use,
    Call,
    Suppress,
    Misuse,
)  # of a driver whose upper half can't be asked, nothing else is wanted
_OnQueue = Add | Kick | Get | Callbacks | Use | Call | Misuse | Suppress | QueueReset | Restart
_ASKED = (Add, Kick, Get, Callbacks)


def fit(program: Program, limits: Limits) -> Program:
    """*program* as one within *limits*: the same one if it is, and a new one if it is for the other side."""
    if program.role != limits.role:
        return fit(generate.program(_choices(program), limits), limits)
    return (_Device if limits.role == "device" else _Driver)(program, limits).fitted()


def _choices(program: Program) -> Seeded:
    return Seeded(zlib.crc32(dump(program).encode()))


class _Fitting:
    """One program on its way: first its header, of which the steps depend."""

    def __init__(self, program: Program, limits: Limits) -> None:
        self.program = program
        self.limits = limits
        self.known: Facts = facts(limits)
        self.layout = program.layout if program.layout in limits.layouts else limits.layouts[0]
        in_order = program.in_order if program.in_order in limits.in_order else limits.in_order[0]
        optional = sum(self.known.optional)
        self.features = spec.VERSION_1 | program.features & optional | (spec.IN_ORDER if in_order else 0)
        self.sizes = self.known.sizes[self.layout]
        self.queues = self._queues()
        self.largest = [queue.size for queue in self.queues]

    def _queues(self) -> tuple[Queue, ...]:
        """As many as there may be, in sizes that there are."""
        limits, given = self.limits, self.program.queues
        free = "passive" not in limits.actions if limits.role == "device" else limits.device == "any"
        count = min(len(given), limits.queues) if free else limits.queues
        starts = "start" in limits.actions and self.layout == spec.SPLIT
        wanted = [given[min(number, len(given) - 1)] for number in range(count)]
        return tuple(Queue(self.size(queue.size), queue.start if starts else 0) for queue in wanted)

    def size(self, wanted: int, among: tuple[int, ...] = ()) -> int:
        """The size nearest to the one that is wanted."""
        return min(among or self.sizes, key=lambda size: (abs(size - wanted), size))

    def resized(self, step: QueueReset, queue: int) -> QueueReset:
        """A reset to a size that this queue may take."""
        if not step.size:
            return QueueReset(0, queue)
        return QueueReset(self.size(step.size, self.known.resizes(self.layout, self.queues[queue].size)), queue)

    def made(self, steps: Iterable[Step]) -> Program:
        """The whole."""
        kept = tuple(steps)[: generate.longest(self.limits)]
        program, limits = self.program, self.limits
        return replace(program, layout=self.layout, queues=self.queues, features=self.features, device=limits.device,
                       steps=kept)  # fmt: skip

    def possible(self, step: Step) -> bool:
        """Whether steps of this kind exist within the limits."""
        action = _ACTIONS.get(type(step))
        return action is None or action in self.limits.actions


class _Driver(_Fitting):
    """A program in which we are the driver."""

    def __init__(self, program: Program, limits: Limits) -> None:
        super().__init__(program, limits)
        self.values = {name: frozenset(values) for name, values in (*limits.levers, *limits.pulses)}
        self.share = self.known.share(self.queues, self.layout)
        self.work = WORK + 2 * sum(self.largest)
        self.foreign = program.device != limits.device
        self.drawing: Seeded | None = None

    def fitted(self) -> Program:
        steps: Iterable[Step] = self._steps(self.program.steps)
        if self.limits.singly:
            most = generate.longest(self.limits) // 2
            given = [step for step in self.program.steps if not isinstance(step, Notify | Publish)]
            steps = generate.singly(self._steps(given[:most]))
        made = self.made(steps)
        return hostile.mended(made, self.limits, _choices(made)) if made.hostile else made

    def _steps(self, steps: Iterable[Step]) -> Iterator[Step]:
        """What can be kept, as it can be."""
        for step in steps:
            if isinstance(step, Supply):
                made = self._supply(step)
                if made is not None:
                    yield made
            elif not isinstance(step, _ASKED) and not isinstance(step, Use | Call | Misuse) and self.possible(step):
                yield from self._other(step)

    def _other(self, step: Step) -> Iterator[Step]:
        if isinstance(step, Lever):
            if step.value in self.values.get(step.name, ()):
                yield step
        elif isinstance(step, Wild):
            if step.way in hostile.planes(self.limits):
                yield step
        elif isinstance(step, Receive):
            asleep = step.asleep and "asleep" in self.limits.actions
            yield (
                step
                if asleep == step.asleep and self._has(step.queue)
                else Receive(step.count, asleep, self._queue(step.queue))
            )
        elif isinstance(step, Suppress):
            yield self._suppress(step)
        elif isinstance(step, QueueReset):
            made = self.resized(step, self._queue(step.queue))
            self.largest[made.queue] = max(self.largest[made.queue], made.size)
            yield made
        elif isinstance(step, Publish | Notify | Restart | Poke):
            yield step if self._has(step.queue) else replace(step, queue=self._queue(step.queue))
        else:
            yield step

    def _has(self, queue: int) -> bool:
        return queue < len(self.queues)

    def _queue(self, queue: int) -> int:
        return queue % len(self.queues)

    def _suppress(self, step: Suppress) -> Suppress:
        """Modes that the features have; «junk» only where no driver is bound to keep it at 0 (2.7.7.1)."""
        events = bool(self.features & spec.EVENT_IDX)
        mode = step.mode if step.mode != "event" or events else "enable"
        junk = step.junk and not events and self.layout == spec.SPLIT
        return Suppress(mode, step.ahead if mode == "event" else 0, self._queue(step.queue), junk)

    # -- buffers

    def _supply(self, step: Supply) -> Supply | None:
        """A buffer that the ring can take; None for what costs too much, or is no buffer here."""
        queue = self._queue(step.queue)
        if (step.gap and "gap" not in self.limits.actions) or queue != step.queue:
            step = replace(step, gap=step.gap and "gap" in self.limits.actions, queue=queue)
        device = self.known.device
        if device is None:
            if step.request is not None:
                return None
            step = self._elements(step)
            count = len(step.readable) + len(step.writable)
        else:
            if step.request is None or self.foreign:
                self.drawing = self.drawing or _choices(self.program)
                request, cut = device.draw(self.drawing, queue, self.limits)
                step = replace(step, readable=(), writable=(), request=request, cut=cut, answer=None)
            if step.indirect is not None:
                step = replace(step, indirect=self._direct(step.indirect, self.largest[queue]))
            count = 1 + len(step.cut)
        self.work -= count
        return step if self.work > 0 or count <= _SMALL else None

    def _direct(self, indirect: int, most: int) -> int | None:
        """How many elements may stand before a table, if there may be one."""
        if not self.features & spec.INDIRECT_DESC:
            return None
        return min(indirect, most - 1) if self.layout == spec.SPLIT and self.limits.mixed_indirect else 0

    def _elements(self, step: Supply) -> Supply:
        """As many elements as fit, in as many bytes as are its share."""
        limits, size = self.limits, self.largest[step.queue]
        readable, writable = step.readable, step.writable
        count = len(readable) + len(writable)
        indirect = None if step.indirect is None else self._direct(step.indirect, min(size, count))
        slots = count if indirect is None else indirect + 1
        most = size if indirect is None else min(max(size, limits.longest_table), indirect + slots * self.share)
        if count > most:
            writable = writable[: max(most - len(readable), 0)]
            readable = readable[:most]
            count = most
            indirect = None if indirect is None else min(indirect, count - 1)
        slots = count if indirect is None else indirect + 1
        least = 0 if limits.empty_elements else 1
        length = limits.longest_element
        if sum(readable) + sum(writable) > slots * self.share:
            length = min(length, max(1, slots * self.share // count))
        readable, writable = _between(readable, least, length), _between(writable, least, length)
        room = sum(writable)
        answer = None if step.answer is None or not room else min(step.answer, room)
        return Supply(readable, writable, None, (), indirect, step.held, step.gap, answer, step.queue)


class _Device(_Fitting):
    """A program in which we are the device."""

    def fitted(self) -> Program:
        passive = "passive" in self.limits.actions
        kinds = _OF_PASSIVE if passive else _OF_DEVICE
        return self.made(self._step(step) for step in self.program.steps
                         if isinstance(step, kinds) and self.possible(step))  # fmt: skip

    def _step(self, step: Step) -> Step:
        longest_element, queue = self.limits.longest_element, 0
        if isinstance(step, _OnQueue):
            queue = step.queue % len(self.queues)
            step = step if queue == step.queue else replace(step, queue=queue)
        if isinstance(step, Add):
            return self._add(step)
        if isinstance(step, Use) and step.length is not None and step.length > longest_element:
            return replace(step, length=longest_element)
        if isinstance(step, Suppress):
            ahead = step.ahead if step.mode == "event" else 0
            return Suppress(step.mode, ahead, queue)
        if isinstance(step, QueueReset):
            made = self.resized(step, queue)
            return made if made.size <= self.largest[queue] else QueueReset(0, queue)
        return step

    def _add(self, step: Add) -> Add:
        """At most as many elements as the queue has entries, in a buffer that is not too large."""
        size = self.queues[step.queue].size
        readable, writable = step.readable[:size], step.writable[: max(size - len(step.readable), 0)]
        most = self.limits.longest_element
        if sum(readable) + sum(writable) > most:
            most = max(1, most // (len(readable) + len(writable)))
        return Add(_between(readable, 1, most), _between(writable, 1, most), step.queue)


def _between(lengths: tuple[int, ...], low: int, high: int) -> tuple[int, ...]:
    if not lengths or (min(lengths) >= low and max(lengths) <= high):
        return lengths
    return tuple(min(max(length, low), high) for length in lengths)
