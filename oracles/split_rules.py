"""What binds the device on a split ring: a step of used idx, and the elements under it (2.7.8, 2.7.9).

Knows the specification; must not know targets or programs.
"""

from __future__ import annotations

from oracles import spec
from oracles.asking import rule
from oracles.model import Buffer, Case
from oracles.order_rules import late, older, passed, was_used

__all__ = ["older", "was_used"]


def decoy_of(case: Case) -> Buffer | None:
    """The outstanding buffer, one of whose ids without meaning *case* carries; None if it names a buffer."""
    if case.buffer is not None:
        return None
    return next((buffer for buffer in case.queue.by_id.values() if case.id in buffer.decoys), None)


@rule("S-USED-IDX-START", "used")
def _idx_backwards(case: Case) -> str | None:
    if case.what == "bound" and case.step >= 0x8000:
        return f"used idx went back from {case.old} to {case.new}"
    return None


@rule("INO-RESTART", "used", "descriptor")
def _restart(case: Case) -> str | None:
    return _old_life(case) if case.queue.in_order else None


@rule("VQ-NOT-LIVE", "used", "descriptor")
def _other_life(case: Case) -> str | None:
    first = case.first or case.what != "bound"
    return _old_life(case) if first and not case.queue.in_order and case.cause == "reset" else None


def _old_life(case: Case) -> str | None:
    """What says that buffers from before the last reset come back after it."""
    if case.cause not in ("reset", "queue_reset") or case.buffer is not None:
        return None
    if case.id >= 0 and case.id in case.queue.ghosts and not was_used(case):
        return f"id {case.id} names a buffer from before the reset"
    if case.what == "bound" and case.queue.ghosts and case.step < 0x8000:
        return (
            f"used idx went from {case.old} to {case.new} though {case.outstanding} buffers were available since "
            "the reset: completions from before it are published"
        )
    return None


@rule("VU-RESTART", "used", "descriptor")
def _lost_or_repeated(case: Case) -> str | None:
    if case.cause != "restart" or not case.first or case.buffer is not None or not case.outstanding:
        return None
    if case.moment == "used" and (case.what != "id" or case.id > 0xFFFF):
        return None
    if case.moment == "descriptor" and (case.slot != case.old or not case.fresh or not case.bits_right()):
        return None
    if decoy_of(case) is not None:
        return None
    again = "came back before the stop" if was_used(case) else "no outstanding buffer has"
    return f"the first use after a restart names id {case.id}, which {again}"


@rule("VQR-STATE", "used", "descriptor")
def _state_kept(case: Case) -> str | None:
    if case.cause != "queue_reset":
        return None
    old = _old_life(case)
    if old is not None or not case.first:
        return old
    if case.moment == "used" and case.what == "bound":
        return f"the first use after a queue reset took used idx from {case.old} to {case.new}: it must begin at slot 0"
    if case.moment == "descriptor" and (case.slot != case.old or not case.bits_right()):
        return f"the first use after a queue reset is at {case.slot}, not at 0 with wrap counter 1"
    return None


@rule("S-AN-DEV-SPUR", "used")
def _took_nothing(case: Case) -> str | None:
    if case.spurious and case.what == "bound" and not case.outstanding and case.step < 0x8000:
        return f"used idx went from {case.old} to {case.new} after a notification that announced nothing"
    return None


@rule("INO-S-IND-SLOT", "used")
def _entries_counted(case: Case) -> str | None:
    if not case.queue.in_order or not case.counted or (case.what != "bound" and case.fresh):
        return None
    behind = (case.old + case.counted) % case.queue.size
    if case.counted == case.step or (case.counted < case.step and behind in case.others):
        return f"used idx moved by {case.counted} for a batch: the entries of indirect tables were counted"
    return None


@rule("INO-BATCH-BOUND", "used")
def _batch_bound(case: Case) -> str | None:
    if case.queue.in_order and case.what == "bound" and case.outstanding and case.step <= case.queue.size:
        return f"a run of {case.step} buffers was published with {case.outstanding} outstanding"
    return None


@rule("S-USED-IDX-BOUND", "used")
def _idx_bound(case: Case) -> str | None:
    if case.what == "bound" and case.step < 0x8000:
        return f"used idx went from {case.old} to {case.new} with only {case.outstanding} buffers outstanding"
    return None


@rule("INO-S-BATCH-SLOT", "used")
def _batch_slot(case: Case) -> str | None:
    if case.queue.in_order and case.what != "bound" and case.place == 0 and not case.fresh and case.others:
        return (
            f"the element of the batch was written at slot {case.others[0]}; slot {case.slot}, "
            "which belongs to its first buffer, was not"
        )
    return None


