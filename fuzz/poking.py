"""Applies a poke: finds what it means in a queue's memory as it stands, and changes it.

What there is depends on the program alone, never on what the device did. Knows both layouts' memory. Never judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.program import Poke
from oracles import packed_rings, spec, split_rings

if TYPE_CHECKING:
    from fuzz.hostile_queue import HostileQueue

_WORD = 0xFFFF


def apply(queue: HostileQueue, step: Poke) -> bool:
    """Change what *step* says; False: there is no such thing here."""
    values = dict(step.values)
    if step.what in ("chain", "descriptor", "table"):
        offset = _place(queue, step)
        if offset is None:
            return False
        _descriptor(queue, offset, _address(queue, step.address), values)
        return True
    if step.what == "head":
        return _head(queue, values)
    if step.what == "idx":
        _available(queue, values.get("add", 0))
        return True
    _, driver, device = queue.places
    area = driver if step.what == "event" else device
    event, flags = (area // 2, area // 2 + 1)  # packed: off_wrap, then flags
    if queue.split:
        flags = area // 2
        event = (driver + 4 + 2 * queue.size) // 2 if step.what == "event" else area // 2 + 1
    for name, word in (("value", event), ("flags", flags)):
        if name in values:
            queue.words[word] = values[name]
    return True


def _place(queue: HostileQueue, step: Poke) -> int | None:
    """Where the descriptor is that a poke means."""
    base = queue.places[0]
    if step.what == "descriptor":
        return base + 16 * (step.place % queue.size)
    last = queue.last
    if last is None:
        return None
    if step.what == "chain":
        return base + 16 * queue.slots[step.place % len(queue.slots)]
    entries = last.table[1] // 16
    return last.table[0] - queue.session.address + 16 * (step.place % entries) if entries else None


def _address(queue: HostileQueue, name: str) -> int | None:
    base, length = queue.session.address, len(queue.session.memory)
    ours = base + queue.places[0]
    own = queue.last.elements[0][0] if queue.last is not None and queue.last.elements else ours
    return {
        "null": 0,
        "end": base + length,
        "hole": 1 << 40,
        "high": 1 << 63,
        "top": (1 << 64) - 16,
        "edge": base + length - 8,
        "self": ours,
        "own": own,
    }.get(name)


def _descriptor(queue: HostileQueue, offset: int, address: int | None, values: dict[str, int]) -> None:
    memory = queue.session.memory
    flags_at, next_at = (offset + 12, offset + 14) if queue.split else (offset + 14, offset + 12)
    if address is not None:
        memory[offset : offset + 8] = address.to_bytes(8, "little")
    if "len" in values:
        memory[offset + 8 : offset + 12] = values["len"].to_bytes(4, "little")
    if "next" in values:
        queue.words[next_at // 2] = values["next"]
    if "flags" not in values and "toggle" not in values:
        return
    held = _held(queue, offset)
    flags = queue.words[flags_at // 2] if held is None else held[1]
    flags = (values.get("flags", flags) ^ values.get("toggle", 0)) & _WORD
    ring = queue.ring
    if held is not None and isinstance(ring, packed_rings.DriverRing):
        ring.heads[ring.heads.index(held)] = (held[0], flags)
    else:
        queue.words[flags_at // 2] = flags


def _held(queue: HostileQueue, offset: int) -> tuple[int, int] | None:
    """Packed: the head of a list that is held, whose flags are written when it is made available."""
    ring = queue.ring
    if not isinstance(ring, packed_rings.DriverRing):
        return None
    position = (offset - queue.places[0]) // 16
    return next((held for held in ring.heads if held[0] == position), None)


def _head(queue: HostileQueue, values: dict[str, int]) -> bool:
    ring = queue.ring
    if queue.last is None:
        return False
    if isinstance(ring, split_rings.DriverRing):
        entry = ring.idx + ring.held - 1
        value = queue.words[ring.ring + (entry - values.get("back", 0)) % queue.size]
        queue.words[ring.ring + entry % queue.size] = values.get("value", value)
        return True
    ids = queue.ids
    value = ids[max(0, len(ids) - 1 - values.get("back", 0))]
    queue.words[(queue.places[0] + 16 * queue.slots[-1] + 12) // 2] = values.get("value", value)
    return True


def _available(queue: HostileQueue, add: int) -> None:
    """So many more are available than there are."""
    ring = queue.ring
    if isinstance(ring, split_rings.DriverRing):
        queue.words[ring.idx_word] = (ring.idx + add) & _WORD
        return
    position, wrap = ring.next, ring.wrap
    for _ in range(min(add, queue.size)):
        word = (queue.places[0] + 16 * position + 14) // 2
        bits = queue.words[word] & ~(spec.DESC_F_AVAIL | spec.DESC_F_USED)
        queue.words[word] = bits | (spec.DESC_F_AVAIL if wrap else spec.DESC_F_USED)
        position += 1
        if position == queue.size:
            position, wrap = 0, wrap ^ 1
