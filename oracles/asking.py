"""Rules as questions: the decorator that registers one, and the asking.

Each rule is one small function: given a Case it returns what is wrong, in a sentence, or None. Rules
are asked only about what a reader could not wave through, most telling first, so that a finding
carries the name that helps most. Knows no rule itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from oracles.model import Case

Check = Callable[[Case], "str | None"]
_RULES: dict[str, list[tuple[str, Check]]] = {}


def rule(id_: str, *moments: str) -> Callable[[Check], Check]:
    """Register the decorated function as the rule *id_*, asked at each of *moments*, after those before it."""

    def register(check: Check) -> Check:
        for moment in moments:
            _RULES.setdefault(moment, []).append((id_, check))
        return check

    return register


def broken(case: Case, without: Iterable[str] = ()) -> list[tuple[str, str]]:
    """(rule id, what happened) for every rule that *case* breaks, most telling first."""
    skip = frozenset(without)
    found = []
    for id_, check in _RULES.get(case.moment, ()):
        if id_ not in skip:
            message = check(case)
            if message:
                found.append((id_, message))
    return found


def rule_ids() -> list[str]:
    """Every rule that some registered check stands for, in the order asked."""
    return list(dict.fromkeys(id_ for checks in _RULES.values() for id_, _ in checks))
