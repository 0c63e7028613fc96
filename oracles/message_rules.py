"""The rules of the vhost-user protocol as questions: what a back-end answers and does.

Importing this module registers every rule of the protocol that has a check. Knows the books of a conversation; must
not know sockets, or what back-end it is.
"""

from __future__ import annotations

from oracles import vhost_user as vu
from oracles.asking import Questions
from oracles.conversation import Conversation, Pending, Ring
from oracles.trace import Got, Logged, Sent, Tracked

#: Rules that only advise: broken, they are warnings.
ADVICE = frozenset(
    "VU-FD-FIRST VU-KICK-INJECT VU-NO-RELY-KICK VU-ENABLE-TRACK VU-ENABLE-LEGAL VU-QNUM VU-INBAND VU-LOG".split()
)


class Spoken:
    """Facts of one moment: sent, got (a message that isn't what was due), answered or acknowledged (one that is),
    activity, unserved, uninjected, started, tracked, logged. *talk* is as it was before."""

    __slots__ = ("features", "got", "head", "logged", "moment", "number", "sent", "talk", "tracked", "what")

    def __init__(self, moment: str, talk: Conversation, number: int) -> None:
        self.moment = moment
        self.talk = talk
        self.number = number  # of the ring
        self.sent = Sent(0, 0, b"")
        self.got = Got(0, 0, 0, b"")
        self.head: Pending | None = None  # what is to be answered next
        self.what = ""  # of an activity
        self.features = 0  # of a queue that was started
        self.tracked: Tracked | None = None
        self.logged: Logged | None = None

    @property
    def ring(self) -> Ring:
        """The ring in question."""
        return self.talk.ring(self.number)

    @property
    def value(self) -> int:
        """The 64-bit number that was answered; 0 if there is none."""
        payload = self.got.payload
        return int(vu.U64.unpack_from(payload)[0]) if len(payload) >= 8 else 0

    @property
    def asked(self) -> int:
        """The request that is to be answered next; 0 if none is."""
        return self.head.sent.request if self.head is not None else 0


QUESTIONS: Questions[Spoken] = Questions()
rule, broken, rule_ids = QUESTIONS.rule, QUESTIONS.broken, QUESTIONS.rule_ids

# -- messages of the back-end that are not what was due ------------------------------------------------------------


@rule("VU-HDR", "got")
def _header(case: Spoken) -> str | None:
    got = case.got
    if got.flags & vu.VERSION_MASK != vu.VERSION:
        version = got.flags & vu.VERSION_MASK
        return f"{vu.name(got.request)} came with version {version} in its header; there is only version 1"
    if got.request == case.asked and not got.flags & vu.REPLY:
        return f"the reply to {vu.name(got.request)} lacks the reply flag (flags {got.flags:#x})"
    return None


def _overtaken(case: Spoken) -> bool:
    """Whether what was due was left out: a later message is answered."""
    later = [pending.sent.request for pending in case.talk.pending][1:]
    return case.got.request != case.asked and case.got.request in later


@rule("VU-PF-EARLY", "got")
def _early(case: Spoken) -> str | None:
    asked = case.head is not None and case.asked == vu.GET_PROTOCOL_FEATURES and case.head.before_features
    if not asked or not (case.talk.offered or 0) & vu.PROTOCOL_FEATURES:
        return None
    if not _overtaken(case):
        return None
    return "GET_PROTOCOL_FEATURES before SET_FEATURES got no answer, though bit 30 was reported"


@rule("VU-CFG-SIZE", "got")
def _config_size(case: Spoken) -> str | None:
    if case.head is None or case.got.request != case.asked or case.asked != vu.GET_CONFIG:
        return None
    wanted = max(case.head.sizes)
    return f"GET_CONFIG was answered with {case.got.size} bytes, neither {wanted} nor none"


@rule("VU-REPLY-ACK", "got")
def _acknowledgement(case: Spoken) -> str | None:
    got, last = case.got, case.talk.answered
    if case.head is not None and not case.head.own:
        if _overtaken(case):
            return f"{vu.name(case.asked)} asked to be acknowledged and was not: {vu.name(got.request)} was answered"
        if got.request == case.asked:
            return f"{vu.name(case.asked)} was acknowledged with {got.size} bytes, not with 8"
    if last is not None and last.own and last.sent.request == got.request and last.sent.flags & vu.NEED_REPLY:
        return f"{vu.name(got.request)}, which has a reply of its own, was acknowledged as well"
    return None


@rule("VU-NO-STRAY", "got")
def _stray(case: Spoken) -> str | None:
    name = vu.name(case.got.request)
    if case.got.request == case.asked:
        return None
    if case.got.request in case.talk.unanswered:
        return f"{name} was answered, though it has no reply and none was asked for"
    if case.head is None:
        return f"{name} came though nothing was left to be answered"
    return None


