"""Runs the items of a plan on a target, and says of each what came of it.

What fails is run again, made smaller where that is not done already, kept as a find, and compared with the
deviations that are known. Knows what an item goes through. Must not know how results are told.
"""

from __future__ import annotations

import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from fuzz import cases, deviations, encoding, finds
from fuzz.cases import Check, NotOffered
from fuzz.confirm import Needs, Runner, again, audited, minimise
from fuzz.generate import nth
from fuzz.plan import Item, Selection, plan, selection
from fuzz.program import Program
from fuzz.report.text import quote, section_in
from fuzz.results import FAILED, NOT_OFFERED, PASSED, UNDECIDED, Result
from fuzz.targets import Target
from fuzz.telling import facts, report, shrunk_facts
from fuzz.trouble import EnvironmentTrouble, reason
from fuzz.verdict import BAD, OUR_FAULT, Outcome
from fuzz.verdict import UNDECIDED as UNDECIDED_VERDICT
from oracles import spec
from oracles.rules import registry, unbound
from oracles.trace import dump

SECONDS = 42.0
"""How long a check may take, unless somebody says otherwise: a pipeline waits for it."""
PROGRAMS = 400
"""How many programs the last phase has at most."""
_AGAIN = 3  # re-runs of a failure
_LOOKS = 2  # failures by the same rule that are looked at closely: the others only count
_PATIENT = 10.0  # seconds for which a driver that comes to nothing is waited for
_SHRINK = 4.0  # seconds for making one smaller


@dataclass(slots=True)
class Settings:
    """What the user asked for."""

    seed: int = 1
    version: str = spec.VERSIONS[-1]  # of VIRTIO, to judge by
    strict: bool = False
    seconds: float = SECONDS
    programs: int = PROGRAMS
    out: Path = Path("vqfuzz-out")
    everything: bool = False  # known deviations fail, too
    words: tuple[str, ...] = ()  # rules, sections and phases as typed
    selection: Selection = field(default_factory=Selection)  # what they mean


