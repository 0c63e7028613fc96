"""The qtest protocol: lines to a QEMU, a line back for each, interrupts in between.

Knows commands, replies and how long to wait for them. Must not know devices, or what memory is for.

Commands are collected and sent together, and what they answer is read only when somebody needs it: a
set-up of forty commands takes one system call, and a tenth of the time of one by one.
"""

from __future__ import annotations

import socket
import time

_CHUNK = 1 << 16
ENDED = "ended, or closed its qtest socket"


class QtestError(Exception):
    """One line about what went wrong, to be put behind the name of the target."""


class Closed(QtestError):
    """QEMU is gone."""


class Silent(QtestError):
    """No reply for as long as we wait: QEMU's main loop hangs."""


class Refused(QtestError):
    """QEMU answered FAIL."""


class Qtest:
    """A conversation over *connection*, which it closes. *seconds*: how long a reply may take.

    ``log`` keeps every command while it is a list. All methods that send or wait raise a QtestError.
    """

    def __init__(self, connection: socket.socket, seconds: float = 5.0) -> None:
        self.log: list[str] | None = None
        self.replied = 0.0  # when the last reply came
        self.raised: set[int] = set()  # intercepted interrupt lines that are up
        self._connection = connection
        self._seconds = seconds
        self._waiting: list[str] = []  # commands to send
        self._owed: list[str] = []  # commands sent and not answered, oldest first
        self._received = bytearray()
        connection.setblocking(True)

    def limit(self, seconds: float) -> None:
        """From now on a reply may take so long."""
        self._seconds = seconds

    def close(self) -> None:
        """Close the connection. Never raises."""
        self._connection.close()

    def post(self, *commands: str) -> None:
        """Add *commands* to those that are sent next."""
        self._waiting.extend(commands)

    def flush(self) -> None:
        """Send what was posted."""
        commands = self._waiting
        if not commands:
            return
        self._waiting = []
        if self.log is not None:
            self.log.extend(commands)
        if len(self._owed) > 1000:  # or QEMU could block on us while we block on it
            self._collect()
        self._owed += commands
        try:
            self._connection.settimeout(self._seconds)
            self._connection.sendall(("\n".join(commands) + "\n").encode())
        except TimeoutError:
            raise Silent(f"takes no command for {self._seconds:g} s: its main loop hangs") from None
        except OSError:
            raise Closed(ENDED) from None

    def settle(self) -> None:
        """Send what was posted and wait for all replies."""
        self.flush()
        self._collect()

    def ask(self, *commands: str) -> list[str]:
        """Send *commands* behind what was posted; what each of them answered, without OK."""
        self.post(*commands)
        self.flush()
        return self._collect()[-len(commands) :]

    def numbers(self, *commands: str) -> list[int]:
        """As ask(), for commands that answer with a number."""
        return [int(answer, 0) for answer in self.ask(*commands)]

    def ping(self) -> None:
        """A round trip that changes nothing; QEMU's main loop has run in between."""
        self.ask("endianness")

    def read(self, address: int, size: int) -> bytes:
        """*size* bytes of guest memory."""
        answer = self.ask(f"read {address:#x} {size:#x}")[0]
        return bytes.fromhex(answer.removeprefix("0x"))

    def _collect(self) -> list[str]:
        """The answers to all commands that were sent."""
        answers = []
        deadline = 0.0
        received = self._received
        for command in self._owed:
            while True:
                end = received.find(b"\n")
                if end < 0:
                    deadline = deadline or time.monotonic() + self._seconds
                    self._receive(command, deadline)
                    continue
                line = received[:end].decode("ascii", "replace").rstrip()
                del received[: end + 1]
                if not line.startswith("IRQ "):
                    break
                self._interrupt(line)
            word, _, answer = line.partition(" ")
            if word != "OK":
                self._owed = []
                raise Refused(f"answered {line!r} to the qtest command {command!r}")
            answers.append(answer)
        self._owed = []
        self.replied = time.monotonic()
        return answers

    def _receive(self, command: str, deadline: float) -> None:
        try:
            self._connection.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._connection.recv(_CHUNK)
        except TimeoutError:
            raise Silent(f"does not answer {command!r} within {self._seconds:g} s: its main loop hangs") from None
        except OSError:
            raise Closed(ENDED) from None
        if not data:
            raise Closed(ENDED)
        self._received += data

    def _interrupt(self, line: str) -> None:
        _, what, number = line.split()[:3]
        if what == "raise":
            self.raised.add(int(number))
        else:
            self.raised.discard(int(number))
