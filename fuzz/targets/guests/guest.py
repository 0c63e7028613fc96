"""A guest as a machine of served devices: what user-mode Linux and QEMU have in common.

Knows the agent's channel and the process. Must not know rings, nor programs.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress

from fuzz.targets import TargetError
from fuzz.targets.guests import build, console, initramfs
from fuzz.targets.guests.kernels import Kernel
from fuzz.targets.process import Process
from fuzz.targets.served.machine import ENDING, STARTING, Handed, Slot

MODES = ((False, False), (False, True), (True, False), (True, True))
"""(packed, in_order) of the four devices that every guest has."""
KINDS = {"net": 1, "blk": 2, "console": 3, "rng": 4, "vsock": 19}
"""Classes of devices that the agent keeps busy: their ids (5)."""
OUTSTANDING = {"net": 1 << 15, "blk": 32, "console": 1, "rng": 1, "vsock": 64}
"""Buffers that a driver keeps outstanding, as the agent uses it; of a socket it fills up when half of 128 are left."""
#: of every guest: it ends at once when something is wrong with it, and doesn't do what costs time
APPEND = ("quiet", "panic=-1", "oops=panic", "random.trust_cpu=on", "audit=0")
_ROOM = 1 << 20  # bytes that a guest may say before it has to wait for us


class Guest:
    """Four devices of one class in a guest. A subclass says how it is started."""

    name = "guest"

    def __init__(self, kernel: Kernel, kind: str, strict: bool = False) -> None:
        self.kernel = kernel
        self.append = (*APPEND, "panic_on_warn=1") if strict else APPEND  # strict: a warning ends the guest, too
        self.kind = kind
        self.slots: Sequence[tuple[str, bool, bool]] = [(kind, packed, in_order) for packed, in_order in MODES]
        self.heard = console.Listener(len(self.slots))
        self.command = ""
        self.inherited: dict[str, int] = {}  # descriptors beside the agent's, by name
        self._process: Process | None = None
        self._ends: tuple[int, int] | None = None  # of the agent's fifos: what we say, what we hear
        self._read = 0  # bytes of the console that words() gave

    # -- what a subclass says

    def words_of(self, slots: Sequence[Slot]) -> tuple[list[str], dict[str, str]]:
        """The command line and what is added to the environment.

        The agent hears ``{folder}/agent.in`` and speaks to ``{folder}/agent.out``, fifos which the process also
        inherits, as ``{in}`` and ``{out}``. Its file system is ``{folder}/initrd``.
        """
        raise NotImplementedError

    # -- life

    def boot(self, slots: Sequence[Slot]) -> None:
        """Start the guest. Raises TargetError: no compiler, no program."""
        image = initramfs.packed(build.agent(), initramfs.ordered(self.kernel.modules, self.kind))
        words, environment = self.words_of(slots)
        process = self._process = Process(words, environment)
        theirs: list[int] = []
        try:
            (process.folder / "initrd").write_bytes(image)
            hears, speaks = process.folder / "agent.in", process.folder / "agent.out"
            for fifo in (hears, speaks):
                os.mkfifo(fifo)
            flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC  # open at both ends, so that nobody waits for the other
            self._ends = os.open(hears, flags), os.open(speaks, flags)
            with suppress(OSError):  # more than a user may have: then it waits sooner
                fcntl.fcntl(self._ends[1], fcntl.F_SETPIPE_SZ, _ROOM)
            theirs = [os.open(hears, os.O_RDONLY), os.open(speaks, os.O_WRONLY)]
            process.start({"in": theirs[0], "out": theirs[1], **self.inherited})
        except OSError as error:
            raise TargetError(f"{process.folder} can't be written to: {error.strerror}") from None
        finally:
            for end in theirs:
                os.close(end)
        self.command = process.command

    def alive(self) -> str:
        """How the guest ended, if it did: what its kernel said last of itself, or the process."""
        self._listen()
        if self._process is None or self._process.alive():
            return ""
        said = console.panic(self._console())
        if said:
            return f"the kernel ended: {said}"
        return f"the guest ended: {self._process.obituary() or 'no word why'}"

    def close(self) -> None:
        """End it, and its folder with it. Never raises."""
        if self._process is not None:
            self._process.end(0.0)
            self._process.close()
            self._process = None
        for end in self._ends or ():
            os.close(end)
        self._ends = None

    # -- the agent

    def begin(self, slot: int) -> None:
        """Bind the device's driver, then keep it busy. What a life before this one handed up is forgotten."""
        self._listen()
        device = self.heard.devices[slot]
        device.state, device.features, device.handed = STARTING, 0, []
        self._say(f"begin {slot}")

    def end(self, slot: int) -> None:
        """Unbind it when all came back."""
        if not self.state(slot).startswith("failed"):
            self.heard.devices[slot].state = ENDING
        self._say(f"end {slot}")

    def state(self, slot: int) -> str:
        """As the agent told it last; «starting» until the guest has booted."""
        self._listen()
        return self.heard.devices[slot].state

    def features(self, slot: int) -> int:
        """What the driver says that it negotiated, once it is bound."""
        self._listen()
        return self.heard.devices[slot].features

    def handed(self, slot: int) -> list[Handed]:
        """What came back since the last call."""
        self._listen()
        device = self.heard.devices[slot]
        found, device.handed = device.handed, []
        return found

    def _say(self, line: str) -> None:
        if self._ends is not None:
            with suppress(OSError):  # it ended: alive() says so
                os.write(self._ends[0], line.encode() + b"\n")

    def _listen(self) -> None:
        if self._ends is None:
            return
        with suppress(OSError):  # nothing more for now
            while data := os.read(self._ends[1], _ROOM):
                self.heard.feed(data)

    # -- the kernel's own words

    def _console(self, since: int = 0) -> str:
        if self._process is None:
            return ""
        try:
            with open(self._process.folder / "output", "rb") as output:
                output.seek(max(since, os.fstat(output.fileno()).st_size - (1 << 20)))
                return output.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def words(self) -> str:
        """What the console said since the last call."""
        text = self._console(self._read)
        self._read += len(text.encode())
        return text
