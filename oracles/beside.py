"""The queues of one device beside each other: what became available first, and which of them keep an order.

Knows buffers and time, which is counted in buffers made available on any queue. Each queue is judged by itself; what
is known here only tells one defect of a queue from another (2.7.9, 6).
"""

from __future__ import annotations

from collections.abc import Sequence

from oracles.model import Buffer, Case, Virtqueue

ENOUGH = 2
"""Buffers that a queue must have used in order, with younger ones to choose from, to count as one that keeps it."""


class Beside:
    """One queue among *everyone*, which it joins."""

    __slots__ = ("everyone", "free", "given", "kept", "live", "queue")

    def __init__(self, everyone: list[Beside]) -> None:
        self.everyone = everyone
        everyone.append(self)
        self.queue = Virtqueue(0, False)
        self.live = False
        self.given = 0  # buffers made available
        self.kept = 0  # buffers used by themselves, the oldest before younger ones
        self.free = False  # whether one was used before an older one of another queue

    def begin(self, queue: Virtqueue) -> None:
        """*queue* is live."""
        self.queue, self.live = queue, True

    def end(self) -> None:
        """It is not live any more."""
        self.live = False

    def now(self, count: int) -> int:
        """The time at which *count* buffers become available here."""
        self.given += count
        return self.given if len(self.everyone) == 1 else sum(one.given for one in self.everyone)

    def used(self, done: Sequence[Buffer]) -> None:
        """These buffers were used."""
        if len(self.everyone) == 1:
            return
        if self.queue.by_id:
            self.kept += sum(buffer.length is not None and buffer.run == 1 for buffer in done)
        self.free = self.free or self._older(done[-1].since)

    def _older(self, since: int) -> bool:
        """Whether another queue has a buffer outstanding that became available before *since*."""
        others = [one for one in self.everyone if one is not self and one.live and one.queue.by_id]
        return any(one.queue.oldest().since < since for one in others)

    def tell(self, case: Case) -> None:
        """Tell *case* what the other queues have to say of it."""
        if len(self.everyone) == 1:
            return
        if case.moment == "silence" and case.buffer is not None:
            case.elsewhere = not self.free and self._older(case.buffer.since)
        case.turned = not self.kept and any(one.kept >= ENOUGH for one in self.everyone if one is not self)
