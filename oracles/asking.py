"""Rules as questions: the decorator that registers one, and the asking.

Each rule is one small function: given a Case it returns what is wrong, in a sentence, or None. Rules
are asked only about what a reader could not wave through, most telling first, so that a finding
carries the name that helps most. Knows no rule itself: those that bind devices and those that bind drivers are
Questions of their own, about facts of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from oracles.model import Case


class Judged(Protocol):
    """What rules are asked about: the facts, and what was being looked at."""

    @property
    def moment(self) -> str:
        """Such as used, changed, sent."""
        ...


C = TypeVar("C", bound=Judged)


class Questions(Generic[C]):
    """Rules of one kind of case, in the order asked."""

    def __init__(self) -> None:
        self._rules: dict[str, list[tuple[str, Callable[[C], str | None]]]] = {}

    def rule(self, id_: str, *moments: str) -> Callable[[Callable[[C], str | None]], Callable[[C], str | None]]:
        """Register the decorated function as the rule *id_*, asked at each of *moments*, after those before it."""

        def register(check: Callable[[C], str | None]) -> Callable[[C], str | None]:
            for moment in moments:
                self._rules.setdefault(moment, []).append((id_, check))
            return check

        return register

    def broken(
        self, case: C, without: frozenset[str] = frozenset(), unasked: frozenset[str] = frozenset()
    ) -> list[tuple[str, str]]:
        """(rule id, what happened) for every rule that *case* breaks, most telling first; its first rule owns the case.

        *without*: dropped rules: what one of them owns is nobody's, though neighbours could name it too. So a rule
        whose loss loses a fault is needed, and ``selftest`` can show for each that it is. *unasked*: rules that don't
        bind, since the version of VIRTIO that we judge by does not have them: their cases are for the next to name.
        """
        found = []
        for id_, check in self._rules.get(case.moment, ()):
            if id_ not in unasked:
                message = check(case)
                if message:
                    found.append((id_, message))
        return [] if found and found[0][0] in without else found

    def moments(self, id_: str) -> frozenset[str]:
        """The moments at which the rule is asked."""
        return frozenset(moment for moment, checks in self._rules.items() if any(one == id_ for one, _ in checks))

    def rule_ids(self) -> list[str]:
        """Every rule that some registered check stands for, in the order asked."""
        return list(dict.fromkeys(id_ for checks in self._rules.values() for id_, _ in checks))


_DEVICE: Questions[Case] = Questions()
rule = _DEVICE.rule
broken = _DEVICE.broken
rule_ids = _DEVICE.rule_ids
