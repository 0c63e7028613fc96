"""A picture of a ring: what the driver and the device wrote into each place, and where it went wrong.

Knows the two layouts as a reader of memory does. Knows no rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

from oracles import spec
from oracles.model import Buffer
from oracles.trace import Published, SawUsed, Started, Stored

COLUMNS = 8
"""Places drawn of a large ring."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a ring, as both sides left it; '' where a side wrote nothing."""

    number: int
    driver: str
    device: str
    fresh: bool = False  # written last


class Split:
    """A split queue as its three areas read."""

    def __init__(self, started: Started) -> None:
        self.size = started.size
        self.device = started.device
        self.available = started.available
        self.idx = started.used
        self.before = started.used
        self.heads: dict[int, str] = {}
        self.elements: dict[int, tuple[int, int]] = {}
        self.written: list[int] = []  # places written since the idx moved last
        self.recent: list[int] = []  # places that the last move of the idx published, or that were written with it

    def supplied(self, buffer: Buffer) -> None:
        """A buffer was put in the available ring."""
        self.heads[buffer.position] = f"{buffer.id}={buffer}"

    def driver(self, seen: Any) -> None:
        """Anything else that the driver did."""
        if isinstance(seen, Published):
            self.available = (self.available + seen.buffers) & 0xFFFF

    def stored(self, seen: Stored) -> tuple[str, bool]:
        """(what a store says, whether it makes buffers used)."""
        offset, data = seen.address - self.device, seen.data
        if offset == 2 and len(data) == 2:
            return self._move(int.from_bytes(data, "little")), True
        if 4 <= offset < 4 + 8 * self.size and len(data) == 8 and not offset & 3:
            place = (offset - 4) >> 3
            self.written.append(place)
            return self._element(place, data), False
        return "", False

    def saw_used(self, seen: SawUsed) -> str:
        """What was found by looking."""
        texts = []
        for number in range(len(seen.elements) >> 3):
            place = (self.idx + number) % self.size
            data = seen.elements[8 * number : 8 * number + 8]
            if seen.changed >> number & 1 or place not in self.elements:
                self.written.append(place)
                texts.append(self._element(place, data))
        shown = texts if len(texts) <= 2 else [texts[0], "…", texts[-1]]
        return "  ".join([*shown, self._move(seen.idx)])

    def saw_descriptor(self, position: int, data: bytes) -> str:
        """Not of this layout."""
        return ""

    def _element(self, place: int, data: bytes) -> str:
        id_, length = spec.USED_ELEMENT.unpack(data)
        self.elements[place] = (id_, length)
        return f"used[{place}] = {{id {id_}, len {length}}}"

    def _move(self, new: int) -> str:
        old, self.idx = self.idx, new
        self.before = old
        self.recent, self.written = self.written, []
        return f"used.idx {old} → {new}"

    def draw(self, wrong: int) -> list[str]:
        """The rings around the place *wrong*, which is marked; -1: around where the device is."""
        due = self.before % self.size
        places, more = _window(self.size, wrong if wrong >= 0 else due)
        used = []
        for place in places:
            text = "·"
            if place in self.elements:
                text = "id {}, len {}".format(*self.elements[place])
            recent = place in self.recent or place in self.written or place == wrong
            used.append(text + (" ✗" if place == wrong or (wrong >= 0 and recent and place != due) else ""))
        rows = [
            ("slot", [str(place) for place in places], more),
            ("avail.ring", [self.heads.get(place, "·") for place in places], f"avail.idx {self.available}"),
            ("used.ring", used, f"used.idx {self.idx}" + (f" (was {self.before})" if self.before != self.idx else "")),
        ]
        return _grid(rows, places.index(due) if due in places and wrong >= 0 else -1, f"the device was at {due}")

    def view(self, middle: int) -> tuple[list[Place], str]:
        """The places around *middle*, and what to say about the others; -1: around where the device is."""
        places, more = _window(self.size, middle if middle >= 0 else self.idx % self.size)
        shown = []
        for place in places:
            used = "id {}, len {}".format(*self.elements[place]) if place in self.elements else ""
            shown.append(Place(place, self.heads.get(place, ""), used, place in self.recent or place in self.written))
        return shown, more

    def pointers(self) -> dict[str, tuple[int, str]]:
        """Where driver and device go on: place, and the value in memory."""
        return {
            "driver": (self.available % self.size, f"avail.idx {self.available}"),
            "device": (self.idx % self.size, f"used.idx {self.idx}"),
        }


