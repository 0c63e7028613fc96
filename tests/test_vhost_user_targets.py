"""Real back-ends behind their presets: requests through real rings, stops, resets, deaths.

The names of tests say what holds; the facts in the presets say what doesn't.
"""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any

import pytest

from fuzz import devices
from fuzz.program import Request
from fuzz.targets import TargetDied, TargetError
from fuzz.targets.presets import PRESETS
from fuzz.targets.vhost_user.target import available, make
from oracles import spec
from tests.small_driver import BUFFERS, Ring, answer, drive, listen, place

# --- qemu-storage-daemon ----------------------------------------------------------------------------------------------

qemu = pytest.mark.target("qemu-storage-daemon")


@pytest.fixture
def disk():
    target = make("qemu-storage-daemon")
    yield target
    target.close()


def blk(session, device, first, count, kind):
    requests = []
    for number in range(first, first + count):
        fields = (("sector", number % 8 * 2), ("length", 1024)) if kind in ("read", "write") else ()
        message = device.message(Request(kind, fields), number, 0)
        requests.append((message, place(session, number % 8, message, 2)))
    return requests


def checked(session, got):
    return [message.check(length, answer(session, message, elements)) for (message, elements), length in got]


@qemu
@pytest.mark.parametrize("start", [0, 65530])
def test_qemu_reads_what_was_written(disk, start):
    session = disk.open()
    ring = Ring(session, 0, spec.SPLIT, 64, 64, start)
    session.start(spec.VERSION_1, [ring.config()])
    device = devices.load("blk", dict(disk.limits.hints))
    for first, kind in enumerate(("write", "read", "write", "read", "flush", "get_id")):
        got = drive(ring, session, blk(session, device, first * 8, 8, kind))
        assert len(got) == 8
        assert checked(session, got) == [""] * 8
        assert {length for _, length in got} == {{"write": 1, "flush": 1, "read": 1025, "get_id": 21}[kind]}
    session.close()


@qemu
def test_qemu_data_survive_a_reset_and_a_new_session(disk):
    device = devices.load("blk", dict(disk.limits.hints))
    session = disk.open()
    for number, kind in enumerate(("write", "read", "read")):
        session.memory[:] = bytes(len(session.memory))
        ring = Ring(session, 0, spec.SPLIT, 16, 64)
        session.start(spec.VERSION_1, [ring.config()])
        got = drive(ring, session, blk(session, device, number * 8, 4, kind))
        assert checked(session, got) == [""] * 4
        if number == 1:
            session.close()
            session = disk.open()
        else:
            session.reset()
    session.close()


@qemu
def test_qemu_stops_and_goes_on(disk):
    session = disk.open()
    ring = Ring(session, 0, spec.SPLIT, 64, 64, 65533)
    session.start(spec.VERSION_1, [ring.config()])
    device = devices.load("blk", dict(disk.limits.hints))
    for first in range(0, 40, 4):
        got = drive(ring, session, blk(session, device, first, 4, "write"))
        assert checked(session, got) == [""] * 4
        assert session.stop(0) == ring.used
        session.resume(0, ring.config())
    session.close()


@qemu
def test_qemu_many_sessions_on_one_process(disk):
    began = time.monotonic()
    pids = set()
    for _ in range(200):
        session = disk.open()
        ring = Ring(session, 0, spec.SPLIT, 8, 64)
        session.start(spec.VERSION_1, [ring.config()])
        assert len(drive(ring, session, blk(session, devices.load("blk", {}), 0, 1, "flush"))) == 1
        session.close()
        pids.add(disk.describe()["pid"])
    assert len(pids) == 1
    assert time.monotonic() - began < 20  # 2 ms each is usual; a second each would be a time-out somewhere


@qemu
def test_qemu_killed_in_the_middle(disk):
    session = disk.open()
    ring = Ring(session, 0, spec.SPLIT, 8, 64)
    session.start(spec.VERSION_1, [ring.config()])
    os.kill(int(disk.describe()["pid"]), signal.SIGSEGV)
    with pytest.raises(TargetDied, match=r"^qemu-storage-daemon closed the connection: killed by SIGSEGV"):
        listen(session)
    session.close()
    session = disk.open()
    ring = Ring(session, 0, spec.SPLIT, 8, 64)
    session.start(spec.VERSION_1, [ring.config()])
    assert len(drive(ring, session, blk(session, devices.load("blk", {}), 0, 1, "flush"))) == 1


@qemu
def test_qemu_offers_no_packed_rings(disk):
    session = disk.open()
    with pytest.raises(TargetError) as error:
        session.start(spec.VERSION_1 | spec.RING_PACKED | spec.IN_ORDER, [])
    offer = "indirect_desc event_idx version_1"
    assert str(error.value) == f"qemu-storage-daemon does not offer packed in_order; it offers {offer}"


