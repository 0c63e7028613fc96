"""We are the device: programs, their making, running and shrinking, and the reference driver with its faults."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import cast

import pytest

from fuzz import device_side, regarding, selftest
from fuzz.confirm import Runner
from fuzz.encoding import ProgramError, dump, from_bytes, load
from fuzz.generate import nth
from fuzz.program import Add, Misuse, Program, Use
from fuzz.proof import driver_targets
from fuzz.proof.table import prove
from fuzz.regarding import found
from fuzz.targets import Target, TargetError
from fuzz.targets.model import Model
from fuzz.targets.model_driver import ModelDriver, ModelDriverSession
from fuzz.targets.model_driver.faults import FAULTS
from fuzz.verdict import BROKEN, CONFORMS, CRASHED, OUR_FAULT, VIOLATES, Outcome
from oracles import packed_rings, spec, split_rings
from oracles.driver_oracle import judge_driver
from oracles.packed_driver import PackedFollower
from oracles.trace import Called, Started
from oracles.trace import dump as dump_trace
from oracles.trace import load as load_trace

LIMITS = ModelDriver.limits
HEAD = "virtqueue-program 1\nrole device\nqueue split 8\nfeatures version_1 in_order\n"
EVERY_STEP = HEAD + (
    "add out:16 in:512\nkick\nuse 3 length=2 reversed singly junk\nsuppress event ahead=2\nget 2 asleep\n"
    "callbacks delayed\ncall force\nmisuse id=99\nreset\nqueue-reset size=4\nrestart\n"
)  # fmt: skip


def of(text: str, layout: str = "split") -> Program:
    """The steps of *text* on a queue of 4, in order."""
    return load(f"virtqueue-program 1\nrole device\nqueue {layout} 4\nfeatures version_1 in_order\n{text}")


def run(program: Program, fault: str = "") -> Outcome:
    return Runner(cast("Target", ModelDriver(fault))).run(program)


# -- text


def test_text_of_every_step_comes_back():
    program = load(EVERY_STEP)
    assert program.role == "device"
    assert dump(program) == EVERY_STEP
    assert load(dump(program)) == program


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("supply in:1", "«supply» is a step of a driver"),
        ("use", "«use» takes how many"),
        ("use 1 oldest reversed", "buffers are used in one order"),
        ("use 1 lenght=2", "did you mean «length=»"),
        ("get none", "«get» takes how many"),
        ("callbacks perhaps", "«callbacks» takes one word"),
        ("add", "no elements"),
        ("add in:1 out:1", "a readable element after a writable one"),
        ("misuse trust", "«misuse» takes one word"),
        ("queue split 8", "stands after a step"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_in_one(line, said):
    with pytest.raises(ProgramError) as caught:
        load(f"{HEAD}kick\n{line}\n", "x.vq")
    assert said in str(caught.value)
    assert str(caught.value).startswith("x.vq:6: ")


def test_a_device_steps_only_where_we_are_one():
    with pytest.raises(ProgramError, match="«use» is a step of a device; add «role device»"):
        load("virtqueue-program 1\nqueue split 8\nuse 1\n")
    with pytest.raises(ProgramError, match="driver or device"):
        load("virtqueue-program 1\nrole both\nqueue split 8\n")


# -- making


def test_programs_depend_on_seed_and_index_alone():
    first = [nth(5, index, LIMITS) for index in range(50)]
    assert first == [nth(5, index, LIMITS) for index in range(50)]
    assert len(set(first)) > 45
    assert all(load(dump(program)) == program for program in first)
    assert all(program.role == "device" and len(program.steps) <= LIMITS.steps for program in first)


def test_any_bytes_make_a_program():
    assert all(from_bytes(bytes([one]) * 20, LIMITS).role == "device" for one in range(0, 256, 5))


def test_programs_go_where_they_are_aimed():
    """Batches of every length, full rings, half-taken batches, each layout, with IN_ORDER and without."""
    kinds: Counter[str] = Counter()
    for index in range(300):
        program = nth(1, index, LIMITS)
        kinds[program.layout] += 1
        kinds["in order" if program.in_order else "any order"] += 1
        for step in program.steps:
            kinds[type(step).__name__] += 1
            if isinstance(step, Use):
                kinds[f"batch of {min(step.count, 4)}"] += 1
                kinds[step.order] += 1
    wanted = "split packed Add Kick Get Callbacks Use Call Suppress Reset QueueReset Restart reversed youngest".split()
    wanted += ["in order", "any order", *(f"batch of {count}" for count in (1, 2, 3, 4))]
    assert [name for name in wanted if kinds[name] < 20] == []
    assert not kinds["Misuse"], "only where it is asked for"


def test_hostile_programs_break_rules_at_their_end():
    limits = replace(LIMITS, actions=LIMITS.actions | {"hostile"})
    programs = [nth(1, index, limits) for index in range(100)]
    assert 10 < sum(any(isinstance(step, Misuse) for step in program.steps) for program in programs) < 60


def test_a_driver_that_cannot_be_asked_is_only_served():
    limits = replace(LIMITS, actions=frozenset({"passive"}))
    kinds = {type(step).__name__ for index in range(50) for step in nth(1, index, limits).steps}
    assert kinds <= {"Use", "Call", "Suppress", "Callbacks"}


# -- running


class Unlogged(ModelDriverSession):
    """The reference driver as one that is not ours: its stores are found by looking."""

    def listen(self, observer):
        return False


class UnloggedDriver(ModelDriver):
    def open(self):
        self.starts += 1
        return Unlogged(self._raw, *self.kinds)


@pytest.mark.parametrize("kind", [ModelDriver, UnloggedDriver])
def test_the_clean_driver_is_never_accused(kind):
    runner = Runner(cast("Target", kind()))
    outcomes = [runner.run(nth(7, index, LIMITS)) for index in range(250)]
    assert [(outcome.rule, outcome.reason) for outcome in outcomes if outcome.verdict != CONFORMS] == []
    assert [warning.rule for outcome in outcomes for warning in outcome.warnings] == []
    assert sum(outcome.chains for outcome in outcomes) > 1000


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_found_by_its_rule_and_made_small(name):
    row = selftest.examine(FAULTS[name], 1)
    assert row.wrong == ""
    assert row.programs <= 150
    assert row.steps <= 12


@pytest.mark.parametrize("name", ["a34", "a35", "a36", "a37", "a39", "a40", "a41", "a42", "a43", "a44", "a45", "early"])
def test_most_faults_show_without_a_log_of_stores_too(name):
    runner = Runner(cast("Target", UnloggedDriver(name)))
    limits = selftest.limits_for(FAULTS[name], LIMITS)
    found = (runner.run(nth(1, index, limits)) for index in range(200))
    outcome = next(one for one in found if one.verdict != CONFORMS)
    assert outcome.verdict == VIOLATES
    assert outcome.rule in FAULTS[name].rules


@cache
def batch(layout: str) -> Outcome:
    return run(of("add in:4\nadd in:4\nadd in:4\nuse 3 length=1\ncall\nget 3\n", layout))


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_a_batch_is_one_used_element_and_handed_up_buffer_by_buffer(layout):
    lines = dump_trace(batch(layout).trace).splitlines()
    assert batch(layout).chains == 3
    assert [line.split()[-1] for line in lines if " returned " in line] == ["length=4", "length=4", "length=1"]
    assert sum(" stored " in line for line in lines) == 2, "element and idx, or element and flags"
    assert sum(" called" in line for line in lines) == 1


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_the_saved_trace_is_judged_alike(layout):
    outcome = run(of("add in:4\nadd in:4\nuse 2\nget 1\ncallbacks on\n", layout), "a44")
    violation, _ = judge_driver(load_trace(dump_trace(outcome.trace)))
    assert outcome.rule == "VQ-DRV-WAKE"
    assert violation is not None
    assert outcome.violation is not None
    assert (violation.rule, violation.message) == (outcome.rule, outcome.violation.message)


def test_we_are_judged_too(monkeypatch):
    def too_far(ring, chains):
        return len(chains) + 1

    monkeypatch.setattr(split_rings.DeviceRing, "batch_count", too_far)
    outcome = run(of("add in:4\nuse 1\n"))
    assert outcome.verdict == OUR_FAULT
    assert outcome.rule == "INO-BATCH-BOUND"


def test_a_notification_that_is_due_and_not_sent_is_ours(monkeypatch):
    monkeypatch.setattr(packed_rings.DeviceRing, "calls", lambda ring: False)
    outcome = run(of("add in:4\nuse 1\n", "packed"))
    assert (outcome.verdict, outcome.rule) == (OUR_FAULT, "P-EV-ENABLE-DEV")


def test_late_notifications_come_at_the_end():
    outcome = run(of("add in:4\nuse 1\n"))
    kinds = [type(seen) for _, seen in outcome.trace]
    assert outcome.verdict == CONFORMS
    assert Called in kinds[-3:]


def test_resets_begin_new_lives():
    outcome = run(load(EVERY_STEP.replace("misuse id=99\n", "").replace("in_order", "in_order ring_reset")))
    causes = [seen.cause for _, seen in outcome.trace if isinstance(seen, Started)]
    assert outcome.verdict == CONFORMS
    assert causes == ["init", "reset", "queue_reset", "restart"]


def test_a_driver_that_gives_up_without_cause_is_told(monkeypatch):
    monkeypatch.setattr(ModelDriverSession, "broken", lambda session: True)
    outcome = run(of("kick\n"))
    assert outcome.verdict == BROKEN
    assert "though the device kept every rule" in outcome.reason


def test_after_a_misuse_nobody_is_judged():
    limits = replace(LIMITS, actions=LIMITS.actions | {"hostile"})
    runner = Runner(cast("Target", ModelDriver()))
    outcomes = [runner.run(nth(3, index, limits)) for index in range(200)]
    assert {(outcome.verdict, outcome.reason) for outcome in outcomes} == {(CONFORMS, "")}


def test_a_driver_that_dies_is_told(monkeypatch):
    from fuzz.targets import TargetDied

    def dies(session):
        raise TargetDied("its process ended")

    monkeypatch.setattr(ModelDriverSession, "kick", dies)
    outcome = run(of("add in:1\nkick\n"))
    assert (outcome.verdict, outcome.reason) == (CRASHED, "its process ended")


def test_programs_run_on_the_side_that_they_are_for():
    with pytest.raises(TargetError, match="the program is for a driver, and model is a device"):
        Runner(Model()).run(of("kick\n"))
    with pytest.raises(TargetError, match="the program is for a device, and model-driver is a driver"):
        run(load("virtqueue-program 1\nqueue split 8\nnotify\n"))


def test_buffers_that_a_queue_can_never_hold_are_not_asked_for():
    outcome = device_side.run(
        Program(steps=(Add((), (1,) * 9),), role="device"), ModelDriver().open()
    )  # 9 elements, a queue of 8
    assert outcome.verdict == CONFORMS
    assert not any("asked" in line for line in dump_trace(outcome.trace).splitlines())


@pytest.mark.parametrize("fault", driver_targets.planted(), ids=lambda fault: f"{fault.rule}.{fault.layout}")
def test_the_rules_of_upper_halves_are_proven(fault):
    assert prove(fault).wrong == ""


# -- commands


def test_fuzz_finds_shrinks_and_explains(cli, tmp_path):
    done = cli("fuzz", "model-driver:a34", "--seed", "1", "--runs", "50", "--out", str(tmp_path / "out"))
    assert done.returncode == 1, done.stderr
    assert "FAIL  INO-DRV-WALK" in done.stdout
    assert "role device" in done.stdout
    folder = next((tmp_path / "out").iterdir())
    assert cli("replay", str(folder)).returncode == 1
    judged = cli("judge", str(folder))
    assert judged.returncode == 1
    assert "INO-DRV-WALK" in judged.stdout
    explained = cli("explain", str(folder))
    assert explained.returncode == 1
    assert "driver, as seen" in explained.stdout


def test_the_reference_driver_is_listed_and_asked(cli):
    assert "model-driver:a46" in cli("targets").stdout
    probed = cli("probe", "model-driver")
    assert probed.returncode == 0
    assert "role             driver" in probed.stdout
    assert "no fault 'a99'" in cli("fuzz", "model-driver:a99").stderr


# -- drivers that run by themselves


def test_what_may_be_torn_is_left_for_the_next_look():
    """A packed list behind the one that is available: its head is stored, and its second descriptor may not be."""
    follower = PackedFollower(Started("packed", 4, 1 << 34, 0x1000, 0x1040, 0x1044, (0x1000, 0x100), 1 << 15, 1 << 15))
    memory = memoryview(bytearray(0x100))
    memory[0:16] = spec.DESCRIPTOR.pack(0x2000, 8, 0, 0x80)
    memory[32:48] = spec.DESCRIPTOR.pack(0x2000, 8, 0, 0x80)  # not in a row with the first
    addresses = [seen.address for seen in found(follower, memory, 0x1000, live=True)]
    assert addresses == [0x1000]
    assert [seen.address for seen in found(follower, memory, 0x1000)] == [0x1020, 0x1000]


def test_a_descriptor_that_is_written_during_a_look_is_never_exposed_without_its_table(monkeypatch):
    """Its flags are stored last: whoever reads its other fields before them may read what was there before."""
    features = 1 << 34 | spec.INDIRECT_DESC
    follower = PackedFollower(Started("packed", 4, features, 0x1000, 0x1040, 0x1044, (0x1000, 0x100), 1 << 15, 1 << 15))
    memory = memoryview(bytearray(0x100))
    memory[0x80:0x90] = spec.DESCRIPTOR.pack(0x2000, 8, 0, 0)
    whole = spec.DESCRIPTOR.pack(0x1080, 16, 0, 0x80 | spec.DESC_F_INDIRECT)
    real = regarding._unpack

    def slow(buffer, at):
        """Reads fields one by one, and the driver is faster."""
        address, length, id_, _ = real(buffer, at)
        memory[:16] = whole
        return address, length, id_, real(buffer, at)[3]

    monkeypatch.setattr(regarding, "_unpack", slow)
    assert 0x1000 not in [seen.address for seen in found(follower, memory, 0x1000, live=True)]
    memory[:16] = whole
    assert [seen.address for seen in found(follower, memory, 0x1000, live=True)] == [0x1080, 0x1000]
