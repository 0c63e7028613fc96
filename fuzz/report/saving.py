"""Reports as files: whole, or as they were before."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from fuzz.trouble import EnvironmentTrouble, reason


def check_place(path: Path) -> None:
    """See that *path* can be written later, and leave nothing there. Raises EnvironmentTrouble."""
    if path.is_dir():
        raise EnvironmentTrouble(f"{path} can't be written: it is a folder; name a file")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(descriptor)
        os.unlink(name)
    except OSError as error:
        raise EnvironmentTrouble(f"{path} can't be written: {reason(error)}") from None


def put(path: Path, text: str) -> None:
    """Write *text* to *path* by way of a file beside it. Raises EnvironmentTrouble, and then *path* is as it was."""
    check_place(path)
    name = ""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise EnvironmentTrouble(f"{path} can't be written: {reason(error)}") from None
    finally:
        if name:
            with suppress(OSError):
                os.unlink(name)
