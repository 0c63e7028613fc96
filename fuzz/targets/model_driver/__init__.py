"""The target model-driver: the Python reference driver in our own process, clean or with a planted fault.

``model-driver`` keeps every rule of drivers; ``model-driver:a34`` plants the defect of that name. It shows its
stores when they happen, so that their order can be seen. Knows the driver and its memory; never judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from fuzz.program import Limits
from fuzz.targets import Offer, QueueConfig, TargetError
from fuzz.targets.model_driver.upper import Held, PackedUpper, SplitUpper, Upper
from fuzz.targets.watched import watched
from oracles import spec
from oracles.trace import Exposed, Extent

ACCEPTED = spec.VERSION_1 | spec.INDIRECT_DESC | spec.EVENT_IDX | spec.RING_PACKED | spec.IN_ORDER | spec.RING_RESET
ADDRESS = 0x1_0000_0000
MEMORY = 1 << 22
MOST_QUEUES = 4
_RINGS = 64
_GUARD = 16
_ONES = b"\xa5"


class ModelQueue:
    """One virtqueue of the driver, in its own part of the memory: of *root*, which all queues share."""

    address = ADDRESS

    def __init__(self, memory: memoryview, kinds: tuple[type[SplitUpper], type[PackedUpper]]) -> None:
        self.root: ModelQueue = self
        self.memory = memory
        self.kinds = kinds
        self.features = 0
        self.queue = QueueConfig(0, 0, 0, 0)
        self.upper: Upper | None = None
        self.part = (_RINGS, len(memory))  # where it lies
        self._before: Upper | None = None  # the queue as it was when it was reset
        self._observer: Callable[[Exposed], None] | None = None
        self._token = 0  # the root's is the next one
        self._next = 0  # where the next block begins
        self._free: dict[int, list[int]] = {}  # by size, blocks that were given back
        self._last = ""  # the root's is what was said last
        self._begun = False

    def listen(self, observer: Callable[[Exposed], None]) -> bool:
        """Show every store to the rings, and every table, when it happens."""
        self._observer = observer
        return True

    def _stored(self, offset: int, data: bytes) -> None:
        if self._begun and self._observer is not None:
            self._observer(Exposed(ADDRESS + offset, data))

    # -- life

    def begin(self, features: int, size: int) -> None:
        """Set up the queue, of a driver that accepted these features."""
        self.features = features
        self._set_up(size, self._before)

    def _set_up(self, size: int, before: Upper | None) -> None:
        """Lay out the rings, all zero."""
        layout = spec.PACKED if self.features & spec.RING_PACKED else spec.SPLIT
        self._begun = False
        places, at = [], self.part[0]
        for length in spec.area_sizes(layout, size):
            self.memory[at : at + length] = bytes(length)
            places.append(at)
            at = (at + length + 16 + 63) & ~63
        self._next = at
        self._free.clear()
        kind = self.kinds[layout == spec.PACKED]
        self.upper = kind(watched(self.memory, self._stored), self.features, size, places)
        if before is not None:
            self.upper.keep(before)
        initial = 1 << 15 if layout == spec.PACKED else 0
        self.queue = QueueConfig(size, places[0], places[1], places[2], initial, initial)
        self._begun = True

    def _outstanding(self) -> list[int]:
        return [held.token for held in self._live().held.values()]

    def end(self) -> list[int]:
        """The device is reset."""
        tokens = self._outstanding()
        self._before, self.upper = self.upper, None
        return tokens

    def reset_queue(self) -> list[int]:
        """The queue begins anew with the size that it has."""
        return self.resize(self.queue.size)

    def resize(self, size: int) -> list[int]:
        """The queue begins anew."""
        tokens = self._outstanding()
        self._set_up(size, self.upper)
        return tokens

    # -- the upper half

    def _live(self) -> Upper:
        assert self.upper is not None, "start() comes first"
        return self.upper

    def add(self, readable: Sequence[int], writable: Sequence[int]) -> int | None:
        """Make a buffer available, if there is room for it."""
        upper, count = self._live(), len(readable) + len(writable)
        slots = upper.slots_for(count)
        if upper.broken or slots > upper.ring.room or not 0 < count <= upper.size:
            return None
        entries = count if slots != count else 0
        need = sum(readable) + sum(writable) + _GUARD * (count + 1) + 16 * entries + 16
        block = self._take(need)
        if block is None:
            return None
        token = self.root._token
        at, elements = block[0], []
        for place, length in enumerate((*readable, *writable)):
            fill = question(token, length) if place < len(readable) else _ONES * length
            self.memory[at : at + length] = fill
            elements.append((at, length))
            at += length + _GUARD
        held = Held(token, elements, sum(writable), block)
        table = self._table(upper, held, len(readable), at + 15 & ~15) if entries else None
        upper.add(held, len(readable), table, ADDRESS)
        self.root._token += 1
        return token

    def _table(self, upper: Upper, held: Held, readable: int, at: int) -> Extent:
        """Write an indirect table for all elements; (address, bytes)."""
        held.entries = len(held.elements)
        data = upper.ring.table([(ADDRESS + place, length) for place, length in held.elements], readable)
        self.memory[at : at + len(data)] = data
        self._stored(at, data)
        return ADDRESS + at, len(data)

    def _take(self, need: int) -> Extent | None:
        """A block of memory; (offset, bytes)."""
        size = 1 << (need - 1).bit_length()
        freed = self._free.get(size)
        if freed:
            return freed.pop(), size
        at = self._next
        if at + size > self.part[1]:
            return None
        self._next = at + size
        return at, size

    def elements(self, token: int) -> tuple[Extent, ...]:
        """Where they lie."""
        for held in self._live().held.values():
            if held.token == token:
                return tuple(held.elements)
        return ()

    def kick(self) -> bool:
        """Notify unless the device's words excuse us."""
        _, _, silent = self._live().ring.excused()
        return not silent

    def interrupt(self) -> bool:
        """The upper half is called if there is something for it."""
        return self._live().anything()

    def get(self) -> tuple[int, int] | None:
        """What came back next."""
        upper = self._live()
        found = upper.get()
        if upper.broken and found is None:
            self.root._last = upper.broken
        if found is None:
            return None
        held, length = found
        self._free.setdefault(held.block[1], []).append(held.block[0])
        return held.token, length

    def callbacks(self, on: bool | Literal["delayed"]) -> bool:
        """Whether nothing is pending."""
        return self._live().callbacks(on if isinstance(on, str) else "on" if on else "off")

    def broken(self) -> bool:
        """Whether the device used what it does not have."""
        return bool(self.upper is not None and self.upper.broken)


