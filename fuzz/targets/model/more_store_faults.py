"""Planted faults in what is written where, and in notifications, each made for one rule that no other shows alone.

Each replaces one small method of the reference device, and is called by what it does. Knows the device; must not
know who looks for them, nor on which program they show.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuzz.targets.model.engine import Engine, Job
from fuzz.targets.model.planting import LIVE, ON, PACKED, WARNED, Chains, Packed, engine_with, plant
from oracles import spec

# -- what is written where -----------------------------------------------------------------------------


class _Drafts(Engine):
    """Writes something first, and the answer of all but the last buffer of a batch when the batch is published."""

    def answer(self, job: Job) -> None:
        super().answer(job)
        left = job.written
        for address, length in job.chain.writable:
            for offset in range(address - self.address, address - self.address + min(length, left)):
                self.memory[offset] ^= 1
            left -= min(length, left)

    def hand_back(self, jobs: Sequence[Job], advance: bool) -> None:
        super().answer(jobs[-1])
        super().hand_back(jobs, advance)
        for job in jobs[:-1]:
            super().answer(job)


def _overwrites(engine: Engine, job: Job) -> None:
    Engine.answer(engine, job)
    for address, length in job.chain.readable[:1]:
        if length:
            engine.memory[address - engine.address] ^= 0x55


def _written(ring: Packed, position: int, flags: int) -> None:
    Packed.store_flags(ring, position, flags | spec.DESC_F_WRITE)


def _one_more(engine: Engine, job: Job) -> None:
    Engine.answer(engine, job)
    for address, length in job.chain.writable[-1:]:
        engine.memory[address - engine.address + length] = 0x55


class _Unanswering(Engine):
    """Says that it wrote: 0 bytes."""

    packed_ring = type("Ring", (Packed,), {"store_flags": _written})

    def answer(self, job: Job) -> None:
        if job.readable:
            super().answer(job)


plant(
    "batch-before-written",
    "a batch is published before the answers of all but its last buffer are written",
    ("INO-BATCH-TIME", "INO-SKIP-FULL"),
    _Drafts,
    in_order=ON,
)
plant(
    "question-overwritten",
    "the first byte that was to be read is changed",
    ("P-RO-BUF", "S-RO-BUF"),
    engine_with(own={"answer": _overwrites}),
)
plant(
    "guard-written",
    "a byte behind the last device-writable element is written",
    ("VQ-OOB",),
    engine_with(own={"answer": _one_more}),
)
plant(
    "unasked-unanswered",
    "nothing is written into a buffer that has nothing to read",
    ("VQ-DATA", "S-FRAMING", "P-DEV-LIST-ORDER", "P-IND-LEN", "P-IND-DEV-IGN", "S-IND-TAIL", "S-IND-START",
     "S-IND-WRITE-IGN"),
    _Unanswering,
)  # fmt: skip

# -- notifications -------------------------------------------------------------------------------------


class _HeadOnly(Packed):
    """Looks for the driver's event in the first list of a batch."""

    head = 0

    def use(self, chains: Chains, length: int, advance: bool = True) -> None:
        self.head = chains[0].slots if len(chains) > 1 else 0
        super().use(chains, length, advance)

    def passed(self, event: int, end: int, old: int, wrap: int) -> bool:
        return super().passed(event, old + self.head if self.head else end, old, wrap)


def _never_enabled(ring: Packed) -> bool:
    enabled = ring.words[ring.driver // 2 + 1] == spec.EVENT_FLAGS_ENABLE
    return Packed.calls(ring) and not enabled


def _always(ring: Packed) -> bool:
    used = ring.since > 0
    Packed.calls(ring)
    return used


def _notes_event(ring: Packed) -> bool:
    called = Packed.calls(ring)
    ring.store(ring.driver, b"\x55\0")
    return called


def _reserved_flags(ring: Packed) -> None:
    Packed.arm(ring)
    ring.store(ring.device + 2, b"\3\0")


def _offset_of_size(ring: Packed) -> None:
    Packed.arm(ring)
    if ring.event_idx and not ring.next:
        ring.store(ring.device, (ring.size | (ring.wrap ^ 1) << 15).to_bytes(2, "little"))


plant(
    "event-inside-batch-missed",
    "packed EVENT_IDX: of a batch only the first list is compared with the driver's event",
    ("INO-EVENT",),
    engine_with(own={"packed_ring": _HeadOnly}),
    PACKED,
    ON,
    features=spec.EVENT_IDX,
)
plant(
    "enabled-unheard",
    "packed: no notification is sent while the driver's event flags are 0 (enable)",
    ("P-EV-ENABLE-DEV",),
    engine_with(packed={"calls": _never_enabled}),
    PACKED,
)
plant(
    "disabled-unheeded",
    "packed: notifications are sent whatever the driver's event flags say",
    ("P-EV-DISABLE-DEV",),
    engine_with(packed={"calls": _always}),
    PACKED,
    aimed=WARNED,
)
plant(
    "driver-event-overwritten",
    "packed: the driver's event is overwritten when it has been read",
    ("P-EV-AREA",),
    engine_with(packed={"calls": _notes_event}),
    PACKED,
)
plant(
    "event-flags-reserved",
    "packed: the device's event flags are 3",
    ("P-EV-VAL-DEV",),
    engine_with(packed={"arm": _reserved_flags}),
    PACKED,
)
plant(
    "event-offset-of-size",
    "packed EVENT_IDX: behind the last descriptor the event offset is the queue size, not 0",
    ("P-EV-OFF-RANGE", *LIVE),
    engine_with(packed={"arm": _offset_of_size}),
    PACKED,
    features=spec.EVENT_IDX,
)
