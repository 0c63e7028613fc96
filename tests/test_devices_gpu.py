"""virtio-gpu: commands byte by byte, the life of a resource, and answers by type, fence and length."""

from __future__ import annotations

import struct

import pytest

from fuzz import devices
from fuzz.devices.gpu import FORMS
from fuzz.program import Limits, divide
from tests.device_kit import assert_draws_well, drawn, message, said

HINTS = {"spare": 0x100_0000, "scanouts": 2, "capsets": 1}


def gpu():
    return devices.load("gpu", HINTS)


def body(device, kind, **fields):
    """What follows the header of a request, as 32-bit numbers."""
    readable = message(device, kind, **fields).readable
    return struct.unpack(f"<{len(readable) // 4 - 6}I", readable[24:])


def answer(kind, flags=0, fence=0, room=24):
    return struct.pack("<IIQII", kind, flags, fence, 0, 0).ljust(room, b"\0")


def test_draws():
    assert_draws_well("gpu", (0, 1), FORMS, Limits(device="gpu", hints=tuple(HINTS.items())))


def test_without_capability_sets_nobody_asks_for_one():
    kinds = set(FORMS) - {"capset_info"}
    assert_draws_well("gpu", (0, 1), kinds, Limits(device="gpu", hints=(("scanouts", 1),)))


@pytest.mark.parametrize(
    ("kind", "number", "fields", "numbers", "room"),
    [
        ("display_info", 0x100, {}, (), 408),
        ("edid", 0x10A, {"scanout": 1}, (1, 0), 1056),
        ("create", 0x101, {"resource": 5, "format": 67, "width": 3, "height": 4}, (5, 67, 3, 4), 24),
        ("unref", 0x102, {"resource": 5}, (5, 0), 24),
        (
            "scanout",
            0x103,
            {"scanout": 1, "resource": 5, "x": 6, "y": 7, "width": 8, "height": 9},
            (6, 7, 8, 9, 1, 5),
            24,
        ),
        ("flush", 0x104, {"resource": 5, "x": 6, "y": 7, "width": 8, "height": 9}, (6, 7, 8, 9, 5, 0), 24),
        ("transfer", 0x105, {"resource": 5, "y": 7, "offset": 1 << 33}, (0, 7, 64, 64, 0, 2, 5, 0), 24),
        ("detach", 0x107, {"resource": 5}, (5, 0), 24),
        ("capset_info", 0x108, {"index": 3}, (3, 0), 40),
        ("move_cursor", 0x301, {"scanout": 1, "x": 2, "y": 3}, (1, 2, 3, 0, 0, 0, 0, 0), 0),
        ("update_cursor", 0x300, {"x": 2, "resource": 5, "hot_x": 6, "hot_y": 7}, (0, 2, 0, 0, 5, 6, 7, 0), 0),
    ],
)
def test_requests_are_those_of_the_specification(kind, number, fields, numbers, room):
    made = message(gpu(), kind, **fields)
    assert made.readable[:24] == struct.pack("<I", number) + bytes(20)
    assert body(gpu(), kind, **fields) == numbers
    assert made.writable == room


def test_backing_is_pieces_of_spare_memory_last_one_first():
    made = message(gpu(), "attach", resource=2, size=10, entries=3)
    assert made.readable[24:32] == bytes.fromhex("02000000 03000000")
    entries = [struct.unpack_from("<QII", made.readable, 32 + 16 * place) for place in range(3)]
    assert entries == [(0x102_0006, 4, 0), (0x102_0003, 3, 0), (0x102_0000, 3, 0)]
    assert len(message(gpu(), "attach", size=2, entries=64).readable) == 32 + 2 * 16


def test_number_0_is_the_resource_that_makes_sense():
    device = gpu()
    assert body(device, "create")[0] == 1
    assert body(device, "create")[0] == 2
    assert body(device, "create", resource=9)[0] == 9
    assert body(device, "attach", resource=2)[0] == 2
    assert body(device, "transfer")[4:] == (0, 0, 2, 0)  # the newest with backing
    assert body(device, "flush")[4] == 9  # the newest
    assert body(device, "attach")[0] == 9  # the newest without
    assert body(device, "attach")[0] == 1
    assert body(device, "detach")[0] == 9
    assert body(device, "unref")[0] == 9
    assert body(device, "flush")[4] == 2
    assert body(device, "create")[0] == 3


