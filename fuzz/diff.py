"""The same programs on several targets: what each keeps, and the first program on which their verdicts differ.

Knows programs, runners and verdicts. Must not know how a target is reached, nor how anything is told to people.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fuzz import deviations
from fuzz.confirm import Needs, Runner, Smaller, decide, minimise
from fuzz.program import Limits, Program
from fuzz.tally import Tally
from fuzz.targets import Offer, Target, TargetError
from fuzz.trouble import CONFORMS as FINE
from fuzz.trouble import FOUND, INTERRUPTED, TARGET, UNCLEAR
from fuzz.verdict import BAD, CONFORMS, OUR_FAULT, UNDECIDED, Outcome

AGAIN_MODEL, AGAIN_REAL = 20, 5
_LOOKS = 3  # at divergences that don't come back, until one does
#: What is not said of a target that knows no device class, when programs have one: it answers as none would.
_CLASSLESS = frozenset({"VQ-DATA"})

Told = Callable[[str, bool], None]  # how far it is; whether that must be told
Source = Iterable[tuple[str, Program]]  # where a program comes from, and the program


class _Runner(Runner):
    """A runner that never asks for what its target can't know."""

    def __init__(self, target: Target, without: frozenset[str]) -> None:
        super().__init__(target)
        self.without = without

    def run(self, program: Program, patient: bool = False, salt: int = 0,
            without: frozenset[str] = frozenset(), finish: bool = False,
            before: Sequence[Program] = ()) -> Outcome:  # fmt: skip
        """One execution, see Runner."""
        return super().run(program, patient, salt, without | self.without, finish, before)


class Side:
    """One of the targets, and what came of its programs."""

    def __init__(self, target: Target, label: str, offer: Offer, own: Limits, device: str) -> None:
        self.target = target
        self.label = label
        self.offer = offer
        self.own = own  # limits as narrowed to its offer
        classless = own.device == "any" and device != "any"
        self.runner = _Runner(target, _CLASSLESS if classless else frozenset())
        self.notes = [f"{label} knows no device class: its answers are not looked at"] if classless else []
        self.counts: Counter[str] = Counter()  # programs by rule or verdict
        self.warnings: Counter[str] = Counter()
        self.describe = target.describe()


@dataclass(slots=True)
class Row:
    """One program on every side."""

    origin: str
    program: Program
    outcomes: list[Outcome]
    patient: list[bool]
    late: list[bool]  # how it ended showed when the next session began

    def rules(self) -> tuple[str, ...]:
        """What each came to: the rule that was broken, or the verdict."""
        return tuple(outcome.rule for outcome in self.outcomes)

    def diverges(self) -> bool:
        """Whether two of them differ. What is undecided, or our fault, differs from nothing."""
        return len({rule for rule in self.rules() if rule not in (UNDECIDED, OUR_FAULT)}) > 1


@dataclass(slots=True)
class Divergence:
    """A program on which verdicts differ, made small."""

    origin: str
    program: Program  # as found
    rules: tuple[str, ...]  # by side
    again: int
    of: int
    smaller: Smaller
    outcomes: list[Outcome]  # of the smallest program, by side
    lead: int  # the side whose verdict is bad
    known: dict[int, str] = field(default_factory=dict)  # side: why what it does is accepted


@dataclass(frozen=True, slots=True)
class _Differs(Needs):
    """What it takes to see a divergence again: every other side must come to what it came to."""

    others: tuple[tuple[Runner, str, bool], ...] = ()

    def seen(self, runner: Runner, program: Program, salt: int = 0) -> Outcome | None:
        """The outcome of the leading side if *program* shows it, else None."""
        outcome = Needs.seen(self, runner, program, salt)
        if outcome is None:
            return None
        for other, rule, finish in self.others:
            if _once(other, program, salt, finish).rule != rule:
                return None
        return outcome


def _once(runner: Runner, program: Program, salt: int, finish: bool) -> Outcome:
    outcome = runner.run(program, salt=salt, finish=finish)
    if outcome.verdict == UNDECIDED:
        outcome = runner.run(program, True, salt, finish=finish)
    return outcome


