"""Values that a target looks for, and where in a program a value can stand.

A target built for it tells what it compared with what. Where one side stands in the program, the other can be put in
its place (a magic number costs one try then); else values are put where there is room for numbers. Knows programs,
and device classes for what a request may say. Must not know targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from fuzz import wild
from fuzz.choices import Choices
from fuzz.draft import facts
from fuzz.program import Limits, Poke, Program, Request, Step, Supply, Wild, divide

if TYPE_CHECKING:
    from fuzz.devices import DeviceClass

MOST = 1024
"""Values remembered."""
_ELEMENTS = 64  # of a buffer that a comparison may ask for
_MATCHES = 256  # places looked at where one side of a comparison stands
_SIZES = (1, 2, 4, 8)
_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")


class Pair(NamedTuple):
    """A comparison that found *left* and *right*, of *size* bytes, unequal; *place* says where in the target's code.

    *constant*: the right side is one, so it is what the code looks for, and no counter or index.
    """

    place: int
    left: int
    right: int
    size: int
    constant: bool = False


class Slot(NamedTuple):
    """A number in a program: step, what of it, and the most that it can be."""

    step: int
    name: str  # readable.N, writable.N, cut.N, answer, or the name of a field
    value: int
    most: int


class Values:
    """Constants that the target compared with something, with their sizes, in the order in which they came."""

    def __init__(self) -> None:
        self.known: dict[int, int] = {}  # value: size in bytes
        self._list: list[int] = []

    def learn(self, pairs: Iterable[Pair]) -> None:
        """Remember the constants of *pairs*; what else is compared mostly counts something."""
        known = self.known
        before = len(known)
        for pair in pairs:
            if pair.constant and len(known) < MOST:
                known.setdefault(pair.right, pair.size)
        if len(known) != before:
            self._list = list(known)

    def place(self, program: Program, choices: Choices, limits: Limits) -> Program:
        """The program with one of the values in one of its places; as it is if it has none, or none is known."""
        found = slots(program, limits)
        if not found or not self._list:
            return program
        integer = choices.integer
        value = self._list[integer(0, len(self._list) - 1)]
        slot = found[integer(0, len(found) - 1)]
        size = self.known[value]
        at = 8 * integer(0, 8 - size) if slot.most >> 32 and integer(0, 1) else 0
        mask = (1 << 8 * size) - 1
        if integer(0, 3) == 0:
            value = int.from_bytes(value.to_bytes(8, "little")[:size], "big")
        mixed = slot.value & ~(mask << at) | (value & mask) << at if at or slot.value > mask else value
        return put(program, slot, mixed, limits) or program


def solve(program: Program, pair: Pair, choices: Choices, limits: Limits, everywhere: bool = False) -> Program | None:
    """The program with one side of *pair* where the other stands in it; None if neither can be found.

    In one of the places where it stands, or in the first of each number: *everywhere*.
    """
    numbers = Numbers.of(program, limits)
    for here, wanted in ((pair.left, pair.right), (pair.right, pair.left)):
        found = numbers.with_other(here, wanted, pair.size)
        if everywhere and found:
            made = _all(program, found, limits)
            if made is not None:
                return made
        ways = _ways(numbers, found, here, wanted)
        while ways:
            made = ways.pop(choices.integer(0, len(ways) - 1))()
            if made is not None and made != program:
                return made
    return None


def _all(program: Program, found: list[tuple[Slot, int]], limits: Limits) -> Program | None:
    """The program with all of that, of each number the first; None if nothing of it can be."""
    steps = list(program.steps)
    done = set()
    for slot, value in found:
        step = _put(steps[slot.step], program.device, slot, value, limits) if slot[:2] not in done else None
        if step is not None:
            done.add(slot[:2])
            steps[slot.step] = step
    return replace(program, steps=tuple(steps)) if done else None


class Numbers:
    """A program's numbers, as bytes to be searched: eight of each, little-endian."""

    _last: Numbers | None = None  # several comparisons of the same program come one after the other

    def __init__(self, program: Program, limits: Limits) -> None:
        self.program = program
        self.limits = limits
        self.slots = slots(program, limits)
        self.data = b"".join([slot.value.to_bytes(8, "little") for slot in self.slots])

    @classmethod
    def of(cls, program: Program, limits: Limits) -> Numbers:
        """Those of *program*."""
        last = cls._last
        if last is None or last.program is not program or last.limits is not limits:
            last = cls._last = cls(program, limits)
        return last

    def with_other(self, here: int, wanted: int, size: int) -> list[tuple[Slot, int]]:
        """Slots and values with *wanted* for *here*, as a whole or among their bytes, whichever end comes first."""
        found: list[tuple[Slot, int]] = []
        whole = (1 << 64) - 1
        if here > whole or wanted > whole:
            return found
        least = next(each for each in _SIZES if here >> 8 * each == 0 and wanted >> 8 * each == 0)
        for width in dict.fromkeys((8, size, least) if here else (8,)):  # there are zeros everywhere
            for order in _ORDERS if width > 1 and here else _ORDERS[:1]:
                if here >> 8 * width or wanted >> 8 * width:
                    continue
                needle, other = here.to_bytes(width, order), wanted.to_bytes(width, order)
                at = self.data.find(needle)
                while at >= 0 and len(found) < _MATCHES:
                    place, offset = divmod(at, 8)
                    if offset + width <= 8:
                        old = self.data[8 * place : 8 * place + 8]
                        value = int.from_bytes(old[:offset] + other + old[offset + width :], "little")
                        found.append((self.slots[place], value))
                    at = self.data.find(needle, at + 1)
        return found


