"""Planted faults in reading descriptors, storing used entries, notifying, stopping and starting.

Each replaces one small method of the reference device. Knows the device; must not know who looks for them.
"""

from __future__ import annotations

from fuzz.targets.model.engine import Engine
from fuzz.targets.model.planting import LIVE, ON, PACKED, SPLIT, Chains, Packed, Split, engine_with, plant
from oracles import spec
from oracles.split_rings import Chain

# -- reading descriptors ---------------------------------------------------------------------------------


def _masked(ring: Packed, index: int) -> int:
    return (index + 1) & (ring.size - 1)


def _counted_entries(ring: Packed, entries: int) -> int:
    return max(entries, 1)


_MISREAD = (
    "P-USED-ID",
    "P-IND-DEV-IGN",
    "P-ID-LAST",
    "S-FRAMING",
    "P-USED-POS",
    "P-USED-LEN",
    "VQ-OOB",
    "P-RO-BUF",
    "P-USED-ONE",
    "P-USED-BITS",
    "P-NO-EARLY-USE",
    "P-USED-ONCE",
    "P-DEV-WRAP",
    "P-IND-LEN",
    "INO-ORDER",
    "INO-P-BATCH-SLOT",
    "P-DEV-LIST-ORDER",
    "VU-RESTART",
)
plant(
    "a13",
    "packed: an advance of exactly the ring size does not toggle the wrap counter",
    ("P-FULL-CHAIN", "P-DEV-WRAP", "INO-P-SKIP-WRAP", "VU-BASE-PACKED"),
    engine_with(packed={"wraps": lambda ring, old, slots, new, batch: new < old}),
    PACKED,
)
plant(
    "a14",
    "packed: the ring index is masked with size - 1",
    _MISREAD + LIVE,
    engine_with(packed={"follow": _masked}),
    PACKED,
)
plant(
    "a15",
    "packed: the buffer id comes from the first descriptor of a list",
    ("P-ID-LAST",),
    engine_with(packed={"chosen": lambda ring, ids: ids[0]}),
    PACKED,
)


def _flags_first(ring: Packed, position: int, id_: int, length: int, flags: int) -> None:
    ring.store_flags(position, flags)
    ring.store_id(position, id_, length)


def _idx_first(ring: Split, chains: Chains, length: int, advance: bool = True) -> None:
    place, id_ = ring.batch_place(chains), ring.batch_id(chains)
    ring.used = ring.moved(ring.batch_count(chains))
    if advance:
        ring.publish()
    ring.element(place, id_, length)


def _flip_at_end_only(ring: Packed) -> None:
    if not ring.next:
        ring.wrap ^= 1


plant(
    "a16",
    "packed: used flags are stored before id and length",
    ("P-USED-ORDER",),
    engine_with(packed={"descriptor_store": _flags_first}),
    PACKED,
)
plant(
    "a17",
    "packed: a list that runs past the last descriptor does not flip the available wrap counter",
    LIVE + _MISREAD,
    engine_with(packed={"flip": _flip_at_end_only}),
    PACKED,
)
plant(
    "a18",
    "packed: the walk of an indirect table stops at the first entry without NEXT",
    ("P-IND-LEN", "P-IND-DEV-IGN", "INO-SKIP-FULL", "INO-ORDER"),
    engine_with(packed={"ends": lambda ring, flags: not flags & spec.DESC_F_NEXT}),
    PACKED,
    features=spec.INDIRECT_DESC,
)
plant(
    "a19",
    "split: used idx is published before the used element",
    ("S-USED-LEN-ORDER", "INO-S-BATCH-SLOT", "S-USED-IDX-COUNT"),
    engine_with({"use": _idx_first}),
    SPLIT,
)


def _wrap_at_size(ring: Split, count: int) -> int:
    return (ring.used + count) % ring.size


plant(
    "a20",
    "split: the private counters wrap at the queue size",
    ("S-USED-IDX-START", "S-USED-IDX-BOUND", *LIVE),
    engine_with({"moved": _wrap_at_size}),
    SPLIT,
)
plant(
    "a21",
    "split: the number of available entries is masked with size - 1",
    LIVE,
    engine_with({"waiting": lambda ring: Split.waiting(ring) & (ring.size - 1)}),
    SPLIT,
)
plant(
    "a22",
    "the used length counts the readable bytes too",
    ("S-USED-LEN-MAX", "S-USED-LEN-WRITTEN", "P-USED-LEN", "INO-BATCH-LEN"),
    engine_with(own={"length": lambda engine, jobs: jobs[-1].written + jobs[-1].readable}),
)
plant(
    "a23",
    "the used length is the room there was, not what was written",
    ("S-USED-LEN-WRITTEN", "P-USED-LEN"),
    engine_with(own={"length": lambda engine, jobs: jobs[-1].capacity}),
)
plant(
    "a24",
    "split: INDIRECT is honoured only on the first descriptor of a chain",
    ("S-IND-TAIL", "S-IND-WRITE-IGN", "S-IND-RO", "S-USED-LEN-MAX", "S-USED-LEN-WRITTEN", "INO-SKIP-FULL", *LIVE),
    engine_with({"indirect": lambda ring, flags, place: bool(flags & spec.DESC_F_INDIRECT) and place == 0}),
    SPLIT,
    features=spec.INDIRECT_DESC,
)
plant(
    "a25",
    "packed: the entries of an indirect table are counted as ring descriptors",
    (
        "P-IND-ONESLOT",
        "P-USED-POS",
        "INO-P-BATCH-SLOT",
        "INO-P-BATCH-ID",
        "P-USED-BITS",
        "P-DEV-WRAP",
        "P-USED-ONE",
        "INO-P-SKIP-WRAP",
    ),
    engine_with(packed={"taken": _counted_entries}),
    PACKED,
    features=spec.INDIRECT_DESC,
)

