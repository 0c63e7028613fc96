"""The packed layout: both halves of the ring, and the reader, against memory images made by hand."""

from __future__ import annotations

from itertools import product

import pytest

from oracles import spec
from oracles.model import Buffer, Case, Virtqueue
from oracles.packed import Reader
from oracles.packed_rings import DeviceRing, DriverRing
from oracles.split_rings import Chain
from oracles.trace import Extent, SawDescriptor, Started, Stored, Supplied
from tests.golden.image import Image

BASE = 0x8000_0000
AREAS = (0x000, 0x100, 0x200)
FIRST = 1 << 15
"""Position 0 with wrap counter 1."""


class Board:
    """Memory with both halves of one queue; what the device stores lands in memory and in ``log``."""

    def __init__(self, features: int, size: int, start: int = FIRST) -> None:
        self.memory = memoryview(bytearray(0x1000))
        self.log: list[tuple[int, bytes]] = []
        self.driver = DriverRing(self.memory, features, size, *AREAS, start)
        self.device = DeviceRing(self.memory, BASE, self.store, features, size, *AREAS, start, start)

    def store(self, offset: int, data: bytes) -> None:
        self.log.append((offset, data))
        self.memory[offset : offset + len(data)] = data

    def fetch(self) -> Chain:
        chain = self.device.fetch()
        assert chain is not None
        return chain

    def supply(self, elements: list[Extent], readable: int) -> int:
        """Make one list available; its id."""
        id_, slots = self.driver.place(elements, readable, None, 0)
        assert slots == len(elements)
        self.driver.expose(1)
        return id_


def reader_of(features: int, size: int, buffers: list[tuple[int, int, int]], start: int = FIRST) -> Reader:
    """A reader with these buffers available: (id, descriptors, writable bytes) each."""
    started = Started("packed", size, features, BASE, BASE + 0x100, BASE + 0x200, (BASE, 0x1000), start, start)
    reader = Reader(started, Virtqueue(size, bool(features & spec.IN_ORDER)))
    for number, (id_, slots, writable) in enumerate(buffers):
        add(reader, number, id_, slots, writable)
    return reader


def add(reader: Reader, number: int, id_: int, slots: int, writable: int) -> None:
    told = Supplied(number, id_, slots, 0, writable)
    reader.queue.held.append(Buffer(told, reader.position_of_next(slots)))
    reader.queue.publish(1)


def saw(reader: Reader, memory: memoryview, position: int) -> Case | None:
    return reader.saw(SawDescriptor(position, memory[16 * position : 16 * position + 16].tobytes()))


WRAP_A = [(BASE + 0x1000, 16), (BASE + 0x1100, 8), (BASE + 0x1200, 64)]
WRAP_B = [(BASE + 0x1300, 1), (BASE + 0x1400, 2), (BASE + 0x1500, 3)]
WRAP_C = [(BASE + 0x1600, 7)]


def test_both_sides_go_over_the_ring_end_as_by_hand() -> None:
    image, board = Image("packed-wrap"), Board(0, 5)
    a = board.supply(WRAP_A, 2)
    image.check(board.memory, "a available", a=a)
    first = board.fetch()
    assert (first.id, first.slots, first.readable, first.writable) == (a, 3, WRAP_A[:2], WRAP_A[2:])
    board.device.use([first], 33)
    image.check(board.memory, "a used", a=a)
    board.driver.reclaim(a, 3)
    b = board.supply(WRAP_B, 2)
    image.check(board.memory, "b available", b=b)
    second = board.fetch()
    assert (second.id, second.slots, second.readable, second.writable) == (b, 3, WRAP_B[:2], WRAP_B[2:])
    assert board.device.base() == (1 | 3 << 16 | 1 << 31)  # next: 1 in lap 2; used: 3 in lap 1
    board.device.use([second], 0)
    image.check(board.memory, "b used", b=b)
    board.driver.reclaim(b, 3)
    c = board.supply(WRAP_C, 0)
    image.check(board.memory, "c available", c=c)
    third = board.fetch()
    board.device.use([third], 7)
    image.check(board.memory, "c used", c=c)
    assert board.device.base() == (2 | 2 << 16)
    flags = [offset for offset, data in board.log if len(data) == 2]
    assert flags == [0x0E, 0x3E, 0x1E]
    assert [len(data) for _, data in board.log] == [6, 2] * 3  # length and id before flags (2.8.15.1)


def test_device_reads_lists_made_by_hand() -> None:
    """With other ids than ours, and junk wherever a byte means nothing."""
    image, board = Image("packed-wrap"), Board(0, 5)
    image.write(board.memory, "a available", a=0xABCD)
    first = board.fetch()
    assert (first.id, first.slots, first.readable, first.writable) == (0xABCD, 3, WRAP_A[:2], WRAP_A[2:])
    assert board.device.fetch() is None
    board.device.use([first], 33)
    image.check(board.memory, "a used", a=0xABCD)
    image.write(board.memory, "b available", b=0x1234)
    second = board.fetch()
    assert (second.id, second.slots, second.readable, second.writable) == (0x1234, 3, WRAP_B[:2], WRAP_B[2:])
    assert board.device.fetch() is None


