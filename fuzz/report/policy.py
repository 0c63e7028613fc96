"""Our choices where the specification is open, by number: what a report says of the one by which it judged.

Knows ``policy.toml`` beside it, which is read when somebody asks. ``docs/policy.md`` has each choice with its reasons.
Must not know rules but by their field.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

from oracles.rules import Rule


class Choice(NamedTuple):
    """One entry."""

    question: str
    choice: str


@functools.cache
def choices() -> dict[str, Choice]:
    """All choices by number, such as A3, in order. Read once; not to be changed."""
    import tomllib  # late: most commands never ask

    table = tomllib.loads(Path(__file__).with_name("policy.toml").read_text(encoding="utf-8"))
    return {number: Choice(entry["question"], entry["choice"]) for number, entry in table.items()}


def told(rule: Rule) -> list[tuple[str, str]]:
    """(``policy A3``, what we chose) for each choice that *rule* rests on. Raises KeyError if one has no entry."""
    return [(f"policy {number}", choices()[number].choice) for number in rule.policy.split()]
