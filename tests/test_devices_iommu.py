"""virtio-iommu: requests byte by byte, and the few statuses that a request alone decides."""

from __future__ import annotations

import struct

import pytest

from fuzz import devices
from fuzz.devices.iommu import FORMS
from fuzz.program import Limits
from tests.device_kit import assert_draws_well, drawn, message, said

HINTS = {"endpoint0": 0x80, "endpoint1": 0x88, "absent": 0x90, "page": 4096, "probe": 64, "phys": 0x100_0000}
LIMITS = Limits(device="iommu", hints=tuple(HINTS.items()))
OK, UNSUPP, INVAL, NOENT = (bytes([status]) + bytes(3) for status in (0, 2, 4, 6))


def iommu(**hints):
    return devices.load("iommu", HINTS | hints)


def test_draws():
    assert_draws_well("iommu", (0, 1), FORMS, LIMITS)


def test_no_mapping_is_ever_to_be_split():
    """5.13.6.6.1: the first address of an unmap is the first of a mapping or outside any, and the last likewise."""
    slots = 16 * 4096
    for _, request, _ in drawn("iommu", (0,), LIMITS):
        fields = dict(request.fields)
        if request.kind == "map":
            assert fields["virt"] % slots == 0 < fields["size"] <= slots
        elif request.kind == "unmap":
            assert fields["virt"] % slots == fields["size"] % slots == 0


@pytest.mark.parametrize(
    ("kind", "fields", "readable"),
    [
        ("attach", {"domain": 2, "endpoint": 0x80, "flags": 1}, "01000000 02000000 80000000 01000000 00000000"),
        ("attach", {"reserved": 5}, "01000000 01000000 00000000 00000000 05000000"),
        ("detach", {"domain": 2, "endpoint": 0x80}, "02000000 02000000 80000000 0000000000000000"),
        (
            "map",
            {"virt": 0x10000, "size": 4096, "phys": 0x1000000, "flags": 3},
            "03000000 01000000 0000010000000000 ff0f010000000000 0000000100000000 03000000",
        ),
        (
            "unmap",
            {"virt": 0xFFFF_FFFF_FFFF_F000, "size": 8192},
            "04000000 01000000 00f0ffffffffffff ffffffffffffffff 00000000",
        ),
        ("probe", {"endpoint": 0x88}, "05000000 88000000" + 64 * "00"),
        ("event", {}, ""),
    ],
)
def test_requests_are_those_of_the_specification(kind, fields, readable):
    made = message(iommu(), kind, **fields)
    assert made.readable == bytes.fromhex(readable)
    assert made.writable == {"probe": 64 + 4, "event": 24}.get(kind, 4)
    assert made.completes == (kind != "event")


def test_statuses_depend_on_what_came_before():
    for kind in ("attach", "detach", "map", "unmap"):
        check = message(iommu(), kind, endpoint=0x80).check if "tach" in kind else message(iommu(), kind).check
        for status in range(9):
            assert check(4, bytes([status, 0, 0, 0])) == ""
        assert check(4, b"\x09\0\0\0") == "status 9, which is none of the specification (5.13.6)"
        assert check(0, b"\x99" * 4) == ""


@pytest.mark.parametrize(
    ("kind", "fields", "right", "wrong"),
    [
        ("attach", {"endpoint": 0x90}, (NOENT,), (OK, INVAL, UNSUPP)),
        ("detach", {"endpoint": 0x90}, (NOENT,), (OK, INVAL)),
        ("attach", {"endpoint": 0x80, "reserved": 1}, (INVAL,), (OK, NOENT)),
        ("attach", {"endpoint": 0x80, "flags": 2}, (INVAL,), (OK, NOENT)),
        ("attach", {"endpoint": 0x90, "flags": 2}, (INVAL, NOENT), (OK,)),
        ("map", {"flags": 8}, (INVAL,), (OK, NOENT)),
    ],
)
def test_some_requests_alone_decide_their_status(kind, fields, right, wrong):
    check = message(iommu(), kind, **fields).check
    for data in right:
        assert check(4, data) == ""
    for data in wrong:
        assert ", must be " in check(4, data)
    assert check(0, b"\x99" * 4) != ""


def test_a_demand_is_told_in_words():
    assert message(iommu(), "attach", endpoint=0x90).check(4, OK) == "status OK, must be NOENT (5.13.6)"


def resv_mem(length=20, kind=1):
    return struct.pack("<HHB3xQQ", kind, length, 1, 0xFEE00000, 0xFEEFFFFF)


@pytest.mark.parametrize(
    ("properties", "status", "wrong"),
    [
        (b"", OK, ""),
        (resv_mem() + resv_mem(), OK, ""),
        (resv_mem() + struct.pack("<HH", 0x7FF, 36), OK, ""),  # a kind that is not known, up to the end
        (
            resv_mem() + struct.pack("<HH", 0x7FF, 37),
            OK,
            "the property at byte 24 is 37 bytes long and reaches beyond the end",
        ),
        (resv_mem(19), OK, "a RESV_MEM property at byte 0 with length 19, not 20"),
        (resv_mem(19), NOENT, ""),
        (b"", b"\x99\0\0\0", "status 153, which is none of the specification"),
    ],
)
def test_properties(properties, status, wrong):
    check = message(iommu(), "probe", endpoint=0x80).check
    data = properties.ljust(64, b"\0") + status
    for used in (68, -1):
        found = check(used, data)
        assert found.startswith(wrong)
        assert bool(found) == bool(wrong)


def test_faults():
    check = message(iommu(), "event", length=32).check
    fault = struct.pack("<B3xIIIQ", 2, 0x100, 0x80, 0, 0x10000)
    assert check(24, fault.ljust(32, b"\x99")) == ""
    assert check(16, fault[:16].ljust(32, b"\x99")) == ""
    other = struct.pack("<B3xIIIQ", 2, 0x100, 0x90, 0, 0x10000)
    wrong = "a fault (reason 2) of endpoint 0x90, which there is not (5.13.6.9.2)"
    assert check(24, other.ljust(32, b"\x99")) == wrong
    assert check(-1, other.ljust(32, b"\x99")) == wrong
    assert message(devices.load("iommu", {}), "event", length=32).check(24, other.ljust(32, b"\x99")) == ""


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("fault", {}, "iommu has no request 'fault'; it has attach, detach, map, unmap, probe, event"),
        ("map", {"endpoint": 1}, "map has no field 'endpoint'; it has domain, virt, size, phys, flags"),
        ("unmap", {"size": 0}, f"size of unmap is 1 to {(1 << 64) - 1}, not 0"),
        ("detach", {}, None),
    ],
)
def test_words(kind, fields, wrong):
    assert said(iommu(), kind, **fields) == wrong
