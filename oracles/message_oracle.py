"""The oracle of vhost-user connections: messages and what rings did between them in, violations out.

A pure function in steps. What the front-end sends is judged as what the back-end sends; a violation says whose it
is. After a case that only a dropped rule explains, replies are no longer judged: which one is which, nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oracles import frontend_rules, ring_state_rules
from oracles import vhost_user as vu
from oracles.conversation import Conversation
from oracles.message_rules import ADVICE, Spoken, broken
from oracles.rules import Violation
from oracles.trace import Activity, Connected, Got, HungUp, Idle, Kicked, Logged, Observation, Sent, Started, Tracked

__all__ = ["KINDS", "MessageOracle", "frontend_rules", "ring_state_rules"]

KINDS = (Connected, Sent, Got, HungUp, Kicked, Activity, Tracked, Logged)


class MessageOracle:
    """Judges one connection after the other: each begins with Connected."""

    def __init__(self, without: frozenset[str] = frozenset(), unasked: frozenset[str] = frozenset()) -> None:
        self.without = without
        self.unasked = unasked
        self.warnings: list[Violation] = []
        self.talk = Conversation()
        self._blind = False
        self._seen: set[str] = set()
        self._handlers: dict[type, Callable[[int, Any], Violation | None]] = {
            Connected: self._connected,
            Sent: self._sent,
            Got: self._got,
            HungUp: self._hung_up,
            Kicked: self._kicked,
            Activity: self._activity,
            Tracked: self._tracked,
            Logged: self._logged,
            Idle: self._idle,
            Started: self._started,
        }

    def feed(self, queue: int, observation: Observation) -> Violation | None:
        """Judge one observation of a connection, or of ring *queue*. Never raises on well-typed observations."""
        handler = self._handlers.get(type(observation))
        return handler(queue, observation) if handler is not None else None

    def conclude(self) -> Violation | None:
        """No observation follows."""
        return self._ended()

    # -- the conversation

    def _connected(self, queue: int, seen: Connected) -> Violation | None:
        violation = self._ended()
        self.talk, self._blind = Conversation(), False
        return violation

    def _sent(self, queue: int, sent: Sent) -> Violation | None:
        case = Spoken("sent", self.talk, queue)
        case.sent = sent
        violation = self._judge(case, ours=True)
        if violation is None and sent.request == vu.GET_VRING_BASE and len(sent.payload) >= 8:
            violation = self._uninjected(vu.VRING_STATE.unpack_from(sent.payload)[0])
        self.talk.send(sent)
        return violation

    def _got(self, queue: int, got: Got) -> Violation | None:
        if self._blind:
            return None
        talk = self.talk
        head = talk.pending[0] if talk.pending else None
        good = (
            head is not None
            and got.request == head.sent.request
            and got.flags & (vu.VERSION_MASK | vu.REPLY) == vu.VERSION | vu.REPLY
            and got.size in head.sizes
            and got.size == len(got.payload)
        )
        case = Spoken("got" if not good else "acknowledged" if head and not head.own else "answered", talk, queue)
        case.got, case.head = got, head
        violation = self._judge(case)
        if good:
            talk.got(got)
        else:
            self._blind = True
        return violation

    def _hung_up(self, queue: int, seen: HungUp) -> Violation | None:
        """A back-end may close the connection, in exceptional circumstances: no rule names it. Nothing more comes."""
        self._blind = True
        return None

    # -- rings

    def _kicked(self, queue: int, seen: Kicked) -> Violation | None:
        self.talk.ring(queue).injected = True
        return None

    def _activity(self, queue: int, seen: Activity) -> Violation | None:
        case = Spoken("activity", self.talk, queue)
        case.what = seen.what
        violation = self._judge(case)
        if seen.what == "used":
            self.talk.ring(queue).served += seen.buffers
        return violation

    def _idle(self, queue: int, seen: Idle) -> Violation | None:
        """A ring with buffers that are owed has had its chance, for certain."""
        if not seen.final or not seen.owed or queue not in self.talk.rings:
            return None
        return self._judge(Spoken("unserved", self.talk, queue))

    def _tracked(self, queue: int, seen: Tracked) -> Violation | None:
        case = Spoken("tracked", self.talk, queue)
        case.tracked = seen
        return self._judge(case)

    def _logged(self, queue: int, seen: Logged) -> Violation | None:
        case = Spoken("logged", self.talk, queue)
        case.logged = seen
        return self._judge(case)

    def _started(self, queue: int, told: Started) -> Violation | None:
        if self.talk.accepted is None:
            return None
        case = Spoken("started", self.talk, queue)
        case.features = told.features
        return self._judge(case, ours=True)

    def _uninjected(self, number: int) -> Violation | None:
        ring = self.talk.rings.get(number)
        if ring is None or ring.kick != "fd" or ring.injected:
            return None
        return self._judge(Spoken("uninjected", self.talk, number), ours=True)

    def _ended(self) -> Violation | None:
        for number in self.talk.rings:
            self._uninjected(number)
        return None

    # -- judging

    def _judge(self, case: Spoken, ours: bool = False) -> Violation | None:
        """The violation that *case* is, or None. What is only advised against becomes a warning, once each."""
        for id_, message in broken(case, self.without, self.unasked)[:1]:
            found = Violation(id_, message, queue=case.number, ours=ours)
            if id_ not in ADVICE:
                return found
            if id_ not in self._seen:
                self._seen.add(id_)
                self.warnings.append(found)
        return None
