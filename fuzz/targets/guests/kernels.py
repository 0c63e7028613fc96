"""Kernels for guests: what scripts/install-targets put into the cache, and what a user names instead.

Knows the cache and names. Must not know how a kernel is run.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from fuzz.targets import TargetError

UML = "uml"
_FROM = "scripts/install-targets --linux-guests"
_IMAGES = ("vmlinuz", "linux.uml")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that can be run: its image, the folder of its modules, and what it calls itself."""

    name: str
    image: Path
    modules: Path
    version: str


def cache() -> Path:
    """Our folder for what is made once and kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vqfuzz"


def installed() -> dict[str, Kernel]:
    """By name, such as ``6.12`` and ``uml``, oldest first."""
    found: dict[str, Kernel] = {}
    for stamp in sorted((cache() / "guests").glob("*/.complete"), key=lambda path: _numbers(path.parent.name)):
        folder = stamp.parent
        image = next((folder / name for name in _IMAGES if (folder / name).is_file()), None)
        if image is not None:
            version = stamp.read_text(encoding="utf-8").strip()
            found[folder.name] = Kernel(folder.name, image, folder / "modules", version)
    return found


def _numbers(name: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", name)]


def find(words: str, modules: str = "") -> Kernel:
    """The kernel of ``qemu-guest:``: the newest installed one whose version begins so, or the image at a path.

    *modules*: the folder where an image's modules are, if that is not ``modules`` beside it. Raises TargetError.
    """
    have = {name: kernel for name, kernel in installed().items() if name != UML}
    fitting = [name for name in have if not words or name == words or name.startswith(f"{words}.")]
    if fitting and not modules:
        return have[fitting[-1]]
    path = Path(words).expanduser()
    if not words or not path.is_file():
        known = ", ".join(have) or "none"
        raise TargetError(f"no kernel {words!r}: name an image, or a version installed by {_FROM}: {known}")
    return _named(path, modules)


def find_uml(words: str, modules: str = "") -> Kernel:
    """The program of ``uml:``: the installed one if nothing is named. Raises TargetError."""
    if not words:
        kernel = installed().get(UML)
        if kernel is None:
            raise TargetError(f"user-mode Linux is not installed ({_FROM}): or name its program, as in uml:linux.uml")
        return kernel if not modules else _named(kernel.image, modules)
    path = which(words) or which(str(Path(words).expanduser()))
    if path is None:
        raise TargetError(f"{words} is no program: name user-mode Linux, or none for the installed one")
    return _named(Path(path), modules)


def _named(image: Path, modules: str) -> Kernel:
    folder = Path(modules).expanduser() if modules else image.parent / "modules"
    if modules and not folder.is_dir():
        raise TargetError(f"{modules} is no folder with modules")
    return Kernel(str(image), image.resolve(), folder, f"of {image}")


def sid_usr() -> str:
    """The /usr of Debian sid, where it is unpacked; ''."""
    root = cache() / "sid"
    return str(root / "usr") if (root / ".complete").exists() else ""
