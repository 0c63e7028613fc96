"""A report as a file: whole, or as it was before.

Knows paths. Must not know what stands in a report.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from fuzz.trouble import EnvironmentTrouble, reason


def _special(path: Path) -> bool:
    """Whether it is a pipe, a terminal and the like: nothing to be replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def writable(path: Path) -> None:
    """See that *path* can be written later, and leave nothing there. Raises EnvironmentTrouble: one line."""
    if path.is_dir():
        raise EnvironmentTrouble(f"{path} can't be written: it is a folder; name a file in it")
    if _special(path):
        return
    try:
        descriptor, name = _beside(Path(os.path.realpath(path)))
        os.close(descriptor)
        os.unlink(name)
    except OSError as error:
        raise EnvironmentTrouble(f"{path} can't be written: {reason(error)}; name another file") from None


def write(path: Path, text: str) -> None:
    """Write *text* to *path* by way of a file beside it. Raises EnvironmentTrouble, and then *path* is as it was."""
    writable(path)
    name = ""
    try:
        if _special(path):
            path.write_text(text, encoding="utf-8", errors="replace")
            return
        whole = os.path.realpath(path)  # a link stays one
        descriptor, name = _beside(Path(whole))
        with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, whole)
    except OSError as error:
        raise EnvironmentTrouble(f"{path} can't be written: {reason(error)}") from None
    finally:
        if name:
            with suppress(OSError):
                os.unlink(name)


def _beside(path: Path) -> tuple[int, str]:
    return tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
