"""A program in somebody's suite: it conforms, it fails and is seen again, or it is not judged and says why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz import encoding
from fuzz.judging import AGAIN, Against
from fuzz.program import Program
from fuzz.targets import Offer
from fuzz.verdict import HUNG, UNDECIDED, VIOLATES, Outcome
from oracles import spec
from oracles.rules import Level, Violation, registry, unbound

PROGRAM = encoding.load(
    "virtqueue-program 1\nqueue split 2\nfeatures version_1 in_order\n"
    "lever hold=1\nsupply in:1\nsupply in:1\nnotify\n"
)  # fmt: skip
BROKEN = Outcome(VIOLATES, Violation("INO-ORDER", "b0 came back after b1"))


class Faked(Against):
    """The reference device, with outcomes in the place of executions."""

    def __init__(self, *outcomes: Outcome, version: str = "1.4", strict: bool = False) -> None:
        super().__init__("model", version=version, strict=strict)
        self.outcomes: Iterator[Outcome] = iter(outcomes)
        self.asked: list[tuple[int, bool]] = []

    def _run(self, program: Program, before: tuple[Program, ...], salt: int, patient: bool = False) -> Outcome:
        self.asked.append((salt, patient))
        return next(self.outcomes)


def test_a_program_that_conforms_passes() -> None:
    result = Against("model").judge(PROGRAM)
    assert (result.status, result.report, result.layout, result.rule) == ("passed", "", "split", "")


def test_a_failure_is_seen_again_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.vq"
    path.write_text(encoding.dump(PROGRAM), encoding="utf-8")
    result = Against("model:a05").judge(path)
    assert (result.status, result.rule, result.reproduced) == ("failed", "INO-ORDER", f"{AGAIN}/{AGAIN}")
    assert (result.level, result.cite, result.find) == ("MUST", "VIRTIO 1.4, 6.2", str(path))
    assert result.report.startswith("FAIL  INO-ORDER  ")
    assert encoding.load(result.program) == PROGRAM


def test_what_never_comes_back_accuses_nobody() -> None:
    result = Faked(BROKEN, *[Outcome()] * AGAIN).judge(PROGRAM)
    assert (result.status, result.message) == (
        "undecided",
        f"INO-ORDER was seen once, and not again in {AGAIN} executions",
    )


def test_something_else_that_goes_wrong_is_not_the_same_again() -> None:
    others = [Outcome(HUNG, reason="no answer"), BROKEN, Outcome(), Outcome(), Outcome()]
    assert Faked(BROKEN, *others).judge(PROGRAM).reproduced == f"1/{AGAIN}"


def test_what_is_undecided_is_run_again_with_patience_and_accuses_nobody() -> None:
    against = Faked(Outcome(UNDECIDED), Outcome(UNDECIDED, reason="b0 was waited for"))
    result = against.judge(PROGRAM)
    assert (result.status, result.message) == ("undecided", "b0 was waited for")
    assert against.asked == [(0, False), (0, True)]
    assert Faked(Outcome(UNDECIDED), Outcome()).judge(PROGRAM).status == "passed"


def test_what_is_not_offered_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    against = Faked()
    monkeypatch.setattr(type(against.target), "probe", lambda self: Offer(spec.VERSION_1, 1))
    result = against.judge(PROGRAM)
    assert (result.status, result.message) == ("not offered", "model does not offer in_order")
    packed = encoding.load("virtqueue-program 1\nqueue packed 4\nfeatures version_1\nsupply in:1\nnotify\n")
    assert against.judge(packed).message == "model does not offer packed"
    blk = encoding.load("virtqueue-program 1\ndevice blk\nqueue split 4\nfeatures version_1\nsupply flush\nnotify\n")
    assert against.judge(blk).message == "the program is for a device of class blk, and model is of class any"
    assert against.asked == []


def test_what_only_a_long_wait_shows_is_waited_for_again() -> None:
    against = Faked(Outcome(UNDECIDED), *[Outcome(VIOLATES, Violation("VQ-LIVE", "b0 never came"))] * (1 + AGAIN))
    assert against.judge(PROGRAM).reproduced == f"{AGAIN}/{AGAIN}"
    assert [patient for _, patient in against.asked] == [False] + [True] * (1 + AGAIN)


def test_a_should_is_told_and_fails_only_when_strict() -> None:
    should = next(rule.id for rule in registry().values() if rule.level is Level.SHOULD and rule.status == "checked")
    outcome = Outcome(warnings=[Violation(should, "it need not have")])
    result = Faked(outcome).judge(PROGRAM)
    assert (result.status, result.report) == ("passed", f"{should}  it need not have\n")
    result = Faked(outcome, strict=True).judge(PROGRAM)
    assert (result.status, result.rule, result.level) == ("failed", should, "SHOULD")


def test_a_suspicion_never_fails() -> None:
    lint = next(rule.id for rule in registry().values() if rule.level is Level.LINT and rule.status == "checked")
    result = Faked(Outcome(warnings=[Violation(lint, "odd")]), strict=True).judge(PROGRAM)
    assert (result.status, result.report) == ("passed", f"{lint}  odd\n")


def test_rules_that_a_version_does_not_have_are_not_asked() -> None:
    assert unbound("1.1")
    assert Against("model", version="1.1")._runner.unasked == unbound("1.1")
    assert not Against("model")._runner.unasked


@pytest.mark.target("qemu-storage-daemon")
def test_a_real_target_is_asked_what_it_offers_and_judged() -> None:
    against = Against("qemu-storage-daemon")
    try:
        text = "virtqueue-program 1\ndevice blk\nqueue split 4\nfeatures {}\nsupply read sector=0 length=512\nnotify\n"
        lacking = against.judge(encoding.load(text.format("version_1 in_order")))
        assert lacking.message == "qemu-storage-daemon does not offer in_order"
        result = against.judge(encoding.load(text.format("version_1")))
        assert (result.status, result.message) == ("passed", "")
    finally:
        against.close()
