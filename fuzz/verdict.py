"""What came of running a program: verdict, evidence, and what the run exercised. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field

from oracles.rules import Violation
from oracles.trace import Entry

CONFORMS, VIOLATES, CRASHED, HUNG, BROKEN, WEDGED, UNDECIDED, OUR_FAULT = (
    "CONFORMS",
    "VIOLATES",
    "CRASHED",
    "HUNG",
    "BROKEN",  # the device needs a reset, it says (2.1.2)
    "WEDGED",  # after hostile steps it does not work again, not even when it was reset
    "UNDECIDED",
    "OUR_FAULT",
)
BAD = frozenset({VIOLATES, CRASHED, HUNG, BROKEN, WEDGED, OUR_FAULT})


@dataclass(slots=True)
class Outcome:
    """One execution of one program. ``trace`` is the evidence, ``steps`` the step at which each entry was made."""

    verdict: str = CONFORMS
    violation: Violation | None = None
    reason: str = ""  # of a verdict that no rule explains: how it died, what was waited for
    warnings: list[Violation] = field(default_factory=list)
    trace: list[Entry] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)  # index into trace at which each step began
    reached: int = 0  # steps begun
    chains: int = 0  # buffers used
    by_queue: dict[int, int] = field(default_factory=dict)  # so many of them on each queue; as the device
    rejected: str = ""  # hostile: how the device gave up, cleanly
    renew: bool = False  # hostile: what follows needs a session of its own
    cause: str = ""  # of an end: what a sanitizer, an assertion or a panic said
    severity: str = ""  # hostile: one of cause.SEVERITIES

    @property
    def rule(self) -> str:
        """What distinguishes this outcome from another bad one: the rule, or the verdict itself."""
        return self.violation.rule if self.violation is not None else self.verdict
