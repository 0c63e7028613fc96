"""Planted faults of the reference driver: each is one or two small methods replaced, usually by one line.

``rules`` are the names under which a finding counts, the most telling first. Knows the driver; must not know who
looks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fuzz.targets.model_driver.upper import Held, PackedUpper, SplitUpper, Upper
from oracles import packed_rings, spec, split_rings
from oracles.trace import Extent

SPLIT, PACKED, ON, OFF = (spec.SPLIT,), (spec.PACKED,), (True,), (False,)
AVAIL, USED, NEXT = spec.DESC_F_AVAIL, spec.DESC_F_USED, spec.DESC_F_NEXT
Split = split_rings.DriverRing
Packed = packed_rings.DriverRing


@dataclass(frozen=True, slots=True)
class DriverFault:
    """A planted fault: its name, what is wrong, where it can be seen, and the rules that should say so."""

    name: str
    text: str
    rules: tuple[str, ...]
    kinds: tuple[type[SplitUpper], type[PackedUpper]]
    layouts: tuple[str, ...] = spec.LAYOUTS
    in_order: tuple[bool, ...] = (False, True)
    bound: int = 1000  # programs within which it must be found


FAULTS: dict[str, DriverFault] = {}


def plant(
    name: str,
    text: str,
    rules: tuple[str, ...],
    layouts: tuple[str, ...] = spec.LAYOUTS,
    in_order: tuple[bool, ...] = (False, True),
    split: dict[str, object] | None = None,
    packed: dict[str, object] | None = None,
    **both: object,
) -> None:
    """Enter a fault: methods replaced in the split ring, in the packed ring, and in the upper half of both."""
    own: list[dict[str, object]] = [dict(both), dict(both)]
    if split:
        own[0]["kind"] = type("Ring", (Split,), split)
    if packed:
        own[1]["kind"] = type("Ring", (Packed,), packed)
    kinds = (type("Faulty", (SplitUpper,), own[0]), type("Faulty", (PackedUpper,), own[1]))
    FAULTS[name] = DriverFault(name, text, rules, kinds, layouts, in_order)


# -- taking back -----------------------------------------------------------------------------------------


def _whom_the_element_names(upper: Upper) -> tuple[Held, int] | None:
    found = Upper.next_named(upper)
    if found is not None:
        upper.fifo.remove(found[0])
    return found


def _one_place(upper: PackedUpper, held: Held) -> None:
    upper.forward(1)


def _element_for_each(upper: Upper) -> tuple[Held, int] | None:
    _, length = upper.element()
    held = upper.fifo.popleft()
    del upper.held[held.id]
    return held, length


def _one_of_a_skipped(upper: Upper, held: Held) -> None:
    upper.ring.reclaim(held.id, held.slots if upper.batch is None else 1)


def _as_many_as_entries(upper: Upper, held: Held) -> None:
    ring, more = upper.ring, max(0, held.entries - 1)
    ring.reclaim(held.id, held.slots + more)
    if isinstance(ring, Packed):
        ring.ids[:0] = range(len(ring.ids) + upper.size, len(ring.ids) + upper.size + more)
    elif not upper.in_order:
        ring.free.extend((held.id + place) % upper.size for place in range(1, more + 1))


def _whatever_stands_there(upper: Upper) -> bool:
    return bool(upper.held)


def _if_it_names_one(upper: Upper) -> tuple[Held, int] | None:
    return Upper.next_named(upper) if upper.element()[0] in upper.held else None


def _beside(upper: Upper, held: Held, readable: int, table: Extent | None, address: int) -> None:
    """What the device shall write is behind the place where we look for it."""
    elements = held.elements
    held.elements = [*elements[:readable], *((at + 16, length) for at, length in elements[readable:])]
    Upper.add(upper, held, readable, table, address)
    held.elements = elements


# -- resets ----------------------------------------------------------------------------------------------


def _keeps_position(upper: Upper, before: Upper) -> None:
    upper.ring.next = before.ring.next % upper.size


def _keeps_batch(upper: Upper, before: Upper) -> None:
    upper.batch = before.batch


def _whatever_the_batch_says(upper: Upper) -> tuple[Held, int] | None:
    """Without a look at whether there is a buffer with the batch's id."""
    upper.batch = upper.batch or upper.element()
    if not upper.fifo:
        return None
    id_, length = upper.batch
    held = upper.fifo.popleft()
    upper.held.pop(held.id, None)
    if held.id != id_:
        return held, held.writable
    upper.batch = None
    return held, length


# -- notifications ---------------------------------------------------------------------------------------


def _from_the_start(upper: Upper) -> int:
    return 1 << 15 if isinstance(upper, PackedUpper) else 0


def _only_the_ring(upper: Upper) -> bool:
    return upper.pending() and upper.batch is None


# -- making available ------------------------------------------------------------------------------------


class _Stack(Split):
    """Heads come from a stack of free descriptors, in order or not."""

    def __init__(self, *arguments: Any) -> None:
        Split.__init__(self, *arguments)
        self.stacked, self.in_order = self.in_order, False
        self.free = list(range(self.size - 1, -1, -1))

    def table(self, elements: Sequence[Extent], readable: int) -> bytes:
        self.in_order = self.stacked
        data = Split.table(self, elements, readable)
        self.in_order = False
        return data


def _stacked(upper: SplitUpper, held: Held) -> None:
    upper.split.free.extend(reversed(upper.split.chains.pop(held.id)))
    upper.split.room += held.slots


