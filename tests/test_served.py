"""Devices that are served to drivers which run by themselves: what they say, and who is served what, when."""

from __future__ import annotations

import socket
import struct
from zlib import crc32

import pytest

from fuzz import device_side, encoding, settling
from fuzz.program import Limits
from fuzz.targets import TargetError
from fuzz.targets.served import kinds
from fuzz.targets.served.bench import Bench
from fuzz.targets.served.kinds import blk, console, net, rng, vsock
from fuzz.targets.served.memory import SPAN, OneRange
from fuzz.targets.served.target import ServedTarget
from oracles import spec
from oracles import vhost_user as vu
from tests.served_kit import HIGH, PLACES, SIZE, USER, Guest, OneGuest, behind

MARK_7_3 = bytes.fromhex("070000000000000003000000")
MARK_7_3 += (crc32(MARK_7_3) & 0x7FFFFFFF).to_bytes(4, "little")


# -- what devices say -------------------------------------------------------------------------------------------------


def test_a_disk_fills_a_read_with_the_sector_and_the_buffer_and_writes_the_status_last() -> None:
    said = blk.Device().fill(0, 3, bytes.fromhex("00000000 00000000 0700000000000000"), 1025, 100)
    assert said[:16] == MARK_7_3
    assert said[:512] == MARK_7_3 * 32
    assert said[512:520] == bytes.fromhex("0800000000000000")
    assert (len(said), said[-1]) == (1025, 0)


@pytest.mark.parametrize(
    ("request_", "room", "said"),
    [
        ("01000000 00000000 0000000000000000", 1, "00"),  # write
        ("04000000 00000000 0000000000000000", 1, "00"),  # flush
        ("08000000 00000000 0000000000000000", 9, "767166757a7a0000 00"),  # GET_ID
        ("63000000 00000000 0000000000000000", 2, "00 02"),  # nothing of the specification: UNSUPP
        ("00000000 00000000 ffffffffffffffff", 2, "00 01"),  # half a sector: IOERR
        ("00000000 00000000 0000200000000000", 513, "00" * 512 + "01"),  # beyond the capacity
        ("0000", 1, "01"),  # no header
    ],
)
def test_a_disk_answers_requests(request_: str, room: int, said: str) -> None:
    assert blk.Device().fill(0, 0, bytes.fromhex(request_), room, None) == bytes.fromhex(said)


def test_a_disk_has_a_configuration_space() -> None:
    assert blk.Device.config[:8] == bytes.fromhex("0000200000000000")  # 1 GiB
    assert blk.Device.config[20:24] == bytes.fromhex("00020000")  # blocks of 512 bytes
    assert blk.Device.config[34:36] == b"\1\0"  # one queue
    assert len(blk.Device.config) == 36


def test_a_card_sends_frames_that_lie_in_one_buffer() -> None:
    said = net.Device().fill(net.RX, 0x01020304, b"", 1526, 80)
    assert said[:12] == bytes.fromhex("000000000000000000000100")
    assert said[12:28] == bytes.fromhex("ffffffffffff02000102030488b5") + b"01"
    assert len(said) == 80
    assert len(net.Device().fill(net.RX, 0, b"", 1526, 1)) == 72  # no frame is shorter than 60 bytes
    assert net.Device().answer(net.RX, 0, b"", 1526) is None
    assert net.Device().answer(net.TX, 0, bytes(72), 0) == b""


def test_a_console_announces_its_port_names_and_opens_it() -> None:
    device = console.Device()
    assert device.answer(console.CONTROL_RX, 0, b"", 64) is None
    assert device.answer(console.CONTROL_TX, 0, bytes.fromhex("ffffffff00000100"), 0) == b""  # DEVICE_READY
    assert device.answer(console.CONTROL_RX, 0, b"", 64) == bytes.fromhex("0000000001000100")  # DEVICE_ADD
    device.answer(console.CONTROL_TX, 0, bytes.fromhex("0000000003000100"), 0)  # PORT_READY
    assert device.answer(console.CONTROL_RX, 0, b"", 64) == bytes.fromhex("0000000007000100") + b"vqfuzz"
    assert device.answer(console.CONTROL_RX, 0, b"", 64) == bytes.fromhex("0000000006000100")  # PORT_OPEN
    assert device.answer(console.RX, 1, b"", 64) is None  # nobody listens yet
    device.answer(console.CONTROL_TX, 0, bytes.fromhex("0000000006000100"), 0)  # PORT_OPEN
    assert [device.answer(console.RX, 1, b"", 64) for _ in range(9)] == [b"000000010000000\n"] * 8 + [None]
    assert device.answer(console.TX, 1, b"text", 0) == b""
    assert device.answer(console.RX, 2, b"", 64) == b"000000020000000\n"
    assert device.fill(console.RX, 0x1F, b"", 64, 32) == b"0000001f0000000\n0000001f0000001\n"


