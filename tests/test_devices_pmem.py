"""virtio-pmem: flushes, byte by byte."""

from __future__ import annotations

import pytest

from fuzz import devices
from tests.device_kit import assert_draws_well, message, said


def test_what_is_drawn():
    assert_draws_well("pmem", [0], {"flush"})


def test_a_flush_and_its_answers():
    made = message(devices.load("pmem", {}), "flush")
    assert (made.readable, made.writable, made.completes) == (bytes(4), 4, True)
    assert made.check(4, bytes(4)) == ""
    assert made.check(4, b"\xff\xff\xff\xff") == "ret -1 (failure, 5.19.7.3)"
    assert made.check(4, b"\0\0\x9a\x9a") == "ret -1701183488 (neither success nor failure, 5.19.7.3)"


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("sync", {}, "pmem has no request 'sync'; it has flush"),
        ("flush", {"type": 0}, "flush has no field 'type'"),
        ("flush", {}, None),
    ],
)
def test_words(kind, fields, text):
    assert said(devices.load("pmem", {}), kind, **fields) == text
