"""Temporary folders of ours, each locked by the process that works in it: so what a killed one left can be told.

A lock ends with its process, however that ends, and binds to no number that another process may get later. Knows
folders. Must not know what lies in them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

RUN = "vqfuzz-run-"
"""What a temporary folder of a target is called, with eight letters behind it."""
UNFINISHED = "unfinished-"
"""What is on its way into a cache."""
_NEW = "new-"  # in the name while the lock is not taken yet
_TRIES = 100  # folders made, should each be swept before it is locked


class Folder:
    """A new folder in *base* whose name begins with *prefix*; ours until remove() or keep_as(). Raises OSError."""

    def __init__(self, base: str | Path, prefix: str) -> None:
        for _ in range(_TRIES):
            made = tempfile.mkdtemp(prefix=prefix + _NEW, dir=base)
            self.path = Path(base, prefix + os.path.basename(made).removeprefix(prefix + _NEW))
            with suppress(FileNotFoundError):  # somebody swept it before it was locked
                self._take(made)
                return
        raise OSError(f"every folder in {base} is removed at once")

    def _take(self, made: str) -> None:
        """Lock it, then give it its name. Raises OSError."""
        self._lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # a file system without locks: then nobody sweeps this folder
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            os.rename(made, self.path)
        except BaseException:
            os.close(self._lock)
            shutil.rmtree(made, ignore_errors=True)
            raise

    def keep_as(self, place: Path) -> None:
        """Call it *place*: all of it appears there at once, on disk too. Raises OSError."""
        os.fsync(self._lock)
        os.chmod(self.path, 0o755)
        os.rename(self.path, place)
        self._release()
        sync(place.parent)

    def remove(self) -> None:
        """Away with it. Never raises; may be called twice, and after keep_as()."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            self._release()

    def _release(self) -> None:
        os.close(self._lock)
        self._lock = -1


def sync(folder: Path) -> None:
    """What names there are in *folder* is on disk from here on. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(base: str | Path, prefix: str) -> int:
    """Remove the folders that processes which are gone left in *base*; how many. Never raises."""
    count = 0
    with suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    count += _removed(entry, entry.name.startswith(prefix + _NEW))
    return count


def _removed(entry: os.DirEntry[str], never_locked: bool) -> bool:
    """Remove a folder if it is ours and nobody has it locked. Raises OSError."""
    about = entry.stat(follow_symlinks=False)
    if about.st_uid != os.geteuid():
        return False
    descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if its process lives
        if never_locked:
            os.rmdir(entry.path)
        else:
            shutil.rmtree(entry.path)
    finally:
        os.close(descriptor)
    return True
