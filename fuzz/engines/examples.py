"""The engine hypothesis: what its strategy for programs draws, one example after the other.

It wants to call, and so do we; so it runs in a thread of its own, and each of the two waits for the other. Its
database is off, and it is seeded, so that a run can be repeated. What it would shrink is never told to it.
Knows Hypothesis' settings. Must not know targets.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue

from fuzz import hostile
from fuzz.engines import Source
from fuzz.engines.plain import Directed
from fuzz.program import Program
from fuzz.verdict import Outcome

_ROUND = 1000  # examples of one run of Hypothesis; then it begins anew with another seed


class _Enough(BaseException):
    """No example is wanted any more; nothing in Hypothesis takes this for a failing test."""


class Examples(Directed):
    """Programs of ``fuzz.strategies``; hostile ones are those of the generator."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._given: SimpleQueue[Program | BaseException] = SimpleQueue()
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def make(self, number: int) -> Program:
        """The next example."""
        source = self.source
        if source.mode == "hostile" or (source.mode == "mixed" and number % 2):
            return hostile.drawn(source.mode, source.seed, number, source.limits)
        if self._thread is None:
            self._thread = threading.Thread(target=self._draw, name="hypothesis", daemon=True)
            self._thread.start()
        self._wanted.put(True)
        given = self._given.get()
        if isinstance(given, BaseException):
            raise given
        return given

    def ran(self, program: Program, outcome: Outcome) -> None:
        """It isn't told: it would begin to shrink."""

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._wanted.put(False)
            self._thread.join(5)
            self._thread = None

    def _draw(self) -> None:
        """In the thread: examples for as long as they are wanted."""
        try:
            number = 0
            while True:
                self._round(self.source.seed << 20 ^ number)
                number += 1
        except _Enough:
            pass
        except BaseException as error:  # whatever it is, who waits for an example must know
            self._given.put(error)

    def _round(self, start: int) -> None:
        from hypothesis import HealthCheck, Phase, given, seed, settings

        from fuzz.strategies import programs

        @seed(start)
        @settings(
            database=None,
            max_examples=_ROUND,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(programs(self.source.limits))
        def example(program: Program) -> None:
            if not self._wanted.get():
                raise _Enough
            self._given.put(program)

        example()
