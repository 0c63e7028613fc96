"""What is done about a find on a driver fits into the time of the run."""

from __future__ import annotations

from typing import cast

import pytest

from fuzz import pacing
from fuzz.confirm import Runner, decide
from fuzz.pacing import Pace
from fuzz.program import Program
from fuzz.targets import Target
from fuzz.targets.model_driver import ModelDriver
from fuzz.verdict import HUNG, UNDECIDED, VIOLATES, Outcome


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until its one element is changed."""
    now = [100.0]
    monkeypatch.setattr("fuzz.pacing.time.monotonic", lambda: now[0])
    return now


def begun(seconds: float | None, cost: float, driver: bool = True) -> Pace:
    pace = Pace(seconds, driver)
    pace.begin()
    pace.cost = cost
    return pace


def test_a_hang_is_run_again_as_often_as_fits_and_once_at_least(clock: list[float]) -> None:
    pace = begun(8, 2.0)
    assert (pace.times(5, HUNG), pace.times(5, VIOLATES)) == (2, 4)
    clock[0] += 9
    assert (pace.times(5, HUNG), pace.times(5, VIOLATES), pace.over()) == (1, 1, True)


def test_a_hang_is_made_small_only_while_one_more_fits(clock: list[float]) -> None:
    pace = begun(8, 2.0)
    assert pace.shrinking(HUNG, 0.0) == 6.0
    assert pace.shrinking(HUNG, 1.5) == 1.5
    clock[0] += 7
    assert pace.shrinking(HUNG, 0.0) is None


def test_what_is_cheap_is_made_small_behind_the_end(clock: list[float]) -> None:
    pace = begun(8, 0.01)
    clock[0] += 8
    assert pace.shrinking("S-USED-ID", 0.0) == 3.0
    pace.cost = 1.5
    assert pace.shrinking("S-USED-ID", 0.0) is None


@pytest.mark.parametrize(("seconds", "driver"), [(None, True), (8, False)])
def test_without_a_time_and_for_devices_nothing_is_cut(seconds: float | None, driver: bool, clock: list[float]) -> None:
    pace = begun(seconds, 5.0, driver)
    clock[0] += 60
    assert (pace.until, pace.over(), pace.times(5, VIOLATES)) == (pacing.FOREVER, False, 5)
    assert (pace.shrinking(HUNG, 0.0), pace.shrinking(HUNG, 6.0)) == (0.0, 6.0)


def test_what_is_undecided_when_the_time_is_over_is_not_run_patiently(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[bool] = []

    def undecided(runner: Runner, program: Program, patient: bool = False, **_: object) -> Outcome:
        ran.append(patient)
        return Outcome(UNDECIDED)

    monkeypatch.setattr(Runner, "run", undecided)
    runner = Runner(cast("Target", ModelDriver()))
    for until, expected in ((0.0, [False]), (pacing.FOREVER, [False, True])):
        ran.clear()
        runner.until = until
        outcome, patient = decide(runner, Program(queues=()))
        assert (ran, patient, outcome.verdict) == (expected, len(expected) > 1, UNDECIDED)
