"""virtio-rtc (5.23): requests about clocks on queue 0, alarms that went off on queue 1 where there are any.

Knows requests, their statuses and what an answer has. Must not know rings, or which device answers.

A clock whose number is 0 may not exist either: a device has zero or more (5.23.5), so an answer may say that
there is none. Alarms are the business of VIRTIO_RTC_F_ALARM; without it the device knows no such
request.
"""

from __future__ import annotations

import struct
from functools import partial

from fuzz.choices import Choices
from fuzz.devices import Message
from fuzz.devices.forms import Forms, cut, pick, values, words
from fuzz.program import Limits, Request

HEAD = 8  # bytes of the headers of requests and of answers (5.23.6)
_REQUEST = struct.Struct("<H6x")
_OK, _EOPNOTSUPP, _ENODEV, _EINVAL, _EIO = 0, 2, 3, 4, 5
_STATUSES = (_OK, _EOPNOTSUPP, _ENODEV, _EINVAL, _EIO)
_ALARM = 1 << 0
_NOTIFICATION = 0x2000
_CLOCK = {"clock": (0, 0xFFFF, 0)}
_COUNTER = {**_CLOCK, "counter": (0, 0xFF, 1)}  # x86's time-stamp counter
_EXTRA = {"room": (0, 512, 0)}  # bytes of room that no answer needs
FORMS: Forms = {
    "read": {**_CLOCK, **_EXTRA},
    "config": _EXTRA,
    "clock_cap": {**_CLOCK, **_EXTRA},
    "cross_cap": {**_COUNTER, **_EXTRA},
    "read_cross": {**_COUNTER, **_EXTRA},
    "read_alarm": {**_CLOCK, **_EXTRA},
    "set_alarm": {**_CLOCK, "time": (0, (1 << 64) - 1, 0), "enabled": (0, 1, 1), **_EXTRA},
    "enable_alarm": {**_CLOCK, "enabled": (0, 1, 1), **_EXTRA},
    "unknown": {"type": (0, 0xFFFF, 0x55), **_EXTRA},
    "alarm": _EXTRA,
}
#: Of each request: its message type, and how long a successful answer is (5.23.6.4 to 5.23.6.6).
_MESSAGES = {
    "read": (1, 16),
    "read_cross": (2, 24),
    "config": (0x1000, 16),
    "clock_cap": (0x1001, 16),
    "cross_cap": (0x1002, 16),
    "read_alarm": (0x1003, 24),
    "set_alarm": (0x1004, 8),
    "enable_alarm": (0x1005, 8),
}
_READS = ("read", "read_cross")
_ALARMS = ("read_alarm", "set_alarm", "enable_alarm")
_SETTLED = ("config", "clock_cap", "cross_cap")  # the same question has one answer, until a reset at least
_KINDS = ("read", "read", "read", "read", "config", "clock_cap", "cross_cap", "read_cross", "unknown", *_ALARMS)
_RESERVED = {"config": (10, 16), "clock_cap": (11, 16), "cross_cap": (9, 16), "read_alarm": (17, 24)}  # (5.23.6)
_UNKNOWN = (0, 3, 0x55, 0x1006, 0x2000)


