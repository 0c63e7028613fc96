"""What an oracle of devices is told, made from what the device saw of a driver: the same run from the other side.

Follows a queue's oracle of drivers, which knows the buffers that are exposed. So whoever plays the device is judged by
the rules that bind devices, and a run can be told as one is where we are the driver. Knows no rule.
"""

from __future__ import annotations

from itertools import islice

from oracles import spec
from oracles.driver_oracle import DriverQueueOracle
from oracles.exposed import Chain
from oracles.trace import (
    Called,
    Idle,
    Notified,
    Observation,
    Published,
    Rechecked,
    Reclaimed,
    Resetting,
    Returned,
    SawDescriptor,
    SawUsed,
    Started,
    Stored,
    Supplied,
    Suppressed,
)

_SAME = (Stored, SawUsed, SawDescriptor, Called, Notified, Idle, Resetting)


class Mirror:
    """One queue: call ``seen`` with each observation, after *oracle* was fed with it."""

    def __init__(self, oracle: DriverQueueOracle) -> None:
        self.oracle = oracle
        self.count = 0  # buffers exposed over the whole run
        self._serial = 0  # those of this life
        self._words = b""

    def seen(self, observation: Observation) -> list[Observation]:
        """What an oracle of devices is to be fed with."""
        if isinstance(observation, Started):
            if observation.cause != "restart":
                self._serial = 0
            self._words = bytes(4)  # as at first; what the driver says now is told again
            return [observation, *self._changed()]
        if isinstance(observation, _SAME):
            return [observation]
        if isinstance(observation, Returned):
            return [Reclaimed(1)]
        return self._changed()

    def _changed(self) -> list[Observation]:
        """What was exposed, and the driver's suppression words if they are others now."""
        told: list[Observation] = []
        follower = self.oracle.follower
        if follower is None or not self.oracle.live:
            return told
        if follower.serial != self._serial:
            fresh = follower.serial - self._serial
            self._serial = follower.serial
            for chain in reversed(list(islice(reversed(follower.outstanding.values()), fresh))):
                told += [self._supplied(chain), Published(1)]
        area, size = follower.driver, follower.size
        words = bytes(area[:4]) if follower.packed_layout else bytes(area[:2] + area[4 + 2 * size :])
        if words != self._words:
            self._words = words
            first, second = words[0] | words[1] << 8, words[2] | words[3] << 8
            if follower.packed_layout:
                first, second = second, first
            told += [Suppressed(first, second), Rechecked()]
        return told

    def _supplied(self, chain: Chain) -> Supplied:
        buffer = chain.buffer
        number, self.count = self.count, self.count + 1
        elements = tuple((address, length) for _, address, length, *_ in chain.all())
        direct = len(chain.items) - bool(chain.items[-1][3] & spec.DESC_F_INDIRECT)
        return Supplied(
            number, buffer.id, buffer.slots, buffer.readable, buffer.writable, elements, chain.table, direct
        )
