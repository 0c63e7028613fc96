"""Shared memory as the driver lays it out: places for rings, blocks for buffers, canaries in everything.

Every device-writable byte is prefilled with the buffer's own canary byte, every byte that belongs to
nobody with a guard, so that what was written, and where, can be told afterwards. Knows nothing of
rings' formats, programs or targets.
"""

from __future__ import annotations

from collections.abc import Sequence

from oracles.trace import Extent

GUARD = 0xFB
GAP = 16
_GAP_BYTES = bytes([GUARD]) * GAP
CANARIES = [bytes([0x80 + value]) for value in range(0x7A)]  # never a guard, never a byte of a pattern


class Block:
    """One buffer's memory: its elements with guards between them, and its indirect table."""

    __slots__ = (
        "canary",
        "elements",
        "end",
        "expected",
        "first",
        "image",
        "image_of_table",
        "offset",
        "readable",
        "seen",
        "table",
        "writable",
    )

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.end: int
        self.image: bytes  # as written before the device saw it
        self.image_of_table = b""
        self.elements: list[Extent] = []  # (offset, length), readable first
        self.readable: int  # number of readable elements
        self.first: int  # offset of the first writable element
        self.writable: int  # bytes
        self.canary: bytes
        self.table: Extent | None = None
        self.seen: bytes | None = None  # the writable bytes when it was used
        self.expected: bytes | None = None  # the writable bytes as they must read when used, where that is known


class Arena:
    """Blocks from a stretch of memory: forwards while there is room, then those that were freed."""

    def __init__(self, memory: memoryview, start: int, end: int) -> None:
        self.memory = memory
        self.start = start
        self.next = start
        self.end = end
        self.freed: list[Block] = []
        if end > start:
            memory[start:end] = bytes([GUARD]) * (end - start)

    def place(
        self, readable: Sequence[bytes], writable: Sequence[int], canary: bytes, table_entries: int
    ) -> Block | None:
        """A filled block for these elements, and room for a table of *table_entries*; None: no memory is left."""
        total = sum(writable)
        size = GAP * (1 + len(readable) + len(writable)) + total + sum([len(data) for data in readable])
        whole = size + (16 * table_entries + GAP + 16 if table_entries else 0)
        offset = self._take(whole)
        if offset < 0:
            return None
        block = Block(offset)
        parts = [_GAP_BYTES]
        at = offset + GAP
        elements = block.elements
        for data in readable:
            length = len(data)
            elements.append((at, length))
            parts.append(data)
            parts.append(_GAP_BYTES)
            at += length + GAP
        block.readable = len(elements)
        block.first = at
        for length in writable:
            elements.append((at, length))
            parts.append(canary * length)
            parts.append(_GAP_BYTES)
            at += length + GAP
        block.writable = total
        block.canary = canary
        block.image = b"".join(parts)
        self.memory[offset:at] = block.image
        block.end = at
        if table_entries:
            block.table = ((at + 15) & ~15, 16 * table_entries)
            block.end = offset + whole
            block.image += bytes([GUARD]) * (block.end - at)  # before, under and behind the table
        return block

    def _take(self, size: int) -> int:
        offset = self.next
        if offset + size <= self.end:
            self.next = offset + size
            return offset
        for index, block in enumerate(self.freed):
            if block.end - block.offset >= size:
                del self.freed[index]
                self.memory[block.offset : block.end] = bytes([GUARD]) * (block.end - block.offset)
                return block.offset
        return -1

    def free(self, block: Block) -> None:
        """The block's buffer was reclaimed."""
        self.freed.append(block)

    def written(self, block: Block) -> bytes:
        """The device-writable bytes as they read now, in order."""
        memory = self.memory
        pieces = block.elements[block.readable :]
        if len(pieces) == 1:
            at, length = pieces[0]
            return memory[at : at + length].tobytes()
        return b"".join([memory[at : at + length].tobytes() for at, length in pieces])

    def disturbed(self, block: Block) -> tuple[int, bytes] | None:
        """The first place of the block outside its writable elements that changed: (offset, bytes), or None."""
        memory, offset, image = self.memory, block.offset, block.image
        at = offset
        table = [block.table] if block.table else []
        for start, length in [*block.elements[block.readable :], *table, (offset + len(image), 0)]:
            expected = image[at - offset : start - offset]
            found = memory[at:start].tobytes()
            if found != expected:
                place = next(index for index in range(len(found)) if found[index] != expected[index])
                return at + place, found[place : place + 16]
            at = start + length
        return None

    def trespassed(self) -> tuple[int, bytes] | None:
        """The first place behind the last block that changed: (offset, bytes), or None."""
        found = self.memory[self.next : self.end].tobytes()
        expected = bytes([GUARD]) * len(found)
        if found == expected:
            return None
        place = len(found) - len(found.lstrip(bytes([GUARD])))
        return self.next + place, found[place : place + 16]


def survivors(data: bytes, canary: bytes, proof: int, most: int = 4) -> tuple[Extent, ...]:
    """Runs of at least *proof* canary bytes in *data*: (offset, length) each, the first *most* of them."""
    needle = canary * proof
    runs: list[Extent] = []
    at = data.find(needle)
    while at >= 0 and len(runs) < most:
        end = len(data) - len(data[at:].lstrip(canary))
        runs.append((at, end - at))
        at = data.find(needle, end)
    return tuple(runs)
