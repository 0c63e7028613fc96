"""Deterministic cases of ``vqfuzz check``: what is run for a rule, and what it came to.

Programs are one kind of case; ``registers`` (virtio-pci and virtio-mmio) and ``vhost_user`` (the protocol)
are others: each of these modules has ``cases(target)``. Knows rules and outcomes; must not know reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fuzz.targets import Target
from fuzz.verdict import Outcome

KINDS: tuple[str, ...] = ("registers", "vhost_user")
"""Modules of cases of the control plane."""


class NotOffered(Exception):
    """The target lacks what the case needs. One line: what that is."""


@dataclass(frozen=True, slots=True)
class Check:
    """One case: deterministic, of its own session, and over within a second on a target that answers.

    *run* returns an outcome: CONFORMS, VIOLATES with the rule, CRASHED, HUNG, BROKEN or UNDECIDED; it raises
    NotOffered if the target can't be asked, and TargetError if it can't be used.
    """

    name: str  # of the case, unique among those of a target
    rules: tuple[str, ...]  # that it looks at: passed if it conforms
    layout: str  # split | packed | ""
    run: Callable[[], Outcome]


def of(target: Target) -> list[Check]:
    """The cases of every kind that *target* can be asked, in the order of the kinds."""
    from importlib import import_module

    found: list[Check] = []
    for name in KINDS:
        found += import_module(f"fuzz.cases.{name}").cases(target)
    return found
