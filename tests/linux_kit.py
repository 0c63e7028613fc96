"""What tests of the kernel's driver share: the trees that are there, one with a fault, and a driver kept busy."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Literal

import pytest

from fuzz.targets.linux_ring import trees
from oracles import spec
from tests.small_device import Device

VERSIONS = ("6.12", "7.2", "7.3")
LATEST = "7.3"
EVENTS = {"flags": 0, "event_idx": spec.EVENT_IDX}
TABLES = {"direct": 0, "indirect": spec.INDIRECT_DESC}
KICK = "return VIRTQUEUE_CALL(vq, kick_prepare);"
TREES = trees.installed()
BASE = spec.VERSION_1 | spec.RING_RESET

sources = [pytest.param(version, marks=pytest.mark.target(f"linux-source-{version}")) for version in VERSIONS]
needs_latest = pytest.mark.target(f"linux-source-{LATEST}")


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
    armed = driver.callbacks(True)
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
            tokens = waiting[: draw.randint(1, len(waiting))] if in_order else [draw.choice(waiting)]
            seen["batched"] += len(tokens) > 1
            length = draw.randint(0, writable[tokens[-1]])
            expected |= {token: writable[token] for token in tokens[:-1]} | {tokens[-1]: length}
            calls = device.use(tokens, length)
            assert calls or not armed, "the driver sleeps, and nobody may wake it"
            armed = False
            if calls:
                seen["calls"] += driver.interrupt()
        if draw.random() < 0.8 or step == steps - 1:
            for token, length in device.get():
                assert length == expected.pop(token)
                del writable[token]
                seen["got"] += 1
        modes: tuple[bool | Literal["delayed"], ...] = (True, False, "delayed")
        mode = draw.choice(modes)
        nothing = driver.callbacks(mode)
        assert nothing or expected, "nothing is pending, and the driver says that something is"
        armed = mode is True and nothing
        device.look()
    assert not expected
    return seen


def planted(tmp_path: Path, old: str, new: str) -> Path:
    """A tree whose driver differs in one place."""
    tree = tmp_path / "tree"
    shutil.copytree(TREES[LATEST], tree, symlinks=True)
    driver = tree / trees.DRIVER
    text = driver.read_text(encoding="utf-8")
    assert text.count(old) == 1
    driver.write_text(text.replace(old, new), encoding="utf-8")
    return tree
