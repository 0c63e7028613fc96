"""virtio-scsi: commands, task management and events byte by byte, and which answers are right."""

from __future__ import annotations

import struct

import pytest

from fuzz import devices
from fuzz.devices import scsi
from fuzz.devices.sectors import sector_data
from fuzz.program import Limits
from tests.device_kit import assert_draws_well, drawn, message, said

HINTS = {"capacity": 64, "blocks": 72, "luns": 2}
KINDS = {"read", "write", "read16", "write16", "inquiry", "sense", "luns", "ready", "capacity", "flush"}
CONTROLS = {*scsi.TASKS, "query_events", "subscribe_events"}
SENSE = 96
ATTENTION = bytes.fromhex("70 00 06 00000000 0a 00000000 29 00 00 000000")
ILLEGAL = bytes.fromhex("72 05 21 00 00000000")


def host(**hints):
    return devices.load("scsi", {**HINTS, **hints})


def answered(made, data=b"", status=0, response=0, residual=0, sense=b""):
    """What the class says about an answer."""
    head = struct.pack("<IIHBB", len(sense), residual, 0, status, response)
    return made.check(made.writable, (head + sense.ljust(SENSE, b"\x9a") + data).ljust(made.writable, b"\x9a"))


def test_what_is_drawn():
    limits = Limits(device="scsi", hints=tuple(HINTS.items()))
    assert_draws_well("scsi", [2, 3], KINDS, limits)
    assert_draws_well("scsi", [0, 1], {*CONTROLS, "event"}, limits)


def test_cuts_as_drivers_have_them():
    limits = Limits(device="scsi", uncut=frozenset(range(4)))
    for queue, request, cut in drawn("scsi", [0, 1, 2, 3], limits):
        if queue > 1:
            assert (cut[0], cut[-1] == 108 or cut[1] == 108) == (51, True), request
        elif queue == 1:
            assert len(cut) == 1
        else:
            assert cut in ((24, 1), (16, 5))


def test_no_command_is_aborted_where_that_is_known_to_hang():
    limits = Limits(device="scsi", hints=(("aborts", 0),))
    found = {request.kind for _, request, _ in drawn("scsi", [0], limits)}
    assert found == CONTROLS - {"abort_task", "abort_task_set", "clear_task_set"}


HEAD = "01 00 40 00 00000000 {tag} 00 00 00 "


@pytest.mark.parametrize(
    ("kind", "fields", "cdb", "data"),
    [
        ("read", {"sector": 258, "count": 2}, "28 00 00000102 00 0002 00", 1024),
        ("read16", {"sector": 258, "count": 1}, "88 00 0000000000000102 00000001 00 00", 512),
        ("inquiry", {"length": 36}, "12 00 00 0024 00", 36),
        ("sense", {"length": 18}, "03 00 00 00 12 00", 18),
        ("luns", {"length": 64}, "a0 00 00 000000 00000040 00 00", 64),
        ("ready", {}, "00 00 00 00 00 00", 0),
        ("capacity", {}, "25 00 00000000 0000 00 00", 8),
        ("flush", {}, "35 00 00000000 00 0000 00", 0),
    ],
)
def test_commands_are_those_of_the_standards(kind, fields, cdb, data):
    made = message(host(), kind, 1, 2, **fields)
    expected = bytes.fromhex(HEAD.format(tag="12 00000000000000")) + bytes.fromhex(cdb).ljust(32, b"\0")
    assert made.readable == expected
    assert made.writable == 12 + SENSE + data


def test_writes_carry_their_data():
    for kind, code in (("write", 0x2A), ("write16", 0x8A)):
        made = message(host(), kind, 9, 3, sector=5, count=2, lun=1, target=2)
        assert made.readable[:4] == bytes.fromhex("01 02 40 01")
        assert made.readable[19] == code
        assert made.readable[51:] == sector_data(9, 3, 5) + sector_data(9, 3, 6)
        assert made.writable == 108


