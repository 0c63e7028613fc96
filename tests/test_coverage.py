"""Campaigns that are guided by what their target counts: on a back-end with twelve outcomes, compiled here."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from functools import partial

import pytest

from fuzz.coverage.feedback import Feedback, Seen, edge, likeness
from fuzz.coverage.steering import steering
from fuzz.program import Limits
from fuzz.registry import make
from fuzz.targets import QueueConfig
from fuzz.targets.counters import Compared, PlainCounters
from fuzz.targets.vhost_user.counting import _rests
from fuzz.targets.vhost_user.target import make as backend_target
from fuzz.trouble import UsageTrouble
from fuzz.values import Pair
from oracles import spec
from tests.coverage_kit import OUTCOMES, Run, compiled, needs_gcc

RUNS = 200


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("backend"))


@needs_gcc
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_coverage_reaches_more_than_blind_fuzzing_with_as_many_inputs(backend, tmp_path, seed):
    guided = Run(backend, tmp_path, seed, RUNS, "auto")
    steered = guided.campaign.steering
    assert steered is not None
    blind = Run(backend, tmp_path, seed, RUNS + steered.again, "off")  # what ran twice counts twice
    assert blind.campaign.steering is None
    assert (guided.code, blind.code) == (0, 0)
    assert not any("warning" in line for line in (*guided.said, *blind.said))  # an answer of 16 bytes is enough
    assert len(guided.outcomes) > len(blind.outcomes), (guided.outcomes, blind.outcomes)
    assert guided.outcomes <= set(range(OUTCOMES))


@needs_gcc
def test_the_same_seed_makes_the_same_programs_and_the_line_says_how_far_it_is(backend, tmp_path):
    first, second = (Run(backend, tmp_path, 5, 60, "auto") for _ in range(2))
    assert [*first.kept()] == [*second.kept()]
    assert first.outcomes == second.outcomes
    steered = first.campaign.steering
    assert steered is not None
    assert not steered.feedback.masked  # one thread, asked after each kick: nothing is chance
    assert steered.again == 4
    summary = first.said[-2]
    assert re.search(r" · \d+ edges, \d+ programs kept · no violation$", summary)
    assert "--coverage" not in first.said[-1]


@needs_gcc
def test_switched_off_or_without_counters_nothing_changes(backend, tmp_path):
    off = Run(backend, tmp_path, 1, 5, "off")
    assert off.said[-1].endswith(f"--coverage off --out {tmp_path}/finds")
    assert not any("guided" in line for line in off.said)
    target = make("model")
    assert steering("auto", target, 1, target.limits, "legal") is None
    with pytest.raises(UsageTrouble, match="--coverage is auto or off, not 'on'"):
        steering("on", target, 1, target.limits, "legal")


@needs_gcc
def test_hostile_programs_are_guided_too(backend, tmp_path):
    ran = Run(backend, tmp_path, 1, 30, "auto", mode="hostile")
    assert ran.code == 0, ran.said
    assert all("\npoke " in text or "\nsay " in text for text in ran.kept())


@needs_gcc
def test_a_back_end_with_threads_or_children_is_not_waited_for(backend, tmp_path):
    """A shell between us and it: what the process that we know does, tells nothing of when a kick was served."""
    script = tmp_path / "between"
    script.write_text(f'#!/bin/sh\n{backend} "$1" "$2"\nexit $?\n')
    script.chmod(0o755)
    target = backend_target(f"exec[raw]:{script} {{socket}} {tmp_path}/marks")
    try:
        assert target.counters() is not None
        target.probe()
        session = target.open()
        assert not session.awaits
        session.close()
    finally:
        target.close()


@needs_gcc
def test_who_does_not_take_a_kick_is_not_asked_again(backend, tmp_path, monkeypatch):
    monkeypatch.setattr("fuzz.targets.vhost_user.session._HEED", 0.05)
    target = backend_target(f"exec[raw]:{backend} {{socket}} {tmp_path}/marks")
    try:
        target.counters()
        session = target.open()
        session.start(spec.VERSION_1, [QueueConfig(8, 64, 192, 256)])
        session.notify(0)
        assert (session.awaits, session.heedless) == (True, False)
        session.stop(0)
        session.notify(0)  # nobody listens to it
        assert (session.awaits, session.heedless) == (False, True)
        session.close()
        assert not target.open().awaits  # from now on places that differ are masked
    finally:
        target.close()


def test_a_process_that_is_busy_all_the_time_is_not_waited_for(monkeypatch):
    limit = "fuzz.targets.vhost_user.counting._REST"
    monkeypatch.setattr(limit, 60.0)
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as busy, subprocess.Popen(["sleep", "60"]) as idle:
        try:
            assert _rests(idle.pid)
            monkeypatch.setattr(limit, 0.1)
            assert not all(_rests(busy.pid) for _ in range(20))
        finally:
            busy.kill()
            idle.kill()
    assert _rests(busy.pid)  # it is gone


@needs_gcc
def test_what_is_counted_belongs_to_one_session(backend, tmp_path):
    target = backend_target(f"exec[raw]:{backend} {{socket}} {tmp_path}/marks")
    try:
        counters = target.counters()
        assert counters is not None
        seen = []
        for _ in range(3):
            target.open().close()
            seen.append(counters.hits())
        assert seen[0]
        assert seen[0] == seen[1] == seen[2]
    finally:
        target.close()
    assert not [name for name in os.listdir("/proc/self/fd") if "vqfuzz-counters" in _name(name)]


def _name(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


@pytest.mark.target("linux-source-6.12")
def test_a_driver_built_for_coverage_guides_the_search():
    target = make("linux-ring:6.12,build=coverage")
    try:
        limits = replace(target.limits, layouts=("split",))
        steered = steering("auto", target, 1, limits, "legal")
        assert steered is not None
        from fuzz.confirm import Runner

        runner = Runner(target)
        for index in range(10):
            program = steered.program(index)
            runner.run(program)
            steered.ran(program, partial(runner.run, program))
        assert len(steered.feedback.edges) > 50
        assert steered.search.kept
    finally:
        target.close()
    plain = make("linux-ring:6.12")
    assert steering("auto", plain, 1, Limits(role="device"), "legal") is None


# --- what counts tell ------------------------------------------------------------------------------------------------


class Counting(PlainCounters):
    """Counters of nothing, with comparisons of our own."""

    def __init__(self, compared=()):
        super().__init__(memoryview(bytearray(64)))
        self.comparisons = [*compared]

    def compared(self):
        return self.comparisons


def test_counts_fall_into_eight_classes():
    classes = [edge(0, count) for count in range(1, 256)]
    assert classes == sorted(classes)
    assert {*classes} == {*range(8)}
    assert [count for count in range(2, 256) if edge(0, count) != edge(0, count - 1)] == [2, 3, 4, 8, 16, 32, 128]
    assert edge(7, 1) == edge(6, 1) + 8


def test_likeness_counts_bytes_in_their_places():
    assert likeness(Compared(1, 0x11223344, 0x11229944, 4)) == 3
    assert likeness(Compared(1, 0x44332211, 0x11223344, 4)) == 0
    assert likeness(Compared(1, 0, 1 << 63, 8)) == 7


def test_a_comparison_that_gets_closer_is_something_new():
    far, near = Compared(9, 0xAA, 0xBBCC, 2, True), Compared(9, 0xBBAA, 0xBBCC, 2, True)
    assert not Feedback(Counting([far])).look().features
    assert len(Feedback(Counting([near])).look().features) == 1
    assert Feedback(Counting([near])).look().pairs == (Pair(9, 0xBBAA, 0xBBCC, 2, True),)


def test_addresses_of_a_process_are_no_values():
    pointer = Compared(9, 0x7FFD12345678, 0, 8)
    assert Feedback(Counting([pointer])).look() == Seen(frozenset(), ())


def test_places_that_come_and_go_are_masked():
    counters = Counting([Compared(50, 0x1234, 0x12FF, 2)])
    feedback = Feedback(counters)
    counters.memory[3] = 1
    counters.memory[4] = 1
    first = feedback.look()
    counters.memory[4] = 9  # another class
    counters.comparisons = []
    second = feedback.look()
    assert feedback.unsteady(first.features, second.features) == 2
    assert feedback.steady(first.features) == {edge(3, 1)}
    assert feedback.look().features == {edge(3, 1)}
    assert feedback.edges == {3}
    assert feedback.unsteady(first.features, second.features) == 0  # they were known
