"""Rules of registers as questions, as ``asking`` has them for rings.

Each is one small function: given the log so far and the access that follows, it returns what is wrong, in a
sentence, or None. Knows no rule itself.
"""

from __future__ import annotations

from collections.abc import Callable

from oracles.register_log import Access, Log

Check = Callable[[Log, Access], "str | None"]
_RULES: dict[tuple[str, str], list[tuple[str, Check]]] = {}
#: Rules that are SHOULD or lint: what breaks them is a warning.
WARNINGS: set[str] = set()
ANY = "*"


def rule(id_: str, moment: str, *names: str, warns: bool = False) -> Callable[[Check], Check]:
    """Register the decorated function as the rule *id_*, asked at accesses to the registers *names* (or to any)."""
    if warns:
        WARNINGS.add(id_)

    def register(check: Check) -> Check:
        for name in names or (ANY,):
            _RULES.setdefault((moment, name), []).append((id_, check))
        return check

    return register


def broken(
    log: Log, access: Access, without: frozenset[str] = frozenset(), unasked: frozenset[str] = frozenset()
) -> list[tuple[str, str]]:
    """(rule id, what happened) for every rule that *access* breaks; see ``asking.broken``.

    What a driver does on purpose (Meant) is not asked about.
    """
    found = []
    for key in ((access.moment, access.name), (access.moment, ANY)):
        for id_, check in _RULES.get(key, ()):
            if id_ not in unasked and id_ not in log.meant:
                message = check(log, access)
                if message:
                    found.append((id_, message))
    return [] if found and found[0][0] in without else found


def rule_ids() -> list[str]:
    """Every rule that some registered check stands for, in the order asked."""
    return list(dict.fromkeys(id_ for checks in _RULES.values() for id_, _ in checks))
