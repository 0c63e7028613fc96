"""The audit of our own writes: it accuses nobody, whatever the device does, and costs nothing when it is off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fuzz import campaign, driver_side, looking
from fuzz.campaign import Campaign, Wanted
from fuzz.confirm import Runner
from fuzz.driver_queue import DriverQueue
from fuzz.encoding import load as loads
from fuzz.generate import nth
from fuzz.proof.driver import planted
from fuzz.status import Status
from fuzz.targets.model import MEMORY, Model, ModelSession
from fuzz.targets.model.engine import Engine
from fuzz.targets.model.faults import FAULTS
from fuzz.verdict import CONFORMS, OUR_FAULT, VIOLATES, Outcome
from oracles.driver_oracle import DriverOracle, judge_driver
from oracles.oracle import judge
from oracles.trace import Called, Exposed, Looked, Notified, Returned, Stored, dump

OWN = (Exposed, Looked, Returned)
RAW = bytearray(MEMORY)


class Quiet(ModelSession):
    """The model as a target that shows nothing but its memory and its notifications."""

    def listen(self, observer: Callable[[int, Stored | Called], None]) -> bool:
        return False


def audited(fault: str = "") -> Runner:
    runner = Runner(Model(fault))
    runner.audit = True
    return runner


def quietly(index: int, fault: str = "") -> Outcome:
    engine: type[Engine] = FAULTS[fault].engine if fault else Engine
    return driver_side.run(nth(5, index, Model().limits), Quiet(engine, RAW), audit=True)


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model does all it ever does inside notify(), so waiting is pointless."""
    monkeypatch.setattr(driver_side, "PATIENCE", 0.002)
    monkeypatch.setattr(looking, "GLANCE", 0.0005)


@pytest.mark.parametrize("part", range(4))
def test_nobody_is_accused(part: int) -> None:
    runner = audited()
    for index in range(500 * part, 500 * (part + 1)):
        outcome = runner.run(nth(23, index, runner.target.limits))
        assert (outcome.verdict, outcome.violation, outcome.warnings) == (CONFORMS, None, []), index


@pytest.mark.usefixtures("_hurried")
def test_nobody_is_accused_where_only_memory_shows() -> None:
    for index in range(150):
        outcome = quietly(index)
        assert (outcome.verdict, outcome.violation, outcome.warnings) == (CONFORMS, None, []), index


@pytest.mark.usefixtures("_hurried")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_device_is_no_fault_of_ours(fault: str) -> None:
    runner = audited(fault)
    seen = Counter(runner.run(nth(9, index, Model().limits)).verdict for index in range(25))
    seen.update(quietly(index, fault).verdict for index in range(12))
    assert not seen[OUR_FAULT]


def test_an_audit_changes_nothing_but_what_is_seen() -> None:
    runner = Runner(Model())
    for index in range(60):
        program = nth(31, index, runner.target.limits)
        runner.audit = False
        plain = runner.run(program)
        runner.audit = True
        seen = runner.run(program)
        assert not [entry for entry in plain.trace if isinstance(entry[1], OWN)]
        assert dump([entry for entry in seen.trace if not isinstance(entry[1], OWN)]) == dump(plain.trace)
        assert judge_driver(seen.trace) == (None, [])
        assert judge(seen.trace)[0] is None


def test_the_trace_has_all_that_is_in_memory() -> None:
    """Played back, an audited trace leaves the three areas as they are when the program is over."""
    raw = bytearray(MEMORY)
    for index in range(120):
        session = ModelSession(Engine, raw)
        trace = driver_side.run(nth(37, index, Model().limits), session, audit=True).trace
        oracle = DriverOracle()
        for number, observation in trace:
            assert oracle.feed(number, observation) is None
        follower = oracle.queue(0).follower
        assert follower is not None
        for start, copy in follower.areas():
            at = start - session.address
            assert session.memory[at : at + len(copy)].tobytes() == copy, index


