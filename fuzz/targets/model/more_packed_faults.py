"""Planted faults in descriptors of packed rings, each made for one rule that no other fault shows alone.

Each replaces one small method of the reference device, and is called by what it does. Knows the device; must not
know who looks for them, nor on which program they show.
"""

from __future__ import annotations

from fuzz.targets.model.engine import Engine
from fuzz.targets.model.planting import ON, PACKED, WARNED, Chains, Packed, Unasked, engine_with, plant
from oracles import spec
from oracles.split_rings import Chain
from oracles.trace import Extent

OFF = (False,)


def _both(ring: Packed, position: int) -> int:
    """AVAIL and USED of a used descriptor at *position*, at the device's position or behind it in the ring."""
    wrap = ring.used_wrap if position < ring.size else ring.used_wrap ^ 1
    return spec.DESC_F_AVAIL | spec.DESC_F_USED if wrap else 0


# -- the used descriptor: where, how many, which bits ----------------------------------------------------


class _InPlace(Packed):
    """Remembers where each list began."""

    def fetch(self) -> Chain | None:
        place = self.next
        chain = super().fetch()
        if chain is not None:
            self.__dict__.setdefault("homes", {})[chain.id] = place
        return chain

    def descriptor_store(self, position: int, id_: int, length: int, flags: int) -> None:
        super().descriptor_store(self.__dict__["homes"][id_], id_, length, flags)


def _all_used(ring: Packed, chains: Chains, length: int, advance: bool = True) -> None:
    start = ring.used
    behind = [(place, _both(ring, place)) for place in range(start + 1, start + chains[0].slots)]
    Packed.use(ring, chains, length, advance)
    if len(chains) == 1:
        for place, flags in behind:
            ring.descriptor_store(place % ring.size, chains[0].id, 0, flags)


def _batch_marked(ring: Packed, chains: Chains, length: int, advance: bool = True) -> None:
    place, firsts = ring.used, []
    for chain in chains[:-1]:
        place += chain.slots
        firsts.append((place, _both(ring, place)))
    Packed.use(ring, chains, length, advance)
    for place, flags in firsts:
        ring.descriptor_store(place % ring.size, chains[-1].id, 0, flags)


def _stored_twice(ring: Packed, position: int, id_: int, length: int, flags: int) -> None:
    Packed.descriptor_store(ring, position, id_, length, flags)
    Packed.descriptor_store(ring, position, id_, length, flags)


def _used_bit_alone(ring: Packed, position: int, flags: int) -> None:
    Packed.store_flags(ring, position, flags & ~spec.DESC_F_AVAIL)


def _never_write(ring: Packed, position: int, flags: int) -> None:
    Packed.store_flags(ring, position, flags & ~spec.DESC_F_WRITE)


class _LapZero(Engine):
    def start(
        self, features: int, size: int, areas: tuple[int, int, int], available: int, used: int, restarted: bool = False
    ) -> None:
        first = used if restarted else used & 0x7FFF
        super().start(features, size, areas, available, first, restarted)


plant(
    "used-in-place",
    "packed: a used descriptor overwrites the list that it is about, not what is at the device's position",
    ("P-USED-POS", "INO-P-BATCH-SLOT", "INO-P-BATCH-ID", "INO-P-SKIPPED-DESC", "VU-SETBASE", "P-NO-LATE-CHANGE",
     "P-USED-BITS", "P-USED-ONE", "INO-ORDER", "VQR-STATE", "P-IND-ONESLOT"),
    engine_with(own={"packed_ring": _InPlace}),
    PACKED,
)  # fmt: skip
plant(
    "whole-list-used",
    "packed: every descriptor of a list is marked used, not the first alone",
    ("P-USED-ONE", "P-NO-EARLY-USE"),
    engine_with(packed={"use": _all_used}),
    PACKED,
)
plant(
    "batch-marked",
    "packed: each buffer of a batch gets a used descriptor, all with the id of the last",
    ("INO-P-SKIPPED-DESC", "P-IND-ONESLOT"),
    engine_with(packed={"use": _batch_marked}),
    PACKED,
    ON,
)
plant(
    "used-twice-stored",
    "packed: a used descriptor is stored once more after it was published",
    ("P-NO-LATE-CHANGE",),
    engine_with(packed={"descriptor_store": _stored_twice}),
    PACKED,
)
plant(
    "avail-bit-cleared",
    "packed: AVAIL is cleared in used descriptors",
    ("P-USED-BITS", "VQR-STATE"),
    engine_with(packed={"store_flags": _used_bit_alone}),
    PACKED,
)
plant(
    "write-flag-missing",
    "packed: WRITE is clear in used descriptors, whatever was written",
    ("P-USED-WFLAG",),
    engine_with(packed={"store_flags": _never_write}),
    PACKED,
    aimed=WARNED,
)
plant(
    "wrap-from-zero",
    "packed: the device wrap counter starts at 0",
    ("P-WRAP-INIT", "VQR-STATE", "VU-SETBASE"),
    _LapZero,
    PACKED,
)
plant(
    "end-passed-unnoticed",
    "packed: the wrap counter is toggled only by what ends exactly at the last descriptor",
    ("P-DEV-WRAP", "INO-P-SKIP-WRAP", "P-FULL-CHAIN", "VU-BASE-PACKED"),
    engine_with(packed={"wraps": lambda ring, old, slots, new, batch: old + slots == ring.size}),
    PACKED,
)

