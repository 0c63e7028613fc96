"""Order under VIRTIO_F_IN_ORDER, as either layout shows it broken: what was passed over, and what came back late (6.2).

Knows what a broken order says about its cause: a request that fails, or a queue that has none. Must not know targets.
"""

from __future__ import annotations

from oracles.asking import rule
from oracles.model import Buffer, Case


def older(case: Case) -> str:
    """The buffers older than the one named, in a few words."""
    buffers = case.queue.older(case.distance or 0)
    return " ".join(repr(buffer) for buffer in buffers[:4]) + (" …" if len(buffers) > 4 else "")


def was_used(case: Case) -> bool:
    """Whether the id of *case* is that of a buffer returned before and not yet reclaimed."""
    return any(buffer.id == case.id for buffer in case.queue.used)


def passed(case: Case) -> list[Buffer]:
    """Split: the buffers that the one named was returned before, though they became available earlier."""
    if case.moment != "used" or not case.queue.in_order or not case.distance or case.what == "complete":
        return []
    return case.queue.older(case.distance) if case.place + case.distance >= case.step else []


def late(case: Case) -> Buffer | None:
    """The buffer that came back after a younger one seemed to have been a batch's last."""
    if not case.queue.in_order or case.buffer is not None:
        return None
    if case.moment == "used":
        return next((one for one in case.queue.used if one.id == case.id and one.length is None), None)
    last = case.last
    if last is None or not case.fresh or not last.covers(case.slot, case.queue.size):
        return None
    return next((one for one in last.buffers[:-1] if one.id == case.id), None)


def _because_it_fails(case: Case) -> str | None:
    """Only requests that fail were passed over, or only the one that came first is such a request."""
    behind = late(case)
    if behind is not None:
        after = case.last.buffers[-1] if case.last else case.queue.used[-1]
        if after.fails and not behind.fails:
            return f"{after}, which fails, was returned before {behind}"
        return f"{behind}, which fails, came back after {after}" if behind.fails and not after.fails else None
    before = passed(case)
    if not before or case.buffer is None:
        return None
    if case.buffer.fails and not any(one.fails for one in before):
        return f"{case.buffer}, which fails, was returned before {older(case)}"
    if not case.buffer.fails and all(one.fails for one in before):
        return f"{older(case)}, which fails, was passed over by {case.buffer}"
    return None


@rule("INO-ERR", "used", "descriptor")
def _failed_request(case: Case) -> str | None:
    return _because_it_fails(case) if case.fresh else None


@rule("INO-OFFER", "used", "descriptor")
def _other_queues_only(case: Case) -> str | None:
    if not case.turned or not case.fresh or not (passed(case) or late(case)):
        return None
    return f"id {case.id} came back out of order, on a queue that never kept it; another queue of the device does"
