"""Guests as targets: four devices in each, all of which are asked what their driver takes before programs come.

Knows the life of a guest. Must not know rings, nor programs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import cast

from fuzz.program import Limits
from fuzz.targets import Offer, TargetError
from fuzz.targets.guests.guest import KINDS, MODES, OUTSTANDING, Guest
from fuzz.targets.served.bench import Bench
from fuzz.targets.served.kinds import load
from fuzz.targets.served.machine import OFF, WORKING
from fuzz.targets.served.session import RING_BITS
from fuzz.targets.served.target import ServedTarget
from oracles import spec

_PAUSE = 0.002  # seconds between two looks at a guest
_ONLY = {"warn": "panic", "coverage": "on"}  # options with one value
_UNIT = 60.0  # seconds that a driver may take to come up or to go


class GuestTarget(ServedTarget):
    """A ServedTarget whose machines are guests."""

    def probe(self) -> Offer:
        """What the driver takes of all that we offer, on each of its devices, and what it says itself that it took."""
        machine, bench = cast("tuple[Guest, Bench]", self.running())
        self._await(machine, bench, 0, OFF, self.starting)
        accepted = 0
        details: list[tuple[str, str]] = []
        for slot, (packed, in_order) in enumerate(MODES):
            bits = self._taken(machine, bench, slot)
            accepted |= bits & RING_BITS
            offered = (spec.PACKED if packed else spec.SPLIT) + (" in_order" if in_order else "")
            details.append((offered, f"{' '.join(spec.feature_names(bits))} · bits {_numbers(bits)}"))
        kind = load(self.kind)
        details.append(("release", machine.heard.release))
        return Offer(accepted, kind.queues, kind.config, (*details, *self._facts().items()))

    def _taken(self, machine: Guest, bench: Bench, slot: int) -> int:
        """Bind the driver of one device, served as a good device serves; the bits that it says it took."""
        machine.begin(slot)
        self._await(machine, bench, slot, WORKING, _UNIT)
        device = bench.device(slot)
        told, said = machine.features(slot), device.accepted if device is not None else 0
        machine.end(slot)
        self._await(machine, bench, slot, OFF, _UNIT)
        machine.handed(slot)
        if told & ~said & RING_BITS:
            raise TargetError(f"{self.name}: the driver says that it took {told:#x}, and told us {said:#x}")
        return told

    def _await(self, machine: Guest, bench: Bench, slot: int, state: str, seconds: float) -> None:
        """Serve until the device is in that state. Raises TargetError."""
        deadline = time.monotonic() + seconds
        while (now := machine.state(slot)) != state:
            bench.pump(_PAUSE)
            died = machine.alive()
            late = time.monotonic() > deadline
            if died or late or now.startswith("failed"):
                self.said = machine.words()
                self.restart()
                why = died or (now if now.startswith("failed") else f"{now} for {seconds:g} s")
                raise TargetError(f"{self.name} can't be asked: {why}")


def _numbers(bits: int) -> str:
    return " ".join(str(bit) for bit in range(64) if bits >> bit & 1)


def limits(size: int) -> Limits:
    """What may be drawn for a guest with queues of this size: we use its buffers, as it pleases."""
    return Limits(
        role="device",
        features=0,
        split_sizes=(size,),
        packed_sizes=(size,),
        actions=frozenset({"passive"}),
        longest_element=1 << 16,
        steps=60,
    )


def options(words: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """What stands before the first comma, and the options behind it. Raises TargetError."""
    named, *rest = words.partition(":")[2].split(",")
    found: dict[str, str] = {}
    for one in rest:
        name, _, value = one.partition("=")
        if name not in known or not value:
            raise TargetError(
                f"{words.partition(':')[0]} has no option {one!r}: {', '.join(f'{is_}=' for is_ in known)}"
            )
        found[name] = value
    if found.get("kind", "blk") not in KINDS:
        raise TargetError(f"{words.partition(':')[0]} has no kind={found['kind']}: there are {', '.join(KINDS)}")
    for name, only in _ONLY.items():
        if found.get(name, only) != only:
            raise TargetError(f"{words.partition(':')[0]} has no {name}={found[name]}: {only}, or nothing")
    return named, found


def target(
    words: str, kind: str, size: int, starting: float, make: Callable[[], Guest], facts: Callable[[], dict[str, str]]
) -> GuestTarget:
    """One that *words* name, with virtqueues of *size* entries."""
    return GuestTarget(words, make, kind, limits(size), most=OUTSTANDING[kind], starting=starting, facts=facts)
