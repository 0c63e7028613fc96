"""virtio-console (5.3): characters both ways on two ports, and the control messages about them.

Knows what a driver writes into each queue, and what may come back. Must not know rings, or which device answers.

Queues of port 0 are 0 and 1, control 2 and 3, of port 1 4 and 5 (5.3.2). Where the other side sends back what it
gets (hint «echo»), what comes is compared with what this program wrote; characters 1 to 31 are the other side's
own words, and count up. Nothing is said about characters that don't come: a port may be closed, a reset loses them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

from fuzz.choices import Choices
from fuzz.devices import Message, accept
from fuzz.devices.cutting import cut
from fuzz.program import Limits, Request

CONTROL = struct.Struct("<IHH")  # id, event, value (5.3.6.2)
EVENTS = {
    "device_ready": 0,
    "device_add": 1,
    "device_remove": 2,
    "port_ready": 3,
    "console_port": 4,
    "resize": 5,
    "port_open": 6,
    "port_name": 7,
}
OWN = 32  # characters below are the other side's own, those from here on echoes
_PERIOD = 31
_SAID = ("port_open", "port_open", "port_open", "port_ready", "device_ready")  # by the driver
_FROM_DEVICE = (1, 2, 4, 5, 6, 7)
_LENGTHS = (1, 1, 2, 8, 63, 64, 65, 512, 513, 4096)
_ROOMS = (64, 65, 128, 4096)  # for control messages: a name of 56 bytes at least
_MOST = 1 << 16
_PREFILL = bytes(range(0x80, 0x100))  # no character of ours is one of these
_BYTES = bytes(OWN + place * 53 % 95 for place in range(95)) * (_MOST // 95 + 2)


def characters(buffer: int, queue: int, length: int) -> bytes:
    """What the buffer with serial number *buffer* of *queue* says."""
    start = (buffer * 31 + queue * 7 + buffer // 95) % 95
    return _BYTES[start : start + length]


def own(start: int, length: int) -> bytes:
    """The other side's own words: *length* characters, the first one numbered *start*."""
    return bytes(1 + (start + place) % _PERIOD for place in range(length))


