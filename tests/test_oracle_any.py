"""The oracle on traces that nobody wrote: it never raises, never grows, and tells every reordering it can."""

from __future__ import annotations

from collections.abc import Sized
from itertools import permutations
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import spec
from oracles.control import Extent
from oracles.oracle import Oracle, QueueOracle, judge
from oracles.trace import (
    KINDS,
    Called,
    Idle,
    Notified,
    Observation,
    Published,
    Reclaimed,
    Scanned,
    Started,
    Stored,
    Supplied,
)

DESCRIPTOR, DRIVER, DEVICE, BUFFERS = 0x10000, 0x11000, 0x12000, 0x13000
small = st.integers(0, 9)
word = st.one_of(small, st.integers(0, 0xFFFF), st.sampled_from([0x7FFF, 0x8000, 0x8001, 0xFFFE, 0xFFFF]))
long = st.one_of(small, st.integers(0, (1 << 32) - 1))
address = st.one_of(
    st.integers(0, (1 << 64) - 1),
    *(st.integers(at, at + 0xA0) for at in (DESCRIPTOR, DRIVER, DEVICE, BUFFERS)),
    st.builds(lambda slot, offset: DESCRIPTOR + 16 * slot + offset, small, st.sampled_from([8, 14])),
    st.builds(lambda slot: DEVICE + 4 + 8 * slot, small),
)
extent = st.tuples(address, long)
element = st.builds(spec.USED_ELEMENT.pack, st.one_of(small, long), long)
flags = st.sampled_from([0, 2, 0x80, 0x8000, 0x8080, 0x8082])
descriptor = st.builds(spec.DESCRIPTOR.pack, st.just(0), st.one_of(small, long), st.one_of(small, word), flags)
data = st.one_of(
    st.binary(max_size=20),
    element,
    descriptor,
    descriptor.map(lambda whole: whole[8:14]),
    flags.map(lambda value: value.to_bytes(2, "little")),
    word.map(lambda value: value.to_bytes(2, "little")),
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "layout": st.sampled_from(spec.LAYOUTS),
    "size": st.integers(1, 9),
    "features": st.sampled_from([0, spec.IN_ORDER, spec.EVENT_IDX, spec.IN_ORDER | spec.EVENT_IDX]),
    "descriptor": st.just(DESCRIPTOR),
    "driver": st.just(DRIVER),
    "device": st.just(DEVICE),
    "memory": st.just((DESCRIPTOR, 0x10000)),
    "cause": st.sampled_from(["init", "reset", "queue_reset", "restart"]),
    "proof": st.integers(1, 4),
    "what": st.sampled_from(["device", "queue", "stop"]),
    "base": st.one_of(st.integers(-1, 9), long),
    "elements": st.lists(extent, max_size=3).map(tuple),
    "kept": st.lists(st.tuples(small, small), max_size=2).map(tuple),
    "decoys": st.lists(word, max_size=2).map(tuple),
    "table": extent,
    "wrong": st.sampled_from(["", "byte 0"]),
    "address": address,
    "data": data,
    "changed": st.integers(0, 0x1FF),
    "slots": st.integers(1, 4),
    "event": word,
    "idx": word,
    "available": word,
    "used": word,
    "readable": small,
    "writable": small,
    "length": long,
    "silent": st.booleans(),
    "final": st.booleans(),
    "owed": st.booleans(),
    "register": st.sampled_from(["device_status", "queue_enable", "QueueReady", "config", "isr", "", "Other"]),
    "rule": st.sampled_from(["ST-SEQ", "NO-RULE"]),
}


#: Fields that have no values of their own above.
OF_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    bytes: data,
    bool: st.booleans(),
    str: st.sampled_from(["", "used", "executed"]),
    tuple[Extent, ...]: st.lists(extent, max_size=2).map(tuple),
}