# -- notifications ---------------------------------------------------------------------------------------


def _exactly(ring: Split, event: int, new: int, old: int) -> bool:
    return old != new and (new - 1) & 0xFFFF == event


class _Remembers(Engine):
    """Carries what was signalled last over a reset."""

    last = 0

    def halt(self) -> None:
        if self.live:
            self.last = self.ring.signalled if isinstance(self.ring, Split) else 0
        super().halt()

    def keep_signalled(self, ring: Split | Packed, restarted: bool) -> None:
        if isinstance(ring, Split) and not restarted and self.last:
            ring.signalled = self.last


def _no_lap(ring: Packed, event: int, end: int, old: int, wrap: int) -> bool:
    return old <= event & 0x7FFF < end


plant(
    "a26",
    "split EVENT_IDX: signals only when used idx - 1 equals used_event exactly",
    ("S-UN-DEV-EV-MUST", "INO-EVENT"),
    engine_with({"passed": _exactly}),
    SPLIT,
    features=spec.EVENT_IDX,
)
plant(
    "a27",
    "split: what was signalled last survives a reset",
    ("S-UN-DEV-EV-MUST", "INO-EVENT", "S-UN-DEV-MUST"),
    _Remembers,
    SPLIT,
    features=spec.EVENT_IDX,
)
plant(
    "a28",
    "packed EVENT_IDX: the wrap bit of the event offset is ignored",
    ("P-EV-DESC-DEV", "INO-EVENT"),
    engine_with(packed={"passed": _no_lap}),
    PACKED,
    features=spec.EVENT_IDX,
)
plant(
    "a29",
    "the ring is not looked at again after the doorbell was armed",
    LIVE,
    engine_with(own={"look_again": lambda engine: False}),
)
plant(
    "a30",
    "split: avail_event is never updated though EVENT_IDX was negotiated",
    LIVE,
    engine_with({"arm": lambda ring: None if ring.event_idx else Split.arm(ring)}),
    SPLIT,
    features=spec.EVENT_IDX,
)

# -- stop and start --------------------------------------------------------------------------------------


def _from_available(engine: Engine, available: int, used: int) -> int:
    return available & 0x7FFF | 1 << 15


def _sequential_head(ring: Split) -> int:
    if not (ring.restarted and ring.in_order):
        return Split.head(ring)
    ring.guess = getattr(ring, "guess", ring.available % ring.size)  # type: ignore[attr-defined]  # the fault's own
    return int(ring.guess)  # type: ignore[attr-defined]  # the fault's own


def _sequential_walk(ring: Split, head: int) -> Chain:
    chain = Split.walk(ring, head)
    if hasattr(ring, "guess"):
        ring.guess = (ring.guess + chain.slots) % ring.size
    return chain


plant(
    "a31", "stop reports position 0", ("VU-BASE-SPLIT", "VU-BASE-PACKED"), engine_with(own={"base": lambda engine: 0})
)
plant(
    "a32",
    "packed: start sets the used position from the available base and loses its wrap counter",
    ("VU-SETBASE", "P-USED-BITS", "VU-BASE-PACKED"),
    engine_with(own={"base_used": _from_available}),
    PACKED,
)
plant(
    "a33",
    "split IN_ORDER: after a restart heads are counted from the base, not read",
    (
        "VU-RESTART",
        "S-USED-ID",
        "S-USED-ONCE",
        "INO-S-BATCH-IDX",
        "INO-S-BATCH-ID",
        "S-FRAMING",
        "S-IND-START",
        "INO-ORDER",
        "S-USED-LEN-MAX",
        "S-USED-LEN-WRITTEN",
        "VQ-OOB",
        "S-RO-BUF",
        "INO-LIVE",
    ),
    engine_with({"head": _sequential_head, "walk": _sequential_walk}),
    SPLIT,
    ON,
)

# -- the canary ------------------------------------------------------------------------------------------

plant(
    "canary",
    "every buffer comes back with a length of one byte too many: any run must find this",
    ("S-USED-LEN-MAX", "S-USED-LEN-WRITTEN", "P-USED-LEN", "INO-BATCH-LEN"),
    engine_with(own={"length": lambda engine, jobs: jobs[-1].written + 1}),
)
