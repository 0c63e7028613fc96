"""Engines made of others: the programs of a corpus before all that is drawn, and what a target's coverage suggests.

Knows engines, and what steers by coverage. Must not know where a corpus lies, or what becomes of a program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fuzz.coverage.steering import Steering
from fuzz.engines import Engine
from fuzz.program import Program
from fuzz.verdict import BAD, Outcome


class Steered:
    """Programs as *steering* chooses them. *again*: runs a program once more, to see what of it is chance."""

    apart = False
    over = False
    used = 0

    def __init__(self, steering: Steering, again: Callable[[Program], object]) -> None:
        self.steering = steering
        self.drawn = 0
        self.shapes: list[tuple[str, int]] = []
        self._again = again

    def next(self) -> Program:
        """The next program."""
        self.drawn += 1
        return self.steering.program(self.drawn - 1)

    def ran(self, program: Program, outcome: Outcome) -> None:
        """What it reached. Of one that failed nothing is learnt: it is not to be met again and again."""
        if outcome.verdict not in BAD:
            self.steering.ran(program, lambda: self._again(program))

    def close(self) -> None:
        """Nothing to let go of."""


class Behind:
    """The programs *first*, whose numbers are below 0, and behind them those of *engine*."""

    def __init__(self, first: Sequence[Program], engine: Engine) -> None:
        self.engine = engine
        self.shapes = engine.shapes
        self._first = list(reversed(first))
        self._own = True  # whether the last program was one of the first

    @property
    def drawn(self) -> int:
        """As if the first were numbered from below 0 up to it."""
        return self.engine.drawn - len(self._first)

    @property
    def over(self) -> bool:
        """Whether none will follow."""
        return not self._first and self.engine.over

    @property
    def apart(self) -> bool:
        """Whether the programs that come now were run already."""
        return not self._own and self.engine.apart

    @property
    def used(self) -> int:
        """Buffers used by programs that were run elsewhere."""
        return self.engine.used

    def next(self) -> Program | None:
        """The next program."""
        self._own = bool(self._first)
        return self._first.pop() if self._first else self.engine.next()

    def ran(self, program: Program, outcome: Outcome) -> None:
        """What came of it: those that learn, learn from the first ones as well."""
        self.engine.ran(program, outcome)

    def close(self) -> None:
        """Let go of everything."""
        self.engine.close()
