"""What a driver's upper half is asked and says, beside what its rings show: of one queue.

Knows which buffers the device returned and the driver has still to hand up, and how many descriptors it has in use.
Knows neither layout nor rule.
"""

from __future__ import annotations

from collections import Counter, deque

from oracles import spec
from oracles.exposed import Chain, Found, Situation
from oracles.trace import Answered, Asked, Called, Delivered, Filled, Idle, Returned, Started, Supplied


class UpperHalf:
    """The part of a follower that hears the driver's upper half."""

    def __init__(self, told: Started) -> None:
        self.told = told
        self.in_order = bool(told.features & spec.IN_ORDER)
        self.first = True
        self.words = (0, 0)  # the device's event suppression: flags, event
        self.outstanding: dict[int, Chain] = {}
        self.handed: deque[Chain] = deque()  # returned by the device, not yet handed up by the driver
        self.handed_last: Chain | None = None
        self.pieces: Counter[bytes] = Counter()  # of what the device wrote to buffers that it returned: not handed up
        self.intended: deque[Supplied] = deque()
        self.slots_held = self.most_held = 0  # descriptors that the driver has in use, and the most that it ever had
        self.slots_for: dict[int, int] = {}  # elements of a buffer to the most descriptors that it took
        self.asleep = False  # the driver looks again only when it is notified

    def situation(self, moment: str) -> Situation:
        """A situation with what is known of the queue."""
        one = Situation(moment, self.told)
        one.first = self.first
        one.flags, one.event = self.words
        return one

    def supplied(self, told: Supplied) -> None:
        """What the driver was asked to expose next, where that is known."""
        self.intended.append(told)

    def asked(self, told: Asked) -> None:
        """The same where only the elements are known, and how many descriptors they take is the driver's business."""
        elements = len(told.readable) + len(told.writable)
        self.supplied(Supplied(0, 0, 0, sum(told.readable), sum(told.writable), direct=elements))

    def hold(self, chain: Chain) -> None:
        """*chain* takes its descriptors until the driver hands it up."""
        slots, elements = len(chain.slots), len(chain.all())
        self.slots_held += slots
        self.most_held = max(self.most_held, self.slots_held)
        self.slots_for[elements] = max(self.slots_for.get(elements, 0), slots)

    def answered(self, said: Answered) -> Found:
        """What the driver's upper half said: whether that can be right."""
        if said.what == "refused":
            if self.intended:
                self.intended.pop()
            need = self.slots_for.get(said.elements, 0)
            if need and self.slots_held + need <= self.most_held:
                one = self.situation("refused")
                one.old, one.new, one.slot = self.slots_held, self.most_held, need
                return [one]
            return None
        self.asleep = said.what in ("quiet", "delayed")
        if self.handed and said.what in ("quiet", "empty"):
            one = self.situation("overlooked")
            one.chain, one.what = self.handed[0], said.what
            return [one]
        return None

    def called(self, seen: Called) -> None:
        """The device notified: the driver looks again."""
        self.asleep = False

    def rested(self, seen: Idle) -> Found:
        """Nothing more will come from the device: whether the driver waits for what it did not ask to be told of."""
        if not (seen.final and self.asleep and self.handed) or self.outstanding:
            return None
        one = self.situation("overlooked")
        one.chain, one.what = self.handed[0], "asleep"
        return [one]

    def handed_up(self, told: Returned) -> Found:
        """The driver handed up a buffer: whether it is another than the device returned, or its length is."""
        self.asleep = False
        self.handed_last = None
        chain = self.handed.popleft() if self.handed else None
        if chain is not None and not self.in_order and chain.buffer.id != told.id:
            chain = self._elsewhere_in_line(chain, told.id)
        if chain is not None:
            self.handed_last = chain
            if chain.intended is not None:
                self.slots_held -= len(chain.slots)
            buffer = chain.buffer
            right = buffer.writable if buffer.length is None else buffer.length
            if told.id == buffer.id and (told.length == right or right < 0):
                return None
        one = self.situation("returned")
        one.chain, one.returned = chain, told
        return [one]

    def filled(self, seen: Filled) -> None:
        """The device wrote to a buffer that it has not returned yet."""
        chain = self.outstanding.get(seen.id)
        if chain is not None:
            chain.known = min(len(seen.data), 16)
            chain.filled = tuple(seen.data[at : at + 16].ljust(16, b"\0") for at in range(0, len(seen.data), 16))

    def came_back(self, chain: Chain) -> None:
        """The device returned *chain*."""
        self.handed.append(chain)
        self.pieces.update(chain.filled)

    def delivered(self, seen: Delivered) -> Found:
        """The upper half got data: whether that is what the device wrote to a buffer that came back, and not twice."""
        data, last = seen.data[:16], self.handed_last
        one = self.situation("delivered")
        one.data, one.chain = data, last if seen.last else None
        if seen.last:
            if last is None or not last.filled:
                return None
            one.data = data[: last.known]  # a length that is too long is another rule's
            if last.filled[0].startswith(one.data):
                return None
            one.what = "another"
            return [one]
        piece = data.ljust(16, b"\0")
        one.what = "other" if not data.startswith(seen.wanted) else "early" if self._written(piece) else "unknown"
        if self.pieces[piece] > 0 and data.startswith(seen.wanted):
            self.pieces[piece] -= 1
            return None
        return [one]

    def _written(self, piece: bytes) -> bool:
        """Whether it was written to a buffer that is outstanding."""
        return any(piece in chain.filled for chain in self.outstanding.values())

    def _elsewhere_in_line(self, first: Chain, id_: int) -> Chain | None:
        """Without IN_ORDER a driver may hand up in any order what came back: the chain with this id, if it did."""
        self.handed.appendleft(first)
        found = next((chain for chain in self.handed if chain.buffer.id == id_), None)
        if found is not None:
            self.handed.remove(found)
        return found
