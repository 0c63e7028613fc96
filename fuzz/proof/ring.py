"""Faults of the reference device's rings, each with a program on which one rule alone names it.

the file ``<RULE>.<layout>.vq`` of the corpus of rules. Knows the model target and programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuzz.confirm import Runner
from fuzz.encoding import load
from fuzz.proof import folder
from fuzz.proof.ring_packed import ROWS as PACKED
from fuzz.proof.ring_split import ROWS as SPLIT
from fuzz.targets.model import Model
from fuzz.targets.model.faults import FAULTS
from fuzz.verdict import Outcome


@dataclass(frozen=True, slots=True)
class RingFault:
    """One row: *fault* shows on the corpus file, and *rule* alone names it."""

    rule: str
    layout: str
    fault: str

    @property
    def name(self) -> str:
        """The fault as the model knows it."""
        return self.fault

    @property
    def text(self) -> str:
        """What is wrong, in one line."""
        return FAULTS[self.fault].text

    @property
    def corpus(self) -> str:
        """The file of the case."""
        return f"{self.rule}.{self.layout}.vq"

    def run(self, faulty: bool, without: frozenset[str] = frozenset()) -> Outcome:
        """Run the case on the model, with the fault or without it."""
        path = folder() / self.corpus
        program = load(path.read_text(encoding="utf-8"))
        return Runner(Model(self.fault, mended=not faulty)).run(program, without=without)


def planted() -> Sequence[RingFault]:
    """All rows, split first."""
    return [RingFault(*row) for row in (*SPLIT, *PACKED)]
