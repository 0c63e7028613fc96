"""virtio-mem: requests and responses byte by byte, and what is certain about the state of blocks."""

from __future__ import annotations

import struct

import pytest

from fuzz import devices
from fuzz.program import Limits
from tests.device_kit import assert_draws_well, message, said

HINTS = {"address": 0x1_4000_0000, "block_size": 0x20_0000, "blocks": 8, "usable": 8}
ACK, NACK, BUSY, ERROR = range(4)


def memory(**hints):
    return devices.load("mem", {**HINTS, **hints})


def say(made, type_, state=0):
    """What the class says about a response."""
    return made.check(10, struct.pack("<HHHHH", type_, 0x9A9A, 0x9A9A, 0x9A9A, state))


def known(device, kind, block, count=1, buffer=0):
    """A request that is acknowledged before anything else is supplied."""
    assert say(message(device, kind, buffer, block=block, count=count), ACK) == ""


def test_what_is_drawn():
    limits = Limits(device="mem", hints=tuple(HINTS.items()))
    assert_draws_well("mem", [0], {"plug", "unplug", "unplug_all", "state"}, limits)


def test_requests_are_those_of_the_specification():
    made = message(memory(), "unplug", block=3, count=2)
    assert made.writable == 10
    assert made.readable == bytes.fromhex("0100 112233445566 0000604001000000 0200 112233445566")
    assert message(memory(), "plug", block=0, count=1, shift=1).readable[8:16] == bytes.fromhex("0100004001000000")
    assert [message(memory(), kind).readable[0] for kind in ("plug", "unplug", "unplug_all", "state")] == [0, 1, 2, 3]


def test_what_must_be_rejected():
    for fields in ({"block": 0, "count": 0}, {"block": 7, "count": 2}, {"block": 0, "count": 1, "shift": 4096}):
        for kind in ("plug", "unplug", "state"):
            made = message(memory(), kind, **fields)
            assert say(made, ERROR) == say(made, BUSY) == ""
            assert say(made, ACK) == f"{kind} is answered with ACK, though no such blocks are there"
    assert say(message(memory(), "unplug_all"), ERROR) == "unplug_all is answered with ERROR"
    assert say(message(memory(), "plug", block=0, count=1), 0x9A9A) == "response type 39578 (none of the specification)"


def test_nothing_is_known_at_first():
    device = memory()
    for kind in ("plug", "unplug"):
        assert {say(message(device, kind, number, block=0, count=2), number) for number in range(4)} == {""}
    assert {say(message(memory(), "state", block=0, count=2), ACK, state) for state in range(3)} == {""}


def test_a_block_is_plugged_once():
    device = memory()
    known(device, "unplug_all", 0, buffer=0)
    known(device, "plug", 2, 2, buffer=1)
    assert "ACK, though a block was plugged already" in say(message(device, "plug", 2, block=3, count=2), ACK)
    known(device, "unplug", 2, 2, buffer=3)
    assert "ACK, though a block was unplugged already" in say(message(device, "unplug", 4, block=2, count=1), ACK)
    made = message(device, "plug", 5, block=2, count=2)
    assert say(made, NACK) == say(made, BUSY) == ""  # more than was requested, or not now


def test_what_fits_is_no_error():
    device = memory()
    known(device, "plug", 2)
    assert say(message(device, "unplug", 1, block=2, count=1), ERROR) == (
        "unplug is answered with ERROR, though all blocks were plugged"
    )
    # Now it is plugged still. Where the usable region ends, nobody said:
    assert say(message(memory(usable=2), "state", block=2, count=1), ERROR) == ""
    assert "though such blocks are there" in say(message(memory(), "state", block=2, count=1), ERROR)


def test_states():
    device = memory()
    known(device, "unplug_all", 0, buffer=0)
    known(device, "plug", 1, 1, buffer=1)
    cases = {(0, 1): 1, (1, 1): 0, (0, 2): 2, (0, 8): 2}
    for (block, count), right in cases.items():
        made = message(device, "state", 2, block=block, count=count)
        assert [say(made, ACK, state) == "" for state in range(3)] == [state == right for state in range(3)]
    assert say(message(device, "state", 2, block=0, count=1), ACK, 3) == "state 3 (none of the specification)"
    assert say(message(device, "state", 2, block=0, count=2), ACK, 0) == (
        "the blocks' state is PLUGGED, but one is unplugged"
    )


def test_requests_on_their_way_together_leave_it_open():
    device = memory()
    known(device, "unplug_all", 0, buffer=0)
    plug = message(device, "plug", 1, block=0, count=1)
    state = message(device, "state", 2, block=0, count=1)
    unplug = message(device, "unplug", 3, block=0, count=1)
    assert say(state, ACK, 0) == say(state, ACK, 1) == ""
    assert say(unplug, ERROR) == say(plug, ACK) == ""
    assert {say(message(device, "state", 4, block=0, count=1), ACK, state) for state in range(3)} == {""}
    assert say(message(device, "state", 4, block=1, count=1), ACK, 0) != ""  # of the others, all is known


def test_a_request_that_found_no_room_never_was():
    device = memory()
    known(device, "plug", 0, 2, buffer=0)
    message(device, "unplug_all", 1)
    made = message(device, "state", 1, block=0, count=2)
    assert say(made, ACK, 0) == ""
    assert say(made, ACK, 1) == "the blocks' state is UNPLUGGED, but all are plugged"


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("grow", {}, "mem has no request 'grow'; it has plug, unplug, unplug_all, state"),
        ("plug", {"addr": 1}, "plug has no field 'addr'; it has block, count, shift"),
        ("unplug_all", {"block": 1}, "unplug_all has no field 'block'"),
        ("state", {"count": 65536}, "count of state is 0 to 65535, not 65536"),
        ("state", {"block": 1}, None),
    ],
)
def test_words(kind, fields, text):
    assert said(memory(), kind, **fields) == text
