"""Cases of the vhost-user protocol: what is said, and in which order. Those of rings stand in modules beside this one.

Each is a conversation of its own, which the oracle judges when it is over. Knows messages; must not know rules but
by name, or which back-end it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

from fuzz.cases import Check, NotOffered
from fuzz.cases.bench import EVERYTHING, MEMORY, Bench, Subject, Undecided
from fuzz.targets import Target, TargetError
from fuzz.targets.vhost_user import protocol
from fuzz.targets.vhost_user.frontend import Closed, ConversationError, Nonsense, Refused, Silent
from fuzz.targets.vhost_user.session import GUEST_ADDRESS, USER_ADDRESS
from fuzz.verdict import CRASHED, HUNG, OUR_FAULT, UNDECIDED, VIOLATES, Outcome
from oracles import spec
from oracles import vhost_user as vu
from oracles.oracle import judge

Body = Callable[[Bench], None]
_LAST_BREATH = 1.0  # seconds for a process to end after its connection
#: what a front-end must not do: broken by us alone
FRONT_END = (
    "VU-HDR", "VU-FD-FIRST", "VU-PF-LEGAL", "VU-BIT30", "VU-OWNER", "VU-MEM", "VU-ADDR", "VU-MSG-ORDER", "VU-SETNUM",
    "VU-ENABLE-LEGAL", "VU-BASE-NUM0", "VU-QNUM", "VU-STATUS", "VU-FEAT-IO", "VU-KICK-INJECT",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation: *body* holds it, on a bench."""

    name: str
    rules: tuple[str, ...]
    body: Body
    layout: str = ""


def hold(talk: Talk, target: Subject, without: frozenset[str] = frozenset()) -> Outcome:
    """Hold the conversation and judge it. Raises NotOffered, and TargetError if the target can't be used."""
    bench = Bench(target, talk.layout or spec.SPLIT)
    outcome = Outcome()
    error: ConversationError | None = None
    well = False
    try:
        talk.body(bench)
        well = True
    except Undecided as undecided:
        outcome.verdict, outcome.reason, well = UNDECIDED, str(undecided), True
    except NotOffered:
        well = True
        raise
    except ConversationError as raised:
        error = raised
    finally:
        end = target.obituary(_LAST_BREATH) if isinstance(error, Closed) else ""
        outcome.trace = list(bench.log)
        bench.close(well)
    violation, outcome.warnings = judge(outcome.trace, without)
    if violation is not None and not end:
        outcome.verdict, outcome.violation = OUR_FAULT if violation.ours else VIOLATES, violation
    elif error is not None:
        _explain(outcome, error, f"{target.name} {error}" + (f": {end}" if end else ""), without)
    return outcome


def _explain(outcome: Outcome, error: ConversationError, line: str, without: frozenset[str]) -> None:
    """A conversation that ended early, though no rule says why."""
    if without and isinstance(error, (Refused, Nonsense)):
        return  # a dropped rule would have said why
    outcome.reason = line
    if isinstance(error, Closed):
        outcome.verdict = CRASHED
    elif isinstance(error, Silent):
        outcome.verdict = HUNG
    elif isinstance(error, Refused):
        outcome.verdict = UNDECIDED  # it may have run out of something
    else:
        raise TargetError(line)


# --- what is said -----------------------------------------------------------------------------------------------------


def _replies(bench: Bench) -> None:
    """Everything that a session says, with one request in the middle."""
    frontend = bench.connect(acknowledge=False)
    frontend.learn()
    if frontend.has_protocol_features:
        frontend.negotiated = frontend.protocol_features & EVERYTHING
        frontend.send(protocol.number(vu.SET_PROTOCOL_FEATURES, frontend.negotiated))
    frontend.own()
    frontend.queue_count()
    bench.share()
    line = bench.line()
    bench.others()
    bench.start(line)
    bench.ready()
    bench.supply(line)
    bench.kick(line)
    bench.expect(line)
    frontend.vring_base(line.number, insist=True)


def _early(bench: Bench) -> None:
    """GET_PROTOCOL_FEATURES before SET_FEATURES."""
    frontend = bench.connect()
    if not frontend.number(vu.GET_FEATURES) & vu.PROTOCOL_FEATURES:
        raise NotOffered("no protocol features")
    frontend.insist(protocol.plain(vu.GET_PROTOCOL_FEATURES), (8,))


def _acknowledged(bench: Bench) -> None:
    """Every message asks to be acknowledged, those with a reply of their own as well."""
    frontend = bench.introduce(needed=vu.REPLY_ACK)
    frontend.insist(protocol.acknowledged(protocol.plain(vu.GET_FEATURES)), (8,))
    bench.share()
    line = bench.line()
    bench.others()
    bench.start(line)
    bench.ready()
    frontend.send(protocol.vring(vu.SET_VRING_ENABLE, line.number, 1))
    frontend.insist(protocol.acknowledged(protocol.vring(vu.GET_VRING_BASE, line.number, 0)), (8,))
    frontend.settle()