class Packed:
    """A packed queue as its descriptor ring reads."""

    def __init__(self, started: Started) -> None:
        self.size = started.size
        self.start = started.descriptor
        self.next = started.available & 0x7FFF
        self.wrap = started.available >> 15 & 1
        self.cursor = started.used & 0x7FFF
        self.supplies: dict[int, str] = {}
        self.uses: dict[int, str] = {}
        self.pending: dict[int, tuple[int, int]] = {}
        self.last = -1

    def supplied(self, buffer: Buffer) -> None:
        """A list was written from its position on."""
        for number in range(buffer.slots):
            bits = f"A{self.wrap} U{1 - self.wrap}"
            name = f"{buffer}, id {buffer.id}" if number == buffer.slots - 1 else f"{buffer}"
            self.supplies[self.next] = f"{name}, {bits}"
            self.uses.pop(self.next, None)
            self.next += 1
            if self.next == self.size:
                self.next, self.wrap = 0, self.wrap ^ 1

    def driver(self, seen: Any) -> None:
        """Nothing else changes the ring."""

    def stored(self, seen: Stored) -> tuple[str, bool]:
        """(what a store says, whether it makes buffers used)."""
        place, offset = divmod(seen.address - self.start, 16)
        if not 0 <= place < self.size:
            return "", False
        if offset == 8 and len(seen.data) == 6:
            self.pending[place] = int.from_bytes(seen.data[4:], "little"), int.from_bytes(seen.data[:4], "little")
            return "", False
        if offset == 14 and len(seen.data) == 2:
            known = self.pending.pop(place, None)
            return self._used(place, known, int.from_bytes(seen.data, "little")), True
        return f"desc[{place}]+{offset} = {seen.data.hex()}", False

    def saw_used(self, seen: SawUsed) -> str:
        """Not of this layout."""
        return ""

    def saw_descriptor(self, position: int, data: bytes) -> str:
        """What was found by looking."""
        _, length, id_, flags = spec.DESCRIPTOR.unpack(data)
        return self._used(position, (id_, length), flags)

    def _used(self, place: int, known: tuple[int, int] | None, flags: int) -> str:
        bits = f"A{int(bool(flags & spec.DESC_F_AVAIL))} U{int(bool(flags & spec.DESC_F_USED))}"
        what = f"id {known[0]}, len {known[1] if flags & spec.DESC_F_WRITE else '-'}, " if known else "flags alone, "
        self.uses[place] = what + bits
        self.last = place
        return f"desc[{place}] = {{{what}{bits}}}"

    def draw(self, wrong: int) -> list[str]:
        """The ring around the place *wrong*, which is marked; -1: around what was used last."""
        cursor = self.cursor
        places, more = _window(self.size, wrong if wrong >= 0 else max(self.last, 0))
        rows = [
            ("slot", [str(place) for place in places], more),
            ("driver", [self.supplies.get(place, "·") for place in places], ""),
            ("device", [self.uses.get(place, "·") + (" ✗" if place == wrong else "") for place in places], ""),
        ]
        return _grid(
            rows, places.index(cursor) if cursor in places and wrong >= 0 else -1, f"the device is due at {cursor}"
        )

    def view(self, middle: int) -> tuple[list[Place], str]:
        """The places around *middle*, and what to say about the others; -1: around what was used last."""
        places, more = _window(self.size, middle if middle >= 0 else max(self.last, 0))
        named = [Place(at, self.supplies.get(at, ""), self.uses.get(at, ""), at == self.last) for at in places]
        return named, more

    def pointers(self) -> dict[str, tuple[int, str]]:
        """Where driver and device go on: place, and its wrap counter if that is known."""
        return {
            "driver": (self.next, f"driver at {self.next}, wrap {self.wrap}"),
            "device": (self.cursor, f"device due at {self.cursor}"),
        }


Rings = Union[Split, Packed]


def rings_for(started: Started) -> Rings:
    """An empty picture of a queue that just started."""
    return Split(started) if started.layout == spec.SPLIT else Packed(started)


def _window(size: int, middle: int) -> tuple[list[int], str]:
    """The places drawn, and what to say about the others."""
    if size <= COLUMNS:
        return list(range(size)), ""
    first = (middle - COLUMNS // 2) % size
    return [(first + number) % size for number in range(COLUMNS)], f"… of {size}"


def _grid(rows: list[tuple[str, list[str], str]], marked: int, remark: str) -> list[str]:
    """Rows in columns; below, an arrow at the column *marked* with *remark*. As many columns as fit."""
    count = len(rows[0][1])
    widths = [max(len(cells[column]) for _, cells, _ in rows) + 2 for column in range(count)]
    first, last = 0, count
    anchor = marked if marked >= 0 else count // 2
    while sum(widths[first:last]) > 68 and last - first > 2:
        if anchor - first > last - 1 - anchor:
            first += 1
        else:
            last -= 1
    lines = []
    for name, cells, tail in rows:
        body = "".join(cell.ljust(width) for cell, width in zip(cells[first:last], widths[first:last], strict=True))
        lines.append(f"{name:<11} {body} {tail}".rstrip())
    if first <= marked < last:
        lines.append(" " * (12 + sum(widths[first:marked])) + f"▲ {remark}")
    return lines