def test_entropy_tells_which_buffer_it_was_written_to() -> None:
    said = rng.Device().fill(0, 3, b"", 64, None)
    assert len(said) == 64
    assert said[12:16] == (crc32(said[:12]) & 0x7FFFFFFF).to_bytes(4, "little")
    assert [said[at : at + 12] for at in (0, 16)] == [bytes(8) + b"\3\0\0\0", b"\1" + bytes(7) + b"\3\0\0\0"]
    assert [len(rng.Device().fill(0, 3, b"", room, 0)) for room in (64, 5)] == [16, 5]


def packet(op: int, length: int = 0, room: int = 0, taken: int = 0) -> bytes:
    """Of a guest's stream from port 4000 to 1234."""
    return struct.pack("<QQIIIHHIII", 3, 2, 4000, 1234, length, 1, op, 0, room, taken)


def test_a_socket_accepts_streams_and_sends_what_there_is_credit_for() -> None:
    device = vsock.Device()
    device.answer(vsock.TX, 0, packet(1, room=48), 0)  # REQUEST
    head = bytes.fromhex("02000000000000000300000000000000d2040000a00f0000")
    assert device.answer(vsock.RX, 0, b"", 4096) == head + bytes.fromhex(
        "0000000001000200000000000000040000000000"  # RESPONSE, with room for 256 KiB
    )
    said = device.fill(vsock.RX, 9, b"", 4096, 44 + 33)
    assert said == head + bytes.fromhex("2000000001000500000000000000040000000000") + (
        b"000000090000000\n000000090000001\n"
    )
    assert len(device.fill(vsock.RX, 9, b"", 4096, None).rstrip(b"\0")) == 44 + 16  # the rest of the credit
    assert device.fill(vsock.RX, 9, b"", 4096, 4096)[30:32] == b"\3\0"  # none: a reset of what never was
    device.answer(vsock.TX, 0, packet(5, 16, 48, 48) + bytes(16), 0)  # RW: all is taken
    assert not device.pending, "the next data says so"
    device.answer(vsock.TX, 0, packet(7, 0, 48, 48), 0)  # CREDIT_REQUEST
    update = device.fill(vsock.RX, 9, b"", 4096, 44)
    assert update[28:32] == b"\1\0\6\0"
    assert update[40:44] == b"\x10\0\0\0"  # fwd_cnt
    device.answer(vsock.TX, 0, packet(4), 0)  # SHUTDOWN
    assert device.fill(vsock.RX, 9, b"", 4096, 44)[30:32] == b"\3\0"


def test_only_a_socket_keeps_a_driver_waiting_that_comes_up() -> None:
    device = vsock.Device()
    assert not device.speaks(vsock.RX)
    device.answer(vsock.TX, 0, packet(1, room=48), 0)  # REQUEST
    assert device.speaks(vsock.RX)
    assert all(kinds.load(name).speaks(0) for name in kinds.NAMES if name != "vsock")


def test_a_socket_says_what_it_took_before_the_guest_runs_out_of_room() -> None:
    device = vsock.Device()
    device.answer(vsock.TX, 0, packet(1), 0)
    device.pending.clear()
    sent = 0
    while not device.pending:
        device.answer(vsock.TX, 0, packet(5, 4096), 0)
        sent += 4096
        assert sent < 1 << 17, "half of the room that it told"
    assert device.pending[0][30:32] == b"\6\0"  # CREDIT_UPDATE
    assert int.from_bytes(device.pending[0][40:44], "little") == sent


def test_what_is_written_is_traced_by_its_pieces() -> None:
    said = blk.Device().fill(0, 3, bytes.fromhex("00000000 00000000 0700000000000000"), 1025, None)
    assert blk.Device().traces(0, said) == [said[:16], said[512:528]]
    assert blk.Device().traces(0, b"\0") == []
    frame = net.Device().fill(net.RX, 1, b"", 100, None)
    assert net.Device().traces(net.RX, frame) == [frame[12:28]]
    assert blk.Device().wanted(0, 7) == MARK_7_3[:8]
    for name in kinds.NAMES:
        device = kinds.load(name)
        for queue in device.about:
            for length in (None, 0, 1, 4096):
                assert len(device.fill(queue, 1, bytes(64), 512, length)) <= 512


