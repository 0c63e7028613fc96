"""A driver that crashes, loops, sleeps or is silent gives a verdict within the time of the run, which goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import cast

import pytest

from fuzz.confirm import Runner
from fuzz.encoding import load
from fuzz.targets import Target, TargetHung
from fuzz.targets.dpdk_virtio_user import DpdkSession, DpdkVirtioUser
from fuzz.targets.linux_ring import session
from fuzz.targets.linux_ring.target import LinuxRing
from fuzz.targets.model_driver import ModelDriver
from fuzz.targets.model_driver.upper import SplitUpper
from fuzz.verdict import CONFORMS, CRASHED, HUNG
from tests.linux_kit import KICK, needs_latest, planted

HEAD = "virtqueue-program 1\nrole device\nqueue split 4\nfeatures version_1\n"
BAD = load(HEAD + "add in:8\nadd in:8\nkick\n")  # a kick with two new buffers does what is planted
GOOD = load(HEAD + "add in:8\nkick\nuse 1\nget 1\n")
TWO = "vq->num_added > 1"
ENDS = {
    "crash": (f"if ({TWO}) __builtin_trap(); {KICK}", CRASHED),
    "loop": (f'while ({TWO}) asm volatile(""); {KICK}', HUNG),
    "sleep": (f"extern int pause(void); while ({TWO}) pause(); {KICK}", HUNG),
    "stop": (f"extern int raise(int); if ({TWO}) raise(19); {KICK}", HUNG),
}


@needs_latest
@pytest.mark.parametrize("kind", ENDS)
def test_the_kernel_s_driver_is_told_and_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(session, "SPINNING", 0.5)
    monkeypatch.setattr(session, "ASLEEP", 1.0)
    code, verdict = ENDS[kind]
    target = LinuxRing("linux-ring:planted", str(planted(tmp_path, KICK, code)))
    try:
        runner = Runner(cast("Target", target))
        assert runner.run(GOOD).verdict == CONFORMS
        for _ in range(2):
            began = time.monotonic()
            assert runner.run(BAD).verdict == verdict
            assert time.monotonic() - began < 10
            assert runner.run(GOOD).verdict == CONFORMS
    finally:
        target.close()


@needs_latest
def test_a_run_ends_in_time_though_the_driver_loops(cli, tmp_path: Path) -> None:
    tree = planted(tmp_path, KICK, ENDS["loop"][0])
    cli("probe", f"linux-ring:{tree}")  # compiled
    began = time.monotonic()
    done = cli("fuzz", f"linux-ring:{tree}", "--time", "8s", "--continue", "--seed", "1", "--layout", "split",
               "--out", str(tmp_path / "out"))  # fmt: skip
    took = time.monotonic() - began
    assert done.returncode == 1, done.stdout + done.stderr
    assert "does not come back from kick" in done.stdout
    assert took < 8 + 10, f"{took:.0f} s"  # some, where the processor is somebody else's: loops are told by its time


def test_a_driver_that_never_notifies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.targets.model_driver.ModelDriverSession.kick", lambda driver: False)
    runner = Runner(cast("Target", ModelDriver()))
    assert runner.run(GOOD).rule == "S-AN-DRV-MUST"


def test_a_driver_that_takes_nothing_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SplitUpper, "pending", lambda upper: False)
    runner = Runner(cast("Target", ModelDriver()))
    assert runner.run(GOOD).rule == "VQ-DRV-WAKE"


def patiently(opened: DpdkSession, seconds: float) -> None:
    """Look at the driver again and again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        opened.kick()
        time.sleep(0.01)


@pytest.mark.target("dpdk-testpmd")
def test_a_testpmd_that_is_stopped_is_told_and_the_next_one_serves() -> None:
    target = DpdkVirtioUser()
    program = load(HEAD.replace("split 4", "split 64") + "use 1\n" + "use 64\n" * 9)
    opened = target.open()
    opened.start(program.features, 64)
    patiently(opened, 0.1)
    assert opened._process is not None
    os.kill(opened._process.pid, signal.SIGSTOP)
    with pytest.raises(TargetHung, match="stopped by a signal"):
        patiently(opened, 10)
    opened.close()
    assert Runner(cast("Target", target)).run(program).verdict == CONFORMS
