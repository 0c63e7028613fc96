"""A program written for no device in particular, as one for a target: the same idea in that device's requests.

The corpus teaches with buffers of any bytes. A disk or a network card needs requests that it understands, so each
buffer becomes one, cut into as many elements as the idea needs; where a request can't be had in so few, rings
and buffers grow together, so that a full ring stays full. Depends on the program and the limits alone: never
looks at a target.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

from fuzz import devices, encoding
from fuzz.choices import Seeded
from fuzz.generate import singly
from fuzz.program import (
    Add,
    Callbacks,
    Get,
    Kick,
    Lever,
    Limits,
    Notify,
    Program,
    Publish,
    Queue,
    QueueReset,
    Receive,
    Request,
    Reset,
    Restart,
    Step,
    Supply,
    Suppress,
    directly,
)
from oracles import spec

_TRIES = 24  # requests drawn, of which the one that fits best is taken
_ACTIONS: dict[type, tuple[str, str]] = {
    Reset: ("reset", "the device can't be reset"),
    QueueReset: ("queue_reset", "queues can't be reset"),
    Restart: ("restart", "queues can't be stopped and started"),
}
_ASKING = (Add, Kick, Get, Callbacks)


class Unfit(Exception):
    """The program can't be had on the target. ``str()`` says what that lacks."""


def adapt(program: Program, limits: Limits, needs: int = -1) -> Program:
    """*program* within *limits*, for their device class. Raises Unfit.

    *needs*: the features without which it would not be the same program; others are left out where there are none.
    """
    if program.hostile:
        raise Unfit("it is hostile")
    if program.role != limits.role:
        raise Unfit(f"it is about {'devices' if program.role == 'driver' else 'drivers'}")
    if "passive" in limits.actions and any(isinstance(step, _ASKING) for step in program.steps):
        raise Unfit("nobody can ask its upper half for anything")
    if limits.role == "device" and not (
        "passive" in limits.actions or any(isinstance(one, Add) for one in program.steps)
    ):
        raise Unfit("it is for drivers that act by themselves")
    program = replace(program, features=program.features & ~(_missing(program, limits) & ~needs))
    _check(program, limits)
    if program.device == limits.device == "any":
        made = replace(program, queues=_sized(program, limits, 1))
    elif program.device == limits.device:
        made = program
    elif program.device == "any":
        made = _Requests(program, limits).program()
    else:
        raise Unfit(f"it is about {program.device} devices")
    known = dict((*limits.levers, *limits.pulses))
    made = replace(made, steps=tuple(step for step in made.steps if not isinstance(step, Lever) or step.name in known))
    return replace(made, steps=tuple(singly(made.steps))) if limits.singly else made


def _missing(program: Program, limits: Limits) -> int:
    """Features of the program that the target lacks."""
    has = limits.features | spec.VERSION_1 | spec.RING_PACKED
    has |= spec.RING_RESET if "queue_reset" in limits.actions else 0
    has |= spec.IN_ORDER if True in limits.in_order else 0
    return program.features & ~has


def _check(program: Program, limits: Limits) -> None:
    """What no adapting can give a target that lacks it."""
    if program.layout not in limits.layouts:
        raise Unfit(f"there are no {program.layout} virtqueues")
    missing = _missing(program, limits)
    if missing:
        raise Unfit(f"{' '.join(spec.feature_names(missing))} is not offered")
    if program.in_order not in limits.in_order:
        raise Unfit("it runs with in_order only")
    known = {type(step) for step in program.steps}
    for kind, (action, name) in _ACTIONS.items():
        if kind in known and action not in limits.actions:
            raise Unfit(name)
    if any(queue.start for queue in program.queues) and "start" not in limits.actions:
        raise Unfit("queues can't start anywhere but at 0")
    for step in program.steps:
        if isinstance(step, Supply) and step.indirect and program.layout == spec.SPLIT and not limits.mixed_indirect:
            raise Unfit("direct descriptors before an indirect one are kept from it (2.7.5.3.2)")


