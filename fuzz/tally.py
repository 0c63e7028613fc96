"""What a campaign came to, in numbers.

Knows outcomes as counts, and the lines that tell them. Must not know how they came about, or where they are printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fuzz.deviations import Deviation, every
from fuzz.status import counted, duration
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
    by_queue: Counter[int] = field(default_factory=Counter)  # of those, as the device
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

    def directions(self) -> str:
        """How many buffers were used on each queue; '' if no program has several."""
        each = sorted(self.by_queue.items())
        return " (" + ", ".join(f"{count} on queue {number}" for number, count in each) + ")" if len(each) > 1 else ""

    def progress(self, whole: float, seconds: float, also: Sequence[str] = ()) -> str:
        """How far it is after *whole* seconds, of which *seconds* were for programs, and what *also* says: one line."""
        parts = [
            duration(whole),
            f"{counted(self.programs, 'program')}, {self.programs / seconds:.0f}/s",
            f"{self.chains / seconds:.0f} chains/s",
            self.exercised(),
            f"{counted(sum(self.by_rule.values()), 'find')}",
        ]
        return " · ".join([*parts, *also, *self._doubtful()])

    def remarks(self) -> list[str]:
        """A line for each deviation that is known, and for each warning."""
        lines = [
            f"known {one.id}: met {counted(count, 'time')}: {one.reason} (--all reports it)"
            for one, count in self.known.items()
        ]
        return lines + [
            f"warning {rule}: suspicious, but no failure by itself; seen {counted(count, 'time')} (vqfuzz rules {rule})"
            for rule, count in sorted(self.warnings.items())
        ]

    def summary(self, whole: float, seconds: float, out: Path, interrupted: bool, also: Sequence[str] = ()) -> str:
        """What it came to, and what *also* says, in one line; finds are in *out*."""
        parts = [
            f"{counted(self.programs, 'program')} in {duration(whole)}",
            f"{self.programs / seconds:.0f}/s",
            f"{counted(self.chains, 'buffer')} used{self.directions()}, {self.chains / seconds:.0f}/s",
            self.exercised(),
            *also,
            *self._doubtful(),
        ]
        parts += [f"{self.flaky} flaky"] if self.flaky else []
        parts += [f"{self.rejected} rejected cleanly"] if self.rejected else []
        parts += [f"{self.unjudged} not judged: they fail in legal mode, too"] if self.unjudged else []
        parts += [f"{counted(self.found, 'find')} in {out}" if self.found else "no violation"]
        return " · ".join(parts) + (" · interrupted" if interrupted else "")

    def _doubtful(self) -> list[str]:
        parts = [f"{self.slow} slow"] if self.slow else []
        return parts + ([f"{self.undecided} undecided"] if self.undecided else [])

    def add(self, other: Tally) -> None:
        """Count what *other* counted, too."""
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            elif isinstance(mine, set):
                mine |= theirs
            elif isinstance(mine, int):
                setattr(self, one.name, mine + theirs)

    def dump(self) -> dict[str, Any]:
        """Everything as what JSON has."""
        data: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            data[one.name] = sorted(value) if isinstance(value, set) else value
        return {**data, "known": [[deviation.id, count] for deviation, count in self.known.items()]}

    @classmethod
    def load(cls, data: dict[str, Any]) -> Tally:
        """What dump() made."""
        named = {deviation.id: deviation for deviation in every()} if data["known"] else {}
        known = Counter({named[name]: count for name, count in data["known"]})
        counters = {name: Counter(data[name]) for name in ("warnings", "by_rule")}
        counters["by_queue"] = Counter({int(number): count for number, count in data["by_queue"].items()})
        shapes = {(layout, features) for layout, features in data["shapes"]}
        return cls(**{**data, **counters, "known": known, "shapes": shapes, "rules": set(data["rules"])})

    def code(self) -> int:
        """The exit code."""
        if self.found:
            return FOUND
        if self.ours:
            return TARGET
        return UNCLEAR if self.undecided or self.flaky else CONFORMS
