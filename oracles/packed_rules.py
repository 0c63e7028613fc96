"""What binds the device on a packed ring: the used descriptor (2.8.1, 2.8.6, 2.8.8).

Knows the specification; must not know targets or programs.
"""

from __future__ import annotations

from oracles import spec
from oracles.asking import rule
from oracles.model import Case
from oracles.split_rules import decoy_of, was_used


@rule("P-USED-ORDER", "descriptor")
def _flags_early(case: Case) -> str | None:
    if not case.fresh:
        return f"the flags of the used descriptor at {case.slot} were stored before its id and length"
    return None


@rule("INO-ORDER", "descriptor")
def _order_packed(case: Case) -> str | None:
    last = case.last
    if not case.queue.in_order or last is None or len(last.buffers) < 2:
        return None
    skipped = {buffer.id: buffer for buffer in last.buffers[:-1]}
    if case.buffer is None and case.id in skipped and last.covers(case.slot, case.queue.size):
        return f"{skipped[case.id]} came back after {last.buffers[-1]}, which became available later"
    return None


def _bits_wrong(case: Case) -> bool:
    return case.slot == case.old and not case.bits_right()


def _other_lap(case: Case) -> bool:
    """Whether the bits are those of the other value of the wrap counter; else they fit no counter at all."""
    return _bits_wrong(case) and bool(case.flags & spec.DESC_F_AVAIL) == bool(case.flags & spec.DESC_F_USED)


def _bits(case: Case) -> str:
    available, used = case.flags >> 7 & 1, case.flags >> 15 & 1
    return f"AVAIL={available} USED={used} at {case.slot}; the device wrap counter is {case.wrap}"


@rule("VU-SETBASE", "descriptor")
def _set_base(case: Case) -> str | None:
    if case.cause != "restart" or not case.first or not case.outstanding:
        return None
    if case.slot != case.old:
        return f"the first used descriptor after a restart stands at {case.slot}; the queue goes on at {case.old}"
    return f"after a restart {_bits(case)}" if _other_lap(case) else None


@rule("P-NO-LATE-CHANGE", "descriptor")
def _once_more(case: Case) -> str | None:
    last = case.last
    if last is None or case.slot != last.start or case.id != last.buffers[-1].id or case.buffer is not None:
        return None
    if case.slot != case.old or (last.total == case.queue.size and not case.bits_right()):
        return f"the used descriptor of {last.buffers[-1]} at {case.slot} was published already, and stored again"
    return None


@rule("P-IND-ONESLOT", "descriptor")
def _one_slot(case: Case) -> str | None:
    last = case.last
    if last is None or case.slot == case.old or not any(buffer.table[1] for buffer in last.buffers):
        return None
    ahead = (case.slot - case.old) % case.queue.size
    extra = sum(len(buffer.elements) - 1 for buffer in last.buffers if buffer.table[1])
    if extra and ahead == extra % case.queue.size:
        return f"a used descriptor at {case.slot} instead of {case.old}: the entries of an indirect table were counted"
    return None


@rule("P-USED-ONE", "descriptor")
def _one_per_list(case: Case) -> str | None:
    last = case.last
    if last and len(last.buffers) == 1 and case.slot != case.old and last.covers(case.slot, case.queue.size):
        return f"a used descriptor at {case.slot}, inside the list of {last.buffers[0]}, which was used already"
    return None


@rule("INO-P-SKIPPED-DESC", "descriptor")
def _skipped_descriptor(case: Case) -> str | None:
    last = case.last
    if last and len(last.buffers) > 1 and case.buffer is None and last.covers(case.slot, case.queue.size):
        if case.slot != case.old and case.id == last.buffers[-1].id:
            return f"the descriptor at {case.slot}, inside the batch just used, was written as well"
    return None


@rule("INO-P-BATCH-ID", "descriptor")
def _packed_batch_id(case: Case) -> str | None:
    last = case.last
    if not case.queue.in_order or last is None or case.slot == case.old:
        return None
    for distance, buffer in enumerate(case.queue.older(case.queue.size)):
        if distance and buffer.position == case.slot and case.distance is not None and case.distance >= distance:
            return (
                f"the batch carried the id of {last.buffers[-1]}, but the next used descriptor stands at {case.slot}, "
                f"behind {distance} more buffers: the id is not that of its last buffer"
            )
    return None


@rule("INO-P-BATCH-SLOT", "descriptor")
def _packed_batch_slot(case: Case) -> str | None:
    last = case.last
    if case.queue.in_order and last and len(last.buffers) > 1 and case.slot != case.old:
        return (
            f"after a batch of {len(last.buffers)} buffers with {last.total} descriptors the next used descriptor "
            f"belongs at {case.old}; it was written at {case.slot}"
        )
    return None


