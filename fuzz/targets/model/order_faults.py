"""Planted faults in what order and batches depend on: other queues, failing requests, one element for several buffers.

Each replaces one or two small methods of the reference device. Knows the device; must not know who looks for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuzz.targets.model.engine import Engine, Job
from fuzz.targets.model.planting import ON, SPLIT, WARNED, Chains, Split, Unasked, as_finished, engine_with, plant
from oracles import spec

_PACKED = ("INO-P-BATCH-SLOT", "INO-P-BATCH-ID", "P-USED-POS", "INO-P-SKIPPED-DESC")
_ORDER = ("INO-ORDER", "INO-S-BATCH-IDX", "INO-SKIP-FULL")


# -- order over more than one queue, and of some requests only -------------------------------------------


def _patient_window(engine: Engine) -> int:
    others = [one for one in engine.siblings if one is not engine and one.live]
    return 0 if any(one.ring.waiting() for one in others) else Engine.window(engine)


def _ordered_on_the_first(engine: Engine, advance: bool) -> None:
    (as_finished if engine.number else Engine.flush)(engine, advance)


def _in_one_step(engine: Engine, advance: bool) -> None:
    (Engine.flush if engine.levers["publish"] == "each" else as_finished)(engine, advance)


def _failed_ahead(engine: Engine, advance: bool) -> None:
    failed = [job for job in engine.finished if job.capacity and not job.asked and job.serial in engine.filled]
    for job in failed if engine.in_order else ():
        engine.oldest += job.serial == engine.oldest
        engine.hand_back([engine.filled.pop(job.serial)], advance)
    Engine.flush(engine, advance)


plant(
    "waits-for-other-queues",
    "one order is kept over all queues: nothing comes back while another queue has something older",
    ("INO-PER-QUEUE", "INO-LIVE"),
    engine_with(own={"window": _patient_window}),
    in_order=ON,
    queues=2,
)
plant(
    "second-queue-unordered",
    "IN_ORDER is kept on the first queue only",
    ("INO-OFFER", *_ORDER, *_PACKED),
    engine_with(own={"flush": _ordered_on_the_first}),
    in_order=ON,
    queues=2,
)
plant(
    "failed-ahead",
    "requests that fail are returned at once, ahead of those before them",
    ("INO-ERR", *_ORDER, "INO-LIVE", "S-USED-ID", "S-USED-ONCE", "INO-S-BATCH-SLOT", "INO-S-BATCH-ID", *_PACKED),
    engine_with(own={"flush": _failed_ahead}),
    in_order=ON,
)
plant(
    "order-in-one-step",
    "buffers published together have their elements in the order of completion",
    ("INO-S-MASK", *_ORDER, "S-USED-LEN-WRITTEN"),
    engine_with(own={"flush": _in_one_step}),
    SPLIT,
    ON,
    aimed=WARNED,
)

# -- batches ---------------------------------------------------------------------------------------------


class _Early(Engine):
    """Of a batch only the last buffer is written before it is published."""

    def answer(self, job: Job) -> None:
        if self.in_order and self.levers["batch"] != "1":
            job.written = job.asked
        else:
            super().answer(job)

    def hand_back(self, jobs: Sequence[Job], advance: bool) -> None:
        Engine.answer(self, jobs[-1])
        super().hand_back(jobs, advance)
        for job in jobs[:-1]:
            Engine.answer(self, job)


def _entries(ring: Split, chains: Chains) -> int:
    counts = [len(chain.readable) + len(chain.writable) for chain in chains]
    return sum(count if count > chain.slots else 1 for count, chain in zip(counts, chains, strict=True))


plant(
    "batch-before-buffers",
    "a batch is published before its buffers, but for the last, are written",
    ("INO-BATCH-TIME", "INO-SKIP-FULL", "INO-ORDER"),
    _Early,
    in_order=ON,
)
plant(
    "batch-one-longer",
    "split batch: used idx moves by one more than the batch has buffers",
    ("INO-BATCH-BOUND", "INO-S-BATCH-ID", "S-USED-IDX-BOUND", "INO-RESTART", "VQR-STATE"),
    engine_with({"batch_count": lambda ring, chains: len(chains) + (len(chains) > 1)}),
    SPLIT,
    ON,
)
plant(
    "entries-counted",
    "split IN_ORDER: used idx moves by the entries of indirect tables, not by buffers",
    ("INO-S-IND-SLOT", "INO-BATCH-BOUND", "INO-S-BATCH-ID", "INO-RESTART", "VQR-STATE"),
    engine_with({"batch_count": _entries}),
    SPLIT,
    ON,
    spec.INDIRECT_DESC,
)
plant(
    "batches-unasked",
    "batches are made though IN_ORDER was not negotiated",
    ("INO-NEG-ONLY", "S-USED-IDX-COUNT", "P-USED-POS", "P-USED-ONE", "VQ-LIVE", "P-NO-LATE-CHANGE", "P-DEV-WRAP"),
    Unasked,
    SPLIT,
    (False,),
)
