"""Reports as files: each written whole or not at all, and refused before the run if it can't be.

Knows paths. Must not know what stands in a report.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from fuzz.trouble import EnvironmentTrouble, reason


def writable(path: Path) -> None:
    """See that a report can be written to *path*, and leave nothing there. Raises EnvironmentTrouble: one line.

    To be called before the run. Folders that are missing will be made by write().
    """
    if _is_special(path):
        if not os.access(path, os.W_OK):
            raise EnvironmentTrouble(f"{path} can't be written: permission denied; name another file")
        return
    place = Path(os.path.realpath(path)).parent
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        probe = _beside(place / path.name)
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        probe.unlink()
    except OSError as error:
        raise EnvironmentTrouble(f"{path} can't be written: {reason(error)}; name another file") from None


def write(path: Path, text: str) -> None:
    """Put *text* into the file *path*: all of it, or what was there before stays. Raises EnvironmentTrouble.

    What is no plain file (a pipe, /dev/stdout) can't be replaced, and is written to.
    """
    try:
        if _is_special(path):
            # "a": what standard output has already is not cut off
            with open(path, "a", encoding="utf-8", errors="replace") as file:
                file.write(text)
            return
        whole = Path(os.path.realpath(path))  # a link stays one
        whole.parent.mkdir(parents=True, exist_ok=True)
        _replace(whole, text)
    except OSError as error:
        raise EnvironmentTrouble(f"{path} can't be written: {reason(error)}") from None


def append(path: Path, text: str) -> None:
    """Add *text* to the file *path*, as GITHUB_STEP_SUMMARY wants it. Raises EnvironmentTrouble."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise EnvironmentTrouble(f"{path} can't be written: {reason(error)}") from None


def _replace(whole: Path, text: str) -> None:
    hidden = _beside(whole)
    try:
        with open(hidden, "x", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(hidden, whole)
    except BaseException:  # also Ctrl-C: nothing half-written is left
        with suppress(OSError):
            hidden.unlink(missing_ok=True)
        raise


def _beside(path: Path) -> Path:
    """A name that nobody else uses, in the same folder: only there os.replace() is one step."""
    return path.with_name(f".{path.name[:200]}.{os.getpid()}.new")


def _is_special(path: Path) -> bool:
    """Whether *path* exists and is neither a plain file nor a folder, or may be standard output."""
    if path.absolute().is_relative_to("/dev"):
        return path.exists() and not path.is_dir()
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
