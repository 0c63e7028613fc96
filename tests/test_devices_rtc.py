"""virtio-rtc: requests byte by byte, and answers right and wrong."""

from __future__ import annotations

import pytest

from fuzz import devices
from fuzz.devices import rtc
from tests.device_kit import assert_draws_well, message, said

PREFILL = b"\x99"
HEAD = "0000000000000000"


def clock(**hints):
    return devices.load("rtc", {"steady": 1, **hints})


def answered(made, data, used=None):
    data = bytes.fromhex(data)
    return made.check(len(data) if used is None else used, data.ljust(made.writable, PREFILL))


def test_draws():
    assert_draws_well("rtc", (0,), set(rtc.FORMS) - {"alarm"})
    assert_draws_well("rtc", (0, 1), rtc.FORMS)


@pytest.mark.parametrize(
    ("kind", "fields", "expected", "writable"),
    [
        ("read", {"clock": 1}, "0100000000000000 0100000000000000", 16),
        ("read_cross", {"counter": 1}, "0200000000000000 0000010000000000", 24),
        ("config", {}, "0010000000000000", 16),
        ("clock_cap", {"room": 5}, "0110000000000000 0000000000000000", 21),
        ("cross_cap", {"clock": 2, "counter": 0}, "0210000000000000 0200000000000000", 16),
        ("read_alarm", {}, "0310000000000000 0000000000000000", 24),
        ("set_alarm", {"time": 258, "enabled": 1}, "0410000000000000 0201000000000000 0000010000000000", 8),
        ("enable_alarm", {"enabled": 0}, "0510000000000000 0000000000000000", 8),
        ("unknown", {"type": 0x55}, "5500000000000000", 8),
    ],
)
def test_requests(kind, fields, expected, writable):
    made = message(clock(), kind, **fields)
    assert (made.readable, made.writable, made.completes) == (bytes.fromhex(expected), writable, True)


@pytest.mark.parametrize(
    ("kind", "data", "wrong"),
    [
        ("read", HEAD + "0102030405060708", ""),
        ("read", HEAD + "01020304", "an answer of 12 bytes to read, it has 16 (5.23.6)"),
        ("read", "0000", "an answer of 2 bytes, its header has 8 (5.23.6)"),
        ("read", "0300000000000000", ""),  # there is no such clock
        ("read", "0500000000000000", ""),
        ("read", "0200000000000000", "status 2, but every clock can be read (5.23.6.5.2)"),
        ("read", "0400000000000000", "status 4 for a request that the specification allows (5.23.6.2)"),
        ("read", "0100000000000000", "status 1, which the specification does not have (5.23.6)"),
        ("read", "0001000000000000 0000000000000000", "reserved bytes of the answer's header are not zero (5.23.6.2)"),
        ("config", HEAD + "0100000000000000", ""),
        ("config", HEAD + "0100000000000001", "reserved bytes of the answer to config are not zero (5.23.6.2)"),
        ("config", "0300000000000000", "status 3 for a request that names no clock (5.23.6.2)"),
        ("clock_cap", HEAD + "0300000000000000", ""),
        ("clock_cap", HEAD + "0300010000000000", "flags 0x1 that were not negotiated (5.23.6.2)"),
        ("cross_cap", HEAD + "0100000000000000", ""),
        ("read_cross", "0200000000000000", ""),
        ("read_alarm", "0200000000000000", ""),
        ("read_alarm", "0400000000000000", ""),  # not negotiated: who knows what is wrong with it
        ("unknown", "0200000000000000", ""),
        ("unknown", HEAD, "status 0 for an unknown message type, must be 2 (5.23.6.2)"),
    ],
)
def test_answers(kind, data, wrong):
    made = message(clock(), kind)
    assert answered(made, data) == wrong
    if len(data.replace(" ", "")) % 16 == 0:
        assert answered(message(clock(), kind), data, -1) == wrong  # no length was told (2.8.4)


def test_alarms():
    made = message(clock(alarm=1), "clock_cap")
    assert answered(made, HEAD + "0000010000000000") == ""
    assert "request that the specification allows" in answered(message(clock(alarm=1), "read_alarm"), "04" + HEAD[2:])
    made = message(clock(alarm=1), "alarm", queue=1, room=4)
    assert (made.readable, made.writable, made.completes) == (b"", 20, False)
    assert answered(made, "0020000000000000 0000000000000000") == ""
    assert (
        answered(made, "0120000000000000 0000000000000000")
        == "a notification of type 0x2001, must be 0x2000 (5.23.6.6)"
    )
    assert (
        answered(made, "0020000000000000 0000000000000001")
        == "reserved bytes of a notification are not zero (5.23.6.2)"
    )
    assert answered(made, "00200000") == "a notification of 4 bytes, it has 16 (5.23.6.6)"


@pytest.mark.parametrize(
    ("hints", "wrong"), [({}, "another answer to config than before (5.23.6.2)"), ({"steady": 0}, "")]
)
def test_capabilities_stay(hints, wrong):
    device = clock(**hints)
    assert answered(message(device, "config", 0), HEAD + "0100000000000000") == ""
    assert answered(message(device, "config", 1), HEAD + "0100000000000000") == ""
    assert answered(message(device, "config", 2), HEAD + "0200000000000000") == wrong


def test_readings_come_in_turn():
    device = clock()
    first, second, other = (message(device, "read", buffer, clock=buffer // 2) for buffer in range(3))
    assert answered(other, HEAD + HEAD) == ""
    assert answered(second, HEAD + HEAD) == ""
    assert answered(first, HEAD + HEAD) == "clock 0 was read for buffer 1 before it was for this one (5.23.6.5.2)"


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("read", {"clock": 65535, "room": 512}, None),
        ("read", {"clock": 65536}, "clock of read is 0 to 65535, not 65536"),
        ("config", {"clock": 0}, "config has no field 'clock'; it has room"),
    ],
)
def test_words(kind, fields, wrong):
    assert said(clock(), kind, **fields) == wrong
