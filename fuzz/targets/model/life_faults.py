"""Planted faults at the beginning and the end of a queue's life: before it is live, and after a reset.

Each replaces one or two small methods of the reference device. Knows the device; must not know who looks for them.
"""

from __future__ import annotations

from fuzz.targets.model.engine import Engine
from fuzz.targets.model.planting import SPLIT, Packed, Split, plant
from oracles.trace import Extent


class _Before(Engine):
    """Sends a notification when it learns of the queue."""

    def keep_signalled(self, ring: Split | Packed, restarted: bool) -> None:
        if not restarted:
            self.signal()


class _Announcing(Engine):
    """What was under way is announced when the queue is live again."""

    announces = False

    def keep_signalled(self, ring: Split | Packed, restarted: bool) -> None:
        if self.announces:
            self.signal()
        self.announces = False


class _Late(_Announcing):
    """What was under way at a device reset is announced, all the same."""

    def reset(self) -> None:
        self.announces = bool(self.todo)
        super().reset()


class _LateOnOne(_Announcing):
    """What was under way at a queue reset is announced, all the same."""

    def reset_queue(self) -> None:
        self.announces = bool(self.todo)
        super().reset_queue()


class _Fills(Engine):
    """Buffers that were fetched are still filled after a device reset."""

    left: list[Extent]

    def reset(self) -> None:
        self.left = [extent for job in self.todo for extent in job.chain.writable]
        super().reset()

    def keep_signalled(self, ring: Split | Packed, restarted: bool) -> None:
        for address, length in getattr(self, "left", []):
            self.store(address - self.address, bytes(length))
        self.left = []


class _Keeps(Engine):
    """A queue reset leaves used idx as it was."""

    kept = 0

    def reset_queue(self) -> None:
        self.kept = self.ring.used
        super().reset_queue()

    def keep_signalled(self, ring: Split | Packed, restarted: bool) -> None:
        if not restarted and self.kept:
            ring.used, self.kept = self.kept, 0


plant(
    "notifies-early",
    "a notification is sent before the queue is live",
    ("ST-NO-EARLY-USE", "RST-QUIET", "VQR-QUIET"),
    _Before,
)
plant(
    "notifies-after-reset",
    "what was under way at a device reset is announced after it",
    ("RST-QUIET",),
    _Late,
)
plant(
    "notifies-after-queue-reset",
    "what was under way at a queue reset is announced after it",
    ("VQR-QUIET",),
    _LateOnOne,
)
plant(
    "fills-after-reset",
    "buffers fetched before a device reset are filled after it",
    ("VQ-NOT-LIVE",),
    _Fills,
)
plant(
    "queue-reset-keeps-used",
    "split: a queue reset leaves used idx as it was",
    ("VQR-STATE", "INO-RESTART", "S-USED-IDX-START"),
    _Keeps,
    SPLIT,
)
