"""What docs/found.md says is so: the programs of corpus/found show the same on the versions that it names.

A newer version that conforms is no failure of ours: these tests are for exactly the versions named.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import driver_side, encoding
from fuzz.cases.vhost_user import cases
from fuzz.confirm import Runner
from fuzz.targets import TargetError
from fuzz.targets.qemu.target import make as make_qemu
from fuzz.targets.vhost_user.target import VhostUser, make

FOUND = Path(__file__).resolve().parent.parent / "corpus" / "found"
SLOW_DISK = (
    "exec[blk,forgets=1]:qemu-storage-daemon --blockdev driver=null-co,node-name=disk,size=16777216,read-zeroes=on,"
    "latency-ns=5000000 --export type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path={socket},"
    "writable=on"
)


def rules(target: VhostUser, name: str, times: int, patient: bool = False) -> list[str]:
    program = encoding.load((FOUND / name).read_text(), name)
    seen = []
    for salt in range(times):
        session = target.open()
        try:
            hints = dict(target.limits.hints)
            seen.append(driver_side.run(program, session, hints=hints, patient=patient, salt=salt).rule)
        finally:
            session.close()
    return seen


def only(target: VhostUser, version: str) -> None:
    target.probe()  # what it is, it says when it runs
    found = " ".join(target.describe().values())
    if version not in found:
        pytest.skip(f"found in {version}; here: {found[:200]}")


@pytest.mark.target("qemu-storage-daemon")
def test_a_queue_stopped_in_flight_is_written_to() -> None:
    preset = make("qemu-storage-daemon")
    target = make(SLOW_DISK)
    try:
        only(preset, "10.0.")
        # The stop may come before the request is fetched, or the end of the connection before we look.
        seen = rules(target, "qemu-storage-daemon/stop-in-flight.vq", 12)
        assert set(seen) <= {"VU-STOPPED", "CRASHED", "CONFORMS"}
        assert "VU-STOPPED" in seen
    finally:
        target.close()
        preset.close()


@pytest.mark.target("qemu-storage-daemon")
def test_a_chain_that_ends_in_a_table_is_dropped() -> None:
    target = make("qemu-storage-daemon:null")
    try:
        only(target, "10.0.")
        # An impatient run may not say so: time alone is never a verdict.
        assert rules(target, "qemu-storage-daemon/direct-then-table.vq", 1) == ["UNDECIDED"]
        assert rules(target, "qemu-storage-daemon/direct-then-table.vq", 1, patient=True) == ["VQ-LIVE"]
    finally:
        target.close()


@pytest.mark.target("dpdk-testpmd")
def test_a_header_in_three_elements_sends_the_frame_astray() -> None:
    target = make("dpdk-vhost")
    try:
        only(target, "22.11")
        # A frame comes back when testpmd gets to it: now and then after the program is over.
        seen = rules(target, "dpdk-vhost/header-in-three-elements.vq", 10)
        assert set(seen) <= {"VQ-OOB", "CONFORMS"}
        assert "VQ-OOB" in seen
    finally:
        target.close()


@pytest.mark.target("dpdk-testpmd")
def test_a_burst_of_four_ignores_next() -> None:
    target = make("dpdk-vhost")
    try:
        only(target, "22.11")
        # Whether four frames make one burst depends on when they are looked at: most of the time.
        seen = rules(target, "dpdk-vhost/burst-into-a-list.vq", 20)
        assert set(seen) <= {"VQ-OOB", "P-ID-LAST", "CONFORMS"}
        assert set(seen) != {"CONFORMS"}
    finally:
        target.close()


@pytest.mark.target("qemu-storage-daemon")
@pytest.mark.parametrize("message", ["num", "base", "addr"])
def test_messages_about_a_queue_that_there_is_not_are_fatal(message: str) -> None:
    target = make("qemu-storage-daemon:null")
    try:
        only(target, "10.0.")
        text = (FOUND / f"hostile/qemu-storage-daemon/set-vring-{message}-index.vq").read_text()
        outcome = Runner(target).run(encoding.load(text, message), finish=True)
        assert (outcome.verdict, outcome.severity) == ("CRASHED", "memory safety")
    finally:
        target.close()


@pytest.mark.target("qemu-storage-daemon")
def test_a_queue_that_there_is_not_is_told_by_us_and_kills_nobody() -> None:
    target = make("qemu-storage-daemon:null")
    try:
        text = "virtqueue-program 1\ndevice blk\nqueue split 4\nqueue split 4\nfeatures version_1\n"
        with pytest.raises(TargetError, match="has 1 virtqueue; the program has 2"):
            driver_side.run(encoding.load(text), target.open())
    finally:
        target.close()


@pytest.mark.target("qemu-system-x86_64")
def test_what_a_poke_lets_the_device_write_over_rings_accuses_nobody() -> None:
    target = make_qemu("qemu:virtio-blk-pci")
    text = (
        "virtqueue-program 1\ndevice blk\nqueue split 4\nqueue split 4\nfeatures indirect_desc version_1\n"
        "supply write sector=0 length=4096\nnotify\nreceive 1\n"
        "supply read sector=0 length=4096 indirect\npoke table 1 addr=self\nnotify force\nreceive 1\n"
        "supply get_id queue=1\nnotify queue=1\nreceive 1 queue=1\n"
    )
    try:
        outcome = Runner(target).run(encoding.load(text), finish=True)
        assert (outcome.verdict, outcome.chains) == ("CONFORMS", 1), outcome.violation
    finally:
        target.close()


@pytest.mark.target("qemu-storage-daemon")
def test_a_disabled_ring_executes_requests() -> None:
    target = make("qemu-storage-daemon")
    try:
        only(target, "10.0.")
        seen = {case.name: case.run().rule for case in cases(target) if case.name in ("disabled", "disabled at first")}
        assert seen == {"disabled at first": "VU-RING-INIT", "disabled": "VU-DISABLED"}
    finally:
        target.close()


@pytest.mark.target("sid:vhost-device-vsock")
def test_a_header_in_two_elements_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    script = FOUND.parent.parent / "scripts" / "sid-run"
    monkeypatch.setenv("VQFUZZ_VHOST_DEVICE_VSOCK", f"{script} /usr/bin/vhost-device-vsock")
    target = make("vhost-device-vsock")
    try:
        only(target, "0.3.0")
        name = "vhost-device-vsock/header-in-two-elements.vq"
        whole = encoding.load((FOUND / name).read_text().replace(" cut=1,rest", ""), name)
        assert Runner(target).run(whole).verdict == "CONFORMS"
        assert rules(target, name, 1) == ["UNDECIDED"]
        assert rules(target, name, 1, patient=True) == ["VQ-LIVE"]
    finally:
        target.close()
