"""What ends a command early, and with which exit code (DESIGN section 8)."""

from __future__ import annotations

import sys
from pathlib import Path

CONFORMS, FOUND, USAGE, TARGET, UNCLEAR, INTERRUPTED = 0, 1, 2, 3, 4, 130


class UsageTrouble(Exception):
    """Wrong usage or unreadable input: one line that names what, where and the mend. Exit code 2."""


class EnvironmentTrouble(Exception):
    """Something around us can't be used, such as the folder for finds. One line. Exit code 3."""


def readable(path: str, what: str) -> str:
    """The text of the file *path*. Raises UsageTrouble, which calls it *what*."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError:
        raise UsageTrouble(f"{path} is not text, so it is no {what}") from None
    except OSError as error:
        raise UsageTrouble(f"{path} can't be read: {reason(error)}; name a {what}") from None


def deliver(text: str, out: Path | None) -> None:
    """Write *text* to the file *out*, or to standard output. Raises EnvironmentTrouble."""
    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentTrouble(f"{out} can't be written: {reason(error)}") from None


def reason(error: OSError) -> str:
    """Why the system refused, in lower case."""
    return (error.strerror or str(error)).lower()
