"""What one observation costs the oracle, in time and in memory, for rings and traces of any size."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

from bench.measuring import Row, Size, say, take_turns
from fuzz.targets.model import ADDRESS
from oracles import oracle, spec, trace

_BURST = 8
_AT_ONCE = 2000  # events made before some are fed, at least
_ROOM = 64  # bytes that each buffer has for an answer
FORMS = ("split, stores", "split, looking", "packed, stores", "packed, looking")


def started(form: str, ring: int) -> trace.Started:
    """The queue that ``lap`` is about: IN_ORDER, no EVENT_IDX."""
    layout = form.partition(",")[0]
    first = 0 if layout == spec.SPLIT else 1 << 15
    sizes = spec.area_sizes(layout, spec.MAX_SIZE)
    places = (ADDRESS, ADDRESS + sizes[0], ADDRESS + sizes[0] + 4 * spec.MAX_SIZE)
    return trace.Started(layout, ring, spec.VERSION_1 | spec.IN_ORDER, *places, (ADDRESS, 1 << 22), first, first)


Laps = Callable[[int], list[trace.Observation]]


def laps(form: str, ring: int) -> Laps:
    """A function from the number of a lap to its observations: fill the ring, use all of it, take it back.

    All but the supplies, which are numbered on, are made once: 2^16 used idx values, or two laps of a packed ring.
    """
    calls: list[trace.Observation] = [trace.Published(_BURST), trace.Called(), trace.Reclaimed(_BURST)]
    layout = form.partition(",")[0]
    use = _use(form, ring)
    tails = []
    for lap in range(65536 // ring if layout == spec.SPLIT else 2):
        tail: list[trace.Observation] = []
        for first in range(0, ring, _BURST):
            for place in range(first, first + _BURST):
                tail += use(lap, place)
            tail += calls[1:]
        tails.append(tail)

    def make(lap: int) -> list[trace.Observation]:
        out: list[trace.Observation] = []
        for place in range(ring):
            out.append(trace.Supplied(lap * ring + place, place, 1, 0, _ROOM, ((ADDRESS, _ROOM),)))
            if place % _BURST == _BURST - 1:
                out.append(calls[0])
        return out + tails[lap % len(tails)]

    return make


def _use(form: str, ring: int) -> Callable[[int, int], list[trace.Observation]]:
    told = started(form, ring)
    looking = form.endswith("looking")
    elements = [spec.USED_ELEMENT.pack(place, _ROOM) for place in range(ring)]
    written = [trace.Stored(told.device + 4 + 8 * place, data) for place, data in enumerate(elements)]

    def split(lap: int, place: int) -> list[trace.Observation]:
        idx = lap * ring + place + 1 & 0xFFFF
        if looking:
            return [trace.SawUsed(idx, elements[place], 1)]
        return [written[place], trace.Stored(told.device + 2, idx.to_bytes(2, "little"))]

    def packed(lap: int, place: int) -> list[trace.Observation]:
        flags = spec.DESC_F_WRITE | (spec.DESC_F_AVAIL | spec.DESC_F_USED if lap % 2 == 0 else 0)
        data = spec.DESCRIPTOR.pack(0, _ROOM, place, flags)
        if looking:
            return [trace.SawDescriptor(place, data)]
        at = told.descriptor + 16 * place
        return [trace.Stored(at + 8, data[8:14]), trace.Stored(at + 14, data[14:])]

    return split if told.layout == spec.SPLIT else packed


def feed(told: trace.Started, lap: Laps, count: int) -> float:
    """Feed *count* events to a new oracle, which must find nothing in them. Returns CPU seconds per event."""
    judge = oracle.QueueOracle()
    take = judge.feed
    take(told)
    took = 0.0
    left, number = count, 0
    while left > 0:
        events: list[trace.Observation] = []
        while len(events) < _AT_ONCE:
            events += lap(number)
            number += 1
        del events[left:]
        left -= len(events)
        began = time.process_time()
        for event in events:
            if take(event) is not None:
                raise AssertionError(f"the oracle accuses a conforming stream at {event}")
        took += time.process_time() - began
    assert not judge.blind
    return took / count


def _feed_often(told: trace.Started, lap: Laps, count: int) -> float:
    times = max(1, 20_000 // count)
    return sum(feed(told, lap, count) for _ in range(times)) / times


def measure_oracle(size: Size) -> Iterator[Row]:
    """Nanoseconds per judged event: by ring size, then by length of the trace."""
    middle = size.rings[min(1, len(size.rings) - 1)]
    for form in FORMS:
        works: dict[str, Callable[[], float]] = {}
        for ring in size.rings:
            works[f"ring {ring}"] = partial(_feed_often, started(form, ring), laps(form, ring), size.length)
        for length in size.lengths:
            works[f"{length:.0e} events"] = partial(_feed_often, started(form, middle), laps(form, middle), length)
        say(f"  {form}: {', '.join(works)}")
        times = take_turns(works, min(size.repetitions, 3))
        for name, timed in times.items():
            ns = timed.seconds * 1e9
            yield Row(f"oracle, {form}, {name}", f"{ns:,.0f} ns/event", f"{timed.rounds:.1f}", "≤ 300 ns", ns <= 300)
        every = [timed.rounds for timed in times.values()]
        spread = max(every) / min(every)
        yield Row(f"oracle, {form}: slowest to fastest", f"{spread:.2f}", "", "≤ 1.5", spread <= 1.5)


def measure_memory(size: Size) -> Iterator[Row]:
    """What the oracle holds at most while it judges: the same for traces of any length."""
    for form in FORMS:
        for ring in dict.fromkeys((size.rings[0], min(size.rings[-1], 4096))):
            told, lap = started(form, ring), laps(form, ring)
            counts = max(8 * ring, 2 * _AT_ONCE), max(16 * ring, size.length)  # the shorter, too, fills the ring
            short, long = (_peak(told, lap, count) for count in counts)
            growth = (long - short) / (counts[1] - counts[0])
            name = f"oracle's memory, {form}, ring {ring}, {counts[0]:,} and {counts[1]:,} events"
            figure = f"{short / 1024:,.0f} and {long / 1024:,.0f} KiB"
            yield Row(name, figure, f"{growth:.2f} B/event", "constant", growth < 0.5)


def _peak(told: trace.Started, lap: Laps, count: int) -> int:
    """Bytes at most, with the events that are fed at once."""
    gc.collect()
    tracemalloc.start()
    try:
        feed(told, lap, count)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
