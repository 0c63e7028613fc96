"""The audit of our own writes: what our driver's rings store is shown to the oracle of drivers as a device finds it.

A ring's memory is a watched one: each store is logged at the moment when it is done. Where the device's stores are
logged, too, all of it is read back after each operation, so that what was written past the ring shows. Knows
memory and observations; must not judge, nor know what an operation was for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.targets.watched import watched
from oracles import spec
from oracles.driver_oracle import DriverQueueOracle
from oracles.rules import Violation
from oracles.trace import Exposed, Looked

if TYPE_CHECKING:
    from fuzz.evidence import Evidence


class OurFault(Exception):
    """Our driver broke a rule: the run ends here, and says nothing of the target."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.message)
        self.violation = violation


class Audit:
    """The audit of one queue's driver."""

    def __init__(self, evidence: Evidence, oracle: DriverQueueOracle) -> None:
        self.evidence = evidence
        self.oracle = oracle
        self.address = evidence.session.address
        self.memory = evidence.session.memory
        self.pointers: list[tuple[int, int]] = []  # split: indirect tables of chains that aren't exposed yet
        self.begun = False
        self.first: list[bytes] = []  # the three areas as they read before the queue was live
        self.mirror: dict[int, bytearray] = {}  # by address: areas and tables as they read at the last look
        self.known = (0, 0, False, 0)  # addresses of descriptors and driver area, layout, bytes of descriptors
        self.ran = False  # the device may have, since then

    def watched(self) -> memoryview:
        """The session's memory for a ring."""
        self.begun = False
        self.pointers.clear()
        return watched(self.memory, self._stored)

    def prepared(self) -> None:
        """The rings are laid out, and no device knows of them yet."""
        evidence = self.evidence
        sizes = spec.area_sizes(evidence.driver.layout, evidence.size)
        self.first = [self.memory[at : at + size].tobytes() for at, size in zip(evidence.places, sizes, strict=True)]

    def _stored(self, offset: int, data: bytes) -> None:
        """The ring stored something: what a device would find there, tables first."""
        if not self.begun:
            return  # before a queue is live nobody looks
        address = offset + self.address
        descriptor, driver, packed_layout, size = self.known
        at = address - descriptor
        if 0 <= at < size:
            end = at + len(data)
            flags = 14 if packed_layout else 12  # where they are in a descriptor
            if end & 15 in (0, flags + 2) and data[flags - (at & 15)] & spec.DESC_F_INDIRECT:
                self._point(offset - (at & 15))
                if packed_layout:
                    self._tables()
            area = descriptor
        else:
            if self.pointers and 0 <= driver + 2 - address < len(data):
                self._tables()
            area = driver
        mirror = self.mirror.get(area)
        if mirror is not None and 0 <= address - area < len(mirror):
            mirror[address - area : address - area + len(data)] = data
        self.evidence.feed(Exposed(address, data))

    def _point(self, at: int) -> None:
        """Remember where the descriptor at this offset says that a table is."""
        address, length, _, _ = spec.DESCRIPTOR.unpack_from(self.memory, at)
        if length >= 16 and 0 <= address - self.address <= len(self.memory) - length:
            self.pointers.append((address, length))

    def _tables(self) -> None:
        """Something is about to be exposed: read the tables."""
        pointers, self.pointers = self.pointers, []
        for address, length in pointers:
            at = address - self.address
            self.evidence.feed(Exposed(address, self.memory[at : at + length].tobytes()))

    def begin(self, cause: str) -> None:
        """The queue is live: what its memory was before."""
        self.begun = True
        self.mirror.clear()
        follower = self.oracle.follower
        assert follower is not None
        told = follower.told
        self.known = (told.descriptor, told.driver, follower.packed_layout, len(follower.descriptor))
        if cause != "restart":
            for (start, copy), found in zip(follower.areas(), self.first, strict=True):
                if found != copy:
                    self._differs(start, bytes(copy), found)
        self.look()

    def look(self, waited: bool = False) -> None:
        """Have it judged as it stands, and what was written past the ring first."""
        if not self.oracle.live:
            return
        if self.evidence.driver.listening:
            self._read_back()
        self.evidence.feed(Looked(waited))

    def _read_back(self) -> None:
        """Compare memory with what it was at the last look and was stored since: unless the device ran, it is ours.

        A device whose stores aren't logged may run at any time, so that nothing can be said of it this way.
        """
        follower = self.oracle.follower
        assert follower is not None
        places = [(start, len(copy)) for start, copy in follower.areas()]
        places += [(start, len(data)) for start, data in follower.tables.items()]
        ran, self.ran = self.ran, False
        mirror, self.mirror = self.mirror, {}
        for start, size in places:
            at = start - self.address
            found = self.memory[at : at + size].tobytes()
            known = mirror.get(start)
            if known is None or known != found:
                self.mirror[start] = bytearray(found)
                if known is not None and not ran:
                    self._differs(start, bytes(known), found)
            else:
                self.mirror[start] = known

    def _differs(self, start: int, known: bytes, found: bytes) -> None:
        """Show the stretch from the first to the last byte that reads otherwise than was stored, in whole words."""
        wrong = int.from_bytes(known, "little") ^ int.from_bytes(found, "little")
        first = ((wrong & -wrong).bit_length() - 1) // 8 & ~1
        last = (wrong.bit_length() + 7) // 8 + 1 & ~1
        self.evidence.feed(Exposed(start + first, found[first:last]))
