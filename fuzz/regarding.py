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


def found(follower: Follower, memory: memoryview, address: int, live: bool = False) -> Iterator[Exposed]:
    """All that changed in *memory*, offset 0 of which the driver calls *address*.

    *live*: the driver runs meanwhile, so that only what was published before the look began is certain.
    """
    places = [start - address for start, _ in follower.areas()]
    if isinstance(follower, SplitFollower):
        idx = memory[places[1] + 2 : places[1] + 4].tobytes()  # before all that it publishes
        yield from _tables(follower, memory, address, _new_split(follower, memory, places, idx))
        yield from _descriptors(follower, memory, places[0], range(follower.size))
        yield from _available(follower, memory, places[1], idx)
    else:
        assert isinstance(follower, PackedFollower)
        size, begin = follower.size, follower.next
        tables, taken = _new_packed(follower, memory, places[0])
        yield from _tables(follower, memory, address, tables)
        order: Iterator[int] = ((begin - 1 - back) % size for back in range(size))
        if live:
            order = (slot for slot in order if (slot - begin) % size < taken or follower.owner[slot] is not None)
        yield from _descriptors(follower, memory, places[0], order)
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


def _available(follower: SplitFollower, memory: memoryview, place: int, idx: bytes) -> Iterator[Exposed]:
    """The available ring's flags and event, its entries, and its idx last."""
    end = 4 + 2 * follower.size
    yield from _words(follower, memory, 1, place, (0, 2))
    yield from _words(follower, memory, 1, place, (end, len(follower.driver)))
    yield from _words(follower, memory, 1, place, (4, end))
    start, copy = follower.areas()[1]
    if idx != copy[2:4]:
        yield Exposed(start + 2, idx)


def _tables(follower: Follower, memory: memoryview, address: int, fresh: list[tuple[int, int]]) -> Iterator[Exposed]:
    """Indirect tables of what is about to be found exposed, and those of exposed buffers that changed."""
    tables = [chain.table for chain in follower.outstanding.values() if chain.table[1]]
    for where, length in (*tables, *fresh):
        at = where - address
        if length >= 16 and 0 <= at <= len(memory) - length:
            data = memory[at : at + length].tobytes()
            if follower.tables.get(where) != data:
                yield Exposed(where, data)


def _new_split(follower: SplitFollower, memory: memoryview, places: list[int], idx: bytes) -> list[tuple[int, int]]:
    """(address, bytes) of the tables of chains that *idx* publishes."""
    size, tables = follower.size, []
    for step in range(min((int.from_bytes(idx, "little") - follower.idx) & 0xFFFF, size)):
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


def _new_packed(follower: PackedFollower, memory: memoryview, place: int) -> tuple[list[tuple[int, int]], int]:
    """(address, bytes) of the tables of lists that are available now, and how many descriptors the lists take."""
    tables, position, wrap = [], follower.next, follower.wrap
    both = spec.DESC_F_AVAIL | spec.DESC_F_USED
    inside = False  # a list whose first descriptor is available
    taken = 0
    for _ in range(follower.size):
        at = place + 16 * position
        if not inside:  # flags are read before what they publish, which may just be written
            flags = int.from_bytes(memory[at + 14 : at + 16], "little")
            if flags & both != (spec.DESC_F_AVAIL if wrap else spec.DESC_F_USED):
                break
        where, length, _, flags = _unpack(memory, at)
        inside = bool(flags & NEXT)
        taken += 1
        if flags & INDIRECT:
            tables.append((where, length))
        position += 1
        if position == follower.size:
            position, wrap = 0, wrap ^ 1
    return tables, taken
