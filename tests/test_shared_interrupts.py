"""An interrupt that doesn't tell for which queue it is: it announces what is due anywhere, and accuses nobody."""

from __future__ import annotations

import pytest

from fuzz import driver_side, looking
from fuzz.driver_side import run
from fuzz.encoding import load
from fuzz.generate import nth
from fuzz.program import Limits
from fuzz.targets.model import LEVERS
from fuzz.targets.model.engine import Engine
from fuzz.targets.model.faults import FAULTS
from fuzz.verdict import CONFORMS, UNDECIDED, VIOLATES, Outcome
from oracles.trace import Called
from tests.test_driver_side import WAITED
from tests.test_holding import Quiet
from tests.test_model import IDS, MINIMAL, program


class Line(Quiet):
    """Two queues and one interrupt."""

    shared = True

    def called(self, queue: int, seconds: float) -> bool:
        came = any(self._calls)
        self._calls = [False] * len(self._calls)
        return came


class Mute(Engine):
    """Never notifies us."""

    def notify_driver(self) -> None:
        self.ring.calls()


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model does all it ever does inside notify(), so waiting is pointless."""
    monkeypatch.setattr(driver_side, "PATIENCE", 0.002)
    monkeypatch.setattr(driver_side, "REST", 0.002)
    monkeypatch.setattr(looking, "GLANCE", 0.0005)


def both(steps: str, session: Line | None = None, layout: str = "split") -> Outcome:
    """Run *steps* on two queues."""
    head = ["virtqueue-program 1", *[f"queue {layout} 4"] * 2, "features version_1 ring_reset"]
    return run(load("\n".join([*head, *(step.strip() for step in steps.split(";"))])), session or Line(), patient=True)


def calls(outcome: Outcome) -> list[int]:
    """The queues that notifications counted for."""
    return [queue for queue, observation in outcome.trace if isinstance(observation, Called)]


@pytest.mark.parametrize("layout", ["split", "packed"])
@pytest.mark.parametrize("asleep", ["", " asleep"])
def test_one_interrupt_announces_what_is_due_on_either_queue(layout: str, asleep: str) -> None:
    steps = "supply in:8; supply in:8 queue=1; notify; notify queue=1; receive 1 queue=1" + asleep
    outcome = both(steps + "; receive 1" + asleep, layout=layout)
    assert outcome.verdict == CONFORMS, outcome.violation or outcome.reason
    assert sorted(calls(outcome)) == [0, 1]


@pytest.mark.parametrize("action", ["queue-reset queue=1", "restart queue=1", "reset"])
def test_an_interrupt_for_another_queue_is_no_activity_of_one_that_ended(action: str) -> None:
    outcome = both(f"supply in:8 queue=1; notify queue=1; receive 1 queue=1; supply in:8; notify; {action}; receive 1")
    assert outcome.verdict == CONFORMS, outcome.violation or outcome.reason
    assert calls(outcome) == ([1] if action == "reset" else [1, 0])


def test_a_queue_that_lies_still_is_not_accused_of_what_another_announces() -> None:
    """One that was stopped with a buffer in flight is watched, and meanwhile interrupts come."""

    class Undrained(Engine):
        def stop(self) -> int:
            self.live = False
            return 1

    class Ringing(Line):
        rings = 5

        def called(self, queue: int, seconds: float) -> bool:
            self.rings -= not self.engines[1].live
            return super().called(queue, seconds) or 0 <= self.rings < 4

    session = Ringing(Undrained)
    outcome = both("lever hold=all; supply in:8 queue=1; notify queue=1; restart queue=1", session)
    assert outcome.verdict == CONFORMS, outcome.violation or outcome.reason
    assert session.rings < 0


def test_an_interrupt_that_never_comes_is_missed() -> None:
    steps = "supply in:8 queue=1; notify queue=1; receive 1 queue=1"
    outcome = both(steps, Line(Mute))
    assert (outcome.verdict, outcome.rule) == (VIOLATES, "S-UN-DEV-MUST")
    assert both(steps).verdict == CONFORMS


@pytest.mark.parametrize(("fault", "head", "steps", "rule"), MINIMAL, ids=IDS)
def test_faults_are_found_as_with_an_interrupt_for_each_queue(fault: str, head: str, steps: str, rule: str) -> None:
    made = program(head, steps)
    engine = FAULTS[fault].engine
    single, shared = (run(made, kind(engine), patient=True) for kind in (Quiet, Line))
    assert (single.verdict, single.rule) == (shared.verdict, shared.rule)
    hasty = run(made, Line(engine))
    assert hasty.verdict == (UNDECIDED if shared.rule in WAITED else shared.verdict)
    clean = run(made, Line(), patient=True)
    assert clean.verdict == CONFORMS, clean.violation or clean.reason


@pytest.mark.parametrize("seed", range(4))
def test_the_clean_model_is_not_accused(seed: int) -> None:
    limits = Limits(queues=2, levers=LEVERS, empty_elements=True)
    for index in range(50):
        outcome = run(nth(seed, index, limits), Line(), patient=True)
        assert outcome.verdict == CONFORMS, (index, outcome.violation or outcome.reason)
