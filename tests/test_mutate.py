"""Mutation and crossover: always a program within the limits, the same everywhere, and anything can come of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from fuzz import hostile
from fuzz.choices import Seeded
from fuzz.encoding import dump, load
from fuzz.fitting import fit
from fuzz.generate import longest, nth, uniform
from fuzz.mutate import cross, mutate
from fuzz.program import (
    Add,
    Call,
    Callbacks,
    Get,
    Kick,
    Lever,
    Limits,
    Misuse,
    Notify,
    Poke,
    Program,
    Publish,
    Queue,
    QueueReset,
    Receive,
    Reset,
    Restart,
    Supply,
    Suppress,
    Use,
    Wild,
    directly,
)
from oracles import spec

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
LEVERS = (("order", ("fifo", "lifo", "shuffle")), ("hold", ("0", "1", "all")))
ACTIONS = frozenset({"reset", "queue_reset", "restart"})
LIMITS = {
    "any": Limits(levers=LEVERS, pulses=(("frame", ("1", "60")),), queues=3),
    "plain": Limits(actions=frozenset(), features=0, in_order=(True,), layouts=(spec.SPLIT,), split_sizes=(4, 16)),
    "packed": Limits(layouts=(spec.PACKED,), packed_sizes=(3, 7), longest_element=16, mixed_indirect=False, steps=20),
    "blk": Limits(device="blk", hints=(("capacity", 100),), mixed_indirect=False),
    "net": Limits(device="net", queues=2, steps=60),
    "singly": Limits(singly=True, steps=30),
    "hostile": Limits(actions=Limits().actions | {"hostile"}, queues=2),
    "wild blk": Limits(device="blk", actions=Limits().actions | {"hostile"}),
    "device": Limits(role="device", actions=ACTIONS, longest_element=512, steps=80),
    "passive": Limits(role="device", actions=frozenset({"passive"}), features=0),
    "hostile device": Limits(role="device", actions=ACTIONS | {"hostile"}, longest_element=512),
}
each = pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
BY_ACTION = {Reset: "reset", QueueReset: "queue_reset", Restart: "restart", Poke: "hostile", Wild: "hostile",
             Misuse: "hostile"}  # fmt: skip


def drawn(limits: Limits, seed: int, index: int) -> Program:
    """A program to begin with."""
    if "hostile" in limits.actions and limits.role == "driver":
        return hostile.nth(seed, index, limits)
    return nth(seed, index, limits)


def check(program: Program, limits: Limits) -> None:
    """That *program* is valid, and within *limits*; written without looking at how that is brought about."""
    assert load(dump(program)) == program
    assert program.role == limits.role
    assert program.device == limits.device
    assert program.layout in limits.layouts
    assert program.in_order in limits.in_order
    reset = spec.RING_RESET if "queue_reset" in limits.actions else 0
    assert not program.features & ~(spec.VERSION_1 | spec.IN_ORDER | limits.features | reset)
    sizes = limits.split_sizes if program.layout == spec.SPLIT else limits.packed_sizes
    assert all(queue.size in sizes for queue in program.queues)
    assert len(program.queues) <= limits.queues
    assert len(program.queues) == limits.queues or limits.device == "any"
    if "start" not in limits.actions or program.layout == spec.PACKED or limits.role == "device":
        assert not any(queue.start for queue in program.queues)
    assert len(program.steps) <= longest(limits)
    for step in program.steps:
        assert BY_ACTION.get(type(step), "reset") in limits.actions | {"reset"}
        check_step(step, program, limits)
    if limits.singly:
        for first, second in pairwise(program.steps):
            assert isinstance(first, Supply) == (
                second == Notify(True, first.queue if isinstance(first, Supply) else -1)
            )


def check_step(step: object, program: Program, limits: Limits) -> None:
    known = dict((*limits.levers, *limits.pulses))
    if isinstance(step, Supply):
        assert not step.gap or "gap" in limits.actions
        assert (step.request is None) == (limits.device == "any")
        count = len(step.readable) + len(step.writable)
        if step.indirect:
            assert limits.mixed_indirect
            assert program.layout == spec.SPLIT
        assert max((*step.readable, *step.writable, 1)) <= limits.longest_element
        if count:
            largest = max(sizes for sizes in (*limits.split_sizes, *limits.packed_sizes))
            assert 0 < directly(step, count, program.layout, program.features) + 1 <= largest + 1
    elif isinstance(step, Lever):
        assert step.value in known[step.name]
    elif isinstance(step, Receive):
        assert not step.asleep or "asleep" in limits.actions
    elif isinstance(step, Suppress) and limits.role == "driver":
        assert step.mode != "event" or program.features & spec.EVENT_IDX
        assert not (step.junk and program.features & spec.EVENT_IDX)
    elif isinstance(step, Add):
        assert 0 < len(step.readable) + len(step.writable) <= program.queues[0].size
    if "passive" in limits.actions:
        assert isinstance(step, Callbacks | Use | Call | Suppress)


@each
def test_a_mutant_is_valid_and_within_the_limits(limits):
    program = drawn(limits, 1, 0)
    choices = Seeded(2)
    for round_ in range(250):
        program = mutate(program, choices, limits)
        check(program, limits)
        if round_ % 25 == 24:
            program = drawn(limits, 1, round_)


@each
def test_a_child_of_two_is_valid_and_within_the_limits(limits):
    choices = Seeded(3)
    for index in range(120):
        check(cross(drawn(limits, 4, index), drawn(limits, 5, index), choices, limits), limits)


@each
def test_mutation_depends_on_the_choices_alone(limits):
    programs = [drawn(limits, 6, index) for index in range(12)]
    made = []
    for _ in range(2):
        choices = Seeded(7)
        made.append([mutate(program, choices, limits) for program in programs]
                    + [cross(a, b, choices, limits) for a, b in pairwise(programs)])  # fmt: skip
    assert made[0] == made[1]


@each
def test_mutation_changes_something(limits):
    choices = Seeded(8)
    programs = [fit(drawn(limits, 9, index), limits) for index in range(60)]
    assert sum(mutate(program, choices, limits) != program for program in programs) >= 58


@pytest.mark.parametrize("name", LIMITS)
def test_what_was_generated_fits_as_it_is(name):
    limits = LIMITS[name]
    for index in range(150):
        program = drawn(limits, 10, index)
        if "hostile" not in limits.actions:
            assert fit(program, limits) == program
        once = fit(program, limits)
        assert fit(once, limits) == once


DRIVER_KINDS = {Supply, Publish, Notify, Receive, Suppress, Reset, QueueReset, Restart, Lever}
DEVICE_KINDS = {Add, Kick, Get, Callbacks, Use, Call, Suppress, Reset, QueueReset, Restart}
KINDS = {
    "any": DRIVER_KINDS,
    "hostile": DRIVER_KINDS - {Lever, QueueReset, Restart} | {Poke},
    "wild blk": DRIVER_KINDS - {Lever, QueueReset, Restart} | {Poke, Wild},
    "device": DEVICE_KINDS,
    "hostile device": DEVICE_KINDS | {Misuse},
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_step_can_come_and_go(name):
    limits = LIMITS[name]
    choices = Seeded(11)
    came: Counter[type] = Counter()
    went: Counter[type] = Counter()
    empty = replace(nth(1, 0, limits), steps=())
    for _ in range(40):
        program = empty
        for _ in range(20):
            before = {type(step) for step in program.steps}
            program = mutate(program, choices, limits)
            now = {type(step) for step in program.steps}
            came.update(now - before)
            went.update(before - now)
    assert set(came) >= KINDS[name]
    assert set(went) >= KINDS[name]


def test_headers_change_within_the_limits():
    limits = LIMITS["any"]
    choices = Seeded(12)
    program = nth(1, 3, limits)
    seen: dict[str, set[object]] = {"layout": set(), "features": set(), "queues": set(), "start": set(), "size": set()}
    for _ in range(1500):
        program = mutate(program, choices, limits)
        seen["layout"].add(program.layout)
        seen["features"].add(program.features)
        seen["queues"].add(len(program.queues))
        seen["start"] |= {queue.start >> 12 for queue in program.queues}
        seen["size"] |= {queue.size for queue in program.queues}
    assert seen["layout"] == set(spec.LAYOUTS)
    assert seen["queues"] == {1, 2, 3}
    assert seen["size"] == {*limits.split_sizes, *limits.packed_sizes}
    assert len(seen["features"]) == 16
    assert {0, 7, 15} <= seen["start"]


@pytest.mark.parametrize("field", ["order", "singly", "junk", "length", "count"])
def test_every_property_of_a_batch_changes(field):
    limits = LIMITS["device"]
    base = Program(queues=(Queue(8),), role="device", steps=(Use(2),))
    choices = Seeded(13)
    values = set()
    for _ in range(400):
        values |= {getattr(step, field) for step in mutate(base, choices, limits).steps if isinstance(step, Use)}
    assert len(values) >= {"order": 3, "singly": 2, "junk": 2, "length": 4, "count": 5}[field]


def test_a_child_has_steps_of_both():
    limits = LIMITS["device"]
    a = Program(queues=(Queue(8),), role="device", steps=(Kick(),) * 20)
    b = Program(queues=(Queue(4),), role="device", steps=(Call(),) * 20)
    choices = Seeded(14)
    children = [cross(a, b, choices, limits) for _ in range(100)]
    assert all(child.queues == a.queues for child in children)
    assert sum({type(step) for step in child.steps} == {Kick, Call} for child in children) > 80


@each
def test_the_whole_corpus_can_be_made_to_fit(limits):
    """Programs of either side, of any device class, hostile or not."""
    files = sorted(CORPUS.rglob("*.vq"))
    assert len(files) > 200
    for path in files[:: 1 if limits.device == "any" else 5]:
        check(fit(load(path.read_text(encoding="utf-8"), str(path)), limits), limits)


def test_a_program_that_cannot_be_mutated_is_left_as_it_is():
    limits = Limits(layouts=(spec.SPLIT,), split_sizes=(1,), features=0, actions=frozenset(), in_order=(True,))
    program = uniform(Seeded(1), limits)
    check(mutate(program, Seeded(1), limits), limits)


def test_hostile_mutants_end_in_a_reset_and_plain_traffic():
    limits = LIMITS["hostile"]
    choices = Seeded(15)
    program = drawn(limits, 16, 0)
    wild = 0
    for index in range(300):
        program = mutate(program if index % 20 else drawn(limits, 16, index), choices, limits)
        if not program.hostile:
            continue
        wild += 1
        last = max(at for at, step in enumerate(program.steps) if isinstance(step, Poke | Wild))
        behind = program.steps[last:]
        assert sum(isinstance(step, Reset) for step in program.steps) == 1
        assert any(isinstance(step, Reset) for step in behind)
        assert any(isinstance(step, Receive) for step in behind)
    assert wild > 100
