"""Hostile programs: a legal one of the directed generator, pokes drawn into it, and a tail that must work.

Each program draws first which kinds of wrong there are in it, so that one does not always hide the other. Everything
comes from ``Choices``. Knows programs, limits and the words of hostile steps. Must not know targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fuzz import generate
from fuzz.choices import Choices, Seeded
from fuzz.draft import facts
from fuzz.program import (
    Lever,
    Limits,
    Notify,
    Poke,
    Program,
    QueueReset,
    Receive,
    Reset,
    Restart,
    Step,
    Supply,
    Wild,
)
from fuzz.simpler import tidy
from fuzz.wild import ADDRESSES, PLACED, POKES, WAYS, values_of
from oracles import spec

MODES = ("legal", "hostile", "mixed")
_STEPS = 40  # of the legal part: what comes late, comes rarely
_ROOM = 64  # bytes of an element in the tail


def nth(seed: int, index: int, limits: Limits) -> Program:
    """Hostile program number *index* of *seed*; depends on nothing else."""
    return program(Seeded(seed << 40 ^ index ^ 1 << 39), widened(limits))


def drawn(mode: str, seed: int, index: int, limits: Limits) -> Program:
    """Program number *index* of *seed* in one of MODES; mixed: every other one is hostile."""
    if not (mode == "hostile" or (mode == "mixed" and index % 2)):
        return generate.nth(seed, index, limits)
    if limits.role == "device":  # as one, it is the used ring that we misuse, at the end of a program
        return generate.nth(seed, index, replace(limits, actions=limits.actions | {"hostile"}))
    return nth(seed, index, limits)


def widened(limits: Limits) -> Limits:
    """Limits with two queues where a program says how many there are: one to poke, and one to see what that does."""
    return replace(limits, queues=max(limits.queues, 2)) if limits.device == "any" else limits


def program(choices: Choices, limits: Limits) -> Program:
    """A hostile program within *limits*."""
    made = generate.program(choices, limits)
    return _Hostile(choices, limits, made).program()


def mended(program: Program, limits: Limits, choices: Choices) -> Program:
    """A program with wild steps anywhere as one that can be judged: one reset, behind them, and plain traffic then."""
    return _Hostile(choices, limits, program).mended()


def planes(limits: Limits) -> tuple[str, ...]:
    """The control plane that there is: queues are stopped and started over vhost-user alone."""
    if limits.device == "any":
        return ()
    return ("say",) if "restart" in limits.actions else ("register",)


class _Hostile:
    """A legal program on its way to be a hostile one."""

    def __init__(self, choices: Choices, limits: Limits, legal: Program) -> None:
        self.choices = choices
        self.integer = choices.integer
        self.limits = limits
        self.legal = legal
        self.split = legal.layout == spec.SPLIT
        kinds = [*POKES, *planes(limits)]
        self.kinds = [kind for kind in kinds if self.integer(0, 2) == 0] or [kinds[self.integer(0, len(kinds) - 1)]]
        self.fields = [field for field in ("addr", "len", "flags", "toggle", "next") if self.integer(0, 1)]

    def program(self) -> Program:
        """The legal steps up to some point, wrong ones among them, and the tail."""
        steps = self._undisturbed(self.legal.steps)[: self.integer(0, _STEPS)]
        for _ in range(self.integer(1, 3)):
            self._spoil(steps)
        steps += self._traffic(self.integer(0, len(self.legal.queues) - 1))
        return self._with_tail(steps)

    def mended(self) -> Program:
        """The steps up to the last reset that wild ones stand before, and the tail: theirs, if it is plain."""
        given = list(self.legal.steps)
        last = max(at for at, step in enumerate(given) if isinstance(step, Poke | Wild))
        resets = [at for at, step in enumerate(given) if isinstance(step, Reset) and at > last]
        if not resets:
            return self._with_tail(self._undisturbed(given))
        tail = self._undisturbed(given[resets[-1] + 1 :])
        return self._with_tail(self._undisturbed(given[: resets[-1]]), tail)

    def _undisturbed(self, steps: Iterable[Step]) -> list[Step]:
        """The steps without resets, and without levers where they are of no use."""
        # One reset alone, the last one: what follows it is plain, so that what is wrong then comes of what was before.
        # What levers hold back, or let fail, may still do so when the buffers that it was meant for never were.
        left_out = (Reset, Restart, QueueReset, *((Lever,) if planes(self.limits) else ()))
        return [step for step in steps if not isinstance(step, left_out)]

    def _with_tail(self, steps: list[Step], tail: Sequence[Step] = ()) -> Program:
        behind: list[Step] = [Reset(), *tail]
        if not any(isinstance(step, Receive) for step in tail):
            for queue in range(len(self.legal.queues)):
                behind += self._traffic(queue)
        made = steps[: max(0, generate.longest(self.limits) - len(behind))] + behind
        return tidy(replace(self.legal, steps=tuple(made)))  # a queue that is not resized may be too small for some

    def _traffic(self, queue: int) -> list[Step]:
        """One plain buffer that makes its way."""
        return [self._plain(queue), Notify(False, queue), Receive(1, False, queue)]

    def _plain(self, queue: int) -> Supply:
        device = facts(self.limits).device
        if device is None:
            return (
                Supply((_ROOM,), (_ROOM,), queue=queue)
                if self.legal.queues[queue].size > 1
                else Supply((), (_ROOM,), queue=queue)
            )
        request, cut = device.draw(self.choices, queue, replace(self.limits, longest_element=512))
        return Supply((), (), request, cut if queue in self.limits.uncut else (), queue=queue)

    def _spoil(self, steps: list[Step]) -> None:
        """Something wrong, somewhere: a buffer that is wrong before it is exposed, or after, or under its eyes."""
        kind = self.kinds[self.integer(0, len(self.kinds) - 1)]
        at = self.integer(0, len(steps))
        if kind in WAYS:
            steps[at:at] = [self._wild(kind) for _ in range(self.integer(1, 3))]
            return
        queue = self.integer(0, len(self.legal.queues) - 1)
        pokes: list[Step] = [self._poke(kind, queue) for _ in range(self.integer(1, 2))]
        kick = Notify(True, queue)
        supply = self._buffer(steps, queue, kind == "table")
        moment = self.integer(0, 7)
        if moment < 5:  # wrong from the beginning
            around = [replace(supply, held=True), *pokes, kick]
        elif moment == 5:  # changed after it was exposed, while a polling device may be looking
            around = [replace(supply, held=False), *pokes, kick]
        elif moment == 6:  # changed while the device works on it
            around = [replace(supply, held=False), kick, *pokes]
        else:
            around = [*pokes, kick]
        steps[at:at] = [*around, Receive(1, False, queue)]

    def _buffer(self, steps: list[Step], queue: int, table: bool) -> Supply:
        """A buffer of this queue as the program has others, or a plain one."""
        known = [step for step in steps if isinstance(step, Supply) and step.queue == queue]
        supply = known[self.integer(0, len(known) - 1)] if known and self.integer(0, 3) else self._plain(queue)
        if table or (self.legal.features & spec.INDIRECT_DESC and self.integer(0, 3) == 0):
            supply = replace(supply, indirect=0)
        if self.integer(0, 3) == 0 and supply.request is None and self.legal.queues[queue].size > 3:
            whole = None if supply.indirect is None else 0
            supply = replace(supply, readable=(8, 8), writable=(8, 8), answer=None, indirect=whole)
        return replace(supply, gap=False)

    def _poke(self, what: str, queue: int) -> Poke:
        fields = POKES[what]
        values: dict[str, int] = {}
        address = ""
        names = [name for name in fields if what not in PLACED or name in self.fields]
        if what in PLACED:
            names += ["addr"] * ("addr" in self.fields or not names)
        for _ in range(self.integer(1, 2)):
            name = names[self.integer(0, len(names) - 1)]
            if name == "addr":
                address = ADDRESSES[self.integer(0, len(ADDRESSES) - 1)]
            else:
                values[name] = self._value(name, fields[name], queue)
        place = (0, 0, 1, self.integer(0, 15))[self.integer(0, 3)] if what in PLACED else 0
        kept = tuple((name, values[name]) for name in fields if name in values)
        return Poke(what, place, address, kept, queue)

    def _value(self, name: str, bits: int, queue: int) -> int:
        """One of those worth trying mostly; around the ring's size; or any."""
        known = values_of(name, bits)
        kind = self.integer(0, 9)
        size = self.legal.queues[queue].size
        mask = (1 << bits) - 1
        if kind < 7:
            return known[self.integer(0, len(known) - 1)]
        if kind < 9:
            return max(0, size - 1 + self.integer(0, 2)) & mask
        return self.integer(0, mask)

    def _wild(self, way: str) -> Wild:
        names = list(WAYS[way])
        name = names[self.integer(0, len(names) - 1)]
        fields = WAYS[way][name]
        own = [field for field in fields if field not in ("fds", "fd", "size", "short", "flags")] or list(fields)
        values: dict[str, int] = {}
        for field in own:
            values[field] = self._wild_value(field, fields[field])
        if way == "say" and self.integer(0, 2) == 0:
            other = list(fields)[self.integer(0, len(fields) - 1)]
            values[other] = self._wild_value(other, fields[other])
        return Wild(way, name, tuple((field, values[field]) for field in fields if field in values))

    def _wild_value(self, field: str, bits: int) -> int:
        known = values_of(field, bits)
        if field == "queue" and self.integer(0, 1):
            return 0
        return known[self.integer(0, len(known) - 1)]
