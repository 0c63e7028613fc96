"""virtio-console (5.3) for drivers: one port, which is announced and opened over the control queues.

The port is none for a console, so that nothing echoes what it gets. Knows control messages.
"""

from __future__ import annotations

import struct
from collections import deque

from fuzz.targets.served.kinds import MARK, lines, whole

RX, TX, CONTROL_RX, CONTROL_TX = 0, 1, 2, 3
_MULTIPORT = 1 << 1
_CONTROL = struct.Struct("<IHH")  # id, event, value
_DEVICE_READY, _DEVICE_ADD, _PORT_READY, _PORT_OPEN, _PORT_NAME = 0, 1, 3, 6, 7
NAME = b"vqfuzz"
_FIRST = 8


class Device:
    """A console device with port 0."""

    name = "console"
    queues = 4
    features = _MULTIPORT
    config = struct.pack("<HHII", 80, 25, 1, 0)
    about: tuple[int, ...] = (TX, RX)
    gives: tuple[int, ...] = (RX,)

    def __init__(self) -> None:
        self.pending: deque[bytes] = deque()  # control messages for the driver
        self.due = 0  # texts to send: as many as came, so that neither side floods the other

    def fill(self, queue: int, number: int, readable: bytes, room: int, length: int | None) -> bytes:
        """Lines of text into a buffer of the port's receive queue."""
        if queue == TX:
            self.due += 1
        return lines(number, whole(length, room)) if queue == RX and room else b""

    def answer(self, queue: int, number: int, readable: bytes, room: int) -> bytes | None:
        """Take what is said, answer control messages; a text goes out for each that came, some as the port opens."""
        if queue == CONTROL_RX:
            return self.pending.popleft()[:room] if self.pending else None
        if queue == CONTROL_TX:
            self.control(readable)
        if queue == RX and self.due:
            self.due -= 1
            return lines(number, min(room, MARK))
        if queue == TX:
            self.due += 1
        return None if queue == RX else b""

    def control(self, message: bytes) -> None:
        """What a control message of the driver makes us say (5.3.6.2)."""
        if len(message) < _CONTROL.size:
            return
        _, event, value = _CONTROL.unpack_from(message)
        if event == _PORT_OPEN:  # somebody listens, or nobody does any more
            self.due = _FIRST * (value == 1)
        elif event == _DEVICE_READY and value == 1:
            self.pending.append(_CONTROL.pack(0, _DEVICE_ADD, 1))
        elif event == _PORT_READY and value == 1:
            self.pending.append(_CONTROL.pack(0, _PORT_NAME, 1) + NAME)
            self.pending.append(_CONTROL.pack(0, _PORT_OPEN, 1))

    def traces(self, queue: int, data: bytes) -> list[bytes]:
        """Every 16 bytes of text."""
        return [data[at : at + MARK] for at in range(0, len(data), MARK)] if queue == RX else []

    def speaks(self, queue: int) -> bool:
        """A driver that comes up is never kept waiting."""
        return True

    def wanted(self, queue: int, tag: int) -> bytes:
        """Nobody asks for anything in particular."""
        return b""
