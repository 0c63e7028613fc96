"""The split layout: both halves of the rings, and the reader, against memory images made by hand."""

from __future__ import annotations

from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import spec
from oracles.model import Buffer, Case, Virtqueue
from oracles.split import Reader
from oracles.split_rings import Chain, DeviceRing, DriverRing, differences
from oracles.trace import SawUsed, Started, Stored, Supplied
from tests.golden.image import Image

BASE = 0x8000_0000
AREAS = (0x000, 0x100, 0x200)


class Board:
    """Memory with both halves of one queue; what the device stores lands in memory and in ``log``."""

    def __init__(self, features: int, size: int = 4, start: int = 0) -> None:
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


A = [(BASE + 0x1000, 16), (BASE + 0x1100, 8), (BASE + 0x2000, 512)]
B = [(BASE + 0x3000, 32)]


def test_driver_writes_chains_as_by_hand() -> None:
    image, board = Image("split-batch"), Board(spec.IN_ORDER)
    board.memory[0x100:0x110] = bytes(16)
    assert board.driver.place(A, 2, None, 0) == (0, 3)
    assert board.driver.place(B, 0, None, 1) == (3, 1)
    image.check(board.memory, "placed")
    assert board.driver.room == 0
    assert not board.device.waiting()
    board.driver.expose(2)
    image.check(board.memory, "available")
    assert board.device.waiting() == 2


def test_device_reads_chains_made_by_hand() -> None:
    image, board = Image("split-batch"), Board(spec.IN_ORDER)
    image.write(board.memory, "placed")
    assert board.device.fetch() is None
    image.write(board.memory, "available")
    first, second = board.fetch(), board.fetch()
    assert (first.id, first.slots, first.readable, first.writable) == (0, 3, A[:2], A[2:])
    assert (second.id, second.slots, second.readable, second.writable) == (3, 1, [], B)
    assert board.device.fetch() is None
    assert board.device.base() == 2


def test_device_writes_a_batch_as_by_hand() -> None:
    image, board = Image("split-batch"), Board(spec.IN_ORDER)
    image.write(board.memory, "available")
    board.device.use([Chain(0, 3, A[:2], A[2:]), Chain(3, 1, [], B)], 32)
    image.check(board.memory, "used")
    assert [offset for offset, _ in board.log] == [0x204, 0x202]  # the element before the index (2.7.8.2)


def test_reader_takes_a_batch_made_by_hand() -> None:
    image, board = Image("split-batch"), Board(spec.IN_ORDER)
    image.write(board.memory, "used")
    reader = reader_of(spec.IN_ORDER, [(0, 512), (3, 32)])
    assert reader.saw(SawUsed(2, board.memory[0x204:0x214].tobytes(), 0b01)) is None
    assert [(buffer.number, buffer.length, buffer.run) for buffer in reader.done] == [(0, None, 1), (1, 32, 2)]
    assert not reader.lint
    assert reader.idx == 2


def test_rings_wrap_as_by_hand() -> None:
    """The index from 65535 to 0, and a chain over the end of the table: next is 0 in the last slot."""
    image, board = Image("split-wrap"), Board(spec.IN_ORDER, start=0xFFFF)
    board.driver.place([(BASE + 0x1000 + 0x100 * place, place + 1) for place in range(3)], 3, None, 0)
    board.driver.expose(1)
    image.check(board.memory, "first")
    first = board.fetch()
    board.device.use([first], 0)
    image.check(board.memory, "first used")
    board.driver.reclaim(0, 3)
    assert board.driver.place([(BASE + 0x1300, 4), (BASE + 0x1400, 5)], 0, None, 1) == (3, 2)
    board.driver.expose(1)
    image.check(board.memory, "second")
    second = board.fetch()
    assert (second.id, second.slots, second.writable) == (3, 2, [(BASE + 0x1300, 4), (BASE + 0x1400, 5)])
    board.device.use([second], 5)
    image.check(board.memory, "second used")
    reader = reader_of(spec.IN_ORDER, [(0, 0), (3, 9)], start=0xFFFF)
    assert reader.stored(Stored(BASE + 0x204 + 24, bytes(8))) is None
    assert reader.stored(Stored(BASE + 0x202, b"\0\0")) is None
    assert reader.stored(Stored(BASE + 0x204, board.memory[0x204:0x20C].tobytes())) is None
    assert reader.stored(Stored(BASE + 0x202, b"\1\0")) is None
    assert [buffer.length for buffer in reader.done] == [0, 5]


def test_indirect_tables_and_event_words_as_by_hand() -> None:
    features = spec.IN_ORDER | spec.EVENT_IDX | spec.INDIRECT_DESC
    image, board = Image("split-indirect"), Board(features)
    inner = [(BASE + 0x1000, 16), (BASE + 0x1100, 32), (BASE + 0x1200, 48)]
    table = board.driver.table(inner, 1)
    board.memory[0x400 : 0x400 + len(table)] = table
    image.check(board.memory, "table")
    board.driver.place([(BASE + 0xF00, 12)], 2, (BASE + 0x400, 48), 0)
    board.driver.expose(1)
    image.check(board.memory, "chain")
    image.write(board.memory, "table")
    image.write(board.memory, "chain")
    chain = board.fetch()
    assert (chain.id, chain.slots) == (0, 2)
    assert chain.readable == [(BASE + 0xF00, 12), inner[0]]
    assert chain.writable == inner[1:]
    assert board.driver.suppress("event", 2, 0) == (0, 2)
    image.check(board.memory, "event")
    board.device.use([chain], 80)
    board.device.arm()
    image.check(board.memory, "armed")


