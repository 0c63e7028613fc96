"""Every rule of packed rings can fail: a planted fault that it alone names, on a program that conforms without it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from fuzz.driver_side import run
from fuzz.encoding import dump, load
from fuzz.proof import folder
from fuzz.proof.ring import RingFault
from fuzz.proof.ring_packed import ROWS
from fuzz.targets.model import MEMORY, ModelSession
from fuzz.targets.model.engine import Engine
from fuzz.targets.model.faults import FAULTS
from fuzz.verdict import CONFORMS, VIOLATES, Outcome
from oracles import rules, spec
from oracles.rules import Level, Rule, registry
from oracles.trace import Called, Stored

ROWS_OF_MINE = [RingFault(*row) for row in ROWS]
by_row = pytest.mark.parametrize("row", ROWS_OF_MINE, ids=lambda row: f"{row.rule}.{row.layout}")
#: Files of the catalogue that are about rings, and what of the others shows on a ring.
FILES = ("in_order", "common", "packed")
LIFE = (
    "ST-NO-EARLY-USE", "RST-QUIET", "VQR-QUIET", "VQR-STATE", "VU-STOPPED", "VU-BASE-PACKED", "VU-BASE-DRAIN",
    "VU-RESTART", "VU-SETBASE",
)  # fmt: skip
#: MUST or TEXT, and all the same a warning: what is seen has an innocent explanation (docs/policy.md).
WARNINGS = ("P-EV-DISABLE-DEV", "VU-BASE-DRAIN")


def named(outcome: Outcome) -> tuple[list[str], list[str]]:
    """Violations, and warnings."""
    violations = [] if outcome.violation is None else [outcome.violation.rule]
    return violations, [warning.rule for warning in outcome.warnings]


@by_row
def test_the_rule_alone_names_the_fault(row: RingFault) -> None:
    outcome = row.run(True)
    warned = registry()[row.rule].level in (Level.SHOULD, Level.LINT) or row.rule in (*WARNINGS, "P-USED-WFLAG")
    assert named(outcome) == (([], [row.rule]) if warned else ([row.rule], []))
    assert outcome.verdict == (CONFORMS if warned else VIOLATES)
    assert row.rule in FAULTS[row.fault].rules


@by_row
def test_without_the_rule_nobody_names_it(row: RingFault) -> None:
    outcome = row.run(True, frozenset({row.rule}))
    assert (outcome.verdict, named(outcome)) == (CONFORMS, ([], []))


@by_row
def test_without_the_fault_the_program_conforms(row: RingFault) -> None:
    outcome = row.run(False)
    assert (outcome.verdict, named(outcome)) == (CONFORMS, ([], []))
    assert outcome.chains > 0


@by_row
def test_the_rule_binds_the_queue_of_the_program(row: RingFault) -> None:
    program = load((folder() / row.corpus).read_text(encoding="utf-8"))
    assert program.layout == row.layout
    assert registry()[row.rule].bears(row.layout, program.features)


@by_row
def test_programs_are_short_and_say_what_they_are_about(row: RingFault) -> None:
    text = (folder() / row.corpus).read_text(encoding="utf-8")
    first, comment, *rest = text.splitlines()
    assert comment.startswith("# ")
    assert len(comment) <= 120
    assert "\n".join([first, *rest, ""]) == dump(load(text))
    assert len(load(text).steps) <= 9 + 3 * (len(load(text).queues) - 1)


# What one sees who only looks at memory, as with every real target


class Looked(ModelSession):
    """The model without its log of stores."""

    patience = 0.02

    def listen(self, observer: Callable[[int, Stored | Called], None]) -> bool:
        return False


def looked_at(row: RingFault, engine: type[Engine]) -> Outcome:
    program = load((folder() / row.corpus).read_text(encoding="utf-8"))
    return run(program, Looked(engine, bytearray(MEMORY)), patient=True)


#: Over before anybody looks: an order of stores, a second store of the same, what happens within a set-up.
UNSEEN = {
    "INO-BATCH-TIME", "VQ-NOT-LIVE", "P-USED-POS", "P-NO-LATE-CHANGE", "P-USED-ORDER", "P-EV-DISABLE-DEV",
    "ST-NO-EARLY-USE", "RST-QUIET", "VQR-QUIET", "VU-STOPPED",
}  # fmt: skip
OTHERWISE = {"P-NO-EARLY-USE": "P-USED-ONE"}  # the second use of the list is seen first


@by_row
def test_looking_shows_it_too(row: RingFault) -> None:
    violations, warnings = named(looked_at(row, FAULTS[row.fault].engine))
    assert violations + warnings == ([] if row.rule in UNSEEN else [OTHERWISE.get(row.rule, row.rule)])


@by_row
def test_who_only_looks_accuses_nobody(row: RingFault) -> None:
    outcome = looked_at(row, Engine)
    assert (outcome.verdict, named(outcome)) == (CONFORMS, ([], []))


@cache
def files() -> dict[str, list[Rule]]:
    found = {}
    for name in FILES:
        path = Path(rules.__file__).with_name(rules.FOLDER) / f"{name}.toml"
        found[name] = list(rules.load(path.read_text(encoding="utf-8"), name).values())
    return found


def test_every_checked_rule_of_packed_rings_has_a_row() -> None:
    ours = [rule for name in FILES for rule in files()[name]] + [registry()[name] for name in LIFE]
    due = {rule.id for rule in ours if rule.status == "checked" and rule.layout != spec.SPLIT
           and rule.subject != "driver"} - {"INO-BIT"}  # fmt: skip  # of messages and registers: proven there
    proven = {row.rule for row in ROWS_OF_MINE if row.layout == spec.PACKED}
    assert due - proven == set()
    assert {row.rule for row in ROWS_OF_MINE} <= due | {"VU-BASE-SPLIT"}


def test_no_rule_and_layout_has_two_rows_and_no_fault_two_rules() -> None:
    assert len({(row.rule, row.layout) for row in ROWS_OF_MINE}) == len(ROWS_OF_MINE)
    assert len({row.fault for row in ROWS_OF_MINE}) == len(ROWS_OF_MINE)


@pytest.mark.parametrize("rule", [rule for rule in registry().values() if rule.cover], ids=lambda rule: rule.id)
def test_what_is_covered_is_covered_by_a_rule_that_binds_there(rule: Rule) -> None:
    cover = registry()[rule.cover]
    assert rule.layout == "both" or cover.layout in ("both", rule.layout)
    assert len(rule.reason) > 40
