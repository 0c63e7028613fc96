"""The arena: what is nobody's is guarded, what the device may write is prefilled, and no changed byte goes unseen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fuzz.arena import CANARIES, GAP, GUARD, Arena, Block, survivors
from fuzz.devices.any import PATTERN

START, END = 64, 1024


def arena(end: int = END) -> Arena:
    return Arena(memoryview(bytearray(2048)), START, end)


def place(where: Arena, readable: list[bytes], writable: list[int], entries: int = 0) -> Block:
    block = where.place(readable, writable, CANARIES[0], entries)
    assert block is not None
    return block


blocks = st.lists(
    st.tuples(st.lists(st.binary(max_size=9), max_size=3), st.lists(st.integers(0, 9), max_size=3), st.integers(0, 3)),
    min_size=1,
    max_size=4,
)


def test_canaries_differ_from_all_that_is_written() -> None:
    assert len(set(CANARIES)) == len(CANARIES)
    assert all(len(canary) == 1 for canary in CANARIES)
    assert bytes([GUARD]) not in CANARIES
    assert not {canary[0] for canary in CANARIES} & set(PATTERN)
    assert GUARD not in PATTERN


@given(blocks)
def test_blocks_hold_what_was_asked_and_never_meet(wanted: list[tuple[list[bytes], list[int], int]]) -> None:
    where = arena(2048)
    taken: list[tuple[int, int]] = []
    for readable, writable, entries in wanted:
        block = place(where, readable, writable, entries)
        elements = block.elements
        assert [length for _, length in elements] == [*map(len, readable), *writable]
        assert (block.readable, block.writable) == (len(readable), sum(writable))
        for data, (at, length) in zip(readable, elements, strict=False):
            assert where.memory[at : at + length].tobytes() == data
        assert where.written(block) == CANARIES[0] * sum(writable)
        spans = [span for span in elements if span[1]]
        if entries:
            assert block.table is not None
            assert block.table[0] % 16 == 0
            assert block.table[1] == 16 * entries
            spans.append(block.table)
        for at, length in spans:
            assert block.offset < at
            assert at + length < block.end <= where.next
            assert all(at >= end or at + length <= begin for begin, end in taken)
            assert where.memory[at - 1] == GUARD
            assert where.memory[at + length] == GUARD
            taken.append((at, at + length))
    assert where.trespassed() is None


@given(blocks, st.data())
def test_no_changed_byte_goes_unseen(wanted: list[tuple[list[bytes], list[int], int]], data: st.DataObject) -> None:
    """Every byte of the arena that the device may not write, one at a time: exactly there the change is seen."""
    where = arena(2048)
    placed = [place(where, *block) for block in wanted]
    free = set()
    for block in placed:
        for at, length in block.elements[block.readable :]:
            free |= set(range(at, at + length))
        if block.table is not None:  # the driver compares tables with what it wrote
            free |= set(range(block.table[0], block.table[0] + block.table[1]))
    byte = data.draw(st.integers(START, 2047).filter(lambda at: at not in free))
    where.memory[byte] ^= data.draw(st.integers(1, 255))
    found = [place for place in (*(where.disturbed(block) for block in placed), where.trespassed()) if place]
    assert [at for at, _ in found] == [byte]
    assert found[0][1][0] == where.memory[byte]


def test_every_byte_of_one_block() -> None:
    where = arena()
    block = place(where, [b"abc", b"", b"de"], [4, 0, 3])
    writable = {at + step for at, length in block.elements[3:] for step in range(length)}
    for byte in range(START, END):
        where.memory[byte] ^= 1
        found = where.disturbed(block) or where.trespassed()
        assert (None if found is None else found[0]) == (None if byte in writable else byte)
        where.memory[byte] ^= 1


def test_written_bytes_are_told_in_order() -> None:
    where = arena()
    block = place(where, [b"x"], [2, 3])
    (first, _), (second, _) = block.elements[1:]
    where.memory[first : first + 2] = b"ab"
    where.memory[second : second + 3] = b"cde"
    assert where.written(block) == b"abcde"
    assert where.disturbed(block) is None


def test_freed_blocks_are_used_again_when_room_is_short() -> None:
    where = arena(START + 50 + 4 * GAP)
    first = place(where, [], [40])
    second = place(where, [], [10])
    assert where.place([], [10], CANARIES[1], 0) is None
    where.free(first)
    where.memory[first.elements[0][0]] = 1  # what a device left there
    third = where.place([], [20], CANARIES[1], 0)
    assert third is not None
    assert third.offset == first.offset
    assert where.written(third) == CANARIES[1] * 20
    assert where.disturbed(third) is None
    assert where.disturbed(second) is None
    assert where.place([], [20], CANARIES[1], 0) is None


def test_no_memory_is_no_block() -> None:
    where = arena()
    assert where.place([], [END], CANARIES[0], 0) is None
    assert Arena(where.memory, START, START).place([], [1], CANARIES[0], 0) is None


@given(st.text("cx", max_size=24), st.integers(1, 4))
def test_survivors_are_all_long_runs(text: str, proof: int) -> None:
    data = text.encode()
    runs = []
    at = 0
    for part in text.replace("x", " x ").split(" "):
        if part and part != "x" and len(part) >= proof:
            runs.append((at, len(part)))
        at += len(part)
    assert survivors(data, b"c", proof) == tuple(runs[:4])
    assert survivors(data, b"c", proof, 100) == tuple(runs)