def kind_of(kind: type[Observation]) -> st.SearchStrategy[Observation]:
    hints = get_type_hints(kind)
    fields = {name: FIELDS.get(name, OF_TYPE.get(hints[name], small)) for name in kind._fields}
    if kind.__name__ == "SawUsed":
        fields["elements"] = st.one_of(st.lists(element, max_size=9).map(b"".join), st.binary(max_size=20))
    if kind.__name__ == "Scanned":
        fields["device"] = st.sampled_from(["any", "blk"])
    if kind.__name__ == "SawDescriptor":
        fields["data"] = st.one_of(descriptor, st.binary(max_size=20))
    return st.builds(kind, **fields)


any_observation = st.one_of([kind_of(kind) for kind in KINDS.values()])
#: a driver that behaves: buffers are numbered in turn, and the queue is live
plausible = st.one_of(
    st.just(None),
    st.just(None),
    *(
        kind_of(KINDS[name])
        for name in "published stored stored stored sawused sawdescriptor scanned reclaimed".split()
    ),
    any_observation,
)


@settings(max_examples=300)
@given(st.lists(any_observation, max_size=30))
def test_any_trace_is_judged(trace: list[Observation]) -> None:
    oracle = Oracle()
    for observation in trace:  # to the end, whatever was found
        oracle.feed(0, observation)
    oracle.conclude()
    judge([(0, observation) for observation in trace])


@settings(max_examples=700)
@given(kind_of(Started), st.lists(plausible, max_size=40))
def test_any_device_is_judged(begin: Observation, trace: list[Observation | None]) -> None:
    """A driver with numbers in order; a device, and a reader of memory, that do anything."""
    oracle = QueueOracle()
    oracle.feed(begin)
    number = 0
    for seen in trace:
        observation = Supplied(0, number % 9, 1, 4, 8, ((BUFFERS, 4), (BUFFERS + 8, 8))) if seen is None else seen
        if isinstance(observation, Supplied):
            observation = observation._replace(buffer=number)
            number += 1
        oracle.feed(observation)
    oracle.conclude()


@pytest.mark.parametrize("second", [Supplied(1, 0, 1, 0, 8), Supplied(7, 1, 1, 0, 8), Supplied(0, 1, 1, 0, 8)])
def test_a_trace_that_no_driver_makes_is_survived(second: Supplied) -> None:
    """One id given twice, numbers that aren't consecutive: nothing is said of that life, and nothing raised later."""
    begin = Started(spec.SPLIT, 4, spec.IN_ORDER, DESCRIPTOR, DRIVER, DEVICE, (DESCRIPTOR, 1 << 16))
    oracle = QueueOracle()
    for observation in (begin, Supplied(0, 0, 1, 0, 8), second, Published(2)):
        assert oracle.feed(observation) is None
    for life in range(3):
        for seen in (Stored(DEVICE + 4, spec.USED_ELEMENT.pack(second.id, 8)), Stored(DEVICE + 2, b"\2\0")):
            violation = oracle.feed(seen)
            assert life or violation is None
        oracle.feed(begin._replace(cause="restart"))


# --- what it costs ----------------------------------------------------------------------------------------------------


def sizes(thing: object, seen: set[int]) -> int:
    """Items in all containers that hang from *thing*."""
    if id(thing) in seen or isinstance(thing, str | bytes | int | type):
        return 0
    seen.add(id(thing))
    total = len(thing) if isinstance(thing, Sized) else 0
    if isinstance(thing, dict):
        total += sum(sizes(value, seen) for value in thing.values())
    elif isinstance(thing, Sized) and hasattr(thing, "__iter__"):
        total += sum(sizes(item, seen) for item in thing)
    names = getattr(thing, "__slots__", ()) or getattr(thing, "__dict__", {})
    if type(thing).__module__.startswith("oracles"):
        total += sum(sizes(getattr(thing, name, None), seen) for name in names)
    return total


