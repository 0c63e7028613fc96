"""What faults of the driver are made with: a queue's driver with one small method replaced, or its ring's.

Knows rings and the driver of a queue; must not know rules.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuzz.driver_queue import DriverQueue
from oracles import packed_rings, spec, split_rings
from oracles.model import Buffer
from oracles.trace import Extent

Split = split_rings.DriverRing
Packed = packed_rings.DriverRing
Row = tuple[str, str, str, str, type[DriverQueue]]
"""Name, rule, layout, text, driver."""


def split_with(**methods: object) -> type[DriverQueue]:
    """A driver whose split rings have these methods replaced."""
    return type("Faulty", (DriverQueue,), {"split_ring": type("Ring", (Split,), methods)})


def packed_with(**methods: object) -> type[DriverQueue]:
    """A driver whose packed rings have these methods replaced."""
    return type("Faulty", (DriverQueue,), {"packed_ring": type("Ring", (Packed,), methods)})


def driver_with(**methods: object) -> type[DriverQueue]:
    """A driver with these methods replaced in itself."""
    return type("Faulty", (DriverQueue,), methods)


def place_then(patch: object) -> object:
    """A ``place`` of split rings that calls *patch* (ring, head) once the chain is written."""
    assert callable(patch)

    def place(ring: Split, elements: Sequence[Extent], readable: int, table: Extent | None,
              number: int) -> tuple[int, int]:  # fmt: skip
        head, count = Split.place(ring, elements, readable, table, number)
        patch(ring, head)
        return head, count

    return place


def rewrite(ring: Split, slot: int, *, length: int = -1, flags: int = -1, follower: int = -1) -> None:
    """Store a descriptor of the table anew, with some fields changed; the ring remembers it as its own."""
    offset = ring.descriptor + 16 * slot
    address, old_length, old_flags, old_follower = spec.DESCRIPTOR.unpack(ring.written[slot])
    data = spec.DESCRIPTOR.pack(
        address,
        old_length if length < 0 else length,
        old_flags if flags < 0 else flags,
        old_follower if follower < 0 else follower,
    )
    ring.memory[offset : offset + 16] = data
    ring.written[slot] = data


def flags_of(ring: Split, slot: int) -> int:
    """The flags of a descriptor of the table."""
    return ring.written[slot][12] | ring.written[slot][13] << 8


def silent(queue: DriverQueue, forced: bool = False) -> None:
    """A ``notify`` that doesn't."""


def eager(queue: DriverQueue) -> bool:
    """An ``excused`` that notifies when the device asks not to be notified."""
    if DriverQueue.excused(queue):
        queue.notify()
        return True
    return False


def any_length(queue: DriverQueue, count: int, slots: int) -> bool:
    """A ``fits`` that knows no queue size rule."""
    return slots <= queue.ring.room


def batch_at_once(queue: DriverQueue, buffer: Buffer) -> tuple[int, int]:
    """A ``handed_up`` that takes each buffer of a batch for the one that the used entry names."""
    behind = [used for used in queue.oracle.queue.used if used.number >= buffer.number and used.length is not None]
    last = behind[0] if behind else buffer
    return last.id, last.writable if last.length is None else last.length
