"""One step, and one that differs a little from it: in a length, a count, an order, a mode, a flag, or its queue.

Knows the steps and what may be drawn for them. Must not know what stands before or behind a step; what doesn't fit
there, ``fuzz.fitting`` makes fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fuzz import wild
from fuzz.choices import Choices
from fuzz.draft import facts
from fuzz.program import (
    CALLBACK_MODES,
    MISUSES,
    USE_ORDERS,
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
    QueueReset,
    Receive,
    Request,
    Reset,
    Restart,
    Step,
    Supply,
    Suppress,
    Use,
    Wild,
)
from fuzz.shapes import LENGTHS
from fuzz.words import MAX_BUFFER
from oracles import spec

_MODES = ("enable", "disable", "event")
Lengths = tuple[int, ...]
_OnQueue = (
    Supply
    | Publish
    | Notify
    | Receive
    | Suppress
    | QueueReset
    | Restart
    | Add
    | Kick
    | Get
    | Callbacks
    | Use
    | Call
    | Misuse
)


class Tweaks:
    """Small changes to steps, within the limits of one kind of target."""

    def __init__(self, choices: Choices, limits: Limits) -> None:
        self.choices = choices
        self.integer = choices.integer
        self.limits = limits

    def step(self, step: Step, program: Program) -> Step:
        """Something like *step*; it stands in *program*. The same, if there is nothing like it."""
        tweak = _TWEAKS.get(type(step))
        return step if tweak is None else tweak(self, step, program)

    # -- numbers

    def number(self, now: int, low: int, high: int) -> int:
        """Another number in low..high: near to the one that it was, double or half, at an end, or any."""
        kind = self.integer(0, 7)
        made = (now - 1, now + 1, now * 2, now // 2, low, high, self.integer(low, high), now + self.integer(-8, 8))
        return min(max(made[kind], low), high)

    def other(self, now: str, among: tuple[str, ...]) -> str:
        """Another word."""
        others = [word for word in among if word != now]
        return others[self.integer(0, len(others) - 1)] if others else now

    def queue(self, step: _OnQueue, program: Program) -> Step:
        """The same on another queue, where queues have no roles."""
        if len(program.queues) < 2 or program.device != "any":
            return step
        return replace(step, queue=self.integer(0, len(program.queues) - 1))

    def _lengths(self, readable: Lengths, writable: Lengths) -> tuple[Lengths, Lengths]:
        """Elements of which one is longer or shorter, new, gone, or on the other side."""
        integer = self.integer
        count = len(readable) + len(writable)
        kind = integer(0, 5)
        if kind == 0 and count > 1:
            at = integer(0, count - 1)
            lengths = (*readable, *writable)
            border = len(readable) - (at < len(readable))
            lengths = (*lengths[:at], *lengths[at + 1 :])
        elif kind == 1:
            times = integer(1, (1, 1, 4, 16)[integer(0, 3)])
            side = integer(0, 1)
            border = len(readable) + (times if side else 0)
            new = (self._length(),) * times
            lengths = (*new, *readable, *writable) if side else (*readable, *writable, *new)
        elif kind == 2:
            lengths, border = (*readable, *writable), integer(0, count)
        elif kind == 3:
            lengths, border = (1,) * count, len(readable)
        else:
            at = integer(0, count - 1)
            lengths, border = (*readable, *writable), len(readable)
            changed = self.number(lengths[at], 0, self.limits.longest_element) if kind == 4 else self._length()
            lengths = (*lengths[:at], changed, *lengths[at + 1 :])
        return lengths[:border], lengths[border:]

    def _length(self) -> int:
        return min(LENGTHS[self.integer(0, len(LENGTHS) - 1)], self.limits.longest_element)

    # -- steps of a driver

    def supply(self, step: Supply, program: Program) -> Step:
        """Another buffer."""
        integer = self.integer
        kind = integer(0, 9)
        if kind == 0:
            return replace(step, held=not step.held)
        if kind == 1 and "gap" in self.limits.actions:
            return replace(step, gap=not step.gap)
        if kind < 4:
            return replace(step, indirect=(None, 0, integer(0, 3))[integer(0, 2)])
        if step.request is not None:
            return self._request(step, step.request)
        if kind == 4 and step.writable:
            room = sum(step.writable)
            answers = (None, 0, 1, room >> 1, max(room - 1, 0), integer(0, room))
            return replace(step, answer=answers[integer(0, 5)])
        if kind == 5:
            return self.queue(step, program)
        readable, writable = self._lengths(step.readable, step.writable)
        total = sum(readable) + sum(writable)
        return step if total > MAX_BUFFER else replace(step, readable=readable, writable=writable)

    def _request(self, step: Supply, request: Request) -> Supply:
        """Another request, or the same in other pieces."""
        device = facts(self.limits).device
        if device is None:
            return step
        drawn, cut = device.draw(self.choices, step.queue, self.limits)
        if self.integer(0, 2) or step.queue in self.limits.uncut:
            return replace(step, request=drawn, cut=cut)
        return replace(step, request=request, cut=cut)

    def notify(self, step: Notify, program: Program) -> Step:
        """Forced, or not; or another queue's."""
        return self.queue(step, program) if self.integer(0, 1) else Notify(not step.force, step.queue)

    def receive(self, step: Receive, program: Program) -> Step:
        """Another count, up to one more than a ring has; or in another way."""
        kind = self.integer(0, 3)
        if kind == 0 and "asleep" in self.limits.actions:
            return replace(step, asleep=not step.asleep)
        if kind == 1:
            return self.queue(step, program)
        size = _size(program, step.queue)
        return replace(step, count=self.number(step.count, 1, max(step.count, size + 1)))

    def suppress(self, step: Suppress, program: Program) -> Step:
        """Another word."""
        kind = self.integer(0, 3)
        if kind == 0:
            return self.queue(step, program)
        if kind == 1 and self.limits.role == "driver":
            return replace(step, junk=not step.junk)
        if kind == 2 and step.mode == "event":
            size = program.queues[min(step.queue, len(program.queues) - 1)].size
            return replace(step, ahead=self.number(step.ahead, 0, min(2 * size, 0xFFFF)))
        events = program.features & spec.EVENT_IDX or self.limits.role == "device"
        return replace(step, mode=self.other(step.mode, _MODES if events else _MODES[:2]))

    def queue_reset(self, step: QueueReset, program: Program) -> Step:
        """To another size, or of another queue."""
        if self.integer(0, 1):
            return self.queue(step, program)
        sizes = (0, *facts(self.limits).sizes[program.layout])
        return replace(step, size=sizes[self.integer(0, len(sizes) - 1)])

    def lever(self, step: Lever, program: Program) -> Step:
        """Another value, or another lever."""
        moves = (*self.limits.levers, *self.limits.pulses)
        values = dict(moves).get(step.name, ())
        if values and self.integer(0, 1):
            return Lever(step.name, values[self.integer(0, len(values) - 1)])
        if not moves:
            return step
        name, values = moves[self.integer(0, len(moves) - 1)]
        return Lever(name, values[self.integer(0, len(values) - 1)])

    def wrong(self, step: Poke | Wild, program: Program) -> Step:
        """Another value in one of the fields of a wild step; or another place, or address."""
        integer = self.integer
        if isinstance(step, Poke) and step.what in wild.PLACED and not integer(0, 2):
            addresses = ("", *wild.ADDRESSES)
            return (
                replace(step, place=integer(0, 15))
                if integer(0, 1)
                else replace(step, address=addresses[integer(0, len(addresses) - 1)])
            )
        fields = wild.fields_of(step)
        names = list(fields)
        name = names[integer(0, len(names) - 1)]
        known = wild.values_of(name, fields[name])
        mask = (1 << fields[name]) - 1
        value = known[integer(0, len(known) - 1)] if integer(0, 3) else integer(0, mask)
        return wild.tidied(
            replace(step, values=(*((key, old) for key, old in step.values if key != name), (name, value)))
        )

    # -- steps of a device

    def add(self, step: Add, program: Program) -> Step:
        """Another buffer."""
        readable, writable = self._lengths(step.readable, step.writable)
        return Add(tuple(length or 1 for length in readable), tuple(length or 1 for length in writable), step.queue)

    def get(self, step: Get, program: Program) -> Step:
        """Another count; or asleep, or not."""
        if self.integer(0, 1):
            return replace(step, asleep=not step.asleep)
        return replace(step, count=self.number(step.count, 1, max(step.count, _size(program, step.queue) + 1)))

    def use(self, step: Use, program: Program) -> Step:
        """Another batch, or the same in another way."""
        integer = self.integer
        kind = integer(0, 4)
        if kind == 0:
            return replace(step, order=self.other(step.order, USE_ORDERS))
        if kind == 1:
            return replace(step, singly=not step.singly)
        if kind == 2:
            return replace(step, junk=not step.junk)
        if kind == 3:
            most = self.limits.longest_element
            return replace(step, length=(None, 0, 1, integer(0, most), most)[integer(0, 4)])
        return replace(step, count=self.number(step.count, 1, max(step.count, _size(program, step.queue))))

    def misuse(self, step: Misuse, program: Program) -> Step:
        """Another one."""
        if self.integer(0, 1):
            return replace(step, what=self.other(step.what, MISUSES))
        return replace(step, value=self.number(step.value, 0, 0xFFFF))

    def callbacks(self, step: Callbacks, program: Program) -> Step:
        """In another mode."""
        return replace(step, mode=self.other(step.mode, CALLBACK_MODES))

    def call(self, step: Call, program: Program) -> Step:
        """Forced, or not; or another queue's."""
        return self.queue(step, program) if self.integer(0, 3) == 0 else replace(step, force=not step.force)


def _size(program: Program, queue: int) -> int:
    return program.queues[queue].size if queue < len(program.queues) else 1


#: What a step becomes. Those with nothing to change but their queue, and those with nothing at all, become a
#: neighbour among steps: what they do, done by another.
_TWEAKS: dict[type, Callable[..., Step]] = {
    Supply: Tweaks.supply,
    Notify: Tweaks.notify,
    Publish: lambda tweaks, step, program: Notify(False, step.queue),
    Receive: Tweaks.receive,
    Suppress: Tweaks.suppress,
    Reset: lambda tweaks, step, program: QueueReset(),
    QueueReset: Tweaks.queue_reset,
    Restart: Tweaks.queue,
    Lever: Tweaks.lever,
    Poke: Tweaks.wrong,
    Wild: Tweaks.wrong,
    Add: Tweaks.add,
    Get: Tweaks.get,
    Callbacks: Tweaks.callbacks,
    Use: Tweaks.use,
    Call: Tweaks.call,
    Kick: Tweaks.queue,
    Misuse: Tweaks.misuse,
}
