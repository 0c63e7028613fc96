"""A guest's kernel that counts blocks of its code for virtqueues: where that code lies, and a plugin of QEMU's TCG.

Where it lies is asked of a guest once for each kernel, and kept: addresses are not random (``nokaslr``). Knows files,
guests and counters. Must not know what a count is good for.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.program import Limits
from fuzz.targets import TargetError
from fuzz.targets.counters import VARIABLE, Counters, SharedCounters
from fuzz.targets.guests.guest import Guest
from fuzz.targets.guests.kernels import Kernel, cache
from fuzz.targets.guests.target import GuestTarget
from fuzz.targets.process import death_signal
from fuzz.targets.served.session import ServedSession

ASK = "vqfuzz_code=1"
"""Of a kernel's command line: the agent says where the code lies."""
_PAUSE = 0.02
_TRYING = 30.0  # seconds that a QEMU may take to say that it has no plugins


@dataclass(frozen=True, slots=True)
class Code:
    """Addresses of a kernel's code for virtqueues: from the first up to the end."""

    start: int
    end: int


class Reached(SharedCounters):
    """Counters of a machine whose time is its own: that a place was reached says something, how often is chance."""

    def hits(self) -> list[tuple[int, int]]:
        """(place, 1) of each that was reached."""
        return [(place, 1) for place, _ in super().hits()]


class Counting:
    """What a QEMU is started with, so that it counts *code*. *plugin*: the plugin's file. Raises TargetError."""

    def __init__(self, plugin: Path, code: Code) -> None:
        self.words = ["-plugin", f"{plugin},from={code.start:#x},to={code.end:#x}"]
        self.environment = {VARIABLE: "fd:{counters}"}
        try:
            self.shared = Reached()
        except OSError as error:
            raise TargetError(f"there is no memory for counters: {error.strerror}") from None

    def counters(self) -> Counters | None:
        """What the guest's kernel counts; None before it was started. From now on they are cleared and kept."""
        if not self.shared.attached:
            return None
        self.shared.wanted = True
        return self.shared


class CountedSession(ServedSession):
    """A session whose counters begin when the driver does, and are kept before it lets go."""

    def __init__(self, host: CountedGuest) -> None:
        super().__init__(host)
        self._counters: SharedCounters | None = host.counting.shared

    def begins(self) -> None:
        """The guest rests, and what it does next is the program's."""
        if self._counters is not None:
            self._counters.clear()

    def end(self, available: int, used: int) -> None:
        """How a driver goes is the same in every program."""
        self._keep()
        super().end(available, used)

    def close(self) -> None:
        """After a find it did not come to end()."""
        self._keep()
        super().close()

    def _keep(self) -> None:
        if self._counters is not None:
            self._counters.keep()
            self._counters = None


class CountedGuest(GuestTarget):
    """A GuestTarget whose kernel counts."""

    def __init__(
        self, name: str, make: Callable[[], Guest], kind: str, limits: Limits, *, counting: Counting, most: int,
        starting: float, facts: Callable[[], dict[str, str]],
    ) -> None:  # fmt: skip
        super().__init__(name, make, kind, limits, most=most, starting=starting, facts=facts)
        self.counting = counting

    def counters(self) -> Counters | None:
        """Of the guest that runs."""
        return self.counting.counters()

    def open(self) -> CountedSession:
        """A session that is counted."""
        return CountedSession(self)

    def close(self) -> None:
        """End what runs, and let go of the counters."""
        super().close()
        self.counting.shared.close()


def has_plugins(words: Sequence[str], plugin: Path) -> None:
    """Start a QEMU with nothing in it but the plugin. Raises TargetError, if it has no plugins or won't take ours."""
    command = [
        *words, "-accel", "tcg", "-M", "none", "-nodefaults", "-display", "none", "-monitor", "stdio",
        "-plugin", f"{plugin},from=0,to=1",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, input="quit\n", capture_output=True, text=True, errors="replace", timeout=_TRYING, check=False,
            preexec_fn=death_signal(),  # as in process
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(f"coverage=on: {words[0]} can't be run: {getattr(error, 'strerror', 'no end')}") from None
    if done.returncode:
        said = next((line.strip() for line in done.stderr.splitlines() if line.strip()), f"status {done.returncode}")
        raise TargetError(f"coverage=on needs a QEMU built with plugins for TCG, and this one says: {said}")


def code_of(kernel: Kernel, kind: str, ask: Callable[[], Guest], seconds: float) -> Code:
    """Where the kernel's code for virtqueues lies: kept from an earlier time, or asked of a guest that *ask* makes.

    Raises TargetError.
    """
    digest = hashlib.sha256(kind.encode())
    try:
        digest.update(kernel.image.read_bytes())
    except OSError as error:
        raise TargetError(f"{kernel.image} can't be read: {error.strerror}") from None
    place = cache() / "guest-code" / digest.hexdigest()[:24]
    try:
        start, end = (int(word, 16) for word in place.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        start, end = _asked(ask(), seconds)
        if not 0 < start < end:
            raise TargetError(f"coverage=on: the kernel {kernel.version} does not say where virtio_ring.c is") from None
        _keep(place, f"{start:x} {end:x}\n")
    return Code(start, end)


def _asked(guest: Guest, seconds: float) -> tuple[int, int]:
    deadline = time.monotonic() + seconds
    try:
        guest.boot(())
        while not guest.heard.release:
            time.sleep(_PAUSE)
            died = guest.alive()
            if died or time.monotonic() > deadline:
                why = died or f"it does not come up in {seconds:g} s"
                raise TargetError(f"coverage=on: a guest can't be asked where its code lies: {why}")
        return guest.heard.code
    finally:
        guest.close()


def _keep(place: Path, text: str) -> None:
    """A file that is there whole or not at all; without one it is asked again."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix="new-", dir=place.parent)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
        os.replace(name, place)
    except OSError as error:
        raise TargetError(f"nothing can be kept in {place.parent}: {error.strerror}") from None
