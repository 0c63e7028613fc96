"""What a run exercised, in words: states of the rings, shapes of buffers, rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fuzz import encoding
from fuzz.confirm import Runner
from fuzz.features import features, number
from fuzz.generate import nth
from fuzz.registry import make
from fuzz.targets.model import Model
from oracles.trace import Resetting

HEAD = "virtqueue-program 1\nqueue {}\nfeatures version_1 {}\n"


def of(steps: str, queue: str = "split 4", bits: str = "in_order", target: str = "model") -> frozenset[str]:
    program = encoding.load(HEAD.format(queue, bits) + steps)
    return features(program, Runner(make(target)).run(program))


BATCH = "lever batch=all\nsupply in:8 held\nsupply in:8 held\nsupply in:8\nnotify\nreceive 3\n"


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_occupancy_and_batches_are_classes(layout):
    found = of(BATCH, f"{layout} 4")
    where = f"{layout} in_order: "
    assert where + "occupied=6" in found, "three of four descriptors are six eighths"
    assert where + "published=2" in found, "2 and 3 are one class"
    assert where + "batch=2" in found
    assert where + "batch=1" not in found
    assert where + "batch of 2 at=6" in found
    assert not any("out of order" in one for one in found)


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_the_end_of_the_ring_is_passed_exactly_or_across(layout):
    one = "supply in:8\nnotify\nreceive 1\n"
    found = of(one * 2, f"{layout} 2")
    assert f"{layout} in_order: used passes the end=exactly" in found
    assert f"{layout} in_order: used laps=1" in found
    assert f"{layout} in_order: used laps=2" not in found
    assert not any("passes the end" in one for one in of(one, f"{layout} 2"))
    assert f"{layout} in_order: used laps=2" in of(one * 4, f"{layout} 2")
    wide = "supply out:8 in:8\nnotify\nreceive 1\n"
    across = "packed in_order: available passes the end=across"
    assert (across in of(one + wide, f"{layout} 2")) == (layout == "packed"), "a split ring has a slot for each buffer"


def test_65536_is_passed_by_split_positions():
    found = of("supply in:8\nnotify\nreceive 1\n" * 2, "split 4 start=65535")
    assert {"split in_order: used passes 65536", "split in_order: available passes 65536"} <= found
    assert not any("65536" in one for one in of("supply in:8\nnotify\nreceive 1\n", "split 4 start=65534"))


def test_completions_that_were_not_published_show():
    several = "lever hold=all\n" + "supply in:8 held\n" * 3 + "supply in:8\nnotify\nlever hold=none\nreceive 4\n"
    found = of(several, "split 4", "")
    assert any(one.startswith("split: unpublished=") for one in found)


def test_tables_and_direct_buffers_and_their_order():
    steps = "supply in:8\nsupply in:8 in:8 indirect\nsupply out:8 in:8 in:8 indirect=1\nnotify\nreceive 3\n"
    found = of(steps, "split 8", "in_order indirect_desc")
    assert {"split in_order: direct then table", "split in_order: table then mixed"} <= found
    assert "split in_order: mixed of readable+writable=2" in found
    assert "split in_order: features=indirect_desc" in found


def test_resets_say_what_was_in_flight():
    found = of("supply in:8\nsupply in:8\nreset\n")
    assert "split in_order: device with outstanding=2" in found
    assert "split in_order: start by reset" in found


def test_rules_of_the_side_under_test():
    found = of(BATCH)
    assert {"rule INO-ORDER", "rule S-USED-ID", "lever batch=all"} <= found
    assert "rule P-USED-ID" not in found
    program = encoding.load(
        "virtqueue-program 1\nrole device\nqueue split 4\nfeatures version_1 in_order\n"
        "add in:8\nadd in:8\nkick\nuse 2\ncall\nget 2\n"
    )
    other = features(program, Runner(make("model-driver")).run(program))
    assert "split in_order: batch=2" in other
    assert "rule INO-ORDER" not in other
    assert any(one.startswith("rule ") for one in other)


def test_the_same_program_has_the_same_features():
    for index in range(30):
        target = Model()
        program = nth(7, index, target.limits)
        first, second = (features(program, Runner(Model()).run(program)) for _ in range(2))
        assert first == second


def test_what_follows_a_violation_counts_for_nothing():
    """The books are wrong from there on."""
    target = Model("a05")
    program, outcome = next(
        (program, outcome)
        for program in (nth(1, index, target.limits) for index in range(500))
        if (outcome := Runner(target).run(program)).violation is not None
    )
    outcome.trace.append((0, Resetting("device")))
    found = features(program, outcome)
    assert "rule INO-ORDER" in found
    assert not any("device with outstanding" in one for one in found - features(program, replace(outcome, trace=[])))


def test_numbers_are_the_same_everywhere():
    assert number("split: batch=3") == 0x2FF73BF0