def _sized(program: Program, limits: Limits, factor: int) -> tuple[Queue, ...]:
    """The program's queues, *factor* times as large, in sizes that there are."""
    sizes = limits.split_sizes if program.layout == spec.SPLIT else limits.packed_sizes
    queues = []
    for queue in program.queues:
        size = max(queue.size * factor, min(sizes))
        if program.layout == spec.SPLIT:
            size = 1 << (size - 1).bit_length()  # a power of two (2.7)
        if size > max(sizes):
            raise Unfit(f"there are no queues of {size} entries")
        queues.append(Queue(size, queue.start))
    return tuple(queues)


class _Requests:
    """One program on its way to a device class."""

    def __init__(self, program: Program, limits: Limits) -> None:
        self.source = program
        self.limits = limits
        self.hints = dict(limits.hints)
        self.device = devices.load(limits.device, self.hints)
        self.choices = Seeded(zlib.crc32(encoding.dump(program).encode()))
        self.queue = self._main()

    def _main(self) -> int:
        """The queue that takes the place of the program's: the first whose requests are always answered."""
        if len(self.source.queues) > 1 and len(self.source.queues) != self.limits.queues:
            raise Unfit(f"it is about {len(self.source.queues)} queues")
        for queue in range(self.limits.queues):
            request, _ = self.device.draw(self.choices, queue, self.limits)
            device = devices.load(self.limits.device, self.hints)
            if device.message(request, 0, queue).completes:
                return queue
        return 0

    def program(self) -> Program:
        """The program, each of its buffers a request."""
        source = self.source
        drawn = {at: self._draw(step) for at, step in enumerate(source.steps) if isinstance(step, Supply)}
        factor = max([self._stretch(source.steps[at], request) for at, request in drawn.items()], default=1)
        sized = _sized(source, self.limits, factor)
        queues = sized if len(sized) > 1 else sized * self.limits.queues
        steps = [self._step(step, drawn.get(at), factor) for at, step in enumerate(source.steps)]
        return replace(source, queues=queues, device=self.limits.device, steps=tuple(steps))

    def _number(self, queue: int) -> int:
        return queue if len(self.source.queues) > 1 else self.queue

    def _draw(self, step: Supply) -> Request:
        """The drawn request whose numbers of bytes come nearest to what is wanted."""
        wanted = sum(step.readable), sum(step.writable)
        queue = self._number(step.queue)
        best: tuple[int, Request] | None = None
        for _ in range(_TRIES):
            request, _ = self.device.draw(self.choices, queue, self.limits)
            readable, writable = self._bytes(request, queue)
            worse = bool(wanted[1]) != bool(writable)
            far = (worse << 40) + abs(readable - wanted[0]) + abs(writable - wanted[1])
            if best is None or far < best[0]:
                best = (far, request)
        assert best is not None
        return best[1]

    def _bytes(self, request: Request, queue: int) -> tuple[int, int]:
        message = devices.load(self.limits.device, self.hints).message(request, 0, queue)
        return len(message.readable), message.writable

    def _stretch(self, step: Step, request: Request) -> int:
        """How many times its descriptors a buffer needs, so that the request fits."""
        assert isinstance(step, Supply)
        count = len(step.readable) + len(step.writable)
        if directly(step, count, self.source.layout, self.source.features) < count:
            return 1  # in a table there is room for all
        parts = sum(1 for length in self._bytes(request, self._number(step.queue)) if length)
        return -(-parts // max(count, 1))

    def _step(self, step: Step, request: Request | None, factor: int) -> Step:
        if request is None or not isinstance(step, Supply):
            if isinstance(step, QueueReset):
                return replace(step, size=step.size * factor, queue=self._number(step.queue))
            if isinstance(step, Supply | Publish | Notify | Receive | Suppress | Restart):
                return replace(step, queue=self._number(step.queue))
            return step
        queue = self._number(step.queue)
        count = (len(step.readable) + len(step.writable)) * factor
        whole = queue in self.limits.uncut
        cut = () if whole else _cut(*self._bytes(request, queue), count)
        return Supply((), (), request, cut, step.indirect, step.held, step.gap, None, queue)


def _cut(readable: int, writable: int, count: int) -> tuple[int, ...]:
    """A cut of a request into *count* elements: the first ones one byte each, of the part that has more."""
    parts = (readable > 0) + (writable > 0)
    extra = min(max(count - parts, 0), max(readable, writable, 1) - 1)
    if not extra:
        return ()
    if readable >= writable:
        return (*[1] * extra, 0)
    return (*([0] if readable else []), *[1] * extra, 0)
