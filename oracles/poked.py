"""The oracle of a virtqueue whose driver may have broken its rules: from then on only safety is judged.

Of a queue that was poked nothing can be said but that the device wrote where nothing allowed it to; whoever observes
says so by a Changed. A start makes it a queue like any other. Knows observations. Must not know what was poked, how.
"""

from __future__ import annotations

from typing import Any

from oracles.model import Case
from oracles.queue_oracle import QueueOracle
from oracles.rules import Violation
from oracles.trace import (
    Called,
    Changed,
    Poked,
    Published,
    Resetting,
    SawDescriptor,
    SawUsed,
    Started,
    Stored,
    Supplied,
)


class WaryOracle(QueueOracle):
    """Judges one virtqueue, and no more than safety after a Poked."""

    poked = False

    def _start(self, told: Started) -> Violation | None:
        violation = super()._start(told)
        self.poked = False
        self._handlers[Poked] = self._poke
        return violation

    def _poke(self, told: Poked) -> Violation | None:
        """What we do is kept in the books, for the driver needs them; of the device, only strays are judged."""
        kept = (Started, Supplied, Published, Poked)
        self._handlers = {kind: handler for kind, handler in self._handlers.items() if kind in kept}
        self._handlers[Changed] = self._strayed
        self._handlers[Resetting] = self._over
        self.poked = True
        self._suspect = self._doubt = None
        self.to_scan = []
        self.reader.done.clear()
        self.reader.lint.clear()
        self.reader.due = ""
        return None

    def _strayed(self, seen: Changed) -> Violation | None:
        case = Case("changed", self.queue)
        case.address, case.data = seen.address, seen.data
        return self._judge(case)

    def _over(self, told: Resetting) -> Violation | None:
        """Its life ends; from here on it must lie still, as any other queue."""
        self._dead = told.what
        quiet: tuple[Any, ...] = (Stored, SawUsed, SawDescriptor, Called)
        self._handlers |= {Changed: self._changed, **dict.fromkeys(quiet, self._too_early)}
        return None
