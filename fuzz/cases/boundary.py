"""Programs at the boundaries of a ring: full, filled by one chain, wrapped, one entry, the last index.

Made by rule and not by chance, one idea each, for every layout, with in_order and without. Knows programs
alone; ``fuzz.adapting`` turns them into a device's own requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fuzz.program import Notify, Program, Publish, Queue, Receive, Reset, Restart, Step, Supply, Suppress
from oracles import spec

_Steps = Callable[[int], tuple[Step, ...]]
_ONE = Supply((), (8,))


def _full(size: int) -> tuple[Step, ...]:
    """Every descriptor in flight, three times over."""
    lap: tuple[Step, ...] = (*(_ONE,) * size, Notify(), Receive(size))
    return lap * 3


def _full_singly(size: int) -> tuple[Step, ...]:
    """The ring fills one notification at a time."""
    return (*((_ONE, Notify()) * size), Receive(size), _ONE, Notify(), Receive(1))


def _chain_of_size(size: int) -> tuple[Step, ...]:
    """One chain takes all there is, from every position."""
    steps: list[Step] = []
    for _ in range(min(size, 3) + 1):
        chain = Supply((1,) * (size // 2), (1,) * (size - size // 2))
        steps += [chain, Notify(), Receive(1), _ONE, Notify(), Receive(1)]
    return tuple(steps)


def _over_the_end(size: int) -> tuple[Step, ...]:
    """Chains of two from an odd position cross the end."""
    pair = Supply((8,), (8,))
    return (_ONE, Notify(), Receive(1), *(pair, Notify(), Receive(1)) * size)


def _batches(size: int) -> tuple[Step, ...]:
    """One step makes 1, 2, 3 … buffers available."""
    steps: list[Step] = []
    for count in range(1, size + 1):
        steps += [*(Supply((4,), (4,), held=True),) * (count // 2), *(_ONE,) * (count % 2), Publish(), Notify()]
        steps += [Receive(size)]
    return tuple(steps)


def _half_received(size: int) -> tuple[Step, ...]:
    """The driver takes back half, refills, and goes on, so that the two cursors are never in one place."""
    half = max(size // 2, 1)
    refill: tuple[Step, ...] = (*(_ONE,) * half, Notify(), Receive(half))
    return (*(_ONE,) * size, Notify(), Receive(half), *refill * 4, Receive(size))


def _laps(size: int) -> tuple[Step, ...]:
    """One at a time through three laps and a bit."""
    return (_ONE, Notify(), Receive(1)) * (3 * size + 1)


def _tables(size: int) -> tuple[Step, ...]:
    """Indirect tables of 1 to size entries."""
    steps: list[Step] = []
    for count in sorted({1, 2, size}):
        steps += [Supply((1,) * (count // 2), (1,) * (count - count // 2), indirect=0), Notify(), Receive(1)]
    return tuple(steps)


def _full_tables(size: int) -> tuple[Step, ...]:
    """As many tables in flight as there are descriptors."""
    lap: tuple[Step, ...] = (*(Supply((8,), (8,), indirect=0),) * size, Notify(), Receive(size))
    return lap * 2


def _asleep(size: int) -> tuple[Step, ...]:
    """A driver that looks only when it was told."""
    return (Suppress("enable"), *(_ONE,) * size, Notify(), Receive(size, True), _ONE, Notify(), Receive(1, True))


def _events(size: int) -> tuple[Step, ...]:
    """An event at each distance that there is."""
    steps: list[Step] = []
    for ahead in range(min(size, 4)):
        steps += [Suppress("event", ahead), *(_ONE,) * (ahead + 1), Notify(), Receive(ahead + 1, True)]
    return tuple(steps)


def _disabled(size: int) -> tuple[Step, ...]:
    """Notifications are off while buffers are used, and on again after."""
    return (Suppress("disable"), *(_ONE,) * size, Notify(), Receive(size), Suppress("enable"), _ONE, Notify(),
            Receive(1, True))  # fmt: skip


def _spurious(size: int) -> tuple[Step, ...]:
    """Notifications that announce nothing."""
    return (Notify(True), Notify(True), _ONE, Notify(True), Receive(1), Notify(True), _ONE, Notify(), Receive(1))


def _reset_in_flight(size: int) -> tuple[Step, ...]:
    """A device reset right after a notification, then a lap."""
    return (*(_ONE,) * size, Notify(), Reset(), *(_ONE, Notify(), Receive(1)) * (size + 1))


def _restarted(size: int) -> tuple[Step, ...]:
    """A queue is stopped in its second lap and started where it stopped."""
    return (*(_ONE, Notify(), Receive(1)) * (size + 1), Restart(), *(_ONE, Notify(), Receive(1)) * (size + 1))


IDEAS: dict[str, tuple[_Steps, tuple[int, ...], int]] = {
    "full": (_full, (1, 2, 8), 0),
    "full-singly": (_full_singly, (2, 8), 0),
    "chain-of-size": (_chain_of_size, (1, 2, 8), 0),
    "over-the-end": (_over_the_end, (2, 4), 0),
    "batches": (_batches, (4,), 0),
    "half-received": (_half_received, (2, 8), 0),
    "laps": (_laps, (1, 4), 0),
    "tables": (_tables, (2, 8), spec.INDIRECT_DESC),
    "full-tables": (_full_tables, (2, 8), spec.INDIRECT_DESC),
    "asleep": (_asleep, (4,), 0),
    "asleep-event-idx": (_asleep, (4,), spec.EVENT_IDX),
    "events": (_events, (4,), spec.EVENT_IDX),
    "disabled": (_disabled, (4,), 0),
    "spurious": (_spurious, (4,), 0),
    "reset-in-flight": (_reset_in_flight, (4,), 0),
    "restarted": (_restarted, (4,), 0),
}
"""What to do on a ring of a size; the sizes; the features that it is about."""
_PACKED_SIZES = {8: 7, 4: 3}  # what is no power of two is where packed rings go wrong
_LATE = {"index-65536": 65532, "index-32768": 32766}  # split: the index begins shortly before it wraps, or changes sign


def programs() -> Iterator[tuple[str, Program]]:
    """(name, program) of every boundary: the name says idea, size, layout, and whether it is in order."""
    for idea, (steps, sizes, features) in IDEAS.items():
        for layout in spec.LAYOUTS:
            every = [
                *sizes,
                *(_PACKED_SIZES[size] for size in sizes if layout == spec.PACKED and size in _PACKED_SIZES),
            ]
            for size in every:
                for order in (0, spec.IN_ORDER):
                    name = f"{idea}-{size}/{layout}" + ("/in-order" if order else "")
                    made = Program(layout, (Queue(size),), spec.VERSION_1 | features | order, "any", steps(size))
                    yield name, made
    for idea, start in _LATE.items():
        for order in (0, spec.IN_ORDER):
            name = f"{idea}/split" + ("/in-order" if order else "")
            steps_of = _half_received(4)
            yield name, Program(spec.SPLIT, (Queue(4, start),), spec.VERSION_1 | order, "any", steps_of)
