"""Planted faults: each is the reference device with one small method replaced, usually by one line.

They are the test of the tests: every one must be found, shrunk and named by the right rule, and the
device without them must never be accused. ``rules`` are the names under which a finding counts,
the most telling first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuzz.targets.model.engine import Engine, Job
from oracles import packed_rings, spec, split_rings
from oracles.split_rings import Chain
from oracles.trace import Extent

LIVE = ("INO-LIVE", "VQ-LIVE")


@dataclass(frozen=True, slots=True)
class Fault:
    """A planted fault: its name, what is wrong, where it can be seen, and the rules that should say so."""

    name: str
    text: str
    rules: tuple[str, ...]
    engine: type[Engine]
    layouts: tuple[str, ...] = spec.LAYOUTS
    in_order: tuple[bool, ...] = (False, True)
    features: int = 0  # needed for it to show
    bound: int = 1000  # programs within which it must be found


FAULTS: dict[str, Fault] = {}

_SPLIT, _PACKED, _ON = (spec.SPLIT,), (spec.PACKED,), (True,)


def _plant(
    name: str,
    text: str,
    rules: tuple[str, ...],
    engine: type[Engine],
    layouts: tuple[str, ...] = spec.LAYOUTS,
    in_order: tuple[bool, ...] = (False, True),
    features: int = 0,
) -> None:
    FAULTS[name] = Fault(name, text, rules, engine, layouts, in_order, features)


def _engine(
    split: dict[str, object] | None = None,
    packed: dict[str, object] | None = None,
    own: dict[str, object] | None = None,
) -> type[Engine]:
    """An Engine with these methods replaced in its split ring, its packed ring, or itself."""
    body: dict[str, object] = dict(own or {})
    if split:
        body["split_ring"] = type("Ring", (split_rings.DeviceRing,), split)
    if packed:
        body["packed_ring"] = type("Ring", (packed_rings.DeviceRing,), packed)
    return type("Faulty", (Engine,), body)


Split = split_rings.DeviceRing
Packed = packed_rings.DeviceRing
Chains = Sequence[Chain]
Jobs = Sequence[Job]

# -- batches ---------------------------------------------------------------------------------------------


def _first_id(ring: object, chains: Chains) -> int:
    return chains[0].id


def _last_slot(ring: Split, chains: Chains) -> int:
    return (ring.used + len(chains) - 1) % ring.size


def _completion_order(engine: Engine, advance: bool) -> None:
    for job in engine.finished:
        engine.hand_back([job], advance)
        engine.oldest += 1
    engine.finished.clear()
    engine.filled.clear()
    if advance and engine.levers["publish"] != "each" and isinstance(engine.ring, Split):
        engine.publish_all()


_plant(
    "a01",
    "a batch carries the id of its first buffer",
    ("INO-S-BATCH-ID", "INO-P-BATCH-ID", "INO-LIVE", "P-IND-ONESLOT", "P-USED-POS", "S-USED-LEN-MAX", "P-USED-LEN"),
    _engine({"batch_id": _first_id}, {"batch_id": _first_id}),
    in_order=_ON,
)
_plant(
    "a02",
    "packed batch: the position moves by buffers, not descriptors",
    ("INO-P-BATCH-SLOT", "INO-P-SKIP-WRAP", "INO-P-SKIPPED-DESC", "INO-EVENT", "P-EV-DESC-DEV", "VU-BASE-PACKED"),
    _engine(packed={"batch_slots": lambda ring, chains: len(chains) if len(chains) > 1 else chains[0].slots}),
    _PACKED,
    _ON,
)
_plant(
    "a03",
    "split batch: used idx moves by 1 instead of by the batch",
    ("INO-S-BATCH-IDX", "INO-ORDER", "INO-LIVE"),
    _engine({"batch_count": lambda ring, chains: 1}),
    _SPLIT,
    _ON,
)
_plant(
    "a04",
    "split batch: the element stands at the slot of the last buffer",
    ("INO-S-BATCH-SLOT",),
    _engine({"batch_place": _last_slot}),
    _SPLIT,
    _ON,
)
_plant(
    "a05",
    "buffers are returned in completion order though IN_ORDER was negotiated",
    ("INO-ORDER", "INO-P-BATCH-SLOT", "INO-S-BATCH-IDX", "INO-SKIP-FULL"),
    _engine(own={"flush": _completion_order}),
    in_order=_ON,
)
_plant(
    "a10",
    "the length of a batch is the sum over its buffers",
    ("INO-BATCH-LEN", "S-USED-LEN-WRITTEN", "P-USED-LEN"),
    _engine(own={"length": lambda engine, jobs: sum(job.written for job in jobs)}),
    in_order=_ON,
)
_plant(
    "a11",
    "a partly written buffer is skipped inside a batch",
    ("INO-SKIP-FULL", "INO-ORDER"),
    _engine(own={"may_skip": lambda engine, job: True}),
    in_order=_ON,
)
_plant(
    "a12",
    "packed: the wrap counter is not toggled when a batch crosses the ring end",
    ("INO-P-SKIP-WRAP", "P-DEV-WRAP", "VU-BASE-PACKED"),
    _engine(packed={"wraps": lambda ring, old, slots, new, batch: old + slots >= ring.size and not batch}),
    _PACKED,
    _ON,
)

# -- windows ---------------------------------------------------------------------------------------------


def _modulo_window(engine: Engine) -> int:
    ring = engine.ring
    if isinstance(ring, Split):
        return Engine.window(engine) % ring.size
    slots = (ring.next - ring.used) % ring.size
    return Engine.window(engine) if slots else 0


def _unsigned_window(engine: Engine) -> int:
    ring = engine.ring
    if isinstance(ring, Split) or ring.size & (ring.size - 1) == 0 or ring.next > ring.used:
        return Engine.window(engine)
    return min(Engine.window(engine), (ring.next - ring.used & 0xFFFF) % ring.size)


def _drop_tiny(engine: Engine, job: Job) -> bool:
    return not (job.capacity == 0 and job.readable == 1)


_plant(
    "a06",
    "the window of outstanding buffers is taken modulo the size: a full ring looks empty",
    ("INO-LIVE",),
    _engine(own={"window": _modulo_window}),
    in_order=_ON,
)
_plant(
    "a07",
    "packed: the window is an unsigned modulo, wrong for sizes that are not powers of two",
    ("INO-LIVE",),
    _engine(own={"window": _unsigned_window}),
    _PACKED,
    _ON,
)
_plant(
    "a08",
    "reset keeps the marks of buffers that completed out of order",
    (
        "INO-RESTART",
        "S-USED-IDX-BOUND",
        "S-USED-ID",
        "S-USED-ONCE",
        "P-USED-ID",
        "P-USED-ONCE",
        "P-NO-EARLY-USE",
        "VQR-STATE",
        "S-USED-LEN-WRITTEN",
        "P-USED-LEN",
        "INO-ORDER",
        "INO-SKIP-FULL",
        "P-USED-POS",
        "INO-LIVE",
        "INO-P-BATCH-SLOT",
        "INO-BATCH-LEN",
        "S-USED-LEN-MAX",
        "INO-S-BATCH-IDX",
        "INO-S-BATCH-ID",
        "S-FRAMING",
        "S-IND-START",
        "P-IND-LEN",
        "S-IND-TAIL",
    ),
    _engine(own={"forget": lambda engine: None}),
    in_order=_ON,
)
_plant(
    "a09",
    "a buffer with one readable byte and nothing writable is dropped",
    (*LIVE, "INO-ORDER", "P-USED-POS", "INO-S-BATCH-IDX", "S-FRAMING"),
    _engine(own={"usable": _drop_tiny}),
)

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
)
_plant(
    "a13",
    "packed: an advance of exactly the ring size does not toggle the wrap counter",
    ("P-FULL-CHAIN", "P-DEV-WRAP", "INO-P-SKIP-WRAP", "VU-BASE-PACKED"),
    _engine(packed={"wraps": lambda ring, old, slots, new, batch: new < old}),
    _PACKED,
)
_plant(
    "a14",
    "packed: the ring index is masked with size - 1",
    _MISREAD + LIVE,
    _engine(packed={"follow": _masked}),
    _PACKED,
)
_plant(
    "a15",
    "packed: the buffer id comes from the first descriptor of a list",
    ("P-ID-LAST",),
    _engine(packed={"chosen": lambda ring, ids: ids[0]}),
    _PACKED,
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


_plant(
    "a16",
    "packed: used flags are stored before id and length",
    ("P-USED-ORDER",),
    _engine(packed={"descriptor_store": _flags_first}),
    _PACKED,
)
_plant(
    "a17",
    "packed: a list that runs past the last descriptor does not flip the available wrap counter",
    LIVE + _MISREAD,
    _engine(packed={"flip": _flip_at_end_only}),
    _PACKED,
)
_plant(
    "a18",
    "packed: the walk of an indirect table stops at the first entry without NEXT",
    ("P-IND-LEN", "P-IND-DEV-IGN", "INO-SKIP-FULL", "INO-ORDER"),
    _engine(packed={"ends": lambda ring, flags: not flags & spec.DESC_F_NEXT}),
    _PACKED,
    features=spec.INDIRECT_DESC,
)
_plant(
    "a19",
    "split: used idx is published before the used element",
    ("S-USED-LEN-ORDER", "INO-S-BATCH-SLOT", "S-USED-IDX-COUNT"),
    _engine({"use": _idx_first}),
    _SPLIT,
)


def _wrap_at_size(ring: Split, count: int) -> int:
    return (ring.used + count) % ring.size


_plant(
    "a20",
    "split: the private counters wrap at the queue size",
    ("S-USED-IDX-START", "S-USED-IDX-BOUND", *LIVE),
    _engine({"moved": _wrap_at_size}),
    _SPLIT,
)
_plant(
    "a21",
    "split: the number of available entries is masked with size - 1",
    LIVE,
    _engine({"waiting": lambda ring: Split.waiting(ring) & (ring.size - 1)}),
    _SPLIT,
)
_plant(
    "a22",
    "the used length counts the readable bytes too",
    ("S-USED-LEN-MAX", "S-USED-LEN-WRITTEN", "P-USED-LEN", "INO-BATCH-LEN"),
    _engine(own={"length": lambda engine, jobs: jobs[-1].written + jobs[-1].readable}),
)
_plant(
    "a23",
    "the used length is the room there was, not what was written",
    ("S-USED-LEN-WRITTEN", "P-USED-LEN"),
    _engine(own={"length": lambda engine, jobs: jobs[-1].capacity}),
)
_plant(
    "a24",
    "split: INDIRECT is honoured only on the first descriptor of a chain",
    ("S-IND-TAIL", "S-IND-WRITE-IGN", "S-IND-RO", "S-USED-LEN-MAX", "S-USED-LEN-WRITTEN", "INO-SKIP-FULL", *LIVE),
    _engine({"indirect": lambda ring, flags, place: bool(flags & spec.DESC_F_INDIRECT) and place == 0}),
    _SPLIT,
    features=spec.INDIRECT_DESC,
)
_plant(
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
    _engine(packed={"taken": _counted_entries}),
    _PACKED,
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


_plant(
    "a26",
    "split EVENT_IDX: signals only when used idx - 1 equals used_event exactly",
    ("S-UN-DEV-EV-MUST", "INO-EVENT"),
    _engine({"passed": _exactly}),
    _SPLIT,
    features=spec.EVENT_IDX,
)
_plant(
    "a27",
    "split: what was signalled last survives a reset",
    ("S-UN-DEV-EV-MUST", "INO-EVENT", "S-UN-DEV-MUST"),
    _Remembers,
    _SPLIT,
    features=spec.EVENT_IDX,
)
_plant(
    "a28",
    "packed EVENT_IDX: the wrap bit of the event offset is ignored",
    ("P-EV-DESC-DEV", "INO-EVENT"),
    _engine(packed={"passed": _no_lap}),
    _PACKED,
    features=spec.EVENT_IDX,
)
_plant(
    "a29",
    "the ring is not looked at again after the doorbell was armed",
    LIVE,
    _engine(own={"look_again": lambda engine: False}),
)
_plant(
    "a30",
    "split: avail_event is never updated though EVENT_IDX was negotiated",
    LIVE,
    _engine({"arm": lambda ring: None if ring.event_idx else Split.arm(ring)}),
    _SPLIT,
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


_plant("a31", "stop reports position 0", ("VU-BASE-SPLIT", "VU-BASE-PACKED"), _engine(own={"base": lambda engine: 0}))
_plant(
    "a32",
    "packed: start sets the used position from the available base and loses its wrap counter",
    ("VU-SETBASE", "P-USED-BITS", "VU-BASE-PACKED"),
    _engine(own={"base_used": _from_available}),
    _PACKED,
)
_plant(
    "a33",
    "split IN_ORDER: after a restart heads are counted from the base, not read",
    (
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
    _engine({"head": _sequential_head, "walk": _sequential_walk}),
    _SPLIT,
    _ON,
)

# -- the canary ------------------------------------------------------------------------------------------

_plant(
    "canary",
    "every buffer comes back with a length of one byte too many: any run must find this",
    ("S-USED-LEN-MAX", "S-USED-LEN-WRITTEN", "P-USED-LEN", "INO-BATCH-LEN"),
    _engine(own={"length": lambda engine, jobs: jobs[-1].written + 1}),
)

__all__ = ["FAULTS", "Extent", "Fault"]