def used_at(layout: str, size: int, number: int) -> list[Observation]:
    """Buffer *number*, of one descriptor, is used alone."""
    slot = number % size
    if layout == spec.SPLIT:
        idx = Stored(DEVICE + 2, (number + 1 & 0xFFFF).to_bytes(2, "little"))
        return [Stored(DEVICE + 4 + 8 * slot, spec.USED_ELEMENT.pack(slot, 8)), idx]
    whole = spec.DESCRIPTOR.pack(0, 8, slot, 2 | (0 if number // size & 1 else 0x8080))
    at = DESCRIPTOR + 16 * slot
    return [Stored(at + 8, whole[8:14]), Stored(at + 14, whole[14:])]


@pytest.mark.parametrize("layout", spec.LAYOUTS)
@pytest.mark.parametrize("features", [0, spec.IN_ORDER], ids=["", "in_order"])
def test_memory_is_bounded_by_the_queue_size(layout: str, features: int) -> None:
    """20 000 buffers through a ring of 8, the index past 65535 would be no different; sizes at 100 and at the end."""
    oracle = QueueOracle()
    begin = 0 if layout == spec.SPLIT else 1 << 15
    started = Started(layout, 8, features, DESCRIPTOR, DRIVER, DEVICE, (DESCRIPTOR, 1 << 16), begin, begin)
    assert oracle.feed(started) is None
    early = 0
    for number in range(20_000):
        told: list[Observation] = [Supplied(number, number % 8, 1, 0, 8, ((BUFFERS, 8),)), Published(1), Notified()]
        told += [*used_at(layout, 8, number), Called(), Idle(True), Scanned(number), Reclaimed(1)]
        for observation in told:
            assert oracle.feed(observation) is None
        if number == 100:
            early = sizes(oracle, set())
    assert oracle.used_total == 20_000
    assert 0 < sizes(oracle, set()) <= early


def test_growth_would_be_seen() -> None:
    oracle = QueueOracle()
    before = sizes(oracle, set())
    oracle.queue.by_id.update(dict.fromkeys(range(100)))  # type: ignore[arg-type]  # only their number matters
    assert sizes(oracle, set()) >= before + 100


# --- reorderings ------------------------------------------------------------------------------------------------------


def reordered(layout: str, order: tuple[int, ...], features: int) -> list[Observation]:
    """Buffers of one descriptor come back in this order, each published alone."""
    begin = 0 if layout == spec.SPLIT else 1 << 15
    trace: list[Observation] = [
        Started(layout, 8, features, DESCRIPTOR, DRIVER, DEVICE, (DESCRIPTOR, 1 << 16), begin, begin)
    ]
    trace += [Supplied(number, number, 1, 4, 0, ((BUFFERS, 4),)) for number in range(len(order))]
    trace.append(Published(len(order)))
    for place, number in enumerate(order):
        first, second = used_at(layout, 8, place)
        assert isinstance(first, Stored)
        if layout == spec.SPLIT:
            trace.append(first._replace(data=spec.USED_ELEMENT.pack(number, 0)))
        else:
            trace.append(first._replace(data=bytes(4) + number.to_bytes(2, "little")))
        trace.append(second)
    return trace


@pytest.mark.parametrize("layout", spec.LAYOUTS)
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_every_reordering_is_told_from_use_one_by_one(layout: str, count: int) -> None:
    """Split: at once. Packed: an early return reads like a batch, until the next used descriptor lands in it."""
    for order in permutations(range(count)):
        trace = reordered(layout, order, spec.IN_ORDER)
        violation, warnings = judge((0, observation) for observation in trace)
        assert not warnings
        wrong = next((place for place in range(count) if order[place] != place), None)
        assert (violation is None) == (wrong is None), order
        assert judge((0, observation) for observation in reordered(layout, order, 0))[0] is None
        if violation is not None and wrong is not None:
            late = 0 if layout == spec.SPLIT else 1
            assert violation.event == 1 + count + 1 + 2 * (wrong + late) + 1, order
            if layout == spec.SPLIT or count == 2:
                assert violation.rule == "INO-ORDER", (order, violation)
