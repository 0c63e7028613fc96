"""A QEMU with one virtio device and no guest: its command line, its memory, its sockets, its end.

Knows QEMU's options, accelerators and how to start without a guest. Must not know rings or programs.

Memory and sockets are inherited descriptors: nothing of ours stays in the file system when we are killed.
Which accelerator a binary has is found out by starting it: «-accel help» does not tell.
"""

from __future__ import annotations

import gc
import mmap
import os
import re
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress

from fuzz.targets import TargetError
from fuzz.targets.process import Process
from fuzz.targets.qemu.behind import Behind
from fuzz.targets.qemu.mmio import Mmio
from fuzz.targets.qemu.pci import Pci
from fuzz.targets.qemu.qmp import Qmp
from fuzz.targets.qemu.qtest import Qtest, QtestError
from fuzz.targets.qemu.transport import Transport

RAM = 2 << 30  # of which next to nothing is ever touched
LANDING = 0x10_0000  # where interrupts write their numbers: in low memory, far from everything else
LANDING_SIZE = 4096
WINDOW = 1 << 30  # offset of the shared window in RAM …
WINDOW_SIZE = 2 << 20
HIGH = 1 << 32  # … which a PC has there, so that addresses don't fit in 32 bits
#: cli; hlt; jmp back: a virtual processor that starts here does nothing for ever, and costs nothing
_HALT = bytes((1 << 16) - 16) + bytes.fromhex("faf4ebfd") + bytes(12)
START_SECONDS = 20.0
#: TCG with the halting ROM first: clocks run there. The qtest accelerator, where TCG was left out, has none.
_ACCELERATORS = ("tcg", "qtest", "kvm")
_NOT_HERE = re.compile("invalid accelerator|could not access kvm|failed to initialize (tcg|qtest|kvm)", re.IGNORECASE)


