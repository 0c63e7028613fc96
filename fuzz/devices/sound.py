"""virtio-sound (5.14): control requests on queue 0, room for events on 1, frames to play on 2 and to record on 3.

Knows requests, statuses and item information. Must not know rings, or which device answers.

The request «next» is the next command in the life of its stream (5.14.6.6.1), so that any number of them is what a
driver would send. Whether a request succeeds is not said, since a reset begins all lives anew. Frames are played and
recorded while their stream runs: nobody owes them.
"""

from __future__ import annotations

import struct
from functools import partial

from fuzz.choices import Choices
from fuzz.devices import Message, accept, cutting
from fuzz.devices.forms import Forms, cut, pick, values, words
from fuzz.program import Limits, Request

_HEADER = 4  # bytes of virtio_snd_hdr
_STATUS = 8  # bytes of virtio_snd_pcm_status
_EVENT = 8
_OK, _IO_ERR = 0x8000, 0x8003
_CODES = {_OK: "OK", 0x8001: "BAD_MSG", 0x8002: "NOT_SUPP", _IO_ERR: "IO_ERR"}
_MOST = 1 << 16
#: Bytes, of every stream that is drawn: buffers to record into should be so long (5.14.6.8.2.2).
_PERIOD = 2048
_RATES, _FORMATS = 16, 25  # how many are defined (5.14.6.6.2)
_INFORMATION = {"jack_info": (0x0001, 24, "jacks"), "pcm_info": (0x0100, 32, "streams"),
                "chmap_info": (0x0200, 24, "chmaps")}  # fmt: skip
_COMMANDS = {"prepare": 0x0102, "release": 0x0103, "start": 0x0104, "stop": 0x0105}
_SET_PARAMS = 0x0101
_FAST = (("format", 17), ("rate", 13))  # S32, 384000: so that a period does not take long
_LIFE = ("set_params", "prepare", "start", "stop", "start", "stop", "release")

_STREAM = {"stream": (0, 255, 0)}
_QUERY = {"first": (0, 255, 0), "count": (0, 255, 1)}
FORMS: Forms = {
    "next": _STREAM,
    "jack_info": _QUERY,
    "pcm_info": _QUERY,
    "chmap_info": _QUERY,
    "set_params": {
        **_STREAM,
        "period": (1, _MOST, _PERIOD),
        "periods": (1, 255, 4),
        "channels": (0, 255, 2),
        "format": (0, 255, 5),  # S16
        "rate": (0, 255, 7),  # 48000
    },
    **dict.fromkeys(_COMMANDS, _STREAM),
    "event": {"length": (_EVENT, 4096, _EVENT)},
    "play": {**_STREAM, "length": (1, _MOST, _PERIOD)},
    "record": {"stream": (0, 255, 1), "length": (_PERIOD, _MOST, _PERIOD), "short": (0, _PERIOD - 1, 0)},
}


