"""virtio-crypto (5.9, numbered as in 1.3): sessions on the control queue, and on queue 0 what they are for.

Knows requests, statuses, which sessions there are, and the right results. Must not know rings, or which device answers.

A session's number comes from the device, so a request means one of those that have been answered so far, and is
for whatever that session is for: AES-CBC either way, or SHA-1. Where there is none yet, it asks for no byte of a hash
in a session that nobody has. No feature is negotiated, so all fixed-length fields are padded (5.9.7.2, 5.9.7.3). All
data of AES-CBC are windows into one long chain: a window's vector is the block of ciphertext before it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

from fuzz.choices import Choices
from fuzz.devices import Message, ciphers
from fuzz.devices.forms import Forms, cut, pick, values, words
from fuzz.program import Limits, Request

_CONTROL_HEADER = struct.Struct("<IIII")  # opcode, algo, flag, reserved (5.9.7.2)
_CONTROL_FIELDS = 56  # bytes of op_flf without REVISION_1
_DATA_HEADER = struct.Struct("<IIQII")  # opcode, algo, session_id, flag, padding (5.9.7.3)
_DATA_FIELDS = 48
_CREATE, _DESTROY = 2, 3  # lower byte of an opcode; the upper one is the service
_OPCODES = {"encrypt": 0x000, "decrypt": 0x001, "hash": 0x100}
_ALGORITHMS = {"encrypt": 3, "decrypt": 3, "hash": 2}  # CIPHER_AES_CBC, HASH_SHA1
_STATUSES = ("OK", "ERR", "BADMSG", "NOTSUPP", "INVSESS", "NOSPC", "KEY_REJECTED")
_NOBODYS = 1 << 40  # the number of a session that no device gives
_KEYS = (16, 24, 32)  # lengths that AES has
_MOST = 4096  # bytes of one request
_START = 64  # blocks of the chain before the last window
_DIGEST = 20  # bytes of SHA-1

FORMS: Forms = {
    "cipher_session": {"key": (0, 64, 16), "decrypt": (0, 1, 0)},
    "hash_session": {},
    "close": {"session": (0, 255, 0)},
    "data": {"session": (0, 255, 0), "length": (0, _MOST, 16), "odd": (0, 15, 0)},
}


@dataclass(slots=True, eq=False)
class _Session:
    """What was agreed with the device."""

    use: str
    key: int = 0  # bytes
    number: int = 0
    pending: int = 0  # requests on their way


class Device:
    """One run of one program.

    *hints*: control: number of the control queue; stays: 1 if sessions are known to outlive a device reset, else
    nothing is said about data, since after a reset a number may stand for another session.
    """

    name = "crypto"

    def __init__(self, hints: dict[str, int]) -> None:
        self._control = hints.get("control", 1)
        self._stays = bool(hints.get("stays", 0))
        self._sessions: list[_Session] = []  # the newest first

    # --- requests -----------------------------------------------------------------------------------------------------

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Sessions made and ended, or data for them."""
        integer = choices.integer
        if queue != dict(limits.hints).get("control", 1):
            blocks = (1, 1, 2, 3, 4, 31, 32, 33, 255, 256, integer(1, 64))[integer(0, 10)]
            length = blocks * ciphers.BLOCK
            ways = cut(choices, 88 + length, length + 1, _DATA_HEADER.size, 1)
            # The session decides how long a request is; the rest must not fall into single bytes.
            ways = (*ways, 0) if ways and ways[-1] else ways
            return Request("data", (("session", integer(0, 3)), ("length", length))), ways
        kind = integer(0, 9)
        if kind < 5:
            request = Request("cipher_session", (("key", pick(choices, _KEYS)), ("decrypt", integer(0, 1))))
        else:
            request = Request("close", (("session", integer(0, 3)),)) if kind < 9 else Request("hash_session")
        message = self.message(request, 0, queue)
        return request, cut(choices, len(message.readable), message.writable, _CONTROL_HEADER.size)

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        length = dict(request.fields).get("length", 0) if request.kind == "data" else 0
        if length % ciphers.BLOCK:
            return f"length of data is a multiple of {ciphers.BLOCK}, not {length}; write odd=1 for a byte more"
        return words(self.name, FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        given = values(FORMS, request)
        if request.kind == "data":
            return self._data(given["session"], given["length"] + given["odd"], buffer)
        if request.kind == "close":
            return self._close(given["session"])
        if request.kind == "hash_session":
            return self._create(_Session("hash"), struct.pack("<II", _ALGORITHMS["hash"], _DIGEST), b"")
        length, decrypt = given["key"], given["decrypt"]
        fields = struct.pack("<IIII32xI", _ALGORITHMS["decrypt"], length, 1 + decrypt, 0, 1)
        return self._create(_Session("decrypt" if decrypt else "encrypt", length), fields, _key(length))

    def _create(self, session: _Session, fields: bytes, key: bytes) -> Message:
        """5.9.7.2.1: the answer has the number of the session."""

        def check(used: int, data: bytes) -> str:
            number, status = struct.unpack_from("<QI", data)
            if not status and session not in self._sessions:
                # Whoever had this number has lost it in a reset.
                self._sessions = [session, *(other for other in self._sessions if other.number != number)]
                session.number = number
            return "" if status in (0, 1, 3, 5) else f"status {_name(status)} of a new session (5.9.7.2.1)"

        header = _header(session.use, _CREATE)
        return Message(header + fields.ljust(_CONTROL_FIELDS, b"\0") + key, 16, check)

    def _close(self, place: int) -> Message:
        """End a session that no request is on its way for."""
        idle = [session for session in self._sessions if not session.pending]
        session = idle[place % len(idle)] if idle else _Session("encrypt", number=_NOBODYS)
        if idle:
            self._sessions.remove(session)
        sure = bool(idle) and self._stays

        def check(used: int, data: bytes) -> str:
            status = data[0]
            return f"status {_name(status)} of a session's end (5.9.7.2.1)" if status > 1 or (status and sure) else ""

        fields = struct.pack("<Q", session.number).ljust(_CONTROL_FIELDS, b"\0")
        return Message(_header(session.use, _DESTROY) + fields, 1, check)

    def _data(self, place: int, length: int, buffer: int) -> Message:
        """What the session is for (5.9.7.4, 5.9.7.6)."""
        if not self._sessions:
            header = _DATA_HEADER.pack(_OPCODES["hash"], _ALGORITHMS["hash"], _NOBODYS, 0, 0)
            fields = struct.pack("<II", length, 0).ljust(_DATA_FIELDS, b"\0")
            return Message(header + fields + _pattern(buffer % 127, length), 1, _status)
        session = self._sessions[place % len(self._sessions)]
        header = _DATA_HEADER.pack(_OPCODES[session.use], _ALGORITHMS[session.use], session.number, 0, 0)
        if session.use == "hash":
            source = _pattern(buffer % 127, length)
            answer = hashlib.sha1(source, usedforsecurity=False).digest()
            fields = struct.pack("<II", length, _DIGEST).ljust(_DATA_FIELDS, b"\0")
            return Message(header + fields + source, _DIGEST + 1, self._checker(session, answer, True))
        vector, source, answer = _window(session, buffer, length)
        fields = struct.pack("<III28xI", len(vector), length, length, 1).ljust(_DATA_FIELDS, b"\0")
        check = self._checker(session, answer, session.key in _KEYS and length % ciphers.BLOCK == 0)
        return Message(header + fields + vector + source, length + 1, check)

    # --- answers ------------------------------------------------------------------------------------------------------

    def _checker(self, session: _Session, answer: bytes, right: bool) -> Callable[[int, bytes], str]:
        """From now on a request is on its way for *session*. *right*: nothing is wrong with it."""
        session.pending += 1
        answered = False

        def check(used: int, data: bytes) -> str:
            nonlocal answered
            if not answered:
                answered = True
                session.pending -= 1
            wrong = _status(used, data)
            if wrong or not self._stays or not right:
                return wrong
            if data[-1]:
                return f"status {_name(data[-1])} of a right request for a session that there is (5.9.7.6)"
            if data[:-1] != answer:
                at = next(place for place, value in enumerate(answer) if data[place] != value)
                return f"byte {at} of the result is {data[at]:#04x}, must be {answer[at]:#04x}"
            return ""

        return check


def _status(used: int, data: bytes) -> str:
    """5.9.7.6: OK, NOTSUPP, INVSESS or ERR."""
    return "" if data[-1] in (0, 1, 3, 4) else f"status {_name(data[-1])} of a request for data (5.9.7.6)"


def _name(status: int) -> str:
    return f"{status} ({_STATUSES[status]})" if status < len(_STATUSES) else f"{status} (none of the specification)"


def _header(use: str, operation: int) -> bytes:
    """5.9.7.2."""
    return _CONTROL_HEADER.pack(_OPCODES[use] & 0xFF00 | operation, _ALGORITHMS[use], 0, 0)


@lru_cache(256)
def _pattern(start: int, length: int) -> bytes:
    return bytes([1 + (start * 31 + place * 53 + (place >> 7) * 19) % 127 for place in range(length)])


def _key(length: int) -> bytes:
    return _pattern(length, length)


@cache
def _chain(key: int) -> tuple[bytes, bytes]:
    """Clear text and ciphertext under a key of so many bytes, the vector before both."""
    clear = _pattern(0, _MOST + ciphers.BLOCK * _START)
    vector = _pattern(1, ciphers.BLOCK)
    return vector + clear, vector + ciphers.encrypt_chain(_key(key), vector, clear)


def _window(session: _Session, buffer: int, length: int) -> tuple[bytes, bytes, bytes]:
    """Vector, source and result of a request: one of _START windows by the buffer's number."""
    if session.key not in _KEYS:
        return bytes(ciphers.BLOCK), _pattern(buffer, length), b""
    clear, secret = _chain(session.key)
    at = ciphers.BLOCK * (buffer * 7 % _START)
    start, end = at + ciphers.BLOCK, at + ciphers.BLOCK + length
    source, answer = (clear, secret) if session.use == "encrypt" else (secret, clear)
    return secret[at:start], source[start:end], answer[start:end]
