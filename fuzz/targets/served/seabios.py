"""SeaBIOS as a machine: QEMU without a guest, whose firmware reads our disk, and boots from it what reads on.

The quickest real driver there is: a split virtqueue, VERSION_1 and nothing else, one request at a time. Knows QEMU's
command line and what the boot sector says.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from shutil import which

from fuzz.program import Limits
from fuzz.targets import TargetError
from fuzz.targets.process import Process, first_line
from fuzz.targets.served import boot_sector
from fuzz.targets.served.kinds import Kind, blk, load
from fuzz.targets.served.machine import OFF, STARTING, WORKING, Handed, Slot
from fuzz.targets.served.target import ServedTarget

NAME = "seabios"
VARIABLE = "VQFUZZ_QEMU"
PROGRAM = "qemu-system-x86_64"
MACHINES = ("q35", "pc")
_MEMORY = "64M"
_STARTING = 20.0  # seconds
_SETTLED = 20  # reads that are reported before the program's first step: one at a time, they are soon done


def program() -> list[str]:
    """The words that start QEMU: of the environment, else those of the usual program."""
    return shlex.split(os.environ.get(VARIABLE, "")) or [PROGRAM]


def available() -> bool:
    """Whether QEMU is there."""
    return which(program()[0]) is not None


class SeaBios:
    """One QEMU, which starts when its driver is to begin."""

    slots: Sequence[tuple[str, bool, bool]] = (("blk", False, False),)

    def __init__(self, machine: str) -> None:
        self.name = NAME
        self.machine = machine
        self.command = ""
        self._process: Process | None = None
        self._socket = ""
        self._read = 0  # bytes of what the debug port said that were read
        self._rest = b""  # … of which these were not understood yet
        self._begun = self._works = False
        self._reports = 0

    def boot(self, slots: Sequence[Slot]) -> None:
        """There is nothing to boot."""
        self._socket = slots[0].socket

    def begin(self, slot: int) -> None:
        """Start QEMU."""
        words = [
            *program(), "-M", f"{self.machine},memory-backend=m", "-accel", "tcg", "-m", _MEMORY, "-nodefaults",
            "-no-user-config", "-display", "none", "-object", f"memory-backend-memfd,id=m,size={_MEMORY},share=on",
            "-chardev", f"socket,id=c,path={self._socket}", "-device", "vhost-user-blk-pci,chardev=c,bootindex=1",
            "-chardev", "file,id=d,path={folder}/said",
            "-device", f"isa-debugcon,iobase={boot_sector.PORT:#x},chardev=d",
        ]  # fmt: skip
        process = self._process = Process(words)
        process.start()
        self.command = process.command
        self._begun = True

    def alive(self) -> str:
        """How QEMU ended, if it did and nobody meant it."""
        if self._begun and self._process is not None and not self._process.alive():
            return self._process.obituary() or "QEMU ended"
        return ""

    def end(self, slot: int) -> None:
        """End QEMU."""
        self._begun = False
        if self._process is not None:
            self._process.end(0.0)

    def state(self, slot: int) -> str:
        """Working once the boot sector has read some sectors."""
        if not self._begun:
            return OFF
        self._listen()
        return WORKING if self._reports >= _SETTLED else STARTING

    def handed(self, slot: int) -> list[Handed]:
        """The sectors that were read."""
        self._listen()
        return self._parse()

    def _listen(self) -> None:
        if self._process is None:
            return
        try:
            with open(self._process.folder / "said", "rb") as said:
                said.seek(self._read)
                fresh = said.read()
        except OSError:
            return
        self._read += len(fresh)
        self._rest += fresh
        if not self._works and self._rest:
            self._works = self._rest[0] == boot_sector.BEGINS
            self._rest = self._rest[1:]

    def _parse(self) -> list[Handed]:
        """Whole reports only; what follows waits."""
        found: list[Handed] = []
        head = boot_sector.REPORT.size + 1
        while self._works and len(self._rest) >= head:
            status, _, _, count, _, _, first = boot_sector.REPORT.unpack_from(self._rest, 1)
            size = head + 16 * count
            if len(self._rest) < size:
                break
            checks = (self._rest[head + 16 * place :][:16] for place in range(count))
            found += [Handed(first + place, 512, check) for place, check in enumerate(checks)]
            if status:
                found.append(Handed(first + count, -status, b""))
            self._rest = self._rest[size:]
            self._reports += 1
        return found

    def words(self) -> str:
        """QEMU's own words; the firmware says nothing."""
        return self._process.words() if self._process is not None else ""

    def close(self) -> None:
        """End it, and its folder with it."""
        self._begun = False
        if self._process is not None:
            self._process.end(0.0)
            self._process.close()


def _device(kind: str) -> Kind:
    if kind == "blk":
        return blk.Device({0: boot_sector.sector()})
    return load(kind)


def make(words: str) -> ServedTarget:
    """The target ``seabios``, or ``seabios:MACHINE``. Raises TargetError."""
    machine = words.partition(":")[2] or MACHINES[0]
    if machine not in MACHINES:
        raise TargetError(f"{NAME} runs in machines {' and '.join(MACHINES)}; there is no {machine!r}")
    limits = Limits(
        layouts=("split",),
        in_order=(False,),
        features=0,
        split_sizes=(128,),
        actions=frozenset({"passive"}),
        longest_element=512 * boot_sector.MOST,
        steps=30,
        role="device",
    )
    return ServedTarget(
        words, lambda: SeaBios(machine), "blk", limits, fresh=True, most=1, starting=_STARTING, device=_device,
        facts=lambda: {"machine": machine, "version": first_line([*program(), "--version"])},
    )  # fmt: skip