# -- memory -----------------------------------------------------------------------------------------------------------


def test_regions_lie_in_one_range_as_far_apart_as_the_guest_has_them(tmp_path) -> None:
    regions = OneRange()
    files = [open(tmp_path / str(number), "w+b") for number in range(2)]  # noqa: SIM115 - closed below
    for number, file in enumerate(files):
        file.write(bytes([number + 1]) * 8192)
        file.flush()
        regions.add(HIGH * number, 4096, USER + number * 4096, 4096 * number, file.fileno())
        file.close()
    assert regions.space is not None
    view = regions.space.view
    assert (view[0], view[4096], view[HIGH], regions.space.low) == (1, 0, 2, 0)
    assert regions.guest(USER + 4096 + 5) == HIGH + 5
    assert regions.guest(USER + 8192) is None
    view[HIGH] = 7
    assert (tmp_path / "1").read_bytes()[4096] == 7
    assert regions.remove(HIGH, 4096, USER + 4096)
    assert view[HIGH] == 0
    with pytest.raises(ValueError, match="outside of the range"):
        regions.space.map(SPAN, 4096, 0, 0)


def test_a_process_has_its_memory_anywhere(tmp_path) -> None:
    regions = OneRange()
    with open(tmp_path / "memory", "w+b") as file:
        file.truncate(8192)
        regions.add(0x7F0000001000, 4096, 0x7F0000001000, 0, file.fileno())
        regions.add(0x7EFFFFFFF000, 4096, 0x7EFFFFFFF000, 4096, file.fileno())  # what it maps later lies below
    assert regions.space is not None
    assert regions.by_user(0x7EFFFFFFF000) is not None


# -- connections ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bench():
    made = Bench([("blk", True, True)], kinds.load)
    yield made
    made.close()


@pytest.fixture
def guest(bench):
    made = Guest(bench.slots[0].socket)
    behind(bench, made.frontend.negotiate)
    yield made
    made.close()


def read_one(bench, guest, sector):
    """A sector as the guest reads it."""
    _, at = guest.read_sector(sector)
    guest.kick()
    bench.pump(1.0)
    return guest.memory[at : at + 16].tobytes()


def test_a_queue_that_no_program_is_about_is_served_in_all_regions(bench, guest) -> None:
    behind(bench, lambda: guest.begin(spec.VERSION_1, 8))
    assert read_one(bench, guest, 5)[:8] == b"\5" + bytes(7)
    assert guest.used() == 1


def test_a_firmware_uses_the_device_first_and_then_a_system_with_other_features(bench, guest) -> None:
    behind(bench, lambda: guest.begin(spec.VERSION_1, 128))
    for sector in (1, 2, 3):
        read_one(bench, guest, sector)
    assert behind(bench, lambda: guest.frontend.vring_base(0)) == 3
    behind(bench, lambda: guest.begin(spec.VERSION_1 | spec.RING_PACKED | spec.IN_ORDER, 16, base=0))  # base 0: ignored
    assert read_one(bench, guest, 9)[:8] == b"\x09" + bytes(7)
    device = bench.device(0)
    assert device.accepted & (spec.RING_PACKED | spec.IN_ORDER) == spec.RING_PACKED | spec.IN_ORDER
    assert guest.memory[PLACES[0] + 14 : PLACES[0] + 16].tobytes() == b"\x82\x80"  # used, with what was written


def test_status_0_and_reset_end_what_a_driver_began(bench, guest) -> None:
    for end in ("status", "reset"):
        behind(bench, lambda: guest.begin(spec.VERSION_1, 8))
        device = bench.device(0)
        assert device.ready(0)
        if end == "status":
            behind(bench, lambda: (guest.frontend.set_status(0), guest.frontend.settle()))
        else:
            header = vu.HEADER.pack(vu.RESET_DEVICE, vu.VERSION | vu.NEED_REPLY, 0)
            guest.frontend.send(header)
            behind(bench, guest.frontend.settle)
        assert not device.ready(0)
        assert device.honest == {}
        guest.read_sector(1)
        guest.kick()
        bench.pump(0.05)
        assert guest.used() == 0


def test_a_stopped_queue_goes_on_where_it_was(bench, guest) -> None:
    behind(bench, lambda: guest.begin(spec.VERSION_1, 8))
    read_one(bench, guest, 1)
    base = behind(bench, lambda: guest.frontend.vring_base(0))
    areas = tuple(USER + at for at in PLACES)
    behind(bench, lambda: (guest.frontend.place(0, 8, base, areas), guest.frontend.ring(0, guest.events),
                           guest.frontend.settle()))  # fmt: skip
    assert read_one(bench, guest, 2)[:8] == b"\2" + bytes(7)
    assert guest.used() == 2