@rule("VU-REPLY-SET", "got")
def _reply(case: Spoken) -> str | None:
    asked, got = vu.name(case.asked), case.got
    if _overtaken(case):
        return f"{asked} got no answer: {vu.name(got.request)}, sent later, was answered"
    if got.request != case.asked:
        return f"{asked} was answered with {vu.name(got.request)}"
    right = " or ".join(map(str, case.head.sizes if case.head else ()))
    return f"{asked} was answered with {got.size} bytes instead of {right}"


# -- what a good answer says ---------------------------------------------------------------------------------------


@rule("VU-INBAND", "answered", "acknowledged")
def _inband_alone(case: Spoken) -> str | None:
    needed = vu.BACKEND_REQ | vu.REPLY_ACK
    if case.talk.negotiated & vu.INBAND and case.talk.negotiated & needed != needed:
        return "it goes on talking though in-band notifications were negotiated without what they need"
    return None


@rule("VU-REPLY-SET", "answered")
def _other_ring(case: Spoken) -> str | None:
    if case.asked != vu.GET_VRING_BASE or case.head is None or len(case.head.sent.payload) < vu.VRING_STATE.size:
        return None
    asked = vu.VRING_STATE.unpack_from(case.head.sent.payload)[0]
    told = vu.VRING_STATE.unpack_from(case.got.payload)[0]
    return f"GET_VRING_BASE of ring {asked} was answered for ring {told}" if asked != told else None


@rule("VU-FEAT-HONEST", "acknowledged")
def _honest(case: Spoken) -> str | None:
    if case.head is None or case.asked != vu.SET_FEATURES or len(case.head.sent.payload) < vu.U64.size:
        return None
    bits = vu.U64.unpack_from(case.head.sent.payload)[0]
    if case.talk.offered is None or bits & ~case.talk.offered:
        return None
    return f"it refused SET_FEATURES {bits:#x}, all of which it had offered" if case.value else None


@rule("VU-STATUS", "answered")
def _status(case: Spoken) -> str | None:
    if case.asked != vu.GET_STATUS or case.talk.status is None:
        return None
    # Whether it accepts the features (8) and needs a reset (0x40) is for the device to say.
    wanted, told = case.talk.status & ~0x48, case.value & ~0x48
    return f"GET_STATUS tells {case.value:#x} after SET_STATUS {case.talk.status:#x}" if told != wanted else None


@rule("VU-QNUM", "answered")
def _no_queues(case: Spoken) -> str | None:
    return "it tells that it has no queues" if case.asked == vu.GET_QUEUE_NUM and not case.value else None


@rule("VU-CFG-RO", "answered")
def _read_only(case: Spoken) -> str | None:
    if case.asked != vu.GET_CONFIG or not case.talk.written:
        return None
    offset = vu.CONFIG_HEAD.unpack_from(case.got.payload)[0] if len(case.got.payload) >= vu.CONFIG_HEAD.size else -1
    before, now = case.talk.config.get(offset), case.got.payload[vu.CONFIG_HEAD.size :]
    if before is None or not now or before[: len(now)] == now[: len(before)]:
        return None
    return f"SET_CONFIG changed read-only fields at {offset}: {before[:8].hex()} became {now[:8].hex()}"


@rule("VU-MEM-SLOTS", "answered", "acknowledged")
def _slots(case: Spoken) -> str | None:
    if case.asked == vu.GET_MAX_MEM_SLOTS and not case.value:
        return "it tells that it has no memory slots"
    if case.asked not in (vu.ADD_MEM_REG, vu.REM_MEM_REG) or not case.value:
        return None
    used = len(case.talk.regions)
    if case.talk.slots is None or used > case.talk.slots:
        return None
    return f"it refused {vu.name(case.asked)} though {used} of its {case.talk.slots} memory slots are taken"


@rule("VU-INFLIGHT-LAYOUT", "answered")
def _area(case: Spoken) -> str | None:
    if case.asked != vu.GET_INFLIGHT_FD or case.talk.inflight is None:
        return None
    size, _, queues, entries = vu.INFLIGHT_HEAD.unpack_from(case.got.payload)
    if not size and not case.got.descriptors:
        return None  # it can't: that is no layout
    if case.got.descriptors != 1:
        return f"the inflight area came with {case.got.descriptors} descriptors, not with 1"
    asked = case.talk.inflight
    least = queues * (vu.INFLIGHT_SPLIT.size + vu.ENTRY_SPLIT.size * entries)
    if (queues, entries) != asked:
        return f"an inflight area for {asked[0]} queues of {asked[1]} was asked for, not for {queues} of {entries}"
    return f"an inflight area of {size} bytes is too small: {queues} queues take {least}" if size < least else None
