"""The books of one vhost-user connection: what was agreed, which replies are due, and how each ring stands.

Follows the messages in the order in which a back-end deals with them. Knows the protocol; never judges.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from oracles import vhost_user as vu
from oracles.trace import Got, Sent

#: bytes of payload without which a message says nothing, where it isn't 8
LEAST = {
    vu.SET_VRING_ADDR: vu.ADDRESSES.size,
    vu.GET_CONFIG: vu.CONFIG_HEAD.size,
    vu.SET_CONFIG: vu.CONFIG_HEAD.size,
    vu.ADD_MEM_REG: 8 + vu.REGION.size,
    vu.REM_MEM_REG: 8 + vu.REGION.size,
    vu.GET_INFLIGHT_FD: vu.INFLIGHT_HEAD.size,
    vu.SET_INFLIGHT_FD: vu.INFLIGHT_HEAD.size,
}


@dataclass(slots=True)
class Pending:
    """A message of ours that is to be answered."""

    sent: Sent
    own: bool  # by a reply of its own, not by an acknowledgement
    sizes: tuple[int, ...]
    before_features: bool  # no SET_FEATURES before it


@dataclass(slots=True)
class Ring:
    """One ring as the messages leave it."""

    number: int
    size: int = 0
    based: bool = False
    addressed: bool = False
    call: str = ""  # fd | none: what the last SET_VRING_CALL gave
    kick: str = ""  # the same of SET_VRING_KICK, since it was stopped last
    injected: bool = False  # a kick of our own followed it
    enabled: bool = False
    how: str = ""  # why it is enabled or not: "" as it began | features | before | running | stopped | reset
    ended: str = ""  # what stopped it last: base | reset
    replaced: bool = False  # its call descriptor, while it ran
    served: int = 0  # buffers that came back since it was started, or stopped

    @property
    def started(self) -> bool:
        """Whether SET_VRING_KICK came, and no stop since."""
        return bool(self.kick)


@dataclass(slots=True)
class Conversation:
    """One connection. ``send`` and ``got`` bring it up to date."""

    offered: int | None = None  # features, with bits 30 and 26
    accepted: int | None = None
    protocol_offered: int | None = None
    negotiated: int = 0
    owned: int = 0
    queues: int | None = None
    slots: int | None = None
    status: int | None = None
    regions: list[tuple[int, int, int, int]] = field(default_factory=list)
    rings: dict[int, Ring] = field(default_factory=dict)
    pending: deque[Pending] = field(default_factory=deque)
    config: dict[int, bytes] = field(default_factory=dict)  # by offset, as last read
    written: int = 0  # SET_CONFIG without the migration flag since
    answered: Pending | None = None  # the last one that was
    unanswered: set[int] = field(default_factory=set)  # requests sent that have no reply
    inflight: tuple[int, int] | None = None  # asked for: queues, size
    restored: bool = False  # an inflight area of an earlier connection was given back

    def ring(self, number: int) -> Ring:
        """Ring *number*, made when first asked for."""
        return self.rings.setdefault(number, Ring(number))

    @property
    def suspended(self) -> bool:
        """Whether all rings are stopped."""
        return not any(ring.started for ring in self.rings.values())

    def send(self, sent: Sent) -> None:
        """A message goes out."""
        sizes = vu.reply_sizes(sent.request, self.negotiated, sent.payload)
        acked = bool(sent.flags & vu.NEED_REPLY and self.negotiated & vu.REPLY_ACK)
        if sizes or acked:
            self.pending.append(Pending(sent, bool(sizes), sizes or (8,), self.accepted is None))
        else:
            self.unanswered.add(sent.request)
        if len(sent.payload) >= LEAST.get(sent.request, 8):
            self._apply(sent, vu.U64.unpack_from(sent.payload)[0])
        elif sent.request == vu.SET_OWNER:
            self.owned += 1
        elif sent.request == vu.RESET_DEVICE:
            for ring in self.rings.values():
                self.rings[ring.number] = Ring(ring.number, how="reset", ended="reset")
            self.status = None

    def _apply(self, sent: Sent, number: int) -> None:
        request = sent.request
        if request == vu.SET_FEATURES:
            self.accepted = number
            if not number & vu.PROTOCOL_FEATURES:
                for ring in self.rings.values():
                    ring.enabled, ring.how = True, "features"
        elif request == vu.SET_PROTOCOL_FEATURES:
            self.negotiated = number
        elif request == vu.SET_STATUS:
            self.status = number
        elif request == vu.SET_CONFIG:
            self.written += not vu.CONFIG_HEAD.unpack_from(sent.payload)[2]
        elif request in (vu.SET_MEM_TABLE, vu.ADD_MEM_REG, vu.REM_MEM_REG):
            self._remember(request, sent.payload)
        elif request == vu.GET_INFLIGHT_FD:
            self.inflight = vu.INFLIGHT_HEAD.unpack_from(sent.payload)[2:4]
        elif request == vu.SET_INFLIGHT_FD:
            self.restored = self.inflight is None
        elif request in (vu.SET_VRING_KICK, vu.SET_VRING_CALL):
            self._descriptor(request, number)
        elif vu.SET_VRING_NUM <= request <= vu.GET_VRING_BASE or request == vu.SET_VRING_ENABLE:
            self._ring(request, *vu.VRING_STATE.unpack_from(sent.payload))

    def _remember(self, request: int, payload: bytes) -> None:
        if request == vu.SET_MEM_TABLE:
            self.regions = regions_of(payload)
            return
        region = vu.REGION.unpack_from(payload, 8)
        if request == vu.ADD_MEM_REG:
            self.regions.append(region)
        else:
            self.regions = [other for other in self.regions if other[:3] != region[:3]]

    def _descriptor(self, request: int, number: int) -> None:
        ring = self.ring(number & 0xFF)
        what = "none" if number & vu.NO_FD else "fd"
        if request == vu.SET_VRING_CALL:
            ring.replaced = ring.replaced or (ring.started and bool(ring.call))
            ring.call = what
            return
        ring.kick, ring.injected, ring.ended, ring.served = what, False, "", 0
        if self.accepted is not None and not self.accepted & vu.PROTOCOL_FEATURES and not ring.how:
            ring.enabled, ring.how = True, "features"

    def _ring(self, request: int, number: int, value: int) -> None:
        ring = self.ring(number)
        if request == vu.SET_VRING_NUM:
            ring.size = value
        elif request == vu.SET_VRING_BASE:
            ring.based = True
        elif request == vu.SET_VRING_ADDR:
            ring.addressed = True
        elif request == vu.SET_VRING_ENABLE:
            stopped = "stopped" if ring.ended else "before"
            ring.enabled, ring.how = bool(value), "running" if ring.started else stopped
        else:
            ring.kick, ring.ended, ring.replaced, ring.served = "", "base", False, 0
            ring.based = False

    def got(self, got: Got) -> Pending:
        """The oldest message that is to be answered has been, by *got*."""
        pending = self.pending.popleft()
        self.answered = pending
        request = pending.sent.request
        if not pending.own:
            return pending
        if request == vu.GET_CONFIG:
            if len(got.payload) > vu.CONFIG_HEAD.size:
                offset = vu.CONFIG_HEAD.unpack_from(got.payload)[0]
                self.config[offset] = got.payload[vu.CONFIG_HEAD.size :]
        elif len(got.payload) == 8:
            number = vu.U64.unpack(got.payload)[0]
            if request == vu.GET_FEATURES:
                self.offered = number
            elif request == vu.GET_PROTOCOL_FEATURES:
                self.protocol_offered = number
            elif request == vu.GET_QUEUE_NUM:
                self.queues = number
            elif request == vu.GET_MAX_MEM_SLOTS:
                self.slots = number
        return pending


def regions_of(payload: bytes) -> list[tuple[int, int, int, int]]:
    """Regions of a SET_MEM_TABLE: (guest address, bytes, user address, offset) each, as many as are there."""
    count = int.from_bytes(payload[:4], "little")
    room = (len(payload) - 8) // vu.REGION.size
    return [vu.REGION.unpack_from(payload, 8 + vu.REGION.size * place) for place in range(min(count, room))]
