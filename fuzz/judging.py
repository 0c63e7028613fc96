"""One program on one target, as a test in somebody's suite needs it: run, looked at again, and put as a Result.

Knows programs, targets and how often a failure must be seen. Must not know pytest, nor any report.
"""

from __future__ import annotations

from pathlib import Path

from fuzz import encoding, finds, registry
from fuzz.confirm import Runner
from fuzz.program import Program
from fuzz.results import FAILED, NOT_OFFERED, PASSED, UNDECIDED, Result
from fuzz.telling import report
from fuzz.verdict import BAD, Outcome
from fuzz.verdict import UNDECIDED as OPEN
from oracles import rules, spec
from oracles.rules import Level, Violation

AGAIN = 5
"""Executions after a failure, of which one at least must show it again."""


class Against:
    """A target, opened when it is first needed, and started anew when it died.

    *words* and *qemu* as on the command line. Rules that VIRTIO *version* doesn't have are left out. With *strict*,
    a SHOULD fails, too. Raises UsageTrouble if no target is called so, TargetError if it can't be used.
    """

    def __init__(self, words: str, qemu: str = "", version: str = spec.VERSIONS[-1], strict: bool = False) -> None:
        self.words = words
        self.version = version
        self.strict = strict
        self.target = registry.make(words, qemu)
        self._runner = Runner(self.target)
        self._runner.unasked = rules.unbound(version)
        self._offered: int | None = None

    def judge(self, program: Program | Path) -> Result:
        """What comes of *program*, or of the program or find at that path. Raises UsageTrouble, TargetError."""
        path, before = Path("program.vq"), tuple[Program, ...]()
        if isinstance(program, Path):
            path, find = program, finds.load(program)
            program, before = find.program, find.before
        missing = self._missing(program)
        if missing:
            return self._result(path, program, NOT_OFFERED, message=missing)
        outcome, patient = self._decide(program, before)
        if outcome.verdict == OPEN:
            return self._result(path, program, UNDECIDED, message=outcome.reason or "only a wait expired")
        if outcome.verdict in BAD:
            return self._found(path, program, before, outcome, patient)
        return self._warned(path, program, outcome)

    def close(self) -> None:
        """End what was started."""
        self.target.close()

    def _missing(self, program: Program) -> str:
        """Why the program can't be run on this target, or ''."""
        device = self.target.limits.device
        if program.device != device:  # what is nonsense to a device may be dropped by it
            return f"the program is for a device of class {program.device}, and {self.words} is of class {device}"
        if self._offered is None:
            self._offered = self.target.probe().features
        wanted = program.features | (spec.RING_PACKED if program.layout == spec.PACKED else 0)
        names = " ".join(spec.feature_names(wanted & ~self._offered))
        return f"{self.words} does not offer {names}" if names else ""

    def _decide(self, program: Program, before: tuple[Program, ...]) -> tuple[Outcome, bool]:
        """What comes of it, and whether only a long wait showed that."""
        outcome = self._run(program, before, 0)
        if outcome.verdict == OPEN:
            return self._run(program, before, 0, patient=True), True
        return outcome, False

    def _run(self, program: Program, before: tuple[Program, ...], salt: int, patient: bool = False) -> Outcome:
        # a death that shows only when the session is over is this program's: no other is run to show it
        runner, finish = self._runner, self._runner.real
        outcome = runner.run(program, patient, salt, finish=finish, before=before)
        runner.late = ""
        return outcome

    def _found(self, path: Path, program: Program, before: tuple[Program, ...], outcome: Outcome,
               patient: bool) -> Result:  # fmt: skip
        seen = sum(self._again(program, before, outcome, salt, patient) for salt in range(1, AGAIN + 1))
        if not seen:
            said = f"{outcome.rule} was seen once, and not again in {AGAIN} executions"
            return self._result(path, program, UNDECIDED, rule=outcome.rule, message=said)
        meta = {"target": self.words, "describe": self.target.describe(), "words": self.target.words(),
                "runs": {"again": seen, "of": AGAIN}}  # fmt: skip
        text = report(meta, program, outcome, path if path.exists() else None, before)
        violation = outcome.violation
        said = violation.message if violation is not None else outcome.reason
        return self._result(path, program, FAILED, outcome.rule, said, text, f"{seen}/{AGAIN}")

    def _again(self, program: Program, before: tuple[Program, ...], outcome: Outcome, salt: int, patient: bool) -> bool:
        other = self._run(program, before, salt, patient)
        return other.rule == outcome.rule and other.verdict in BAD

    def _warned(self, path: Path, program: Program, outcome: Outcome) -> Result:
        """It conforms; what it should not do is told, and with ``strict`` fails."""
        told = outcome.warnings
        should = [one for one in told if self._level(one) is Level.SHOULD]
        if self.strict and should:
            first = should[0]
            return self._result(path, program, FAILED, first.rule, first.message, _lines(should))
        return self._result(path, program, PASSED, text=_lines(told))

    def _level(self, one: Violation) -> Level | None:
        rule = rules.registry().get(one.rule)
        return rule.level_in(self.version) if rule is not None else None

    def _result(self, path: Path, program: Program, status: str, rule: str = "", message: str = "", text: str = "",
                reproduced: str = "") -> Result:  # fmt: skip
        known = rules.registry().get(rule)
        level = known.level_in(self.version) if known is not None else None
        return Result(
            name=str(path), rule=rule, layout=program.layout, phase="corpus", status=status, message=message,
            report=text, program=encoding.dump(program), reproduced=reproduced, find=str(path) if path.exists() else "",
            title=known.title if known is not None else "", level=level.value if level is not None else "MUST",
            cite=known.cite(self.version, program.layout) if known is not None else "",
        )  # fmt: skip


def _lines(found: list[Violation]) -> str:
    return "".join(f"{one.rule}  {one.message}\n" for one in found)
