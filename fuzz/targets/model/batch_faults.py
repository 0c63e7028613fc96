"""Planted faults in batches, windows and what completes: where in-order devices go wrong.

Each replaces one small method of the reference device. Knows the device; must not know who looks for them.
"""

from __future__ import annotations

from fuzz.targets.model.engine import Engine, Job
from fuzz.targets.model.planting import LIVE, ON, PACKED, SPLIT, Chains, Split, as_finished, engine_with, plant

# -- batches ---------------------------------------------------------------------------------------------


def _first_id(ring: object, chains: Chains) -> int:
    return chains[0].id


def _last_slot(ring: Split, chains: Chains) -> int:
    return (ring.used + len(chains) - 1) % ring.size


plant(
    "a01",
    "a batch carries the id of its first buffer",
    ("INO-S-BATCH-ID", "INO-P-BATCH-ID", "INO-LIVE", "P-IND-ONESLOT", "P-USED-POS", "S-USED-LEN-MAX", "P-USED-LEN"),
    engine_with({"batch_id": _first_id}, {"batch_id": _first_id}),
    in_order=ON,
)
plant(
    "a02",
    "packed batch: the position moves by buffers, not descriptors",
    (
        "INO-P-BATCH-SLOT",
        "INO-P-SKIP-WRAP",
        "INO-P-SKIPPED-DESC",
        "INO-EVENT",
        "P-EV-DESC-DEV",
        "INO-P-BATCH-ID",
        "VU-BASE-PACKED",
    ),
    engine_with(packed={"batch_slots": lambda ring, chains: len(chains) if len(chains) > 1 else chains[0].slots}),
    PACKED,
    ON,
)
plant(
    "a03",
    "split batch: used idx moves by 1 instead of by the batch",
    ("INO-S-BATCH-IDX", "INO-ORDER", "INO-LIVE"),
    engine_with({"batch_count": lambda ring, chains: 1}),
    SPLIT,
    ON,
)
plant(
    "a04",
    "split batch: the element stands at the slot of the last buffer",
    ("INO-S-BATCH-SLOT", "INO-S-BATCH-ID"),
    engine_with({"batch_place": _last_slot}),
    SPLIT,
    ON,
)
plant(
    "a05",
    "buffers are returned in completion order though IN_ORDER was negotiated",
    ("INO-ORDER", "INO-P-BATCH-SLOT", "INO-S-BATCH-IDX", "INO-SKIP-FULL", "INO-ERR"),
    engine_with(own={"flush": as_finished}),
    in_order=ON,
)
plant(
    "a10",
    "the length of a batch is the sum over its buffers",
    ("INO-BATCH-LEN", "S-USED-LEN-WRITTEN", "P-USED-LEN"),
    engine_with(own={"length": lambda engine, jobs: sum(job.written for job in jobs)}),
    in_order=ON,
)
plant(
    "a11",
    "a partly written buffer is skipped inside a batch",
    ("INO-SKIP-FULL", "INO-ORDER"),
    engine_with(own={"may_skip": lambda engine, job: True}),
    in_order=ON,
)
plant(
    "a12",
    "packed: the wrap counter is not toggled when a batch crosses the ring end",
    ("INO-P-SKIP-WRAP", "P-DEV-WRAP", "VU-BASE-PACKED"),
    engine_with(packed={"wraps": lambda ring, old, slots, new, batch: old + slots >= ring.size and not batch}),
    PACKED,
    ON,
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


plant(
    "a06",
    "the window of outstanding buffers is taken modulo the size: a full ring looks empty",
    ("INO-LIVE",),
    engine_with(own={"window": _modulo_window}),
    in_order=ON,
)
plant(
    "a07",
    "packed: the window is an unsigned modulo, wrong for sizes that are not powers of two",
    ("INO-LIVE",),
    engine_with(own={"window": _unsigned_window}),
    PACKED,
    ON,
)
plant(
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
    engine_with(own={"forget": lambda engine: None}),
    in_order=ON,
)
plant(
    "a09",
    "a buffer with one readable byte and nothing writable is dropped",
    (*LIVE, "INO-ORDER", "INO-ERR", "INO-P-BATCH-SLOT", "INO-P-BATCH-ID", "P-USED-POS", "INO-S-BATCH-IDX", "S-FRAMING"),
    engine_with(own={"usable": _drop_tiny}),
)
