"""The reference model of a virtqueue: which buffers are outstanding, and in which order.

Knows buffers. Knows neither role nor layout: a layout's reader tells it what was supplied, published
and used; it tells back which buffer that is and how far from the oldest (2.7.9, 2.8.8).
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from oracles import spec
from oracles.trace import Extent, Supplied


class Buffer:
    """A buffer from supply to reclaim."""

    __slots__ = (
        "direct",
        "elements",
        "decoys",
        "fails",
        "id",
        "length",
        "masked",
        "number",
        "position",
        "readable",
        "run",
        "since",
        "slots",
        "table",
        "writable",
    )

    def __init__(self, told: Supplied, position: int) -> None:
        self.elements: tuple[Extent, ...]
        (self.number, self.id, self.slots, self.readable, self.writable,
         self.elements, self.table, self.direct, self.decoys, self.fails) = told  # fmt: skip
        self.position = position  # place of its first entry in the available order of the ring
        self.length: int | None = None  # used length, once used; None if skipped in a batch
        self.masked = False  # skipped by a batch, and its place was written with another buffer's id
        self.run = 1  # how many buffers its used entry stood for
        self.since = 0  # when it became available, counted over all queues of the device

    def __repr__(self) -> str:
        return f"b{self.number}"

    def part(self, address: int) -> tuple[str, Extent] | None:
        """What of the buffer lies at *address*: table, readable or writable, and from where to where; None: nothing."""
        start, length = self.table
        if start <= address < start + length:
            return "table", self.table
        left = self.readable
        for start, length in self.elements:
            if start <= address < start + length:
                return "readable" if left > 0 else "writable", (start, length)
            left -= length
        return None

    def entries(self) -> int:
        """How many descriptors it would take if none of them were in a table."""
        return self.direct + self.table[1] // 16 if self.table[1] else 1


def pointer_flagged(buffer: Buffer) -> bool:
    """Whether our driver sets WRITE on the descriptor that points to the buffer's indirect table.

    A device must ignore it (2.7.5.3.2, 2.8.7): every third one carries it, to see that it does.
    """
    return buffer.table[1] > 0 and flags_pointer(buffer.number)


def flags_pointer(number: int) -> bool:
    """Whether the indirect pointer of the buffer with this serial number carries WRITE."""
    return number % 3 == 2


class Virtqueue:
    """Outstanding buffers of one queue, oldest first, and those used but not yet reclaimed.

    *in_order* as negotiated. Memory is bounded by the queue size; every operation is O(1), but for
    taking a run, which is O(length of the run).
    """

    __slots__ = ("by_id", "fifo", "ghosts", "held", "in_order", "size", "used")

    def __init__(self, size: int, in_order: bool, ghosts: frozenset[int] = frozenset()) -> None:
        self.size = size
        self.in_order = in_order
        self.held: deque[Buffer] = deque()  # supplied, not yet published
        self.fifo: deque[Buffer] = deque()  # published and unused, oldest first; IN_ORDER only
        self.by_id: dict[int, Buffer] = {}  # published and unused
        self.used: deque[Buffer] = deque()  # used, not reclaimed, in the order of use
        self.ghosts = ghosts  # ids that were outstanding before the last reset

    def publish(self, count: int, since: int = 0) -> None:
        """The oldest *count* held buffers are available now, at the time *since*. IndexError if there are fewer."""
        held, by_id, fifo = self.held, self.by_id, self.fifo if self.in_order else None
        for _ in range(count):
            buffer = held.popleft()
            buffer.since = since
            if fifo is not None:
                fifo.append(buffer)
            by_id[buffer.id] = buffer

    def distance(self, id_: int) -> int | None:
        """How many outstanding buffers are older than the one called *id_*; None if none is called so.

        Serial numbers are consecutive in the order of availability, so this is a subtraction.
        """
        buffer = self.by_id.get(id_)
        if buffer is None:
            return None
        return buffer.number - self.oldest().number

    def oldest(self) -> Buffer:
        """The buffer that was made available first. StopIteration if none is outstanding."""
        return self.fifo[0] if self.in_order else next(iter(self.by_id.values()))

    def take(self, id_: int, length: int) -> None:
        """The one buffer called *id_* was used with *length*. KeyError if there is none."""
        buffer = self.by_id.pop(id_)
        if self.in_order:
            self.fifo.remove(buffer)
        buffer.length = length
        self.used.append(buffer)

    def take_run(self, distance: int, length: int) -> None:
        """The oldest buffers up to the one at *distance* were used; *length* belongs to the last (2.7.9)."""
        fifo, by_id, used = self.fifo, self.by_id, self.used
        if not distance:
            buffer = fifo.popleft()
            del by_id[buffer.id]
            used.append(buffer)
            buffer.length = length
            return
        for _ in range(distance + 1):
            buffer = fifo.popleft()
            del by_id[buffer.id]
            used.append(buffer)
        buffer.length = length
        buffer.run = distance + 1

    def older(self, count: int) -> list[Buffer]:
        """The *count* oldest outstanding buffers."""
        source = self.fifo if self.in_order else self.by_id.values()
        return list(islice(source, count))

    def reclaim(self, count: int) -> None:
        """The oldest *count* used buffers are free again; more than there are: all."""
        used = self.used
        if count >= len(used):
            used.clear()
            return
        for _ in range(count):
            used.popleft()

    def batched(self) -> list[Buffer]:
        """Of those used and not reclaimed, the ones that were in a batch of several."""
        return [buffer for buffer in self.used if buffer.length is None or buffer.run > 1]

    def ids(self) -> frozenset[int]:
        """Ids of all buffers that are outstanding, held or unreclaimed."""
        return frozenset(self.by_id) | {buffer.id for buffer in (*self.held, *self.used)}


class Case:
    """What a reader could not wave through: the facts, for the rules to judge.

    *moment* says what was being looked at: used (split element or idx), descriptor (packed), event,
    changed, scanned, silence, stopped, dead (activity while the queue isn't live). Fields that a
    moment doesn't have stay at their defaults.
    """

    __slots__ = (
        "address",
        "base",
        "buffer",
        "cause",
        "counted",
        "data",
        "device",
        "distance",
        "elsewhere",
        "first",
        "flags",
        "fresh",
        "heard",
        "id",
        "junk",
        "kept",
        "last",
        "length",
        "moment",
        "new",
        "old",
        "others",
        "outstanding",
        "permuted",
        "place",
        "queue",
        "run",
        "slot",
        "spans",
        "spurious",
        "step",
        "turned",
        "what",
        "wrap",
    )

    def __init__(self, moment: str, queue: Virtqueue, slot: int = -1) -> None:
        self.moment = moment
        self.queue = queue
        self.slot = slot  # place in the ring
        self.old = 0  # split: used idx before; packed: device position
        self.new = 0
        self.step = 0  # how far used idx moved
        self.permuted = False  # split: an element of the same step names a buffer that is older
        self.place = 0  # elements of this idx step already accounted for
        self.id = -1
        self.length = 0
        self.first = False  # whether nothing was used since the queue was started
        self.flags = 0
        self.wrap = 1  # packed: device wrap counter at the cursor
        self.fresh = True  # whether the entry was certainly written since the last publication
        self.others: list[int] = []  # other slots of this idx step that were written
        self.distance: int | None = None  # of the buffer named, from the oldest
        self.buffer: Buffer | None = None
        self.outstanding = len(queue.by_id)
        self.last: Run | None = None  # packed: the run used before
        self.run = 1  # buffers that the used entry stands for
        self.kept: tuple[Extent, ...] = ()
        self.what = ""  # in words: a data complaint, a reset's kind, a word's name
        self.address = 0
        self.data = b""
        self.device = "any"
        self.base = 0
        self.cause = "init"  # how the queue was last started
        self.spans: dict[str, Extent] = {}  # areas by name
        self.counted = 0  # split: what used idx would move by if entries of indirect tables were counted; 0: no batch
        self.spurious = False  # whether the last available buffer notification announced nothing
        self.junk = False  # whether our suppression word without meaning says the opposite of the other
        self.heard = False  # whether the queue has sent a used buffer notification
        self.elsewhere = False  # whether older buffers are outstanding on another queue, and it always waited for such
        self.turned = False  # whether another queue used buffers in order where it had a choice, and this one never did

    def bits_right(self) -> bool:
        """Packed: whether AVAIL and USED of the used descriptor both equal the device wrap counter (2.8.1)."""
        both = spec.DESC_F_AVAIL | spec.DESC_F_USED
        return self.flags & both == (both if self.wrap else 0)


class Run:
    """Packed: what the last used descriptor stood for: where it began, and which buffers."""

    __slots__ = ("buffers", "crossed", "end", "start", "total")

    def __init__(self, start: int, total: int, end: int, crossed: bool, buffers: list[Buffer]) -> None:
        self.start = start
        self.total = total  # descriptors
        self.end = end  # position after it
        self.crossed = crossed  # whether it passed or exactly reached the ring end
        self.buffers = buffers

    def covers(self, position: int, size: int) -> bool:
        """Whether *position* lies inside the run, behind its first descriptor."""
        return 0 < (position - self.start) % size < self.total or (self.total == size and position != self.start)
