"""QEMU's monitor protocol: commands as JSON lines, events in between.

Knows QMP. Must not know what any command is for.
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from typing import Any

from fuzz.targets import TargetError
from fuzz.targets.qemu.qtest import Closed, Silent

_EVENTS = 64


class Qmp:
    """A monitor on *connection*, which it closes. *seconds*: how long an answer may take.

    Methods raise TargetError with QEMU's words if it refuses a command, Closed or Silent as qtest does.
    ``log`` keeps every command while it is a list.
    """

    def __init__(self, connection: socket.socket, seconds: float = 5.0) -> None:
        self.log: list[str] | None = None
        self.events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)  # the newest ones
        self._connection = connection
        self._seconds = seconds
        self._received = bytearray()
        self._ready = False

    def execute(self, command: str, **arguments: object) -> object:
        """What *command* returns; an underscore in an argument's name stands for a hyphen."""
        if not self._ready:
            self._ready = True
            self._say({"execute": "qmp_capabilities"})
        message: dict[str, object] = {"execute": command}
        if arguments:
            message["arguments"] = {name.replace("_", "-"): value for name, value in arguments.items()}
        if self.log is not None:
            self.log.append(json.dumps(message))
        return self._say(message)

    def human(self, line: str) -> str:
        """What the human monitor prints for *line*."""
        return str(self.execute("human-monitor-command", command_line=line))

    def close(self) -> None:
        """Close the connection. Never raises."""
        self._connection.close()

    def _say(self, message: dict[str, object]) -> object:
        deadline = time.monotonic() + self._seconds
        name = message["execute"]
        try:
            self._connection.settimeout(self._seconds)
            self._connection.sendall(json.dumps(message).encode() + b"\n")
            while True:
                answer = self._line(deadline)
                if "event" in answer:
                    self.events.append(answer)
                elif "error" in answer:
                    raise TargetError(f"QEMU refuses {name}: {answer['error'].get('desc', 'no reason given')}")
                elif "return" in answer:
                    return answer["return"]
        except TimeoutError:
            raise Silent(f"does not answer the monitor command {name} within {self._seconds:g} s") from None
        except OSError:
            raise Closed("ended, or closed its monitor socket") from None

    def _line(self, deadline: float) -> dict[str, Any]:
        received = self._received
        while (end := received.find(b"\n")) < 0:
            self._connection.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._connection.recv(1 << 16)
            if not data:
                raise Closed("ended, or closed its monitor socket")
            received += data
        line = bytes(received[:end])
        del received[: end + 1]
        try:
            found = json.loads(line)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
