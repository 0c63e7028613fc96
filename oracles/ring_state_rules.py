"""The rules of vhost-user about rings as they show from outside: starting, stopping, enabling, notifying, logging.

Importing this module registers them. Which of several rules a ring breaks follows from the messages that brought
it to where it is. Knows the books of a conversation; must not know the rings' layouts but that of the inflight area.
"""

from __future__ import annotations

from oracles import spec
from oracles import vhost_user as vu
from oracles.message_rules import Spoken, rule
from oracles.trace import Tracked

# -- what a ring does that it must not do --------------------------------------------------------------------------


@rule("VU-ERRFD", "activity")
def _error(case: Spoken) -> str | None:
    if case.what == "errored":
        return f"ring {case.number} reported an error though nothing was wrong with it"
    return None


@rule("VU-KICK-NOFD", "activity")
def _called_without(case: Spoken) -> str | None:
    if case.what == "stale" and case.ring.call == "none":
        return f"ring {case.number} was to be polled, and the call descriptor that it had was signalled"
    return None


@rule("VU-ONFLY", "activity")
def _called_old(case: Spoken) -> str | None:
    if case.what == "stale" and case.ring.call == "fd":
        return f"ring {case.number} signalled the call descriptor that another had replaced"
    return None


@rule("VU-RESET-DEV", "activity")
def _after_reset(case: Spoken) -> str | None:
    ring = case.ring
    if ring.ended == "reset":
        return f"ring {case.number}: {_what(case)} after RESET_DEVICE"
    if ring.how == "reset" and ring.started and case.what == "executed":
        return f"ring {case.number} is enabled after RESET_DEVICE and SET_VRING_KICK"
    return None


@rule("VU-SUSPENDED", "activity")
def _suspended(case: Spoken) -> str | None:
    ring = case.ring
    if case.talk.suspended and case.what == "called" and ring.ended == "base" and not ring.served:
        return f"ring {case.number} was notified of though all rings are stopped"
    return None


@rule("VU-BASE-STOP", "activity")
def _after_base(case: Spoken) -> str | None:
    return f"ring {case.number}: {_what(case)} after GET_VRING_BASE" if case.ring.ended == "base" else None


@rule("VU-RING-INIT", "activity")
def _initially(case: Spoken) -> str | None:
    ring = case.ring
    if not ring.started:
        return f"ring {case.number}: {_what(case)} before SET_VRING_KICK"
    if not ring.enabled and not ring.how and case.what == "executed":
        return f"ring {case.number} is enabled though no message enabled it"
    return None


@rule("VU-ENABLE-TRACK", "activity")
def _not_tracked(case: Spoken) -> str | None:
    ring = case.ring
    if not ring.enabled and ring.how in ("before", "stopped") and case.what == "executed":
        return f"ring {case.number} is enabled, though it was disabled while it was stopped"
    return None


@rule("VU-DISABLED", "activity")
def _disabled(case: Spoken) -> str | None:
    if not case.ring.enabled and case.what == "executed":
        return f"ring {case.number} executes requests while it is disabled"
    return None


def _what(case: Spoken) -> str:
    return {"used": "buffers came back", "executed": "a request was executed"}.get(case.what, "it was notified of")


# -- what it doesn't do though it had its chance, for certain ------------------------------------------------------


@rule("VU-INFLIGHT-RESUBMIT", "unserved")
def _lost(case: Spoken) -> str | None:
    if case.talk.restored:
        return f"ring {case.number}: a buffer that was in flight is lost across the reconnection"
    return None


@rule("VU-EVENTFD", "unserved")
def _counted(case: Spoken) -> str | None:
    ring = case.ring
    if ring.served and ring.kick == "fd":
        return f"ring {case.number}: after one kick only some buffers came back, as if its number meant how many"
    return None


@rule("VU-KICK-NOFD", "unserved")
def _not_polled(case: Spoken) -> str | None:
    return f"ring {case.number} has no kick descriptor, and isn't polled" if case.ring.kick == "none" else None


@rule("VU-SETFEAT-ENABLE", "unserved")
def _not_enabled(case: Spoken) -> str | None:
    if case.ring.how == "features":
        return f"ring {case.number} stays disabled after SET_FEATURES without bit 30"
    return None


@rule("VU-ENABLE-TRACK", "unserved")
def _forgotten(case: Spoken) -> str | None:
    ring = case.ring
    if ring.enabled and ring.how == "stopped":
        return f"ring {case.number} is disabled, though it was enabled while it was stopped"
    return None


@rule("VU-NO-RELY-KICK", "unserved")
def _relies(case: Spoken) -> str | None:
    if case.ring.started and not case.ring.injected:
        return f"ring {case.number} does nothing with the buffers that it was started with until somebody kicks it"
    return None