class Device:
    """One run of one program.

    *hints*: alarm: 1 if VIRTIO_RTC_F_ALARM is negotiated; steady: 1 if capabilities are known to survive a reset.
    """

    name = "rtc"

    def __init__(self, hints: dict[str, int]) -> None:
        self._alarm = bool(hints.get("alarm", 0))
        self._steady = bool(hints.get("steady", 0))
        self._settled: dict[Request, bytes] = {}  # what was answered
        self._read: dict[int, int] = {}  # clock: the buffer of its last reading

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Mostly readings of the first clock; others may exist or not."""
        integer = choices.integer
        kind = "alarm" if queue == 1 else _KINDS[integer(0, len(_KINDS) - 1)]
        fields = {"room": pick(choices, (0, 0, 1, 100))}
        if "clock" in FORMS[kind]:
            fields["clock"] = pick(choices, (0, 0, 0, 0, 1, 0x7F7F))
        if "counter" in FORMS[kind]:
            fields["counter"] = integer(0, 1)
        if "enabled" in FORMS[kind]:
            fields["enabled"] = integer(0, 1)
        if kind == "unknown":
            fields["type"] = pick(choices, _UNKNOWN)
        request = Request(kind, tuple((name, fields[name]) for name in FORMS[kind] if name in fields))
        message = self.message(request, 0, queue)
        return request, cut(choices, len(message.readable), message.writable, HEAD, HEAD)

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return words(self.name, FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        fields = values(FORMS, request)
        kind = request.kind
        if kind == "alarm":
            return Message(b"", 16 + fields["room"], _expired, completes=False)
        type_, length = _MESSAGES.get(kind, (fields.get("type", 0), HEAD))
        question = Request(kind, tuple((name, fields[name]) for name in ("clock", "counter") if name in fields))
        check = partial(self._answered, buffer, question, length)
        return Message(_REQUEST.pack(type_) + _body(kind, fields), length + fields["room"], check)

    def _answered(self, buffer: int, question: Request, length: int, used: int, data: bytes) -> str:
        """What is wrong with an answer, or ''."""
        if used > len(data):
            return ""  # the ring's rules say what there is to say
        if 0 <= used < HEAD:
            return f"an answer of {used} bytes, its header has {HEAD} (5.23.6)"
        status, kind = data[0], question.kind
        if status not in _STATUSES:
            return f"status {status}, which the specification does not have (5.23.6)"
        wrong = self._status(question, status)
        if wrong or status != _OK:
            return wrong
        if any(data[1:HEAD]):
            return "reserved bytes of the answer's header are not zero (5.23.6.2)"
        if 0 <= used < length:
            return f"an answer of {used} bytes to {kind}, it has {length} (5.23.6)"
        first, end = _RESERVED.get(kind, (0, 0))
        if any(data[first:end]):
            return f"reserved bytes of the answer to {kind} are not zero (5.23.6.2)"
        if kind == "clock_cap" and data[HEAD + 2] & ~(_ALARM if self._alarm else 0):
            return f"flags {data[HEAD + 2]:#x} that were not negotiated (5.23.6.2)"
        if kind in _READS:
            return self._in_turn(dict(question.fields)["clock"], buffer)
        if not self._steady or kind not in _SETTLED:
            return ""
        if self._settled.setdefault(question, data[:length]) != data[:length]:
            return f"another answer to {kind} than before (5.23.6.2)"
        return ""

    def _in_turn(self, clock: int, buffer: int) -> str:
        """Readings of a clock are used in the order in which they were made available, in any case (5.23.6.5.2)."""
        last, self._read[clock] = self._read.get(clock, -1), buffer
        return (
            f"clock {clock} was read for buffer {last} before it was for this one (5.23.6.5.2)" if last > buffer else ""
        )

    def _status(self, question: Request, status: int) -> str:
        """What is wrong with a status, or ''. Nobody can tell what a device could not do, or was hindered in."""
        kind = question.kind
        known = kind in _MESSAGES and (self._alarm or kind not in _ALARMS)
        if kind == "unknown" and status != _EOPNOTSUPP:
            return f"status {status} for an unknown message type, must be {_EOPNOTSUPP} (5.23.6.2)"
        if known and status == _EINVAL:
            return f"status {status} for a request that the specification allows (5.23.6.2)"
        if kind == "config" and status == _ENODEV:
            return f"status {status} for a request that names no clock (5.23.6.2)"
        if kind == "read" and status == _EOPNOTSUPP:
            return f"status {status}, but every clock can be read (5.23.6.5.2)"
        return ""


def _body(kind: str, fields: dict[str, int]) -> bytes:
    """A request behind its header."""
    clock, enabled = fields.get("clock", 0), fields.get("enabled", 0)
    if kind == "set_alarm":
        return struct.pack("<QHB5x", fields["time"], clock, enabled)
    if kind == "enable_alarm":
        return struct.pack("<HB5x", clock, enabled)
    if "counter" in fields:
        return struct.pack("<HB5x", clock, fields["counter"])
    return struct.pack("<H6x", clock) if "clock" in fields else b""


def _expired(used: int, data: bytes) -> str:
    """What is wrong with a notification about an alarm, or ''."""
    if used > len(data):
        return ""
    if 0 <= used < 16:
        return f"a notification of {used} bytes, it has 16 (5.23.6.6)"
    kind = int.from_bytes(data[:2], "little")
    if kind != _NOTIFICATION:
        return f"a notification of type {kind:#x}, must be {_NOTIFICATION:#x} (5.23.6.6)"
    if any(data[2:HEAD]) or any(data[HEAD + 2 : 16]):
        return "reserved bytes of a notification are not zero (5.23.6.2)"
    return ""
