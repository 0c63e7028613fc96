"""Planted faults before, between and after the lives of a queue: set-up, both resets, stop and start.

Each replaces one small method of the reference device, and is called by what it does. Knows the device; must not
know who looks for them, nor on which program they show.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuzz.targets.model.engine import Engine, Job
from fuzz.targets.model.planting import PACKED, SPLIT, WARNED, Chains, Packed, Split, engine_with, plant
from oracles.split_rings import Chain

Areas = tuple[int, int, int]


class _Setup(Engine):
    """Does something right before it starts: the queue isn't live then."""

    def start(self, features: int, size: int, areas: Areas, available: int, used: int, restarted: bool = False) -> None:
        self.before(restarted)
        super().start(features, size, areas, available, used, restarted)

    def before(self, restarted: bool) -> None:
        """What it does then."""


class _Early(_Setup):
    begun = False

    def before(self, restarted: bool) -> None:
        if not self.begun:
            self.signal()
        self.begun = True


class _Late(_Setup):
    """Remembers a list that was in flight at a reset."""

    late: Chain | None = None
    old: Split | Packed

    def halt(self) -> None:
        if self.live and self.todo:
            self.late, self.old = self.todo[-1].chain, self.ring
        super().halt()

    def before(self, restarted: bool) -> None:
        late, self.late = self.late, None
        if late is not None:
            self.finish(late)

    def finish(self, late: Chain) -> None:
        """What becomes of it when the reset is over."""
        self.signal()


class _LateUse(_Late):
    def finish(self, late: Chain) -> None:
        self.old.use([late], 0)


class _LateAnswer(_Late):
    def finish(self, late: Chain) -> None:
        for address, _ in late.writable[:1]:
            self.store(address - self.address, b"\x55")


class _LateFirst(_Late):
    """Has it come back first of all in the next life."""

    ghost: Chain | None = None

    def finish(self, late: Chain) -> None:
        self.ghost = late

    def hand_back(self, jobs: Sequence[Job], advance: bool) -> None:
        ghost, self.ghost = self.ghost, None
        if ghost is not None:
            self.ring.use([ghost], 0)
        super().hand_back(jobs, advance)


class _SameLap(Engine):
    """Keeps the device wrap counter over a reset."""

    lap = 1

    def halt(self) -> None:
        if self.live and isinstance(self.ring, Packed):
            self.lap = self.ring.used_wrap
        super().halt()

    def keep_signalled(self, ring: Split | Packed, restarted: bool) -> None:
        if isinstance(ring, Packed) and not restarted:
            ring.used_wrap = self.lap


plant(
    "calls-before-driver-ok",
    "a used buffer notification is sent while the device is set up",
    ("ST-NO-EARLY-USE",),
    _Early,
)
plant(
    "used-after-reset",
    "what was in flight at a reset is returned in the old ring when the device is set up anew",
    ("RST-QUIET", "VQR-QUIET"),
    _LateUse,
)
plant(
    "call-after-reset",
    "a notification that was held up by a reset is sent when the queue is set up anew",
    ("VQR-QUIET", "RST-QUIET"),
    _Late,
)
plant(
    "ghost-after-reset",
    "a list that was in flight at a reset comes back before those of the next life",
    ("INO-RESTART", "VQR-STATE", "S-USED-LEN-ORDER", "INO-S-BATCH-SLOT", "P-USED-ONCE", "S-USED-ONCE", "P-USED-ID",
     "S-USED-ID", "P-NO-EARLY-USE", "S-USED-IDX-BOUND", "INO-ORDER", "INO-SKIP-FULL", "INO-P-SKIPPED-DESC",
     "P-NO-LATE-CHANGE", "P-USED-ONE", "S-FRAMING", "P-IND-LEN"),
    _LateFirst,
)  # fmt: skip
plant(
    "answer-after-reset",
    "the answer to a request that was in flight at a reset is written when the device is set up anew",
    ("VQ-NOT-LIVE", "VQR-QUIET"),
    _LateAnswer,
)
plant(
    "lap-survives-reset",
    "packed: a reset keeps the device wrap counter",
    ("VQR-STATE", "P-WRAP-INIT", "VU-SETBASE"),
    _SameLap,
    PACKED,
)

# -- stop and start --------------------------------------------------------------------------------------


class _Restless(_Setup):
    def before(self, restarted: bool) -> None:
        if restarted:
            self.signal()


class _Undrained(Engine):
    def stop(self) -> int:
        self.live = False
        return self.base()


class _SaysAgain(Packed):
    """The first used descriptor after a restart says what the last one before it said."""

    said = False

    def batch_id(self, chains: Chains) -> int:
        if not self.restarted or self.said:
            return super().batch_id(chains)
        self.said = True
        at = self.descriptor + 16 * ((self.used - 1) % self.size) + 12
        return int.from_bytes(self.memory[at : at + 2], "little")


def _both_indexes(engine: Engine) -> int:
    ring = engine.ring
    return ring.base() | (ring.used << 16 if isinstance(ring, Split) else 0)


plant(
    "calls-while-stopped",
    "a used buffer notification is sent while the queue is stopped",
    ("VU-STOPPED",),
    _Restless,
)
plant(
    "stops-in-flight",
    "a stop is reported with requests in flight",
    ("VU-BASE-DRAIN",),
    _Undrained,
    aimed=WARNED,
)
plant(
    "restart-repeats",
    "packed: the first used descriptor after a restart carries the id of the last before it",
    ("VU-RESTART", "P-USED-ONCE", "P-USED-ID", "P-ID-LAST", "INO-P-BATCH-SLOT", "INO-P-BATCH-ID", "INO-ORDER",
     "INO-SKIP-FULL", "INO-P-SKIPPED-DESC", "P-USED-LEN"),
    engine_with(own={"packed_ring": _SaysAgain}),
    PACKED,
)  # fmt: skip
plant(
    "base-with-used",
    "split: a stop reports used idx in the upper half, as for packed rings",
    ("VU-BASE-SPLIT",),
    engine_with(own={"base": _both_indexes}),
    SPLIT,
)
