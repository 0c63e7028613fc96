"""virtio-balloon: lists of pages, statistics and pages themselves, byte by byte."""

from __future__ import annotations

import struct

import pytest

from fuzz import devices
from fuzz.driver_side import run
from fuzz.program import Limits, Program, Queue, Receive, Request, Reset, Supply
from fuzz.targets.model import MEMORY, ModelSession
from fuzz.targets.model.engine import Engine
from oracles.trace import Supplied
from tests.device_kit import assert_draws_well, drawn, message, said

HINTS = {"spare": 0x1000, "spare_pages": 4}


def balloon(**hints):
    return devices.load("balloon", {**HINTS, **hints})


def pages(made):
    return list(struct.unpack(f"<{len(made.readable) // 4}I", made.readable))


def test_what_is_drawn():
    kinds = {"inflate", "deflate", "stats", "hint", "command", "report"}
    assert_draws_well("balloon", range(5), kinds)
    limits = Limits(device="balloon", hints=(("hinting", 0),))
    assert_draws_well("balloon", range(4), kinds - {"hint", "command"}, limits)


def test_pages_stay_whole():
    for queue, request, cut in drawn("balloon", [3, 4], Limits(device="balloon")):
        if request.kind != "command":
            assert cut in ((), (4096,), (4096, 0)), queue


def test_lists_of_pages():
    device = balloon()
    made = message(device, "inflate", page=3, count=6, stride=2)
    assert made.readable[:8] == bytes.fromhex("03100000 01100000")
    assert pages(made) == [0x1003, 0x1001, 0x1003, 0x1001, 0x1003, 0x1001]
    assert (made.writable, made.completes, made.alone) == (0, True, False)
    assert made.check(0, b"") == ""


def test_pages_are_taken_back_when_they_were_given():
    device = balloon()
    assert pages(message(device, "deflate", count=5)) == [0x1000, 0x1001, 0x1002, 0x1003, 0x1000]
    given = message(device, "inflate", page=1, count=2)
    on_their_way = {0x1001, 0x1002}
    assert not on_their_way & set(pages(message(device, "deflate", count=4)))
    given.check(0, b"")
    assert set(pages(message(device, "deflate", count=1))) == {0x1001}
    assert set(pages(message(device, "deflate", count=3))) == {0x1002}
    assert set(pages(message(device, "deflate", count=4))) == set(range(0x1000, 0x1004))


def test_statistics():
    made = message(balloon(), "stats", 5, 2)
    assert made.readable[:20] == bytes.fromhex("0000 0500000000000000 0100 0600000000000000")
    assert len(made.readable) == 120  # a multiple of 10, as entries are long, and of 6, as 5.5.6.3.1 has it
    assert (made.writable, made.completes, made.alone) == (0, False, True)
    turned = message(balloon(), "stats", 5, 2, turn=11).readable
    assert turned == made.readable[110:] + made.readable[:110]


def test_a_driver_has_one_statistics_buffer_outstanding():
    stats = Supply(request=Request("stats"), queue=0)
    steps = (stats, stats, Receive(1), stats, Reset(), stats, stats)
    outcome = run(Program(queues=(Queue(4),), device="balloon", steps=steps), ModelSession(Engine, bytearray(MEMORY)))
    assert [told.buffer for _, told in outcome.trace if isinstance(told, Supplied)] == [0, 1]


def test_commands_and_hints():
    assert message(balloon(), "command", id=2).readable == bytes.fromhex("02000000")
    made = message(balloon(), "hint", pages=2)
    assert (made.readable, made.writable) == (b"", 8192)
    assert made.check(0, b"\x9a" * 8192) == ""
    assert "changed that was hinted at" in made.check(0, b"\x9a" * 8191 + b"\0")
    made = message(balloon(), "report", pages=1)
    assert made.writable == 4096
    assert made.check(0, bytes(4096)) == made.check(0, b"\x9a" * 4096) == ""


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("blow", {}, "balloon has no request 'blow'; it has inflate, deflate, stats, command, hint, report"),
        ("inflate", {"pages": 1}, "inflate has no field 'pages'; it has page, count, stride"),
        ("deflate", {"count": 0}, "count of deflate is 1 to 1024, not 0"),
        ("stats", {"turn": 12}, "turn of stats is 0 to 11, not 12"),
        ("report", {"pages": 16}, None),
    ],
)
def test_words(kind, fields, text):
    assert said(balloon(), kind, **fields) == text
