"""The oracle: a trace in, a verdict out; live and from a saved trace by the same code.

One QueueOracle for each virtqueue; what they share is when buffers became available, and who keeps an order. The
registers of the device, and what is said on a vhost-user connection, each have an oracle of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from oracles import message_oracle
from oracles.beside import Beside
from oracles.message_oracle import MessageOracle
from oracles.poked import WaryOracle
from oracles.queue_oracle import QueueOracle
from oracles.register_oracle import KINDS, RegisterOracle
from oracles.rules import Violation
from oracles.trace import Entry, Idle, Observation, Resetting, Started

__all__ = ["Oracle", "QueueOracle", "judge"]


class Oracle:
    """One QueueOracle for each virtqueue of a device.

    *without*: rules that are dropped, and with them all that they own. *unasked*: rules that don't bind, as those
    that the version of VIRTIO doesn't have (``rules.unbound``); their cases are for other rules to name.
    """

    def __init__(self, without: Iterable[str] = (), unasked: Iterable[str] = ()) -> None:
        self.without = frozenset(without)
        self.unasked = frozenset(unasked)
        self.queues: dict[int, WaryOracle] = {}
        self._beside: list[Beside] = []
        self.messages: MessageOracle | None = None  # from the first connection on
        self.registers: RegisterOracle | None = None  # once there is something to say about them

    def queue(self, number: int) -> WaryOracle:
        """The oracle of queue *number*, made when first asked for."""
        found = self.queues.get(number)
        if found is None:
            found = self.queues[number] = WaryOracle(number, self.without, self.unasked, Beside(self._beside))
        return found

    def feed(self, queue: int, observation: Observation) -> Violation | None:
        """Judge one observation of one queue, of the device's registers, or of the connection that all share."""
        kind = type(observation)
        if kind in KINDS:
            if self.registers is None:
                self.registers = RegisterOracle(self.without, self.unasked)
            return self.registers.feed(queue, observation)
        if isinstance(observation, message_oracle.KINDS):
            if self.messages is None:
                self.messages = MessageOracle(self.without, self.unasked)
            return self.messages.feed(queue, observation)
        violation = self.queue(queue).feed(observation)
        if violation is None and self.registers is not None and kind in (Idle, Resetting):
            violation = self.registers.feed(queue, observation)
        if violation is None and self.messages is not None and kind in (Started, Idle):
            violation = self.messages.feed(queue, observation)
        return violation

    def conclude(self) -> Violation | None:
        """No observation follows: the first thing still to be said, or None."""
        for queue in self.queues.values():
            violation = queue.conclude()
            if violation is not None:
                return violation
        for other in (self.registers, self.messages):
            violation = None if other is None else other.conclude()
            if violation is not None:
                return violation
        return None

    @property
    def warnings(self) -> list[Violation]:
        """What is suspicious but legal: in the registers, over all queues, on the connection."""
        found = [] if self.registers is None else list(self.registers.warnings)
        for queue in self.queues.values():
            found += queue.warnings
        return found if self.messages is None else found + self.messages.warnings


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
