"""Looking at a driver's rings where its stores are not logged: what reads otherwise than at the last look.

What was found is told in the order in which a driver must have stored it: tables, descriptors, and what publishes
them last. Knows the layouts' memory; must not judge.
"""

from __future__ import annotations

from collections.abc import Iterator

from oracles import spec
from oracles.exposing import Follower
from oracles.packed_driver import PackedFollower
from oracles.split_driver import SplitFollower
from oracles.trace import Exposed

NEXT, INDIRECT = spec.DESC_F_NEXT, spec.DESC_F_INDIRECT
_unpack = spec.DESCRIPTOR.unpack_from


def found(follower: Follower, memory: memoryview, address: int) -> Iterator[Exposed]:
    """All that changed in *memory*, offset 0 of which the driver calls *address*."""
    places = [start - address for start, _ in follower.areas()]
    yield from _tables(follower, memory, address, places)
    if isinstance(follower, SplitFollower):
        yield from _descriptors(follower, memory, places[0], range(follower.size))
        yield from _available(follower, memory, places[1])
    else:
        assert isinstance(follower, PackedFollower)
        size, begin = follower.size, follower.next
        yield from _descriptors(follower, memory, places[0], ((begin - 1 - back) % size for back in range(size)))
        yield from _words(follower, memory, 1, places[1], (0, len(follower.driver)))
    yield from _words(follower, memory, 2, places[2], (0, len(follower.device)))


def _words(follower: Follower, memory: memoryview, area: int, place: int, part: tuple[int, int]) -> Iterator[Exposed]:
    """Part of an area, from its first word that changed to its last."""
    start, copy = follower.areas()[area]
    first, end = part
    read = memory[place + first : place + end].tobytes()
    known = bytes(copy[first:end])
    if read == known:
        return
    changed = [at for at in range(len(read)) if read[at] != known[at]]
    low, high = changed[0] & ~1, changed[-1] + 2 & ~1
    yield Exposed(start + first + low, read[low:high])


def _descriptors(follower: Follower, memory: memoryview, place: int, slots: Iterator[int] | range) -> Iterator[Exposed]:
    """Descriptors that changed, in the order of *slots*."""
    start, copy = follower.areas()[0]
    read = memory[place : place + len(copy)].tobytes()
    if read == copy:
        return
    for slot in slots:
        at = 16 * slot
        if read[at : at + 16] != copy[at : at + 16]:
            yield Exposed(start + at, read[at : at + 16])


def _available(follower: SplitFollower, memory: memoryview, place: int) -> Iterator[Exposed]:
    """The available ring's flags and event, its entries, and its idx last."""
    end = 4 + 2 * follower.size
    yield from _words(follower, memory, 1, place, (0, 2))
    yield from _words(follower, memory, 1, place, (end, len(follower.driver)))
    yield from _words(follower, memory, 1, place, (4, end))
    yield from _words(follower, memory, 1, place, (2, 4))


def _tables(follower: Follower, memory: memoryview, address: int, places: list[int]) -> Iterator[Exposed]:
    """Indirect tables of what is about to be found exposed, and those of exposed buffers that changed."""
    tables = [chain.table for chain in follower.outstanding.values() if chain.table[1]]
    if isinstance(follower, SplitFollower):
        tables += _new_split(follower, memory, places)
    elif isinstance(follower, PackedFollower):
        tables += _new_packed(follower, memory, places[0])
    for where, length in tables:
        at = where - address
        if length >= 16 and 0 <= at <= len(memory) - length:
            data = memory[at : at + length].tobytes()
            if follower.tables.get(where) != data:
                yield Exposed(where, data)


def _new_split(follower: SplitFollower, memory: memoryview, places: list[int]) -> list[tuple[int, int]]:
    size, tables = follower.size, []
    idx = int.from_bytes(memory[places[1] + 2 : places[1] + 4], "little")
    for step in range(min((idx - follower.idx) & 0xFFFF, size)):
        entry = places[1] + 4 + 2 * ((follower.idx + step) % size)
        index = int.from_bytes(memory[entry : entry + 2], "little")
        for _ in range(size):
            if index >= size:
                break
            where, length, flags, index = _unpack(memory, places[0] + 16 * index)
            if flags & INDIRECT:
                tables.append((where, length))
            if not flags & NEXT:
                break
    return tables


def _new_packed(follower: PackedFollower, memory: memoryview, place: int) -> list[tuple[int, int]]:
    tables, position, wrap = [], follower.next, follower.wrap
    both = spec.DESC_F_AVAIL | spec.DESC_F_USED
    for _ in range(follower.size):
        where, length, _, flags = _unpack(memory, place + 16 * position)
        if flags & both != (spec.DESC_F_AVAIL if wrap else spec.DESC_F_USED):
            break
        if flags & INDIRECT:
            tables.append((where, length))
        position += 1
        if position == follower.size:
            position, wrap = 0, wrap ^ 1
    return tables
