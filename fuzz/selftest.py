"""``vqfuzz selftest``: every rule has a fault that it alone names, all are found, and the clean model is never accused.

The test of the tests, in three parts: the case of each rule with its planted fault, without the rule (the drop-one
table), and without the fault; a search for each fault of the model by random programs, each find made smaller; and
the clean model, on random programs and on every small one that there is.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from fuzz.commands.fuzzing import say
from fuzz.confirm import Needs, Runner, minimise
from fuzz.encoding import dump
from fuzz.generate import exhaustive, nth
from fuzz.program import Limits, Program
from fuzz.proof import table
from fuzz.proof.table import Proven
from fuzz.status import Status, duration
from fuzz.targets import Target
from fuzz.targets.model import Model
from fuzz.targets.model.faults import FAULTS, Fault
from fuzz.targets.model_driver import ModelDriver
from fuzz.targets.model_driver.faults import FAULTS as DRIVER_FAULTS
from fuzz.targets.model_driver.faults import DriverFault
from fuzz.trouble import CONFORMS, FOUND, INTERRUPTED
from fuzz.verdict import BAD, OUR_FAULT, Outcome
from fuzz.verdict import CONFORMS as CONFORMING
from oracles import spec
from oracles.rules import registry

CLEAN = 2000
STEPS = 5  # of the longest program, of those that are run all
QUICK = ("a01", "a05", "a12", "a16", "a20", "a26", "a29", "canary")
QUICK_DRIVER = ("a34", "a36", "a38", "a43")
QUICK_CLEAN = 300


@dataclass(slots=True)
class Row:
    """What came of one fault. *wrong*: why the test fails on it, or ''."""

    fault: Fault | DriverFault
    rule: str = ""
    programs: int = 0
    steps: int = 0
    executions: int = 0
    wrong: str = ""


def limits_for(fault: Fault | DriverFault, limits: Limits) -> Limits:
    """Those of the model, without what can't show the fault."""
    return replace(limits, layouts=fault.layouts, in_order=fault.in_order)


def search(runner: Runner, fault: Fault | DriverFault, seed: int, bound: int,
           without: frozenset[str] = frozenset()) -> tuple[int, Program, Outcome] | None:  # fmt: skip
    """The first of *bound* programs that shows *fault*: (number of programs, program, outcome)."""
    limits = limits_for(fault, runner.target.limits)
    for index in range(bound):
        program = nth(seed, index, limits)
        outcome = runner.run(program, without=without)
        if outcome.verdict in BAD and not (without and outcome.verdict == OUR_FAULT):  # books may fail without a rule
            return index + 1, program, outcome
    return None


def examine(fault: Fault | DriverFault, seed: int) -> Row:
    """Find one fault and shrink it."""
    row = Row(fault)
    runner = Runner(cast("Target", ModelDriver(fault.name)) if isinstance(fault, DriverFault) else Model(fault.name))
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


def clean(seed: int, count: int, progress: Callable[[int], None], driver: bool = False) -> list[str]:
    """Every accusation of the clean model in *count* programs; *driver*: of the driver, else of the device."""
    runner = Runner(cast("Target", ModelDriver()) if driver else Model())
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


# --- printing --------------------------------------------------------------------------------------------------------


def _line(row: Row) -> str:
    text = row.fault.text if len(row.fault.text) <= 47 else row.fault.text[:46] + "…"
    state = f"   WRONG: {row.wrong}" if row.wrong else ""
    return (
        f"{row.fault.name:<6}  {text:<47}  {row.rule or '-':<19}  {row.programs:>8}  {row.steps:>5}  "
        f"{row.executions:>6}{state}"
    )


def _drop_table(rows: Sequence[Proven]) -> list[str]:
    """A line for each rule and the fault that it alone names."""
    wide = max([len(row.rule) for row in rows], default=4)
    far = max([len(row.planted.name) for row in rows], default=5)
    lines = ["", f"{'rule':<{wide}}  {'lost without it':<{far}}  case; rules that could have named it, too"]
    for row in rows:
        beside = f"; {' '.join(row.beside)}" if row.beside else ""
        state = f"   WRONG: {row.wrong}" if row.wrong else ""
        lines.append(f"{row.rule:<{wide}}  {row.planted.name:<{far}}  {row.planted.corpus}{beside}{state}")
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
    chosen: Sequence[Fault | DriverFault] = faults or [
        *(FAULTS[name] for name in names),
        *(fault for name, fault in DRIVER_FAULTS.items() if not quick or name in QUICK_DRIVER),
    ]
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
    drivers = clean(seed, count, lambda done: status.show(f"clean driver: {done}/{count} programs"), driver=True)
    every, wrong = exhaustive_clean(STEPS, lambda done: status.show(f"clean model: every small program, {done}"))
    accused += wrong
    status.clear()
    missing = _proof(quick, status)
    say("")
    say(f"clean model: {count} programs, and all {every} of up to {STEPS} steps on rings of 1 and 2: "
        + ("never accused" if not accused else f"ACCUSED {len(accused)} times"))  # fmt: skip
    for text in accused[:5]:
        say(f"  {text}")
    say(f"clean driver: {count} programs: " + ("never accused" if not drivers else f"ACCUSED {len(drivers)} times"))
    for text in drivers[:5]:
        say(f"  {text}")
    accused += drivers
    bad = [row for row in rows if row.wrong]
    numbers = sorted(row.programs for row in rows if row.rule)
    costs = sorted(row.executions for row in rows if row.rule)
    if numbers:
        middle = len(numbers) // 2
        say(f"median: {numbers[middle]} programs to a fault, {costs[middle]} executions to shrink it")
    passed = not bad and not accused and not missing
    good = len(rows) - len(bad)
    say(f"{'passed' if passed else 'FAILED'}: {good} of {len(rows)} faults found as they should be, "
        f"{duration(time.monotonic() - began)}")  # fmt: skip
    return CONFORMS if passed else FOUND


def _proof(quick: bool, status: Status) -> bool:
    """Print the drop-one table, and say whether something is missing."""
    rows = table.every(progress=status.show)
    status.clear()
    wrong = [row for row in rows if row.wrong]
    for line in _drop_table(wrong if quick else rows):
        say(line)
    lacking = table.unproven(rows)
    checked = sum(rule.status == "checked" for rule in registry().values())
    say("")
    say(f"rules: {checked - len(lacking)} of {checked} checked ones are needed: {len(rows)} faults are lost without")
    if lacking:
        say("  WRONG: no fault proves " + " ".join(lacking))
    return bool(wrong or lacking)
