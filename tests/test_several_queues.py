"""We are the device, and the driver has several queues: text, draws, books for each, and one not disturbing another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from fuzz.confirm import Needs, Runner, minimise
from fuzz.encoding import ProgramError, dump, load
from fuzz.generate import nth
from fuzz.program import Program, Reset
from fuzz.report.story import tell
from fuzz.simpler import on_queue
from fuzz.targets import Target, TargetError
from fuzz.targets.linux_ring.target import LinuxRing
from fuzz.targets.model_driver import ModelDriver, ModelDriverSession, ModelQueue
from fuzz.verdict import CONFORMS, VIOLATES, Outcome
from oracles.driver_oracle import judge_driver
from oracles.trace import Returned
from oracles.trace import dump as dump_trace
from oracles.trace import load as load_trace

LIMITS = ModelDriver.limits
HEAD = "virtqueue-program 1\nrole device\nqueue split 4\nqueue split 8\nfeatures version_1 in_order ring_reset\n"
EVERY_STEP = HEAD + (
    "add out:16 in:512 queue=1\nkick queue=1\nuse 3 length=2 reversed singly junk queue=1\n"
    "suppress event ahead=2 queue=1\nget 2 asleep queue=1\ncallbacks delayed queue=1\ncall force queue=1\n"
    "misuse id=99 queue=1\nreset\nqueue-reset size=4 queue=1\nrestart queue=1\n"
)  # fmt: skip
BOTH = "add in:4\nadd in:4 queue=1\nadd in:4 queue=1\nkick\nkick queue=1\nuse 2 queue=1\ncall queue=1\nuse 1\n"


def of(steps: str, layout: str = "split", queues: int = 2) -> Program:
    head = f"virtqueue-program 1\nrole device\n{f'queue {layout} 4' + chr(10)}" + f"queue {layout} 4\n" * (queues - 1)
    return load(f"{head}features version_1 in_order ring_reset\n{steps}")


def run(program: Program, fault: str = "") -> Outcome:
    return Runner(cast("Target", ModelDriver(fault))).run(program)


def test_text_of_every_step_names_its_queue():
    program = load(EVERY_STEP)
    assert dump(program) == EVERY_STEP
    assert all(on_queue(step) == 1 for step in program.steps if not isinstance(step, Reset))


@pytest.mark.parametrize(
    "line", ["add in:1", "kick", "use 1", "get 1", "callbacks on", "call", "misuse id", "restart", "queue-reset"]
)
def test_a_queue_that_there_is_not_is_refused(line):
    with pytest.raises(ProgramError, match="queue"):
        load(f"{HEAD}{line} queue=2\n")


def test_some_programs_have_several_queues_where_there_may_be_some():
    programs = [nth(1, index, LIMITS) for index in range(200)]
    counts = Counter(len(program.queues) for program in programs)
    assert all(counts[count] > 10 for count in range(1, LIMITS.queues + 1)), counts
    assert all(load(dump(program)) == program for program in programs)
    used = {on_queue(step) for program in programs for step in program.steps} - {None}
    assert used == set(range(LIMITS.queues))
    alone = replace(LIMITS, queues=1)
    assert {len(nth(1, index, alone).queues) for index in range(100)} == {1}


def test_a_driver_that_cannot_be_asked_has_all_of_its_queues():
    passive = replace(LIMITS, queues=2, actions=frozenset({"passive"}))
    assert {len(nth(1, index, passive).queues) for index in range(50)} == {2}


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_each_queue_has_its_own_books(layout):
    later = "queue-reset queue=1\nadd in:3 queue=1\nuse 1 queue=1\nget 1 queue=1\nadd in:3\nuse 1\nget 1\n"
    last = "reset\nadd out:1 queue=1\nuse 1 queue=1\nget 1 queue=1\n"
    outcome = run(of(f"{BOTH}get 2 queue=1\nget 1\n{later}{last}", layout))
    assert (outcome.verdict, outcome.reason) == (CONFORMS, "")
    assert outcome.by_queue == {0: 2, 1: 4}
    assert [number for number, seen in outcome.trace if isinstance(seen, Returned)] == [1, 1, 0, 1, 0, 1]
    violation, warnings = judge_driver(load_trace(dump_trace(outcome.trace)))
    assert (violation, warnings) == (None, [])


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_a_fault_on_the_second_queue_is_told_of_it_and_made_one_queue(layout):
    program = of(BOTH + "get 1 queue=1\ncallbacks on queue=1\nget 1\n", layout)
    runner = Runner(cast("Target", ModelDriver("a44")))
    outcome = runner.run(program)
    assert (outcome.verdict, outcome.rule) == (VIOLATES, "VQ-DRV-WAKE")
    assert outcome.violation is not None
    assert outcome.violation.queue == 1
    smaller = minimise(runner, program, outcome, Needs(outcome.rule)).program
    assert len(smaller.queues) == 1
    assert len(smaller.steps) == 5
    rows = tell(program, outcome.trace, outcome.marks).rows
    assert rows[-1].bad
    assert any(row.device.startswith("q1: ") for row in rows)
    assert {row.model[:3] for row in rows} == {"q0 ", "q1 "}


def swapped(session: ModelQueue) -> tuple[int, int] | None:
    """Hands up what came back on the other queue."""
    root = cast("ModelDriverSession", session.root)
    other = root.another(1) if session is root else root
    return ModelQueue.get(other)


def resets_all(session: ModelQueue) -> list[int]:
    """Resets one queue, and the other with it."""
    root = cast("ModelDriverSession", session.root)
    return [token for queue in (root, root.another(1)) for token in queue.resize(queue.queue.size)]


@pytest.mark.parametrize(
    ("name", "planted", "steps", "rules"),
    [
        ("get", swapped, BOTH + "get 1\n", {"INO-DRV-WALK", "VQ-DRV-HANDED"}),
        ("reset_queue", resets_all, "add in:4\nadd in:4\nqueue-reset queue=1\n", {"S-AVAIL-MONO"}),
    ],
)
def test_a_queue_that_disturbs_another_is_found(monkeypatch, name: str, planted: Callable[..., object], steps, rules):
    if name == "reset_queue":
        monkeypatch.setattr(ModelQueue, name, planted)
    else:
        monkeypatch.setattr(ModelDriverSession, name, planted)
    monkeypatch.setattr(ModelQueue, "listen", lambda session, observer: False)  # as where stores aren't logged
    outcome = run(of(steps))
    assert outcome.verdict == VIOLATES
    assert outcome.rule in rules, outcome.violation


def test_more_queues_than_there_are_is_no_verdict():
    with pytest.raises(TargetError, match="at most 4 queues"):
        run(of("kick\n", queues=5))


@pytest.mark.target("linux-source-7.3")
@pytest.mark.parametrize("layout", ["split", "packed"])
def test_linux_has_several_queues_of_one_device(layout):
    target = LinuxRing("linux-ring:7.3", "7.3")
    try:
        runner = Runner(cast("Target", target))
        outcome = runner.run(of(BOTH + "get 2 queue=1\nget 1\nreset\nadd in:4 queue=1\nuse 1 queue=1\nget 1 queue=1\n",
                                layout))  # fmt: skip
        assert (outcome.verdict, outcome.reason) == (CONFORMS, "")
        assert outcome.by_queue == {0: 1, 1: 3}
        with pytest.raises(TargetError, match="at most 4 queues"):
            runner.run(of("kick\n", layout, queues=5))
        again = of(BOTH + "get 1 queue=1\ncallbacks on queue=1\n", "packed")
        assert runner.run(again).violation.queue == 1  # type: ignore[union-attr]  # poll-forgets-batch, as on one
    finally:
        target.close()