def test_reader_takes_used_descriptors_made_by_hand() -> None:
    image, memory = Image("packed-wrap"), memoryview(bytearray(0x1000))
    reader = reader_of(0, 5, [(7, 3, 64)])
    image.write(memory, "a used", a=7)
    assert saw(reader, memory, 0) is None
    assert (reader.cursor, reader.wrap) == (3, 1)
    add(reader, 1, 8, 3, 3)
    image.write(memory, "b used", b=8)
    assert saw(reader, memory, 3) is None
    assert (reader.cursor, reader.wrap) == (1, 0)
    add(reader, 2, 9, 1, 7)
    image.write(memory, "c used", c=9)
    assert saw(reader, memory, 1) is None
    assert (reader.cursor, reader.wrap) == (2, 0)
    assert [(buffer.id, buffer.length) for buffer in reader.done] == [(7, 33), (8, -1), (9, 7)]


def test_lists_that_fill_the_ring_as_by_hand() -> None:
    image, board = Image("packed-full"), Board(0, 3)
    elements = [(BASE + 0x1000, 1), (BASE + 0x1100, 2), (BASE + 0x1200, 3)]
    reader = reader_of(0, 3, [])
    for lap, name in enumerate("abc"):
        id_ = board.supply(elements, 2)
        image.check(board.memory, f"lap {lap + 1}", **{name: id_})
        chain = board.fetch()
        assert (chain.id, chain.slots) == (id_, 3)
        assert not board.device.waiting()
        board.device.use([chain], 3)
        if f"lap {lap + 1} used" in image.stages:
            image.check(board.memory, f"lap {lap + 1} used", **{name: id_})
        add(reader, lap, id_, 3, 3)
        assert saw(reader, board.memory, 0) is None
        assert (reader.cursor, reader.wrap) == (0, lap & 1)
        board.driver.reclaim(id_, 3)


BATCH = ([(BASE + 0x1000, 16), (BASE + 0x1100, 8)], [(BASE + 0x2000, 4), (BASE + 0x2100, 5), (BASE + 0x2200, 6)],
         [(BASE + 0x1200, 9)])  # fmt: skip


def batch_board() -> tuple[Image, Board, dict[str, int]]:
    image, board = Image("packed-batch"), Board(spec.IN_ORDER | spec.EVENT_IDX | spec.INDIRECT_DESC, 5)
    table = board.driver.table(BATCH[1], 1)
    board.memory[0x400 : 0x400 + len(table)] = table
    image.check(board.memory, "table")
    a, _ = board.driver.place(BATCH[0], 1, None, 0)
    b, slots = board.driver.place([], 1, (BASE + 0x400, 48), 1)
    assert slots == 1
    c, _ = board.driver.place(BATCH[2], 0, None, 2)
    return image, board, {"a": a, "b": b, "c": c}


def test_batch_as_by_hand() -> None:
    image, board, ids = batch_board()
    assert len(set(ids.values())) == 3
    assert board.driver.room == 1
    assert not board.device.waiting()
    board.driver.expose(3)
    image.check(board.memory, "available", **ids)
    image.write(board.memory, "available", **ids)
    image.write(board.memory, "table")
    chains = [board.fetch() for _ in range(3)]
    assert board.device.fetch() is None
    assert [chain.id for chain in chains] == list(ids.values())
    assert [chain.slots for chain in chains] == [2, 1, 1]
    assert [chain.readable for chain in chains] == [BATCH[0][:1], BATCH[1][:1], []]
    assert [chain.writable for chain in chains] == [BATCH[0][1:], BATCH[1][1:], BATCH[2]]
    board.device.use(chains, 9)
    image.check(board.memory, "batch used", **ids)
    reader = reader_of(spec.IN_ORDER, 5, [(ids["a"], 2, 8), (ids["b"], 1, 11), (ids["c"], 1, 9)])
    assert saw(reader, board.memory, 0) is None
    assert [(buffer.number, buffer.length, buffer.run) for buffer in reader.done] == [
        (0, None, 1), (1, None, 1), (2, 9, 3)
    ]  # fmt: skip
    assert (reader.cursor, reader.wrap) == (4, 1)


