"""What stands behind a QEMU device: its back-end's command line, its levers, and the peer that we play.

One module a kind of device. Knows QEMU's options and monitor commands. Must not know rings, programs,
or how the device itself is reached.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

Named = tuple[tuple[str, tuple[str, ...]], ...]

#: QEMU's names of devices (virtio-NAME-pci, virtio-NAME-device), and the module that knows what stands behind each
KINDS: dict[str, str] = {
    "blk": "blk",
    "net": "net",
    "scsi": "scsi",
    "rng": "rng",
    "serial": "console",
    "balloon": "balloon",
    "keyboard": "input",
    "mouse": "input",
    "tablet": "input",
    "multitouch": "input",
    "crypto": "crypto",
    "9p": "p9",
    "sound": "sound",
    "iommu": "iommu",
    "mem": "mem",
    "pmem": "pmem",
    "gpu": "gpu",
    "vga": "gpu",
    "rtc": "rtc",
}

#: Guest memory that no ring or buffer ever lies in, for devices that are told pages by number: address and bytes.
SPARE, SPARE_SIZE = 0x100_0000, 0x10_0000


class Monitor(Protocol):
    """QEMU's monitor (QMP)."""

    def execute(self, command: str, **arguments: object) -> object:
        """What the QMP *command* returns; a hyphen in an argument's name is written as an underscore.

        Raises TargetError with QEMU's words if it refuses.
        """
        ...

    def human(self, line: str) -> str:
        """What the human monitor prints for *line*."""
        ...


class Behind:
    """Nothing much: a device that needs no back-end. Kinds of devices override what they need.

    One instance belongs to one target and outlives every QEMU that is started for it.
    """

    device_class = ""  # of fuzz.devices
    queues = 1  # that a driver would use, the first ones of the device
    accept = 0  # feature bits of the device class (0-23, 50-63) that we negotiate where offered
    machine = "pc"  # or q35
    vectors = True  # whether QEMU lets us say how many MSI-X vectors it has
    levers: Named = ()  # name, values: the first one is neutral (see fuzz.program.Limits)
    pulses: Named = ()  # what can be made to happen once: name, values
    uncut: frozenset[int] = frozenset()  # queues whose requests are never cut into odd pieces
    singly = False  # whether it takes up only one buffer for each notification, so that each must have its own
    unmeasured: frozenset[int] = frozenset()  # queues whose used lengths are always wrong, which would hide all else
    least = 1  # queue size, for requests that are not cut otherwise
    serves = 500  # programs that one QEMU serves, if nothing is found
    facts: tuple[str, ...] = ()  # that explain what is found, for people

    def __init__(self) -> None:
        self.monitor: Monitor  # of the QEMU that runs

    def memory(self, megabytes: int) -> str:
        """QEMU's option -m for so much memory."""
        return f"{megabytes}M"

    def before(self, given: Mapping[str, str]) -> list[str]:
        """QEMU's options that must stand before its -device; *given*: properties that the user wrote.

        ``{folder}`` is replaced by a folder of the target's own, ``{NAME}`` by the number of a descriptor
        of descriptors().
        """
        return []

    def plain(self, given: Mapping[str, str]) -> list[str]:
        """As before(), for whoever moves no lever: with as little as will do."""
        return self.before(given)

    def plain_files(self) -> tuple[tuple[str, int], ...]:
        """As files(), for plain(); names may have a folder in them."""
        return self.files()

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """Properties of the device; what the user gave wins over them."""
        return {}

    def after(self, given: Mapping[str, str]) -> list[str]:
        """QEMU's options behind the device, such as what is plugged into it."""
        return []

    def descriptors(self) -> dict[str, socket.socket]:
        """Sockets that the QEMU about to start inherits, by name. They are closed on our side when it runs."""
        return {}

    def alone(self) -> dict[str, str]:
        """For each descriptor, what to write instead of the word with ``{NAME}`` in it when nobody is our peer.

        One that is missing can't be done without.
        """
        return {}

    def files(self) -> tuple[tuple[str, int], ...]:
        """Files to make in the folder before the first start: name, bytes (all zero)."""
        return ()

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """Facts for the device class, from the features offered and the configuration space."""
        return ()

    def ready(self) -> None:
        """A QEMU was started, and ``monitor`` is its."""

    def fresh(self) -> None:
        """A session begins: every lever is neutral, and what the peer still had is forgotten."""

    def before_reset(self) -> None:
        """The device is about to be reset while a program runs: let go of whatever that would wait for in vain."""

    def release(self) -> None:
        """A program has no steps left: every lever is neutral, and what was held back comes."""
        self.fresh()

    def lever(self, name: str, value: str) -> None:
        """Move a lever, or do what a pulse says. Names and values are ones of ours, or a person's: ignore others."""

    def reconfigure(self) -> bool:
        """Let something happen that changes the device's configuration space, where this is possible."""
        return False

    def pump(self) -> None:
        """Play the peer: called often while a program waits, and must be quick when there is nothing to do."""

    def holding(self) -> bool:
        """Whether a lever keeps requests from being completed, so that none is owed."""
        return False

    def close(self) -> None:
        """Let go of everything. Never raises."""


def load(kind: str) -> Behind:
    """What stands behind virtio-*kind*; KeyError if nobody knows."""
    module = import_module(f"fuzz.targets.qemu.behind.{KINDS[kind]}")
    behind: Behind = module.Behind() if KINDS[kind] != "input" else module.Behind(kind)
    return behind
