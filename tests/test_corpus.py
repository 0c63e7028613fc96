"""The hand-written programs: canonical, explained, passed by a device that conforms and by no planted fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.driver_side import run
from fuzz.encoding import dump, load
from fuzz.targets.model import Model
from fuzz.targets.model.faults import FAULTS
from fuzz.verdict import CONFORMS

ROOT = Path(__file__).resolve().parent.parent / "corpus"
FILES = {str(path.relative_to(ROOT)): path for path in sorted(ROOT.glob("*/*.vq"))}
by_file = pytest.mark.parametrize("name", FILES)


def test_the_ideas_are_there():
    assert {name.split("/")[0] for name in FILES} >= {"in_order", "wrap", "indirect", "suppression", "reset"}
    assert len(FILES) >= 50


@by_file
def test_programs_are_canonical_and_explained(name):
    text = FILES[name].read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    assert lines[1].startswith("# "), "the second line says what the program is about"
    assert dump(load(text, name)) == "".join(line for line in lines if not line.startswith("#"))


@by_file
def test_a_device_that_conforms_is_not_accused(name):
    outcome = run(load(FILES[name].read_text(encoding="utf-8")), Model().open())
    assert (outcome.verdict, outcome.violation) == (CONFORMS, None)
    assert outcome.chains > 0


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_found_by_a_program(fault):
    """And named by a rule that tells what it is."""
    target = Model(fault)
    outcomes = (run(load(path.read_text(encoding="utf-8")), target.open()) for path in FILES.values())
    named = (rule for outcome in outcomes for rule in (outcome.rule, *(warning.rule for warning in outcome.warnings)))
    assert any(rule in FAULTS[fault].rules for rule in named)
