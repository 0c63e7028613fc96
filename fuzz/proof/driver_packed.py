"""Faults of our driver on packed rings.

Each row: name, the rule that alone names it, layout, what is wrong, and the driver that has it. Knows the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuzz.driver_queue import DriverQueue
from fuzz.proof.driver_faults import (
    Packed,
    Row,
    any_length,
    batch_at_once,
    driver_with,
    eager,
    packed_with,
    silent,
)
from oracles import packed, spec
from oracles.model import Buffer
from oracles.trace import Extent

NEXT, WRITE, INDIRECT = spec.DESC_F_NEXT, spec.DESC_F_WRITE, spec.DESC_F_INDIRECT
AVAIL, USED = spec.DESC_F_AVAIL, spec.DESC_F_USED

# -- where rings lie, and what is in them at first -------------------------------------------------------


def _crooked(queue: DriverQueue, start: int) -> None:
    descriptor, driver, device = queue.places
    queue.places = (descriptor, driver | 2, device)
    DriverQueue.prepare(queue, start)


def _large(queue: DriverQueue, start: int) -> None:
    queue.size = spec.MAX_SIZE + 1
    queue.places = (1 << 20, 3 << 20, (3 << 20) + 64)  # where nothing else is
    DriverQueue.prepare(queue, start)


def _rest_of_old(ring: Packed, *arguments: Any) -> None:
    Packed.__init__(ring, *arguments)
    at = ring.descriptor + 16 * (ring.size - 1)
    ring.memory[at : at + 8] = b"leftover"


def _large_ids(ring: Packed, *arguments: Any) -> None:
    Packed.__init__(ring, *arguments)
    ring.ids = [id_ + ring.size for id_ in ring.ids]


# -- the driver area -------------------------------------------------------------------------------------


def _touches_device(ring: Packed, mode: str, ahead: int, used: int) -> tuple[int, int]:
    ring.words[ring.device // 2 + 1] = ring.words[ring.device // 2 + 1]
    return Packed.suppress(ring, mode, ahead, used)


def _odd_flags(ring: Packed, mode: str, ahead: int, used: int) -> tuple[int, int]:
    words = Packed.suppress(ring, mode, ahead, used)
    ring.words[ring.driver // 2 + 1] = words[0] | 4
    ring.wanted = (ring.wanted[0], words[0] | 4)
    return words


def _takes_back(ring: Packed, mode: str, ahead: int, used: int) -> tuple[int, int]:
    at = (ring.descriptor + 14) // 2
    ring.words[at] = ring.words[at] ^ AVAIL
    return Packed.suppress(ring, mode, ahead, used)


def _cuts_short(ring: Packed, mode: str, ahead: int, used: int) -> tuple[int, int]:
    ring.memory[ring.descriptor + 8 : ring.descriptor + 12] = bytes(4)
    return Packed.suppress(ring, mode, ahead, used)


def _alters_table(queue: DriverQueue, mode: str, ahead: int, junk: bool = False) -> None:
    for block in queue.blocks.values():
        if block.table is not None:
            at, length = block.table
            block.image_of_table = bytes(length)
            queue.session.memory[at : at + length] = bytes(length)
    DriverQueue.suppress(queue, mode, ahead)


# -- lists -----------------------------------------------------------------------------------------------


def _with_flags(changed: Callable[[Packed, int, int, bool], int]) -> type[DriverQueue]:
    """A driver that stores other flags: *changed* (ring, position, flags, whether it is the first)."""

    def put(ring: Packed, position: int, data: bytes, flags: int, first: bool) -> None:
        flags = changed(ring, position, flags, first)
        ring.written[position] = data = data[:14] + flags.to_bytes(2, "little")
        Packed.put(ring, position, data, flags, first)

    return packed_with(put=put)


def _bits_of_last_lap(ring: Packed, position: int, flags: int, first: bool) -> int:
    return flags if first or position > ring.heads[-1][0] else flags ^ (AVAIL | USED)


def _head_at_once(ring: Packed, position: int, data: bytes, flags: int, first: bool) -> None:
    Packed.put(ring, position, data, flags, first)
    Packed.put(ring, position, data, flags, False)


def _flags_first(ring: Packed, position: int, data: bytes, flags: int, first: bool) -> None:
    ring.words[ring.descriptor // 2 + 8 * position + 7] = flags
    Packed.put(ring, position, data, flags, first)


def _keeps_id(ring: Packed, position: int, data: bytes, flags: int, first: bool) -> None:
    at = ring.descriptor + 16 * position
    if not ring.wrap:
        data = data[:12] + ring.memory[at + 12 : at + 14].tobytes() + data[14:]
    Packed.put(ring, position, data, flags, first)


def _leaves_gap(ring: Packed, elements: Sequence[Extent], readable: int, table: Extent | None,
                number: int) -> tuple[int, int]:  # fmt: skip
    ring.next += number
    return Packed.place(ring, elements, readable, table, number)


def _more_room(ring: Packed, elements: Sequence[Extent], readable: int, table: Extent | None,
               number: int) -> tuple[int, int]:  # fmt: skip
    ring.room += 1
    return Packed.place(ring, elements, readable, table, number)


def _linked_table(ring: Packed, elements: Sequence[Extent], readable: int) -> bytes:
    data = bytearray(Packed.table(ring, elements, readable))
    data[14] |= NEXT
    return bytes(data)


# -- notifications, and what is handed up ----------------------------------------------------------------


def _deaf_to_events(queue: DriverQueue, forced: bool = False) -> None:
    if queue.words[queue.config.device // 2 + 1] != spec.EVENT_FLAGS_DESC:
        DriverQueue.notify(queue, forced)


def _heeds_next(queue: DriverQueue, buffer: Buffer) -> tuple[int, int]:
    reader = queue.oracle.reader
    assert isinstance(reader, packed.Reader)
    assert reader.last is not None
    flags = queue.words[queue.config.descriptor // 2 + 8 * reader.last.start + 7]
    return buffer.id, 0 if flags & NEXT else DriverQueue.handed_up(queue, buffer)[1]


P = spec.PACKED
FAULTS: tuple[Row, ...] = (
    ("a34", "INO-DRV-WALK", P, "a batch's used id is handed up for every buffer of it",
     driver_with(handed_up=batch_at_once)),
    ("a40", "INO-P-DRV-ID", P, "ids are not stored anew in the second lap", packed_with(put=_keeps_id)),
    ("packed-table", "S-EXPOSED-FROZEN", P, "a table is altered while available", driver_with(suppress=_alters_table)),
    ("packed-crooked", "P-ALIGN", P, "the driver area begins at a multiple of 2", driver_with(prepare=_crooked)),
    ("large", "P-QSIZE", P, "a queue of 32769 entries", driver_with(prepare=_large)),
    ("leftover", "P-ZERO-INIT", P, "the ring is not all zero at first", packed_with(__init__=_rest_of_old)),
    ("half-available", "P-AVAIL-BITS", P, "only the first descriptor is available",
     _with_flags(lambda ring, position, flags, first: flags if first else flags ^ AVAIL)),
    ("a39", "P-DRV-WRAP", P, "a list over the ring's end keeps its bits", _with_flags(_bits_of_last_lap)),
    ("gap", "P-RING-SEQ", P, "a descriptor is left out", packed_with(place=_leaves_gap)),
    ("large-ids", "P-ID-RANGE", P, "ids beyond the queue size", packed_with(__init__=_large_ids)),
    ("heeds-next", "P-USED-NEXT", P, "NEXT in a used descriptor is heeded", driver_with(handed_up=_heeds_next)),
    ("no-write", "P-WFLAG-AVAIL", P, "WRITE is left out",
     _with_flags(lambda ring, position, flags, first: flags & ~WRITE)),
    ("a45", "P-LIST-NEXT", P, "the first descriptor lacks NEXT",
     _with_flags(lambda ring, position, flags, first: flags & ~NEXT)),
    ("endless", "P-LIST-MAX", P, "the last descriptor has NEXT",
     _with_flags(lambda ring, position, flags, first: flags | NEXT)),
    ("packed-order", "P-ORDER-RW", P, "writable elements first",
     _with_flags(lambda ring, position, flags, first: flags ^ WRITE)),
    ("a36", "P-SPACE", P, "the free count drifts up", packed_with(place=_more_room)),
    ("a38", "P-FIRST-LAST", P, "the head is available before the rest", packed_with(put=_head_at_once)),
    ("flags-first", "P-AVAIL-BARRIER", P, "flags are stored before the descriptor", packed_with(put=_flags_first)),
    ("packed-indirect", "P-IND-FEAT", P, "INDIRECT without the feature",
     _with_flags(lambda ring, position, flags, first: flags | INDIRECT)),
    ("linked-table", "P-IND-FLAGS", P, "NEXT in a table", packed_with(table=_linked_table)),
    ("packed-long", "P-IND-MAX", P, "tables longer than the queue", driver_with(fits=any_length)),
    ("indirect-list", "P-IND-NOCHAIN", P, "INDIRECT and NEXT",
     _with_flags(lambda ring, position, flags, first: flags | NEXT)),
    ("takes-back", "P-DRV-NO-EARLY", P, "an available descriptor is taken back", packed_with(suppress=_takes_back)),
    ("packed-short", "P-DRV-NO-LATE", P, "an available descriptor is altered", packed_with(suppress=_cuts_short)),
    ("device-area", "P-EV-AREA-DRV", P, "the device area is written by the driver",
     packed_with(suppress=_touches_device)),
    ("odd-event-flags", "P-EV-VAL-DRV", P, "a bit that means nothing in the driver area",
     packed_with(suppress=_odd_flags)),
    ("packed-silent", "P-EV-ENABLE-DRV", P, "no notification is sent", driver_with(notify=silent)),
    ("packed-eager", "P-EV-DISABLE-DRV", P, "notifies though notifications are disabled", driver_with(excused=eager)),
    ("packed-deaf", "P-EV-DESC-DRV", P, "no notification for a descriptor asked for",
     driver_with(notify=_deaf_to_events)),
)  # fmt: skip
