"""The rules of vhost-user that bind the front-end: asked about every message that we send.

Importing this module registers them. What they name is a fault of ours, or a planted one. Knows the books of a
conversation; must not know who sends.
"""

from __future__ import annotations

from oracles import spec
from oracles import vhost_user as vu
from oracles.conversation import regions_of
from oracles.message_rules import Spoken, rule

_DESCRIPTORS = (vu.SET_VRING_KICK, vu.SET_VRING_CALL, vu.SET_VRING_ERR)
_RING_BITS = spec.VERSION_1 | spec.RING_PACKED | spec.IN_ORDER | spec.INDIRECT_DESC | spec.EVENT_IDX


def _number(case: Spoken) -> int:
    payload = case.sent.payload
    return int(vu.U64.unpack_from(payload)[0]) if len(payload) >= 8 else 0


def _state(case: Spoken) -> tuple[int, int]:
    number = _number(case)
    return number & 0xFFFFFFFF, number >> 32


@rule("VU-HDR", "sent")
def _header(case: Spoken) -> str | None:
    flags = case.sent.flags
    if flags & vu.VERSION_MASK != vu.VERSION or flags & vu.REPLY:
        return f"{vu.name(case.sent.request)} was sent with flags {flags:#x}"
    if flags & vu.NEED_REPLY and not case.talk.negotiated & vu.REPLY_ACK:
        return f"{vu.name(case.sent.request)} asks to be acknowledged, which was not negotiated"
    return None


@rule("VU-FD-FIRST", "sent")
def _late(case: Spoken) -> str | None:
    if case.sent.later:
        return f"{case.sent.later} descriptors of {vu.name(case.sent.request)} came behind its first byte"
    return None


@rule("VU-PF-LEGAL", "sent")
def _unreported(case: Spoken) -> str | None:
    if case.sent.request not in (vu.GET_PROTOCOL_FEATURES, vu.SET_PROTOCOL_FEATURES):
        return None
    if (case.talk.offered or 0) & vu.PROTOCOL_FEATURES:
        return None
    return f"{vu.name(case.sent.request)} was sent though bit 30 was not reported"


@rule("VU-BIT30", "sent", "started")
def _bit30(case: Spoken) -> str | None:
    if case.moment == "started":
        bad = case.features & vu.PROTOCOL_FEATURES
        return "a queue was started with bit 30 as if it were a feature of VIRTIO" if bad else None
    if case.sent.request != vu.SET_FEATURES or not _number(case) & vu.PROTOCOL_FEATURES:
        return None
    return None if (case.talk.offered or 0) & vu.PROTOCOL_FEATURES else "SET_FEATURES has bit 30, which was not offered"


@rule("VU-FEAT-IO", "sent", "started")
def _features(case: Spoken) -> str | None:
    if case.moment == "started":
        missing = case.features & _RING_BITS & ~(case.talk.accepted or 0)
        names = " ".join(spec.feature_names(missing))
        return f"a queue was started with {names}, which SET_FEATURES did not accept" if missing else None
    if case.sent.request == vu.SET_FEATURES and _number(case) & spec.NOTIFICATION_DATA:
        return "SET_FEATURES has NOTIFICATION_DATA, for which a kick has no room"
    return None


@rule("VU-OWNER", "sent")
def _owner(case: Spoken) -> str | None:
    if case.sent.request == vu.SET_OWNER and case.talk.owned:
        return "SET_OWNER was sent a second time"
    return "RESET_OWNER was sent, which is deprecated" if case.sent.request == vu.RESET_OWNER else None


@rule("VU-MEM", "sent")
def _memory(case: Spoken) -> str | None:
    sent = case.sent
    if sent.request != vu.SET_MEM_TABLE:
        return None
    regions = regions_of(sent.payload)
    if len(regions) != sent.descriptors + sent.later:
        return f"SET_MEM_TABLE has {len(regions)} regions and came with {sent.descriptors} descriptors"
    for this, (guest, size, _, _) in enumerate(regions):
        if not size or any(guest < other[0] + other[1] and other[0] < guest + size for other in regions[:this]):
            return f"region {this} of SET_MEM_TABLE is empty, or overlaps another"
    return None


@rule("VU-MEM-SLOTS", "sent")
def _region(case: Spoken) -> str | None:
    sent = case.sent
    if sent.request == vu.ADD_MEM_REG and sent.descriptors + sent.later != 1:
        return f"ADD_MEM_REG came with {sent.descriptors} descriptors, not with 1"
    if sent.request == vu.REM_MEM_REG and sent.descriptors:
        return f"REM_MEM_REG came with {sent.descriptors} descriptors, not without"
    if sent.request in (vu.ADD_MEM_REG, vu.REM_MEM_REG) and not case.talk.negotiated & vu.MEM_SLOTS:
        return f"{vu.name(sent.request)} was sent without the protocol feature"
    return None