def _ways(
    numbers: Numbers, found: list[tuple[Slot, int]], here: int, wanted: int
) -> list[Callable[[], Program | None]]:
    """Ways to have *wanted* where *here* stands: in one of the numbers *found*, or as the shape of a buffer."""
    program, limits = numbers.program, numbers.limits
    ways: list[Callable[[], Program | None]] = [partial(put, program, slot, value, limits) for slot, value in found]
    for at, step in enumerate(program.steps) if 0 < here <= limits.longest_element * _ELEMENTS else ():
        if isinstance(step, Supply) and (step.request is None or (here <= _ELEMENTS and 0 < wanted <= _ELEMENTS)):
            ways += [partial(_with, program, at, other) for other in _resized(step, here, wanted, limits)]
    return ways


def _resized(step: Supply, here: int, wanted: int, limits: Limits) -> Iterator[Supply]:
    """The buffer with *wanted* bytes or elements on a side, or elements in all, where it has *here*."""
    if step.request is not None:
        yield from _recut(step, here, wanted, limits)
        return
    for side in ("readable", "writable"):
        lengths: tuple[int, ...] = getattr(step, side)
        if lengths and sum(lengths) == here and here < wanted + lengths[-1] and wanted <= limits.longest_element:
            yield _sided(step, side, (*lengths[:-1], lengths[-1] + wanted - here))
        if (
            here in (len(lengths), len(step.readable) + len(step.writable))
            and 0 < wanted - here + len(lengths) <= _ELEMENTS
        ):
            count = wanted - here + len(lengths)
            yield _sided(step, side, (*lengths, *(1,) * count)[:count])


def _recut(step: Supply, here: int, wanted: int, limits: Limits) -> Iterator[Supply]:
    """A request in *wanted* elements where it has *here* of them: on a side, or in all."""
    device = facts(limits).device
    if device is None or step.request is None:
        return
    message = device.message(step.request, 0, step.queue)
    sides = divide(len(message.readable), message.writable, step.cut)
    both = len(sides[0]) + len(sides[1])
    for count, more in ((both, wanted), (len(sides[0]), wanted + len(sides[1])), (len(sides[1]), wanted + both)):
        if count != here or more < 1:
            continue
        for cut in _cuts(len(message.readable), message.writable, more):
            yield replace(step, cut=cut)