@rule("INO-NEG-ONLY", "descriptor")
def _packed_unasked_batch(case: Case) -> str | None:
    last = case.last
    if case.queue.in_order or last is None or case.slot == case.old:
        return None
    older = [buffer.slots for buffer in case.queue.by_id.values() if buffer.number < last.buffers[-1].number]
    if older and (case.slot - case.old) % case.queue.size == sum(older):
        return (
            f"behind {last.buffers[-1]} the device moved on over the {len(older)} older buffers, too: "
            "a batch, though VIRTIO_F_IN_ORDER is off"
        )
    return None


@rule("INO-BATCH-BOUND", "descriptor")
def _packed_batch_bound(case: Case) -> str | None:
    if case.queue.in_order and case.outstanding and case.slot == case.old and _unpublished(case):
        return f"a batch ends with the buffer of id {case.id}, which is not available yet"
    return None


@rule("P-NO-LATE-CHANGE", "descriptor")
def _late_change(case: Case) -> str | None:
    if case.slot != case.old and any(buffer.position == case.slot for buffer in case.queue.used) and case.outstanding:
        return f"the descriptor at {case.slot} was marked used already and changed again"
    return None


@rule("P-NO-EARLY-USE", "descriptor")
def _early_use(case: Case) -> str | None:
    if not case.outstanding:
        return f"the descriptor at {case.slot} was marked used with no buffer available"
    if _unpublished(case):
        return f"the buffer of id {case.id} was used before it was available"
    return None


def _unpublished(case: Case) -> bool:
    """Whether the used descriptor names a buffer that the driver has written and not made available."""
    return case.buffer is None and any(buffer.id == case.id for buffer in case.queue.held)


@rule("P-USED-POS", "descriptor")
def _used_position(case: Case) -> str | None:
    if case.slot != case.old:
        return f"a used descriptor was written at {case.slot}; the device's position is {case.old}"
    return None


@rule("P-WRAP-INIT", "descriptor")
def _wrap_init(case: Case) -> str | None:
    if _other_lap(case) and case.first and case.cause != "restart":
        return f"the first used descriptor has {_bits(case)}"
    return None


@rule("P-FULL-CHAIN", "descriptor")
def _full_chain(case: Case) -> str | None:
    if _other_lap(case) and case.last and case.last.total == case.queue.size and len(case.last.buffers) == 1:
        return f"after a list that filled the ring {_bits(case)}"
    return None


@rule("INO-P-SKIP-WRAP", "descriptor")
def _skip_wrap(case: Case) -> str | None:
    if _other_lap(case) and case.last and case.last.crossed and len(case.last.buffers) > 1:
        return f"after a batch that passed the ring end {_bits(case)}"
    return None


@rule("P-DEV-WRAP", "descriptor")
def _device_wrap(case: Case) -> str | None:
    if _other_lap(case) and case.last and case.last.crossed:
        return f"after the ring end was passed {_bits(case)}"
    return None


@rule("P-USED-BITS", "descriptor")
def _used_bits(case: Case) -> str | None:
    return _bits(case) if _bits_wrong(case) else None


@rule("P-ID-LAST", "descriptor")
def _id_last(case: Case) -> str | None:
    buffer = decoy_of(case)
    if buffer is not None:
        return f"id {case.id} comes from a descriptor of {buffer} that is not its last; its id is {buffer.id}"
    return None


@rule("P-USED-ONCE", "descriptor")
def _packed_once(case: Case) -> str | None:
    if case.buffer is None and was_used(case):
        return f"buffer id {case.id} was returned a second time"
    return None


@rule("P-USED-ID", "descriptor")
def _packed_id(case: Case) -> str | None:
    if case.buffer is None:
        return f"the used descriptor at {case.slot} carries id {case.id}, which no outstanding buffer has"
    return None


@rule("P-USED-LEN", "descriptor")
def _packed_len(case: Case) -> str | None:
    if case.buffer and case.flags & spec.DESC_F_WRITE and case.length > case.buffer.writable:
        return f"used length {case.length} of {case.buffer}, which has {case.buffer.writable} writable bytes"
    return None


@rule("P-EV-DISABLE-DEV", "spurious")
def _packed_spurious(case: Case) -> str | None:
    return "a notification came though our event flags disable them" if case.what == "packed flags" else None


@rule("P-USED-WFLAG", "written")
def _write_flag(case: Case) -> str | None:
    if case.what == "packed":
        return f"the used descriptor of {case.buffer} has WRITE clear, though the device wrote into the buffer"
    return None
