"""DPDK's driver, served in both directions; and what a driver that forwards shows of its upper half."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from fuzz import device_side
from fuzz.confirm import Runner
from fuzz.encoding import load
from fuzz.program import Program
from fuzz.targets import Target, TargetError
from fuzz.targets.dpdk_virtio_user import DpdkVirtioUser
from fuzz.targets.model_driver import ModelDriver, ModelDriverSession, ModelQueue
from fuzz.targets.model_driver.upper import PackedUpper, SplitUpper
from fuzz.verdict import CONFORMS, UNDECIDED, Outcome
from oracles.trace import Returned


def of(steps: str, layout: str = "packed", size: int = 16, queues: int = 2, features: str = " in_order") -> Program:
    head = "virtqueue-program 1\nrole device\n" + f"queue {layout} {size}\n" * queues
    return load(f"{head}features version_1{features}\n{steps}")


# -- a forwarder that is ours


class Forwarder(ModelDriverSession):
    """The reference driver under an upper half that sends on each frame that it gets, but for the first *lost* ones."""

    live = True
    forwards = True
    prefix = bytes(12)
    least = 72

    def __init__(self, raw: bytearray, split: type[SplitUpper], packed: type[PackedUpper], lost: int) -> None:
        super().__init__(raw, split, packed)
        self.lost = lost
        self.places: dict[int, int] = {}  # of receive buffers, by token: get() forgets where they were

    def listen(self, observer: object) -> bool:
        return False

    def another(self, number: int) -> ModelQueue:
        queue = super().another(number)
        if number:
            for name, value in (("live", True), ("kick", self.kick), ("listen", self.listen)):
                setattr(queue, name, value)
        return queue

    def start(self, features: int, size: int, *more: int) -> int:
        accepted = super().start(features, size, *more)
        for _ in range(size):
            self.add((), (200,))
        return accepted

    def add(self, readable: Sequence[int], writable: Sequence[int]) -> int | None:
        token = super().add(readable, writable)
        if token is not None:
            self.places[token] = self.elements(token)[0][0]
        return token

    def kick(self) -> bool:
        """It runs."""
        out = self.another(1)
        while out.get():
            pass
        while found := self.get():
            token, length = found
            frame = bytes(self.memory[self.places[token] :][:length])
            sent = out.add((length,), ()) if not self.lost else None
            self.lost -= bool(self.lost)
            if sent is not None:
                at = out.elements(sent)[0][0]
                self.memory[at : at + length] = frame
            self.add((), (200,))
        return False


class Forwarding(ModelDriver):
    """Its target."""

    def __init__(self, fault: str, lost: int) -> None:
        super().__init__(fault)
        self.lost = lost

    def open(self) -> Forwarder:
        self.starts += 1
        return Forwarder(self._raw, *self.kinds, self.lost)


def forwarded(program: Program, fault: str = "", lost: int = 0) -> Outcome:
    return Runner(cast("Target", Forwarding(fault, lost))).run(program)


@pytest.mark.parametrize("layout", ["split", "packed"])
@pytest.mark.parametrize("features", ["", " in_order"])
def test_what_a_forwarder_takes_back_shows_on_the_other_queue(layout, features):
    outcome = forwarded(of("use 3\nuse 2 queue=1\nuse 2 singly length=90\nuse 9 queue=1\n", layout, 16, 2, features))
    assert (outcome.verdict, outcome.reason) == (CONFORMS, "")
    returned = [(number, seen.length) for number, seen in outcome.trace if isinstance(seen, Returned)]
    assert returned == [(0, 200)] * 3 + [(0, 90)] * 2
    assert outcome.by_queue == {0: 5, 1: 5}


def test_nothing_is_waited_for_that_was_not_given():
    outcome = forwarded(of("use 4 queue=1\nuse 1\nuse 4 queue=1\n"))
    assert (outcome.verdict, outcome.reason) == (CONFORMS, "")
    assert outcome.by_queue == {0: 1, 1: 1}


@pytest.mark.parametrize(("fault", "layout", "rule"), [
    ("a34", "packed", "INO-DRV-WALK"), ("a35", "split", "INO-S-SKIPPED-SLOT"),
])  # fmt: skip
def test_a_forwarder_that_takes_back_others_is_named(fault, layout, rule):
    assert forwarded(of("use 2 junk\n", layout), fault).rule == rule


def test_a_frame_that_never_comes_is_undecided_alone_and_a_find_once_a_later_one_came(monkeypatch):
    monkeypatch.setattr(device_side, "PATIENCE", 0.05)
    outcome = forwarded(of("use 1\n"), lost=1)
    assert (outcome.verdict, outcome.reason) == (
        UNDECIDED, "the driver sent 1 frame not on that it was given, in 0.05 s",
    )  # fmt: skip
    assert forwarded(of("use 1\nuse 1\n"), lost=1).rule == "INO-DRV-WALK"


def test_a_patient_wait_ends_with_the_time_of_the_run():
    runner = Runner(cast("Target", Forwarding("", 1)))
    began = time.monotonic()
    runner.until = began + 0.3
    outcome = runner.run(of("use 1\n"), patient=True)
    assert outcome.verdict == UNDECIDED
    assert time.monotonic() - began < 5  # not 20


def test_where_frames_may_have_been_dropped_nobody_is_accused():
    """16 frames may need more than the 16 descriptors of the queue that sends them."""
    outcome = forwarded(of("use 16 singly\nuse 1\n"), lost=2)
    assert (outcome.verdict, outcome.reason) == (CONFORMS, "")


# -- DPDK's


@pytest.mark.target("dpdk-testpmd")
@pytest.mark.parametrize("layout", ["split", "packed"])
@pytest.mark.parametrize("way", ["", "rx", "tx"])
def test_dpdk_sends_and_receives_as_its_buffers_are_used(layout, way):
    target = DpdkVirtioUser(way)
    other = " queue=1" if not way else ""
    program = of(f"use 4 singly\ncall\nuse 4{other}\nuse 3 singly\nuse 2 junk{other}\ncall force\n", layout, 64)
    if way:
        program = replace(program, queues=program.queues[:1])
        if way == "rx":
            program = replace(program, features=of("", features="").features)
    outcome = Runner(cast("Target", target)).run(program)
    assert (outcome.verdict, outcome.reason) == (CONFORMS, "")
    assert outcome.by_queue == ({0: 7, 1: 6} if not way else {0: 13})
    assert target.starts == 1
    assert "DPDK" in target.describe()["version"]


@pytest.mark.target("dpdk-testpmd")
def test_dpdk_is_fuzzed_with_our_steps_alone(cli, tmp_path):
    options = ("--seed", "1", "--runs", "3", "--in-order", "off", "--out", str(tmp_path))
    done = cli("fuzz", "dpdk-virtio-user", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no violation" in done.stdout
    assert " on queue 1)" in done.stdout


def test_only_ways_that_there_are(cli):
    done = cli("fuzz", "dpdk-virtio-user:xx", "--runs", "1")
    assert done.returncode == 3
    assert "there is no 'xx'" in done.stderr


def test_queues_that_testpmd_has_not_are_no_verdict():
    with pytest.raises(TargetError, match="more queues than dpdk-virtio-user:tx, which has 1"):
        Runner(cast("Target", DpdkVirtioUser("tx"))).run(of("use 1\n"))
    with pytest.raises(TargetError, match="no queues of fewer than 16 entries"):
        Runner(cast("Target", DpdkVirtioUser())).run(of("use 1\n", size=4))


def test_a_testpmd_that_ends_at_once_is_no_verdict(monkeypatch):
    monkeypatch.setenv("VQFUZZ_DPDK_TESTPMD", "false")
    with pytest.raises(TargetError, match="testpmd ended before it connected: exit status 1"):
        Runner(cast("Target", DpdkVirtioUser())).run(of("use 1\n"))
