"""A story of a run as data: rows, the rings as they stood at the end, and what is wrong.

Knows nothing of how a story is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from fuzz.report.rings import Rings
from oracles.oracle import Oracle
from oracles.rules import Violation


@dataclass(slots=True)
class Row:
    """One line of the table; *step* from 1, 0: set-up, -1: the end, when what is owed must come."""

    step: int
    driver: str = ""
    device: str = ""
    model: str = ""
    ring: bool = False  # whether the device made a buffer used with it
    bad: bool = False
    note: str = ""  # what went wrong with it


@dataclass(slots=True)
class Story:
    """All rows, the rings as they stood at the end, and what the oracle says."""

    rows: list[Row]
    rings: dict[int, Rings]
    oracle: Oracle
    violation: Violation | None

    def queue(self) -> int:
        """The queue that this is about."""
        return self.violation.queue if self.violation is not None else 0
