"""A guest as a machine of served devices: what user-mode Linux and QEMU have in common.

Knows the agent's channel and the process. Must not know rings, nor programs.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress

from fuzz.targets import TargetError
from fuzz.targets.guests import build, console, initramfs
from fuzz.targets.guests.kernels import Kernel
from fuzz.targets.process import Process
from fuzz.targets.served.machine import ENDING, STARTING, Handed, Slot

MODES = ((False, False), (False, True), (True, False), (True, True))
"""(packed, in_order) of the four devices that every guest has."""
KINDS = {"net": 1, "blk": 2, "console": 3, "rng": 4}
"""Classes of devices that the agent keeps busy: their ids (5)."""
#: of every guest: it ends at once when something is wrong with it, and doesn't do what costs time
APPEND = ("quiet", "panic=-1", "oops=panic", "random.trust_cpu=on", "audit=0")
_ROOM = 1 << 16


class Guest:
    """Four devices of one class in a guest. A subclass says how it is started."""

    name = "guest"

    def __init__(self, kernel: Kernel, kind: str) -> None:
        self.kernel = kernel
        self.kind = kind
        self.slots: Sequence[tuple[str, bool, bool]] = [(kind, packed, in_order) for packed, in_order in MODES]
        self.heard = console.Listener(len(self.slots))
        self.command = ""
        self._process: Process | None = None
        self._channel: socket.socket | None = None
        self._read = 0  # bytes of the console that words() gave

    # -- what a subclass says

    def words_of(self, slots: Sequence[Slot], channel: str) -> tuple[list[str], dict[str, str]]:
        """The command line and what is added to the environment; *channel*: stands for the agent's descriptor."""
        raise NotImplementedError

    # -- life

    def boot(self, slots: Sequence[Slot]) -> None:
        """Start the guest. Raises TargetError: no compiler, no program."""
        image = initramfs.packed(build.agent(), initramfs.ordered(self.kernel.modules))
        words, environment = self.words_of(slots, "{channel}")
        process = self._process = Process(words, environment)
        ours, theirs = socket.socketpair()
        try:
            try:
                (process.folder / "initrd").write_bytes(image)
            except OSError as error:
                raise TargetError(f"{process.folder} can't be written to: {error.strerror}") from None
            process.start({"channel": theirs.fileno()})
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._channel = ours
        self.command = process.command

    def alive(self) -> str:
        """How the guest ended, if it did: what its kernel said last of itself, or the process."""
        if self._process is None or self._process.alive():
            return ""
        said = console.panic(self._console())
        if said:
            return f"the kernel ended: {said}"
        return f"the guest ended: {self._process.obituary() or 'no word why'}"

    def close(self) -> None:
        """End it, and its folder with it. Never raises."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.end(0.0)
            self._process.close()
            self._process = None

    # -- the agent

    def begin(self, slot: int) -> None:
        """Bind the device's driver, then keep it busy."""
        self.heard.devices[slot].state = STARTING
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
        if self._channel is not None:
            with suppress(OSError):  # it ended: alive() says so
                self._channel.sendall(line.encode() + b"\n")

    def _listen(self) -> None:
        if self._channel is None:
            return
        with suppress(OSError):  # nothing more for now, or nobody there
            while data := self._channel.recv(_ROOM):
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
