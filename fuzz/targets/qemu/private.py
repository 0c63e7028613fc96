"""A QEMU whose memory we don't share: what the driver stores there goes over qtest, so that all of it is on record.

Knows in which order stores become commands, and when what was loaded is out of date. Must not know programs, rings,
or what becomes of the record.

The driver uses its memory as it always does. Its stores are kept, in order, and sent before any other command; a load
fetches what QEMU's memory holds by then. As QEMU can't write where we do, it is known of every change whose it is.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from fuzz.targets import TargetDied, TargetError, TargetHung
from fuzz.targets.qemu.behind import Behind
from fuzz.targets.qemu.machine import LANDING, START_SECONDS, WINDOW_SIZE, Machine
from fuzz.targets.qemu.qmp import Qmp
from fuzz.targets.qemu.qtest import Closed, Qtest, QtestError, Silent

SESSION = "# session"
"""The line of the record with which a session begins."""

_FRESH = 0.0005  # seconds for which what was fetched will do, if nothing was sent since
_LAST_BREATH = 2.0  # seconds that a QEMU may take to end after its sockets closed
_QUESTIONS = ("read", "in", "b64read", "endianness")


class Private(Machine):
    """A machine with a record. ``log``: every qtest command that was sent since QEMU was started, but for questions and
    what is written only to ask them; monitor commands as JSON; notes, which begin with ``#``."""

    def __init__(self, qemu: list[str], device: str, given: Mapping[str, str], behind: Behind) -> None:
        super().__init__(qemu, device, given, behind)
        self.log: list[str] = []
        self._window: Window
        self._recorded: _Qtest

    def converse(self, qtest: socket.socket, qmp: socket.socket) -> None:
        """Talk to the QEMU that was started, and put it on record."""
        self.log = []
        self._window = Window(WINDOW_SIZE, self.address, self.read)
        self._recorded = recorded = _Qtest(qtest, self._window)
        self.qtest, self.qmp = recorded, _Qmp(qmp, recorded)
        self.qtest.log = self.qmp.log = self.log

    @property
    def asked(self) -> str:
        """The last question."""
        return self._recorded.asked

    def interrupts(self) -> str:
        """The question that shared interrupts are read with; where that clears them, it is on record from now on."""
        self.transport.interrupts()
        if not self.micro:
            self._recorded.clears = self.asked
        return self.asked

    def note(self, text: str) -> None:
        """Send what was stored, and put a line on record."""
        with self._talking():
            self.qtest.post()
            self.qtest.flush()
        self.log.append(f"# {text}")

    def window(self) -> memoryview:
        """What a session takes for shared memory."""
        self.log.append(SESSION)
        return cast("memoryview", self._window)

    def memory(self) -> bytes:
        """What a session saw there when it looked last."""
        return self._window.seen()

    def landing(self) -> memoryview:
        """The words that interrupts write, read when they are looked at."""
        return cast("memoryview", _Landing(self))

    def read(self, address: int, size: int) -> bytes:
        """Guest memory."""
        with self._talking():
            return self.qtest.read(address, size)

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Loads happen where nobody expects that QEMU may be gone: say it as a session does."""
        try:
            yield
        except Silent as error:
            raise TargetHung(f"{self.device} {error}") from None
        except Closed as error:
            end = self.obituary(_LAST_BREATH)
            raise TargetDied(f"{self.device} ended: {end}" if end else f"{self.device} {error}") from None
        except QtestError as error:
            raise TargetError(f"{self.device} {error}") from None


class Window:
    """As much of a memoryview as drivers use. *read*: fetches guest memory; ``address``: of offset 0."""

    def __init__(self, size: int, address: int, read: Callable[[int, int], bytes]) -> None:
        self.address = address
        self.stale = True  # something was sent since: what was fetched is older than what came of that
        self._read = read
        self._memory = bytearray(size)  # as the driver sees it
        self._stores: list[tuple[int, bytes]] = []  # that QEMU doesn't have, in order
        self._top = 0  # above which nothing was ever stored
        self._fetched = 0.0

    def __len__(self) -> int:
        return len(self._memory)

    def __getitem__(self, place: slice) -> memoryview:
        self.refresh()
        return memoryview(self._memory)[place]

    def __setitem__(self, place: slice, data: bytes) -> None:
        self.store(place.indices(len(self._memory))[0], bytes(data))

    def cast(self, code: str) -> Words:
        """The same as 16-bit words, whatever *code* says."""
        return Words(self)

    def release(self) -> None:
        """It is ours, and stays."""

    def seen(self) -> bytes:
        """All that was ever stored to, as the driver saw it last."""
        return bytes(self._memory[: self._top])

    def store(self, at: int, data: bytes) -> None:
        """Remember a store."""
        self._memory[at : at + len(data)] = data
        self._stores.append((at, data))
        self._top = max(self._top, at + len(data))

    def commands(self) -> list[str]:
        """Commands for all stores that QEMU doesn't have."""
        stores, self._stores = self._stores, []
        return [_write(self.address + at, data) for at, data in stores if data]

    def refresh(self) -> None:
        """See what QEMU's memory holds now, all that was stored included."""
        if not self._top:
            return
        if self._stores or self.stale or time.monotonic() - self._fetched > _FRESH:
            self._memory[: self._top] = self._read(self.address, self._top)
            self._fetched, self.stale = time.monotonic(), False


