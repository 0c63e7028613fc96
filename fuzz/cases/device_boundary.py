"""Programs at the boundaries of a ring in which we are the device: batches over its end, full rings, half a batch.

Made by rule and not by chance, one idea each, for every layout, with in_order and without. Those of ``SERVED`` ask
the driver for nothing, for drivers that act by themselves. Knows programs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fuzz.program import (
    Add,
    Call,
    Callbacks,
    Get,
    Kick,
    Limits,
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

_Steps = Callable[[int], tuple[Step, ...]]
_ONE = Add((), (8,))
_PAIR = Add((8,), (8,))
_INDEX = 1 << 16  # where a split queue's idx wraps


def _round(adds: tuple[Step, ...], count: int, length: int | None = None) -> tuple[Step, ...]:
    """*adds* come back as one batch of *count*, where batches are."""
    return (*adds, Kick(), Use(count, length, junk=True), Call(), Get(count))


def _single(times: int) -> tuple[Step, ...]:
    return _round((_ONE,), 1) * times


def _full(size: int) -> tuple[Step, ...]:
    """Every descriptor in flight, and one buffer more than there is room for, three times over."""
    return _round((_ONE,) * (size + 1), size) * 3


def _full_singly(size: int) -> tuple[Step, ...]:
    """The ring fills one notification at a time, and is used one buffer at a time."""
    return (*((_ONE, Kick()) * size), *(Use(1), Call()) * size, Get(size), *_single(1))


def _chain_of_size(size: int) -> tuple[Step, ...]:
    """One chain takes all there is, from every position."""
    chain = Add((1,) * (size // 2), (1,) * (size - size // 2))
    return (*_round((chain,), 1), *_single(1)) * (min(size, 3) + 1)


def _over_the_end(size: int) -> tuple[Step, ...]:
    """Batches begin one descriptor before the end of the ring, and go on behind it."""
    return (*_single(size - 1), *_round((_ONE,) * size, size) * 2, *_single(1), *_round((_PAIR,) * (size // 2), size))


def _to_the_end(size: int) -> tuple[Step, ...]:
    """A batch ends with the last descriptor of the ring; the next one begins at the first."""
    return (*_single(1), *_round((_ONE,) * (size - 1), size - 1), *_round((_ONE,) * size, size), *_single(1)) * 2


def _batches(size: int) -> tuple[Step, ...]:
    """Batches of 1, 2, 3 … buffers, of which the last is written to a part."""
    steps: list[Step] = []
    for count in range(1, size + 1):
        steps += _round((_ONE,) * count, count, count % 8)
    return tuple(steps)


def _half_then_sleep(size: int) -> tuple[Step, ...]:
    """The driver takes back half of a batch and wants to sleep; then the rest, and sleeps."""
    half = max(size // 2, 1)
    return (*(_ONE,) * size, Kick(), Use(size, junk=True), Get(half), Callbacks("on"), Get(size - half + 1),
            Callbacks("on"), _ONE, Kick(), Use(1), Call(), Get(1, True))  # fmt: skip


def _half_then_refill(size: int) -> tuple[Step, ...]:
    """Half of a batch is taken back and supplied anew, so that both sides' places are never the same."""
    half = max(size // 2, 1)
    refill: tuple[Step, ...] = (Get(half), *(_ONE,) * half, Kick(), Use(half, junk=True))
    return (*(_ONE,) * size, Kick(), Use(size, junk=True), *refill * 5, Get(size))


def _half_then_reset(size: int) -> tuple[Step, ...]:
    """A reset when half of a batch was taken back: the rest of it means nothing any more."""
    half = max(size // 2, 1)
    begun: tuple[Step, ...] = (*(_ONE,) * size, Kick(), Use(size, junk=True), Get(half), Reset())
    return (*begun, *begun, _ONE, Get(1), Kick(), Use(1), Call(), Get(1), *_single(size))


def _half_then_queue_reset(size: int) -> tuple[Step, ...]:
    """The same for the reset of the queue alone."""
    half = max(size // 2, 1)
    begun: tuple[Step, ...] = (*(_ONE,) * size, Kick(), Use(size, junk=True), Get(half), QueueReset())
    return (*begun, _ONE, Get(1), Kick(), Use(1), Call(), Get(1), *_single(size))


def _reset_in_flight(size: int) -> tuple[Step, ...]:
    """A device reset while everything is in flight, then a lap."""
    return (*(_ONE,) * size, Kick(), Reset(), *_single(size + 1))


def _restarted(size: int) -> tuple[Step, ...]:
    """The queue is stopped in its second lap and started where it stopped."""
    return (*_single(size + 1), Restart(), *_single(size), Restart(), *_round((_ONE,) * size, size))


def _laps(size: int) -> tuple[Step, ...]:
    """One at a time through three laps and a bit."""
    return _single(3 * size + 1)


def _tables(size: int) -> tuple[Step, ...]:
    """Indirect tables of 1 to size entries, alone and as a batch."""
    adds = tuple(Add((1,) * (count // 2), (1,) * (count - count // 2)) for count in sorted({1, 2, size}))
    return (*(step for one in adds for step in _round((one,), 1)), *_round(adds, len(adds)) * 2)


def _full_tables(size: int) -> tuple[Step, ...]:
    """As many tables in flight as there are descriptors."""
    return _round((_PAIR,) * size, size) * 2


def _asleep(size: int) -> tuple[Step, ...]:
    """A driver that looks only when it was told."""
    return (Callbacks("on"), *(_ONE,) * size, Kick(), Use(size), Call(), Get(size, True), Callbacks("on"), _ONE, Kick(),
            Use(1), Call(), Get(1, True))  # fmt: skip


def _delayed(size: int) -> tuple[Step, ...]:
    """A driver that wants to be told when most came back."""
    return (*(_ONE,) * size, Kick(), Callbacks("delayed"), *(Use(1), Call()) * size, Get(size, True)) * 2


def _events(size: int) -> tuple[Step, ...]:
    """We ask to be notified at each distance that there is."""
    steps: list[Step] = []
    for ahead in range(min(size, 4)):
        steps += [Suppress("event", ahead), *(_ONE, Kick()) * (ahead + 1), Use(ahead + 1), Call(), Get(ahead + 1)]
    return tuple(steps)


def _silent(size: int) -> tuple[Step, ...]:
    """We ask not to be notified, then to be; the driver asks the same."""
    return (Suppress("disable"), Callbacks("off"), *(_ONE, Kick()) * size, Use(size), Get(size), Suppress("enable"),
            Callbacks("on"), *_single(2))  # fmt: skip


def _spurious(size: int) -> tuple[Step, ...]:
    """Notifications that announce nothing."""
    return (Call(True), Get(1), Callbacks("on"), Call(True), Get(1), _ONE, Call(True), Get(1), Kick(), Use(1), Call(),
            Get(1), Call(True), Get(1))  # fmt: skip


def _reversed(size: int) -> tuple[Step, ...]:
    """The youngest first, where order is free."""
    return (*(_PAIR,) * (size // 2), Kick(), Use(size, order="reversed"), Get(size), *(_ONE,) * size, Kick(),
            *(Use(1, order="youngest"), Get(1)) * size)  # fmt: skip


def _wrapping_index(size: int) -> tuple[Step, ...]:
    """So many buffers that the index wraps, a full ring at a time."""
    return (*_single(1), *_round((_ONE,) * size, size) * (_INDEX // size + 1))


IDEAS: dict[str, tuple[_Steps, tuple[int, ...], int]] = {
    "full": (_full, (1, 2, 8), 0),
    "full-singly": (_full_singly, (2, 8), 0),
    "chain-of-size": (_chain_of_size, (1, 2, 8), 0),
    "over-the-end": (_over_the_end, (2, 4, 8), 0),
    "to-the-end": (_to_the_end, (2, 4, 8), 0),
    "batches": (_batches, (4, 8), 0),
    "half-then-sleep": (_half_then_sleep, (2, 4), 0),
    "half-then-sleep-event-idx": (_half_then_sleep, (2, 4), spec.EVENT_IDX),
    "half-then-refill": (_half_then_refill, (2, 8), 0),
    "half-then-reset": (_half_then_reset, (2, 4), 0),
    "half-then-queue-reset": (_half_then_queue_reset, (2, 4), spec.RING_RESET),
    "reset-in-flight": (_reset_in_flight, (4,), 0),
    "restarted": (_restarted, (4,), 0),
    "laps": (_laps, (1, 4), 0),
    "tables": (_tables, (2, 8), spec.INDIRECT_DESC),
    "full-tables": (_full_tables, (2, 8), spec.INDIRECT_DESC),
    "asleep": (_asleep, (4,), 0),
    "asleep-event-idx": (_asleep, (4,), spec.EVENT_IDX),
    "delayed-event-idx": (_delayed, (4,), spec.EVENT_IDX),
    "events": (_events, (4,), spec.EVENT_IDX),
    "silent": (_silent, (4,), 0),
    "spurious": (_spurious, (4,), 0),
    "reversed": (_reversed, (4,), 0),
}
"""What to do on a ring of a size; the sizes; the features that it is about."""
_PACKED_SIZES = {8: 7, 4: 3}  # what is no power of two is where packed rings go wrong
_WRAPPING = 16  # entries of the queue whose index wraps


def _served_full(size: int) -> tuple[Step, ...]:
    return (Use(size, junk=True), Call()) * 4


def _served_over_the_end(size: int) -> tuple[Step, ...]:
    return (Use(size - 1, junk=True), Call(), Use(3, junk=True), Call(), Use(size, junk=True), Call(), Use(2), Call())


def _served_to_the_end(size: int) -> tuple[Step, ...]:
    return (Use(1), Call(), Use(size - 1, junk=True), Call(), Use(size // 2), Call(), Use(size - size // 2), Call()) * 2


def _served_singly(size: int) -> tuple[Step, ...]:
    return (Use(size, singly=True), Call(), Use(size, order="reversed"), Call(), Use(3, order="youngest"), Call())


def _served_silent(size: int) -> tuple[Step, ...]:
    return (Suppress("disable"), Use(4), Call(True), Use(size), Suppress("enable"), Use(4), Call(True), Use(size))


def _served_index(size: int) -> tuple[Step, ...]:
    return (Use(1), *(Use(size), Call()) * (_INDEX // size + 2))


SERVED: dict[str, _Steps] = {
    "served-full": _served_full,
    "served-over-the-end": _served_over_the_end,
    "served-to-the-end": _served_to_the_end,
    "served-singly": _served_singly,
    "served-silent": _served_silent,
}
"""The same for a driver that supplies and takes back by itself."""


def programs(limits: Limits) -> Iterator[tuple[str, Program]]:
    """(name, program) of every boundary for a driver with these *limits*: in the sizes that it has."""
    for layout in spec.LAYOUTS:
        have = limits.split_sizes if layout == spec.SPLIT else limits.packed_sizes
        for order in (0, spec.IN_ORDER):
            for idea, size, steps, features in _ideas(layout, "passive" in limits.actions, min(have)):
                yield _made(idea, layout, size, features | order, steps(size))
    order = spec.IN_ORDER if True in limits.in_order else 0  # once: it takes its time
    if "passive" in limits.actions:
        size = min(limits.split_sizes)
        yield _made("index-65536", spec.SPLIT, size, order, _served_index(size))
    else:
        yield _made("index-65536", spec.SPLIT, _WRAPPING, order, _wrapping_index(_WRAPPING))


def _ideas(layout: str, passive: bool, least: int) -> Iterator[tuple[str, int, _Steps, int]]:
    """(idea, size, steps, features) of a layout."""
    if passive:
        yield from ((idea, least, steps, 0) for idea, steps in SERVED.items())
        return
    for idea, (steps, sizes, features) in IDEAS.items():
        for size in sizes:
            yield idea, size, steps, features
            if layout == spec.PACKED and size in _PACKED_SIZES:
                yield idea, _PACKED_SIZES[size], steps, features


def _made(idea: str, layout: str, size: int, features: int, steps: tuple[Step, ...]) -> tuple[str, Program]:
    name = f"{idea}-{size}/{layout}" + ("/in-order" if features & spec.IN_ORDER else "")
    return name, Program(layout, (Queue(size),), spec.VERSION_1 | features, "any", steps, "device")