class Differ:
    """A comparison of *sides*. *told* shows progress."""

    def __init__(self, sides: list[Side], told: Told) -> None:
        self.sides = sides
        self.told = told
        self.tally = Tally()
        self.kinds: Counter[tuple[str, ...]] = Counter()  # divergences, by what each side came to
        self.first: Divergence | None = None
        self.flaky: list[str] = []  # divergences that never came back
        self.looked = 0
        self.ours = ""  # how vqfuzz itself failed, first
        self.code = FINE
        self.stopped = ""  # why it ended early
        self.seconds = 0.0
        self.times = AGAIN_REAL if any(side.runner.real for side in sides) else AGAIN_MODEL

    def run(self, programs: Source, seconds: float | None = None) -> int:
        """All *programs*, or as many as fit in the time. Returns the exit code."""
        began = time.monotonic()
        code = None
        try:
            self._programs(programs, began, seconds)
        except KeyboardInterrupt:
            code, self.stopped = INTERRUPTED, "interrupted"
        except TargetError as error:
            self.stopped = str(error)
            code = FOUND if self.first is not None else TARGET
        self.seconds = time.monotonic() - began
        if code is None:
            undecided = any(side.counts[UNDECIDED] for side in self.sides)
            code = UNCLEAR if undecided or self.flaky else FINE
            code = TARGET if any(side.counts[OUR_FAULT] for side in self.sides) else code
            code = FOUND if self.first is not None else code
        self.code = code
        return code

    def _programs(self, programs: Source, began: float, seconds: float | None) -> None:
        before: Row | None = None
        for origin, program in programs:
            now = time.monotonic()
            if seconds is not None and now - began >= seconds:
                break
            different = sum(self.kinds.values())
            self.told(f"{self.tally.programs} programs on {len(self.sides)} targets · {different} differ", False)
            row = Row(origin, program, [], [], [False] * len(self.sides))
            for number, side in enumerate(self.sides):
                outcome, patient = decide(side.runner, program)
                self._late(number, before)
                row.outcomes.append(outcome)
                row.patient.append(patient)
            self.tally.programs += 1
            self.tally.shape(program.layout, program.features)
            if before is not None:
                self._judge(before)
            before = row
        if before is not None:
            for number, side in enumerate(self.sides):
                if side.runner.real and before.outcomes[number].verdict not in BAD:
                    side.runner.settle()
                    self._late(number, before)
            self._judge(before)

    def _late(self, number: int, row: Row | None) -> None:
        """What a side had to say as its next session began counts for the program before."""
        runner = self.sides[number].runner
        late, runner.late = runner.late, ""
        if late and row is not None and row.outcomes[number].verdict not in BAD:
            row.outcomes[number].verdict, row.outcomes[number].reason = runner.late_verdict, late
            row.late[number] = True

    def _judge(self, row: Row) -> None:
        """Count a row whose outcomes are final, and look closer at the first that differs."""
        for side, outcome in zip(self.sides, row.outcomes, strict=True):
            side.counts[outcome.rule] += 1
            if outcome.verdict == OUR_FAULT and not self.ours:
                self.ours = f"{row.origin} on {side.label}: {outcome.reason}"
            for warning in {warning.rule for warning in outcome.warnings}:
                side.warnings[warning] += 1
            self.tally.chains += outcome.chains
        if not row.diverges():
            return
        self.kinds[row.rules()] += 1
        if self.first is None and self.looked < _LOOKS:
            self.looked += 1
            self._examine(row)

    # -- the first that differs

    def _examine(self, row: Row) -> None:
        rules = row.rules()
        lead = next(number for number, one in enumerate(row.outcomes) if one.verdict in BAD and one.rule != OUR_FAULT)
        others = tuple(
            (side.runner, rule, late)
            for number, (side, rule, late) in enumerate(zip(self.sides, rules, row.late, strict=True))
            if number != lead and rule not in (UNDECIDED, OUR_FAULT)
        )
        needs = _Differs(rules[lead], row.patient[lead], row.late[lead], others=others)
        for side in self.sides:
            side.runner.restart()
        runner = self.sides[lead].runner
        count = 0
        for salt in range(self.times):
            count += needs.seen(runner, row.program, salt) is not None
            self.told(f"{row.origin} differs: again {salt + 1}/{self.times}", salt == 0)
        if not count:
            self.flaky.append(row.origin)
            self._clear()
            return
        if count < self.times:
            needs = _Differs(needs.rule, needs.patient, needs.finish, 3, others=others)

        def progress(done: int, now: Program) -> None:
            self.told(f"{row.origin}: {len(now.steps)} steps after {done} executions", False)

        small = minimise(runner, row.program, row.outcomes[lead], needs, progress=progress)
        self.first = Divergence(row.origin, row.program, rules, count, self.times, small, [], lead)
        self.first.outcomes = self._outcomes(small, lead, row)
        self.first.known = self._known(self.first)
        self._clear()
        if small.stopped:
            raise KeyboardInterrupt

    def _outcomes(self, small: Smaller, lead: int, row: Row) -> list[Outcome]:
        """What the smallest program comes to on each side, as it did when found if it can be seen so."""
        found = []
        for number, side in enumerate(self.sides):
            outcome = small.outcome
            for salt in range(3 if number != lead else 0):
                outcome = _once(side.runner, small.program, salt, row.late[number])
                if outcome.rule == row.outcomes[number].rule:
                    break
            found.append(outcome)
        return found

    def _known(self, first: Divergence) -> dict[int, str]:
        """Which of what differs is listed as known and accepted."""
        found = {}
        for number, (side, outcome) in enumerate(zip(self.sides, first.outcomes, strict=True)):
            if outcome.verdict not in BAD:
                continue
            words = f"{outcome.reason}\n{outcome.violation.message if outcome.violation else ''}\n{side.target.words()}"
            version = side.describe.get("version", "")
            one = deviations.known(side.target.name, version, outcome.rule, words, first.smaller.program)
            if one is not None:
                found[number] = one.reason
        return found

    def _clear(self) -> None:
        for side in self.sides:
            side.runner.late = ""


def label(targets: Sequence[Target]) -> list[str]:
    """A name for each: as typed; those of the same name with their version, or else a number."""
    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        told = [_version(target.describe().get("version", "")) for target in targets]
        names = [
            f"{name} {version}" if version and names.count(name) > 1 else name
            for name, version in zip(names, told, strict=True)
        ]
    seen: Counter[str] = Counter()
    for number, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[number] = f"{name} #{seen[name]}"
    return names


def _version(words: str) -> str:
    """The number in what a program says of its version, such as 10.0.2."""
    found = re.search(r"\d+(\.\d+)+", words)
    return found[0] if found is not None else words


__all__ = ["CONFORMS", "Differ", "Divergence", "Side", "label"]
