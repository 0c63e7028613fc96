"""libblkio as a machine: a small program of ours that reads from our disk with it, compiled against the library here.

A driver in a process: all its memory lies at that process's own addresses, in several regions that come one by one
(CONFIGURE_MEM_SLOTS). Knows the program's reports and where the library may be.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from fuzz.program import Limits
from fuzz.targets import TargetError
from fuzz.targets.linux_ring.build import compiler
from fuzz.targets.linux_ring.trees import cache
from fuzz.targets.process import Process
from fuzz.targets.served.machine import ENDING, OFF, STARTING, WORKING, Handed, Slot
from fuzz.targets.served.target import ServedTarget

NAME = "libblkio"
VARIABLE = "VQFUZZ_LIBBLKIO"
SOURCE = Path(__file__).parent / "reader" / "reader.c"
_OUTSTANDING = 16  # as the program has it
_SIZE = 256  # of libblkio's virtqueues
_STARTING = 10.0  # seconds
_SECONDS = 60.0  # that a compiler may take


@dataclass(frozen=True, slots=True)
class Library:
    """What a compiler must be told, and which version that is."""

    flags: tuple[str, ...]
    version: str


def library() -> Library | None:
    """The library with its header: of the environment, unpacked in the cache, or installed; None if it is nowhere."""
    named = os.environ.get(VARIABLE, "")
    for root in [Path(named)] if named else [cache() / "libblkio"]:
        for header in sorted(root.glob("**/include/blkio.h"))[:1]:
            for shared in sorted(root.glob("**/libblkio.so"))[:1]:
                where = str(shared.parent)
                flags = (f"-I{header.parent}", f"-L{where}", f"-Wl,-rpath,{where}", "-lblkio")
                return Library(flags, shared.resolve().name.removeprefix("libblkio.so."))
    return None if named else _installed()


def _installed() -> Library | None:
    found = []
    for words in (["--cflags", "--libs"], ["--modversion"]):
        try:
            done = subprocess.run(
                ["pkg-config", *words, "blkio"], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return None
        if done.returncode:
            return None
        found.append(done.stdout.strip())
    return Library(tuple(shlex.split(found[0])), found[1])


def missing() -> str:
    """Why it can't be used here, or ''."""
    if library() is None:
        return f"libblkio or its header is not here (scripts/install-targets --libblkio, or {VARIABLE})"
    try:
        compiler()
    except TargetError as error:
        return str(error)
    return ""


def reader() -> Path:
    """The program, compiled if it isn't in the cache. Raises TargetError."""
    found = library()
    if found is None:
        raise TargetError(missing())
    command = [*compiler(), "-O2", "-Wall", "-std=gnu11", str(SOURCE), *found.flags]
    digest = hashlib.sha256(repr((command[:-5], found)).encode() + SOURCE.read_bytes()).hexdigest()
    program = cache() / "libblkio-reader" / digest[:24]
    if not program.exists():
        _compile(command, program)
    return program


def _compile(command: list[str], program: Path) -> None:
    """Compile into *program*, which is there whole or not at all."""
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix="new-", dir=program.parent)) / "reader"
        done = subprocess.run(
            [*command, "-o", str(made)],
            capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            wrong = next((line for line in done.stderr.splitlines() if "error" in line), "no word why")
            raise TargetError(f"{command[0]} can't compile the program that uses libblkio: {wrong.strip()}")
        os.replace(made, program)
        made.parent.rmdir()
    except (OSError, subprocess.SubprocessError) as error:
        raise TargetError(f"the program that uses libblkio can't be made: {error}") from None


class Blkio:
    """One process, from begin() to end(); the next is another."""

    slots: Sequence[tuple[str, bool, bool]] = (("blk", False, False),)

    def __init__(self) -> None:
        self.name = NAME
        self._program = reader()
        self._process: Process | None = None
        self._socket = ""
        self._read = 0
        self._rest = ""
        self._ending = False

    def boot(self, slots: Sequence[Slot]) -> None:
        """Nothing runs between two drivers."""
        self._socket = slots[0].socket

    def begin(self, slot: int) -> None:
        """Start the process."""
        if self._process is None:
            self._process = Process([str(self._program), self._socket, "{folder}/reports"])
        self._read, self._rest, self._ending = 0, "", False
        with suppress(OSError):
            (self._process.folder / "reports").unlink(missing_ok=True)
        self._process.start()

    def alive(self) -> str:
        """How it ended, unless it was told to."""
        if self._process is None or self._process.alive() or not self._process.pid:
            return ""
        return "" if self._ending and not self._process.failed() else self._process.obituary()

    def end(self, slot: int) -> None:
        """Tell it to submit nothing more."""
        self._ending = True
        if self._process is not None and self._process.alive():
            os.kill(self._process.pid, signal.SIGTERM)

    def state(self, slot: int) -> str:
        """Working once something came back."""
        if self._process is None or not self._process.alive():
            return OFF
        if self._ending:
            return ENDING
        return WORKING if self._reports().exists() and self._reports().stat().st_size else STARTING

    def _reports(self) -> Path:
        assert self._process is not None
        return self._process.folder / "reports"

    def handed(self, slot: int) -> list[Handed]:
        """The reads that came back, by whole lines."""
        if self._process is None or not self._reports().exists():
            return []
        with open(self._reports(), encoding="ascii") as file:
            file.seek(self._read)
            fresh = file.read()
        self._read += len(fresh)
        *lines, self._rest = (self._rest + fresh).split("\n")
        return [parse(line) for line in lines]

    def words(self) -> str:
        """What it printed last."""
        return self._process.words() if self._process is not None else ""

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.end(0.0)
            self._process.close()


def parse(line: str) -> Handed:
    """A report: sector, result, and the first 16 bytes as digits."""
    sector, result, data = line.split()
    return Handed(int(sector), int(result), bytes.fromhex(data))


def make(words: str) -> ServedTarget:
    """The target ``libblkio``. Raises TargetError: it has no parameters."""
    if words != NAME:
        raise TargetError(f"{NAME} takes nothing behind its name, and got {words!r}")
    limits = Limits(
        layouts=("split",),
        in_order=(False,),
        features=0,
        split_sizes=(_SIZE,),
        actions=frozenset({"passive"}),
        longest_element=4096,
        steps=60,
        role="device",
    )
    found = library()
    return ServedTarget(
        words, Blkio, "blk", limits, most=_OUTSTANDING, starting=_STARTING,
        facts=lambda: {"version": f"libblkio {found.version if found else ''}"},
    )  # fmt: skip
