"""Faults of our driver on split rings, and on any ring as they show on split ones.

Each row: name, the rule that alone names it, layout, what is wrong, and the driver that has it. Knows the driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuzz.driver_queue import DriverQueue
from fuzz.proof.driver_faults import (
    Row,
    Split,
    any_length,
    batch_at_once,
    driver_with,
    eager,
    flags_of,
    place_then,
    rewrite,
    silent,
    split_with,
)
from oracles import spec
from oracles.model import Buffer
from oracles.trace import Extent, Returned

NEXT, WRITE, INDIRECT = spec.DESC_F_NEXT, spec.DESC_F_WRITE, spec.DESC_F_INDIRECT

# -- where rings lie, and what is in them at first -------------------------------------------------------


def _unnegotiated(queue: DriverQueue, start: int) -> None:
    queue.driver.features ^= spec.RING_PACKED
    DriverQueue.prepare(queue, start)


def _crooked(queue: DriverQueue, start: int) -> None:
    descriptor, driver, device = queue.places
    queue.places = (descriptor | 8, driver, device)
    DriverQueue.prepare(queue, start)


def _six(queue: DriverQueue, start: int) -> None:
    queue.size = 6
    DriverQueue.prepare(queue, start)


def _begin_ahead(ring: Split, *arguments: Any) -> None:
    Split.__init__(ring, *arguments)
    ring.idx = ring.words[ring.idx_word] = ring.size + 3


def _begin_silenced(ring: Split, *arguments: Any) -> None:
    Split.__init__(ring, *arguments)
    ring.words[ring.device // 2] = 1


# -- suppression words -----------------------------------------------------------------------------------


def _event_behind(ring: Split, mode: str, ahead: int, used: int, junk: bool = False) -> tuple[int, int]:
    ring.words[(ring.driver + 6 + 2 * ring.size) // 2] = used
    return 0, used


def _clears_used_flags(ring: Split, mode: str, ahead: int, used: int, junk: bool = False) -> tuple[int, int]:
    ring.words[ring.device // 2] = 0
    return Split.suppress(ring, mode, ahead, used)


def _second_flag(ring: Split, mode: str, ahead: int, used: int, junk: bool = False) -> tuple[int, int]:
    flags, event = Split.suppress(ring, mode, ahead, used)
    ring.words[ring.driver // 2] = flags | 2
    return flags, event


def _flag_and_event(ring: Split, mode: str, ahead: int, used: int, junk: bool = False) -> tuple[int, int]:
    words = Split.suppress(ring, mode, ahead, used)
    ring.words[ring.driver // 2] = int(mode == "disable")
    return words


def _cuts_short(ring: Split, mode: str, ahead: int, used: int, junk: bool = False) -> tuple[int, int]:
    for slot, data in enumerate(ring.written):
        if any(data):
            rewrite(ring, slot, length=0)
    return Split.suppress(ring, mode, ahead, used)


# -- chains ----------------------------------------------------------------------------------------------


def _backwards(ring: Split, head: int) -> None:
    """Device-readable and device-writable in the wrong order."""
    follower = ring.written[head][14] | ring.written[head][15] << 8
    rewrite(ring, head, flags=flags_of(ring, head) ^ WRITE)
    rewrite(ring, follower, flags=flags_of(ring, follower) ^ WRITE)


def _huge(ring: Split, head: int) -> None:
    follower = ring.written[head][14] | ring.written[head][15] << 8
    for slot in (head, follower):
        rewrite(ring, slot, length=0xFFFFFFFF)


def _wrong_head(ring: Split, head: int) -> None:
    entry = (ring.idx + ring.held - 1) % ring.size
    ring.heads[entry] = ring.words[ring.ring + entry] = (head + 1) % ring.size


def _keeps_last(ring: Split, head: int) -> None:
    ring.free.append(ring.chains[head][-1])
    ring.room += 1


def _early_idx(ring: Split, elements: Sequence[Extent], readable: int, table: Extent | None,
               number: int) -> tuple[int, int]:  # fmt: skip
    ring.words[ring.idx_word] = ring.idx + ring.held + 1
    return Split.place(ring, elements, readable, table, number)


def _lifo(ring: Split, elements: Sequence[Extent], readable: int, table: Extent | None,
          number: int) -> tuple[int, int]:  # fmt: skip
    ring.next = 0
    return Split.place(ring, elements, readable, table, number)


def _nested(ring: Split, elements: Sequence[Extent], readable: int) -> bytes:
    data = bytearray(Split.table(ring, elements, readable))
    data[-4] |= INDIRECT
    return bytes(data)


def _back_to_front(ring: Split, elements: Sequence[Extent], readable: int) -> bytes:
    ring.in_order = False
    data = Split.table(ring, elements, readable)
    ring.in_order = True
    return data


def _remembers_next(queue: DriverQueue, start: int) -> None:
    old = getattr(queue, "ring", None)
    DriverQueue.prepare(queue, start)
    if isinstance(old, Split) and isinstance(queue.ring, Split):
        queue.ring.next = old.next


# -- the available idx -----------------------------------------------------------------------------------


def _moving(jump: int, late: bool = True) -> object:
    """An ``expose`` that moves the idx by *jump* too much: *late*, not the first time."""

    def expose(ring: Split, count: int) -> None:
        if ring.idx or not late:
            ring.idx = (ring.idx + jump) & 0xFFFF
        Split.expose(ring, count)

    return expose


# -- what is handed up -----------------------------------------------------------------------------------


def _whole(queue: DriverQueue, buffer: Buffer) -> tuple[int, int]:
    return buffer.id, buffer.writable


def _sums_all(queue: DriverQueue, buffer: Buffer) -> tuple[int, int]:
    return buffer.id, buffer.readable + buffer.writable if buffer.length is None else buffer.length


def _reads_skipped(queue: DriverQueue, buffer: Buffer) -> tuple[int, int]:
    at = queue.config.device + 4 + 8 * (buffer.number % queue.size)
    _, length = spec.USED_ELEMENT.unpack_from(queue.session.memory, at)
    return buffer.id, length


def _keeps_batch(queue: DriverQueue, start: int) -> None:
    """What was left of a batch before a reset is handed up after it."""
    left = [] if queue.oracle.started is None else list(queue.oracle.queue.used)
    DriverQueue.prepare(queue, start)
    queue.__dict__["left"] = left


def _left_first(queue: DriverQueue, count: int, asleep: bool) -> None:
    for buffer in queue.__dict__.pop("left", ()):
        queue.feed(Returned(buffer.id, buffer.writable))
    DriverQueue.receive(queue, count, asleep)


def _head(**fields: int) -> type[DriverQueue]:
    """A driver that stores other fields in the first descriptor of each chain; flags are added to it."""
    flags = fields.pop("flags", 0)
    return split_with(
        place=place_then(lambda ring, head: rewrite(ring, head, flags=flags_of(ring, head) | flags, **fields))
    )


S = spec.SPLIT
FAULTS: tuple[Row, ...] = (
    ("a34-split", "INO-DRV-WALK", S, "a batch's used id is handed up for every buffer of it",
     driver_with(handed_up=batch_at_once)),
    ("a42", "INO-DRV-WALK", S, "what was left of a batch is handed up after a reset",
     driver_with(prepare=_keeps_batch, receive=_left_first)),
    ("skip-sum", "INO-SKIP-LEN", S, "a skipped buffer's length counts its readable bytes, too",
     driver_with(handed_up=_sums_all)),
    ("a35", "INO-S-SKIPPED-SLOT", S, "a used element is read for each buffer, also for skipped ones",
     driver_with(handed_up=_reads_skipped)),
    ("a37", "INO-S-DESC-SEQ", S, "descriptors come from a free list, last in first out", split_with(place=_lifo)),
    ("a41", "INO-S-DESC-SEQ", S, "a reset keeps the position in the table", driver_with(prepare=_remembers_next)),
    ("avail-heads", "INO-S-AVAIL-HEADS", S, "the available ring names the descriptor behind the head",
     split_with(place=place_then(_wrong_head))),
    ("skip-next", "INO-S-NEXT", S, "next leaves one descriptor out", _head(follower=2)),
    ("table-order", "INO-S-IND-SEQ", S, "tables are linked back to front with IN_ORDER, too",
     split_with(table=_back_to_front)),
    ("unnegotiated", "VQ-FORMAT", S, "a split queue with the packed layout negotiated",
     driver_with(prepare=_unnegotiated)),
    ("split-crooked", "S-ALIGN", S, "the table begins at a multiple of 8", driver_with(prepare=_crooked)),
    ("six", "S-QSIZE", S, "a queue of six entries", driver_with(prepare=_six)),
    ("idx-ahead", "S-OUTSTANDING", S, "the idx jumps a lap ahead", split_with(expose=_moving(4))),
    ("event-behind", "S-LAYOUT", S, "used_event is stored behind its place", split_with(suppress=_event_behind)),
    ("used-flags", "S-USED-RO", S, "used flags are cleared by the driver", split_with(suppress=_clears_used_flags)),
    ("split-order", "S-ORDER-RW", S, "writable elements first", split_with(place=place_then(_backwards))),
    ("huge", "S-CHAIN-2G", S, "a chain of 8 GiB", split_with(place=place_then(_huge))),
    ("split-long", "S-CHAIN-QSZ", S, "tables longer than the queue", driver_with(fits=any_length)),
    ("next-beyond", "S-NEXT-RANGE", S, "next beyond the table", _head(follower=7)),
    ("a46", "S-NEXT-FREE", S, "one descriptor more is free than there are", split_with(place=place_then(_keeps_last))),
    ("empty-table", "S-BUF-NONEMPTY", S, "a table without entries", _head(length=0)),
    ("odd-flags", "S-FLAGS-KNOWN", S, "a flag that does not exist", _head(flags=8)),
    ("split-indirect", "S-IND-FEAT", S, "INDIRECT without the feature", _head(flags=INDIRECT)),
    ("nested", "S-IND-NEST", S, "INDIRECT inside a table", split_with(table=_nested)),
    ("indirect-next", "S-IND-NEXT", S, "INDIRECT and NEXT", _head(flags=NEXT, follower=0)),
    ("odd-table", "S-IND-LEN", S, "a table of 20 bytes", _head(length=20)),
    ("idx-back", "S-AVAIL-MONO", S, "the idx goes back", split_with(expose=_moving(-3))),
    ("idx-start", "S-AVAIL-START", S, "the idx begins anywhere", split_with(__init__=_begin_ahead)),
    ("idx-count", "S-AVAIL-COUNT", S, "the idx counts one buffer more", split_with(expose=_moving(1, False))),
    ("idx-first", "S-AVAIL-BARRIER", S, "the idx is stored before the chain", split_with(place=_early_idx)),
    ("cut-short", "S-EXPOSED-FROZEN", S, "descriptors are altered while available", split_with(suppress=_cuts_short)),
    ("whole", "S-USED-LEN-DRV", S, "the whole buffer counts as written", driver_with(handed_up=_whole)),
    ("second-flag", "S-UN-DRV-FLAGS", S, "available ring flags of 2", split_with(suppress=_second_flag)),
    ("flag-and-event", "S-UN-DRV-FLAGS-EV", S, "flags beside used_event", split_with(suppress=_flag_and_event)),
    ("used-flags-init", "S-AN-DRV-INIT", S, "used flags are 1 at first", split_with(__init__=_begin_silenced)),
    ("split-silent", "S-AN-DRV-MUST", S, "no notification is sent", driver_with(notify=silent)),
    ("split-silent-event", "S-AN-DRV-EV-MUST", S, "no notification is sent, with an event", driver_with(notify=silent)),
    ("split-eager", "S-AN-DRV-SUPP", S, "notifies though asked not to", driver_with(excused=eager)),
    ("split-eager-event", "S-AN-DRV-EV-SUPP", S, "notifies without the event", driver_with(excused=eager)),
)  # fmt: skip