class Device:
    """One run of one program.

    *hints*: jacks, streams, chmaps: how many there are; outputs: how many of the streams, the first ones, play.
    """

    name = "sound"

    def __init__(self, hints: dict[str, int]) -> None:
        self._stages: dict[int, int] = {}  # of the life of each stream

    # --- requests -----------------------------------------------------------------------------------------------------

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Streams in their lives, items asked for, frames of a period."""
        hints = dict(limits.hints)
        integer = choices.integer
        streams = max(1, hints.get("streams", 2))
        outputs = min(streams, hints.get("outputs", (streams + 1) // 2))
        if queue == 0:
            request = self._control(choices, streams, hints)
            head = 0
        elif queue == 1:
            request, head = Request("event", (("length", _EVENT + integer(0, 3) // 3 * 8),)), 0
        elif queue == 2:
            length = (4, 64, 512, _PERIOD, _PERIOD, 4 * integer(1, 1024))[integer(0, 5)]
            request, head = Request("play", (("stream", integer(0, outputs - 1)), ("length", length))), 4
        else:
            stream = integer(outputs, streams - 1) if outputs < streams else 0
            request, head = Request("record", (("stream", stream), ("length", _PERIOD))), 4
        if request.kind == "next":
            # How long it is depends on how many there were before; of how many elements it is must not.
            ways = cutting.cut(choices, (_HEADER, 0), _HEADER, _HEADER)
            return request, (*ways, 0) if ways and ways[-1] else ways
        message = self.message(request, 0, queue)
        return request, cut(choices, len(message.readable), message.writable, head, _STATUS if queue == 3 else 0)

    @staticmethod
    def _control(choices: Choices, streams: int, hints: dict[str, int]) -> Request:
        """Mostly the next command of a stream's life."""
        integer = choices.integer
        kind = integer(0, 11)
        if kind < 7:
            return Request("next", (("stream", integer(0, streams - 1)),))
        if kind == 7:
            stream, channels = integer(0, streams - 1), integer(1, 2)
            fields = (("channels", channels), ("format", pick(choices, (3, 4, 5, 17))), ("rate", integer(0, 13)))
            return Request("set_params", (("stream", stream), *fields))
        name = ("pcm_info", "pcm_info", "jack_info", "chmap_info")[kind - 8]
        there = streams if name == "pcm_info" else hints.get(_INFORMATION[name][2], 0)
        first = integer(0, max(0, there - 1))
        return Request(name, (("first", first), ("count", integer(min(1, there), there - first) if there else 0)))

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return words(self.name, FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        kind, given = request.kind, values(FORMS, request)
        if kind == "next":
            stream = given["stream"]
            stage = self._stages.get(stream, 0)
            self._stages[stream] = (stage + 1) % len(_LIFE)
            kind = _LIFE[stage]
            given = values(FORMS, Request(kind, (("stream", stream), *(_FAST if kind == "set_params" else ()))))
        if kind in _INFORMATION:
            code, size, _ = _INFORMATION[kind]
            count = given["count"]
            readable = struct.pack("<4I", code, given["first"], count, size)
            return Message(readable, _HEADER + count * size, partial(_informed, kind, count, size))
        if kind in _COMMANDS:
            return Message(struct.pack("<II", _COMMANDS[kind], given["stream"]), _HEADER, _answered)
        if kind == "set_params":
            sizes = (given["period"] * given["periods"], given["period"])
            readable = struct.pack("<5I", _SET_PARAMS, given["stream"], *sizes, 0)
            readable += bytes((given["channels"], given["format"], given["rate"], 0))
            return Message(readable, _HEADER, _answered)
        length = given["length"] - given.get("short", 0)
        if kind == "event":
            return Message(b"", length, accept, completes=False)
        head = struct.pack("<I", given["stream"])
        if kind == "record":
            return Message(head, length + _STATUS, partial(_recorded, length), completes=False)
        frames = bytes([1 + (place * 53 + buffer * 7) % 127 for place in range(127)]) * (length // 127 + 1)
        return Message(head + frames[:length], _STATUS, partial(_transferred, 0), completes=False)


# --- answers ----------------------------------------------------------------------------------------------------------


def _answered(used: int, data: bytes) -> str:
    """5.14.6: one of four statuses."""
    code = int.from_bytes(data[:_HEADER], "little")
    if 0 <= used < _HEADER or code not in _CODES:
        return f"status {code:#x} in {used} bytes, which is none of the specification (5.14.6)"
    return ""


def _informed(kind: str, count: int, size: int, used: int, data: bytes) -> str:
    """5.14.6.1: a status, and with OK as many items as were asked for."""
    wrong = _answered(used, data)
    if wrong or int.from_bytes(data[:_HEADER], "little") != _OK:
        return wrong
    if 0 <= used < len(data):
        return f"{used} of the {len(data)} bytes that {count} items have (5.14.6.1)"
    for number in range(count):
        item = data[_HEADER + number * size : _HEADER + (number + 1) * size]
        if kind == "pcm_info":
            _, features, formats, rates, direction, _, _ = struct.unpack_from("<IIQQBBB", item)
            if features >> 5 or formats >> _FORMATS or rates >> _RATES or direction > 1 or any(item[27:]):
                return f"item {number} sets what is not defined: {item.hex()} (5.14.6.6.2.1)"
        elif kind == "jack_info" and (item[4] > 1 or any(item[5:8]) or any(item[17:])):
            return f"item {number} sets what is not defined: {item.hex()} (5.14.6.4.1.1)"
        elif kind == "chmap_info" and (item[4] > 1 or item[5] > 18):
            return f"item {number} sets what is not defined: {item.hex()} (5.14.6.9.1.1)"
    return ""


def _transferred(at: int, used: int, data: bytes) -> str:
    """5.14.6.8: OK or IO_ERR."""
    code = int.from_bytes(data[at : at + 4], "little")
    if code not in (_OK, _IO_ERR):
        return f"status {_CODES.get(code, hex(code))} of a transfer (5.14.6.8)"
    return ""


def _recorded(length: int, used: int, data: bytes) -> str:
    """Behind a full buffer stands its status; where it stands at the end of a stream, nobody says."""
    return _transferred(length, used, data) if used == len(data) else ""