@rule("VU-SETNUM", "sent")
def _size(case: Spoken) -> str | None:
    request, (number, value) = case.sent.request, _state(case)
    if request == vu.SET_VRING_NUM:
        ring = case.talk.ring(number)
        if ring.started:
            return f"SET_VRING_NUM of ring {number} while it is started"
        split = not (case.talk.accepted or 0) & spec.RING_PACKED
        if not value or value > spec.MAX_SIZE or (split and value & (value - 1)):
            return f"SET_VRING_NUM gives ring {number} the size {value}"
    elif request == vu.SET_VRING_KICK and not case.talk.ring(number & 0xFF).size:
        return f"SET_VRING_KICK starts ring {number & 0xFF} without SET_VRING_NUM"
    return None


@rule("VU-ADDR", "sent")
def _addresses(case: Spoken) -> str | None:
    if case.sent.request != vu.SET_VRING_ADDR or len(case.sent.payload) < vu.ADDRESSES.size or not case.talk.regions:
        return None
    number, _, descriptor, used, available, _ = vu.ADDRESSES.unpack_from(case.sent.payload)
    for address in (descriptor, used, available):
        if not any(user <= address < user + size for _, size, user, _ in case.talk.regions):
            return f"SET_VRING_ADDR of ring {number} has {address:#x}, which is no user address of any region"
    return None


@rule("VU-MSG-ORDER", "sent")
def _order(case: Spoken) -> str | None:
    request, number = case.sent.request, _number(case) & 0xFF
    ring = case.talk.ring(number)
    if request == vu.SET_VRING_ADDR:
        if not case.talk.regions:
            return "SET_VRING_ADDR before SET_MEM_TABLE"
        return None if ring.size else f"SET_VRING_ADDR of ring {number} before SET_VRING_NUM"
    if request != vu.SET_VRING_KICK:
        return None
    missing = [name for name, there in (("ADDR", ring.addressed), ("BASE", ring.based)) if not there]
    return f"SET_VRING_KICK of ring {number} before SET_VRING_{missing[0]}" if missing else None


@rule("VU-ENABLE-LEGAL", "sent")
def _enable(case: Spoken) -> str | None:
    if case.sent.request == vu.SET_VRING_ENABLE and not (case.talk.accepted or 0) & vu.PROTOCOL_FEATURES:
        return "SET_VRING_ENABLE was sent though bit 30 was not negotiated"
    return None


@rule("VU-BASE-NUM0", "sent")
def _base(case: Spoken) -> str | None:
    number, value = _state(case)
    if case.sent.request == vu.GET_VRING_BASE and value:
        return f"GET_VRING_BASE of ring {number} was sent with num {value}, which must be 0"
    return None


@rule("VU-QNUM", "sent")
def _too_many(case: Spoken) -> str | None:
    request = case.sent.request
    if request == vu.GET_QUEUE_NUM and not case.talk.negotiated & vu.MQ:
        return "GET_QUEUE_NUM was sent without the protocol feature MQ"
    if case.talk.queues is None or request not in (vu.SET_VRING_NUM, *_DESCRIPTORS):
        return None
    number = _number(case) & 0xFF
    return (
        f"{vu.name(request)} is for ring {number}; there are {case.talk.queues}" if number >= case.talk.queues else None
    )


@rule("VU-STATUS", "sent")
def _status(case: Spoken) -> str | None:
    request = case.sent.request
    if request not in (vu.SET_STATUS, vu.GET_STATUS):
        return None
    if not case.talk.negotiated & vu.STATUS:
        return f"{vu.name(request)} was sent without the protocol feature STATUS"
    return f"SET_STATUS {_number(case):#x} is more than a byte" if _number(case) > 0xFF else None


@rule("VU-BASE-BEFORE-INFLIGHT", "sent")
def _unknown_ring(case: Spoken) -> str | None:
    if case.sent.request != vu.SET_INFLIGHT_FD or any(ring.based for ring in case.talk.rings.values()):
        return None
    return "SET_INFLIGHT_FD before any SET_VRING_BASE, so before there are rings"


@rule("VU-KICK-INJECT", "uninjected")
def _uninjected(case: Spoken) -> str | None:
    return f"SET_VRING_KICK started ring {case.number}, and no kick was injected"
