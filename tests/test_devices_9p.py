"""virtio-9p: messages byte by byte, and answers right and wrong."""

from __future__ import annotations

import struct

import pytest

from fuzz import devices
from fuzz.devices import p9
from fuzz.devices.p9_messages import file_data
from tests.device_kit import assert_draws_well, message, said

PREFILL = b"\x99"
RLERROR = 7


def client():
    return devices.load("9p", {})


def answered(made, kind, body=b"", tag=None, size=None, used=None):
    """What is said against an answer; the rest of the room stays as it was."""
    length = 7 + len(body)
    tag = struct.unpack_from("<H", made.readable, 5)[0] if tag is None else tag
    data = struct.pack("<IBH", length if size is None else size, kind, tag) + body
    return made.check(length if used is None else used, data.ljust(made.writable, PREFILL))


def test_draws():
    assert_draws_well("9p", (0,), p9.FORMS)


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("version", {"msize": 8192}, "15000000 64 0100 00200000 0800 395032303030 2e4c"),
        ("attach", {}, "1b000000 68 0100 00000000 ffffffff 0400 726f6f74 0000 00000000"),
        ("walk", {"newfid": 17, "up": 1}, "19000000 6e 0100 00000000 11000000 0200 0200 2e2e 0200 6631"),
        ("walk", {"newfid": 41}, "11000000 6e 0100 00000000 29000000 0000"),
        ("open", {"fid": 17}, "0f000000 0c 0100 11000000 00000000"),
        ("create", {"fid": 41}, "1b000000 0e 0100 29000000 0200 6331 02000000 a4010000 00000000"),
        ("read", {"fid": 17, "offset": 4, "length": 9}, "17000000 74 0100 11000000 0400000000000000 09000000"),
        ("readdir", {"fid": 2, "length": 9}, "17000000 28 0100 02000000 0000000000000000 09000000"),
        ("write", {"fid": 41, "length": 3}, "1a000000 76 0100 29000000 0000000000000000 03000000 01366b"),
        ("getattr", {"fid": 1}, "13000000 18 0100 01000000 ff07000000000000"),
        ("statfs", {"fid": 1}, "0b000000 08 0100 01000000"),
        ("fsync", {"fid": 1}, "0f000000 32 0100 01000000 00000000"),
        ("clunk", {"fid": 1}, "0b000000 78 0100 01000000"),
        ("flush", {}, "09000000 6c 0100 7f7f"),
        ("unknown", {"type": 60}, "07000000 3c 0100"),
    ],
)
def test_messages(kind, fields, expected):
    made = message(client(), kind, **fields)
    assert made.readable == bytes.fromhex(expected)
    assert made.alone == (kind == "version")
    assert answered(made, RLERROR, struct.pack("<I", 2)) == ""  # any message may fail
    assert answered(made, 107, b"\2\0no") == ""


QID = bytes(13)


@pytest.mark.parametrize(
    ("kind", "fields", "body", "wrong"),
    [
        ("version", {"msize": 8192}, "00100000 0800 395032303030 2e4c", ""),
        ("version", {"msize": 8192}, "00400000 0800 395032303030 2e4c", "msize 16384, and 8192 was offered"),
        ("version", {"msize": 8192}, "00100000 0200 3950", "version b'9P'"),
        ("attach", {}, QID.hex(), ""),
        ("attach", {}, QID.hex() + "00", "14 bytes behind the header, must be 13"),
        ("walk", {"newfid": 17, "up": 1}, "0200" + 2 * QID.hex(), ""),
        ("walk", {"newfid": 17, "up": 1}, "0100" + QID.hex(), ""),
        ("walk", {"newfid": 17}, "0200" + 2 * QID.hex(), "28 bytes with 2 qids, and 1 names were walked"),
        ("walk", {"newfid": 17}, "0100", "2 bytes with 1 qids, and 1 names were walked"),
        ("open", {}, QID.hex() + "00000000", ""),
        ("getattr", {}, 153 * "00", ""),
        ("getattr", {}, 152 * "00", "152 bytes behind the header, must be 153"),
        ("write", {"length": 9}, "09000000", ""),
        ("write", {"length": 9}, "0a000000", "10 bytes, and 9 were asked for"),
        ("readdir", {"length": 4}, "02000000 0000", ""),
        ("readdir", {"length": 4}, "02000000 00", "2 bytes are announced, 1 come"),
        ("read", {"fid": 17, "offset": 1, "length": 3}, "02000000 366b", ""),
        ("read", {"fid": 17, "offset": 1, "length": 3}, "02000000 3600", ""),  # never written
        ("read", {"fid": 17, "offset": 1, "length": 3}, "02000000 6b36", "byte 1 of the file is 6b, must be 36"),
        ("read", {"fid": 2, "length": 3}, "02000000 6b36", ""),  # a folder
        ("clunk", {}, "", ""),
    ],
)
def test_answers(kind, fields, body, wrong):
    made = message(client(), kind, **fields)
    assert answered(made, made.readable[4] + 1, bytes.fromhex(body)) == wrong
    assert answered(made, made.readable[4] + 1, bytes.fromhex(body), used=-1) == wrong  # no length was told (2.8.4)


def test_frames_of_answers():
    made = message(client(), "clunk", 5)
    assert answered(made, 121) == ""
    assert answered(made, 123) == "the answer to a message of type 120 has type 123"
    assert answered(made, 121, tag=5) == "the answer has tag 5, the message had 6"
    assert answered(made, 121, size=8) == "the answer says that its size is 8, and 7 bytes are used"
    assert answered(made, 121, used=6) == "an answer of 6 bytes, it has 7 at least"
    assert (
        answered(made, 121, size=200, used=-1)
        == "the answer says that its size is 200, and there is room for 128 bytes"
    )
    assert answered(made, RLERROR, b"\2") == "an Rlerror of 8 bytes, must be 11"
    assert answered(made, 107, b"\3\0no") == "an Rerror of 11 bytes with 3 of text"
    assert answered(made, 121, used=200) == ""  # the ring's business


def test_flushed_messages_need_no_answer():
    device = client()
    first, second = message(device, "clunk", 0), message(device, "clunk", 1)
    assert message(device, "flush", 2, back=2).readable[7:] == first.readable[5:7]
    for used in (0, -1):
        assert first.check(used, PREFILL * 128) == ""
        assert second.check(used, PREFILL * 128) != ""


def test_a_client_begins_in_order():
    device = client()
    kinds = [message(device, "next", buffer).readable[4] for buffer in (0, 1, 1, 2, 3, 4)]
    assert kinds == [100, 104, 104, 110, 12, 116]  # what found no room in the ring comes again


def test_tags_differ():
    tags = {p9.tag(buffer) for buffer in range(126 * 126)}
    assert len(tags) == 126 * 126
    assert not any(tag & 0x8080 for tag in tags)
    assert 0x7F7F not in tags


def test_file_data_depends_on_its_place_alone():
    whole = file_data(0, 5000)
    assert all(whole[place:][:99] == file_data(place, 99) for place in range(0, 4800, 37))
    assert whole[:127] != whole[1000:1127]
    assert not set(whole) & {0, *range(0x80, 0x100)}


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("next", {}, None),
        ("read", {"fid": 63, "length": 65536}, None),
        ("read", {"fid": 64}, "fid of read is 0 to 63, not 64"),
        ("walk", {"name": 1}, "walk has no field 'name'; it has fid, newfid, up, room"),
    ],
)
def test_words(kind, fields, wrong):
    assert said(client(), kind, **fields) == wrong