def test_event_suppression_as_by_hand() -> None:
    image, board, _ = batch_board()
    board.driver.expose(3)
    assert board.driver.suppress("event", 2, 4 | FIRST) == (2, 1)
    image.check(board.memory, "event")
    assert board.driver.suppress("disable", 0, 4 | FIRST)[0] == 1
    image.check(board.memory, "disabled")
    assert board.driver.suppress("enable", 0, 4 | FIRST)[0] == 0
    image.check(board.memory, "enabled")
    for _ in range(3):
        board.fetch()
    board.device.arm()
    image.check(board.memory, "armed")
    assert board.driver.suppress("event", 7, 4 | FIRST) == (2, 1)  # a whole lap more is the same place: never beyond it
    plain = Board(0, 5)
    assert plain.driver.suppress("event", 2, 4 | FIRST)[0] == 0  # DESC exists with EVENT_IDX only (2.8.10)
    plain.device.silence()
    assert plain.memory[0x200:0x204].tobytes() == bytes.fromhex("0000 0100")
    plain.device.arm()
    assert plain.memory[0x200:0x204].tobytes() == bytes(4)


def test_lists_become_available_oldest_last() -> None:
    """A device that finds the first of several must find all of them (2.8.21.1)."""
    board = Board(0, 8)
    board.driver.place(WRAP_A, 2, None, 0)
    board.driver.place(WRAP_B, 2, None, 1)
    assert not any(board.memory[16 * position + 14] for position in (0, 3))  # first flags are held back
    assert all(board.memory[16 * position + 14] for position in (1, 2, 4, 5))
    board.driver.expose(1)
    assert board.fetch().readable == WRAP_A[:2]
    assert board.device.fetch() is None
    board.driver.expose(1)
    assert board.fetch().readable == WRAP_B[:2]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8])
def test_lists_are_read_back_as_written(size: int) -> None:
    """Lists of every length over several laps, two in flight where they fit; ids stay below the size (2.8.22)."""
    board = Board(spec.IN_ORDER, size)
    flight: list[Chain] = []
    for number in range(12 * size):
        count = number % size + 1
        while board.driver.room < count:
            chain = flight.pop(0)
            board.device.use([chain], 0)
            board.driver.reclaim(chain.id, chain.slots)
        elements = [(BASE + 0x1000 + place, number + place) for place in range(count)]
        id_ = board.supply(elements, count // 2)
        assert id_ < size
        assert id_ not in {chain.id for chain in flight}
        chain = board.fetch()
        assert (chain.id, chain.slots) == (id_, count)
        assert chain.readable + chain.writable == elements
        assert len(board.driver.decoys()) == count - 1
        assert id_ not in board.driver.decoys()
        assert board.device.fetch() is None
        flight.append(chain)


def test_used_descriptors_are_seen_wherever_they_stand() -> None:
    """Every position, in lists made available and held back, and where nothing was ever written."""
    board = Board(0, 8)
    board.supply(WRAP_A, 2)
    board.driver.place(WRAP_B, 2, None, 1)
    assert board.driver.misplaced() == []
    for position in (0, 1, 2, 4, 5, 6, 7):  # 3 is held back: no device knows of it
        before = board.memory[16 * position + 14 : 16 * position + 16].tobytes()
        board.device.descriptor_store(position, 5, 6, 0x8080)
        data = board.memory[16 * position : 16 * position + 16].tobytes()
        assert board.driver.misplaced() == [(16 * position, data)]
        board.memory[16 * position + 14 : 16 * position + 16] = before
        assert board.driver.misplaced() == []  # id and length mean nothing before the flags say so
    board.device.descriptor_store(0, 0, 6, 0x8080)
    board.driver.accept(0, board.memory[:16].tobytes())
    assert board.driver.misplaced() == []
    board.device.descriptor_store(0, 0, 6, 0)
    assert [offset for offset, _ in board.driver.misplaced()] == [0]


# --- notifications ----------------------------------------------------------------------------------------------------


def test_device_calls_when_the_event_is_passed() -> None:
    """By counting positions: every event, every place to begin, every number of descriptors."""
    for size, wrap in product((1, 2, 3, 5), (0, 1)):
        for old, event, event_wrap, count in product(range(size), range(size), (0, 1), range(1, size + 1)):
            board = Board(spec.EVENT_IDX, size, old | wrap << 15)
            board.memory[0x100:0x104] = (event | event_wrap << 15 | 2 << 16).to_bytes(4, "little")
            passed = [((old + step) % size, wrap ^ (old + step >= size)) for step in range(count)]
            board.device.use([Chain(0, count, [], [])], 0)
            assert board.device.calls() == ((event, event_wrap) in passed), (size, old, wrap, event, event_wrap, count)
            assert not board.device.calls()


def test_driver_is_excused_until_the_event_is_passed() -> None:
    for size, wrap in product((1, 2, 3, 5), (0, 1)):
        for old, event, event_wrap, count in product(range(size), range(size), (0, 1), range(1, size + 1)):
            board = Board(spec.EVENT_IDX, size, old | wrap << 15)
            board.memory[0x200:0x204] = (event | event_wrap << 15 | 2 << 16).to_bytes(4, "little")
            passed = [((old + step) % size, wrap ^ (old + step >= size)) for step in range(count)]
            board.driver.place([(BASE, 1)] * count, 0, None, 0)
            board.driver.expose(1)
            excused = board.driver.excused()
            assert excused[:2] == (2, event | event_wrap << 15)
            assert excused[2] == ((event, event_wrap) not in passed), (size, old, wrap, event, event_wrap, count)


@pytest.mark.parametrize("features", [0, spec.EVENT_IDX])
def test_flags_enable_and_disable(features: int) -> None:
    board = Board(features, 4)
    for mode, called in (("enable", True), ("disable", False), ("enable", True)):
        board.driver.suppress(mode, 0, board.device.used | board.device.used_wrap << 15)
        board.device.use([Chain(0, 1, [], [])], 0)
        assert board.device.calls() == called
        board.memory[0x200:0x204] = (0x8000 | (0 if called else 1) << 16).to_bytes(4, "little")
        assert board.driver.excused()[2] == (not called)


def test_what_the_driver_wants_to_hear_is_its_own() -> None:
    """The driver event suppression area is compared with what we wrote, whatever that was."""
    for features, mode in ((spec.EVENT_IDX, "event"), (spec.EVENT_IDX, "disable"), (0, "event"), (0, "enable")):
        board = Board(features, 4)
        board.driver.suppress("event", 2, 1 | FIRST)
        board.driver.suppress(mode, 1, 2 | FIRST)
        assert board.driver.disturbed() == []
        for place in range(board.driver.driver, board.driver.driver + 4):
            board.memory[place] ^= 0x10
            assert [offset for offset, _ in board.driver.disturbed()] == [place]
            board.memory[place] ^= 0x10


# --- the reader -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [runs for count in (1, 2, 3, 4, 5) for runs in product(range(1, 6), repeat=count)
                                  if sum(runs) == 5])  # fmt: skip