@qemu
def test_qemu_tells_what_it_is(disk):
    offer = disk.probe()
    assert spec.feature_names(offer.features) == ["indirect_desc", "event_idx", "version_1"]
    assert offer.config[:8] == (16 * 1024 * 1024 // 512).to_bytes(8, "little")
    about = disk.describe()
    assert about["version"].startswith("qemu-storage-daemon version")
    assert "type=vhost-user-blk" in about["command"]


@qemu
def test_qemu_by_its_command_line():
    template = " ".join(PRESETS["qemu-storage-daemon:null"].command)
    target = make(f"exec:{template}")
    assert target.limits.device == "blk"
    assert target.limits.layouts == (spec.SPLIT,)
    session = target.open()
    ring = Ring(session, 0, spec.SPLIT, 8, 64)
    session.start(spec.VERSION_1 | spec.EVENT_IDX, [ring.config()])
    assert len(drive(ring, session, blk(session, devices.load("blk", {}), 0, 2, "read"))) == 2
    target.close()


# --- dpdk-vhost -------------------------------------------------------------------------------------------------------

dpdk = pytest.mark.target("dpdk-testpmd")


@pytest.fixture(scope="module")
def echo():
    """One process for all tests of this file: it takes seconds to start, and a whole processor while it runs."""
    if not available("dpdk-vhost"):
        pytest.skip("target dpdk-testpmd is not there")
    target = make("dpdk-vhost")
    yield target
    target.close()


class Loop:
    """A session with its two rings, and a device class that knows what must come back."""

    def __init__(self, target, features, layout, size, start=0):
        self.session = target.open()
        self.layout, self.size, self.start = layout, size, start
        self.features = features | (spec.RING_PACKED if layout == spec.PACKED else 0)
        self.device = devices.load("net", dict(target.limits.hints))
        self.serial = 0
        self.begin()

    def begin(self):
        self.session.memory[:BUFFERS] = bytes(BUFFERS)
        self.receive = Ring(self.session, 0, self.layout, self.size, 64, self.start)
        self.send = Ring(self.session, 1, self.layout, self.size, BUFFERS // 2, self.start)
        self.session.start(self.features, [self.receive.config(), self.send.config()])

    def message(self, kind, queue, **fields):
        message = self.device.message(Request(kind, tuple(fields.items())), self.serial, queue)
        self.serial += 1
        return message

    def round(self, count):
        """*count* frames there and back; what is wrong with any, and how many came."""
        for _ in range(count):
            room = self.message("room", 0)
            self.receive.supply(elements := place(self.session, self.serial % 128, room), (room, elements))
        frames = [self.message("frame", 1, length=60 + self.serial % 900) for _ in range(count)]
        start = self.serial
        sent = [(frame, place(self.session, (start + at) % 128, frame)) for at, frame in enumerate(frames)]
        self.serial += count
        assert len(drive(self.send, self.session, sent)) == count
        got: list[tuple[Any, int | None]] = []
        deadline = time.monotonic() + 10
        while len(got) < count and time.monotonic() < deadline:
            got += self.receive.take()
        assert checked(self.session, got) == [""] * len(got)
        return len(got)


MODES = [(layout, order) for layout in spec.LAYOUTS for order in (0, spec.IN_ORDER)]


@dpdk
@pytest.mark.parametrize(("layout", "order"), MODES)
@pytest.mark.parametrize("size", [8, 256])
def test_dpdk_echoes(echo, layout, order, size):
    loop = Loop(echo, spec.VERSION_1 | order, layout, size)
    assert sum(loop.round(min(size, 32)) for _ in range(20)) == 20 * min(size, 32)
    loop.session.close()


@dpdk
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_dpdk_takes_packed_rings_of_any_size(echo, size):
    loop = Loop(echo, spec.VERSION_1 | spec.IN_ORDER, spec.PACKED, size)
    assert sum(loop.round(size) for _ in range(20)) == 20 * size
    loop.session.close()


@dpdk
@pytest.mark.parametrize("how", ["stop", "reconnect"])
@pytest.mark.parametrize(("layout", "order"), MODES)
def test_dpdk_resets(echo, layout, order, how, monkeypatch):
    monkeypatch.setattr(echo, "reset_by", how)
    loop = Loop(echo, spec.VERSION_1 | order, layout, 16)
    for _ in range(5):
        assert loop.round(16) == 16
        loop.session.reset()
        loop.begin()
    loop.session.close()


@dpdk
@pytest.mark.parametrize("queue", [0, 1])
@pytest.mark.parametrize("layout", spec.LAYOUTS)
def test_dpdk_stops_and_goes_on(echo, layout, queue):
    loop = Loop(echo, spec.VERSION_1, layout, 16, 65530 if layout == spec.SPLIT else 0)
    for _ in range(5):
        assert loop.round(5) == 5
        ring = (loop.receive, loop.send)[queue]
        config = ring.config()
        assert loop.session.stop(queue) & 0xFFFF == config.available
        loop.session.resume(queue, config)
    assert loop.round(5) == 5
    loop.session.close()


@dpdk
def test_dpdk_refuses_split_rings_of_odd_sizes(echo):
    session = echo.open()
    with pytest.raises(TargetError, match=r"^dpdk-vhost refused SET_VRING_NUM"):
        session.start(spec.VERSION_1, [Ring(session, 0, spec.SPLIT, 3, 64).config()] * 2)


@dpdk
def test_dpdk_tells_what_it_is(echo):
    echo.open().close()
    offer = echo.probe()
    names = spec.feature_names(offer.features)
    assert names == ["indirect_desc", "event_idx", "version_1", "packed", "in_order"]
    assert re.fullmatch(r"DPDK [\d.]+", echo.describe()["version"])


# --- all --------------------------------------------------------------------------------------------------------------


def test_presets_that_are_not_installed_say_how(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(
        TargetError, match=r"is not installed \(Debian: apt-get install qemu-utils\); or name it in VQFUZZ_QEMU"
    ):
        make("qemu-storage-daemon")
    assert not available("dpdk-vhost")
    monkeypatch.setenv("VQFUZZ_DPDK_TESTPMD", "/no/such/program")
    with pytest.raises(TargetError, match="VQFUZZ_DPDK_TESTPMD names '/no/such/program', which is no program"):
        make("dpdk-vhost")


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_presets_are_complete(preset):
    assert any("{socket}" in word for word in preset.command)
    assert preset.limits.device in devices.CLASSES
    assert preset.limits.device != "any"
    assert "queue_reset" not in preset.limits.actions
    assert preset.version or preset.version_line
    assert preset.summary
