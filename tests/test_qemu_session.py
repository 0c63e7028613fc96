"""A QEMU that dies, hangs or gives up while it is in use, and when the next program gets a new one."""

from __future__ import annotations

import os
import signal
import time

import pytest

from fuzz import driver_side, encoding
from fuzz.confirm import Runner
from fuzz.targets import QueueConfig, TargetBroken, TargetDied, TargetHung
from fuzz.targets.qemu.target import PROGRAM as QEMU
from fuzz.targets.qemu.target import Qemu, make
from fuzz.verdict import BROKEN, CONFORMS, CRASHED, HUNG
from oracles import spec
from tests.qemu_kit import DISK, QEMUS, alive
from tests.vhost_user_kit import descriptors

pytestmark = pytest.mark.target("qemu-system-x86_64")

NAME = "qemu:virtio-rng-pci,in_order=on,packed=on"
DISKS = {
    "MSI-X": "qemu:virtio-blk-pci,drive=n0,in_order=on",
    "INTx": "qemu:virtio-blk-pci,drive=n0,vectors=0",
    "virtio-mmio": "qemu:virtio-blk-device,drive=n0",
}
PROGRAM = encoding.load(
    "virtqueue-program 1\ndevice rng\nqueue split 8\nfeatures version_1\n"
    + "supply entropy length=8\nnotify\nreceive 1\n" * 3
)
QUEUE = QueueConfig(8, 0x40, 0x1000, 0x2000)
LIMIT = 0.4


@pytest.fixture(scope="module")
def shared_targets():
    made: dict[str, Qemu] = {}
    yield made
    for target in made.values():
        target.close()


@pytest.fixture
def get(shared_targets):
    """Targets that several tests use; each starts with a QEMU that has served none."""

    def target(words, qemu=""):
        if words not in shared_targets:
            shared_targets[words] = make(words, qemu)
        shared_targets[words].restart()
        return shared_targets[words]

    return target


@pytest.fixture
def target(get):
    return get(NAME)


@pytest.fixture
def disks(get):
    return lambda kind: get(DISKS[kind], QEMU + DISK)


def pid(target):
    return int(target.describe()["pid"])


def kill(target, number):
    """Wait until it ended, too: it may be dumping core."""
    os.kill(pid(target), number)
    deadline = time.monotonic() + 10
    while target.machine.running() and time.monotonic() < deadline:
        time.sleep(0.005)


def started(target):
    session = target.open()
    session.memory[:0x5000] = bytes(0x5000)
    session.start(spec.VERSION_1, [QUEUE])
    return session


def when_notified(session, action):
    """*action* happens with the first notification."""
    notify = session.notify

    def once(queue):
        session.notify = notify
        action()
        notify(queue)

    session.notify = once


def works(target):
    """Whether a program conforms."""
    session = target.open()
    try:
        return driver_side.run(PROGRAM, session).verdict == CONFORMS
    finally:
        session.close()


# --- it dies ----------------------------------------------------------------------------------------------------------


def test_killed_in_the_middle_of_a_program(target):
    session = target.open()
    first, starts = pid(target), target.starts
    when_notified(session, lambda: os.kill(first, signal.SIGKILL))
    outcome = driver_side.run(PROGRAM, session)
    assert (outcome.verdict, outcome.reason) == (CRASHED, f"{NAME} ended: killed by SIGKILL")
    session.close()
    assert works(target)  # and nobody is told a second time
    assert target.starts == starts + 1
    assert pid(target) != first


@pytest.mark.parametrize("when", ["before it is closed", "after it is closed"])
def test_killed_when_nobody_looks_is_told_once_when_the_next_session_opens(target, when):
    session = started(target)
    if when == "before it is closed":
        kill(target, signal.SIGABRT)
        session.close()
    else:
        session.close()
        kill(target, signal.SIGABRT)
    line = (
        "ended: killed by SIGABRT" if when.startswith("before") else "ended after its last session: killed by SIGABRT"
    )
    with pytest.raises(TargetDied) as error:
        target.open()
    assert str(error.value) == f"{NAME} {line}"
    assert works(target)


def test_a_death_that_shows_late_is_blamed_on_the_program_before(target):
    runner = Runner(target)
    assert runner.run(PROGRAM).verdict == CONFORMS
    kill(target, signal.SIGSEGV)
    assert runner.run(PROGRAM).verdict == CONFORMS
    assert runner.late == f"{NAME} ended after its last session: killed by SIGSEGV"


def test_what_it_said_last_is_told_but_not_what_it_said_while_starting():
    """It warns of an option that it no longer likes, and is killed for nothing that it did."""
    noisy = make(NAME, "sh -c 'echo warning: deprecated >&2; exec qemu-system-x86_64 \"$@\"' qemu")
    session = started(noisy)
    assert noisy.words() == "warning: deprecated"
    assert noisy.machine.last_word() == ""
    os.kill(pid(noisy), signal.SIGKILL)
    with pytest.raises(TargetDied) as error:
        session.called(0, 1.0)
    assert str(error.value) == f"{NAME} ended: killed by SIGKILL"
    session.close()
    noisy.close()


