"""The driver's side: steps mean the same each time, and looking at memory finds what a log of stores would show."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fuzz import driver_side, looking
from fuzz.driver_side import run
from fuzz.generate import nth
from fuzz.program import Program
from fuzz.targets.model import MEMORY, Model, ModelSession
from fuzz.targets.model.engine import Engine
from fuzz.targets.model.faults import FAULTS
from fuzz.verdict import CONFORMS, UNDECIDED, VIOLATES, Outcome
from oracles import spec
from oracles.oracle import judge
from oracles.trace import (
    Called,
    Observation,
    Published,
    Rechecked,
    Reclaimed,
    Resetting,
    SawDescriptor,
    SawUsed,
    Started,
    Stored,
    Supplied,
    Suppressed,
    dump,
    load,
)
from tests.test_model import IDS, MINIMAL, MODES, execute, program

RAW = bytearray(MEMORY)


class Quiet(ModelSession):
    """The model as a target that shows nothing but its memory and its notifications."""

    def listen(self, observer: Callable[[int, Stored | Called], None]) -> bool:
        return False


def quietly(made: Program, fault: str = "", patient: bool = False) -> Outcome:
    engine: type[Engine] = FAULTS[fault].engine if fault else Engine
    return run(made, Quiet(engine, RAW), patient=patient)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model does all it ever does inside notify(), so waiting is pointless."""
    monkeypatch.setattr(driver_side, "PATIENCE", 0.002)
    monkeypatch.setattr(looking, "GLANCE", 0.0005)


def seen(outcome: Outcome, *kinds: type[Observation]) -> list[Observation]:
    return [observation for _, observation in outcome.trace if isinstance(observation, kinds)]


# --- what steps mean --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [execute, quietly])
def test_the_same_program_leaves_the_same_trace(way: Callable[[Program], Outcome]) -> None:
    for index in range(60):
        made = nth(11, index, Model().limits)
        first, second = way(made), way(made)
        assert dump(first.trace) == dump(second.trace), index
        assert (first.verdict, first.marks, first.chains) == (second.verdict, second.marks, second.chains)
        assert len(first.marks) == first.reached + 1 or first.verdict != CONFORMS


@pytest.mark.parametrize(("layout", "in_order"), MODES)
@pytest.mark.parametrize("way", [execute, quietly])
def test_receive_reclaims_exactly_so_many(layout: str, in_order: bool, way: Callable[[Program], Outcome]) -> None:
    made = program(
        f"{layout} 8" + " in_order" * in_order,
        "; ".join(f"supply in:{length}" for length in range(1, 6))
        + "; notify; receive 2; receive 1; receive 9; receive 1",
    )
    outcome = way(made)
    assert outcome.verdict == CONFORMS
    assert seen(outcome, Reclaimed) == [Reclaimed(2), Reclaimed(1), Reclaimed(2)]
    assert outcome.chains == 5


@pytest.mark.parametrize("layout", spec.LAYOUTS)
def test_supply_that_does_not_fit_is_left_out(layout: str) -> None:
    outcome = execute(
        program(f"{layout} 4", "supply out:1 in:1 in:2; supply in:3 in:4; supply in:5; supply in:6; notify")
    )
    assert outcome.verdict == CONFORMS
    assert [told.writable for told in seen(outcome, Supplied) if isinstance(told, Supplied)] == [3, 5]
    assert outcome.chains == 2


@pytest.mark.parametrize("layout", spec.LAYOUTS)
def test_held_buffers_become_available_in_one_step(layout: str) -> None:
    outcome = execute(program(f"{layout} 4", "supply in:1 held; supply in:2 held; supply in:3; notify"))
    assert seen(outcome, Published) == [Published(3)]
    assert execute(program(f"{layout} 4", "supply in:1 held; supply in:2 held; publish; notify")).chains == 2
    assert execute(program(f"{layout} 4", "supply in:1 held; supply in:2 held; notify")).chains == 2
    assert execute(program(f"{layout} 4", "supply in:1 held; supply in:2 held")).chains == 0