class ModelDriverSession(ModelQueue):
    """The driver and its memory; nothing runs but in these methods. It is its own first queue."""

    counters: memoryview | None = None

    def __init__(self, raw: bytearray, split: type[SplitUpper], packed: type[PackedUpper]) -> None:
        super().__init__(memoryview(raw), (split, packed))
        self._queues: list[ModelQueue] = [self]

    def another(self, number: int) -> ModelQueue:
        """Virtqueue *number*."""
        while len(self._queues) <= number:
            queue = ModelQueue(self.memory, self.kinds)
            queue.root = self
            self._queues.append(queue)
        return self._queues[number]

    def start(self, features: int, size: int, *more: int) -> int:
        """Take what is offered of all that we know, and set up the queues."""
        if self.upper is not None:
            raise RuntimeError("it is started, and was not reset")
        if len(more) >= MOST_QUEUES:
            raise TargetError(f"model-driver has at most {MOST_QUEUES} queues")
        share = (len(self.memory) - _RINGS) // (1 + len(more)) & ~63
        for number, each in enumerate((size, *more)):
            queue = self.another(number)
            queue.part = (_RINGS + number * share, _RINGS + (number + 1) * share)
            queue.begin(features & ACCEPTED | spec.VERSION_1, each)
        return self.features

    def reset(self) -> list[int]:
        """All that was outstanding is given up."""
        return [token for queue in self._queues if queue.upper is not None for token in queue.end()]

    def words(self) -> str:
        """Why it gave up."""
        said, self._last = self._last, ""
        return said

    def close(self) -> None:
        """Nothing to let go of but memory."""
        for queue in self._queues:
            queue._observer = None


def question(token: int, length: int) -> bytes:
    """What a buffer's device-readable element says: the same for the same token."""
    first = token * 37 & 0x7F
    return bytes([first]) * length


class ModelDriver:
    """The target ``model-driver[:fault]``."""

    role = "driver"
    limits = Limits(
        role="device",
        split_sizes=(1, 2, 4, 8, 16, 64),
        packed_sizes=(1, 2, 3, 5, 7, 8, 16, 64),
        actions=frozenset({"reset", "queue_reset", "restart", "logged"}),
        longest_element=512,
        steps=80,
        queues=3,
    )

    def __init__(self, fault: str = "") -> None:
        self.name = f"model-driver:{fault}" if fault else "model-driver"
        self._raw = bytearray(MEMORY)
        self.starts = 0
        self.kinds: tuple[type[SplitUpper], type[PackedUpper]] = (SplitUpper, PackedUpper)
        if fault:
            from fuzz.targets.model_driver.faults import FAULTS

            if fault not in FAULTS:
                raise TargetError(f"model-driver has no fault {fault!r} (vqfuzz targets lists all {len(FAULTS)})")
            found = self.fault = FAULTS[fault]
            self.kinds = found.kinds
            self.limits = replace(self.limits, layouts=found.layouts, in_order=found.in_order)

    def open(self) -> ModelDriverSession:
        """A new driver; its memory is reused."""
        self.starts += 1
        return ModelDriverSession(self._raw, *self.kinds)

    def restart(self) -> None:
        """Every session is a new driver."""

    def probe(self) -> Offer:
        """Everything that this project can negotiate."""
        return Offer(ACCEPTED, MOST_QUEUES, b"", (("device class", "any"),))

    def words(self) -> str:
        """It prints nothing."""
        return ""

    def describe(self) -> dict[str, str]:
        """There is nothing beside the name."""
        return {"target": self.name}

    def close(self) -> None:
        """Nothing was started."""