@rule("VU-START-KICKFD", "unserved")
def _not_started(case: Spoken) -> str | None:
    if case.ring.started and case.ring.injected:
        return f"ring {case.number} isn't started by SET_VRING_KICK and a kick"
    return None


# -- the log -------------------------------------------------------------------------------------------------------


@rule("VU-LOG", "logged")
def _unlogged(case: Spoken) -> str | None:
    logged = case.logged
    if logged is None:
        return None
    for address, length in logged.written:
        for page in range(address // vu.LOG_PAGE, (address + length + vu.LOG_PAGE - 1) // vu.LOG_PAGE):
            bit = page - logged.address // vu.LOG_PAGE
            if not 0 <= bit < 8 * len(logged.data) or not logged.data[bit // 8] >> bit % 8 & 1:
                return f"the page at {page * vu.LOG_PAGE:#x} was written, and isn't marked in the log"
    return None


# -- the inflight area ---------------------------------------------------------------------------------------------


def _needed(tracked: Tracked) -> int:
    """Bytes of an area for a ring of that size. Less than that, only VU-INFLIGHT-LAYOUT has a word to say."""
    head, entry = (
        (vu.INFLIGHT_SPLIT, vu.ENTRY_SPLIT) if tracked.layout == spec.SPLIT else (vu.INFLIGHT_PACKED, vu.ENTRY_PACKED)
    )
    return head.size + entry.size * tracked.size


@rule("VU-INFLIGHT-LAYOUT", "tracked")
def _layout(case: Spoken) -> str | None:
    tracked = case.tracked
    if tracked is None:
        return None
    if len(tracked.data) < _needed(tracked):
        return f"the inflight area of ring {case.number} has {len(tracked.data)} bytes, of {_needed(tracked)}"
    _, version, entries = vu.INFLIGHT_SPLIT.unpack_from(tracked.data)[:3]
    if version != 1:
        return f"the inflight area of ring {case.number} has version {version}, not 1"
    if entries != tracked.size:
        return f"the inflight area of ring {case.number} has {entries} entries, not {tracked.size}"
    return None


@rule("VU-INFLIGHT-SPLIT", "tracked")
def _split(case: Spoken) -> str | None:
    tracked = case.tracked
    if tracked is None or tracked.layout != spec.SPLIT or len(tracked.data) < _needed(tracked):
        return None
    used = vu.INFLIGHT_SPLIT.unpack_from(tracked.data)[4]
    if used != tracked.used:
        return f"the inflight area tells used idx {used}, which is {tracked.used}"
    marks = []
    for head in range(tracked.size):
        at = vu.INFLIGHT_SPLIT.size + vu.ENTRY_SPLIT.size * head
        inflight, _, counter = vu.ENTRY_SPLIT.unpack_from(tracked.data, at)
        if inflight:
            marks.append((counter, head))
    found = [head for _, head in sorted(marks)]
    wrong = [head for head in found if head not in tracked.heads]
    if wrong:
        return f"the inflight area has head {wrong[0]} in flight, which is not"
    if found != list(tracked.heads[: len(found)]):
        return f"the inflight area has heads {found} in flight; in the order of fetching they are {tracked.heads}"
    return None


@rule("VU-INFLIGHT-PACKED", "tracked")
def _packed(case: Spoken) -> str | None:
    tracked = case.tracked
    if tracked is None or tracked.layout != spec.PACKED or len(tracked.data) < _needed(tracked):
        return None
    _, _, _, free, old_free, used, old_used, wrap, old_wrap = vu.INFLIGHT_PACKED.unpack_from(tracked.data)
    if (free, used, wrap) != (old_free, old_used, old_wrap):
        return f"the inflight area is in the middle of an update at rest: {(free, used, wrap)}"
    if used | wrap << 15 != tracked.used:
        return f"the inflight area tells used position {used | wrap << 15:#x}, which is {tracked.used:#x}"
    marks = []
    for place in range(tracked.size):
        entry = vu.ENTRY_PACKED.unpack_from(tracked.data, vu.INFLIGHT_PACKED.size + vu.ENTRY_PACKED.size * place)
        if entry[0]:
            last = vu.INFLIGHT_PACKED.size + vu.ENTRY_PACKED.size * (entry[2] % tracked.size)
            marks.append((entry[4], vu.ENTRY_PACKED.unpack_from(tracked.data, last)[5]))
    found = [ident for _, ident in sorted(marks)]
    if found != list(tracked.heads[: len(found)]):
        return f"the inflight area has buffers {found} in flight; in the order of fetching they are {tracked.heads}"
    return None


@rule("VU-INFLIGHT-RESUBMIT", "activity")
def _repeated(case: Spoken) -> str | None:
    if case.what == "again" and case.talk.restored:
        return f"ring {case.number}: a buffer that had come back before the reconnection came back again"
    return None
