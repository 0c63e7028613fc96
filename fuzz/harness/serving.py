"""A harness for a campaign: programs run here, under libFuzzer; those that fail are handed back, and it goes on.

``python -m fuzz.harness.serving SETTINGS``, with settings as JSON. A line of JSON on standard output tells how many
programs ran, and what failed; then a line on standard input lets it go on. It ends when its parent does. Knows that
conversation; ``fuzz.engines.libfuzzer`` is the other side.
"""

import json
import os
import sys
import time
import zlib
from dataclasses import asdict
from typing import Any

from fuzz import encoding
from fuzz.harness import start
from fuzz.harness.programs import Programs, decode
from fuzz.program import Limits
from fuzz.registry import make
from fuzz.states import states
from fuzz.targets import Target
from fuzz.traits import traits
from fuzz.verdict import BAD
from oracles.rules import unbound

_SECONDS = 0.2  # between two lines
STATES = 1 << 12
"""Counters for states of the protocol: there are some three thousand."""
_SETS = ("actions", "uncut")


def limits_to_json(limits: Limits) -> dict[str, Any]:
    """*limits* as JSON has it."""
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(limits).items()}


def limits_from_json(given: dict[str, Any]) -> Limits:
    """The inverse."""
    facts: dict[str, Any] = {
        name: frozenset(value) if name in _SETS else _tuples(value) for name, value in given.items()
    }
    return Limits(**facts)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


class Served(Programs):
    """Programs as a campaign wants them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        limits = limits_from_json(settings["limits"])
        super().__init__(settings["words"], lambda _: limits)
        self.settings = settings
        self.avoid = frozenset(settings["avoid"])
        self.count = 0
        self.used = 0
        self.shapes: set[tuple[str, int]] = set()
        self.told: set[tuple[str, int]] = set()
        self.due = 0.0
        self.bank: start.Bank | None = None
        runner = self.runner
        runner.unasked, runner.strict = unbound(settings["version"]), settings["strict"]

    def make(self) -> Target:
        """The target."""
        return make(self.words, self.settings["qemu"])

    def serve(self, data: bytes) -> None:
        """One input."""
        program = decode(data, self.limits)
        if self.avoid and not self.avoid.isdisjoint(traits(program, self.limits.hints)):
            return
        outcome = self.run(program, zlib.crc32(data))
        self.count += 1
        self.used += outcome.chains
        self.shapes.add((program.layout, program.features))
        if self.bank is not None:
            self.bank.reach(states(outcome.trace))
        if outcome.verdict in BAD:
            self.tell(encoding.dump(program))
            if not sys.stdin.readline():
                os._exit(0)  # whoever wanted it is gone
        elif self.count >= self.settings["runs"] or time.monotonic() > self.due:
            self.tell()
        if self.count >= self.settings["runs"]:
            os._exit(0)

    def tell(self, find: str = "") -> None:
        """How far it is, and what failed."""
        line = {"ran": self.count, "used": self.used, "shapes": sorted(self.shapes - self.told), "find": find}
        self.told |= self.shapes
        self.due = time.monotonic() + _SECONDS
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Never returns."""
    settings = json.loads(sys.argv.pop(1))
    start.end_with_parent(settings["parent"])
    served = Served(settings)

    def TestOneInput(data: bytes) -> None:
        served.serve(data)

    served.counted()
    if settings["states"]:
        served.bank = start.Bank(STATES)
    modules = () if settings["plain"] else start.DRIVER if served.limits.role == "device" else start.DEVICE
    start.start(TestOneInput, modules, served if settings["mutator"] else None)


if __name__ == "__main__":
    main()
