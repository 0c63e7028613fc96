"""What a device may still write when the driver has broken its rules, and where it wrote beyond that.

A poked descriptor allows whatever it says, whoever the memory belongs to; so does what stood there before, and any
mixture of the two. Where that can't be followed (a table in memory that is none), nothing is judged. So a device
that does what our descriptors say is never accused. Knows descriptors as bytes. Must not know programs or targets.
"""

from __future__ import annotations

from collections.abc import Iterable

from oracles import spec
from oracles.trace import Extent

_TOP = 1 << 64


class Reach:
    """What the descriptors of one queue let a device write. *memory*: (address, length) of what is shared."""

    def __init__(self, memory: Extent) -> None:
        self.address, self.length = memory
        self.extents: set[Extent] = set()  # (offset, length) of shared memory
        self.loose = False  # it may write anywhere
        self._seen: dict[int, bytes] = {}  # by offset

    def note(self, offset: int, data: bytes, packed: bool, tables: set[Extent], poked: bool) -> None:
        """Descriptors as they stand at *offset*; *poked*: they may have been changed under the device's eyes.

        *tables*: (address, length) of all indirect tables that there are.
        """
        for at in range(0, len(data) - 15, 16):
            entry = data[at : at + 16]
            old = self._seen.get(offset + at)
            if entry == old:
                continue
            self._seen[offset + at] = entry
            versions = [entry] if old is None or not poked else [entry, old]
            fields = [spec.DESCRIPTOR.unpack(version) for version in versions]
            flags = 0
            for field in fields:
                flags |= field[3] if packed else field[2]
            for address in {field[0] for field in fields}:
                for length in {field[1] for field in fields}:
                    self._allow(address, length)
                    if flags & spec.DESC_F_INDIRECT:
                        self._table(address, length, tables)

    def _allow(self, address: int, length: int) -> None:
        for start, size in ((address, length), (0, max(0, address + length - _TOP))):
            low = max(start, self.address)
            high = min(start + size, self.address + self.length)
            if low < high:
                self.extents.add((low - self.address, high - low))

    def _table(self, address: int, length: int, tables: set[Extent]) -> None:
        if length < 16 or address >= self.address + self.length or address + length <= self.address:
            return  # nothing of ours is read there
        if not any(address == at and length // 16 * 16 <= size for at, size in tables):
            self.loose = True


class Guard:
    """The shared memory up to *end*, as we left it."""

    def __init__(self, memory: memoryview, end: int) -> None:
        self.memory = memory
        self.end = min(end, len(memory))
        self._image = b""
        self.remember()

    def remember(self) -> None:
        """All that changed so far is ours, or was judged."""
        self._image = self.memory[: self.end].tobytes()

    def strays(self, allowed: Iterable[Extent]) -> tuple[int, bytes] | None:
        """(offset, bytes found) of the first change outside of *allowed*, or None."""
        found = self.memory[: self.end].tobytes()
        if found == self._image:
            return None
        masked = bytearray(found)
        for at, length in allowed:
            end = min(at + length, self.end)
            masked[at:end] = self._image[at:end]
        if masked == self._image:
            return None
        low, high = 0, self.end
        while high - low > 1:  # the first difference lies in the first half, or else in the second
            middle = (low + high) // 2
            if masked[low:middle] != self._image[low:middle]:
                high = middle
            else:
                low = middle
        return low, found[low : low + 16]


def overlaps(extents: Iterable[Extent], others: Iterable[Extent]) -> bool:
    """Whether any of one set touches any of the other."""
    mine = list(extents)
    return any(at < start + size and start < at + length for start, size in others for at, length in mine)