class Checker:
    """One check of one target. *show* gets a line about how far it is."""

    def __init__(self, target: Target, settings: Settings, show: Callable[[str], None] = lambda text: None) -> None:
        self.target = target
        self.settings = settings
        self.show = show
        self.runner = Runner(target)
        self.runner.unasked = unbound(settings.version)
        self.runner.strict = settings.strict
        self.limits = target.limits
        self.began = time.monotonic()
        self.looked: Counter[str] = Counter()
        self.warned: Counter[str] = Counter()
        self.names: Counter[str] = Counter()
        self.mute: set[str] = set()  # what a driver came to nothing by: it is waited for patiently once
        self.served: dict[Program, Result] = {}  # of a driver for which all rules share a few programs

    def items(self) -> list[Item]:
        """What will be looked at before the last phase."""
        return plan(self.limits, checks_of(self.target), self.settings.selection, self.settings.version)

    def run(self) -> Iterator[Result]:
        """Every result as it comes. Raises TargetError if the target can't be used."""
        items = self.items()
        for number, item in enumerate(items, 1):
            self.show(f"{number}/{len(items)} {item.name}")
            yield self.look(item)
        if "fuzz" in self.settings.selection.phases and not self.settings.selection.rules:
            yield from self._fuzz()

    # -- one item

    def look(self, item: Item) -> Result:
        """Run one item, and again what fails."""
        began = time.monotonic()
        known = self.served.get(item.program) if item.program is not None else None
        if known is not None:
            return self._alike(item, known)
        try:
            result = self._look(item)
        except NotOffered as lack:
            result = self._result(item, NOT_OFFERED, message=str(lack))
        if item.program is not None and "passive" in self.limits.actions and item.phase != "fuzz":
            self.served[item.program] = result
        return replace(result, seconds=time.monotonic() - began)

    def _alike(self, item: Item, known: Result) -> Result:
        """What came of the same program when it was run for another rule."""
        if known.status == FAILED:
            return replace(known, name=item.name, phase=item.phase, report="")
        return self._result(item, known.status, "" if known.status == PASSED else known.message)

    def _look(self, item: Item) -> Result:
        if item.program is None and item.check is None:
            return self._result(item, NOT_OFFERED, message=item.missing)
        outcome, patient = self._decide(item)
        for warning in outcome.warnings:
            self.warned[warning.rule] += 1
        if outcome.verdict == UNDECIDED_VERDICT:
            return self._result(item, UNDECIDED, message=outcome.reason)
        if outcome.verdict == OUR_FAULT:
            return self._result(item, UNDECIDED, message=_ours(outcome))
        if outcome.verdict not in BAD:
            own = [one.message for one in outcome.warnings if one.rule == item.rule]
            return replace(self._result(item, PASSED, own[0] if own else ""), report="\n".join(own))
        if item.check is not None:
            return self._failed_check(item, outcome)
        return self._failed(item, outcome, patient)

    def _decide(self, item: Item) -> tuple[Outcome, bool]:
        if item.check is not None:
            return item.check.run(), False
        assert item.program is not None
        real = self.runner.real
        outcome = self.runner.run(item.program, finish=real)
        kind = outcome.reason.rpartition(" in ")[0]  # not for how long
        if outcome.verdict != UNDECIDED_VERDICT or kind in self.mute:
            return outcome, False
        self.runner.until = time.monotonic() + _PATIENT
        outcome = self.runner.run(item.program, patient=True, finish=real)
        if outcome.verdict == UNDECIDED_VERDICT and "passive" in self.limits.actions:
            self.mute.add(kind)
        return outcome, True

    def _failed_check(self, item: Item, outcome: Outcome) -> Result:
        """A case of the control plane failed: it is deterministic, so once more is enough."""
        assert item.check is not None
        count = 1 + sum(self._same(item.check, outcome) for _ in range(_AGAIN - 1))
        result = self._bad(item, outcome, f"{count}/{_AGAIN}")
        result = replace(result, find=self._keep_trace(item.check, outcome))
        result = replace(result, report=_case_report(result))
        words = f"{outcome.reason}\n{result.message}"
        version = str(self.target.describe().get("version", ""))
        one = None if self.settings.everything else deviations.of_case(self.target.name, version, result.rule, words)
        return replace(result, known=one.reason, new=False) if one is not None else result

    def _keep_trace(self, check: Check, outcome: Outcome) -> str:
        """Where the trace of a failed case is kept: it has no program."""
        name = "-".join(part for part in (outcome.rule.lower(), *check.name.replace("/", " ").split()) if part)
        path = self.settings.out / f"{name}.vqtrace"
        try:
            self.settings.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentTrouble(f"{path} can't be written: {reason(error)}") from None
        finds.add(path.parent, path.name, dump(outcome.trace))
        return str(path)

    def _same(self, check: Check, outcome: Outcome) -> bool:
        return check.run().rule == outcome.rule

    def _failed(self, item: Item, outcome: Outcome, patient: bool) -> Result:
        """A program failed: see whether it does again, make it smaller, keep it."""
        rule, program = outcome.rule, item.program
        assert program is not None
        self.looked[rule] += 1
        known = self._known(rule, outcome, program)
        if self.looked[rule] > _LOOKS or known is not None:
            self.runner.restart()
            result = self._bad(item, outcome, "")
            return replace(result, known=known.reason, new=False) if known is not None else result
        needs = Needs(rule, patient, self.runner.real)
        self.runner.restart()
        count = again(self.runner, program, needs, _AGAIN)
        if not count:
            message = f"{rule} was seen once and not again: {self._bad(item, outcome, '').message}"
            return self._result(item, UNDECIDED, message=message)
        fault = audited(self.runner, program, needs)
        if fault is not None:
            return self._result(item, UNDECIDED, message=_ours(fault))
        return self._kept(item, outcome, needs, count)

    def _kept(self, item: Item, outcome: Outcome, needs: Needs, count: int) -> Result:
        """The find on disk, with its report; the smallest program decides whether it is known."""
        program = item.program
        assert program is not None
        small = None
        if item.phase == "fuzz":
            small = minimise(self.runner, program, outcome, needs, seconds=_SHRINK)
            outcome = small.outcome
            known = self._known(needs.rule, outcome, small.program)
            if known is not None:
                self.runner.restart()
                return replace(self._bad(item, outcome, ""), known=known.reason, new=False)
        meta = facts(self.target, outcome, case=item.name, runs={"again": count, "of": _AGAIN})
        find = finds.save(self.settings.out, needs.rule, program, outcome, meta)
        least = program
        if small is not None:
            finds.update(find, shrunk=shrunk_facts(program, small), marks=list(outcome.marks))
            least = small.program
        file = find.folder / (finds.MINIMAL if small is not None else finds.PROGRAM)
        text = report(find.meta, least, outcome, file)
        with finds.uninterrupted():
            if small is not None:
                finds.complete(find, least, outcome, text)
            else:
                finds.add(find.folder, finds.REPORT, text)
        self.runner.restart()
        result = self._bad(item, outcome, f"{count}/{_AGAIN}")
        return replace(result, report=text, program=encoding.dump(least), find=str(find.folder))

    def _known(self, rule: str, outcome: Outcome, program: Program) -> deviations.Deviation | None:
        if self.settings.everything:
            return None
        message = outcome.violation.message if outcome.violation is not None else outcome.reason
        words = f"{outcome.reason}\n{message}\n{self.target.words()}"
        version = str(self.target.describe().get("version", ""))
        return deviations.known(self.target.name, version, rule, words, program)

    # -- results

    def _result(self, item: Item, status: str, message: str = "") -> Result:
        return self._about(item.rule, Result(item.name, item.rule, item.layout, item.phase, status, message=message))

    def _bad(self, item: Item, outcome: Outcome, reproduced: str) -> Result:
        violation = outcome.violation
        message = violation.message if violation is not None else outcome.reason
        program = encoding.dump(item.program) if item.program is not None else ""
        result = Result(item.name, outcome.rule, item.layout, item.phase, FAILED, message=message, program=program,
                        reproduced=reproduced)  # fmt: skip
        return self._about(outcome.rule, result)

    def _about(self, id_: str, result: Result) -> Result:
        """The result with what the catalogue says of the rule, by the version asked for."""
        rule = registry().get(id_)
        if rule is None:
            return result
        version = self.settings.version
        level = rule.level_in(version) or rule.level
        section = rule.place if rule.document != "virtio" else section_in(rule.section[version], result.layout)
        return replace(result, title=rule.title, level=level.value, section=section,
                       cite=rule.cite(version, result.layout))  # fmt: skip

    # -- the last phase

    def _fuzz(self) -> Iterator[Result]:
        """Programs of a fixed seed, as many as the time allows."""
        done: Counter[str] = Counter()
        failed: Counter[str] = Counter()
        began = time.monotonic()
        for index in range(self.settings.programs):
            if time.monotonic() - self.began > self.settings.seconds:
                break
            program = nth(self.settings.seed, index, self.limits)
            done[program.layout] += 1
            self.show(f"program {index} of seed {self.settings.seed}")
            item = Item(f"fuzz/{program.layout}/{index}", "", program.layout, "fuzz", program)
            result = self._look(item)
            if result.status != PASSED:
                key = f"{result.rule or result.status}/{program.layout}"
                failed[key] += 1
                if failed[key] == 1:
                    yield replace(result, seconds=time.monotonic() - began)
        for layout, count in done.items():
            item = Item(f"fuzz/{layout}", "", layout, "fuzz")
            many = f"{count} programs of seed {self.settings.seed}"
            yield replace(self._result(item, PASSED, message=many), seconds=time.monotonic() - began)


