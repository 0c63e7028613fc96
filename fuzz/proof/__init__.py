"""Proof that each checked rule can fail: a planted fault that it alone names, and a program that stays clear of it.

A family of faults is a module here with ``planted()``: ``ring`` (the reference device), ``driver`` (our own
writes), ``driver_targets`` (drivers under test), ``registers`` (status, features, resets, virtio-pci, virtio-mmio)
and ``vhost_user`` (the protocol). Knows how a fault is shown. Must not know how tables are printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

from fuzz.verdict import Outcome

FAMILIES = ("ring", "driver", "driver_targets", "registers", "vhost_user")
_HERE = Path(__file__).resolve().parent
#: in a checkout, and in an installed package
PLACES = (_HERE.parents[1] / "corpus" / "rules", _HERE.parent / "rule_corpus")


class Planted(Protocol):
    """A fault with the case that shows it. The case conforms, and comes near the rule, where the fault is not."""

    @property
    def name(self) -> str:
        """Unique among all families, such as ``a05``."""
        ...

    @property
    def text(self) -> str:
        """What is wrong, in one line."""
        ...

    @property
    def rule(self) -> str:
        """The one rule that names it on the case."""
        ...

    @property
    def corpus(self) -> str:
        """The case's file under corpus/rules/: ``<RULE>.<layout>.vq``, or a ``.vqtrace`` for what is no program."""
        ...

    def run(self, faulty: bool, without: frozenset[str] = frozenset()) -> Outcome:
        """Run the case with the fault or without it. *without*: rules that are dropped: what they own nobody judges."""
        ...


def family(name: str) -> Sequence[Planted]:
    """The faults of one family, in the order of their rules."""
    found: Sequence[Planted] = import_module(f"fuzz.proof.{name}").planted()
    return found


def folder() -> Path:
    """Where the corpus of rules is."""
    return next((place for place in PLACES if place.is_dir()), PLACES[0])
