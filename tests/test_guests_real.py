"""Real guests: they boot, negotiate what there is, serve programs without being accused, and never outlive us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from fuzz import device_side, generate
from fuzz.coverage.build import plugin_file
from fuzz.encoding import load
from fuzz.targets.guests import counting, kernels, machine_qemu, machine_uml
from fuzz.targets.guests.counting import CountedGuest
from fuzz.targets.served.kinds import vsock
from fuzz.verdict import CONFORMS, CRASHED, UNDECIDED
from oracles import spec
from oracles import vhost_user as vu
from oracles.trace import Delivered

if TYPE_CHECKING:
    from fuzz.targets.guests.guest import Guest
    from fuzz.targets.guests.target import GuestTarget

ROOT = Path(__file__).resolve().parent.parent
MODES = {"split": 0, "split in_order": spec.IN_ORDER, "packed": spec.RING_PACKED}
MODES["packed in_order"] = spec.RING_PACKED | spec.IN_ORDER
guests = pytest.mark.parametrize(
    "words",
    [
        pytest.param("uml:", marks=pytest.mark.target("guest-uml")),
        pytest.param("qemu-guest:7", marks=pytest.mark.target("guest-7")),
    ],
)
SHORT = """\
virtqueue-program 1
role device
queue {layout} {size}
features version_1{more}
use 5
call
use 3 singly
call
"""


def made(words: str) -> GuestTarget:
    return machine_uml.make(words) if words.startswith("uml:") else machine_qemu.make(words, plugin_file)


@pytest.fixture(scope="module")
def running() -> Generator[dict[str, GuestTarget], None, None]:
    """Guests that run, each booted once for all tests."""
    there: dict[str, GuestTarget] = {}
    yield there
    for one in there.values():
        one.close()


def of(running: dict[str, GuestTarget], words: str) -> GuestTarget:
    if words not in running:
        running[words] = made(words)
    return running[words]


@guests
def test_a_driver_takes_what_it_is_offered(running: dict[str, GuestTarget], words: str) -> None:
    target = of(running, words)
    offer = target.probe()
    details = dict(offer.details)
    for mode, bits in MODES.items():
        numbers = details[mode].rpartition("bits ")[2].split()
        assert ("34" in numbers, "35" in numbers) == (bool(bits & spec.RING_PACKED), bool(bits & spec.IN_ORDER)), mode
        assert {"28", "29", "32"} <= set(numbers)
    assert offer.features & (spec.RING_PACKED | spec.IN_ORDER) == spec.RING_PACKED | spec.IN_ORDER
    assert details["release"].startswith("7.")
    assert target.starts == 1


@pytest.mark.target("guest-6.12")
def test_a_kernel_from_before_in_order_does_not_take_it() -> None:
    target = made("qemu-guest:6.12")
    try:
        details = dict(target.probe().details)
    finally:
        target.close()
    assert details["packed in_order"].endswith("28 29 32 34")
    assert details["split in_order"].endswith("28 29 32")


@guests
def test_programs_accuse_nobody_and_share_a_guest(running: dict[str, GuestTarget], words: str) -> None:
    target = of(running, words)
    drawn = [generate.nth(11, index, target.limits) for index in range(8)]
    seen = set()
    for layout, more in (("split", ""), ("split", " in_order"), ("packed", ""), ("packed", " in_order")):
        size = target.limits.split_sizes[0]
        drawn.append(load(SHORT.format(layout=layout, size=size, more=more)))
    for program in drawn:
        session = target.open()
        try:
            outcome = device_side.run(program, session)
        finally:
            session.close()
        assert (outcome.verdict, outcome.reason) == (CONFORMS, "")
        assert outcome.chains > 0
        seen.add((program.layout, bool(program.features & spec.IN_ORDER)))
    assert len(seen) == len(MODES)
    assert target.starts == 1


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("uml:,kind=vsock", marks=pytest.mark.target("guest-uml")),
        pytest.param("qemu-guest:7,kind=vsock", marks=pytest.mark.target("guest-7")),
    ],
)
@pytest.mark.parametrize("layout", ["split", "packed"])
def test_a_stream_goes_both_ways_and_what_came_is_what_we_wrote(
    running: dict[str, GuestTarget], words: str, layout: str
) -> None:
    target = of(running, words)
    program = load(SHORT.format(layout=layout, size=target.limits.split_sizes[0], more=" in_order"))
    session = target.open()
    streams: dict[tuple[int, int], vsock.Stream] = {}

    def begun(step: int) -> None:
        if step == 3:
            time.sleep(0.5)  # for the guest to say what it got
        device = session._device()
        assert isinstance(device.kind, vsock.Device)
        streams.update(device.kind.streams)

    try:
        outcome = device_side.run(program, session, begun=begun)
    finally:
        session.close()
    assert (outcome.verdict, outcome.reason) == (CONFORMS, "")
    assert any(isinstance(seen, Delivered) for _, seen in outcome.trace), "it got our data"
    assert [key[0] - 1234 for key in streams] == [target.slot(program.features | MODES[layout])], "a port for each slot"
    stream = next(iter(streams.values()))
    assert stream.sent > 0
    assert stream.received > 0
    assert stream.sent - stream.taken <= stream.room


@pytest.mark.target("guest-7")
def test_a_guest_counts_its_code_for_virtqueues_while_a_program_runs() -> None:
    target = made("qemu-guest:7,coverage=on")
    assert isinstance(target, CountedGuest)
    reached = []
    try:
        assert target.counters() is None, "nothing runs"
        target.probe()
        counters = target.counters()
        assert counters is not None
        for layout in ("split", "packed", "packed"):
            session = target.open()
            outcome = device_side.run(load(SHORT.format(layout=layout, size=256, more="")), session)
            session.close()
            assert (outcome.verdict, outcome.reason) == (CONFORMS, "")
            reached.append({place for place, count in counters.hits() if count})
        code = counting.code_of(kernels.find("7"), "blk", lambda: pytest.fail("it was asked"), 1.0)
        assert all(place < code.end - code.start for place in reached[0] | reached[1])
    finally:
        target.close()
    split, packed, again = reached
    assert min(len(split), len(packed)) >= 50
    assert len(split - packed) >= 20, "one layout has code of its own"
    assert len(packed ^ again) < len(packed ^ split) / 4, "what runs twice reaches nearly the same"


@pytest.mark.target("guest-7")
@pytest.mark.parametrize("layout", ["split", "packed"])
def test_qemu_is_told_what_of_its_guest_is_in_flight(running: dict[str, GuestTarget], layout: str) -> None:
    target = of(running, "qemu-guest:7")
    session = target.open()
    program = load(SHORT.format(layout=layout, size=256, more=""))
    used = []

    def begun(step: int) -> None:
        device = session._device()
        area = device.areas[0].view
        packed = layout == "packed"
        head = (vu.INFLIGHT_PACKED if packed else vu.INFLIGHT_SPLIT).unpack_from(area)
        assert head[1:3] == (1, 256), "version and entries"
        used.append(head[5] | head[7] << 15 if packed else head[4])
        if not packed:
            assert device.positions(device.rings[0])[1] == used[-1]

    try:
        outcome = device_side.run(program, session, begun=begun)
    finally:
        session.close()
    assert (outcome.verdict, outcome.reason) == (CONFORMS, "")
    assert len(set(used)) > 1, "it follows what is used"


@pytest.mark.target("guest-uml")
def test_a_kernel_that_dies_is_a_find_with_its_last_words() -> None:
    target = made("uml:")
    program = load(SHORT.format(layout="split", size=target.limits.split_sizes[0], more=""))
    session = target.open()

    def begun(step: int) -> None:
        if step == 2:
            cast("Guest", target.running()[0])._say("crash")
            time.sleep(1.0)

    began = time.monotonic()
    try:
        outcome = device_side.run(program, session, begun=begun)
    finally:
        session.close()
        target.close()
    assert outcome.verdict == CRASHED, outcome.reason
    assert "Kernel panic" in outcome.reason
    assert time.monotonic() - began < 60


@pytest.mark.target("guest-uml")
def test_a_guest_that_hangs_is_undecided_in_time_and_the_next_program_has_another() -> None:
    target = made("uml:")
    program = load(SHORT.format(layout="packed", size=target.limits.split_sizes[0], more=" in_order"))

    def begun(step: int) -> None:
        if step == 1:
            machine = cast("Guest", target.running()[0])
            assert machine._process is not None
            for pid in with_argument(str(machine._process.folder)):
                os.kill(pid, signal.SIGSTOP)

    try:
        session = target.open()
        began = time.monotonic()
        outcome = device_side.run(program, session, begun=begun)
        session.close()
        assert outcome.verdict == UNDECIDED
        assert time.monotonic() - began < 60
        session = target.open()
        assert device_side.run(program, session).verdict == CONFORMS
        session.close()
        assert target.starts == 2
    finally:
        target.close()


SCRIPT = """
import sys, time
sys.path.insert(0, {root!r})
from fuzz.targets.guests.machine_uml import make
target = make("uml:")
machine, bench = target.running()
while machine.state(0) == "starting":
    bench.pump(0.01)
print(machine._process.folder, flush=True)
time.sleep(600)
"""


@pytest.mark.target("guest-uml")
def test_nothing_of_a_guest_outlives_us() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(root=str(ROOT))], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert child.stdout is not None
    folder = child.stdout.readline().strip()
    try:
        assert folder
        assert len(with_argument(folder)) > 1, "it has processes of its own"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    deadline = time.monotonic() + 10
    while with_argument(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert with_argument(folder) == []
    subprocess.run(["rm", "-rf", folder], check=True)


def with_argument(part: str) -> list[int]:
    """Processes on whose command line *part* stands."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                line = Path("/proc", name, "cmdline").read_bytes()
            except OSError:
                continue
            if part.encode() in line:
                found.append(int(name))
    return found
