"""What docs/found.md says of drivers is so, on the versions that it names; and the control conforms."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from fuzz.confirm import Runner
from fuzz.encoding import load
from fuzz.program import Program, Use
from fuzz.targets import Target
from fuzz.targets.dpdk_virtio_user import DpdkVirtioUser
from fuzz.targets.linux_ring.target import LinuxRing
from fuzz.verdict import CONFORMS, UNDECIDED
from oracles import spec

ALL = Path(__file__).resolve().parent.parent / "corpus" / "found"
FOUND = ALL / "dpdk-virtio-user"
DPDK = {
    "batch-lost-packed": "INO-DRV-WALK",
    "batch-lost-split": "INO-DRV-WALK",
    "skipped-place-split": "INO-S-SKIPPED-SLOT",
    "skipped-length-split": "INO-SKIP-LEN",
}
LINUX = {
    "poll-forgets-batch": "VQ-DRV-WAKE", "reset-keeps-free-head": "INO-S-DESC-SEQ", "reset-keeps-batch": "INO-DRV-WALK",
}  # fmt: skip


def singly(program: Program) -> Program:
    """The same with a used descriptor for each buffer."""
    return replace(program, steps=tuple(replace(step, singly=True) for step in program.steps if isinstance(step, Use)))


@pytest.mark.target("dpdk-testpmd")
def test_a_batch_that_is_received_stops_the_queue() -> None:
    program = load((FOUND / "batch-received-packed.vq").read_text(encoding="utf-8"))
    target = DpdkVirtioUser("rx")
    control = Runner(cast("Target", target)).run(singly(program))
    assert (control.verdict, control.reason) == (CONFORMS, "")
    if "22.11." not in target.describe()["version"]:
        pytest.skip(f"found in 22.11; here: {target.describe()['version']}")
    outcome = Runner(cast("Target", target)).run(program)
    assert outcome.verdict == UNDECIDED
    assert "the driver exposed nothing" in outcome.reason
    assert outcome.chains < 4 + 64 + 1


@pytest.mark.target("dpdk-testpmd")
@pytest.mark.parametrize("name", DPDK)
def test_a_batch_that_is_forwarded_is_not_walked(name: str) -> None:
    forwarded(name, "22.11.")


@pytest.mark.target("sid:dpdk-dev")
@pytest.mark.parametrize("name", DPDK)
def test_nor_is_it_by_the_newer_dpdk(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = ALL.parent.parent / "scripts" / "sid-run"
    words = [sys.executable, str(script), "/usr/bin/dpdk-testpmd"]
    monkeypatch.setenv("VQFUZZ_DPDK_TESTPMD", shlex.join(words))
    forwarded(name, "25.11.")


def forwarded(name: str, version: str) -> None:
    """The find, and two controls."""
    program = load((FOUND / f"{name}.vq").read_text(encoding="utf-8"))
    target = DpdkVirtioUser()
    runner = Runner(cast("Target", target))
    for control in (singly(program), replace(program, features=program.features & ~spec.IN_ORDER)):
        outcome = runner.run(control)
        assert (outcome.verdict, outcome.reason) == (CONFORMS, "")
    if version not in target.describe()["version"]:
        pytest.skip(f"found in {version}; here: {target.describe()['version']}")
    outcome = runner.run(program)
    assert outcome.rule == DPDK[name]
    assert outcome.violation is not None
    assert outcome.violation.queue == 0


@pytest.mark.target("linux-source-7.3")
@pytest.mark.parametrize("name", LINUX)
def test_what_linux_forgets_in_order(name: str) -> None:
    program = load((ALL / "linux-ring" / f"{name}.vq").read_text(encoding="utf-8"))
    target = LinuxRing("linux-ring:7.3", "7.3")
    try:
        runner = Runner(cast("Target", target))
        control = runner.run(replace(program, features=program.features & ~spec.IN_ORDER))
        assert (control.verdict, control.reason) == (CONFORMS, "")
        if target.describe()["version"] != "Linux 7.3.4":
            pytest.skip(f"found in 7.3.4; here: {target.describe()['version']}")
        assert runner.run(program).rule == LINUX[name]
    finally:
        target.close()