def test_ended_between_two_runs_it_is_started_for_a_probe(target):
    offer = target.probe()
    kill(target, signal.SIGKILL)
    assert target.probe() == offer
    assert target.probe() == offer
    assert works(target)


# --- it hangs ---------------------------------------------------------------------------------------------------------


def test_a_stopped_qemu_hangs_and_is_killed_all_the_same(target):
    session = target.open()
    target.machine.qtest.limit(LIMIT)
    first = pid(target)
    when_notified(session, lambda: os.kill(first, signal.SIGSTOP))
    began = time.monotonic()
    outcome = driver_side.run(PROGRAM, session)
    assert time.monotonic() - began < LIMIT + 1
    assert outcome.verdict == HUNG
    assert outcome.reason.startswith(f"{NAME} does not answer ")
    assert outcome.reason.endswith(f" within {LIMIT} s: its main loop hangs")
    session.close()
    assert not alive(first)
    assert works(target)


@pytest.mark.parametrize("seconds", [0.0005, 1.0])
def test_whoever_waits_for_an_interrupt_learns_of_a_hang(target, seconds):
    session = started(target)
    target.machine.qtest.limit(LIMIT)
    os.kill(pid(target), signal.SIGSTOP)

    def wait():
        for _ in range(10_000):
            assert not session.called(0, seconds)

    began = time.monotonic()
    with pytest.raises(TargetHung):
        wait()
    assert time.monotonic() - began < LIMIT + 1
    session.close()


def test_a_hang_at_the_very_end_is_told_when_the_next_session_opens(target):
    session = started(target)
    target.machine.qtest.limit(LIMIT)
    first = pid(target)
    os.kill(first, signal.SIGSTOP)
    session.close()
    assert not alive(first)
    with pytest.raises(TargetHung, match=r"does not answer .* its main loop hangs$"):
        target.open()
    assert works(target)


# --- it gives up ------------------------------------------------------------------------------------------------------


ZERO = "qemu-system-x86_64: virtio: zero sized buffers are not allowed"
#: 2.7.5: an address, no length, WRITE. QEMU wants a reset then (2.1.2); what a program means never has one.
BAD = bytes.fromhex("0000000002000000")


@pytest.mark.parametrize("kind", DISKS)
def test_a_device_that_needs_a_reset_is_broken(disks, kind):
    target = disks(kind)
    session = started(target)
    first = pid(target)
    session.memory[0x40:0x50] = (session.address + 0x4000).to_bytes(8, "little") + BAD
    session.memory[0x1000:0x1006] = bytes.fromhex("000001000000")
    session.notify(0)
    with pytest.raises(TargetBroken) as error:
        session.called(0, 1.0)
    assert str(error.value) == f"{DISKS[kind]} sets DEVICE_NEEDS_RESET: {ZERO}"
    session.close()
    assert not alive(first)
    assert started(target)._transport.status() == 0xF


def test_a_program_on_which_the_device_gives_up_says_so(disks):
    session = disks("MSI-X").open()

    def spoil():
        table = 64
        session.memory[table + 8 : table + 16] = BAD

    when_notified(session, spoil)
    program = "virtqueue-program 1\ndevice blk\nqueue split 8\nfeatures version_1 in_order\nsupply flush\nnotify\n"
    outcome = driver_side.run(encoding.load(program), session)
    assert (outcome.verdict, outcome.reason) == (BROKEN, f"{DISKS['MSI-X']} sets DEVICE_NEEDS_RESET: {ZERO}")
    session.close()


# --- when a new one is started ----------------------------------------------------------------------------------------


def test_one_qemu_serves_many_and_then_a_new_one_does(target, monkeypatch):
    monkeypatch.setattr(target.machine.behind, "serves", 3)
    pids = []
    for _ in range(8):
        assert works(target)
        pids.append(pid(target))
    assert [pids.index(one) for one in pids] == [0, 0, 0, 3, 3, 3, 6, 6]
    assert not any(alive(one) for one in pids[:6])


def test_memory_with_buffers_in_flight_serves_nobody_else(target):
    session = started(target)
    first = pid(target)
    session.unsettled = True
    session.close()
    assert alive(first)
    memory = target.open().memory
    assert pid(target) != first
    assert not any(memory[:0x5000])


def test_a_session_is_closed_by_the_next_and_twice_is_once(target):
    first = started(target)
    second = target.open()
    first.close()
    second.start(spec.VERSION_1, [QUEUE])
    second.close()
    second.close()
    assert works(target)


def test_a_target_that_is_closed_leaves_nothing():
    target = make(NAME)
    session = target.open()
    assert target.machine._process is not None
    folder = target.machine._process.folder
    first = pid(target)
    target.close()
    assert not alive(first)
    assert not folder.exists()
    session.close()
    target.close()


@pytest.mark.parametrize("qemu", QEMUS)
def test_sessions_are_quick_and_leak_nothing(qemu):
    target = make(NAME, qemu)
    try:
        assert works(target)
        before = descriptors()
        began = time.monotonic()
        assert all(works(target) for _ in range(50))
        assert time.monotonic() - began < 20  # 5 ms each is usual; a limit that expired would be seconds
        for _ in range(3):
            target.restart()
            assert works(target)
        assert descriptors() == before
    finally:
        target.close()