def test_chains_are_read_back_as_written() -> None:
    """Without IN_ORDER: slots in any order, tables linked back to front. Each buffer comes out as it went in."""
    board = Board(0, 8)
    placed = []
    for number in range(40):
        count = number % 4 + 1
        elements = [(BASE + 0x1000 + 16 * number + place, place + 1) for place in range(count)]
        table = number % 3 == 0
        if table:
            data = board.driver.table(elements, count // 2)
            board.memory[0x400 : 0x400 + len(data)] = data
            head, slots = board.driver.place([], count // 2, (BASE + 0x400, len(data)), number)
            assert slots == 1
        else:
            head, slots = board.driver.place(elements, count // 2, None, number)
            assert slots == count
        board.driver.expose(1)
        chain = board.fetch()
        assert (chain.id, chain.slots) == (head, slots)
        assert chain.readable == elements[: count // 2]
        assert chain.writable == elements[count // 2 :]
        placed.append((head, slots))
        if len(placed) > 1:  # never in the order of supply for long: the table gets mixed up
            board.driver.reclaim(*placed.pop(number % 2))
    assert not board.driver.disturbed()


def test_wild_descriptors_end_the_walk() -> None:
    """A loop, and tables that lie outside of memory."""
    board = Board(0)
    board.memory[0x000:0x010] = spec.DESCRIPTOR.pack(BASE, 1, spec.DESC_F_NEXT, 0)
    assert board.device.walk(0).slots == 4
    for address in (0, BASE - 16, BASE + 0xFF8, BASE + 0x1000, (1 << 64) - 16):
        board.memory[0x000:0x010] = spec.DESCRIPTOR.pack(address, 32, spec.DESC_F_INDIRECT, 0)
        chain = board.device.walk(0)
        assert not chain.readable
        assert not chain.writable


# --- notifications ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 70))
def test_crossing_is_passing_the_event(event: int, old: int, step: int) -> None:
    """By counting: the entry with the index *event* is among those published."""
    passed = event in {(old + place) & 0xFFFF for place in range(step)}
    assert spec.crosses(event, (old + step) & 0xFFFF, old) == passed


@pytest.mark.parametrize(("start", "ahead"), list(product((0, 5, 0xFFFE), range(4))))
def test_device_calls_when_the_event_is_passed(start: int, ahead: int) -> None:
    board = Board(spec.EVENT_IDX, start=start)
    assert board.driver.suppress("event", ahead, start) == (0, (start + ahead) & 0xFFFF)
    calls = []
    for _ in range(4):
        board.device.use([Chain(0, 1, [], [])], 0)
        calls.append(board.device.calls())
    assert calls == [place == ahead for place in range(4)]


def test_device_calls_unless_flags_say_not() -> None:
    board = Board(0)
    assert not board.device.calls()
    board.device.use([Chain(0, 1, [], [])], 0)
    assert board.device.calls()
    assert not board.device.calls()
    assert board.driver.suppress("disable", 0, 1) == (1, 1)
    assert board.memory[0x100:0x102].tobytes() == b"\1\0"
    board.device.use([Chain(0, 1, [], [])], 0)
    assert not board.device.calls()
    assert board.driver.suppress("enable", 0, 2) == (0, 2)
    assert board.memory[0x100:0x102].tobytes() == b"\0\0"


def test_disabled_event_index_is_far_away() -> None:
    """Without a flag, «disable» must name an index that no queue passes before the next suppression."""
    board = Board(spec.EVENT_IDX)
    board.driver.suppress("disable", 0, 0)
    for _ in range(1000):
        board.device.use([Chain(0, 1, [], [])], 0)
        assert not board.device.calls()
    assert board.memory[0x100:0x102].tobytes() == b"\0\0"  # flags stays 0 with EVENT_IDX (2.7.7.1)


def test_driver_is_excused_by_flags() -> None:
    board = Board(0)
    board.device.silence()
    assert board.driver.excused() == (1, 0, True)
    board.device.arm()
    assert board.driver.excused() == (0, 0, False)


@pytest.mark.parametrize("event", range(5))
def test_driver_is_excused_until_the_event_is_passed(event: int) -> None:
    board = Board(spec.EVENT_IDX)
    board.memory[0x224:0x226] = event.to_bytes(2, "little")
    excused = []
    for number in range(4):
        board.driver.place(B, 0, None, number)
        board.driver.expose(1)
        excused.append(board.driver.excused()[2])
    assert excused == [number != event for number in range(4)]


# --- what must stay as it is ------------------------------------------------------------------------------------------


def test_every_byte_that_the_device_may_not_change_is_watched() -> None:
    board = Board(spec.IN_ORDER)
    board.memory[0x100:0x110] = bytes(16)
    board.driver.place(A, 2, None, 0)
    board.driver.expose(1)
    assert board.driver.disturbed() == []
    for offset in (*range(0x40), 0x102, 0x103, *range(0x104, 0x10C)):
        board.memory[offset] ^= 0x40
        found = board.driver.disturbed()
        assert [place for place, _ in found] == [offset if offset not in (0x102, 0x103) else 0x102]
        assert found[0][1][0 if offset != 0x103 else 1] == board.memory[offset]
        board.memory[offset] ^= 0x40
    assert board.driver.disturbed() == []


@given(st.binary(min_size=1, max_size=40), st.data())
def test_differences_begin_at_the_first(expected: bytes, data: st.DataObject) -> None:
    assert differences(7, expected, expected) == []
    place = data.draw(st.integers(0, len(expected) - 1))
    found = bytearray(expected)
    found[place] ^= data.draw(st.integers(1, 255))
    assert differences(7, expected, bytes(found)) == [(7 + place, bytes(found[place : place + 16]))]


# --- the reader -------------------------------------------------------------------------------------------------------


def reader_of(features: int, buffers: list[tuple[int, int]], size: int = 4, start: int = 0) -> Reader:
    """A reader with these buffers available: (head, writable bytes) each."""
    started = Started(
        "split", size, features, BASE, BASE + 0x100, BASE + 0x200, (BASE, 0x1000), start & 0xFFFF, start & 0xFFFF
    )
    queue = Virtqueue(size, bool(features & spec.IN_ORDER))
    reader = Reader(started, queue)
    for number, (head, writable) in enumerate(buffers):
        queue.held.append(Buffer(Supplied(number, head, 1, 0, writable), reader.position_of_next(1)))
        queue.publish(1)
        reader.publish(1)
    return reader


def publish(reader: Reader, idx: int, elements: dict[int, tuple[int, int]]) -> Case | None:
    """Store used elements at slots, then used idx."""
    for slot, element in elements.items():
        assert reader.stored(Stored(BASE + 0x204 + 8 * slot, spec.USED_ELEMENT.pack(*element))) is None
    return reader.stored(Stored(BASE + 0x202, idx.to_bytes(2, "little")))


def accepted(count: int) -> tuple[int, int]:
    """Of all orders in which *count* completions can be published in one idx step: (how many pass, how many warned)."""
    passed = warned = 0
    for order in permutations(range(count)):
        reader = reader_of(spec.IN_ORDER, [(head, 8) for head in range(count)], 8)
        if publish(reader, count, {slot: (head, 8) for slot, head in enumerate(order)}) is None:
            passed += 1
            assert len(reader.done) == count
            assert bool(reader.lint) == (order != tuple(range(count)))
            warned += bool(reader.lint)
    return passed, warned


@pytest.mark.parametrize(("count", "passed"), [(1, 1), (2, 2), (3, 5), (4, 16), (5, 65), (6, 326)])
def test_permutations_that_read_like_batches_are_warned_of(count: int, passed: int) -> None:
    """The blind spot of looking at one idx step, counted: every accepted order but the right one is suspicious."""
    assert accepted(count) == (passed, passed - 1)


@pytest.mark.parametrize("runs", [runs for count in (1, 2, 3, 4, 5) for runs in product(range(1, 6), repeat=count)
                                  if sum(runs) == 5])  # fmt: skip
@pytest.mark.parametrize("start", [0, 6, 0xFFFD])
def test_batches_of_every_length_in_one_step(runs: tuple[int, ...], start: int) -> None:
    """All ways to divide five buffers into batches, in one idx step and in one each."""
    heads = [(3 * number + 1) % 8 for number in range(5)]
    lengths = [100 + head for head in heads]
    for together in (True, False):
        reader = reader_of(spec.IN_ORDER, [(head, 200) for head in heads], 8, start)
        elements = {}
        place = 0
        for run in runs:
            last = place + run - 1
            elements[(start + place) % 8] = (heads[last], lengths[last])
            place += run
            if not together:
                assert publish(reader, (start + place) & 0xFFFF, elements) is None
                elements = {}
        if together:
            assert publish(reader, (start + 5) & 0xFFFF, elements) is None
        assert [buffer.number for buffer in reader.done] == [0, 1, 2, 3, 4]
        ends = [sum(runs[: turn + 1]) - 1 for turn in range(len(runs))]
        assert [buffer.number for buffer in reader.done if buffer.length is not None] == ends
        assert [reader.done[end].length for end in ends] == [lengths[end] for end in ends]
        assert [reader.done[end].run for end in ends] == list(runs)
        assert not reader.lint
        assert not reader.queue.by_id


def test_any_order_is_accepted_without_in_order() -> None:
    for order in permutations(range(4)):
        reader = reader_of(0, [(head, 8) for head in range(4)])
        assert publish(reader, 4, {slot: (head, 8) for slot, head in enumerate(order)}) is None
        assert [buffer.id for buffer in reader.done] == list(order)
        assert not reader.lint