def test_looks_follow_each_operation() -> None:
    steps = "supply in:8; suppress disable; notify; receive 1; supply in:8; reset; supply in:8"
    program = loads("virtqueue-program 1\nqueue split 4\nfeatures version_1\n" + steps.replace("; ", "\n") + "\n")
    trace = [observation for _, observation in audited().run(program).trace]
    kinds = "".join({"Exposed": "e", "Looked": "l", "Returned": "r"}.get(type(one).__name__, "") for one in trace)
    # what the used ring is filled with; descriptor, entry, idx; flags; decision; handed up; and so on
    assert kinds == "el" + "eeel" + "el" + "l" + "rl" + "eeel" + "el" + "eeel"
    assert [one for one in trace if isinstance(one, Looked) and one.waited] == [Looked(waited=True)]


def test_what_is_written_past_the_ring_shows() -> None:
    """A driver that pokes the table through the session's memory, not its ring."""

    class Poking(DriverQueue):
        def suppress(self, mode: str, ahead: int, junk: bool = False) -> None:
            self.session.memory[self.config.descriptor + 16 * 3 + 8] ^= 1
            super().suppress(mode, ahead, junk)

    program = loads("virtqueue-program 1\nqueue split 4\nfeatures version_1\nsupply in:8\nsuppress disable\n")
    runner = audited()
    assert runner.run(program).verdict == CONFORMS
    runner.queue = Poking
    outcome = runner.run(program)
    assert outcome.verdict == OUR_FAULT
    assert outcome.violation is not None
    assert outcome.violation.rule == "S-EXPOSED-FROZEN"


def test_notifications_that_a_program_demands_are_no_fault() -> None:
    text = "virtqueue-program 1\nqueue split 4\nfeatures version_1 event_idx\nsupply in:8\nnotify\nnotify force\n"
    outcome = audited().run(loads(text))
    assert not outcome.warnings
    assert [one for _, one in outcome.trace if isinstance(one, Notified)] == [Notified(), Notified(forced=True)]


# --- in a campaign ----------------------------------------------------------------------------------------------------


def fuzzing(target: Model, out: Path, runs: int) -> tuple[Campaign, list[str]]:
    said: list[str] = []
    wanted = Wanted(seed=1, runs=runs, out=out, layout="split")
    return Campaign(target, wanted, said.append, Status()), said


def test_a_campaign_audits_one_program_in_sixteen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = fuzzing(Model(), tmp_path, 40)
    audits: list[bool] = []
    run = made.runner.run

    def watched(*arguments: Any, **options: Any) -> Outcome:
        audits.append(made.runner.audit)
        return run(*arguments, **options)

    monkeypatch.setattr(made.runner, "run", watched)
    assert made.run() == 0
    assert [index for index, audit in enumerate(audits) if audit] == [0, campaign.AUDITED, 2 * campaign.AUDITED]


def test_no_target_is_accused_where_our_driver_broke_a_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "AUDITED", 1 << 30)
    made, said = fuzzing(Model("a22"), tmp_path, 40)
    made.runner.queue = next(fault.queue for fault in planted() if fault.name == "split-crooked")
    ours: list[Outcome] = []
    run = made.runner.run

    def running(*arguments: object, **named: object) -> Outcome:
        outcome: Outcome = run(*arguments, **named)  # type: ignore[arg-type]  # handed on as they came
        ours.extend([outcome] if outcome.verdict == OUR_FAULT else [])
        return outcome

    monkeypatch.setattr(made.runner, "run", running)
    made.run()
    assert ours
    assert any("please report it" in line for line in said)
    assert made.tally.ours
    assert [path for path in tmp_path.rglob(campaign.AUDIT) if judge_driver_of(path) == "S-ALIGN"]


def judge_driver_of(path: Path) -> str:
    from fuzz.finds import load_trace

    violation, _ = judge_driver(load_trace(path))
    return "" if violation is None else violation.rule


def test_a_find_is_told_when_our_driver_kept_its_rules(tmp_path: Path) -> None:
    made, said = fuzzing(Model("a22"), tmp_path, 40)
    assert made.run() == 1
    assert not made.tally.ours
    assert any(VIOLATES in line or "FAIL" in line for line in said)
