"""Shapes of buffers: which elements, how long, direct or in a table, and in how many descriptors.

A program draws a handful of shapes first and mostly repeats them, as real drivers do; this also makes
generation fast, since a step that was built once stands in the program many times. Knows the limits and
the choices. Must not know what happened in the program before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.choices import Choices
from fuzz.program import Limits, Supply, divide
from oracles import spec

if TYPE_CHECKING:
    from fuzz.devices import DeviceClass

#: Element lengths around which implementations change their mind.
LENGTHS = (1, 1, 2, 4, 7, 8, 12, 16, 63, 64, 65, 512, 513, 1514, 4095, 4096)


class Shape:
    """A buffer as the program supplies it again and again."""

    __slots__ = ("gap", "held", "plain", "slots", "work")

    def __init__(self, slots: int, work: int, plain: Supply) -> None:
        self.slots = slots  # descriptors that it takes in the ring
        self.work = work  # descriptors that somebody must write and read for it
        self.plain = plain
        self.held: Supply | None = None
        self.gap: Supply | None = None

    def as_held(self) -> Supply:
        """The same, made available only together with the next."""
        if self.held is None:
            self.held = _variant(self.plain, True, False)
        return self.held

    def as_gap(self) -> Supply:
        """The same, supplied while the device is about to arm its doorbell."""
        if self.gap is None:
            self.gap = _variant(self.plain, False, True)
        return self.gap


def _variant(step: Supply, held: bool, gap: bool) -> Supply:
    """What dataclasses.replace does, in a third of its time."""
    return Supply(
        step.readable, step.writable, step.request, step.cut, step.indirect, held, gap, step.answer, step.queue
    )


class Shapes:
    """Draws the shapes of one program; its habits are drawn first (swarm)."""

    __slots__ = (
        "_answers",
        "_indirect",
        "_integer",
        "_lengths",
        "_limits",
        "_long",
        "_packed",
        "_share",
        "_sides",
        "choices",
        "device",
    )

    def __init__(self, choices: Choices, limits: Limits, features: int, packed: bool, share: int) -> None:
        """*share*: bytes for each descriptor taken in a ring."""
        self.choices = choices
        self.device: DeviceClass | None = None
        self._limits = limits
        self._packed = packed
        self._share = share
        integer = self._integer = choices.integer
        #: of six shapes, how many have a table; one program in five has none though it could
        self._indirect = (0, 1, 2, 3, 6)[integer(0, 4)] if features & spec.INDIRECT_DESC else 0
        self._sides = integer(0, 5)  # 0-2: anything; readable only, writable only, both
        self._long = integer(0, 3)  # single descriptors, short chains, short ones and boundaries, boundaries
        self._lengths = integer(0, 3)  # single bytes, small, small, all
        self._answers = (0, 1, 1, 2)[integer(0, 3)]  # of four shapes, how many ask for a certain used length

    def draw(self, queue: int, size: int) -> Shape:
        """A shape for a ring of *size*, in as many slots as it happens to take (never more than *size*)."""
        if self.device is not None:
            return self._request(self.device, queue, size)
        integer = self._integer
        if self._indirect and integer(0, 5) >= 6 - self._indirect:
            return self._table(queue, size)
        return self.direct(queue, self._count(size))

    def exactly(self, queue: int, slots: int, size: int) -> Shape | None:
        """A shape that takes exactly *slots* of a ring of *size*; None where a device class has no such request."""
        if self.device is not None:
            return self._recut(self.device, queue, slots, size)
        mixes = slots == 1 or (self._limits.mixed_indirect and not self._packed)
        if self._indirect and mixes and self._integer(0, 3) == 3:
            return self._indirect_shape(queue, slots - 1, self._count(size - slots + 1))
        return self.direct(queue, slots)

    def direct(self, queue: int, count: int) -> Shape:
        """A chain of *count* descriptors."""
        readable, writable = self._elements(count, count)
        return Shape(count, count, Supply(readable, writable, answer=self._answer(writable), queue=queue))

    def _count(self, most: int) -> int:
        """How many elements: one or a few mostly, or at the edge of what is possible."""
        integer = self._integer
        long = self._long
        if not long or most == 1:
            return 1
        edge = integer(0, 7) if long > 1 else 0
        if most > 16 and edge > 2 and integer(0, 3) < 3:
            edge = 0  # long chains cost the executor dearly: on large rings they are the exception
        if edge == 7:
            return most
        if edge == 6:
            return most - 1
        if edge == 5:
            return most + 1 >> 1
        if long == 3 and edge > 2:
            return integer(1, most)
        return integer(1, 3 if most > 2 else most)

    def _table(self, queue: int, size: int) -> Shape:
        """An indirect table, behind a few direct descriptors at times (split only)."""
        direct = 0
        if not self._packed and size > 1 and self._limits.mixed_indirect and self._integer(0, 2) == 2:
            direct = self._integer(1, min(3, size - 1))
        most = max(size, self._limits.longest_table) - direct
        edge = self._integer(0, 5)
        if edge == 5 and (size <= 16 or self._integer(0, 3) == 3):
            return self._indirect_shape(queue, direct, most)
        if edge == 4:
            return self._indirect_shape(queue, direct, 1)
        return self._indirect_shape(queue, direct, self._count(most) if edge > 1 else self._integer(1, min(4, most)))

    def _indirect_shape(self, queue: int, direct: int, entries: int) -> Shape:
        slots = direct + 1
        entries = min(entries, slots * self._share)  # every element has a byte at least
        readable, writable = self._elements(direct + entries, slots)
        answer = self._answer(writable)
        return Shape(
            slots, direct + entries + 1, Supply(readable, writable, indirect=direct, answer=answer, queue=queue)
        )

    def _elements(self, count: int, slots: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """*count* element lengths, readable ones and writable ones, within the memory share of *slots*."""
        integer = self._integer
        sides = self._sides
        if sides == 3:
            readable = count
        elif sides == 4:
            readable = 0
        elif sides == 5 and count > 1:
            readable = integer(1, count - 1)
        else:
            readable = integer(0, count)
        habit = self._lengths
        if not habit:
            return (1,) * readable, (1,) * (count - readable)
        most = min(self._limits.longest_element, slots * self._share // count)
        if count > 4:
            most = min(most, 64)
        first = self._length(most)
        if count == 1:
            return ((first,), ()) if readable else ((), (first,))
        lengths = [first] + [self._length(most)] * (count - 1)
        if habit == 3:  # in a long chain, one odd element is as good as many
            lengths[integer(0, count - 1)] = self._length(most)
        return tuple(lengths[:readable]), tuple(lengths[readable:])

    def _length(self, most: int) -> int:
        if self._limits.empty_elements and self._integer(0, 7) == 7:
            return 0
        if self._lengths < 3:
            return self._integer(1, min(most, 16))
        return min(most, LENGTHS[self._integer(0, len(LENGTHS) - 1)])

    def _answer(self, writable: tuple[int, ...]) -> int | None:
        """How much of the writable part the device is asked to fill; None: all."""
        if not self._answers or not writable:
            return None
        integer = self._integer
        if integer(0, 3) < 4 - self._answers:
            return None
        room = sum(writable)
        return (0, 1, room >> 1, room - 1, integer(0, room))[integer(0, 4)] if room else None

    # A device class draws requests; how they are cut is ours to change, and must not matter.

    def _request(self, device: DeviceClass, queue: int, size: int) -> Shape:
        integer = self._integer
        request, cut = device.draw(self.choices, queue, self._limits)
        message = device.message(request, 0, queue)
        for attempt in (cut, ()):  # as it was cut if that fits, else whole
            readable, writable = divide(len(message.readable), message.writable, attempt)
            count = len(readable) + len(writable)
            if count <= size:
                break
        indirect = None
        if self._indirect and (count > size or integer(0, 5) >= 6 - self._indirect):
            mixes = self._limits.mixed_indirect and not self._packed
            indirect = integer(0, min(2, count - 1, size - 1)) if mixes else 0
        slots = count if indirect is None else indirect + 1
        return Shape(slots, count, Supply((), (), request, attempt, indirect, queue=queue))

    def _recut(self, device: DeviceClass, queue: int, slots: int, size: int) -> Shape | None:
        """A request cut into *slots* elements: single bytes, then the rest of either part."""
        request, _ = device.draw(self.choices, queue, self._limits)
        if queue in self._limits.uncut:
            return None
        message = device.message(request, 0, queue)
        readable, writable = len(message.readable), message.writable
        for ones in (slots - 1, slots - 2):
            if ones >= 0:
                cut = (1,) * ones + (0,)
                parts = divide(readable, writable, cut)
                if len(parts[0]) + len(parts[1]) == slots <= size:
                    return Shape(slots, slots, Supply((), (), request, cut, queue=queue))
        return None
