"""Targets ``qemu:DEVICE[,property=value…]``: a QEMU that is started, asked, kept running and ended.

Knows which device stands for which class, and when a QEMU must be a new one. Must not know programs or verdicts.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from difflib import get_close_matches
from functools import cache

from fuzz.program import Limits
from fuzz.targets import Offer, TargetDied, TargetError, TargetHung
from fuzz.targets.process import first_line
from fuzz.targets.qemu import transport
from fuzz.targets.qemu.behind import KINDS, Behind, load
from fuzz.targets.qemu.machine import Machine
from fuzz.targets.qemu.qtest import QtestError, Silent
from fuzz.targets.qemu.session import QemuSession
from oracles import spec

PROGRAM = "qemu-system-x86_64"
VARIABLE = "VQFUZZ_QEMU"
_CONFIG = 64  # bytes of configuration space that are looked at
_DEVICE = re.compile(r"virtio-([a-z0-9]+)(-pci|-device|-pci-non-transitional|-pci-transitional)?")


class Qemu:
    """A device in a QEMU of ours. Implements Target and Owner."""

    role = "device"

    def __init__(self, name: str, machine: Machine, behind: Behind, qemu: str) -> None:
        self.name = name
        self.limits = Limits()
        self.accept = behind.accept
        self.qemu = qemu  # as the user wrote it, or ''
        self.machine = machine
        self._behind = behind
        self._session: QemuSession | None = None
        self._last: QemuSession | None = None
        self._served = 0  # sessions, since QEMU was started
        self._untold: TargetDied | TargetHung | None = None  # how the last session ended, if it didn't show before
        self._offer: Offer | None = None

    @property
    def starts(self) -> int:
        """How often a QEMU was started."""
        return self.machine.starts

    def restart(self) -> None:
        """The next session gets a QEMU that has served none."""
        if self._session is not None:
            self._session.close()
        self._untold = None
        self.machine.end()

    def ended(self, well: bool, untold: TargetDied | TargetHung | None) -> None:
        """A session is over."""
        self._session = None
        self._served += 1
        found = self._last is not None and self._last.unsettled  # then that is told, and this comes of it
        self._untold = None if found else untold
        if not well:
            self.machine.end()

    def open(self) -> QemuSession:
        """A session, with a new QEMU after a find and every so often. Raises TargetError, TargetDied, TargetHung."""
        if self._session is not None:
            self._session.close()
        machine = self.machine
        untold, self._untold = self._untold, None
        if untold is not None:
            raise untold
        if machine.failed() and self._served:
            line = f"{self.name} ended after its last session: {machine.obituary(0)}"
            machine.end()
            raise TargetDied(line)
        unsettled = self._last is not None and self._last.unsettled
        self._last = None  # it may have views of the memory that goes now
        if not machine.running() or unsettled or self._served >= self._behind.serves:
            machine.start()
            self._served = 0
        self._session = self._last = QemuSession(self, machine)
        return self._session

    def probe(self) -> Offer:
        """What the device offers."""
        if self._session is not None:
            self._session.close()
        machine = self.machine
        if not machine.running():
            machine.start()
            self._served = 0
        try:
            transport.reset(machine.qtest, machine.transport)
            features = machine.transport.offered()
            config = machine.transport.config(_CONFIG)
        except QtestError as error:
            machine.end()
            raise TargetError(f"{self.name} {error}") from None
        sizes = machine.transport.sizes
        details = [
            ("queue sizes", " ".join(map(str, sizes))),
            ("accelerator", machine.accelerator),
            ("interrupts", "one for all" if machine.transport.shared else "MSI-X, one for each queue"),
            *(("fact", fact) for fact in self._behind.facts),
        ]
        self._offer = Offer(features, len(sizes), config, tuple(details))
        self.limits = self._limits(features, sizes, config)
        return self._offer

    def _limits(self, features: int, sizes: list[int], config: bytes) -> Limits:
        behind = self._behind
        if not features & spec.VERSION_1:
            raise TargetError(f"{self.name} does not offer version_1")
        wanted = min(behind.queues, len(sizes))
        if not wanted:
            raise TargetError(f"{self.name} has no virtqueue")
        most = min(sizes[:wanted])
        limits = Limits()
        actions = {"reset", "asleep"}
        if features & spec.RING_RESET and not self.machine.micro:
            actions.add("queue_reset")
        return Limits(
            layouts=spec.LAYOUTS if features & spec.RING_PACKED else (spec.SPLIT,),
            in_order=(False, True) if features & spec.IN_ORDER else (False,),
            features=features & (spec.INDIRECT_DESC | spec.EVENT_IDX),
            split_sizes=tuple(size for size in limits.split_sizes if behind.least <= size <= most),
            packed_sizes=tuple(size for size in limits.packed_sizes if behind.least <= size <= most),
            device=behind.device_class,
            queues=wanted,
            actions=frozenset(actions),
            levers=behind.levers,
            pulses=behind.pulses,
            mixed_indirect=False,  # QEMU does not follow 2.7.5.3.2 there, and that would hide everything else
            uncut=behind.uncut,
            singly=behind.singly,
            hints=behind.hints(features, config),
        )

    def spare(self) -> None:
        """A device that gave up is reset; a QEMU that can't do that is of no use."""

    def revives(self, seconds: float) -> bool:
        """Whether the main loop runs again."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.machine.qtest.ping()
            except Silent:
                continue
            except QtestError:
                return False
            return True
        return False

    def ending(self) -> str:
        """How QEMU ended, if it did: by itself, it never does."""
        return self.machine.obituary(0)

    def words(self) -> str:
        """The last lines that QEMU printed."""
        return self.machine.words()

    def describe(self) -> dict[str, str]:
        """Everything about the target that a run depended on."""
        found = {"target": self.name, **self.machine.facts()}
        if self.qemu:
            found["qemu"] = self.qemu
        version = _version(*self.machine.qemu)
        if version:
            found["version"] = version
        if self._offer is not None:
            found.update(self._offer.facts())
        return found

    def close(self) -> None:
        """End the session and QEMU."""
        if self._session is not None:
            self._session.close()
        self.machine.close()


@cache
def _version(*qemu: str) -> str:
    return first_line([*qemu, "--version"])


def _command(qemu: str) -> list[str]:
    """The words that start QEMU. Raises TargetError with the mend."""
    named = qemu or os.environ.get(VARIABLE, "")
    try:
        words = shlex.split(named) if named else [PROGRAM]
    except ValueError as error:
        raise TargetError(f"the command {named!r} can't be read: {str(error).lower()}") from None
    found = shutil.which(words[0]) if words else None
    if found is None:
        if named:
            source = "--qemu" if qemu else VARIABLE
            raise TargetError(f"{source} names {words[0] if words else named!r}, which is no program")
        raise TargetError(
            f"{PROGRAM} is not installed (Debian: apt-get install qemu-system-x86); or name it with --qemu"
        )
    return [found, *words[1:]]


def available() -> bool:
    """Whether there is a QEMU."""
    try:
        _command("")
    except TargetError:
        return False
    return True


def parse(words: str) -> tuple[str, dict[str, str]]:
    """Device and properties of ``qemu:DEVICE,a=b``. Raises TargetError with the mend."""
    device, *rest = words.removeprefix("qemu:").split(",")
    if not device:
        raise TargetError("qemu: lacks the name of a device, as in qemu:virtio-blk-pci,in_order=on")
    given = {}
    for word in rest:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise TargetError(f"{word!r} is no property: write it as name=value, as in in_order=on")
        given[name] = value
    return device, given


def make(words: str, qemu: str = "", machines: type[Machine] = Machine) -> Qemu:
    """The target that *words* name, with the QEMU that the command *qemu* starts.

    It is started at once, for only it can say what it offers. Raises TargetError with QEMU's own words.
    """
    device, given = parse(words)
    command = _command(qemu)
    match = _DEVICE.fullmatch(device)
    kind = match[1] if match else ""
    behind = load(kind) if kind in KINDS else Behind()
    machine = machines(command, device, given, behind)
    target = Qemu(words, machine, behind, qemu)
    try:
        if kind not in KINDS:
            machine.check()  # QEMU's own words, if it knows the device no better than we do
            names = [f"virtio-{known}-pci" for known in KINDS]
            close = get_close_matches(device, names, 1, 0)[0]
            raise TargetError(f"vqfuzz has no requests for {device}; the nearest that it has is {close}")
        target.probe()
    except BaseException as error:
        target.close()
        if isinstance(error, TargetHung):
            raise TargetError(str(error)) from None
        raise
    return target
