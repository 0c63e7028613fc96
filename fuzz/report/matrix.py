"""Targets by rules, from a comparison: who conforms to what, as data for a table of text, JSON or HTML.

Knows counts and the catalogue. Must not know how a comparison was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fuzz.diff import Differ, Side
from fuzz.report.aside import shorter
from fuzz.verdict import BROKEN, CONFORMS, CRASHED, HUNG, OUR_FAULT, UNDECIDED
from oracles import spec
from oracles.rules import Rule, registry

KEPT, BROKE, WARNED, LACKS, UNTRIED = "conforms", "violates", "warning", "not offered", "not exercised"
_VERDICTS = {
    CRASHED: ("crashed", "the target died"),
    HUNG: ("hung", "the target answers no more"),
    BROKEN: ("gave up", "the device needs a reset, it says"),
    UNDECIDED: ("undecided", "only a wait expired"),
    OUR_FAULT: ("not judged", "vqfuzz itself failed"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What a target does about a rule, and in how many programs."""

    state: str  # conforms | violates | warning | not offered | not exercised | crashed | hung | gave up | undecided
    count: int = 0

    def __str__(self) -> str:
        return f"{self.state} {self.count}" if self.count else self.state


@dataclass(frozen=True, slots=True)
class Line:
    """A rule, or a verdict that no rule explains, and a cell for each target."""

    rule: str
    title: str
    level: str
    section: str
    cells: tuple[Cell, ...]

    @property
    def differs(self) -> bool:
        """Whether the targets don't all do the same."""
        return len({cell.state for cell in self.cells}) > 1

    @property
    def kept(self) -> bool:
        """Whether all of them were seen to keep it."""
        return all(cell.state == KEPT for cell in self.cells)

    @property
    def clean(self) -> bool:
        """Whether nothing is said against anybody."""
        return all(cell.state in (KEPT, LACKS, UNTRIED) for cell in self.cells)


def matrix(differ: Differ) -> list[Line]:
    """All lines: verdicts first, then the rules that bind what is under test, in the order of the catalogue."""
    sides = differ.sides
    lines = []
    for verdict, (state, title) in _VERDICTS.items():
        counts = [side.counts[verdict] for side in sides]
        if any(counts):
            lines.append(Line(verdict, title, "", "", tuple(Cell(state, one) if one else Cell(KEPT) for one in counts)))
    for rule in registry().values():
        seen = any(side.counts[rule.id] or side.warnings[rule.id] for side in sides)
        if not seen and (rule.status != "checked" or rule.subject in ("driver", "front-end")):
            continue
        cells = tuple(_cell(rule, side, rule.id in differ.tally.rules) for side in sides)
        if all(cell.state == LACKS for cell in cells):
            continue
        section = rule.section[spec.VERSIONS[-1]] or rule.document
        lines.append(Line(rule.id, rule.title, rule.level.value, section, cells))
    return lines


def _cell(rule: Rule, side: Side, exercised: bool) -> Cell:
    if side.counts[rule.id]:
        return Cell(BROKE, side.counts[rule.id])
    if side.warnings[rule.id]:
        return Cell(WARNED, side.warnings[rule.id])
    if not _offers(rule, side):
        return Cell(LACKS)
    return Cell(KEPT if exercised else UNTRIED)


def _seat(rule: Rule, target: str) -> bool:
    """Whether we see what the rule is about: messages of a back-end, registers of a transport."""
    kind = target.partition(":")[0].partition("[")[0]
    if rule.document == "vhost-user":
        return kind not in ("model", "qemu")
    section = rule.section[spec.VERSIONS[-1]]
    if section.startswith("4.1"):
        return kind == "qemu" and "-device" not in target
    if section.startswith("4.2"):
        return kind == "qemu" and "-device" in target
    return True


def _offers(rule: Rule, side: Side) -> bool:
    if not _seat(rule, side.target.name):
        return False
    layouts = side.own.layouts if rule.layout == "both" else (rule.layout,)
    needs = [name for name in rule.requires if not name.startswith("!")]
    offered = side.offer.features | spec.VERSION_1
    if "in_order" in needs and True not in side.own.in_order:
        return False
    return any(layout in side.own.layouts for layout in layouts) and all(
        offered & spec.FEATURE_NAMES[name] for name in needs
    )


def conforming(side: Side) -> int:
    """How many programs a side was judged to conform in."""
    return side.counts[CONFORMS]


def table(lines: Iterable[Line], labels: Sequence[str], width: int) -> list[str]:
    """Lines as text in columns, the header first; long names of targets are cut."""
    shown = list(lines)
    room = max(14, (width - 26) // max(1, len(labels)) - 2)
    heads = [shorter(name, room) for name in labels]
    first = max([len(line.rule) for line in shown] + [4])
    cells = [[str(cell) for cell in line.cells] for line in shown]
    widths = [max([len(head), *(len(row[number]) for row in cells)]) for number, head in enumerate(heads)]
    rows = [("rule", heads), *((line.rule, row) for line, row in zip(shown, cells, strict=True))]
    return [
        f"{name:<{first}}  " + "  ".join(text.ljust(wide) for text, wide in zip(row, widths, strict=True)).rstrip()
        for name, row in rows
    ]


__all__ = ["BROKE", "KEPT", "LACKS", "UNTRIED", "WARNED", "Cell", "Line", "conforming", "matrix", "table"]
