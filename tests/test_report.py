"""Reports: every planted fault, in both layouts, told within bounds and without a stumble."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.confirm import Runner
from fuzz.generate import nth
from fuzz.program import Notify, Program, Queue, Supply
from fuzz.report import story
from fuzz.report.text import WIDTH, Shown, render
from fuzz.selftest import limits_for, search
from fuzz.targets.model import Model
from fuzz.targets.model.faults import FAULTS
from fuzz.verdict import BROKEN, CRASHED, VIOLATES
from oracles import spec
from oracles.oracle import judge


def shown(program: Program, outcome, **meta) -> Shown:
    facts = {"target": "model", "id": "x-1", "seed": 1, "index": 2, **meta}
    return Shown(facts, program, outcome.trace, outcome.marks, outcome.verdict, outcome.reason, Path("out/program.vq"))


@pytest.mark.parametrize("name", sorted(name for name, fault in FAULTS.items() if not fault.aimed))
def test_unshrunk_finds_of_every_fault_can_be_told(name):
    """Large programs on large rings: cut, not broken."""
    fault, runner = FAULTS[name], Runner(Model(name))
    for layout in fault.layouts:
        limited = replace(fault, layouts=(layout,))
        assert limits_for(limited, runner.target.limits).layouts == (layout,)
        found = search(runner, limited, 5, 300)
        assert found is not None
        _, program, outcome = found
        text = render(shown(program, outcome))
        assert text.startswith(f"FAIL  {outcome.rule}  ")
        assert outcome.violation is not None
        assert outcome.violation.message in " ".join(text.split())
        assert max(map(len, text.splitlines())) <= WIDTH
        assert len(text.splitlines()) <= 70
        assert "✗" in text


def test_conforming_programs_can_be_told():
    runner = Runner(Model())
    for index in range(150):
        program = nth(7, index, runner.target.limits)
        outcome = runner.run(program)
        told = story.tell(program, outcome.trace, outcome.marks)
        assert told.violation is None
        steps = [row.step for row in told.rows if row.step > 0]
        assert sorted(set(steps)) == list(range(1, len(program.steps) + 1)), "each step has a row"
        assert max(map(len, render(shown(program, outcome)).splitlines())) <= WIDTH


def test_story_agrees_with_the_judge():
    runner = Runner(Model("a01"))
    found = search(runner, FAULTS["a01"], 3, 300)
    assert found is not None
    _, program, outcome = found
    told = story.tell(program, outcome.trace, outcome.marks)
    assert told.violation == judge(outcome.trace)[0]
    assert [row.bad for row in told.rows].count(True) == 1


def test_rings_show_what_memory_held():
    program = Program(spec.PACKED, (Queue(3),), spec.VERSION_1, steps=(Supply((2,), (3,)), Supply((1,)), Notify()))
    runner = Runner(Model())
    outcome = runner.run(program)
    told = story.tell(program, outcome.trace, outcome.marks)
    lines = told.rings[0].draw(-1)
    assert [line.split() for line in lines] == [
        ["slot", "0", "1", "2"],
        "driver b0, A1 U0 b0, id 0, A1 U0 b1, id 1, A1 U0".split(),
        "device id 0, len 3, A1 U1 · id 1, len -, A1 U1".split(),
    ]


def test_crash_has_the_last_words():
    program = Program(steps=(Supply((), (1,)), Notify()))
    outcome = Runner(Model()).run(program)
    outcome.verdict, outcome.reason = CRASHED, "killed by signal 11"
    text = render(shown(program, outcome, words="one\nERROR: AddressSanitizer: heap-use-after-free\n"))
    assert text.startswith("CRASH  the target died\n      killed by signal 11\n")
    assert "ERROR: AddressSanitizer" in text
    assert "INO-ORDER" not in text


def test_a_device_that_gives_up_is_told_in_its_own_words():
    program = Program(steps=(Supply((), (1,)), Notify()))
    outcome = Runner(Model()).run(program)
    outcome.verdict, outcome.reason = BROKEN, "DEVICE_NEEDS_RESET: zero sized buffers are not allowed"
    text = render(shown(program, outcome, words="qemu: virtio: zero sized buffers are not allowed\n"))
    assert text.startswith("BROKEN  the device gives up")
    assert "\n      DEVICE_NEEDS_RESET: zero sized buffers are not allowed\n" in text
    assert "Its last words\n    qemu: virtio: zero sized" in text


def test_finds_are_told_by_trace_alone():
    """Without marks, as if find.json were lost: the same rows, under no step."""
    runner = Runner(Model("a05"))
    found = search(runner, FAULTS["a05"], 1, 100)
    assert found is not None
    _, program, outcome = found
    text = render(Shown({}, program, outcome.trace, [], VIOLATES))
    assert "INO-ORDER" in text
    assert "✗" in text


def test_programs_that_must_run_first_are_told():
    program = Program(steps=(Supply((), (1,)), Notify()))
    short, long = Program(steps=(Notify(),)), Program(steps=(Notify(),) * 40)
    outcome = Runner(Model()).run(program)
    text = render(replace(shown(program, outcome), before=(short, short, long, short, short)))
    told = text.partition("  Only after these 5 programs in the same process\n")[2].partition("\n\n")[0].splitlines()
    assert [line.strip() for line in told if "before" in line or "steps" in line] == [
        "before-001.vq … before-002.vq",
        "before-003.vq",
        "40 steps",
        "before-004.vq",
        "before-005.vq",
    ]
    assert told.count("      notify") == 2
    assert "in the same process" not in render(shown(program, outcome))
