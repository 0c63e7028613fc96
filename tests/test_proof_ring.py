"""Each rule of a ring is proven: a planted fault that it alone names, and a program that keeps clear of it."""

from __future__ import annotations

from functools import cache

import pytest

from fuzz.encoding import dump, load
from fuzz.proof import folder
from fuzz.proof.ring import RingFault, planted
from fuzz.targets.model.faults import FAULTS
from fuzz.verdict import CONFORMS, VIOLATES, Outcome
from oracles.device_rules import rule_ids
from oracles.rules import Level, registry

ROWS = planted()
WARNED = {Level.SHOULD, Level.LINT}
#: Rules that a fault of the ring can't show, and which other family of faults does.
ELSEWHERE = {rule for rule in rule_ids() if rule.startswith(("VU-", "SUS-", "MM-"))}
#: Warnings, whatever their level: what is seen has an innocent explanation (docs/policy.md).
DOUBTFUL = {"S-USED-LEN-EXACT", "P-USED-WFLAG", "P-EV-DISABLE-DEV", "VU-BASE-DRAIN"}

by_row = pytest.mark.parametrize("row", ROWS, ids=[f"{row.rule}-{row.layout}" for row in ROWS])


@cache
def outcome(row: RingFault, faulty: bool, without: frozenset[str] = frozenset()) -> Outcome:
    return row.run(faulty, without)


def names(found: Outcome) -> list[str]:
    """Everything that an outcome names."""
    return [*([found.rule] if found.verdict != CONFORMS else []), *(warning.rule for warning in found.warnings)]


@by_row
def test_the_fault_is_named_by_the_rule_and_no_other(row: RingFault) -> None:
    found = outcome(row, True)
    assert names(found) == [row.rule], found.violation or found.reason
    assert (found.verdict == VIOLATES) == (not found.warnings)
    assert found.verdict == VIOLATES or registry()[row.rule].level in WARNED or row.rule in DOUBTFUL


@by_row
def test_without_the_rule_nothing_is_named(row: RingFault) -> None:
    found = outcome(row, True, frozenset({row.rule}))
    assert names(found) == [], found.violation or found.reason


@by_row
def test_without_the_fault_nothing_is_named(row: RingFault) -> None:
    found = outcome(row, False)
    assert names(found) == [], found.violation or found.reason
    assert found.chains > 0


@by_row
def test_the_program_is_canonical_and_fits_the_rule(row: RingFault) -> None:
    text = (folder() / row.corpus).read_text(encoding="utf-8")
    program = load(text, row.corpus)
    lines = text.splitlines(keepends=True)
    assert lines[1].startswith("# "), "the second line says what it is about"
    assert dump(program) == "".join(line for line in lines if not line.startswith("#"))
    assert program.layout == row.layout
    rule = registry()[row.rule]
    assert rule.status == "checked"
    assert rule.bears(row.layout, program.features)
    assert row.layout in FAULTS[row.fault].layouts
    assert row.rule in FAULTS[row.fault].rules


def test_a_rule_has_one_row_for_each_layout() -> None:
    rows = [(row.rule, row.layout) for row in ROWS]
    assert sorted(set(rows)) == sorted(rows)


def test_every_checked_rule_of_a_ring_is_proven() -> None:
    checked = {rule for rule in rule_ids() if registry()[rule].status == "checked"}
    assert checked - {row.rule for row in ROWS} - ELSEWHERE == set()


def test_every_file_of_a_ring_belongs_to_a_row() -> None:
    files = {path.name for layout in ("split", "packed") for path in folder().glob(f"*.{layout}.vq")}
    assert {row.corpus for row in ROWS} <= files
