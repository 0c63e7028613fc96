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

from fuzz.program import Limits
from fuzz.targets import TargetError
from fuzz.targets.guests import kernels
from fuzz.targets.guests.guest import APPEND, KINDS, Guest
from fuzz.targets.served.machine import Slot
from fuzz.targets.served.target import ServedTarget

NAME = "uml"
SIZE = 256  # of its virtqueues, whatever is asked for
_ENTER = Path(__file__).parent / "enter.py"
_MEMORY = "64M"
_GLIBC = (2, 38)  # that Debian's is linked against
_STARTING = 60.0  # seconds, on a busy machine


def usr_for(image: Path) -> str:
    """Whose /usr *image* needs: '' for this machine's, else sid's. Raises TargetError."""
    text = platform.libc_ver()[1]
    have = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    if have >= _GLIBC:
        return ""
    usr = kernels.sid_usr()
    if not usr:
        raise TargetError(
            f"{image.name} needs glibc {_GLIBC[0]}.{_GLIBC[1]}, and here is {text or 'none'}: "
            "install sid's (scripts/install-targets --sid)"
        )
    return usr


class Uml(Guest):
    """One user-mode Linux."""

    name = NAME

    def words_of(self, slots: Sequence[Slot], channel: str) -> tuple[list[str], dict[str, str]]:
        """In namespaces of its own: it starts processes that don't end with it."""
        line = f"fd:{channel},fd:{channel}"
        words = [
            sys.executable, "-I", str(_ENTER), usr_for(self.kernel.image), str(self.kernel.image), f"mem={_MEMORY}",
            "initrd={folder}/initrd", "uml_dir={folder}", "con=null", "con0=fd:0,fd:1", "ssl=null", f"ssl0={line}",
            "vqfuzz_tty=/dev/ttyS0", *APPEND,
            *(f"virtio_uml.device={slot.socket}:{KINDS[slot.kind]}" for slot in slots),
        ]  # fmt: skip
        shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "{folder}"
        return words, {"TMPDIR": shared}  # its memory, which it shares with us, is a file there


def limits(size: int) -> Limits:
    """What may be drawn for a guest with queues of this size: we use its buffers, as it pleases."""
    return Limits(
        role="device",
        features=0,
        split_sizes=(size,),
        packed_sizes=(size,),
        actions=frozenset({"passive"}),
        longest_element=1 << 16,
        steps=60,
    )


def options(words: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """What stands before the first comma, and the options behind it. Raises TargetError."""
    named, *rest = words.partition(":")[2].split(",")
    found: dict[str, str] = {}
    for one in rest:
        name, _, value = one.partition("=")
        if name not in known or not value:
            raise TargetError(f"{words.partition(':')[0]} has no option {one!r}: {', '.join(known)}")
        found[name] = value
    if found.get("kind", "blk") not in KINDS:
        raise TargetError(f"kind={found['kind']}: there are {', '.join(KINDS)}")
    return named, found


def make(words: str) -> ServedTarget:
    """The target that ``uml:[BINARY][,modules=DIR][,kind=KIND]`` names. Raises TargetError."""
    named, chosen = options(words, ("modules", "kind"))
    kernel = kernels.find_uml(named, chosen.get("modules", ""))
    kind = chosen.get("kind", "blk")
    return ServedTarget(
        words, lambda: Uml(kernel, kind), kind, limits(SIZE), most=32, starting=_STARTING,
        facts=lambda: {"kernel": kernel.version, "image": str(kernel.image)},
    )  # fmt: skip


def available() -> str:
    """'' if it can be used, else what is missing."""
    try:
        usr_for(kernels.find_uml("").image)
    except TargetError as error:
        return str(error)
    return ""
