"""Each checked rule of drivers is broken by a fault of our own driver that it alone names, and kept by ours."""

from __future__ import annotations

from functools import cache

import pytest

from fuzz.encoding import load
from fuzz.proof import driver_targets, folder
from fuzz.proof.driver import DriverFault, planted
from fuzz.verdict import CONFORMS, OUR_FAULT, Outcome
from oracles import driver_rules
from oracles.driver_oracle import judge_driver
from oracles.driver_rules import LINT
from oracles.oracle import judge
from oracles.rules import registry
from oracles.trace import dump
from oracles.trace import load as load_trace

FAULTS = pytest.mark.parametrize("fault", planted(), ids=lambda fault: fault.name)
ELSEWHERE = frozenset({"P-EV-OFF-RANGE"}) | {fault.rule for fault in driver_targets.planted()}
"""Rules of both sides that the device's faults prove, and those that only a driver under test can break."""


@cache
def faulty(fault: DriverFault) -> Outcome:
    return fault.run(True)


def names(outcome: Outcome) -> list[str]:
    broken = [] if outcome.violation is None else [outcome.violation.rule]
    return broken + [warning.rule for warning in outcome.warnings]


@FAULTS
def test_one_rule_alone_names_it(fault: DriverFault) -> None:
    outcome = faulty(fault)
    assert names(outcome) == [fault.rule]
    assert outcome.verdict == (CONFORMS if fault.rule in LINT else OUR_FAULT)


@FAULTS
def test_nothing_else_notices(fault: DriverFault) -> None:
    outcome = fault.run(True, frozenset({fault.rule}))
    assert (outcome.verdict, outcome.reason, names(outcome)) == (CONFORMS, "", [])


@FAULTS
def test_our_driver_keeps_the_rule(fault: DriverFault) -> None:
    outcome = fault.run(False)
    assert (outcome.verdict, outcome.reason, names(outcome)) == (CONFORMS, "", [])


@FAULTS
def test_the_trace_tells_it_again(fault: DriverFault) -> None:
    outcome = faulty(fault)
    entries = list(load_trace(dump(outcome.trace)))
    assert entries == outcome.trace
    violation, warnings = judge_driver(entries)
    assert [one.rule for one in (*([violation] if violation else []), *warnings)] == [fault.rule]
    assert judge(entries)[0] is None, "the device kept every rule"


@FAULTS
def test_rule_binds_the_program(fault: DriverFault) -> None:
    program = load((folder() / fault.corpus).read_text(encoding="utf-8"))
    assert program.layout == fault.layout
    assert registry()[fault.rule].bears(program.layout, program.features)


def test_names_and_drivers_are_told_apart() -> None:
    faults = planted()
    assert len({fault.name for fault in faults}) == len(faults)
    assert len({fault.text for fault in faults}) > 50


def test_every_checked_rule_has_a_fault() -> None:
    checked = {id_ for id_ in driver_rules.rule_ids() if registry()[id_].status == "checked"}
    assert {fault.rule for fault in planted()} == checked - ELSEWHERE
