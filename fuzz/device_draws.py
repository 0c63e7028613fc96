"""Programs in which we are the device: directed, or uniform.

Aimed at: batches of every length, over the ring's end and exactly to it; full rings; batches of which the driver has
taken back a half when something happens; drivers that sleep until they are notified; resets. The estimate of what is
in the ring is as if the driver took every buffer that it has room for, each element a descriptor. Knows programs and
limits. Must not know targets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from fuzz.choices import Choices
from fuzz.program import (
    CALLBACK_MODES,
    MISUSES,
    USE_ORDERS,
    Add,
    Call,
    Callbacks,
    Get,
    Kick,
    Limits,
    Misuse,
    Program,
    Queue,
    QueueReset,
    Reset,
    Restart,
    Step,
    Suppress,
    Use,
)
from oracles import spec

Shape = tuple[tuple[int, ...], tuple[int, ...]]
_MODES = ("enable", "disable", "event")


def device_program(choices: Choices, limits: Limits, uniform: bool = False) -> Program:
    """A program within *limits*: directed four times out of five, else uniform; or always *uniform*."""
    return _Draft(choices, limits).program(uniform=choices.integer(0, 4) == 4 or uniform)


class _Draft:
    """A program in the making."""

    def __init__(self, choices: Choices, limits: Limits) -> None:
        self.integer = integer = choices.integer
        self.limits = limits
        self.layout = limits.layouts[integer(0, len(limits.layouts) - 1)]
        self.in_order = limits.in_order[integer(0, len(limits.in_order) - 1)]
        self.features = spec.VERSION_1 | (spec.IN_ORDER if self.in_order else 0)
        for bit in (spec.INDIRECT_DESC, spec.EVENT_IDX):
            self.features |= bit * integer(0, 1) if limits.features & bit else 0
        if "queue_reset" in limits.actions:
            self.features |= spec.RING_RESET * integer(0, 1)
        self.size = self._size()
        self.steps: list[Step] = []
        self.free = self.size
        self.exposed: deque[int] = deque()  # descriptors of each buffer that is available
        self.back: deque[int] = deque()  # of each that was used and not taken back
        self.position = 0  # of the buffer used next
        self.palette = [self._shape() for _ in range(integer(1, 3))]

    def _size(self) -> int:
        sizes = self.limits.split_sizes if self.layout == spec.SPLIT else self.limits.packed_sizes
        small = [size for size in sizes if size <= 8] or list(sizes)
        among = small if self.integer(0, 3) else list(sizes)
        return among[self.integer(0, len(among) - 1)]

    def _shape(self) -> Shape:
        """Element lengths of a buffer: mostly one or two, sometimes as many as fit."""
        integer, size = self.integer, self.size
        count = min((1, 1, 2, 2, 3, size)[integer(0, 5)], size, 16)
        readable = integer(0, count)
        most = (1, 8, 64, self.limits.longest_element)[integer(0, 3)]
        lengths = tuple(integer(1, max(1, most // count)) for _ in range(count))
        return lengths[:readable], lengths[readable:]

    def slots(self, shape: Shape) -> int:
        """Descriptors that it takes, if the driver uses tables when it can."""
        count = len(shape[0]) + len(shape[1])
        return 1 if self.features & spec.INDIRECT_DESC else count

    def program(self, uniform: bool) -> Program:
        """Steps as long as there shall be more of them."""
        integer, limits = self.integer, self.limits
        stop = integer(0, limits.steps)
        phases = self._phases()
        if not uniform and integer(0, 1):
            self.steps.append(Callbacks("on"))
        while len(self.steps) < limits.steps and integer(0, max(1, stop // 4)):
            if uniform:
                self.steps.append(self._any())
            else:
                phases[integer(0, len(phases) - 1)]()
        if "hostile" in limits.actions and not integer(0, 3):
            self._hostile()
        steps = tuple(self.steps[: limits.steps])
        return Program(self.layout, (Queue(self.size),), self.features, "any", steps, "device")

    def _phases(self) -> list[Callable[[], None]]:
        actions = self.limits.actions
        phases = [
            self.one_round,
            self.full,
            self.full,
            self.to_the_end,
            self.sleepy,
            self.sleepy,
            self.half,
            self.words,
        ]
        phases += [self.again] if actions & {"reset", "queue_reset"} else []
        phases += [self.stop] if "restart" in actions else []
        return phases if "passive" not in actions else [self.served, self.served, self.words]

    # -- pieces

    def add(self, shape: Shape) -> bool:
        """One buffer, if there is room."""
        slots = self.slots(shape)
        if slots > self.free:
            return False
        self.steps.append(Add(*shape))
        self.free -= slots
        self.exposed.append(slots)
        return True

    def fill(self, most: int) -> None:
        """So many buffers, or as many as fit; then a kick."""
        for _ in range(most):
            shape = self.palette[self.integer(0, len(self.palette) - 1)]
            if not self.add(shape):
                break
        self.steps.append(Kick())

    def use(self, count: int) -> None:
        """A batch."""
        integer = self.integer
        count = min(count, len(self.exposed))
        if not count:
            return
        length = None if integer(0, 2) else (0, 1, integer(0, self.limits.longest_element))[integer(0, 2)]
        order = "oldest" if self.in_order or integer(0, 2) else USE_ORDERS[integer(0, 2)]
        self.steps.append(Use(count, length, order, not integer(0, 3), not integer(0, 2)))
        for _ in range(count):
            slots = self.exposed.popleft()
            self.position = (self.position + slots) % self.size
            self.back.append(slots)
        if integer(0, 3):
            self.steps.append(Call(not integer(0, 7)))

    def get(self, count: int, asleep: bool = False) -> None:
        """Take back."""
        self.steps.append(Get(count, asleep))
        for _ in range(min(count, len(self.back))):
            self.free += self.back.popleft()

    # -- phases

    def one_round(self) -> None:
        """Some buffers there and back."""
        integer = self.integer
        self.fill(integer(1, min(self.size, 6)))
        self.use(integer(1, max(1, len(self.exposed))))
        self.get(integer(1, max(1, len(self.back))))

    def full(self) -> None:
        """The ring full, used in one batch or in two, and empty again."""
        self.fill(self.size)
        if self.integer(0, 1):
            self.steps.append(Add(*self.palette[0]))  # refused
        if self.integer(0, 1):
            self.use(self.integer(1, max(1, len(self.exposed))))
        self.use(len(self.exposed))
        self.get(self.size)

    def to_the_end(self) -> None:
        """Single buffers up to just before the ring's end, then a batch over it, or exactly to it."""
        left = self.size - self.position
        target = max(0, left - self.integer(1, 3))
        for _ in range(min(target, 16)):
            self.fill(1)
            self.use(1)
            self.get(1)
        self.fill(self.integer(2, 4))
        self.use(len(self.exposed))
        self.get(self.integer(1, 4))

    def sleepy(self) -> None:
        """A driver that takes back only when it is notified."""
        integer = self.integer
        for _ in range(integer(1, 4)):
            self.steps.append(Callbacks("on" if integer(0, 2) else "delayed"))
            self.fill(integer(1, 3))
            for _ in range(integer(1, 3)):
                self.use(integer(1, max(1, len(self.exposed))))
            if integer(0, 1):
                self.use(len(self.exposed))
                self.steps.append(Call())
            self.get(integer(1, self.size), True)
            if not integer(0, 2):
                self.steps.append(Callbacks("on"))

    def half(self) -> None:
        """A batch of which the driver has taken back only a part."""
        integer = self.integer
        self.fill(integer(2, 5))
        self.use(len(self.exposed))
        self.get(1)
        self.steps.append(Callbacks(CALLBACK_MODES[integer(0, 2)]))
        if integer(0, 1):
            self.fill(integer(1, 2))
        if integer(0, 1) and self.limits.actions & {"reset", "queue_reset"}:
            self.again()
            self.fill(integer(1, 3))
            self.get(1)

    def words(self) -> None:
        """Our suppression words."""
        mode = _MODES[self.integer(0, 2)]
        self.steps.append(Suppress(mode, self.integer(0, self.size) if mode == "event" else 0))

    def again(self) -> None:
        """A reset, whatever is in flight."""
        whole = "reset" in self.limits.actions and (self.integer(0, 1) or not self.features & spec.RING_RESET)
        self.steps.append(Reset() if whole else QueueReset())
        if whole or self.features & spec.RING_RESET:
            self.exposed.clear()
            self.back.clear()
            self.free, self.position = self.size, 0

    def stop(self) -> None:
        """Stop and start."""
        self.steps.append(Restart())

    def served(self) -> None:
        """For drivers that can't be asked for anything: what they expose is used."""
        self.exposed.extend([1] * 4)
        self.use(self.integer(1, (4, 16, 64)[self.integer(0, 2)]))
        self.steps.append(Call())

    # -- uniform

    def _any(self) -> Step:
        """Of each kind of step, and of each number, all are equally likely."""
        integer, size = self.integer, self.size
        kinds: tuple[type, ...] = (Add, Add, Add, Kick, Get, Get, Callbacks, Use, Use, Use, Call, Suppress)
        kinds = kinds if "passive" not in self.limits.actions else (Use, Call, Suppress)
        chances = (("reset", Reset), ("queue_reset", QueueReset), ("restart", Restart))
        kinds += tuple(kind for action, kind in chances if action in self.limits.actions)
        kind = kinds[integer(0, len(kinds) - 1)]
        if kind is Add:
            return Add(*(self._shape() if integer(0, 1) else self.palette[0]))
        if kind is Get:
            return Get(integer(1, size), integer(0, 1) == 1)
        if kind is Callbacks:
            return Callbacks(CALLBACK_MODES[integer(0, 2)])
        if kind is Use:
            length = integer(0, self.limits.longest_element) if integer(0, 1) else None
            return Use(integer(1, size), length, USE_ORDERS[integer(0, 2)], integer(0, 1) == 1, integer(0, 1) == 1)
        if kind is Call:
            return Call(integer(0, 3) == 3)
        if kind is Suppress:
            mode = _MODES[integer(0, 2)]
            return Suppress(mode, integer(0, size) if mode == "event" else 0)
        made: Step = kind()
        return made

    def _hostile(self) -> None:
        """Rules of devices broken; and the driver goes on as if nothing had happened."""
        integer = self.integer
        for _ in range(integer(1, 4)):
            values = (0, 1, self.size - 1, self.size, self.size + 1, 0x7FFF, 0xFFFF, integer(0, 0xFFFF))
            self.steps.append(Misuse(MISUSES[integer(0, len(MISUSES) - 1)], values[integer(0, 7)]))
            self.steps.append(Call(True))
            self.get(integer(1, self.size))
            self.fill(integer(0, 2))
