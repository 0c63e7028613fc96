"""The line that tells how far a command is: rewritten in place on a terminal, now and then a new line elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

OFTEN, SELDOM = 0.2, 5.0
"""Seconds between two states shown: on a terminal, and elsewhere."""


class Status:
    """Shows states on *stream* (stderr), which must not be mixed up with results."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.terminal = self.stream.isatty()
        self._last = time.monotonic() - (OFTEN if self.terminal else 0)
        self._shown = False

    def due(self, now: float) -> bool:
        """Whether it is time for another state."""
        return now - self._last >= (OFTEN if self.terminal else SELDOM)

    def show(self, text: str, force: bool = False) -> None:
        """Show *text* if it is time, or if *force* says that it must be told."""
        now = time.monotonic()
        if self.quiet or not (force or self.due(now)):
            return
        self._last = now
        if self.terminal:
            width = shutil.get_terminal_size().columns
            self.stream.write(f"\r\x1b[K{text[: width - 1]}")
        else:
            self.stream.write(text + "\n")
        self._shown = self.terminal
        self.stream.flush()

    def clear(self) -> None:
        """Take the line away, so that results can be printed."""
        if self._shown:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
            self._shown = False


def duration(seconds: float) -> str:
    """A time for people: 0.8 s, 12 s, 3 min 05 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02} s"


def counted(number: int, what: str) -> str:
    """So many of something: 1 program, 2 programs."""
    return f"{number} {what}" + ("" if number == 1 else "s")
