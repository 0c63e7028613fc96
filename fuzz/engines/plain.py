"""The engines that make programs here and now: directed, random, and guided by states of the protocol.

Knows generators. Must not know targets.
"""

from __future__ import annotations

from dataclasses import replace

from fuzz import generate, hostile
from fuzz.engines import Source
from fuzz.guided import Guided
from fuzz.program import Limits, Program
from fuzz.states import states
from fuzz.verdict import Outcome

__all__ = ["Directed", "Plain", "States", "widest"]


def widest(limits: Limits, mode: str) -> Limits:
    """What a program of this *mode* may hold."""
    if mode == "legal":
        return limits
    return replace(hostile.widened(limits), actions=limits.actions | {"hostile"})


class Directed:
    """The directed generator: program number N of a seed is the same whatever came before."""

    apart = False
    over = False
    used = 0
    shapes: list[tuple[str, int]]

    def __init__(self, source: Source) -> None:
        self.source = source
        self.drawn = 0
        self.shapes = []

    def next(self) -> Program:
        """The next program."""
        number = self.drawn
        self.drawn += 1
        return self.make(number)

    def make(self, number: int) -> Program:
        """Program *number*."""
        source = self.source
        return hostile.drawn(source.mode, source.seed, number, source.limits)

    def ran(self, program: Program, outcome: Outcome) -> None:
        """It doesn't matter."""

    def close(self) -> None:
        """Nothing to let go of."""


class Plain(Directed):
    """Uniform programs: of each kind of step and each number, all are equally likely. Hostile ones as ever."""

    def make(self, number: int) -> Program:
        """Program *number*."""
        source = self.source
        if source.mode == "hostile" or (source.mode == "mixed" and number % 2):
            return super().make(number)
        return generate.plain(source.seed, number, source.limits)


class States(Directed):
    """Directed programs, and what a search makes of those that reached new states."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.search = Guided(source.seed, widest(source.limits, source.mode), fresh=super().make)

    def make(self, number: int) -> Program:
        """Program *number*."""
        return self.search.program(number)

    def ran(self, program: Program, outcome: Outcome) -> None:
        """Keep it if it reached something new."""
        self.search.learn(program, states(outcome.trace))