def test_parts_are_as_long_as_the_configuration_space_says():
    made = message(host(cdb_size=16, sense_size=252), "read", count=1)
    assert (len(made.readable), made.writable) == (19 + 16, 12 + 252 + 512)


def test_reads_what_was_written():
    device = host()
    written = message(device, "write", 0, 2, sector=3, count=1)
    assert answered(written) == ""
    made = message(device, "read", 1, 2, sector=3, count=1)
    assert answered(made, sector_data(0, 2, 3)) == ""
    assert answered(made, bytes(512)) == "sector 3 does not read as buffer 0 wrote it"
    assert answered(made, sector_data(0, 2, 3), residual=512) == "residual 512, though the status is GOOD"
    assert "residual 4294966784" in answered(made, sector_data(0, 2, 3), residual=0xFFFFFE00)


@pytest.mark.parametrize(
    "answer", [{"status": 2, "sense": ATTENTION}, {"response": 2}, {"response": 4}, {"response": 9}, {"status": 8}]
)
def test_a_write_that_was_not_done_leaves_it_open(answer):
    device = host()
    answered(message(device, "write", 0, 2, sector=3, count=1))
    assert answered(message(device, "write", 1, 2, sector=3, count=1), **answer) == ""
    assert answered(message(device, "read", 2, 2, sector=3, count=1), bytes(512)) == ""


@pytest.mark.parametrize(
    ("kind", "answer", "text"),
    [
        ("ready", {"response": 10}, "response 10 (none for a command, 5.6.6.1.1)"),
        ("ready", {"response": 3}, "response 3 (BAD_TARGET)"),
        ("ready", {"response": 1}, "response 1 (OVERRUN)"),
        ("ready", {"response": 5}, ""),
        ("ready", {"status": 0x18}, "status 0x18"),
        ("ready", {"status": 0x28}, ""),
        ("ready", {"status": 2, "sense": ATTENTION}, ""),
        ("ready", {"status": 2}, "CHECK CONDITION with 0 bytes of sense data"),
        ("ready", {"status": 2, "sense": ILLEGAL}, "CHECK CONDITION, sense key 5, additional sense code 2100"),
        ("ready", {"status": 2, "sense": ATTENTION * 6}, "sense_len 108, but there is room for 96"),
        ("inquiry", {"status": 2, "sense": ATTENTION}, "CHECK CONDITION, sense key 6, additional sense code 2900"),
        ("sense", {"status": 2, "sense": ATTENTION}, ""),
    ],
)
def test_responses_and_statuses(kind, answer, text):
    assert answered(message(host(), kind), **answer) == text


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("read", {"sector": 60, "count": 8}), ("write", {"sector": 64}), ("read", {"lun": 1}), ("ready", {"lun": 2}),
     ("inquiry", {"target": 1}), ("luns", {"lun": 1})],
)  # fmt: skip
def test_what_need_not_be_there(kind, fields):
    made = message(host(), kind, **fields)
    assert answered(made, status=2, sense=ILLEGAL) == answered(made, response=3) == answered(made) == ""
    assert answered(made, response=0x9A) != ""


def test_parameter_data():
    made = message(host(), "inquiry", length=36)
    assert answered(made, bytes.fromhex("00 00 05 12 1f")) == ""
    assert "INQUIRY data 7f000502" in answered(made, bytes.fromhex("7f 00 05 02"))
    assert "INQUIRY data 00000501" in answered(made, bytes.fromhex("00 00 05 01"))
    assert answered(made, b"\0", residual=35) == ""
    assert "residual 37" in answered(made, residual=37)
    made = message(host(), "luns", length=24)
    assert answered(made, bytes.fromhex("00000010")) == ""
    assert "LUN list of 9 bytes" in answered(made, bytes.fromhex("00000009"))
    assert "LUN list of 0 bytes" in answered(made, bytes(4))
    assert answered(made, residual=22) == "2 bytes of REPORT LUNS data"
    made = message(host(), "sense")
    assert answered(made, b"\x70") == answered(made, residual=18) == ""
    assert answered(made, b"\x12") == "sense data with response code 0x12 (SPC-4, 4.5.1)"
    made = message(host(), "capacity")
    assert answered(made, bytes.fromhex("00000047 00000200")) == ""
    assert answered(made, bytes.fromhex("00000048 00000200")) == "the capacity is 73 blocks of 512 bytes, not 72 of 512"
    assert answered(message(host(blocks=0), "capacity"), bytes(8)) == ""