class Machine:
    """One QEMU at a time. *device*: as QEMU calls it; *given*: its properties as the user wrote them, in order."""

    def __init__(self, qemu: list[str], device: str, given: Mapping[str, str], behind: Behind) -> None:
        self.device = device
        self.micro = device.endswith("-device")
        self.behind = behind
        self.address = WINDOW if self.micro else HIGH
        self.accelerator = ""
        self.qemu = qemu
        self.given = given
        self._memory = -1
        self._map: mmap.mmap | None = None
        self._process: Process | None = None
        self.starts = 0
        self.qtest: Qtest
        self.qmp: Qmp
        self.transport: Transport

    # --- command line -------------------------------------------------------------------------------------------------

    def command(self, accelerator: str) -> list[str]:
        """QEMU's command line, with {placeholders} for descriptors and the folder."""
        words = [*self.qemu, *self.board(accelerator, ",memory-backend=mem")]
        words += ["-object", f"memory-backend-file,id=mem,mem-path=/proc/self/fd/{{ram}},share=on,size={RAM}"]
        words += ["-chardev", "socket,id=vqtest,fd={qtest}", "-qtest", "chardev:vqtest", "-qtest-log", "none"]
        words += ["-chardev", "socket,id=vqmp,fd={qmp}", "-qmp", "chardev:vqmp"]
        return [*words, *self.devices()]

    def board(self, accelerator: str, more: str = "") -> list[str]:
        """QEMU's options for a machine without a guest; *more*: properties of the machine."""
        kind = "microvm,acpi=off" if self.micro else f"{self.behind.machine},max-ram-below-4g={WINDOW}"
        words = ["-nodefaults", "-display", "none", "-no-user-config", "-machine", kind + more]
        words += ["-m", self.behind.memory(RAM >> 20), "-accel", accelerator]
        words += ["-bios", "{folder}/halt.bin", "-d", "guest_errors"]
        return [*words, "-global", "virtio-mmio.force-legacy=false"] if self.micro else words

    def devices(self, plain: bool = False) -> list[str]:
        """QEMU's options for the device and what stands behind it; *plain*: without levers."""
        behind, given = self.behind, self.given
        # Several devices have fewer vectors than queues, and one interrupt for all hides who was meant.
        vectors = {"vectors": str(behind.queues + 8)}  # a device may have more queues than we use
        if self.micro or not behind.vectors:
            vectors = {}
        words = behind.plain(given) if plain else behind.before(given)
        options = [f"{name}={value}" for name, value in {**vectors, **behind.properties(given), **given}.items()]
        return [*words, "-device", ",".join([self.device, "id=vq", *options]), *behind.after(given)]

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start a QEMU, ending one that runs, and find the device. Raises TargetError with QEMU's own words."""
        self.end()
        accelerators = [self.accelerator] if self.accelerator else list(_ACCELERATORS)
        for accelerator in accelerators:
            try:
                self._start(accelerator)
            except TargetError as error:
                self.end()
                if not _NOT_HERE.search(str(error)):
                    raise
                if accelerator == accelerators[-1]:
                    raise TargetError(f"{error} (nor does it have {' or '.join(accelerators[:-1])})") from None
                continue
            self.accelerator = accelerator
            break
        self.starts += 1
        self.behind.monitor = self.qmp
        try:
            self.behind.ready()
        except QtestError as error:
            raise TargetError(f"{self.qemu[0]} {error}") from None

    def check(self) -> None:
        """See whether QEMU has such a device at all. Raises TargetError with its words if not."""
        words = [*self.qemu, "-machine", "none", "-nodefaults", "-display", "none", "-S", "-device", self.device]
        try:  # without a machine it ends at once, and says either that no bus is there, or that it knows no such device
            done = subprocess.run(words, capture_output=True, text=True, timeout=5, check=False)
        except subprocess.TimeoutExpired:
            return
        except OSError as error:
            raise TargetError(f"{self.qemu[0]} can't be started: {str(error).lower()}") from None
        if "not a valid device model" in done.stderr:
            raise TargetError(done.stderr.strip().splitlines()[-1])

    def _start(self, accelerator: str) -> None:
        old, process = self._process, Process(self.command(accelerator), files=self.behind.files())
        if old is not None and old.template == process.template:
            process = old
        elif old is not None:
            old.close()
        self._process = process
        (process.folder / "halt.bin").write_bytes(_HALT)
        self._share()
        ours: dict[str, socket.socket] = {}
        theirs: dict[str, socket.socket] = {}
        try:
            for name in ("qtest", "qmp"):
                ours[name], theirs[name] = socket.socketpair()
            self.converse(ours["qtest"], ours["qmp"])
            theirs.update(self.behind.descriptors())
            process.start({"ram": self._memory, **{name: end.fileno() for name, end in theirs.items()}})
        finally:
            for end in theirs.values():
                end.close()
        try:
            self.qtest.ping()
            self.qtest.limit(5.0)
            self.transport = Mmio(self.qtest) if self.micro else Pci(self.qtest, LANDING)
        except QtestError as error:
            process.wait(1.0)
            said = process.obituary() or str(error)
            doubt = "" if "qemu" in said.lower() else "; is it qemu-system-x86_64?"
            raise TargetError(f"{self.qemu[0]} can't be used: {said}{doubt}") from None
        process.disregard()

    def converse(self, qtest: socket.socket, qmp: socket.socket) -> None:
        """Talk to the QEMU that is about to start, over these."""
        self.qtest, self.qmp = Qtest(qtest, START_SECONDS), Qmp(qmp)

    def _share(self) -> None:
        """Guest memory, zeroed, anew for every QEMU: one that is still dying must not write into it."""
        self._unshare()
        try:
            self._memory = os.memfd_create("vqfuzz", os.MFD_CLOEXEC)
            os.ftruncate(self._memory, RAM)
            self._map = mmap.mmap(self._memory, RAM)
        except OSError as error:
            self._unshare()
            raise TargetError(f"no guest memory can be shared: {error.strerror}") from None

    def _unshare(self) -> None:
        if self._map is not None:
            try:
                self._map.close()
            except BufferError:  # a view of it is left; if it isn't garbage, either, the memory goes when that goes
                gc.collect()
                with suppress(BufferError):
                    self._map.close()
            self._map = None
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def window(self) -> memoryview:
        """The memory that driver and device share: its offset 0 is guest address ``address``."""
        assert self._map is not None
        return memoryview(self._map)[WINDOW : WINDOW + WINDOW_SIZE]

    def landing(self) -> memoryview:
        """The words that interrupts write, as 32-bit numbers."""
        assert self._map is not None
        return memoryview(self._map)[LANDING : LANDING + LANDING_SIZE].cast("I")

    def running(self) -> bool:
        """Whether a QEMU runs."""
        return self._process is not None and self._process.alive()

    def obituary(self, seconds: float) -> str:
        """How QEMU ended, if it did or does within *seconds*; else ''."""
        process = self._process
        return process.obituary() if process is not None and process.wait(seconds) else ""

    def last_word(self) -> str:
        """The last line that this QEMU printed."""
        return self._process.last_word() if self._process is not None else ""

    def words(self) -> str:
        """The last lines that QEMU printed."""
        return self._process.words() if self._process is not None else ""

    def failed(self) -> bool:
        """Whether QEMU ended in a way that can't be meant."""
        return self._process is not None and self._process.failed()

    def facts(self) -> dict[str, str]:
        """Command line and process number."""
        process = self._process
        return {"command": process.command, "pid": str(process.pid)} if process is not None else {}

    def end(self) -> None:
        """End the QEMU that runs: a hung one ignores everything but SIGKILL."""
        if self._process is not None:
            self._process.end(grace=0)
        for connection in (getattr(self, "qtest", None), getattr(self, "qmp", None)):
            if connection is not None:
                connection.close()

    def close(self) -> None:
        """End everything. Never raises."""
        self.end()
        self.behind.close()
        if self._process is not None:
            self._process.close()
        self._unshare()
