"""The time of a run on a driver: what of a find still fits into it.

A driver that loops or comes to nothing takes seconds each time, so that re-runs and shrinking would outlast ``--time``.
Knows how long the run may take, and how long an execution takes. Must not know what is executed.
"""

from __future__ import annotations

import time

from fuzz.verdict import HUNG

_HANGS = 2  # executions of what hangs a driver
_LEAST = 3.0  # seconds for making a find small when the time of the run is over …
_DEAR = 0.5  # … if an execution takes no longer than this
FOREVER = float("inf")


class Pace:
    """One run of *seconds*, None: without end. Unless it is on a *driver*, only ``left`` means something."""

    def __init__(self, seconds: float | None, driver: bool) -> None:
        self._seconds = FOREVER if seconds is None else seconds
        self._driver = driver
        self._bound = driver and seconds is not None
        self.deadline = FOREVER  # of the monotonic clock
        self.cost = 0.0  # seconds that the last execution took

    def begin(self) -> float:
        """The run begins, now."""
        now = time.monotonic()
        self.deadline = now + self._seconds
        return now

    @property
    def until(self) -> float:
        """How long a driver may be waited for patiently, of the monotonic clock."""
        return self.deadline if self._bound else FOREVER

    def left(self) -> float:
        """Seconds of the run that are left."""
        return self.deadline - time.monotonic()

    def over(self) -> bool:
        """Whether nothing more may be begun about a find."""
        return self._bound and self.left() <= 0

    def times(self, most: int, rule: str) -> int:
        """How often a find by *rule* is run again: once at least."""
        most = min(most, _HANGS) if rule == HUNG and self._driver else most
        if not self._bound:
            return most
        return max(1, min(most, int(self.left() / max(self.cost, 1e-3))))

    def shrinking(self, rule: str, seconds: float) -> float | None:
        """Seconds for making a find by *rule* small, 0: as many as one likes; None: there is no time.

        *seconds*: more are not wanted, 0: any number is.
        """
        if not self._bound:
            return seconds
        left = self.left() - self.cost  # the last execution may begin at the end
        if rule != HUNG and self.cost <= _DEAR:
            left = max(left, _LEAST)
        return min(left, seconds or left) if left > 0 else None
