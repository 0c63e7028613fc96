"""The qtest protocol: lines to a QEMU, a line back for each, interrupts in between.

Knows commands, replies and how long to wait for them. Must not know devices, or what memory is for.

Commands are collected and sent together, and what they answer is read only when somebody needs it: a
set-up of forty commands takes one system call, and a tenth of the time of one by one.
"""

from __future__ import annotations

import socket
import struct
import time

_CHUNK = 1 << 16
#: Commands that may lack their answer: a socket holds some 270 of QEMU's short writes, and once it is full QEMU does
#: nothing but wait for us to read.
UNREAD = 128
ENDED = "ended, or closed its qtest socket"


class QtestError(Exception):
    """One line about what went wrong, to be put behind the name of the target."""


class Closed(QtestError):
    """QEMU is gone."""


class Silent(QtestError):
    """What we wait for does not come: a reply, since QEMU's main loop hangs, or what a device must do in the end."""


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
        self._waiting: list[str] = []  # commands to send
        self._owed: list[str] = []  # commands sent and not answered, oldest first
        self._received = b""  # of a line that is not complete
        connection.setblocking(True)
        self.limit(seconds)

    def limit(self, seconds: float) -> None:
        """From now on a reply may take so long."""
        self._seconds = seconds
        # The kernel's own limit: with Python's, there would be a poll() before every call.
        span = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6) or 1)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._connection.setsockopt(socket.SOL_SOCKET, option, span)

    def close(self) -> None:
        """Close the connection. Never raises."""
        self._connection.close()

    def post(self, *commands: str) -> None:
        """Add *commands* to those that are sent next."""
        self._waiting.extend(commands)

    def flush(self) -> list[str]:
        """Send what was posted. Returns the answers that had to be read before there was room for more."""
        commands, self._waiting = self._waiting, []
        if self.log is not None:
            self.log.extend(commands)
        answers: list[str] = []
        while commands:
            if len(self._owed) + len(commands) > UNREAD and self._owed:
                answers += self._collect()
            self._send(commands[:UNREAD])
            commands = commands[UNREAD:]
        return answers

    def _send(self, commands: list[str]) -> None:
        self._owed += commands
        try:
            self._connection.sendall(("\n".join(commands) + "\n").encode())
        except BlockingIOError:
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
        return [*self.flush(), *self._collect()][-len(commands) :]

    def numbers(self, *commands: str) -> list[int]:
        """As ask(), for commands that answer with a number."""
        answers = self.ask(*commands)
        try:
            return [int(answer, 0) for answer in answers]
        except ValueError:
            raise Refused(f"answered {answers!r} to {commands!r}, where numbers are wanted") from None

    def ping(self) -> None:
        """Wait until QEMU's main loop has run: for answers that are owed, or else for that to an idle question."""
        if self._owed and not self._waiting:
            self._collect()
        else:
            self.ask("endianness")

    def read(self, address: int, size: int) -> bytes:
        """*size* bytes of guest memory."""
        answer = self.ask(f"read {address:#x} {size:#x}")[0]
        return bytes.fromhex(answer.removeprefix("0x"))

    def _collect(self) -> list[str]:
        """The answers to all commands that were sent."""
        owed = self._owed
        answers: list[str] = []
        refused = ""
        began = time.monotonic()
        try:
            while (had := len(answers)) < len(owed):
                for line in self._lines(owed[had], began):
                    if line.startswith("OK"):
                        answers.append(line[3:])
                    elif line.startswith("IRQ "):
                        self._interrupt(line)
                    else:  # and those behind it are read all the same, lest they be taken for others
                        command = owed[min(len(answers), len(owed) - 1)]
                        refused = refused or f"answered {line!r} to the qtest command {command!r}"
                        answers.append("")
                if len(answers) > had:
                    began = time.monotonic()
        finally:
            del owed[: len(answers)]  # even if the user interrupts us: somebody else may still have to reset the device
        self.replied = time.monotonic()
        if refused:
            raise Refused(refused)
        return answers

    def _lines(self, command: str, began: float) -> list[str]:
        """Lines that came, at least one; *command* is the one that waits for an answer since *began*."""
        late = f"does not answer {command!r} within {self._seconds:g} s: its main loop hangs"
        while time.monotonic() - began < self._seconds:
            try:
                data = self._connection.recv(_CHUNK)
            except BlockingIOError:
                raise Silent(late) from None
            except OSError:
                raise Closed(ENDED) from None
            if not data:
                raise Closed(ENDED)
            self._received += data
            whole, newline, rest = self._received.rpartition(b"\n")
            if newline:
                self._received = rest
                return whole.decode("ascii", "replace").replace("\r", "").split("\n")
        raise Silent(late)

    def _interrupt(self, line: str) -> None:
        _, what, number = line.split()[:3]
        if what == "raise":
            self.raised.add(int(number))
        else:
            self.raised.discard(int(number))
