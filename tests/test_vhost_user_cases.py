"""The cases of the vhost-user protocol on real back-ends: what is true of them is told, and nothing else."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from fuzz.cases import NotOffered
from fuzz.cases.vhost_user import cases
from fuzz.registry import make
from fuzz.targets import QueueConfig
from fuzz.verdict import CONFORMS, VIOLATES
from oracles import spec
from oracles.oracle import judge
from tests.conftest import ROOT


def named(outcome):
    """The rules that an outcome names, as violation or warning."""
    found = {warning.rule for warning in outcome.warnings}
    return found | ({outcome.violation.rule} if outcome.violation else set())


# --- real back-ends ---------------------------------------------------------------------------------------------------

#: what is true of QEMU's storage daemon: see the facts of its preset
QEMU_DEVIATES = {
    "disabled at first": (VIOLATES, {"VU-RING-INIT"}),
    "disabled": (VIOLATES, {"VU-DISABLED"}),
    "enabled while stopped": (CONFORMS, {"VU-ENABLE-TRACK"}),
    "started without a kick": (CONFORMS, {"VU-NO-RELY-KICK"}),  # 10.0.2; its document had another rule
}


def results(target):
    """What every case comes to, by name; nothing of those that are not offered."""
    found = {}
    try:
        for case in cases(target):
            try:
                outcome = case.run()
            except NotOffered:
                continue
            found[case.name] = outcome.verdict, named(outcome)
    finally:
        target.close()
    return found


def sid(tmp_path: Path, program: str) -> str:
    """A program that is sid's *program*."""
    wrapper = tmp_path / program
    words = [sys.executable, str(ROOT / "scripts" / "sid-run"), f"/usr/bin/{program}"]
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


def executed(name):
    """Whether a case would tell that a ring executes what it is offered, while it may."""
    from fuzz.cases import vhost_user_rings as rings
    from fuzz.cases.bench import Bench

    target: Any = make(name)
    bench = Bench(target)
    try:
        before = rings._begin(bench)
        bench.up()
        line = rings._subject(bench)
        number, at = rings._attempt(bench, line)
        rings._settle(bench, line, number, at, before)
        return any(getattr(seen, "what", "") == "executed" for _, seen in bench.log)
    finally:
        bench.close()
        target.close()


@pytest.mark.target("qemu-storage-daemon", "dpdk-testpmd")
@pytest.mark.parametrize("name", ["model-vhost-user", "qemu-storage-daemon", "dpdk-vhost"])
def test_what_is_executed_can_be_told(name):
    assert executed(name)


def check(found, deviations):
    assert len(found) > 12
    for name, (verdict, rules) in found.items():
        assert (verdict, rules) in ((CONFORMS, set()), deviations.get(name)), name


@pytest.mark.target("qemu-storage-daemon")
def test_qemu_deviates_as_known():
    check(results(make("qemu-storage-daemon")), QEMU_DEVIATES)


@pytest.mark.target("sid:qemu-utils")
def test_newer_qemu_deviates_as_known(tmp_path, monkeypatch):
    monkeypatch.setenv("VQFUZZ_QEMU_STORAGE_DAEMON", sid(tmp_path, "qemu-storage-daemon"))
    check(results(make("qemu-storage-daemon")), QEMU_DEVIATES)


@pytest.mark.target("dpdk-testpmd")
def test_dpdk_passes_every_case():
    check(results(make("dpdk-vhost")), {})


@pytest.mark.target("sid:dpdk-dev")
def test_newer_dpdk_passes_every_case(tmp_path, monkeypatch):
    monkeypatch.setenv("VQFUZZ_DPDK_TESTPMD", sid(tmp_path, "dpdk-testpmd"))
    check(results(make("dpdk-vhost")), {})


@pytest.mark.target("qemu-storage-daemon", "dpdk-testpmd")
@pytest.mark.parametrize("name", ["model-vhost-user", "qemu-storage-daemon", "dpdk-vhost:whole"])
def test_what_an_ordinary_session_says_breaks_no_rule(name):
    target = make(name)
    session: Any = target.open()
    count = target.limits.queues
    queues = [QueueConfig(8, at + 64, at + 256, at + 512) for at in range(0, 0x1000 * count, 0x1000)]
    session.start(spec.VERSION_1, queues)
    for number, queue in enumerate(queues):
        assert session.stop(number) == 0
        session.resume(number, queue)
    log = list(session.frontend.log)
    session.reset()
    session.start(spec.VERSION_1, queues)
    log = session.frontend.log if session.frontend.log[: len(log)] == log else [*log, *session.frontend.log]
    target.close()
    assert len(log) > 40
    assert judge(log) == (None, [])