def test_the_configuration_space_is_told_and_a_channel_for_requests_is_taken(bench, guest) -> None:
    assert behind(bench, lambda: guest.frontend.config(60)) == blk.Device.config.ljust(60, b"\0")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        guest.frontend.send(vu.HEADER.pack(vu.SET_BACKEND_REQ_FD, vu.VERSION, 0), [theirs.fileno()])
        bench.pump(0.05)
        assert bench.device(0).channel is not None


def test_one_region_less_is_no_memory_any_more(bench, guest) -> None:
    behind(bench, lambda: guest.begin(spec.VERSION_1, 8))
    behind(bench, lambda: (guest.frontend.remove_region(HIGH, SIZE, USER + HIGH, guest.files[1]),
                           guest.frontend.settle()))  # fmt: skip
    assert not bench.device(0).ready(0)


def test_a_front_end_may_hang_up_and_come_again(bench, guest) -> None:
    again = Guest(bench.slots[0].socket)
    behind(bench, again.frontend.negotiate)
    behind(bench, lambda: again.begin(spec.VERSION_1, 8))
    assert read_one(bench, again, 4)[:8] == b"\4" + bytes(7)
    again.close()


# -- programs ---------------------------------------------------------------------------------------------------------

PROGRAM = """\
virtqueue-program 1
role device
queue split 16
features version_1
use 2 length=1
call
suppress disable
use 3 reversed
use 1 singly
call
"""
LIMITS = Limits(layouts=("split",), in_order=(False,), features=0, actions=frozenset({"passive"}), role="device")


def target(fault: str = "", **more) -> ServedTarget:
    """A disk's driver in a thread."""
    return ServedTarget("guest", lambda: OneGuest(fault), "blk", LIMITS, starting=3.0, **more)


def run(one: ServedTarget, program: str = PROGRAM):
    """One program, as the runner would do it."""
    session = one.open()
    try:
        return device_side.run(encoding.load(program), session)
    finally:
        session.close()


def test_a_driver_is_served_from_its_first_buffer_to_its_last_and_its_data_is_judged() -> None:
    one = target()
    for _ in range(2):  # the same machine serves another program
        outcome = run(one)
        assert (outcome.verdict, outcome.reason) == ("CONFORMS", "")
        assert outcome.chains >= 7
        seen = [type(observation).__name__ for _, observation in outcome.trace]
        assert seen.count("Delivered") >= 3
    assert one.starts == 1
    one.close()


def test_data_that_the_device_did_not_write_is_found() -> None:
    one = target("foreign")
    outcome = run(one, PROGRAM + "use 2\ncall\n" * 20)
    assert outcome.rule == "VQ-DRV-DATA"
    assert "is not what the request asked for" in outcome.violation.message
    assert one.starts == 1
    run(one)
    assert one.starts == 2  # a machine that was left in the middle serves nobody else
    one.close()


@pytest.mark.parametrize(
    ("fault", "verdict", "reason"),
    [
        ("dies", "CRASHED", "guest is gone: killed by SIGSEGV"),
        ("silent", "UNDECIDED", "the driver does not work after 0.3 s, in which 0 buffers were used"),
        ("stuck", "UNDECIDED", "the driver sets up no virtqueue in 0.3 s"),
        ("stays", "UNDECIDED", "the driver does not let go of its device in 0.3 s, though all buffers were used"),
    ],
)
def test_a_driver_that_does_not_do_its_part_gets_a_verdict_in_time(fault, verdict, reason, monkeypatch) -> None:
    monkeypatch.setattr(settling, "SETTLING", 0.3)
    one = target(fault)
    one.starting = 0.3 if fault == "stuck" else 5.0
    outcome = run(one)
    assert (outcome.verdict, outcome.reason) == (verdict, reason)
    one.close()


def test_what_a_machine_has_not_is_said() -> None:
    with pytest.raises(TargetError, match="has no blk device with packed rings, in_order 1"):
        target().slot(spec.RING_PACKED | spec.IN_ORDER)
    with pytest.raises(TargetError, match="queue 1 of a blk device is none"):
        target(queue=1)


def test_probing_says_what_was_accepted() -> None:
    one = target()
    offer = one.probe()
    assert offer.features == spec.VERSION_1
    assert offer.facts()["queue"] == "0 of blk, with 16 entries"
    one.close()
