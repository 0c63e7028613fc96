"""What a back-end said that can't be right, judged: a violation of the rule that names it.

Knows the oracle and outcomes. Must not know transports.
"""

from __future__ import annotations

from dataclasses import replace

from fuzz.targets import TargetError, TargetMisspoke
from fuzz.verdict import CRASHED, OUR_FAULT, VIOLATES, Outcome
from oracles.oracle import judge


def judged(error: TargetMisspoke, outcome: Outcome | None = None, without: frozenset[str] = frozenset()) -> Outcome:
    """*outcome*, or a new one, with the messages of *error* behind its trace, and what they come to.

    Raises TargetError if no rule explains it and the target was not in use yet.
    """
    outcome = Outcome() if outcome is None else outcome
    violation, warnings = judge(error.entries, without)
    at = len(outcome.trace)
    outcome.trace.extend(error.entries)
    outcome.warnings = [*outcome.warnings, *warnings]
    if violation is not None:
        event = violation.event + at if violation.event >= 0 else -1
        outcome.verdict = OUR_FAULT if violation.ours else VIOLATES
        outcome.violation = replace(violation, event=event)
    elif error.used:
        outcome.verdict, outcome.reason = CRASHED, str(error)
    else:
        raise TargetError(str(error))
    return outcome