def _head_at_once(ring: Packed, position: int, data: bytes, flags: int, first: bool) -> None:
    if first:
        ring.heads.append((position, flags))
    Packed.put(ring, position, data, flags, False)


def _nothing_left_to_do(ring: Packed, count: int) -> None:
    del ring.heads[:count]


def _with_flags(changed: Callable[[Packed, int, int, bool], int]) -> dict[str, object]:
    """A ring that stores other flags: *changed* (ring, position, flags, whether it is the first)."""

    def put(ring: Packed, position: int, data: bytes, flags: int, first: bool) -> None:
        flags = changed(ring, position, flags, first)
        Packed.put(ring, position, data[:14] + flags.to_bytes(2, "little"), flags, first)

    return {"put": put}


def _bits_of_last_lap(ring: Packed, position: int, flags: int, first: bool) -> int:
    return flags if first or position > ring.heads[-1][0] else flags ^ (AVAIL | USED)


def _a_byte_more(upper: PackedUpper) -> tuple[int, int]:
    id_, length = PackedUpper.element(upper)
    return id_, length + (length > 0)


def _keeps_id(ring: Packed, position: int, data: bytes, flags: int, first: bool) -> None:
    at = ring.descriptor + 16 * position
    if not ring.wrap:
        data = data[:12] + bytes(ring.memory[at + 12 : at + 14]) + data[14:]
    Packed.put(ring, position, data, flags, first)


def _by_what_stands_there(upper: PackedUpper, held: Held, readable: int, table: Extent | None, address: int) -> None:
    first = upper.packed.next
    Upper.add(upper, held, readable, table, address)
    last = upper.packed.descriptor + 16 * ((first + held.slots - 1) % upper.size)
    del upper.held[held.id]
    held.id = int.from_bytes(upper.packed.memory[last + 12 : last + 14], "little")
    upper.held[held.id] = held


_WALK = ("INO-DRV-WALK",)
plant("a34", "packed, in order: takes the buffer that a used descriptor names, and one place of the ring for it",
      (*_WALK, "INO-P-DRV-ID", "VQ-DRV-WAKE"), PACKED, ON, next_in_order=_whom_the_element_names,
      move=_one_place)  # fmt: skip
plant("a35", "split, in order: reads a used element for each buffer, also for those that a batch skips",
      ("INO-S-SKIPPED-SLOT", "INO-SKIP-LEN"), SPLIT, ON, next_in_order=_element_for_each)  # fmt: skip
plant("a36", "in order: frees one descriptor for a buffer that a batch skips, however many it took",
      ("VQ-DRV-ROOM",), in_order=ON, release=_one_of_a_skipped)  # fmt: skip
plant("a38", "packed: the first descriptor of a list is available before the others", ("P-FIRST-LAST",), PACKED,
      packed={"put": _head_at_once, "expose": _nothing_left_to_do})  # fmt: skip
plant("a39", "packed: a list over the ring's end keeps the bits of the lap before", ("P-DRV-WRAP",), PACKED,
      packed=_with_flags(_bits_of_last_lap))  # fmt: skip
plant("a40", "packed, in order: in the second lap the id is what the device left there",
      ("INO-P-DRV-ID", *_WALK, "VQ-DRV-WAKE"), PACKED, ON, packed={"put": _keeps_id},
      add=_by_what_stands_there)  # fmt: skip
plant("a41", "split, in order: the next free descriptor is kept over a reset", ("INO-S-DESC-SEQ",), SPLIT, ON,
      keep=_keeps_position)  # fmt: skip
plant("a42", "in order: a batch that was half taken back is kept over a reset", _WALK, in_order=ON, keep=_keeps_batch,
      next_in_order=_whatever_the_batch_says)  # fmt: skip
plant("a43", "event index: the event is never moved forward", ("VQ-DRV-WAKE",), event_place=_from_the_start)
plant("a44", "in order: enabling notifications overlooks a batch that was half taken back", ("VQ-DRV-WAKE",),
      in_order=ON, still=_only_the_ring)  # fmt: skip
plant("a45", "packed: the first of two descriptors has no NEXT", ("P-LIST-NEXT",), PACKED,
      packed=_with_flags(lambda ring, position, flags, first: flags & ~NEXT if first else flags))  # fmt: skip
plant("a46", "indirect: frees as many descriptors as the table has entries",
      ("S-NEXT-FREE", "P-SPACE", "S-OUTSTANDING", "S-AVAIL-COUNT", "VQ-DRV-WAKE", *_WALK, "INO-SKIP-LEN"),
      release=_as_many_as_entries)  # fmt: skip
plant("early", "takes back whatever a used element says, looking neither at idx nor at flags",
      ("VQ-DRV-HANDED",), in_order=OFF, pending=_whatever_stands_there, next_named=_if_it_names_one)  # fmt: skip
plant("length", "packed: hands up a byte more than the device wrote", ("VQ-DRV-LENGTH", "P-USED-NEXT"), PACKED,
      element=_a_byte_more)  # fmt: skip
plant("beside", "the descriptor of a device-writable element names memory behind it", ("VQ-DRV-DATA",), add=_beside)
plant("a37", "split, in order: descriptors come from a stack of free ones", ("INO-S-DESC-SEQ",), SPLIT, ON,
      release=_stacked)  # fmt: skip
FAULTS["a37"].kinds[0].kind = _Stack
FAULTS = dict(sorted(FAULTS.items()))
