"""Faults of the reference driver that show only to whoever asks its upper half, each with a program in which we are
the device.

The faults stand in ``targets/model_driver/faults``. Knows the driver and programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from fuzz.confirm import Runner
from fuzz.encoding import load
from fuzz.proof import folder
from fuzz.targets import Target
from fuzz.targets.model_driver import ModelDriver
from fuzz.targets.model_driver.faults import FAULTS
from fuzz.verdict import Outcome


@dataclass(frozen=True, slots=True)
class TargetFault:
    """One defect of the reference driver: *rule* alone names it on the corpus file."""

    name: str
    rule: str
    layout: str

    @property
    def text(self) -> str:
        """What is wrong."""
        return FAULTS[self.name].text

    @property
    def corpus(self) -> str:
        """The file of the case."""
        return f"{self.rule}.{self.layout}.vq"

    def run(self, faulty: bool, without: frozenset[str] = frozenset()) -> Outcome:
        """Run the case on the driver with the fault, or on the one without."""
        program = load((folder() / self.corpus).read_text(encoding="utf-8"))
        runner = Runner(cast("Target", ModelDriver(self.name if faulty else "")))
        return runner.run(program, without=without)


def planted() -> Sequence[TargetFault]:
    """All faults, in the order of their rules."""
    return [
        TargetFault("a44", "VQ-DRV-WAKE", "packed"),
        TargetFault("a43", "VQ-DRV-WAKE", "split"),
        TargetFault("early", "VQ-DRV-HANDED", "split"),
        TargetFault("length", "VQ-DRV-LENGTH", "packed"),
        TargetFault("beside", "VQ-DRV-DATA", "packed"),
        TargetFault("beside", "VQ-DRV-DATA", "split"),
        TargetFault("a36", "VQ-DRV-ROOM", "split"),
    ]
