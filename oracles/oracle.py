"""The oracle: a trace in, a verdict out; live and from a saved trace by the same code.

One QueueOracle for each virtqueue, which share nothing, and one for the registers of the device.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from oracles.queue_oracle import QueueOracle
from oracles.register_oracle import KINDS, RegisterOracle
from oracles.rules import Violation
from oracles.trace import Entry, Idle, Observation, Resetting

__all__ = ["Oracle", "QueueOracle", "judge"]


class Oracle:
    """One QueueOracle for each virtqueue of a device.

    *without*: rules that are dropped, and with them all that they own. *unasked*: rules that don't bind, as those
    that the version of VIRTIO doesn't have (``rules.unbound``); their cases are for other rules to name.
    """

    def __init__(self, without: Iterable[str] = (), unasked: Iterable[str] = ()) -> None:
        self.without = frozenset(without)
        self.unasked = frozenset(unasked)
        self.queues: dict[int, QueueOracle] = {}
        self.registers: RegisterOracle | None = None  # once there is something to say about them

    def queue(self, number: int) -> QueueOracle:
        """The oracle of queue *number*, made when first asked for."""
        found = self.queues.get(number)
        if found is None:
            found = self.queues[number] = QueueOracle(number, self.without, self.unasked)
        return found

    def feed(self, queue: int, observation: Observation) -> Violation | None:
        """Judge one observation of one queue, or of the device's registers."""
        kind = type(observation)
        if kind in KINDS:
            if self.registers is None:
                self.registers = RegisterOracle(self.without, self.unasked)
            return self.registers.feed(queue, observation)
        violation = self.queue(queue).feed(observation)
        if violation is None and kind in (Idle, Resetting) and self.registers is not None:
            return self.registers.feed(queue, observation)
        return violation

    def conclude(self) -> Violation | None:
        """No observation follows: the first thing still to be said, or None."""
        for queue in self.queues.values():
            violation = queue.conclude()
            if violation is not None:
                return violation
        return None if self.registers is None else self.registers.conclude()

    @property
    def warnings(self) -> list[Violation]:
        """What is suspicious but legal, over all queues."""
        own = [] if self.registers is None else self.registers.warnings
        return [*own, *(warning for queue in self.queues.values() for warning in queue.warnings)]


def judge(
    entries: Iterable[Entry], without: Iterable[str] = (), unasked: Iterable[str] = ()
) -> tuple[Violation | None, list[Violation]]:
    """The first violation in a trace, or None; and the warnings. The same code as live, in a loop."""
    oracle = Oracle(without, unasked)
    for index, (number, observation) in enumerate(entries):
        violation = oracle.feed(number, observation)
        if violation is not None:
            return replace(violation, event=index), oracle.warnings
    return oracle.conclude(), oracle.warnings