def test_whatever_comes_next_has_as_many_elements():
    for _, request, cut in drawn("gpu", (0,), Limits(device="gpu", hints=tuple(HINTS.items()))):
        if request.kind == "next":
            device = gpu()
            made = [device.message(request, 0, 0) for _ in range(9)]
            parts = [divide(len(one.readable), one.writable, cut) for one in made]
            assert len({len(readable) + len(writable) for readable, writable in parts}) == 1


def test_the_life_of_a_resource():
    device = gpu()
    commands = [message(device, "next").readable[0] for _ in range(18)]
    assert commands == [1, 6, 5, 3, 4, 5, 4, 7, 2] * 2
    assert message(device, "next", fence=1).readable[:5] == bytes.fromhex("01010000 01")


def test_answers():
    check = message(gpu(), "flush").check
    assert check(24, answer(0x1100)) == ""
    assert check(24, answer(0x1203)) == ""
    assert check(-1, answer(0x1100)) == ""
    assert check(24, answer(0x1101)) == "type 0x1101, which is neither 0x1100 nor an error (5.7.6.7)"
    assert check(24, answer(0x1206)) == "type 0x1206, which is neither 0x1100 nor an error (5.7.6.7)"
    assert check(23, answer(0x1100)) == "an answer of 23 bytes has no header (5.7.6.7)"
    check = message(gpu(), "display_info").check
    assert check(408, answer(0x1101, room=408)) == ""
    assert check(24, answer(0x1200, room=408)) == ""
    assert check(407, answer(0x1101, room=408)) == "407 of the 408 bytes that type 0x1101 has (5.7.6.8)"


def test_a_fenced_answer_has_the_fence_of_its_request():
    made = message(gpu(), "flush", buffer=200, fence=1)
    assert made.readable[4:16] == bytes.fromhex("01000000 4901000000000000")  # septets of 201
    assert made.check(24, answer(0x1100, 1, 0x149)) == ""
    assert made.check(24, answer(0x1203, 3, 0x149)) == ""
    for flags, fence in ((0, 0x149), (1, 0x148), (2, 0x149)):
        assert "for a request with fence 0x149" in made.check(24, answer(0x1100, flags, fence))
        assert "for a request with fence 0x149" in made.check(24, answer(0x1200, flags, fence))


def test_edid():
    check = message(gpu(), "edid").check
    magic = bytes.fromhex("00ffffffffffff00")
    for size, data, wrong in (
        (128, magic, ""),
        (0, b"", ""),
        (1025, magic, "an EDID of 1025 bytes that begins 00ffffffffffff00"),
        (128, b"12345678", "an EDID of 128 bytes that begins 3132333435363738"),
    ):
        assert check(1056, (answer(0x1104) + struct.pack("<II", size, 0) + data).ljust(1056, b"\0")) == wrong


def test_a_cursor_may_go_unanswered():
    made = message(gpu(), "move_cursor", queue=1, room=1)
    assert made.writable == 24
    assert made.check(0, b"\x99" * 24) == ""
    assert made.check(-1, b"\x99" * 24) == ""
    assert made.check(24, answer(0x1100)) == ""
    assert made.check(24, answer(0x1104)) == "type 0x1104, which is neither 0x1100 nor an error (5.7.6.7)"


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("paint", {}, f"gpu has no request 'paint'; it has {', '.join(FORMS)}"),
        ("edid", {"resource": 1}, "edid has no field 'resource'; it has scanout, fence"),
        ("attach", {"entries": 0}, "entries of attach is 1 to 64, not 0"),
        ("flush", {"width": 1 << 32}, "width of flush is 0 to 4294967295, not 4294967296"),
        ("next", {}, None),
    ],
)
def test_words(kind, fields, wrong):
    assert said(gpu(), kind, **fields) == wrong