@pytest.mark.parametrize("way", [execute, quietly])
@pytest.mark.parametrize("layout", spec.LAYOUTS)
def test_queue_reset_with_another_size(layout: str, way: Callable[[Program], Outcome]) -> None:
    """With requests in flight; afterwards the smaller ring is filled twice."""
    steps = "lever hold=all; supply in:1; supply in:2; notify; queue-reset size=2; lever hold=0"
    steps += "; supply in:3; supply in:4; supply in:5; notify; receive 2" * 2
    outcome = way(program(f"{layout} 4 in_order ring_reset", steps))
    assert outcome.verdict == CONFORMS, outcome.violation or outcome.reason
    starts = [told for told in seen(outcome, Started) if isinstance(told, Started)]
    assert [(told.size, told.cause) for told in starts] == [(4, "init"), (2, "queue_reset")]
    assert starts[0][3:7] == starts[1][3:7]
    assert seen(outcome, Resetting) == [Resetting("queue")]
    assert outcome.chains == 4  # 5 doesn't fit, twice


def test_queue_reset_needs_its_feature() -> None:
    outcome = execute(program("split 4", "supply in:1; notify; queue-reset; supply in:2; notify"))
    assert outcome.verdict == CONFORMS
    assert not seen(outcome, Resetting)


@pytest.mark.parametrize("way", [execute, quietly])
@pytest.mark.parametrize(("layout", "in_order"), MODES)
def test_restart_in_the_second_lap(layout: str, in_order: bool, way: Callable[[Program], Outcome]) -> None:
    size = 2 if layout == spec.SPLIT else 3
    steps = "supply in:1; notify; receive 1; supply out:1 in:2; notify; receive 1; restart; supply in:1; notify"
    outcome = way(
        program(f"{layout} {size}" + " in_order" * in_order, steps + "; receive 1; restart; supply in:9; notify")
    )
    assert outcome.verdict == CONFORMS, outcome.violation or outcome.reason
    starts = [told for told in seen(outcome, Started) if isinstance(told, Started)]
    assert [told.cause for told in starts] == ["init", "restart", "restart"]
    positions = [(told.available, told.used) for told in starts]
    assert positions == ([(0, 0), (2, 2), (3, 3)] if layout == spec.SPLIT else [(0x8000, 0x8000), (0, 0), (1, 1)])
    assert outcome.chains == 4


@pytest.mark.parametrize("way", [execute, quietly])
@pytest.mark.parametrize(("layout", "in_order"), MODES)
def test_reset_with_requests_in_flight(layout: str, in_order: bool, way: Callable[[Program], Outcome]) -> None:
    steps = "lever hold=all; supply in:1; supply in:2; notify; supply in:3; reset; lever hold=0; supply in:4; notify"
    outcome = way(program(f"{layout} 4" + " in_order" * in_order, steps + "; receive 1"))
    assert outcome.verdict == CONFORMS, outcome.violation or outcome.reason
    assert outcome.chains == 1
    assert seen(outcome, Resetting) == [Resetting("device")]
    numbers = [told.buffer for told in seen(outcome, Supplied) if isinstance(told, Supplied)]
    assert numbers == [0, 1, 2, 3]  # over the whole run


def test_start_near_the_end_of_the_index() -> None:
    made = program("split 4 event_idx", "supply in:1; notify; supply in:2; notify; supply in:3; notify; receive 3")
    made = Program(made.layout, (made.queues[0].__class__(4, 0xFFFE),), made.features, "any", made.steps)
    for way in (execute, quietly):
        outcome = way(made)
        assert outcome.verdict == CONFORMS, outcome.violation or outcome.reason
        assert outcome.chains == 3
        started = seen(outcome, Started)[0]
        assert isinstance(started, Started)
        assert (started.available, started.used) == (0xFFFE, 0xFFFE)


