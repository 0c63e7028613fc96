"""What a campaign came to, in numbers.

Knows outcomes as counts. Must not know how they came about, or how they are told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fuzz.deviations import Deviation
from fuzz.trouble import CONFORMS, FOUND, TARGET, UNCLEAR
from oracles import spec
from oracles.device_rules import rule_ids as device_rules
from oracles.driver_rules import rule_ids as driver_rules
from oracles.rules import Rule, registry


def of_target(role: str) -> list[Rule]:
    """Rules that bind what is fuzzed, which has this *role*, and that programs exercise: not those of registers and
    conversations, which have cases of their own, nor those of the other side, which is audited."""
    if role == "driver":
        return [registry()[rule] for rule in driver_rules()]
    seen_there = ("SUS-", "MM-")  # in rings, but only between accesses to registers
    return [registry()[rule] for rule in device_rules() if not rule.startswith(seen_there)]


@dataclass(slots=True)
class Tally:
    """What a campaign came to so far."""

    role: str = "device"  # of what is fuzzed
    drawn: int = 0  # programs, of which some may be left out
    programs: int = 0  # run
    chains: int = 0
    slow: int = 0  # conform, but only a long wait showed it
    undecided: int = 0
    flaky: int = 0  # finds that never came back
    rejected: int = 0  # hostile programs on which a device gave up cleanly
    unjudged: int = 0  # hostile programs on which it failed without anything hostile
    found: int = 0  # finds told
    ours: int = 0  # programs on which vqfuzz failed
    shapes: set[tuple[str, int]] = field(default_factory=set)  # layouts and features that programs had
    rules: set[str] = field(default_factory=set)  # that bore on them
    warnings: Counter[str] = field(default_factory=Counter)
    by_rule: Counter[str] = field(default_factory=Counter)
    known: Counter[Deviation] = field(default_factory=Counter)  # met again

    def shape(self, layout: str, features: int) -> None:
        """A program with this layout and these features ran: its rules were exercised."""
        if (layout, features) not in self.shapes:
            self.shapes.add((layout, features))
            wanted = features | (spec.RING_PACKED if layout == spec.PACKED else 0)
            self.rules |= {rule.id for rule in of_target(self.role) if rule.bears(layout, wanted)}

    def exercised(self) -> str:
        """How many of the rules that are checked bore on what ran."""
        checked = sum(rule.status == "checked" for rule in of_target(self.role))
        return f"{len(self.rules)} of {checked} rules exercised"

    def code(self) -> int:
        """The exit code."""
        if self.found:
            return FOUND
        if self.ours:
            return TARGET
        return UNCLEAR if self.undecided or self.flaky else CONFORMS
