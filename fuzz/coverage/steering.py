"""A campaign that is steered by the coverage of its target: which program is next, and what it showed.

Knows targets that count, and the search that learns. Must not know verdicts, or what becomes of finds.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from fuzz.coverage.feedback import Feedback, Seen
from fuzz.guided import Guided
from fuzz.hostile import drawn
from fuzz.program import Limits, Program
from fuzz.status import counted
from fuzz.targets import Target, TargetError
from fuzz.targets.counters import Counted, Counters
from fuzz.trouble import UsageTrouble

WAYS = ("auto", "off")
_TRIALS = 4  # programs at the beginning that run twice, to see whether they show the same


def steering(way: str, target: Target, seed: int, limits: Limits, mode: str) -> Steering | None:
    """What steers a campaign on *target*, which was started; None if it doesn't count, or *way* is off."""
    if way not in WAYS:
        raise UsageTrouble(f"--coverage is {' or '.join(WAYS)}, not {way!r}")
    counters = _counters(target) if way == "auto" else None
    if counters is None:
        return None
    wide = limits if mode == "legal" else replace(limits, actions=limits.actions | {"hostile"})
    search = Guided(seed, wide, fresh=lambda index: drawn(mode, seed, index, limits))
    return Steering(target, counters, search)


def _counters(target: Target) -> Counters | None:
    return target.counters() if isinstance(target, Counted) else None


class Steering:
    """The loop: ``program(index)``, run it, ``ran(program, again)``."""

    def __init__(self, target: Target, counters: Counters, search: Guided) -> None:
        self.search = search
        self.feedback = Feedback(counters)
        self.again = 0  # programs that ran once more, to see what of it is chance
        self._target = target
        self._trials = _TRIALS
        self._shaky = False  # whether the same program was seen to show something else

    def program(self, index: int) -> Program:
        """Program number *index* of this search."""
        return self.search.program(index)

    def ran(self, program: Program, again: Callable[[], object]) -> None:
        """*program* has just run; *again* runs it once more."""
        seen = self._look()
        if self.search.lookout(seen.features) and (self._shaky or self._trials):
            self._trials -= self._trials > 0
            again()
            self.again += 1
            second = self._look()
            self._shaky |= self.feedback.unsteady(seen.features, second.features) > 0
            seen = Seen(self.feedback.steady(seen.features & second.features), seen.pairs)
        self.search.learn(program, seen.features, seen.pairs)

    def _look(self) -> Seen:
        with suppress(TargetError):  # the next run tells
            counters = _counters(self._target)  # they are others when the target was started anew
            if counters is not None:
                self.feedback.counters = counters
        return self.feedback.look()

    def words(self) -> str:
        """How far it is, for people."""
        parts = [counted(len(self.feedback.edges), "edge"), f"{counted(len(self.search.kept), 'program')} kept"]
        parts += [f"{len(self.feedback.masked)} masked"] if self.feedback.masked else []
        return ", ".join(parts)
