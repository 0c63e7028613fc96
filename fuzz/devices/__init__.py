"""Device classes: what a device understands, its requests as bytes and its answers as data.

A class knows nothing of rings, descriptors or targets: it says which bytes the device may read, how
many it may write, and whether what it wrote is right. How the bytes are cut into elements is the
program's business, and must not matter (2.7.4.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from fuzz.choices import Choices
from fuzz.program import Limits, Request


def accept(used: int, data: bytes) -> str:
    """An answer about which nothing can be said."""
    return ""


def complete() -> str:
    """An answer that has no part in another buffer."""
    return ""


@dataclass(frozen=True, slots=True)
class Message:
    """A request, before it is cut: bytes to read, room to write, and what a right answer is.

    *check* gets the used length and the device-writable bytes in order, and returns what is wrong
    with them in a few words, or ''. *completes*: whether the device owes an answer at all (a network
    receive buffer may wait for ever). *alone*: drivers have no other buffer outstanding in that
    queue; where there is one, this is left out. *fails*: the device must refuse the request. *together*: asked when all
    buffers that came back in the same step as this one were checked: what is wrong with them as a whole, or ''.

    What breaks a rule of a device type begins with that rule, as in ``DT-NET-MRG-FULL: 2 bytes are left``.
    """

    readable: bytes
    writable: int
    check: Callable[[int, bytes], str] = accept
    completes: bool = True
    alone: bool = False
    fails: bool = False
    together: Callable[[], str] = complete


class DeviceClass(Protocol):
    """One class of device. A fresh instance serves one run of one program."""

    name: str

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """A request for *queue* and a cut. Never looks at anything but the choices and the limits."""
        ...

    def words(self, request: Request) -> str | None:
        """What is wrong with a request that a person wrote (unknown kind, field or value), or None."""
        ...

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*, which becomes the buffer with serial number *buffer*."""
        ...


#: Names of classes, and the modules that know them where they are called otherwise.
CLASSES = ("any", "blk", "net", "scsi", "rng", "console", "balloon", "input", "crypto", "9p", "sound", "iommu", "mem",
           "pmem", "gpu", "rtc", "fs", "vsock", "raw")  # fmt: skip
_MODULES = {"9p": "p9"}


def load(name: str, hints: dict[str, int]) -> DeviceClass:
    """A fresh instance of the class *name*; KeyError if there is none. *hints*: facts such as the capacity."""
    if name not in CLASSES or name == "any":
        raise KeyError(name)
    module = import_module(f"fuzz.devices.{_MODULES.get(name, name)}")
    device: DeviceClass = module.Device(hints)
    return device
