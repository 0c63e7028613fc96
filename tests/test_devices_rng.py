"""virtio-rng: room of any length, and at least one byte in it."""

from __future__ import annotations

import pytest

from fuzz import devices
from tests.device_kit import assert_draws_well, message, said


def rng():
    return devices.load("rng", {})


def test_draws():
    assert_draws_well("rng", (0,), ("entropy",))


def test_room():
    made = message(rng(), "entropy", length=100)
    assert (made.readable, made.writable, made.completes) == (b"", 100, True)
    assert made.check(100, bytes(range(100))) == ""
    assert made.check(1, bytes(1) + b"\x99" * 99) == ""
    assert made.check(0, b"\x99" * 100) == "no random byte was written (5.4.6.2)"
    assert made.check(-1, bytes(range(100))) == ""  # no length was told (2.8.4)


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("entropy", {}, None),
        ("entropy", {"length": 65536}, None),
        ("entropy", {"length": 0}, "length of entropy is 1 to 65536, not 0"),
        ("entropy", {"bytes": 1}, "entropy has no field 'bytes'; it has length"),
        ("read", {}, "rng has no request 'read'; it has entropy"),
    ],
)
def test_words(kind, fields, wrong):
    assert said(rng(), kind, **fields) == wrong