class Device:
    """One run of one program. *hints*: echo: 1 if the other side sends back what it gets; ports: how many there are."""

    name = "console"

    def __init__(self, hints: dict[str, int]) -> None:
        self._echo = bool(hints.get("echo", 0))
        self._ports = hints.get("ports", 0)
        self._said = {queue: _Stream() for queue in (1, 5)}

    # --- requests -----------------------------------------------------------------------------------------------------

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Characters or room for them; on queue 3 mostly what opens a port, without which nothing comes in."""
        integer = choices.integer
        if queue == 3:
            kind = _SAID[integer(0, len(_SAID) - 1)]
            value = 0 if integer(0, 7) == 7 else 1
            fields = (("port", 1 - integer(0, 2) // 2), ("value", value))
            return Request(kind, fields), cut(choices, (CONTROL.size,), CONTROL.size, 0)
        if queue == 2:
            length = _ROOMS[integer(0, len(_ROOMS) - 1)]
            return Request("control", (("length", length),)), cut(choices, (length,), 0, length)
        length = _LENGTHS[integer(0, len(_LENGTHS) - 1)]
        if queue % 2:
            return Request("write", (("length", length),)), cut(choices, (length,), length, 0)
        return Request("room", (("length", length),)), cut(choices, (length,), 0, length)

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        fields = dict(request.fields)
        if request.kind in _SAID:
            bounds = {"port": (0, 0xFFFFFFFF), "value": (0, 0xFFFF)}
        elif request.kind in ("room", "write", "control"):
            bounds = {"length": (CONTROL.size if request.kind == "control" else 1, _MOST)}
        else:
            return (
                f"console has no request {request.kind!r}; it has room (queues 0, 4), write (queues 1, 5), "
                f"control (queue 2) and {', '.join(sorted(set(_SAID)))} (queue 3)"
            )
        for name, value in fields.items():
            if name not in bounds:
                return f"{request.kind} has no field {name!r}; it has {' and '.join(bounds)}"
            low, high = bounds[name]
            if not low <= value <= high:
                return f"{name} of {request.kind} is {low} to {high}, not {value}"
        return None

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        fields = dict(request.fields)
        length = fields.get("length", 64)
        if request.kind in _SAID:
            return Message(CONTROL.pack(fields.get("port", 0), EVENTS[request.kind], fields.get("value", 1)), 0)
        if request.kind == "control":
            return Message(b"", length, self._told, completes=False)
        if request.kind == "room":
            stream = self._said.get(queue + 1)
            check: Callable[[int, bytes], str] = partial(_heard, stream) if self._echo and stream else accept
            return Message(b"", length, check, completes=False)
        data = characters(buffer, queue, length)
        if queue in self._said:
            self._said[queue].add(buffer, data)
        return Message(data, 0)

    # --- answers ------------------------------------------------------------------------------------------------------

    def _told(self, used: int, data: bytes) -> str:
        """What is wrong with a control message that came, or ''."""
        if used > len(data):
            return ""  # the ring's rules say what there is to say
        if 0 <= used < CONTROL.size:
            return f"a control message of {used} bytes, it has {CONTROL.size} at least (5.3.6.2)"
        port, event, value = CONTROL.unpack_from(data)
        if event not in _FROM_DEVICE:
            return f"control event {event}, which no device sends (5.3.6.2)"
        if event == EVENTS["device_add"] and self._ports and port >= self._ports:
            return f"port {port} is added, and max_nr_ports is {self._ports} (5.3.6.2.1)"
        if event == EVENTS["port_open"] and value > 1:
            return f"PORT_OPEN has value {value}, it is 0 or 1 (5.3.6.2)"
        if event == EVENTS["resize"] and 0 <= used < CONTROL.size + 4:
            return f"a RESIZE of {used} bytes lacks columns or rows (5.3.6.2)"
        if event == EVENTS["port_name"]:
            try:
                data[CONTROL.size : max(used, CONTROL.size)].decode()
            except UnicodeDecodeError:
                return "a port's name is no UTF-8 (5.3.6.2)"
        return ""


class _Stream:
    """The characters that this program writes to one port, and how far they have come back."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.starts: list[int] = []  # where each buffer's begin
        self.at = 0  # what stands before has come back, or never will
        self._last = -1

    def add(self, buffer: int, data: bytes) -> None:
        """A buffer more."""
        if buffer == self._last:
            del self.data[self.starts.pop() :]  # what had this number found no room in the ring: it never was
        self._last = buffer
        self.starts.append(len(self.data))
        self.data += data

    def follow(self, echo: bytes) -> bool:
        """Whether *echo* is of this stream, behind all that came before; if so, it has come."""
        end = self.at + len(echo)
        if self.data[self.at : end] != echo:
            end = self._find(echo)
        if end < 0:
            return False
        self.at = end
        return True

    def _find(self, echo: bytes) -> int:
        """The first place behind *echo* where something may be missing before it, and any buffer's end; or -1.

        Buffers that were reset away never reached the port, or in part, and so did bytes that came into a receive
        buffer which was reset away: so it begins anywhere, and goes on at the beginning of any later buffer.
        """
        data, starts = self.data, self.starts
        places = set(range(self.at, len(data)))
        for character in echo:
            if not places:
                return -1
            first = min(places)
            places.update([start for start in starts if start > first])
            places = {place + 1 for place in places if place < len(data) and data[place] == character}
        return min(places, default=-1)


def _heard(stream: _Stream, used: int, data: bytes) -> str:
    """Input of a port whose other side sends back what it gets, and says words of its own."""
    if used > len(data):
        return ""  # the ring's rules say what there is to say
    written = data[:used] if used >= 0 else data.rstrip(_PREFILL)  # 2.8.4: not every used descriptor has a length
    echo = bytes(character for character in written if character >= OWN)
    words = bytes(character for character in written if character < OWN)
    if words and words != own(words[0] - 1, len(words)):
        return "the other side's words came changed, or in another order"
    if not stream.follow(echo):
        return f"{len(echo)} characters came back that were not written, or not in this order"
    return ""