def _cuts(readable: int, writable: int, count: int) -> Iterator[tuple[int, ...]]:
    """Cuts into *count* elements in all: of the readable part all but one, or one; 0 is the rest."""
    for first in dict.fromkeys((count - bool(writable), min(1, readable), count // 2)):
        second = count - first
        if (first > 0) == (readable > 0) and (second > 0) == (writable > 0) and first <= readable:
            cut = (*(1,) * (first - 1), *(0,) * (first > 0), *(1,) * (second - 1), *(0,) * (second > 0))
            if second <= writable:
                yield cut


def _sided(step: Supply, side: str, lengths: tuple[int, ...]) -> Supply:
    """The step with other elements on a side, and an answer and direct elements that these allow."""
    step = replace(step, readable=lengths) if side == "readable" else replace(step, writable=lengths)
    count = len(step.readable) + len(step.writable)
    indirect = None if step.indirect is None else max(0, min(step.indirect, count - 1))
    answer = None if step.answer is None or not step.writable else min(step.answer, sum(step.writable))
    return replace(step, indirect=indirect, answer=answer)


# --- places ----------------------------------------------------------------------------------------------------------


def slots(program: Program, limits: Limits) -> list[Slot]:
    """All numbers of *program* that mean a value to a device, and not to the ring alone."""
    found: list[Slot] = []
    for at, step in enumerate(program.steps):
        if isinstance(step, Supply):
            if step.request is not None:
                found += [Slot(at, name, value, (1 << 64) - 1) for name, value in step.request.fields]
                continue
            most = limits.longest_element
            for side in ("readable", "writable"):
                found += [Slot(at, f"{side}.{place}", one, most) for place, one in enumerate(getattr(step, side))]
            if step.answer is not None:
                found.append(Slot(at, "answer", step.answer, sum(step.writable)))
        elif isinstance(step, Poke | Wild):
            bits = wild.fields_of(step)
            found += [Slot(at, name, value, (1 << bits[name]) - 1) for name, value in step.values]
    return found


def put(program: Program, slot: Slot, value: int, limits: Limits) -> Program | None:
    """The program with *value* in *slot*; None where it can't stand there."""
    step = _put(program.steps[slot.step], program.device, slot, value, limits)
    return None if step is None else _with(program, slot.step, step)


def _put(step: Step, device: str, slot: Slot, value: int, limits: Limits) -> Step | None:
    if value < 0 or (value > slot.most and not isinstance(step, Poke | Wild)):
        return None
    if isinstance(step, Supply):
        return _field(device, step, slot.name, value, limits) if step.request else _length(step, slot.name, value)
    assert isinstance(step, Poke | Wild)
    values = tuple((name, value if name == slot.name else old) for name, old in step.values)
    return wild.tidied(replace(step, values=values))


def _field(device: str, step: Supply, name: str, value: int, limits: Limits) -> Supply | None:
    assert step.request is not None
    fields = tuple((field, value if field == name else old) for field, old in step.request.fields)
    request = Request(step.request.kind, fields)
    return replace(step, request=request) if _says(device, limits).words(request) is None else None


@lru_cache(16)
def _says(device: str, limits: Limits) -> DeviceClass:
    from fuzz.devices import load  # late: device classes may be missing what they need

    return load(device, dict(limits.hints))


def _length(step: Supply, name: str, value: int) -> Supply | None:
    if name == "answer":
        return replace(step, answer=value)
    if not value:
        return None
    side, _, place = name.partition(".")
    lengths = list(getattr(step, side))
    lengths[int(place)] = value
    return _sided(step, side, tuple(lengths))


def _with(program: Program, at: int, step: Step) -> Program:
    return replace(program, steps=(*program.steps[:at], step, *program.steps[at + 1 :]))
