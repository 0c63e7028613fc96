"""The kernel's virtio_ring.c as a driver under test: buffers go round, nobody is accused, and what breaks is told."""

from __future__ import annotations

import random
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.targets import TargetDied, TargetError, TargetHung
from fuzz.targets.linux_ring import build, session, trees
from fuzz.targets.linux_ring.session import LinuxSession, Room
from fuzz.targets.linux_ring.target import LinuxRing, parse
from oracles import spec
from oracles.driver_oracle import judge_driver
from tests.conftest import missing
from tests.small_device import Device

VERSIONS = ("6.12", "7.2", "7.3")
LATEST = "7.3"
EVENTS = {"flags": 0, "event_idx": spec.EVENT_IDX}
TABLES = {"direct": 0, "indirect": spec.INDIRECT_DESC}
BASE = spec.VERSION_1 | spec.RING_RESET

sources = [pytest.param(version, marks=pytest.mark.target(f"linux-source-{version}")) for version in VERSIONS]
needs_latest = pytest.mark.target(f"linux-source-{LATEST}")


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, LinuxRing]]:
    made: dict[str, LinuxRing] = {}
    yield made
    for target in made.values():
        target.close()


@pytest.fixture
def opened(targets):
    def open_(words: str) -> LinuxSession:
        target = targets.get(words)
        if target is None:
            target = targets[words] = parse(f"linux-ring:{words}")
        return target.open()

    return open_


def features(layout: str, in_order: bool, more: int = 0) -> int:
    return BASE | more | (spec.RING_PACKED if layout == spec.PACKED else 0) | (spec.IN_ORDER if in_order else 0)


def churn(device: Device, seed: int, steps: int) -> dict[str, int]:
    """Use *device*'s driver in every way for so many steps; what happened how often. All comes back in the end."""
    draw = random.Random(seed)
    driver = device.session
    in_order = bool(device.features & spec.IN_ORDER)
    seen = dict.fromkeys(("full", "added", "batched", "silent", "notified", "calls", "got"), 0)
    expected: dict[int, int | None] = {}  # length by token; None: skipped in a batch, all that is writable
    writable: dict[int, int] = {}
    for step in range(steps):
        for _ in range(draw.randint(0, device.size)):
            lengths = [draw.randint(1, 5000) for _ in range(min(draw.choice((1, 1, 2, 3, 5)), device.size))]
            cut = draw.randint(0, len(lengths))
            token = device.add(tuple(lengths[:cut]), tuple(lengths[cut:]))
            if token is None:
                seen["full"] += 1
                break
            writable[token] = sum(lengths[cut:])
            seen["added"] += 1
        device.ring.silence() if draw.random() < 0.3 else device.ring.arm()
        seen["notified" if device.kick() else "silent"] += 1
        while device.fetched and (draw.random() < 0.7 or step == steps - 1):
            waiting = list(device.fetched)
            if in_order:
                tokens = waiting[: draw.randint(1, len(waiting))]
            else:
                tokens = [draw.choice(waiting)]
            seen["batched"] += len(tokens) > 1
            length = draw.randint(0, writable[tokens[-1]])
            expected |= {token: writable[token] for token in tokens[:-1]} | {tokens[-1]: length}
            if device.use(tokens, length):
                seen["calls"] += driver.interrupt()
        driver.callbacks(draw.choice((True, False, "delayed")))
        device.look()
        for token, length in device.get():
            assert length == expected.pop(token)
            del writable[token]
            seen["got"] += 1
    assert not expected
    return seen


# --- buffers go round -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tables", TABLES)
@pytest.mark.parametrize("events", EVENTS)
@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("layout", spec.LAYOUTS)
@pytest.mark.parametrize("version", sources)
def test_buffers_go_round_and_nobody_is_accused(opened, version, layout, in_order, events, tables) -> None:
    driver = opened(version)
    for size in (4, 16) if layout == spec.SPLIT else (5, 16):
        driver.start(features(layout, in_order, EVENTS[events] | TABLES[tables]), size)
        device = Device(driver)
        seen = churn(device, size, 60)
        assert seen["added"] > 3 * size, "the ring wraps"
        assert seen["got"] == seen["added"]
        assert min(seen["full"], seen["silent"], seen["notified"], seen["calls"]) > 0, seen
        assert bool(seen["batched"]) == bool(device.features & spec.IN_ORDER), seen
        assert judge_driver(device.trace) == (None, [])
        assert not driver.broken()
        assert driver.reset() == []
    assert driver.words() == ""
