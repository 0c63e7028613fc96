"""A program for no device in particular, as one for a target: the same idea, in requests that the device knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fuzz import encoding
from fuzz.adapting import Unfit, adapt
from fuzz.cases import boundary
from fuzz.confirm import Runner
from fuzz.plan import corpus
from fuzz.program import Limits, Supply, directly, divide
from fuzz.targets.model import Model
from fuzz.targets.presets import PRESETS
from oracles import spec

BLK = replace(PRESETS["qemu-storage-daemon"].limits, layouts=spec.LAYOUTS, in_order=(False, True))
NET = PRESETS["dpdk-vhost"].limits


def program(text: str):
    return encoding.load("virtqueue-program 1\n" + text, "here")


FULL = "queue split 4\nfeatures version_1 in_order\nsupply in:1\nsupply in:1\nsupply in:1\nsupply in:1\nnotify\n"


def slots(made) -> list[int]:
    """Descriptors that each buffer takes in the ring."""
    from fuzz.devices import load

    found = []
    for step in made.steps:
        if isinstance(step, Supply):
            assert step.request is not None
            message = load(made.device, {}).message(step.request, 0, step.queue)
            first, second = divide(len(message.readable), message.writable, step.cut)
            count = len(first) + len(second)
            direct = directly(step, count, made.layout, made.features)
            found.append(direct + (direct < count))
    return found


def test_full_ring_stays_full_where_requests_need_more_descriptors() -> None:
    made = adapt(program(FULL), BLK)
    assert made.device == "blk"
    assert sum(slots(made)) == made.queues[0].size == 8


def test_chain_of_size_stays_one() -> None:
    chain = "queue packed 5\nfeatures version_1\nsupply out:1 out:1 in:1 in:1 in:1\nnotify\nreceive 1\n"
    made = adapt(program(chain), BLK)
    assert slots(made) == [5]
    assert made.queues[0].size == 5


def test_net_programs_use_the_queue_that_always_answers() -> None:
    made = adapt(program(FULL), NET)
    assert [step.queue for step in made.steps if isinstance(step, Supply)] == [1, 1, 1, 1]
    assert len(made.queues) == 2


def test_the_same_program_becomes_the_same() -> None:
    assert adapt(program(FULL), BLK) == adapt(program(FULL), BLK)


def test_what_only_a_model_can_do_is_left_out() -> None:
    made = adapt(program("queue split 2\nfeatures version_1\nlever order=lifo\nsupply in:1\nnotify\n"), BLK)
    assert len(made.steps) == 2


@pytest.mark.parametrize(
    ("text", "limits", "lack"),
    [
        ("queue packed 2\nfeatures version_1\nsupply in:1\n", replace(BLK, layouts=("split",)), "no packed virtqueues"),
        (FULL, replace(BLK, in_order=(False,)), "in_order is not offered"),
        ("queue split 2\nfeatures version_1 event_idx\nsupply in:1\n", replace(BLK, features=0), "event_idx is not"),
        ("queue split 2\nfeatures version_1\nsupply in:1\nrestart\n", replace(BLK, actions=frozenset()), "stopped and"),
        ("queue split 2 start=9\nfeatures version_1\nsupply in:1\n", replace(BLK, actions=frozenset()), "but at 0"),
        ("queue split 512\nfeatures version_1\nsupply in:1\n", BLK, "no queues of 1024 entries"),
        ("device net\nqueue split 2\nqueue split 2\nfeatures version_1\nsupply room length=1526\n", BLK, "about net"),
        ("queue split 2\nqueue split 2\nqueue split 2\nfeatures version_1\nsupply in:1\n", NET, "about 3 queues"),
    ],
)
def test_what_a_target_lacks_is_said(text: str, limits: Limits, lack: str) -> None:
    with pytest.raises(Unfit, match=lack):
        adapt(program(text), limits)


def test_features_that_a_program_is_not_about_are_left_out() -> None:
    made = adapt(program(FULL), replace(BLK, in_order=(False,)), needs=0)
    assert not made.in_order


@pytest.mark.parametrize("limits", [BLK, NET, Limits()], ids=["blk", "net", "any"])
def test_everything_that_is_to_be_checked_becomes_a_program_that_can_be_written(limits: Limits) -> None:
    count = 0
    for name, made in (*corpus(), *boundary.programs()):
        try:
            fit = adapt(made, limits, 0)
        except Unfit:
            continue
        count += 1
        assert encoding.load(encoding.dump(fit), name) == fit
    assert count > 100


def test_boundaries_conform_on_the_model() -> None:
    runner = Runner(Model())
    for name, made in boundary.programs():
        outcome = runner.run(adapt(made, runner.target.limits))
        assert outcome.verdict == "CONFORMS", name
        assert outcome.chains, name
        assert not outcome.warnings, name


def test_names_of_boundaries_are_unique() -> None:
    names = [name for name, _ in boundary.programs()]
    assert len(names) == len(set(names))


def test_corpus_is_found() -> None:
    root = Path(__file__).resolve().parent.parent / "corpus"
    ideas = ("in_order", "wrap", "indirect", "suppression", "reset")
    assert len(corpus()) == sum(len(list((root / idea).iterdir())) for idea in ideas)
