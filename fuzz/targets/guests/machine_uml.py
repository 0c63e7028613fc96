"""The target ``uml:BINARY``: user-mode Linux, a kernel that is a process. Its driver of vhost-user devices is its own.

Knows its command line. Must not know rings, nor programs.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from fuzz.targets import TargetError
from fuzz.targets.guests import kernels
from fuzz.targets.guests.guest import KINDS, Guest
from fuzz.targets.guests.target import GuestTarget, options, target
from fuzz.targets.served.machine import Slot

NAME = "uml"
SIZE = 256  # of its virtqueues, whatever is asked for
ENTER = Path(__file__).parent / "enter.py"
_MEMORY = "64M"
_SYMBOLS = re.compile(rb"GLIBC_(\d+)\.(\d+)")  # versions of the C library that a program asks for
_STARTING = 60.0  # seconds, on a busy machine


def usr_for(image: Path) -> str:
    """Whose /usr *image* needs: '' for this machine's, else sid's, whose C library is newer. Raises TargetError."""
    text = platform.libc_ver()[1]
    have = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    try:
        needed = max(((int(one[1]), int(one[2])) for one in _SYMBOLS.finditer(image.read_bytes())), default=(0, 0))
    except OSError as error:
        raise TargetError(f"{image} can't be read: {error.strerror}") from None
    if have >= needed:
        return ""
    usr = kernels.sid_usr()
    if not usr:
        raise TargetError(
            f"{image.name} needs glibc {needed[0]}.{needed[1]}, and here is {text or 'none'}: "
            "install sid's (scripts/install-targets --sid)"
        )
    return usr


class Uml(Guest):
    """One user-mode Linux."""

    name = NAME

    def words_of(self, slots: Sequence[Slot]) -> tuple[list[str], dict[str, str]]:
        """In namespaces of its own: it starts processes that don't end with it."""
        words = [
            sys.executable, "-I", str(ENTER), usr_for(self.kernel.image), str(self.kernel.image), f"mem={_MEMORY}",
            "initrd={folder}/initrd", "uml_dir={folder}", "con=null", "con0=fd:0,fd:1", "ssl=null",
            "ssl0=fd:{in},fd:{out}", "vqfuzz_tty=/dev/ttyS0", *self.append,
            *(f"virtio_uml.device={slot.socket}:{KINDS[slot.kind]}" for slot in slots),
        ]  # fmt: skip
        shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "{folder}"
        return words, {"TMPDIR": shared}  # its memory, which it shares with us, is a file there


def make(words: str) -> GuestTarget:
    """The target that ``uml:[BINARY][,modules=DIR][,kind=KIND][,warn=panic]`` names. Raises TargetError."""
    named, chosen = options(words, ("modules", "kind", "warn"))
    kernel = kernels.find_uml(named, chosen.get("modules", ""))
    kind = chosen.get("kind", "blk")
    facts = {"kernel": kernel.version, "image": str(kernel.image)}
    return target(words, kind, SIZE, _STARTING, lambda: Uml(kernel, kind, "warn" in chosen), lambda: facts)


def available() -> str:
    """'' if it can be used, else what is missing."""
    try:
        usr_for(kernels.find_uml("").image)
    except TargetError as error:
        return str(error)
    return ""
