"""What a guest says: the agent's lines, and what a kernel prints when something is wrong with it.

Knows the words of both. Must not know machines.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field

from fuzz.targets.served.machine import OFF, STARTING, Handed

_LONGEST = 4096  # bytes of a line that is believed to be the agent's
_TIME = re.compile(r"^(<\d+>)?\[ *\d+\.\d+\](\[ *[TC]\d+\])? *")
#: how a kernel begins to say that it can't go on; what of these comes first is the cause
_FATAL = re.compile(
    r"(BUG: .*|Oops: .*|kernel BUG at .*|general protection fault.*|Internal error.*|Kernel panic - not syncing: .*)"
)
_PANIC = re.compile(r"Kernel panic - not syncing: .*")
_WHERE = re.compile(r"RIP: \S*?:?([a-z_][\w.]*\+0x\S+)")
_WARNING = re.compile(r"(WARNING: .*|INFO: task .* blocked for .*|watchdog: BUG: soft lockup.*|rcu: INFO: .*stall.*)")


@dataclass
class Device:
    """One device, as the agent speaks of it."""

    name: str = ""
    kind: int = 0
    state: str = STARTING
    features: int = 0  # as negotiated
    handed: list[Handed] = field(default_factory=list)


class Listener:
    """Understands the agent. ``feed()`` takes what came, in any pieces; what is no line of the agent is left out."""

    def __init__(self, slots: int) -> None:
        self.devices = [Device() for _ in range(slots)]
        self.release = ""  # of the kernel; '' before it has booted
        self.code = (0, 0)  # where its code for virtqueues lies, if it was asked
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Some bytes of the agent's."""
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace").strip())
        self._rest = rest[-_LONGEST:]

    def _line(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "ready":
            self._booted(rest)
            return
        if word == "code":
            with suppress(ValueError):
                start, end = rest.split(" ")
                self.code = int(start, 16), int(end, 16)
            return
        number, _, rest = rest.partition(" ")
        if not number.isdecimal() or int(number) >= len(self.devices):
            return
        device = self.devices[int(number)]
        try:
            self._told(word, device, rest)
        except ValueError:
            return  # a line that was cut, or of somebody else

    def _booted(self, release: str) -> None:
        self.release = release
        for device in self.devices:
            device.state = OFF if device.name else "failed: the guest has no such device"

    @staticmethod
    def _told(word: str, device: Device, rest: str) -> None:
        if word == "h":
            tag, result, check = rest.split(" ")
            data = b"" if check == "-" else bytes.fromhex(check)
            device.handed.append(Handed(int(tag, 16), int(result), data))
        elif word == "state":
            device.state = rest
        elif word == "failed":
            device.state = f"failed: {rest}"
        elif word == "features":
            device.features = int(rest, 16)
        elif word == "device":
            name, kind = rest.split(" ")
            device.name, device.kind = name, int(kind)


def _plain(line: str) -> str:
    return _TIME.sub("", line).strip()


def panic(text: str) -> str:
    """What killed a kernel, in one line, from what its console says; ''."""
    cause = where = ""
    last = ""
    for line in map(_plain, text.splitlines()):
        if not cause and (found := _FATAL.search(line)):
            cause = found[1]
        if cause and not where and (found := _WHERE.search(line)):
            where = found[1]
        if found := _PANIC.search(line):
            last = found[0]
    complaints = warnings(text) if "panic_on_warn" in last else []
    if complaints and cause == last:
        cause = complaints[-1]
    parts = [cause, f"in {where}" if where else "", last if last != cause else ""]
    return "; ".join(part for part in parts if part)


def warnings(text: str) -> list[str]:
    """Lines in which a kernel complains, and goes on."""
    return [found[1] for line in map(_plain, text.splitlines()) if (found := _WARNING.search(line))]
