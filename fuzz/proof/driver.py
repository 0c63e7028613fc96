"""Faults of our own driver, each with a program on which one rule alone names it: the proof of the audit.

The faults stand in ``driver_split`` and ``driver_packed``; the device is the clean model. Knows the driver of a
queue and programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuzz.confirm import Runner
from fuzz.driver_queue import DriverQueue
from fuzz.encoding import load
from fuzz.proof import folder
from fuzz.proof.driver_packed import FAULTS as PACKED
from fuzz.proof.driver_split import FAULTS as SPLIT
from fuzz.targets.model import Model
from fuzz.verdict import Outcome


@dataclass(frozen=True, slots=True)
class DriverFault:
    """One defect of the driver: *queue* shows it on the corpus file, and *rule* alone names it."""

    name: str
    rule: str
    layout: str
    text: str
    queue: type[DriverQueue]

    @property
    def corpus(self) -> str:
        """The file of the case; faults of the same rule share it."""
        return f"{self.rule}.{self.layout}.vq"

    def run(self, faulty: bool, without: frozenset[str] = frozenset()) -> Outcome:
        """Run the case on the clean model, audited, with the faulty driver or with ours."""
        program = load((folder() / self.corpus).read_text(encoding="utf-8"))
        runner = Runner(Model())
        runner.audit = True
        if faulty:
            runner.queue = self.queue
        return runner.run(program, without=without)


def planted() -> Sequence[DriverFault]:
    """All faults, split first."""
    return [DriverFault(*row) for row in (*SPLIT, *PACKED)]