@pytest.mark.parametrize("start", [0, 4, FIRST, 3 | FIRST])
def test_batches_of_every_length(runs: tuple[int, ...], start: int) -> None:
    """All ways to divide five buffers of one to three descriptors into batches, over ring ends in both laps."""
    slots = [1, 3, 2, 1, 3]
    size = 10
    reader = reader_of(spec.IN_ORDER, size, [(20 + number, slots[number], 200) for number in range(5)], start)
    at, wrap = start & 0x7FFF, start >> 15
    first = 0
    for run in runs:
        last = first + run - 1
        assert (reader.cursor, reader.wrap) == (at, wrap)
        flags = spec.DESC_F_WRITE | (0x8080 if wrap else 0)
        data = spec.DESCRIPTOR.pack(0, 100 + last, 20 + last, flags)
        assert reader.stored(Stored(BASE + 16 * at + 8, data[8:14])) is None
        assert reader.stored(Stored(BASE + 16 * at + 14, data[14:])) is None
        at += sum(slots[first : last + 1])
        if at >= size:
            at -= size
            wrap ^= 1
        first = last + 1
        assert (reader.done[-1].length, reader.done[-1].run) == (100 + last, run)
    assert [buffer.number for buffer in reader.done] == [0, 1, 2, 3, 4]
    assert [buffer.number for buffer in reader.done if buffer.length is not None] == [
        sum(runs[: turn + 1]) - 1 for turn in range(len(runs))
    ]
    assert not reader.queue.by_id


def test_any_order_is_accepted_without_in_order() -> None:
    """The position moves by the descriptors of the buffer that is named, wherever it was supplied."""
    reader = reader_of(0, 6, [(0, 1, 8), (1, 2, 8), (2, 3, 8)])
    positions = []
    for id_ in (2, 0, 1):
        positions.append(reader.cursor)
        data = spec.DESCRIPTOR.pack(0, 8, id_, 0x8082)
        assert reader.saw(SawDescriptor(reader.cursor, data)) is None
    assert positions == [0, 3, 4]
    assert (reader.cursor, reader.wrap) == (0, 0)
    assert [buffer.id for buffer in reader.done] == [2, 0, 1]
    assert [buffer.run for buffer in reader.done] == [1, 1, 1]


@pytest.mark.parametrize(("flags", "wrap"), [(0x8080, 0), (0x0080, 1), (0x8000, 1), (0x0080, 0), (0x8000, 0), (0, 1)])
def test_bits_of_the_wrong_lap_are_handed_over(flags: int, wrap: int) -> None:
    reader = reader_of(0, 4, [(0, 1, 8)], wrap << 15)
    case = reader.saw(SawDescriptor(0, spec.DESCRIPTOR.pack(0, 0, 0, flags)))
    assert case is not None
    assert (case.moment, case.flags, case.wrap) == ("descriptor", flags, wrap)
