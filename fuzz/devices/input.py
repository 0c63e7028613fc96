"""virtio-input (5.8): room for events on queue 0, status feedback such as lights on queue 1.

Knows events. Must not know rings, or which device answers. Which events there are is the business of evdev, not of
the specification, so little is said about them: how long each is, and that a SYN_REPORT carries nothing.
"""

from __future__ import annotations

import struct

from fuzz.choices import Choices
from fuzz.devices import Message
from fuzz.devices.forms import Forms, cut, pick, values, words
from fuzz.program import Limits, Request

EVENT = struct.Struct("<HHI")  # type, code, value (5.8.6)
SYN, KEY, REL, ABS, LED, REP = 0, 1, 2, 3, 0x11, 0x14  # of evdev
_MOST = 4096
_FORMS: Forms = {
    "event": {"length": (EVENT.size, _MOST, EVENT.size)},
    "status": {
        "type": (0, 0xFFFF, LED),
        "code": (0, 0xFFFF, 0),
        "value": (0, 0xFFFFFFFF, 1),
        "length": (EVENT.size, _MOST, EVENT.size),
    },
}
_ROOMS = (8, 8, 8, 8, 9, 16, 64)
_NOTHING = bytes(1 + place * 53 % 127 for place in range(127)) * (_MOST // 127 + 1)


class Device:
    """One run of one program. *hints*: types: bit n is set if the device has events of type n."""

    name = "input"

    def __init__(self, hints: dict[str, int]) -> None:
        self._types = hints.get("types", 0)

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Mostly buffers of exactly one event; what is longer the device must leave alone."""
        integer = choices.integer
        length = pick(choices, _ROOMS)
        if queue == 0:
            return Request("event", (("length", length),)), () if queue in limits.uncut else cut(choices, 0, length)
        has_lights = dict(limits.hints).get("types", 1 << LED) >> LED & 1  # else what every device knows
        kind, code = (LED, integer(0, 2)) if has_lights else (SYN, 0)
        fields = ("type", kind), ("code", code), ("value", integer(0, 1)), ("length", length)
        return Request("status", fields), cut(choices, length, 0, EVENT.size)

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return words(self.name, _FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        fields = values(_FORMS, request)
        length = fields["length"]
        if request.kind == "event":
            return Message(b"", length, self._came, completes=False)
        event = EVENT.pack(fields["type"], fields["code"], fields["value"])
        return Message(event + _NOTHING[: length - EVENT.size], 0)

    def _came(self, used: int, data: bytes) -> str:
        """What is wrong with an event, or ''."""
        if used > len(data):
            return ""  # the ring's rules say what there is to say
        if 0 <= used < EVENT.size:
            return f"an event of {used} bytes, it has {EVENT.size} (5.8.6)"
        kind, code, value = EVENT.unpack_from(data)
        if self._types and (kind > 31 or not self._types >> kind & 1):
            return f"an event of type {kind}, which this device does not have"
        if kind == SYN and code == 0 and value:
            return f"a SYN_REPORT with value {value}"
        return ""
