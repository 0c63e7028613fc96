"""virtio-input: events byte by byte."""

from __future__ import annotations

import pytest

from fuzz import devices
from fuzz.program import Limits
from tests.device_kit import assert_draws_well, drawn, message, said

KEYBOARD = 1 << 0 | 1 << 1 | 1 << 0x11 | 1 << 0x14
PREFILL = b"\x99"


def keyboard():
    return devices.load("input", {"types": KEYBOARD})


def test_draws():
    assert_draws_well("input", (0, 1), ("event", "status"))


def test_event_buffers_in_one_piece():
    limits = Limits(device="input", uncut=frozenset({0}))
    cuts = {queue: {cut for number, _, cut in drawn("input", (0, 1), limits) if number == queue} for queue in (0, 1)}
    assert cuts[0] == {()}
    assert len(cuts[1]) > 5


def test_lights_only_where_there_are_some():
    for types, sent in ((KEYBOARD, 0x11), (1 << 0 | 1 << 1, 0)):
        limits = Limits(device="input", hints=(("types", types),))
        assert {dict(request.fields)["type"] for _, request, _ in drawn("input", (1,), limits)} == {sent}


def test_status():
    made = message(keyboard(), "status", queue=1, code=1, value=1)
    assert made.readable == bytes.fromhex("1100 0100 01000000")
    assert (made.writable, made.completes) == (0, True)
    longer = message(keyboard(), "status", queue=1, code=1, value=1, length=16).readable
    assert (longer[:8], len(longer)) == (made.readable, 16)


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ("0100 1e00 01000000", ""),
        ("0000 0000 00000000", ""),
        ("0000 0000 01000000", "a SYN_REPORT with value 1"),
        ("0300 0000 05000000", "an event of type 3, which this device does not have"),
        ("9999 9999 99999999", "an event of type 39321, which this device does not have"),
        ("0100 1e00 0100", "an event of 6 bytes, it has 8 (5.8.6)"),
    ],
)
def test_events(data, wrong):
    made = message(keyboard(), "event", length=16)
    assert not made.completes
    data = bytes.fromhex(data)
    assert made.check(len(data), data.ljust(16, PREFILL)) == wrong
    if len(data) == 8:
        assert made.check(-1, data.ljust(16, PREFILL)) == wrong  # no length was told (2.8.4)
    assert made.check(17, data.ljust(16, PREFILL)) == ""  # the ring's business


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("event", {}, None),
        ("event", {"length": 7}, "length of event is 8 to 4096, not 7"),
        ("status", {"type": 0x11, "code": 2, "value": 1, "length": 9}, None),
        ("key", {}, "input has no request 'key'; it has event, status"),
    ],
)
def test_words(kind, fields, wrong):
    assert said(keyboard(), kind, **fields) == wrong
