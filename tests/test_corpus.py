"""The hand-written programs: canonical, explained, passed by a device that conforms and by no planted fault."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from fuzz.confirm import Runner
from fuzz.driver_side import run
from fuzz.encoding import dump, load
from fuzz.program import Add
from fuzz.proof import family
from fuzz.proof.ring import planted
from fuzz.targets import Target
from fuzz.targets.model import Model
from fuzz.targets.model.faults import FAULTS
from fuzz.targets.model_driver import ModelDriver
from fuzz.targets.model_driver.faults import FAULTS as DRIVER_FAULTS
from fuzz.verdict import CONFORMS

ROOT = Path(__file__).resolve().parent.parent / "corpus"
ALL = {str(path.relative_to(ROOT)): path for path in sorted(ROOT.glob("*/*.vq"))}
AS_DEVICE = {name for name, path in ALL.items() if "\nrole device" in path.read_text(encoding="utf-8")}
FILES = {name: path for name, path in ALL.items() if name not in AS_DEVICE}
OF_A_CLASS = {name for name, path in FILES.items() if "\ndevice " in path.read_text(encoding="utf-8")}
OF_DRIVERS = {f"rules/{one.corpus}" for one in family("driver")}
"""What a driver breaks shows as soon as a buffer is available: some end there."""
by_file = pytest.mark.parametrize("name", ALL)


def test_the_ideas_are_there():
    assert {name.split("/")[0] for name in FILES} >= {"in_order", "wrap", "indirect", "suppression", "reset"}
    assert len(FILES) >= 50


@by_file
def test_programs_are_canonical_and_explained(name):
    text = ALL[name].read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    assert lines[1].startswith("# "), "the second line says what the program is about"
    assert dump(load(text, name)) == "".join(line for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("name", [name for name in FILES if name not in OF_A_CLASS])
def test_a_device_that_conforms_is_not_accused(name):
    outcome = run(load(FILES[name].read_text(encoding="utf-8")), Model().open())
    assert (outcome.verdict, outcome.violation) == (CONFORMS, None)
    assert outcome.chains > 0 or name in OF_DRIVERS


@pytest.mark.parametrize("name", sorted(AS_DEVICE))
def test_a_driver_that_conforms_is_not_accused(name):
    program = load(ALL[name].read_text(encoding="utf-8"))
    outcome = Runner(cast("Target", ModelDriver())).run(program)
    assert (outcome.verdict, outcome.violation, outcome.warnings) == (CONFORMS, None, [])
    assert outcome.chains or name.startswith("rules/") or not any(isinstance(step, Add) for step in program.steps)


@pytest.mark.parametrize("fault", sorted(DRIVER_FAULTS.keys() - {"early"}))  # which looks where nobody told it to
def test_every_planted_fault_of_a_driver_is_found_by_a_program(fault):
    target = ModelDriver(fault)
    programs = [load(ALL[name].read_text(encoding="utf-8")) for name in AS_DEVICE if name.startswith("driver/")]
    fit = [one for one in programs if one.layout in target.limits.layouts and one.in_order in target.limits.in_order]
    named = {Runner(cast("Target", target)).run(one).rule for one in fit}
    assert named & set(DRIVER_FAULTS[fault].rules)


def test_what_is_for_a_class_of_devices_is_proven_on_one():
    """By test_proof_ring."""
    assert {f"rules/{row.corpus}" for row in planted()} >= OF_A_CLASS


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_found_by_a_program(fault):
    """And named by a rule that tells what it is."""
    target = Model(fault)
    hints = dict(target.limits.hints)
    programs = (load(path.read_text(encoding="utf-8")) for path in FILES.values())
    outcomes = (run(one, target.open(), hints=hints) for one in programs if one.device == target.limits.device)
    named = ([outcome.rule, *(warning.rule for warning in outcome.warnings)] for outcome in outcomes)
    assert any(set(names) & set(FAULTS[fault].rules) for names in named)
