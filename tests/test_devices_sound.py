"""virtio-sound: requests byte by byte, the life of a stream, and statuses and items that there are."""

from __future__ import annotations

import struct

import pytest

from fuzz import devices
from fuzz.devices.sound import FORMS
from fuzz.program import Limits, divide
from tests.device_kit import assert_draws_well, drawn, message, said

HINTS = {"jacks": 0, "streams": 4, "chmaps": 2, "outputs": 2}
LIMITS = Limits(device="sound", hints=tuple(HINTS.items()))
OK, BAD_MSG, NOT_SUPP, IO_ERR = (struct.pack("<I", 0x8000 + number) for number in range(4))


def sound():
    return devices.load("sound", HINTS)


def test_draws():
    kinds = set(FORMS) - {"prepare", "start", "stop", "release"}  # those come as «next»
    assert_draws_well("sound", (0, 1, 2, 3), kinds, LIMITS)


def test_streams_are_used_in_their_direction():
    for _, request, _ in drawn("sound", (2, 3), LIMITS):
        assert (dict(request.fields)["stream"] < 2) == (request.kind == "play")


def test_no_more_items_are_asked_for_than_there_are():
    """5.14.6.2: start_id + count is at most the number in the configuration."""
    there = {"jack_info": 0, "pcm_info": 4, "chmap_info": 2}
    for _, request, _ in drawn("sound", (0,), LIMITS):
        if request.kind in there:
            fields = dict(request.fields)
            assert fields["first"] + fields["count"] <= there[request.kind]


@pytest.mark.parametrize(
    ("kind", "fields", "readable", "writable"),
    [
        ("jack_info", {"count": 0}, "01000000 00000000 00000000 18000000", 4),
        ("pcm_info", {"first": 1, "count": 2}, "00010000 01000000 02000000 20000000", 4 + 2 * 32),
        ("chmap_info", {"first": 1}, "00020000 01000000 01000000 18000000", 4 + 24),
        (
            "set_params",
            {"stream": 3, "period": 256, "periods": 3, "channels": 1, "format": 17, "rate": 13},
            "01010000 03000000 00030000 00010000 00000000 01110d00",
            4,
        ),
        ("prepare", {"stream": 3}, "02010000 03000000", 4),
        ("release", {}, "03010000 00000000", 4),
        ("start", {}, "04010000 00000000", 4),
        ("stop", {}, "05010000 00000000", 4),
        ("event", {}, "", 8),
        ("record", {"stream": 3, "length": 4096}, "03000000", 4096 + 8),
        ("record", {"short": 2000}, "01000000", 48 + 8),
    ],
)
def test_requests_are_those_of_the_specification(kind, fields, readable, writable):
    made = message(sound(), kind, **fields)
    assert made.readable == bytes.fromhex(readable)
    assert made.writable == writable
    assert made.completes == (kind not in ("event", "record"))


def test_frames_differ_from_buffer_to_buffer():
    device = sound()
    made = [message(device, "play", buffer, 2, stream=1, length=300) for buffer in range(127)]
    assert {one.readable[:4] for one in made} == {bytes.fromhex("01000000")}
    assert {(len(one.readable), one.writable, one.completes) for one in made} == {(304, 8, False)}
    assert len({one.readable for one in made}) == 127
    assert max(max(one.readable) for one in made) < 0x80


def test_whatever_comes_next_has_as_many_elements():
    for _, request, cut in drawn("sound", (0,), LIMITS):
        if request.kind == "next":
            device = sound()
            made = [device.message(request, 0, 0) for _ in range(7)]
            parts = [divide(len(one.readable), one.writable, cut) for one in made]
            assert len({len(readable) + len(writable) for readable, writable in parts}) == 1


def test_the_life_of_a_stream():
    device = sound()
    commands = [message(device, "next", stream=1).readable[0] for _ in range(14)]
    assert commands == [1, 2, 4, 5, 4, 5, 3] * 2
    assert message(device, "next", stream=0).readable[:8] == bytes.fromhex("01010000 00000000")


def test_statuses():
    check = message(sound(), "start").check
    for status in (OK, BAD_MSG, NOT_SUPP, IO_ERR):
        assert check(4, status) == check(-1, status) == ""
    assert check(4, bytes(4)) == "status 0x0 in 4 bytes, which is none of the specification (5.14.6)"
    assert check(0, OK) == "status 0x8000 in 0 bytes, which is none of the specification (5.14.6)"


def pcm(features=0, formats=1 << 24, rates=1 << 15, direction=1, padding=0):
    return struct.pack("<IIQQBBB4xB", 0, features, formats, rates, direction, 1, 2, padding)


def jack(features=1, padding=0):
    return struct.pack("<4IB6xB", 0, features, 0xFFFFFFFF, 0xFFFFFFFF, 1, padding)


def chmap(direction=1, channels=18):
    return struct.pack("<IBB18s", 0, direction, channels, bytes(18))


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (
            "pcm_info",
            pcm(),
            [pcm(features=1 << 5), pcm(formats=1 << 25), pcm(rates=1 << 16), pcm(direction=2), pcm(padding=1)],
        ),
        ("jack_info", jack(), [jack(features=2), jack(features=1 << 8), jack(padding=1)]),
        ("chmap_info", chmap(), [chmap(direction=2), chmap(channels=19)]),
    ],
)
def test_items(kind, right, wrong):
    made = message(sound(), kind, count=2)
    size = len(right)
    assert made.writable == 4 + 2 * size
    for used in (made.writable, -1):
        assert made.check(used, OK + right + right) == ""
        for item in wrong:
            assert "item 1 sets what is not defined" in made.check(used, OK + right + item)
    assert made.check(4, NOT_SUPP + b"\x99" * 2 * size) == ""
    assert made.check(4, OK + right + right) == f"4 of the {4 + 2 * size} bytes that 2 items have (5.14.6.1)"


def test_what_was_played():
    check = message(sound(), "play", queue=2).check
    assert check(8, OK + bytes(4)) == check(8, IO_ERR + bytes(4)) == ""
    assert check(8, BAD_MSG + bytes(4)) == "status BAD_MSG of a transfer (5.14.6.8)"
    assert check(8, b"\x99" * 8) == "status 0x99999999 of a transfer (5.14.6.8)"


def test_what_was_recorded():
    check = message(sound(), "record", queue=3, stream=2, short=2032).check
    assert check(24, bytes(16) + OK + bytes(4)) == ""
    assert check(24, bytes(16) + NOT_SUPP + bytes(4)) == "status NOT_SUPP of a transfer (5.14.6.8)"
    assert check(12, b"\x99" * 24) == check(8, b"\x99" * 24) == check(-1, b"\x99" * 24) == ""


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("pause", {}, f"sound has no request 'pause'; it has {', '.join(FORMS)}"),
        ("start", {"length": 1}, "start has no field 'length'; it has stream"),
        ("play", {"length": 0}, "length of play is 1 to 65536, not 0"),
        ("next", {"stream": 1}, None),
    ],
)
def test_words(kind, fields, wrong):
    assert said(sound(), kind, **fields) == wrong
