"""What runs drivers: a virtual machine, a firmware, a program; it is given devices, and says what its upper half got.

Knows what a machine must be able to do. Must not know rings, sockets' messages or programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

OFF, STARTING, WORKING, ENDING = "off", "starting", "working", "ending"
"""States of a slot; the fifth is ``failed: why``."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One device that a machine is given. A listener of ours waits at *socket* before the machine boots."""

    socket: str
    kind: str  # blk | net | console | rng | vsock
    packed: bool = False
    in_order: bool = False


@dataclass(frozen=True, slots=True)
class Handed:
    """What a driver's upper half got back of one request; of a stream (console, rng, vsock), 16 bytes of it are one."""

    tag: int  # which: of blk the sector, else a running number
    result: int  # bytes, or -errno
    check: bytes  # the first 16 bytes that arrived, of a request that reads


class Machine(Protocol):
    """Runs the drivers of some devices. No call blocks; the devices are served meanwhile."""

    name: str
    slots: Sequence[tuple[str, bool, bool]]  # kind, packed, in_order of each device, fixed from the start

    def boot(self, slots: Sequence[Slot]) -> None:
        """Start what runs. Raises TargetError."""
        ...

    def alive(self) -> str:
        """'' while it runs, else how it ended, with what the console said of it."""
        ...

    def begin(self, slot: int) -> None:
        """Have the device's driver set it up (reset, negotiation, rings), and then keep requests outstanding."""
        ...

    def end(self, slot: int) -> None:
        """Submit nothing more, and have the driver let go of the device once all came back."""
        ...

    def state(self, slot: int) -> str:
        """off, starting, working, ending or failed: why. Off before the first begin() means that it has booted."""
        ...

    def handed(self, slot: int) -> list[Handed]:
        """What the upper half got back since the last call, in that order."""
        ...

    def words(self) -> str:
        """What the console said since the last call."""
        ...

    def close(self) -> None:
        """End it. Never raises."""
        ...
