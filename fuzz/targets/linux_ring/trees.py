"""Source trees of Linux: from what a user names to a folder with virtio_ring.c and the headers that go with it.

Knows folders, tarballs and the cache. Must not know compilers.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fuzz.targets import TargetError
from fuzz.targets.folders import UNFINISHED, Folder, sweep

if TYPE_CHECKING:
    import tarfile

DRIVER = "drivers/virtio/virtio_ring.c"
#: what of a tree is needed; scripts/install-targets unpacks the same
WANTED = re.compile(
    r"drivers/virtio/virtio_ring\.c|Makefile"
    r"|tools/virtio/(asm|generated|linux|uapi|xen)/.*\.h"
    r"|tools/include/(asm|asm-generic|linux|vdso|uapi/asm-generic|uapi/linux)/.*\.h"
    r"|include/linux/(byteorder/|compiler|container_of|irqreturn|kconfig|kern_levels|virtio|vringh).*\.h"
    r"|include/uapi/linux/virtio.*\.h"
)
_VERSION = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(\S*)$", re.MULTILINE)
_FROM = "make targets"


def cache() -> Path:
    """Our folder for what is made once and kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vqfuzz"


def installed() -> dict[str, Path]:
    """Trees that scripts/install-targets unpacked, by version such as ``6.12``, oldest first."""
    found = {path.parent.name: path.parent for path in (cache() / "linux").glob("*/.complete")}
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in re.findall(r"\d+", item[0])]))


def find(source: str) -> Path:
    """The tree that *source* names: a folder, a tarball (unpacked into the cache), or the name of an installed one.

    Raises TargetError that says what to mend.
    """
    if tree := installed().get(source):
        return tree
    path = Path(source).expanduser()
    if not source or not path.exists():
        have = ", ".join(installed()) or "none"
        raise TargetError(f"no Linux source {source!r}: name a tree, a tarball, or one installed by {_FROM}: {have}")
    tree = path if path.is_dir() else unpacked(path)
    for needed in (DRIVER, "tools/virtio/linux/kernel.h"):
        if not (tree / needed).is_file():
            raise TargetError(f"{source} has no {needed}: name an unpacked Linux source tree, or a tarball of one")
    return tree.resolve()


def unpacked(tarball: Path) -> Path:
    """What is needed of *tarball*, unpacked into the cache. Raises TargetError."""
    import tarfile

    about = tarball.stat()
    key = hashlib.sha256(f"{tarball.resolve()} {about.st_size} {about.st_mtime_ns}".encode()).hexdigest()[:16]
    place = cache() / "linux-unpacked" / key
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        sweep(place.parent, UNFINISHED)
        folder = Folder(place.parent, UNFINISHED)
        new = folder.path
        try:
            with tarfile.open(tarball, "r|*") as archive:
                for member in archive:
                    _unpack(archive, member, new)
            with suppress(OSError):  # somebody else unpacked it meanwhile
                new.rename(place)
        finally:
            folder.remove()
    except (OSError, EOFError, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TargetError(f"{tarball} can't be unpacked into {place.parent}: {reason}") from None
    return place


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """One member, if it is wanted: a plain file below the one folder that a tarball of Linux has."""
    name = member.name.removeprefix("./").partition("/")[2]
    if not member.isfile() or not WANTED.fullmatch(name) or ".." in name.split("/"):
        return
    file = archive.extractfile(member)
    assert file is not None  # it is a file
    target = place / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(file.read())


def version(tree: Path) -> str:
    """A tree's version as its Makefile says, such as ``7.3.4``; or ``of unknown version``."""
    try:
        parts = dict(_VERSION.findall((tree / "Makefile").read_text(encoding="utf-8", errors="replace")[:2000]))
        number = ".".join(parts[name] for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if parts[name])
        return f"{number}{parts.get('EXTRAVERSION', '')}"
    except (OSError, KeyError):
        return "of unknown version"