@rule("INO-S-BATCH-ID", "used")
def _batch_id(case: Case) -> str | None:
    if case.queue.in_order and case.what != "bound" and case.place > 0 and not case.fresh:
        return (
            f"used idx moved by {case.step}, but the id of the element says that its batch ended after "
            f"{case.place}: slot {case.slot} was not written"
        )
    return None


@rule("INO-NEG-ONLY", "used")
def _unasked_batch(case: Case) -> str | None:
    if case.queue.in_order or case.what == "bound" or case.fresh or not case.place or not case.queue.used:
        return None
    last = case.queue.used[-1]
    older = sum(buffer.number < last.number for buffer in case.queue.by_id.values())
    if case.step - case.place == older:
        return (
            f"used idx moved by {case.step} with one element for {last} and the {older} older buffers: "
            "a batch, though VIRTIO_F_IN_ORDER is off"
        )
    return None


@rule("S-USED-LEN-ORDER", "used")
def _element_late(case: Case) -> str | None:
    if case.what == "unwritten" and not case.others and not case.place:
        return f"used idx {case.new} was stored before the used element at slot {case.slot}"
    return None


@rule("S-USED-IDX-COUNT", "used")
def _idx_count(case: Case) -> str | None:
    if not case.queue.in_order and case.what != "bound" and not case.fresh:
        return f"used idx moved by {case.step}, but slot {case.slot} was not written (one element per buffer)"
    return None


@rule("S-USED-ID-HI", "used")
def _id_high(case: Case) -> str | None:
    if case.what == "id" and case.id > 0xFFFF:
        return f"the id of the used element is {case.id:#x}: a head has 16 bits"
    return None


@rule("INO-ORDER", "used")
def _came_back(case: Case) -> str | None:
    buffer = late(case) if case.what == "id" else None
    return f"{buffer} came back after a younger buffer had been returned in its place" if buffer else None


@rule("S-USED-ONCE", "used")
def _once(case: Case) -> str | None:
    if case.what == "id" and was_used(case):
        return f"head {case.id} was returned a second time"
    return None


@rule("S-USED-ID", "used")
def _used_id(case: Case) -> str | None:
    if case.what == "id":
        return f"the used element at slot {case.slot} names head {case.id}, which is not outstanding"
    return None


@rule("INO-BATCH-LEN", "used", "descriptor")
def _batch_len(case: Case) -> str | None:
    if not case.queue.in_order or not case.distance or case.buffer is None:
        return None
    if case.moment == "used" and case.place + case.distance >= case.step:
        return None
    if case.moment == "descriptor" and (case.slot != case.old or not case.flags & spec.DESC_F_WRITE):
        return None
    if case.length > case.buffer.writable:
        return (
            f"the batch of {case.run} carries length {case.length}; its last buffer {case.buffer} "
            f"has {case.buffer.writable} writable bytes"
        )
    return None


@rule("S-USED-LEN-MAX", "used")
def _len_max(case: Case) -> str | None:
    if case.buffer is None or case.place + (case.distance or 0) >= case.step:
        return None
    if case.length > case.buffer.writable:
        return f"used length {case.length} of {case.buffer}, which has {case.buffer.writable} writable bytes"
    return None


@rule("INO-ORDER", "used")
def _order_split(case: Case) -> str | None:
    if passed(case):
        return f"{case.buffer} was returned before {older(case)}, which became available earlier"
    return None


@rule("INO-S-BATCH-IDX", "used")
def _batch_idx(case: Case) -> str | None:
    if case.queue.in_order and case.distance and case.place + case.distance >= case.step:
        return (
            f"the element names {case.buffer}, the last of a batch of {case.run}; "
            f"used idx moved by {case.step} instead of {case.place + case.run}"
        )
    return None


@rule("INO-S-MASK", "used")
def _mask(case: Case) -> str | None:
    if case.what == "mask":
        return (
            f"slot {case.slot}, skipped by a batch, was written with head {case.id}; "
            f"its place belongs to head {case.buffer.id if case.buffer else '?'}: completions out of order inside one "
            "idx step look like this"
        )
    return None


@rule("S-UN-DEV-SUPP", "spurious")
def _flags_spurious(case: Case) -> str | None:
    return "a notification came though our flags ask for none" if case.what == "split flags" else None


@rule("S-UN-DEV-EV-SUPP", "spurious")
def _event_spurious(case: Case) -> str | None:
    return "a notification came though used_event was not passed" if case.what == "split event" else None
