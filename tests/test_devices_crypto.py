"""virtio-crypto: requests byte by byte, sessions that come and go, and results that are known by other means."""

from __future__ import annotations

import hashlib
import struct

import pytest

from fuzz import devices
from fuzz.devices import ciphers
from fuzz.devices.crypto import FORMS
from fuzz.program import Limits
from tests.device_kit import assert_draws_well, message, said

CONTROL = 1
HINTS = {"control": CONTROL, "stays": 1}
OK, ERR, NOTSUPP, INVSESS = 0, 1, 3, 4
NOBODYS = (1 << 40).to_bytes(8, "little")


def crypto(**hints):
    return devices.load("crypto", {**HINTS, **hints})


def created(number, status=OK):
    return struct.pack("<QII", number, status, 0)


def session(device, number, kind="cipher_session", **fields):
    """Let the device create a session."""
    made = message(device, kind, queue=CONTROL, **fields)
    assert made.check(16, created(number)) == ""
    return made


def data(device, buffer=0, **fields):
    return message(device, "data", buffer, 0, **fields)


def test_draws():
    assert_draws_well("crypto", (0, 1), FORMS, Limits(device="crypto", hints=tuple(HINTS.items())))


# --- ciphers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "secret"),  # FIPS 197, appendix C
    [
        (16, "69c4e0d86a7b0430d8cdb78070b4c55a"),
        (24, "dda97ca4864cdfe06eaf70a0ec0d7191"),
        (32, "8ea2b7ca516745bfeafc49904b496089"),
    ],
)
def test_aes_is_that_of_the_standard(key, secret):
    keys = ciphers.round_keys(bytes(range(key)))
    assert ciphers.encrypt_block(keys, bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == secret


def test_chaining_is_that_of_the_standard():
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")  # SP 800-38A, F.2.1
    clear = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
    secret = "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
    assert ciphers.encrypt_chain(key, bytes(range(16)), clear).hex() == secret


# --- requests ---------------------------------------------------------------------------------------------------------


def test_sessions_are_asked_for_as_the_specification_says():
    made = message(crypto(), "cipher_session", queue=CONTROL, key=24, decrypt=1)
    assert made.readable[:16] == bytes.fromhex("02000000 03000000 00000000 00000000")
    assert made.readable[16:72] == struct.pack("<4I", 3, 24, 2, 0) + bytes(32) + struct.pack("<II", 1, 0)
    assert (len(made.readable[72:]), max(made.readable) < 0x80, made.writable) == (24, True, 16)
    made = message(crypto(), "hash_session", queue=CONTROL)
    assert made.readable == bytes.fromhex("02010000 02000000 00000000 00000000 02000000 14000000") + bytes(48)


def test_data_are_windows_of_one_chain():
    device = crypto()
    key = session(device, 7, key=32).readable[72:]
    seen = set()
    for buffer in range(70):
        made = data(device, buffer, length=48)
        assert made.readable[:24] == struct.pack("<IIQII", 0, 3, 7, 0, 0)
        assert made.readable[24:72] == struct.pack("<4I", 16, 48, 48, 0) + bytes(24) + struct.pack("<II", 1, 0)
        vector, source = made.readable[72:88], made.readable[88:]
        secret = ciphers.encrypt_chain(key, vector, source)
        assert made.check(49, secret + b"\0") == ""
        assert made.writable == 49
        seen.add(vector)
    assert len(seen) == 64


def test_decryption_undoes_encryption():
    device = crypto()
    session(device, 7, key=16)
    forth = data(device, 5, length=64)
    device = crypto()
    session(device, 8, key=16, decrypt=1)
    back = data(device, 5, length=64)
    assert back.readable[:4] == bytes.fromhex("01000000")
    assert back.readable[72:88] == forth.readable[72:88]
    assert back.check(65, forth.readable[88:] + b"\0") == ""
    assert forth.check(65, back.readable[88:] + b"\0") == ""


def test_hashes():
    device = crypto()
    session(device, 3, "hash_session")
    made = data(device, 9, length=96, odd=4)
    assert made.readable[:72] == struct.pack("<IIQII", 0x100, 2, 3, 0, 0) + struct.pack("<II", 100, 20) + bytes(40)
    answer = hashlib.sha1(made.readable[72:]).digest()
    assert made.check(21, answer + b"\0") == ""
    assert "byte 19 of the result" in made.check(21, answer[:-1] + bytes([answer[-1] ^ 1]) + b"\0")


def test_without_a_session_nothing_is_asked_of_nobody():
    made = data(crypto(), length=512)
    assert (made.readable[:4], made.readable[8:16], made.writable) == (bytes.fromhex("00010000"), NOBODYS, 1)
    assert (made.readable[24:32], len(made.readable)) == (bytes.fromhex("00020000 00000000"), 72 + 512)
    for status in (OK, ERR, NOTSUPP, INVSESS):
        assert made.check(1, bytes([status])) == ""
    assert made.check(1, b"\6") == "status 6 (KEY_REJECTED) of a request for data (5.9.7.6)"
    assert message(crypto(), "close", queue=CONTROL).readable[16:24] == NOBODYS


# --- answers ----------------------------------------------------------------------------------------------------------


def test_results_are_judged():
    device = crypto()
    session(device, 7)
    made = data(device)
    result = ciphers.encrypt_chain(session(crypto(), 0).readable[72:], made.readable[72:88], made.readable[88:])
    assert made.check(17, result + b"\0") == made.check(17, result + b"\0") == ""
    assert made.check(17, bytes([result[0] ^ 1]) + result[1:] + b"\0").startswith("byte 0 of the result is ")
    sure = "of a right request for a session that there is (5.9.7.6)"
    assert made.check(17, result + bytes([INVSESS])) == f"status 4 (INVSESS) {sure}"
    assert made.check(17, result + b"\xaa") == "status 170 (none of the specification) of a request for data (5.9.7.6)"


def test_where_sessions_may_go_in_a_reset_only_statuses_are_judged():
    device = crypto(stays=0)
    session(device, 7)
    made = data(device)
    assert made.check(17, bytes(17)) == ""
    assert made.check(17, bytes(16) + bytes([INVSESS])) == ""
    assert made.check(17, bytes(16) + b"\7") == "status 7 (none of the specification) of a request for data (5.9.7.6)"


def test_wrong_requests_may_fail():
    device = crypto()
    session(device, 7)
    made = data(device, length=0, odd=15)
    assert made.check(16, bytes(15) + bytes([ERR])) == ""
    session(device, 8, key=13)
    assert data(device).check(17, bytes(16) + bytes([ERR])) == ""


def test_new_sessions_may_be_refused():
    device = crypto()
    for status in (ERR, NOTSUPP):
        assert message(device, "cipher_session", queue=CONTROL).check(16, created(0, status)) == ""
    assert data(device, length=16).writable == 1
    wrong = message(device, "cipher_session", queue=CONTROL).check(16, created(0, 4))
    assert wrong == "status 4 (INVSESS) of a new session (5.9.7.2.1)"


def test_sessions_are_chosen_newest_first():
    device = crypto()
    for number in (10, 11, 12):
        session(device, number)
    assert [data(device, session=place).readable[8] for place in range(4)] == [12, 11, 10, 12]
    session(device, 11)  # after a reset, say: what had this number before is gone
    assert [data(device, session=place).readable[8] for place in range(4)] == [11, 12, 10, 11]


def test_a_session_ends_when_nothing_is_on_its_way():
    device = crypto()
    session(device, 10)
    session(device, 11)
    busy = data(device)
    made = message(device, "close", queue=CONTROL)
    assert made.readable == bytes.fromhex("03000000 03000000 00000000 00000000 0a00000000000000") + bytes(48)
    assert made.check(1, b"\0") == ""
    assert made.check(1, b"\1") == "status 1 (ERR) of a session's end (5.9.7.2.1)"
    assert made.check(1, b"\4") == "status 4 (INVSESS) of a session's end (5.9.7.2.1)"
    nobodys = message(device, "close", queue=CONTROL)
    assert nobodys.readable[16:24] == NOBODYS
    assert nobodys.check(1, b"\1") == nobodys.check(1, b"\0") == ""
    busy.check(17, bytes(17))
    assert message(device, "close", queue=CONTROL).readable[16] == 11


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("mac", {}, "crypto has no request 'mac'; it has cipher_session, hash_session, close, data"),
        ("hash_session", {"key": 1}, "hash_session has no field 'key'"),
        ("data", {"length": 8192}, "length of data is 0 to 4096, not 8192"),
        ("data", {"length": 17}, "length of data is a multiple of 16, not 17; write odd=1 for a byte more"),
        ("data", {}, None),
    ],
)
def test_words(kind, fields, wrong):
    assert said(crypto(), kind, **fields) == wrong
