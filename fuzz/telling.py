"""A find in words and in facts: what its folder says of shrinking, and its report.

Knows what a run came to. Must not know how it came about, or where it is printed.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from fuzz import __version__, finds
from fuzz.confirm import Smaller
from fuzz.earlier import Programs
from fuzz.program import Program
from fuzz.report.text import Shown, render
from fuzz.targets import Target
from fuzz.verdict import Outcome


def facts(target: Target, outcome: Outcome, **more: object) -> finds.Meta:
    """What ``find.json`` says of a failure on *target*, and *more* about how it came about."""
    violation = outcome.violation
    severe = {name: value for name in ("severity", "cause") if (value := getattr(outcome, name))}
    return {
        "rule": outcome.rule,
        "verdict": outcome.verdict,
        "message": violation.message if violation is not None else outcome.reason,
        "reason": outcome.reason,
        **severe,
        "target": target.name,
        "describe": target.describe(),
        **more,
        "first_marks": list(outcome.marks),
        "versions": {"vqfuzz": __version__, "python": platform.python_version(), "system": platform.platform()},
        "words": target.words(),
    }


def shrunk_facts(program: Program, smaller: Smaller) -> dict[str, Any]:
    """What find.json says about shrinking."""
    return {
        "before": len(program.steps),
        "after": len(smaller.program.steps),
        "executions": smaller.executions,
        "seconds": round(smaller.seconds, 3),
        "complete": smaller.complete,
    }


def report(meta: finds.Meta, program: Program, outcome: Outcome, file: Path | None, before: Programs = ()) -> str:
    """The text about a *program*, kept in *file*, that came to this; *before*: what had to run first."""
    marks = list(outcome.marks)
    return render(Shown(meta, program, outcome.trace, marks, outcome.verdict, outcome.reason, file, before))
