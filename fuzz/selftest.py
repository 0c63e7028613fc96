"""``vqfuzz selftest``: every planted fault is found by the right rule and shrunk, the clean model never accused.

The test of the test: it also drops each rule in turn, to see which faults nothing else would find.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fuzz.commands.fuzzing import say
from fuzz.confirm import Needs, Runner, minimise
from fuzz.encoding import dump
from fuzz.generate import exhaustive, nth
from fuzz.program import Limits, Program
from fuzz.status import Status, duration
from fuzz.targets.model import Model
from fuzz.targets.model.faults import FAULTS, Fault
from fuzz.trouble import CONFORMS, FOUND, INTERRUPTED
from fuzz.verdict import BAD, OUR_FAULT, Outcome
from fuzz.verdict import CONFORMS as CONFORMING
from oracles import spec

CLEAN = 2000
DROPPED = 150  # programs per fault and rule dropped
QUICK = ("a01", "a05", "a12", "a16", "a20", "a26", "a29", "canary")
QUICK_CLEAN = 300


@dataclass(slots=True)
class Row:
    """What came of one fault. *wrong*: why the test fails on it, or ''."""

    fault: Fault
    rule: str = ""
    programs: int = 0
    steps: int = 0
    executions: int = 0
    wrong: str = ""
    without: dict[str, str] = field(default_factory=dict)  # by rule dropped: the rule that found it then, or ''


def limits_for(fault: Fault, limits: Limits) -> Limits:
    """Those of the model, without what can't show the fault."""
    return replace(limits, layouts=fault.layouts, in_order=fault.in_order)


def search(runner: Runner, fault: Fault, seed: int, bound: int,
           without: frozenset[str] = frozenset()) -> tuple[int, Program, Outcome] | None:  # fmt: skip
    """The first of *bound* programs that shows *fault*: (number of programs, program, outcome)."""
    limits = limits_for(fault, runner.target.limits)
    for index in range(bound):
        program = nth(seed, index, limits)
        outcome = runner.run(program, without=without)
        if outcome.verdict in BAD and not (without and outcome.verdict == OUR_FAULT):  # books may fail without a rule
            return index + 1, program, outcome
    return None


def examine(fault: Fault, seed: int) -> Row:
    """Find one fault and shrink it."""
    row = Row(fault)
    runner = Runner(Model(fault.name))
    found = search(runner, fault, seed, fault.bound)
    if found is None:
        row.programs = fault.bound
        row.wrong = f"not found in {fault.bound} programs"
        return row
    row.programs, program, outcome = found
    row.rule = outcome.rule
    if row.rule not in fault.rules:
        row.wrong = f"found by {row.rule}, should be {' or '.join(fault.rules[:3])}"
    smaller = minimise(runner, program, outcome, Needs(row.rule))
    if smaller.stopped:
        raise KeyboardInterrupt
    row.steps, row.executions = len(smaller.program.steps), smaller.executions
    if not row.wrong and Needs(row.rule).seen(runner, smaller.program, 1) is None:
        row.wrong = "the smallest program does not show it again"
    return row


def clean(seed: int, count: int, progress: Callable[[int], None]) -> list[str]:
    """Every accusation of the clean model in *count* programs."""
    runner = Runner(Model())
    wrong = []
    for index in range(count):
        progress(index)
        outcome = runner.run(nth(seed, index, runner.target.limits))
        if outcome.verdict != CONFORMING:
            wrong.append(f"program {index}: {outcome.rule}: {outcome.reason or outcome.violation}")
    return wrong


def exhaustive_clean(steps: int, progress: Callable[[int], None]) -> tuple[int, list[str]]:
    """Every accusation of the clean model, warnings among them, in all programs of up to *steps* small steps: (how
    many programs there are, accusations). Rings of 1 and 2, both layouts, with IN_ORDER and without, plain and with
    indirect descriptors and event index. Five steps are some 3000 programs and take seconds; each more, five times so.
    """
    runner = Runner(Model())
    wrong = []
    count = 0
    for features in (0, spec.INDIRECT_DESC | spec.EVENT_IDX):
        for program in exhaustive(replace(runner.target.limits, features=features), steps):
            progress(count)
            count += 1
            outcome = runner.run(program)
            if outcome.verdict != CONFORMING or outcome.warnings:
                named = outcome.rule if outcome.verdict != CONFORMING else outcome.warnings[0].rule
                wrong.append(f"{named}: {dump(program)}")
    return count, wrong


