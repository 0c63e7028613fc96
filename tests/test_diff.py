"""Comparisons: what targets have in common, when verdicts differ, and what ``vqfuzz diff`` says of it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz import encoding
from fuzz.commands.diffing import _qemus
from fuzz.common import Part, common, misfit
from fuzz.confirm import Runner
from fuzz.diff import Differ, Row, Side, label
from fuzz.generate import nth
from fuzz.program import Limits, Notify, Program, Queue, Request, Restart, Supply
from fuzz.report.matrix import matrix
from fuzz.targets import TargetError
from fuzz.targets.model import Model
from fuzz.trouble import UsageTrouble
from fuzz.verdict import CONFORMS, CRASHED, OUR_FAULT, UNDECIDED, VIOLATES, Outcome
from oracles import spec
from oracles.rules import Violation

ROOT = Path(__file__).resolve().parent.parent
ALL = spec.IN_ORDER | spec.RING_PACKED | spec.INDIRECT_DESC | spec.EVENT_IDX


def sides(*names: str, device: str = "any") -> list[Side]:
    made = [Model(name) if name else Model() for name in names]
    return [Side(one, text, one.probe(), one.limits, device) for one, text in zip(made, label(made), strict=True)]


def compare(differ: Differ, runs: int, seed: int = 1) -> int:
    limits = common([Part(side.label, side.own, side.offer.features) for side in differ.sides])
    return differ.run((f"program {index}", nth(seed, index, limits)) for index in range(runs))


# --- what they have in common -----------------------------------------------------------------------------------------


def test_common_limits_are_those_of_all():
    one = Limits(levers=(("hold", ("0", "1")), ("batch", ("1", "2", "3"))), steps=50, hints=(("capacity", 9),))
    two = Limits(
        layouts=(spec.PACKED,),
        in_order=(False,),
        packed_sizes=(4, 8, 16),
        actions=frozenset({"reset"}),
        levers=(("batch", ("1", "3")), ("other", ("a",))),
        mixed_indirect=False,
        uncut=frozenset({0}),
        singly=True,
        hints=(("capacity", 4), ("forgets", 1)),
    )
    both = common([Part("one", one, ALL), Part("two", two, ALL)])
    assert both == replace(
        two,
        packed_sizes=(8, 16),
        levers=(("batch", ("1", "3")),),
        steps=50,
        hints=(("capacity", 4), ("forgets", 1)),
        split_sizes=one.split_sizes,
    )


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (({"device": "blk"}, {"device": "net"}), r"device classes .*\(one: blk, two: net\)"),
        (({}, {"device": "net", "queues": 2}), r"number of queues .*\(one: 1, two: 2\)"),
        (({"layouts": ("split",)}, {"layouts": ("packed",)}), r"layouts .*\(one: split, two: packed\)"),
        (({"in_order": (True,)}, {"in_order": (False,)}), r"in_order .*\(one: on, two: off\)"),
        (({"split_sizes": (1, 2)}, {"split_sizes": (4,)}), r"sizes of split queues .*\(one: 1 2, two: 4\)"),
    ],
)
def test_nothing_in_common_is_said_in_one_line(changes, what):
    parts = [Part(name, replace(Limits(), **change), ALL) for name, change in zip(("one", "two"), changes, strict=True)]
    with pytest.raises(UsageTrouble, match=what) as caught:
        common(parts)
    assert "\n" not in str(caught.value)


def test_any_takes_part_in_every_class():
    disk = replace(Limits(), device="blk", hints=(("capacity", 8),))
    both = common([Part("model", Limits(), ALL), Part("disk", disk, ALL)])
    assert (both.device, both.hints) == ("blk", (("capacity", 8),))


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (Program(), ""),
        (Program(device="blk"), "other device class"),
        (Program(spec.PACKED), "layout or in_order"),
        (Program(features=spec.VERSION_1 | spec.IN_ORDER), "layout or in_order"),
        (Program(features=spec.VERSION_1 | spec.RING_RESET), "features"),
        (Program(queues=(Queue(8), Queue(8))), "queues"),
        (Program(queues=(Queue(1024),)), "queue sizes"),
        (Program(queues=(Queue(8, 5),)), "start"),
        (Program(steps=(Supply((1,), (1,), indirect=1),)), "direct before table"),
    ],
)
def test_programs_outside_the_limits_are_left_out_with_a_reason(program, why):
    limits = replace(
        Limits(), layouts=(spec.SPLIT,), in_order=(False,), actions=frozenset({"reset"}), mixed_indirect=False
    )
    assert misfit(program, limits, spec.INDIRECT_DESC) == why


def test_everything_generated_fits():
    limits = common([Part("one", Limits(), ALL), Part("two", replace(Limits(), mixed_indirect=False), ALL)])
    assert not [index for index in range(200) if misfit(nth(3, index, limits), limits, ALL | spec.RING_RESET)]


# --- when they differ -------------------------------------------------------------------------------------------------


def outcome(verdict: str, rule: str = "") -> Outcome:
    return Outcome(verdict, Violation(rule, "so") if rule else None)


@pytest.mark.parametrize(
    ("outcomes", "differ"),
    [
        ([outcome(CONFORMS), outcome(CONFORMS)], False),
        ([outcome(CONFORMS), outcome(VIOLATES, "INO-ORDER")], True),
        ([outcome(VIOLATES, "INO-ORDER"), outcome(VIOLATES, "INO-ORDER")], False),
        ([outcome(VIOLATES, "INO-ORDER"), outcome(VIOLATES, "S-IDX")], True),
        ([outcome(CONFORMS), outcome(UNDECIDED)], False),
        ([outcome(VIOLATES, "INO-ORDER"), outcome(UNDECIDED)], False),
        ([outcome(CONFORMS), outcome(OUR_FAULT)], False),
        ([outcome(CONFORMS), outcome(UNDECIDED), outcome("CRASHED")], True),
    ],
)
def test_a_wait_that_expired_differs_from_nothing(outcomes, differ):
    row = Row("here", Program(), outcomes, [False] * len(outcomes), [False] * len(outcomes))
    assert row.diverges() is differ


def test_first_divergence_is_small_and_differs_in_the_same_way():
    differ = Differ(sides("", "a05", "a01"), lambda text, force: None)
    assert compare(differ, 40) == 1
    first = differ.first
    assert first is not None
    assert first.again == first.of
    assert len(first.smaller.program.steps) < len(first.program.steps)
    assert tuple(one.rule for one in first.outcomes) == first.rules
    assert first.outcomes[0].verdict == CONFORMS, "the clean model is not accused"
    assert sum(differ.kinds.values()) > 1
    assert all(side.counts.total() == 40 for side in differ.sides)


def test_the_same_twice_never_differs():
    differ = Differ(sides("", ""), lambda text, force: None)
    assert [side.label for side in differ.sides] == ["model", "model #2"]
    assert compare(differ, 60) == 0
    assert differ.first is None


def test_same_fault_on_both_is_no_divergence_but_stands_in_the_table():
    differ = Differ(sides("a05", "a05"), lambda text, force: None)
    assert compare(differ, 30) == 0
    [line] = [line for line in matrix(differ) if line.rule == "INO-ORDER"]
    assert {cell.state for cell in line.cells} == {"violates"}
    assert not line.differs


def test_a_target_without_a_device_class_is_not_asked_for_answers():
    """The model answers no virtio-blk request as a disk would, and is not accused for that."""
    request = Request("read", (("sector", 0), ("length", 512)))
    program = Program(device="blk", steps=(Supply(request=request), *encoding.load(_TEXT).steps))
    [lenient] = sides("", device="blk")
    [strict] = sides("")
    assert strict.runner.run(program).rule == "VQ-DATA"
    assert lenient.runner.run(program).verdict == CONFORMS
    assert lenient.notes == ["model knows no device class: its answers are not looked at"]
    assert not strict.notes


_TEXT = "virtqueue-program 1\nqueue split 4\nfeatures version_1\nnotify\nreceive 1\n"


def test_table_says_what_is_not_offered_and_has_no_seat():
    differ = Differ(sides("", ""), lambda text, force: None)
    differ.sides[1].own = replace(differ.sides[1].own, layouts=(spec.SPLIT,), in_order=(False,))
    compare(differ, 20)
    lines = {line.rule: line for line in matrix(differ)}
    assert [cell.state for cell in lines["INO-ORDER"].cells][1] == "not offered"
    assert "P-USED-ORDER" in lines
    assert lines["P-USED-ORDER"].cells[1].state == "not offered"
    assert not any(rule.startswith("VU-") for rule in lines), "the model is no vhost-user back-end"


class Dying(Runner):
    """A runner whose target dies of programs with a restart, which shows when the next session begins."""

    def __init__(self) -> None:
        super().__init__(Model())
        self.real = True
        self.doomed = False

    def run(self, program, patient=False, salt=0, without=frozenset(), finish=False, before=()):
        if self.doomed:
            self.late = "it ended after its last connection"
        self.doomed = Restart() in program.steps
        if finish and self.doomed:
            self.doomed = False
            return Outcome(CRASHED, reason="it ended after its last connection")
        return Outcome(CONFORMS)

    def settle(self) -> None:
        if self.doomed:
            self.late, self.doomed = "it ended after its last connection", False


@pytest.mark.parametrize("last", [False, True], ids=["seen in the next session", "seen at the end"])
def test_a_death_that_shows_late_counts_for_the_program_before(last):
    differ = Differ(sides("", ""), lambda text, force: None)
    differ.sides[1].runner = Dying()  # type: ignore[assignment]  # as much of one as it takes
    deadly = Program(steps=(Notify(), Restart(), Notify()))
    harmless = Program(steps=(Notify(),))
    programs = [harmless, deadly] + ([] if last else [harmless])
    assert differ.run((f"program {number}", program) for number, program in enumerate(programs)) == 1
    first = differ.first
    assert first is not None
    assert first.origin == "program 1"
    assert first.rules == (CONFORMS, CRASHED)
    assert first.smaller.program.steps == (Restart(),)
    assert differ.sides[1].counts == {CONFORMS: len(programs) - 1, CRASHED: 1}


def test_what_never_comes_back_is_flaky_and_no_divergence():
    class Once(Dying):
        def run(self, program, patient=False, salt=0, without=frozenset(), finish=False, before=()):
            fails, self.doomed = not self.doomed, True
            return Outcome(CRASHED, reason="once") if fails else Outcome(CONFORMS)

        def settle(self) -> None:
            pass

    differ = Differ(sides("", ""), lambda text, force: None)
    differ.sides[1].runner = Once()  # type: ignore[assignment]  # as much of one as it takes
    assert differ.run([("program 0", Program(steps=(Notify(),)))]) == 4
    assert differ.first is None
    assert differ.flaky == ["program 0"]


def test_undecided_alone_is_its_own_exit_code():
    class Slow(Dying):
        def run(self, program, patient=False, salt=0, without=frozenset(), finish=False, before=()):
            return Outcome(UNDECIDED, reason="waited")

    differ = Differ(sides("", ""), lambda text, force: None)
    differ.sides[1].runner = Slow()  # type: ignore[assignment]  # as much of one as it takes
    assert differ.run([("program 0", Program(steps=(Notify(),)))]) == 4
    assert not differ.kinds
    assert [line.cells[1].state for line in matrix(differ) if line.rule == UNDECIDED] == ["undecided"]


def test_a_fault_of_ours_is_told_and_nobody_elses():
    class Ours(Dying):
        def run(self, program, patient=False, salt=0, without=frozenset(), finish=False, before=()):
            return Outcome(OUR_FAULT, reason="KeyError: 1")

    differ = Differ(sides("", ""), lambda text, force: None)
    differ.sides[1].runner = Ours()  # type: ignore[assignment]  # as much of one as it takes
    assert differ.run([("program 0", Program(steps=(Notify(),)))]) == 3
    assert differ.ours == "program 0 on model #2: KeyError: 1"


def test_a_target_that_goes_away_ends_the_comparison():
    class Gone(Dying):
        def run(self, program, patient=False, salt=0, without=frozenset(), finish=False, before=()):
            raise TargetError("it is gone")

    differ = Differ(sides("", ""), lambda text, force: None)
    differ.sides[1].runner = Gone()  # type: ignore[assignment]  # as much of one as it takes
    assert differ.run([("program 0", Program(steps=(Notify(),)))]) == 3
    assert differ.stopped == "it is gone"


# --- the command ------------------------------------------------------------------------------------------------------


def run(cli, *words: object) -> tuple[int, list[str], str]:
    done = cli("diff", *words)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_command_tells_seed_first_and_how_to_repeat_it_last(cli, tmp_path):
    file, page = tmp_path / "diff.json", tmp_path / "diff.html"
    words = ["model", "model:a05", "--seed", 1, "--runs", 30, "--json", file, "--html", page]
    code, lines, _ = run(cli, *words)
    assert code == 1
    assert re.match(r"vqfuzz \S+ · seed 1 · diff model \| model:a05 · split packed · in_order off on", lines[0])
    assert "DIVERGES  program 1" in lines
    assert any(re.match(r"  INO-ORDER +conforms +violates \d+", line) for line in lines)
    facts = json.loads(file.read_text())
    assert facts["first"]["rules"] == ["CONFORMS", "INO-ORDER"]
    assert len(encoding.load(facts["first"]["minimal"]).steps) <= 4
    assert "First divergence" in page.read_text()
    again = shlex.split(lines[-1].removeprefix("again: vqfuzz diff "))
    second = run(cli, *again)
    assert second[0] == code
    assert [_timeless(line) for line in second[1]] == [_timeless(line) for line in lines]


def _timeless(line: str) -> str:
    return re.sub(r"\d+(\.\d+)? s\b|\d+ min \d+ s", "TIME", line)


def test_command_without_a_divergence(cli):
    code, lines, _ = run(cli, "model", "model", "--seed", 2, "--runs", 20)
    assert code == 0
    assert "no divergence" in lines[-2]
    assert not any(line.startswith("DIVERGES") for line in lines)


def test_command_with_a_corpus(cli, tmp_path):
    code, lines, _ = run(cli, "model", "model:a01", "--seed", 1, "--corpus", ROOT / "corpus/in_order")
    assert code == 1
    assert re.match(r"DIVERGES  .*corpus/in_order/.*\.vq", next(line for line in lines if line.startswith("DIVERGES")))
    (tmp_path / "disk.vq").write_text("virtqueue-program 1\ndevice blk\nqueue split 4\nfeatures version_1\nnotify\n")
    code, _, errors = run(cli, "model", "model", "--seed", 1, "--corpus", tmp_path)
    assert code == 2
    assert "1 for other device class" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["model"], 2, "needs two targets or more"),
        (["model", "modle"], 2, "no target is called"),
        (["model", "model", "--qemu", "x"], 2, "none of model model is one"),
        (["model", "vhost-user:/nonexistent/socket", "--runs", "1"], 3, "can't be reached"),
        (["model", "model", "--runs", "1", "--html", "/dev/null/page.html"], 3, "can't be written"),
        (["model", "model", "--corpus", "/nonexistent"], 2, "can't be read"),
    ],
)
def test_wrong_usage_is_one_line(cli, words, code, said):
    done, _, errors = run(cli, *words)
    assert done == code
    assert said in errors
    assert len(errors.splitlines()) == 1


def test_a_qemu_for_each_target_in_order():
    targets = ("qemu:virtio-rng-pci", "model", "qemu:virtio-rng-pci")
    assert _qemus(targets, ()) == ["", "", ""]
    assert _qemus(targets, ("one",)) == ["one", "", "one"]
    assert _qemus(targets, ("", "two")) == ["", "", "two"]
    with pytest.raises(UsageTrouble, match="3 times --qemu for 2 targets"):
        _qemus(targets, ("a", "b", "c"))


_DISK = """virtqueue-program 1
device blk
queue split 4
features version_1
supply write sector=3 length=512
supply read sector=9 length=1024
notify
receive 2
"""


@pytest.mark.target("qemu-storage-daemon")
def test_two_back_ends_of_one_program(cli, tmp_path):
    (tmp_path / "disk.vq").write_text(_DISK)
    words = ["qemu-storage-daemon", "qemu-storage-daemon:null", "model"]
    code, lines, errors = run(cli, *words, "--seed", 1, "--corpus", tmp_path)
    assert code == 0, errors
    assert lines[0].endswith("diff qemu-storage-daemon | qemu-storage-daemon:null | model · split · in_order off")
    assert lines[1] == "model knows no device class: its answers are not looked at"
    assert "1 program in" in lines[-2]
    assert "no divergence" in lines[-2]