class Words:
    """A window as 16-bit words, which the other side may poll."""

    def __init__(self, window: Window) -> None:
        self._window = window

    def __getitem__(self, place: int) -> int:
        return int.from_bytes(self._window[2 * place : 2 * place + 2], "little")

    def __setitem__(self, place: int, value: int) -> None:
        self._window.store(2 * place, value.to_bytes(2, "little"))


class _Landing:
    """The words that interrupts write."""

    def __init__(self, machine: Private) -> None:
        self._machine = machine

    def __getitem__(self, place: int) -> int:
        return int.from_bytes(self._machine.read(LANDING + 4 * place, 4), "little")

    def __setitem__(self, place: int | slice, value: int | memoryview) -> None:
        first = place if isinstance(place, int) else 0
        wanted = [value] if isinstance(value, int) else value.tolist()
        found = memoryview(self._machine.read(LANDING + 4 * first, 4 * len(wanted))).cast("I")
        for at, (old, new) in enumerate(zip(found, wanted, strict=True), first):
            if old != new:
                self._machine.qtest.post(f"writel {LANDING + 4 * at:#x} {new:#x}")

    def release(self) -> None:
        """Nothing is kept."""


class _Qtest(Qtest):
    """Stores go before every command; questions are not on record."""

    def __init__(self, connection: socket.socket, window: Window) -> None:
        super().__init__(connection, START_SECONDS)
        self.window = window
        self.asked = ""
        self.clears = ""  # a question that changes what it asks for

    def post(self, *commands: str) -> None:
        """Add *commands* to those that are sent next, and whatever was stored before them."""
        super().post(*self.window.commands(), *commands)
        if commands:  # a question, too: who hears of an interrupt must see what it was for
            self.window.stale = True

    def ask(self, *commands: str) -> list[str]:
        """As it was; what is written only to ask something is no more on record than the question."""
        if not _asks(commands):
            return super().ask(*commands)
        self.post()
        self.flush()
        self.asked = commands[-1]
        log, self.log = self.log, None
        try:
            answers = super().ask(*commands)
        finally:
            self.log = log
        if log is not None and commands == (self.clears,) and int(answers[0], 0):
            log.append(self.clears)
        return answers


class _Qmp(Qmp):
    """A monitor that is spoken to when all qtest commands before were answered."""

    def __init__(self, connection: socket.socket, qtest: _Qtest) -> None:
        super().__init__(connection)
        self._qtest = qtest

    def execute(self, command: str, **arguments: object) -> object:
        """What *command* returns."""
        self._qtest.post()
        self._qtest.settle()
        self._qtest.window.stale = True
        return super().execute(command, **arguments)


def _asks(commands: tuple[str, ...]) -> bool:
    return any(command.startswith(_QUESTIONS) for command in commands)


def _write(address: int, data: bytes) -> str:
    if len(data) == 2:
        return f"writew {address:#x} {int.from_bytes(data, 'little'):#x}"
    return f"write {address:#x} {len(data):#x} 0x{data.hex()}"