# --- looking ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", spec.LAYOUTS)
def test_looking_leaves_what_was_seen(layout: str) -> None:
    outcome = quietly(program(f"{layout} 4", "supply in:1; supply in:2; notify; receive 2; suppress disable"))
    assert not seen(outcome, Stored)
    looks = seen(outcome, SawUsed, SawDescriptor)
    if layout == spec.SPLIT:
        assert looks == [SawUsed(2, bytes.fromhex("03000000 01000000 02000000 02000000"), 0b11)]
    else:
        assert [look.position for look in looks if isinstance(look, SawDescriptor)] == [0, 1]
    kinds = [type(observation) for observation in seen(outcome, Suppressed, Rechecked)]
    assert kinds[-2:] == [Suppressed, Rechecked]
    assert judge(load(dump(outcome.trace)))[0] is None


def test_unchanged_elements_are_told_from_written_ones() -> None:
    """The used ring as it was looked at last stands beside: bit i says that the i-th element differs."""
    made = program("split 2 in_order", "supply in:8; notify; receive 1; " * 3 + "supply in:8; notify; receive 1")
    looks = [look for look in seen(quietly(made), SawUsed) if isinstance(look, SawUsed)]
    assert [look.idx for look in looks] == [1, 2, 3, 4]
    assert [look.changed for look in looks] == [1, 1, 0, 0]  # the second lap writes the same bytes again


#: Where looking shows nothing of a fault: what was written and overwritten since, or in which order, leaves no mark,
#: and of two elements swapped inside one look the oracle can only warn.
BY_LOOKING = {
    ("a05", "split"): CONFORMS,
    ("a08", "split"): CONFORMS,
    ("a08", "packed"): CONFORMS,
    ("a16", "packed"): CONFORMS,
    ("a19", "split"): CONFORMS,
}
#: Found under another of its names: by looking, the last of several stores is seen first.
OTHERWISE = ("a17", "a20")
WAITED = ("INO-LIVE", "VQ-LIVE", "S-UN-DEV-EV-MUST", "P-EV-DESC-DEV")


@pytest.mark.parametrize(("fault", "head", "steps", "rule"), MINIMAL, ids=IDS)
def test_faults_are_found_by_looking(fault: str, head: str, steps: str, rule: str) -> None:
    made = program(head, steps)
    outcome = quietly(made, fault, patient=True)
    expected = BY_LOOKING.get((fault, made.layout))
    if rule != "INO-RESTART" and expected:
        assert outcome.rule == expected, outcome.violation
    else:
        named = FAULTS[fault].rules if fault in OTHERWISE else (rule,)
        assert outcome.verdict == VIOLATES, outcome.reason
        assert outcome.rule in named, outcome.violation
    hasty = quietly(made, fault)
    assert hasty.verdict == (UNDECIDED if outcome.rule in WAITED else outcome.verdict)  # expired waits prove nothing
    clean = quietly(made, patient=True)
    assert clean.verdict == CONFORMS, clean.violation or clean.reason
    assert not clean.warnings


def test_reordering_inside_one_look_is_warned_of() -> None:
    outcome = quietly(program("split 4 in_order", "lever order=lifo; supply in:8; supply in:8; notify"), "a05")
    assert outcome.verdict == CONFORMS
    assert [warning.rule for warning in outcome.warnings] == ["INO-S-MASK"]
    single = "supply in:8; supply in:8; lever hold=1; notify; receive 1"
    assert quietly(program("split 4 in_order", single), "a05").rule == "INO-ORDER"


@pytest.mark.parametrize("seed", range(6))
def test_clean_model_is_not_accused_by_looking(seed: int) -> None:
    """Nor undecided: what it was told to hold back is not waited for."""
    limits = Model().limits
    for index in range(50):
        outcome = quietly(nth(seed, index, limits))
        assert outcome.verdict == CONFORMS, (index, outcome.violation or outcome.reason)


def test_wait_that_expired_is_undecided_until_it_was_long() -> None:
    dropping = program("split 4", "supply out:1; notify; receive 1")
    outcome = quietly(dropping, "a09")
    assert (outcome.verdict, outcome.rule) == (UNDECIDED, UNDECIDED)
    assert "b0 was not used within" in outcome.reason
    assert quietly(dropping, "a09", patient=True).rule == "VQ-LIVE"