# -- which buffer --------------------------------------------------------------------------------------


class _Repeats(Packed):
    """Every second used descriptor says what the one before it said."""

    before = -1

    def batch_id(self, chains: Chains) -> int:
        id_, self.before = self.before, -1
        if id_ < 0:
            id_ = self.before = chains[-1].id
        return id_


def _unavailable(ring: Packed) -> int:
    at = ring.descriptor + 16 * ring.next
    untouched = ring.wrap and ring.memory[at + 14 : at + 16] == bytes(2)  # flags come last, and never 0 in this lap
    return int(Packed.waiting(ring) or (untouched and ring.memory[at : at + 8] != bytes(8)))


plant(
    "id-of-nobody",
    "packed: the buffer id in used descriptors has a bit too many",
    ("P-USED-ID", "VU-RESTART"),
    engine_with(packed={"batch_id": lambda ring, chains: chains[-1].id ^ 0x100}),
    PACKED,
)
plant(
    "id-repeated",
    "packed: every second used descriptor carries the id of the one before",
    ("P-USED-ONCE", "P-USED-ID", "INO-P-BATCH-SLOT", "INO-P-BATCH-ID", "P-USED-POS", "INO-ORDER", "INO-LIVE",
     "P-USED-LEN", "VU-BASE-PACKED", "P-DEV-LIST-ORDER", "INO-SKIP-FULL"),
    engine_with(own={"packed_ring": _Repeats}),
    PACKED,
)  # fmt: skip
plant(
    "batch-uninvited",
    "batches are made though IN_ORDER is off",
    ("INO-NEG-ONLY", "S-USED-IDX-COUNT", "P-USED-POS", "S-USED-LEN-ORDER", "VQ-LIVE", "VU-BASE-PACKED"),
    Unasked,
    in_order=OFF,
)
plant(
    "unavailable-taken",
    "packed: a list that is written and not made available is taken, too",
    ("INO-BATCH-BOUND", "P-NO-EARLY-USE", "P-NO-LATE-CHANGE", "P-USED-ONCE", "VU-RESTART", "INO-LIVE", "P-USED-POS",
     "INO-P-BATCH-ID"),
    engine_with(packed={"waiting": _unavailable}),
    PACKED,
)  # fmt: skip

# -- reading descriptors -------------------------------------------------------------------------------


def _backwards(ring: Packed) -> Chain | None:
    chain = Packed.fetch(ring)
    if chain is not None and chain.slots > 1:
        chain.readable.reverse()
        chain.writable.reverse()
    return chain


class _HeedsWrite(Packed):
    """Looks at WRITE where INDIRECT is set, too."""

    def walk_table(self, offset: int, entries: int, readable: list[Extent], writable: list[Extent]) -> int:
        count = super().walk_table(offset, entries, readable, writable)
        flags = self.words[self.descriptor // 2 + 8 * self.next + 7]
        if flags & spec.DESC_F_WRITE:
            readable.clear()
        return count


def _table_marked(ring: Packed, offset: int, entries: int, readable: list[Extent], writable: list[Extent]) -> int:
    count = Packed.walk_table(ring, offset, entries, readable, writable)
    if count:
        ring.memory[offset + 15] |= spec.DESC_F_USED >> 8
    return count


plant(
    "list-backwards",
    "packed: the elements of a list are used from the last to the first",
    ("P-DEV-LIST-ORDER", "P-USED-LEN", "INO-ORDER", "INO-SKIP-FULL"),
    engine_with(packed={"fetch": _backwards}),
    PACKED,
)
plant(
    "pointer-write-heeded",
    "packed: with WRITE beside INDIRECT, what is readable in the table is not read",
    ("P-IND-DEV-IGN",),
    engine_with(own={"packed_ring": _HeedsWrite}),
    PACKED,
    features=spec.INDIRECT_DESC,
)
plant(
    "table-marked",
    "packed: the first entry of an indirect table is marked used",
    ("P-IND-RO",),
    engine_with(packed={"walk_table": _table_marked}),
    PACKED,
    features=spec.INDIRECT_DESC,
)