def drop_one(rows: Sequence[Row], seed: int, progress: Callable[[str], None]) -> None:
    """For each rule that caught a fault: how that fault fares without it."""
    for row in rows:
        if not row.rule:
            continue
        progress(f"{row.fault.name} without {row.rule}")
        found = search(Runner(Model(row.fault.name)), row.fault, seed, DROPPED, frozenset({row.rule}))
        row.without[row.rule] = "" if found is None else found[2].rule


# --- printing --------------------------------------------------------------------------------------------------------


def _line(row: Row) -> str:
    text = row.fault.text if len(row.fault.text) <= 47 else row.fault.text[:46] + "…"
    state = f"   WRONG: {row.wrong}" if row.wrong else ""
    return (
        f"{row.fault.name:<6}  {text:<47}  {row.rule or '-':<19}  {row.programs:>8}  {row.steps:>5}  "
        f"{row.executions:>6}{state}"
    )


def _drop_table(rows: Sequence[Row]) -> list[str]:
    rules = sorted({row.rule for row in rows if row.rule})
    lines = ["", f"{'without rule':<19}  not found any more ({DROPPED} programs); found by another rule"]
    for rule in rules:
        mine = [row for row in rows if row.rule == rule]
        lost = " ".join(row.fault.name for row in mine if not row.without.get(rule))
        others = ", ".join(f"{row.fault.name} by {row.without[rule]}" for row in mine if row.without.get(rule))
        lines.append(f"{rule:<19}  {lost or '-'}" + (f"; {others}" if others else ""))
    return lines


def selftest(seed: int, quick: bool, faults: Sequence[Fault] | None = None) -> int:
    """Run everything and print the tables. Returns the exit code."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    status = Status()
    try:
        return _selftest(seed, quick, faults, status)
    except KeyboardInterrupt:
        status.clear()
        say("interrupted")
        return INTERRUPTED


def _selftest(seed: int, quick: bool, faults: Sequence[Fault] | None, status: Status) -> int:
    began = time.monotonic()
    names = QUICK if quick else sorted(name for name, fault in FAULTS.items() if not fault.aimed)
    chosen = faults or [FAULTS[name] for name in names]
    say(f"vqfuzz selftest · seed {seed}")
    say(f"{'fault':<6}  {'what it does':<47}  {'found by rule':<19}  {'programs':>8}  {'steps':>5}  {'shrunk':>6}")
    rows = []
    for fault in chosen:
        status.show(f"{fault.name}: searching")
        row = examine(fault, seed)
        rows.append(row)
        status.clear()
        say(_line(row))
    count = QUICK_CLEAN if quick else CLEAN
    accused = clean(seed, count, lambda done: status.show(f"clean model: {done}/{count} programs"))
    if not quick:
        drop_one(rows, seed, lambda text: status.show(f"dropping rules: {text}"))
    status.clear()
    if not quick:
        for line in _drop_table(rows):
            say(line)
    say("")
    say(f"clean model: {count} programs, " + ("never accused" if not accused else f"ACCUSED {len(accused)} times"))
    for text in accused[:5]:
        say(f"  {text}")
    bad = [row for row in rows if row.wrong]
    numbers = sorted(row.programs for row in rows if row.rule)
    costs = sorted(row.executions for row in rows if row.rule)
    if numbers:
        middle = len(numbers) // 2
        say(f"median: {numbers[middle]} programs to a fault, {costs[middle]} executions to shrink it")
    verdict = "passed" if not bad and not accused else "FAILED"
    good = len(rows) - len(bad)
    say(f"{verdict}: {good} of {len(rows)} faults found as they should be, {duration(time.monotonic() - began)}")
    return CONFORMS if not bad and not accused else FOUND