def test_task_management_names_commands():
    device = host()
    first, second = (message(device, "ready", number, 2) for number in (4, 5))
    made = message(device, "query_task", back=1, lun=1)
    assert made.readable == bytes.fromhex("00000000 06000000 01 00 40 01 00000000 4200000000000000")
    assert made.writable == 1
    assert message(device, "abort_task").readable[16:] == second.readable[8:16]
    assert message(device, "abort_task", back=9).readable[16:] == first.readable[8:16]
    assert message(host(), "lun_reset").readable == bytes.fromhex("00000000 05000000 01 00 40 00" + "00" * 12)


def test_task_management_answers():
    made = message(host(), "lun_reset")
    assert [made.check(1, bytes([value])) for value in (0, 5, 9, 11)] == [""] * 4
    assert made.check(1, b"\x01") == "response 1 (none for task management, 5.6.6.2)"
    assert made.check(1, b"\x0c") == "lun_reset is answered with INCORRECT_LUN, though the logical unit is there"
    assert made.check(1, b"\x0a") == "lun_reset is answered with FUNCTION_SUCCEEDED"
    assert message(host(), "lun_reset", lun=2).check(1, b"\x0c") == ""


def test_a_task_that_was_answered_is_not_there():
    device = host()
    command = message(device, "ready", 0, 2)
    before = message(device, "query_task", 0, 0)
    assert before.check(1, b"\x0a") == ""
    answered(command)
    made = message(device, "query_task", 1, 0)
    assert made.check(1, b"\0") == ""
    assert made.check(1, b"\x0a") == "query_task is answered with FUNCTION_SUCCEEDED, but its task was answered"
    assert before.check(1, b"\x0a") == ""


def test_asynchronous_notifications():
    made = message(host(), "subscribe_events", events=0x7E)
    assert made.readable == bytes.fromhex("02000000 01 00 40 00 00000000 7e000000")
    assert message(host(), "query_events").readable[0] == 1
    assert made.writable == 5
    assert made.check(5, bytes.fromhex("7e000000 00")) == made.check(5, bytes.fromhex("9a9a9a9a 09")) == ""
    assert "event_actual 0x80" in made.check(5, bytes.fromhex("80000000 00"))
    assert made.check(5, bytes.fromhex("00000000 0a")) == "response 10 (none for asynchronous notifications, 5.6.6.2)"
    assert "response 3 (BAD_TARGET)" in made.check(5, bytes.fromhex("00000000 03"))


def test_events():
    made = message(host(), "event", queue=1, length=17)
    assert (made.readable, made.writable, made.completes) == (b"", 17, False)

    def check(event, lun, reason):
        return made.check(16, bytes.fromhex(event + lun + reason + "9a"))

    assert check("01000000", "0100000200000000", "02000000") == ""
    assert check("03000080", "0100000100000000", "2a090000") == ""
    assert check("00000080", "0000000000000000", "00000000") == ""
    assert check("04000000", "0100000100000000", "00000000") == "event 4 (none of the specification)"
    assert "which is none of the formats" in check("03000000", "0000000100000000", "2a090000")
    assert check("01000000", "0100000100000000", "03000000") == (
        "transport reset for the reason 3 (none of the specification)"
    )


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("format", {}, "scsi has no request 'format'; it has " + ", ".join(scsi.FORMS)),
        ("read", {"length": 512}, "read has no field 'length'; it has sector, count, lun, target"),
        ("write16", {"count": 257}, "count of write16 is 0 to 256, not 257"),
        ("event", {"length": 15}, "length of event is 16 to 4096, not 15"),
        ("luns", {"length": 16}, None),
    ],
)
def test_words(kind, fields, text):
    assert said(host(), kind, **fields) == text
