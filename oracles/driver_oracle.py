"""The oracle of drivers: what was seen of a driver in, what is wrong with it out; live and from a saved trace.

A pure function in steps, one follower for each virtqueue. It judges from shared memory and events alone, so that
whoever plays the device can use it; where the trace says what the driver was asked for (Supplied), that is
compared too. After the first violation of a queue, or once its device broke a rule, it says no more of that queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from oracles import spec
from oracles.driver_rules import LINT, broken
from oracles.exposing import Follower, Found, Situation
from oracles.packed_driver import PackedFollower
from oracles.rules import Violation
from oracles.split_driver import SplitFollower
from oracles.trace import (
    Allowed,
    Answered,
    Asked,
    Called,
    Delivered,
    Entry,
    Exposed,
    Filled,
    Idle,
    Looked,
    Notified,
    Observation,
    Resetting,
    Returned,
    SawDescriptor,
    SawUsed,
    Started,
    Stored,
    Supplied,
)

_PASSING = frozenset(
    {"word", "unnotified", "unwanted", "returned", "beside", "foreign", "begun", "refused", "overlooked", "delivered"}
)
"""Moments after which a ring can be followed further, though the rule that names them was dropped."""


class DriverQueueOracle:
    """Judges the driver of one virtqueue. ``feed`` each observation in order; it returns a Violation or None."""

    def __init__(
        self, number: int = 0, without: frozenset[str] = frozenset(), unasked: frozenset[str] = frozenset()
    ) -> None:
        self.number = number
        self.without = without
        self.unasked = unasked
        self.warnings: list[Violation] = []
        self.follower: Follower | None = None
        self.live = False
        self._handlers: dict[type, Callable[[Any], Found]] = {Started: self._start}

    def feed(self, seen: Observation) -> Violation | None:
        """Judge one observation. Never raises on any sequence of well-typed observations."""
        handler = self._handlers.get(type(seen))
        if handler is None or not (self.live or isinstance(seen, Started)):
            return None
        found = handler(seen)
        if self.follower is not None and self.follower.lost:
            self.live = False
            return None
        return self._first(found) if found else None

    def _start(self, told: Started) -> Found:
        packed_layout = told.layout == spec.PACKED
        follower = self.follower
        if told.cause == "restart" and follower is not None and follower.packed_layout == packed_layout:
            follower.restart(told)
        else:
            follower = self.follower = (PackedFollower if packed_layout else SplitFollower)(told)
        self.live = not follower.lost
        self._handlers = {
            Started: self._start,
            Exposed: follower.exposed,
            Stored: follower.stored,
            Looked: follower.looked,
            Supplied: follower.supplied,
            Asked: follower.asked,
            Answered: follower.answered,
            Called: follower.called,
            Idle: follower.rested,
            Returned: follower.handed_up,
            Filled: follower.filled,
            Delivered: follower.delivered,
            Allowed: follower.allowed,
            Notified: follower.notified,
            SawDescriptor if packed_layout else SawUsed: follower.saw,
            Resetting: self._end,
        }
        return [follower.situation("started")]

    def _end(self, seen: Resetting) -> Found:
        self.live = False
        return None

    def _first(self, found: list[Situation]) -> Violation | None:
        """The first violation among *found*; what is only suspicious goes to the warnings."""
        for one in found:
            named = broken(one, self.without, self.unasked)
            worse = [pair for pair in named if pair[0] not in LINT]
            for rule, message in named if not worse else ():
                if all(rule != warning.rule for warning in self.warnings):
                    self.warnings.append(self._violation(one, rule, message))
            if worse:
                self.live = False
                violation = self._violation(one, *worse[0])
                also = [rule for rule, _ in worse[1:]]
                return replace(violation, observed=f"also broken: {', '.join(also)}") if also else violation
            if not named and self.without and one.moment not in (*_PASSING, "started"):
                self.live = False  # where the rings stand, nobody knows any more
                return None
        return None

    def _violation(self, one: Situation, rule: str, message: str) -> Violation:
        return Violation(rule, message, queue=self.number, position=one.slot)


class DriverOracle:
    """One DriverQueueOracle for each virtqueue; *without* and *unasked* as in ``oracle.Oracle``."""

    def __init__(self, without: Iterable[str] = (), unasked: Iterable[str] = ()) -> None:
        self.without = frozenset(without)
        self.unasked = frozenset(unasked)
        self.queues: dict[int, DriverQueueOracle] = {}

    def queue(self, number: int) -> DriverQueueOracle:
        """The oracle of queue *number*, made when first asked for."""
        found = self.queues.get(number)
        if found is None:
            found = self.queues[number] = DriverQueueOracle(number, self.without, self.unasked)
        return found

    def feed(self, queue: int, observation: Observation) -> Violation | None:
        """Judge one observation of one queue."""
        return self.queue(queue).feed(observation)

    @property
    def warnings(self) -> list[Violation]:
        """What is suspicious but legal, over all queues."""
        return [warning for queue in self.queues.values() for warning in queue.warnings]


def judge_driver(
    entries: Iterable[Entry], without: Iterable[str] = (), unasked: Iterable[str] = ()
) -> tuple[Violation | None, list[Violation]]:
    """The first violation of the driver in a trace, or None; and the warnings. The same code as live, in a loop."""
    oracle = DriverOracle(without, unasked)
    for index, (number, observation) in enumerate(entries):
        violation = oracle.feed(number, observation)
        if violation is not None:
            return replace(violation, event=index), oracle.warnings
    return None, oracle.warnings