def _subsets(bench: Bench) -> None:
    """Features from almost none to almost all."""
    frontend = bench.introduce()
    ring = spec.INDIRECT_DESC | spec.EVENT_IDX | spec.RING_PACKED | spec.IN_ORDER
    for more in (0, spec.INDIRECT_DESC, spec.RING_PACKED, spec.IN_ORDER | spec.RING_PACKED, ring):
        if not more & ~frontend.features:
            frontend.set_features(spec.VERSION_1 | more)
            frontend.settle()
    frontend.insist(protocol.plain(vu.GET_FEATURES), (8,))


def _config_sizes(bench: Bench) -> None:
    """Parts of the configuration space, and more than there can be."""
    frontend = bench.introduce(needed=vu.CONFIG)
    for size in (4, 8, 16, 256):
        frontend.config(size)


def _read_only(bench: Bench) -> None:
    """A write to fields that are read-only, and a look at what became of them."""
    if bench.kind not in ("any", "blk"):
        raise NotOffered(f"no read-only fields are known of {bench.kind}")
    frontend = bench.introduce(needed=vu.CONFIG | vu.REPLY_ACK)
    before = frontend.config(8)
    if not before:
        raise NotOffered("no configuration space")
    try:
        with suppress(Refused):
            frontend.send(protocol.set_config(0, bytes(byte ^ 0x5A for byte in before)))
            frontend.settle()
        frontend.config(8)
    except Closed:  # it must not follow; how it says so is left to it
        if bench.target.obituary(0.1):
            raise


def _status(bench: Bench) -> None:
    """The status, step by step, and back to 0."""
    frontend = bench.introduce(needed=vu.STATUS)
    for status in (0x1, 0x3):
        frontend.set_status(status)
        frontend.number(vu.GET_STATUS)
    frontend.set_features(bench.ring_features())
    frontend.set_status(0xB)
    frontend.number(vu.GET_STATUS)
    frontend.set_status(0)
    frontend.number(vu.GET_STATUS)


def _slots(bench: Bench) -> None:
    """Memory that is shared by ADD_MEM_REG, and taken away."""
    frontend = bench.introduce(needed=vu.MEM_SLOTS | vu.REPLY_ACK)
    frontend.number(vu.GET_MAX_MEM_SLOTS)
    frontend.set_features(bench.ring_features())
    region = GUEST_ADDRESS, MEMORY, USER_ADDRESS, bench.shared.descriptor
    frontend.add_region(*region)
    line = bench.line()
    bench.others()
    bench.start(line)
    bench.ready()
    bench.supply(line)
    bench.kick(line)
    bench.expect(line)
    for number in bench.queues:
        bench.stop(bench.line(number))
    frontend.remove_region(*region)
    frontend.settle()
    bench.forget()


def _inband_alone(bench: Bench) -> None:
    """In-band notifications without what they need."""
    frontend = bench.connect()
    frontend.learn()
    if not frontend.protocol_features & vu.INBAND:
        raise NotOffered("no in-band notifications")
    try:
        frontend.send(protocol.number(vu.SET_PROTOCOL_FEATURES, vu.INBAND))
        frontend.number(vu.GET_FEATURES)
    except Closed:  # as it should
        if bench.target.obituary(0.1):
            raise


TALKS = (
    Talk("replies", ("VU-HDR", "VU-REPLY-SET", "VU-NO-STRAY", *FRONT_END[1:]), _replies),
    Talk("protocol features first", ("VU-PF-EARLY",), _early),
    Talk("acknowledgements", ("VU-REPLY-ACK",), _acknowledged),
    Talk("subsets of features", ("VU-FEAT-HONEST",), _subsets),
    Talk("configuration sizes", ("VU-CFG-SIZE",), _config_sizes),
    Talk("read-only configuration", ("VU-CFG-RO",), _read_only),
    Talk("status", ("VU-STATUS",), _status),
    Talk("memory slots", ("VU-MEM-SLOTS",), _slots),
    Talk("in-band alone", ("VU-INBAND",), _inband_alone),
)


def talks() -> Sequence[Talk]:
    """All conversations, in a fixed order."""
    from fuzz.cases.vhost_user_inflight import TALKS as INFLIGHT
    from fuzz.cases.vhost_user_rings import TALKS as RINGS

    return (*TALKS, *RINGS, *INFLIGHT)


def cases(target: Target) -> Sequence[Check]:
    """A case for each conversation; none for a target that isn't vhost-user."""
    if not hasattr(target, "frontend"):
        return ()
    subject = cast("Subject", target)
    return [Check(talk.name, talk.rules, talk.layout, partial(hold, talk, subject)) for talk in talks()]
