"""Each planted fault with its case: named by its rule, lost without it, and nothing to say where it isn't planted.

The drop-one table. Knows outcomes and the catalogue. Must not know how a family runs its cases, or how this is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fuzz.proof import FAMILIES, Planted, family, folder
from fuzz.verdict import CONFORMS, Outcome
from oracles.rules import registry


@dataclass(frozen=True, slots=True)
class Proven:
    """One row: *wrong* is why it proves nothing, or ''; *beside*: rules that could have named it, too."""

    planted: Planted
    wrong: str = ""
    beside: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """That it is about."""
        return self.planted.rule


def names(outcome: Outcome) -> list[str]:
    """All that an outcome says: the violation's rule or the verdict, and the warnings' rules, each once."""
    said = [] if outcome.verdict == CONFORMS else [outcome.rule]
    return list(dict.fromkeys([*said, *(warning.rule for warning in outcome.warnings)]))


def prove(planted: Planted) -> Proven:
    """Run one fault's case in its three forms."""
    rule = planted.rule
    if not (folder() / planted.corpus).is_file():
        return Proven(planted, f"there is no corpus file {planted.corpus}")
    faulty = planted.run(True)
    said = names(faulty)
    beside = _beside(faulty)
    if said != [rule]:
        return Proven(planted, f"the fault is named {' '.join(said) or 'by nothing'}", beside)
    dropped = names(planted.run(True, frozenset({rule})))
    if dropped:
        return Proven(planted, f"without the rule it is still found, by {' '.join(dropped)}", beside)
    clean = names(planted.run(False))
    return Proven(planted, f"without the fault the case is accused: {' '.join(clean)}" if clean else "", beside)


def _beside(outcome: Outcome) -> tuple[str, ...]:
    """Rules that would have named the same thing if the first hadn't."""
    observed = outcome.violation.observed if outcome.violation is not None else ""
    words = observed.removeprefix("also broken: ") if observed.startswith("also broken: ") else ""
    return tuple(word.strip() for word in words.split(",") if word.strip())


def every(families: Sequence[str] = FAMILIES, progress: Callable[[str], None] = lambda text: None) -> list[Proven]:
    """All rows of *families*, in the order of the catalogue."""
    rows = []
    for name in families:
        for planted in family(name):
            progress(f"{planted.rule}: {planted.name}")
            rows.append(prove(planted))
    order = {rule: place for place, rule in enumerate(registry())}
    return sorted(rows, key=lambda row: order.get(row.rule, len(order)))


def unproven(rows: Iterable[Proven]) -> list[str]:
    """Checked rules without a row that is right, in the order of the catalogue."""
    proven = {row.rule for row in rows if not row.wrong}
    return [rule.id for rule in registry().values() if rule.status == "checked" and rule.id not in proven]
