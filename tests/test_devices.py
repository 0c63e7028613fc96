"""Device classes: the bytes of requests, and that answers are judged when they can be, and only then."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest

from fuzz import devices
from fuzz.choices import Exhaustive, Seeded
from fuzz.devices.sectors import sector_data
from fuzz.program import Limits, Request, divide

LIMITS = Limits(hints=(("capacity", 64),))
OK, IOERR, UNSUPP = b"\0", b"\1", b"\2"


def disk(**hints):
    return devices.load("blk", {"capacity": 64, **hints})


def write(device, buffer, sector, count=1, queue=0):
    return device.message(Request("write", (("sector", sector), ("length", count * 512))), buffer, queue)


def read(device, buffer, sector, count=1):
    return device.message(Request("read", (("sector", sector), ("length", count * 512))), buffer, 0)


def longest_run(data):
    longest = run = 1
    for left, right in pairwise(data):
        run = run + 1 if left == right else 1
        longest = max(longest, run)
    return longest


# --- all classes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "queues"), [("blk", 1), ("net", 2)])
def test_what_is_drawn_is_right(name, queues):
    choices = Seeded(1)
    seen = set()
    for number in range(3000):
        queue = number % queues
        device = devices.load(name, dict(LIMITS.hints))
        request, cut = device.draw(choices, queue, LIMITS)
        assert device.words(request) is None
        message = device.message(request, number, queue)
        readable, writable = divide(len(message.readable), message.writable, cut)
        assert min(readable + writable) > 0
        assert len(readable) + len(writable) <= 32
        seen.add((request.kind, len(readable), len(writable)))
    assert len(seen) > 15


@pytest.mark.parametrize("name", ["blk", "net"])
def test_choices_decide_alone(name):
    for queue in (0, 1):
        first, second = (devices.load(name, {}).draw(Seeded(5), queue, LIMITS) for _ in range(2))
        assert first == second


def test_all_zeros_draw_something_simple():
    assert devices.load("blk", {}).draw(next(Exhaustive().rounds()), 0, LIMITS) == (
        Request("read", (("sector", 0), ("length", 512))),
        (16, 512, 1),
    )
    assert devices.load("net", {}).draw(next(Exhaustive().rounds()), 1, LIMITS)[1] == ()


@pytest.mark.parametrize("kind", ["any", "fax", ""])
def test_unknown_classes(kind):
    with pytest.raises(KeyError):
        devices.load(kind, {})


# --- blk --------------------------------------------------------------------------------------------------------------


def test_blk_requests_are_those_of_the_specification():
    device = disk()
    assert read(device, 0, 5, 2).readable == struct.pack("<IIQ", 0, 0, 5)
    assert read(device, 0, 5, 2).writable == 1025
    message = write(device, 1, 7, 2)
    assert message.readable[:16] == bytes.fromhex("01000000 00000000 0700000000000000")
    assert (len(message.readable), message.writable) == (16 + 1024, 1)
    assert device.message(Request("flush"), 2, 0).readable[:4] == bytes.fromhex("04000000")
    assert device.message(Request("get_id"), 2, 0).writable == 21


def test_blk_data_can_not_be_taken_for_prefill():
    seen = set()
    for buffer in (0, 1, 126, 127, 16129, 70000):
        for queue in (0, 1):
            for sector in (0, 1, 127, 32767, 1 << 40):
                data = sector_data(buffer, queue, sector)
                assert len(data) == 512
                assert max(data) < 0x80
                assert min(data) > 0
                assert longest_run(data) < 8
                seen.add(data)
    assert len(seen) == 60


def test_blk_reads_what_was_written():
    device = disk()
    message = write(device, 0, 3, 2)
    data = message.readable[16:]
    assert message.check(1, OK) == ""
    check = read(device, 1, 2, 3).check
    assert check(1537, bytes(512) + data + OK) == ""
    assert check(1537, bytes(512) + data[:-1] + b"\x01" + OK) == "sector 4 does not read as buffer 0 wrote it"
    assert check(1537, bytes(1536) + OK) == "sector 3 does not read as buffer 0 wrote it"
    # sector 2 was never written by us: anything may be there
    assert check(1537, b"\x55" * 512 + data + OK) == ""


def test_blk_status_is_judged():
    device = disk()
    assert read(device, 0, 0).check(513, bytes(512) + b"\x9a") == "status 154 (none of the specification)"
    assert write(device, 1, 0).check(1, IOERR) == "status 1 (IOERR)"
    assert write(device, 2, 0).check(1, UNSUPP) == "status 2 (UNSUPP)"
    for kind, data in (("flush", b""), ("get_id", bytes(20))):
        check = device.message(Request(kind), 3, 0).check
        assert check(1, data + OK) == ""
        assert check(1, data + UNSUPP) == ""  # not every device has them
        assert check(1, data + IOERR) == "status 1 (IOERR)"


def test_blk_beyond_the_end_may_fail_but_need_not():
    device = disk()
    for message in (read(device, 0, 60, 8), write(device, 1, 64)):
        assert message.check(1, bytes(message.writable - 1) + OK) == ""
        assert message.check(1, bytes(message.writable - 1) + IOERR) == ""
        assert message.check(1, bytes(message.writable - 1) + b"\7") == "status 7 (none of the specification)"


def test_blk_nothing_is_known_while_a_write_is_on_its_way():
    device = disk()
    first = write(device, 0, 3)
    first.check(1, OK)
    before = read(device, 1, 3)
    second = write(device, 2, 3)
    during = read(device, 3, 3)
    old, new = first.readable[16:], second.readable[16:]
    for data in (old, new, bytes(512)):
        assert before.check(513, data + OK) == ""
        assert during.check(513, data + OK) == ""
    second.check(1, OK)
    assert during.check(513, old + OK) == ""
    after = read(device, 4, 3)
    assert after.check(513, new + OK) == ""
    assert after.check(513, old + OK) == "sector 3 does not read as buffer 2 wrote it"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_blk_two_writes_at_once_leave_it_open(order):
    device = disk()
    writes = [write(device, 0, 3), write(device, 1, 3)]
    for number in order:
        assert writes[number].check(1, OK) == ""
    for message in writes:
        assert read(device, 2, 3).check(513, message.readable[16:] + OK) == ""
    write(device, 3, 3).check(1, OK)
    assert read(device, 4, 3).check(513, bytes(512) + OK) != ""


def test_blk_a_failed_or_lost_write_leaves_it_open():
    device = disk()
    write(device, 0, 3).check(1, IOERR)
    assert read(device, 1, 3).check(513, bytes(512) + OK) == ""
    write(device, 2, 3)  # never answered: there was a reset
    assert read(device, 3, 3).check(513, bytes(512) + OK) == ""


def test_blk_a_write_that_found_no_room_never_was():
    device = disk()
    first = write(device, 0, 3, 2)
    first.check(1, OK)
    write(device, 1, 4)
    check = read(device, 1, 3, 2).check  # the same number: so the write before was left out
    assert check(1025, first.readable[16:] + OK) == ""
    assert check(1025, bytes(1024) + OK) == "sector 3 does not read as buffer 0 wrote it"
    assert check(1025, first.readable[16:528] + bytes(512) + OK) == "sector 4 does not read as buffer 0 wrote it"


def test_blk_a_write_left_out_does_not_confuse_two_queues():
    device = disk()
    write(device, 0, 3, queue=0)  # left out …
    other = write(device, 0, 3, queue=1)
    again = write(device, 0, 3, queue=0)  # … so this one has its number
    other.check(1, OK)
    again.check(1, OK)
    for message in (other, again):
        assert read(device, 1, 3).check(513, message.readable[16:] + OK) == ""


def test_blk_answers_looked_at_twice_change_nothing():
    device = disk()
    message = write(device, 0, 3)
    assert message.check(1, OK) == message.check(1, OK) == ""
    assert read(device, 1, 3).check(513, message.readable[16:] + OK) == ""


def test_blk_a_device_that_forgets():
    device = disk(forgets=1)
    write(device, 0, 3).check(1, OK)
    assert read(device, 1, 3).check(513, bytes(512) + OK) == ""


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (Request("erase"), "blk has no request 'erase'; it has read, write, flush, get_id"),
        (Request("flush", (("sector", 1),)), "flush has no field 'sector'"),
        (Request("read", (("sector", 1),)), "read lacks length, as in «read sector=0 length=512»"),
        (Request("read", (("sector", 1), ("size", 512))), "read has no field 'size'; it has sector and length"),
        (
            Request("read", (("sector", 0), ("length", 511))),
            "length is a multiple of 512 up to 4194304 (5.2.6.1), not 511",
        ),
        (
            Request("write", (("sector", 0), ("length", 0))),
            "length is a multiple of 512 up to 4194304 (5.2.6.1), not 0",
        ),
        (Request("write", (("sector", 1 << 64), ("length", 512))), "sector is a 64-bit number"),
        (Request("write", (("sector", 9), ("length", 512))), None),
    ],
)
def test_blk_words(request_, text):
    assert disk().words(request_) == text
