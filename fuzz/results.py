"""What a check of a target came to: data that reports are made of, and nothing else.

One Result for each rule and layout that was looked at, or for each program of the later phases; a Run is all of
them. Knows no target and no format. Reports (JUnit, SARIF, HTML, JSON lines, text) are functions of a Run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PASSED = "passed"
FAILED = "failed"  # a violation, crash, hang, or a device that gives up
REJECTED = "rejected"  # hostile input was refused cleanly
WEDGED = "wedged"  # it serves nothing more until it is reset, though it need not have come to that
NOT_OFFERED = "not offered"  # it lacks the feature, layout or seat that this needs
UNDECIDED = "undecided"  # only a wait expired, or what was seen never came back
STATUSES = (PASSED, REJECTED, WEDGED, FAILED, UNDECIDED, NOT_OFFERED)

PHASES = ("conformance", "boundary", "corpus", "fuzz", "hostile")


@dataclass(frozen=True, slots=True)
class Result:
    """One item of a check."""

    name: str  # unique in its run, such as INO-ORDER/split
    rule: str  # that was looked at; of a failure, the one that was broken, or CRASHED, HUNG, BROKEN
    layout: str  # split | packed | "" where it makes no difference
    phase: str  # one of PHASES
    status: str  # one of STATUSES
    title: str = ""  # the rule's headline
    level: str = "MUST"  # MUST | SHOULD | TEXT | LINT, by the version asked for
    section: str = ""  # by the version asked for; of vhost-user: the title of its section
    cite: str = ""  # section and document, for people
    message: str = ""  # what happened, in one sentence; why it was not looked at
    report: str = ""  # the report as text
    program: str = ""  # the smallest program that shows it, as text
    find: str = ""  # folder where it is kept
    reproduced: str = ""  # such as 5/5
    severity: str = ""  # hostile: memory safety | crash | hang | wedged | rejected cleanly
    known: str = ""  # why it is accepted: the reason in corpus/known or in the baseline
    new: bool = True  # False: accepted, so it fails nothing
    seconds: float = 0.0
    also: int = 0  # how many more times it was seen


@dataclass(slots=True)
class Run:
    """A whole check, or whatever else is to be reported."""

    target: str  # as typed
    command: str  # that repeats it
    seed: int = 0
    spec: str = "1.4"
    strict: bool = False
    version: str = ""  # of vqfuzz
    started: str = ""  # ISO 8601, UTC
    seconds: float = 0.0
    describe: dict[str, str] = field(default_factory=dict)  # command line of the target, version, features …
    results: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what a reader should know: warnings, what was left out
    code: int = 0  # exit code

    def failures(self) -> list[Result]:
        """What makes it fail: failed or wedged, and not accepted."""
        return [one for one in self.results if one.status in (FAILED, WEDGED) and one.new]