def _ours(outcome: Outcome) -> str:
    return f"vqfuzz itself failed on this, please report it: {outcome.reason}"


def _case_report(result: Result) -> str:
    """A failed case of the control plane in a few lines; its trace is the evidence."""
    rule = registry().get(result.rule)
    lines = [f"FAIL  {result.rule}  {result.title}", f"      {result.level} · {result.cite}", f"      {result.message}"]
    lines += (
        textwrap.wrap(f"the rule  {rule.text}", 100, initial_indent="  ", subsequent_indent=" " * 12) if rule else []
    )
    case = result.name.partition("/")[2]
    return "\n".join(
        [*lines, f"  case      {case} · reproduced {result.reproduced}", f"  vqfuzz judge {quote(result.find)}"]
    )


def checks_of(target: Target) -> Sequence[Check]:
    """The control-plane cases that there are for this kind of target."""
    return cases.of(target)


@contextmanager
def opened(words: str, qemu: str = "") -> Iterator[Target]:
    """The target that *words* name, probed and narrowed to what it offers."""
    from fuzz import registry as targets
    from fuzz.wanted import narrow

    target = targets.make(words, qemu)
    try:
        limits, _ = narrow(target, target.probe(), None, None)
        target.limits = limits
        yield target
    finally:
        target.close()


@dataclass(frozen=True, slots=True)
class Prepared:
    """One item of a suite, ready to be run by somebody else's test runner."""

    name: str
    rule: str
    layout: str
    checker: Checker
    item: Item

    def run(self) -> Result:
        """Run it. Raises TargetError if the target can't be used."""
        return self.checker.look(self.item)


class Suite:
    """The deterministic items of a target, for somebody else's test runner; close() ends the target.

    *words* and *qemu* as on the command line; *select* as ``vqfuzz check`` takes it. Raises UsageTrouble, TargetError.
    """

    def __init__(self, words: str, qemu: str = "", select: Sequence[str] = (), version: str = spec.VERSIONS[-1],
                 strict: bool = False) -> None:  # fmt: skip
        settings = Settings(version=version, strict=strict, selection=selection(select))
        self._open = opened(words, qemu)
        checker = Checker(self._open.__enter__(), settings)
        self.items = [Prepared(item.name, item.rule, item.layout, checker, item) for item in checker.items()]

    def close(self) -> None:
        """End what was started."""
        self._open.__exit__(None, None, None)


__all__ = ["Checker", "Prepared", "Settings", "Suite", "checks_of", "opened"]
