"""What a driver that forwards hands up, seen from outside: a frame that we put into one queue comes out of another.

Where nobody can ask a driver's upper half, this tells which buffer it took back next, and how long it thinks that it
is. Knows two queues that we serve. Must not judge: what came back is told as an observation of the first of them.
"""

from __future__ import annotations

from fuzz.device_queue import UNKNOWN, DeviceQueue
from oracles import exposed
from oracles.trace import Returned

STAMP = 4
"""Bytes behind the header of a frame that say which buffer it was."""


class Echo:
    """Between the queue that receives and the one that transmits.

    A driver may drop what it has no room for. As long as both queues together had less under way than fits into the
    second, two descriptors for each frame, nothing was dropped: then what comes out is what was taken back, in that
    order. Once that is not certain any more (``loose``), nothing is told, and nothing is waited for.
    """

    def __init__(self, receiving: DeviceQueue, sending: DeviceQueue) -> None:
        self.receiving = receiving
        self.sending = sending
        self.loose = False
        self._under_way: dict[int, int] = {}  # serial numbers of buffers that were used, to their ids; oldest first
        receiving.stamp = STAMP
        receiving.given = self._given
        sending.arrived = self._arrived

    def owed(self) -> int:
        """Frames that are still to come."""
        return 0 if self.loose else len(self._under_way)

    def _given(self, taken: list[tuple[int, int]]) -> None:
        """Buffers are about to be used, (serial number, id) each: before the driver can see them."""
        self._under_way.update(taken)
        outstanding = len(self.sending.follower.outstanding)
        self.loose = self.loose or 2 * (len(self._under_way) + outstanding) > self.sending.follower.size

    def _arrived(self, chain: exposed.Chain) -> None:
        """The driver sends a frame."""
        if self.loose:
            return
        data = bytearray()
        for _, address, length, *_ in chain.all():
            at = address - self.sending.session.address
            data += self.sending.memory[max(at, 0) : max(at + length, 0)]
        header = len(self.receiving.prefix)
        number = int.from_bytes(data[header : header + STAMP], "little")
        self.receiving.feed(Returned(self._under_way.pop(number, UNKNOWN), len(data)))


def echo_of(queues: list[DeviceQueue]) -> Echo | None:
    """The echo between the first two queues, if there are two and their driver forwards."""
    if len(queues) < 2 or not getattr(queues[0].session, "forwards", False):
        return None
    return Echo(queues[0], queues[1])
