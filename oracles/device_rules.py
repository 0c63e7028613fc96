"""What binds the device in either layout: bytes, memory, notifications, liveness, stop and reset.

Importing this module registers every device rule. Knows the specification; must not know targets
or programs.
"""

from __future__ import annotations

from oracles import packed_rules, split_rules
from oracles.asking import broken, rule, rule_ids
from oracles.model import Case, pointer_flagged

__all__ = ["broken", "packed_rules", "rule_ids", "split_rules"]

# -- what became of a buffer's bytes ---------------------------------------------------------------------


@rule("INO-ORDER", "scanned")
def _order_untouched(case: Case) -> str | None:
    buffer = case.buffer
    if buffer is None or buffer.length is not None:
        return None
    if buffer.masked:
        return f"{buffer} was unfinished when a younger buffer took its place: completions out of order in one idx step"
    if case.what == "packed" and sum(length for _, length in case.kept) == buffer.writable:
        return f"a younger buffer was returned while {buffer} was not touched yet"
    return None


@rule("INO-SKIP-FULL", "scanned")
def _skip_full(case: Case) -> str | None:
    if case.buffer and case.buffer.length is None and case.kept:
        offset, length = case.kept[0]
        return (
            f"{case.buffer} was skipped by a batch, so counts as completely used, but {length} of its "
            f"{case.buffer.writable} writable bytes from {offset} on were not written"
        )
    return None


def _within(case: Case) -> tuple[int, int] | None:
    buffer = case.buffer
    if buffer is None or buffer.length is None or buffer.length <= 0:
        return None
    for offset, length in case.kept:
        if min(offset + length, buffer.length) - offset >= case.base:
            return offset, length
    return None


@rule("S-USED-LEN-WRITTEN", "scanned")
def _len_written(case: Case) -> str | None:
    unwritten = _within(case) if case.what == "split" else None
    if unwritten and case.buffer:
        return f"used length {case.buffer.length} of {case.buffer}, but byte {unwritten[0]} on was not written"
    return None


@rule("P-USED-LEN", "scanned")
def _packed_len_written(case: Case) -> str | None:
    unwritten = _within(case) if case.what == "packed" else None
    if unwritten and case.buffer:
        return f"used length {case.buffer.length} of {case.buffer}, but byte {unwritten[0]} on was not written"
    return None


@rule("S-USED-LEN-EXACT", "written")
def _len_exact(case: Case) -> str | None:
    if case.what == "split" and case.buffer:
        return f"used length {case.buffer.length} of {case.buffer}, though the device wrote more"
    return None


# -- what a wrong answer says about reading descriptors --------------------------------------------------


def _answer(case: Case) -> str:
    return f"{case.buffer} was answered wrongly: {case.data.decode()}"


@rule("DT-NET-MRG-FULL", "answer")
def _merged_full(case: Case) -> str | None:
    return _device_type(case, "DT-NET-MRG-FULL")


@rule("DT-NET-MRG-TOGETHER", "answer")
def _merged_together(case: Case) -> str | None:
    return _device_type(case, "DT-NET-MRG-TOGETHER")


def _device_type(case: Case, name: str) -> str | None:
    """What the device class says against a rule of its own, by name."""
    rule_id, colon, what = case.data.decode().partition(": ")
    return f"{case.buffer}: {what}" if colon and rule_id == name else None


@rule("VQ-DATA", "answer")
def _wrong_data(case: Case) -> str | None:
    return _answer(case) if case.device != "any" else None


@rule("P-IND-DEV-IGN", "answer")
def _pointer_write_packed(case: Case) -> str | None:
    return _answer(case) if case.what == "packed" and case.buffer and pointer_flagged(case.buffer) else None


@rule("S-IND-WRITE-IGN", "answer")
def _pointer_write_split(case: Case) -> str | None:
    return _answer(case) if case.what == "split" and case.buffer and pointer_flagged(case.buffer) else None


@rule("P-IND-LEN", "answer")
def _indirect_entries(case: Case) -> str | None:
    return _answer(case) if case.what == "packed" and case.buffer and case.buffer.table[1] else None


@rule("S-IND-TAIL", "answer")
def _indirect_tail(case: Case) -> str | None:
    buffer = case.buffer
    return _answer(case) if case.what == "split" and buffer and buffer.table[1] and buffer.direct else None


@rule("S-IND-START", "answer")
def _indirect_start(case: Case) -> str | None:
    return _answer(case) if case.what == "split" and case.buffer and case.buffer.table[1] else None


@rule("P-DEV-LIST-ORDER", "answer")
def _list_order(case: Case) -> str | None:
    if case.what == "packed" and case.buffer and not case.buffer.table[1] and len(case.buffer.elements) > 1:
        return f"{_answer(case)}; its list has {len(case.buffer.elements)} descriptors"
    return None


@rule("S-FRAMING", "answer")
def _framing(case: Case) -> str | None:
    return _answer(case) if case.buffer and not case.buffer.table[1] else None


# -- memory that must stay as it is ----------------------------------------------------------------------


def _inside(case: Case, name: str) -> bool:
    start, length = case.spans.get(name, (0, 0))
    return start <= case.address < start + length


def _changed(case: Case, what: str) -> str:
    return f"the device wrote {case.data[:8].hex()} into {what} at {case.address:#x}"


@rule("S-DESC-RO", "changed")
def _table_written(case: Case) -> str | None:
    return _changed(case, "the descriptor table") if _inside(case, "split descriptor") else None


@rule("S-AVAIL-RO", "changed")
def _available_written(case: Case) -> str | None:
    return _changed(case, "the available ring") if _inside(case, "split driver") else None


@rule("P-EV-AREA", "changed")
def _driver_area_written(case: Case) -> str | None:
    return _changed(case, "the driver event suppression area") if _inside(case, "packed driver") else None


@rule("S-IND-RO", "changed")
def _split_indirect_written(case: Case) -> str | None:
    return _changed(case, "an indirect table") if _inside(case, "split table") else None


@rule("P-IND-RO", "changed")
def _packed_indirect_written(case: Case) -> str | None:
    return _changed(case, "an indirect table") if _inside(case, "packed table") else None


@rule("S-RO-BUF", "changed")
def _split_readable_written(case: Case) -> str | None:
    return _changed(case, "a device-readable element") if _inside(case, "split readable") else None


@rule("P-RO-BUF", "changed")
def _packed_readable_written(case: Case) -> str | None:
    return _changed(case, "a device-readable element") if _inside(case, "packed readable") else None


@rule("INO-BATCH-TIME", "changed")
def _batch_late(case: Case) -> str | None:
    return _changed(case, "a buffer of a batch that it had published") if _inside(case, "batch") else None


@rule("VQ-OOB", "changed")
def _out_of_bounds(case: Case) -> str | None:
    return _changed(case, "memory that is none of its business")


# -- the device's suppression words ----------------------------------------------------------------------


@rule("S-AN-DEV-FLAGS-EV", "event")
def _used_flags_event(case: Case) -> str | None:
    return f"used flags is {case.flags} with EVENT_IDX" if case.what == "event_idx" else None


@rule("S-AN-DEV-FLAGS", "event")
def _used_flags(case: Case) -> str | None:
    return f"used flags is {case.flags}" if case.what == "flags" and not _packed(case) else None


@rule("P-EV-VAL-DEV", "event")
def _packed_flags(case: Case) -> str | None:
    return f"device event flags is {case.flags}" if case.what == "flags" and _packed(case) else None


@rule("P-EV-OFF-RANGE", "event")
def _packed_offset(case: Case) -> str | None:
    return f"device event offset is {case.flags & 0x7FFF}, beyond the ring" if case.what == "offset" else None


# -- notifications and liveness --------------------------------------------------------------------------


@rule("S-UN-DEV-IGN-FLAG", "uncalled")
def _flag_heeded(case: Case) -> str | None:
    ours = case.junk and case.heard and case.what in ("event", "batch") and not _packed(case)
    return f"{_silent(case)}; flags, which must be ignored, is 1" if ours else None


@rule("S-UN-DEV-IGN-EVENT", "uncalled")
def _event_heeded(case: Case) -> str | None:
    ours = case.junk and case.heard and case.what == "flags" and not _packed(case)
    return f"{_silent(case)}; used_event, which must be ignored, asks for none" if ours else None


@rule("INO-EVENT", "uncalled")
def _batch_event(case: Case) -> str | None:
    return f"no notification for {case.data.decode()}: the event lies inside a batch" if case.what == "batch" else None


@rule("S-UN-DEV-MUST", "uncalled")
def _flags_call(case: Case) -> str | None:
    return _silent(case) if case.what == "flags" and not _packed(case) else None


@rule("S-UN-DEV-EV-MUST", "uncalled")
def _event_call(case: Case) -> str | None:
    return _silent(case) if case.what in ("event", "batch") and not _packed(case) else None


@rule("P-EV-ENABLE-DEV", "uncalled")
def _packed_call(case: Case) -> str | None:
    return _silent(case) if case.what == "flags" and _packed(case) else None


@rule("P-EV-DESC-DEV", "uncalled")
def _packed_event_call(case: Case) -> str | None:
    return _silent(case) if case.what in ("event", "batch") and _packed(case) else None


def _packed(case: Case) -> bool:
    return "packed descriptor" in case.spans


def _silent(case: Case) -> str:
    return f"no used buffer notification came, though {case.data.decode()}"


@rule("INO-PER-QUEUE", "silence")
def _waits_for_other_queues(case: Case) -> str | None:
    if case.queue.in_order and case.elsewhere:
        return f"{_stuck(case)}; older buffers are outstanding on another queue, and none was ever used before such"
    return None


@rule("INO-LIVE", "silence")
def _live_in_order(case: Case) -> str | None:
    return _stuck(case) if case.queue.in_order else None


@rule("VQ-LIVE", "silence")
def _live(case: Case) -> str | None:
    return _stuck(case)


def _stuck(case: Case) -> str:
    return f"{case.buffer} was never used ({case.outstanding} outstanding); {case.what}"


# -- stop, reset, before and after -----------------------------------------------------------------------


@rule("VU-BASE-SPLIT", "stopped")
def _base_split(case: Case) -> str | None:
    if case.what == "range" and not _packed(case):
        return f"the stopped queue reports {case.base}; used idx is {case.old}, available idx {case.new}"
    return None


@rule("VU-BASE-PACKED", "stopped")
def _base_packed(case: Case) -> str | None:
    if case.what in ("range", "half") and _packed(case):
        return f"the stopped queue reports {case.base:#x}; device position {case.old:#x}, driver position {case.new:#x}"
    return None


@rule("VU-BASE-DRAIN", "stopped")
def _drain(case: Case) -> str | None:
    if case.what == "drain":
        return f"the queue was stopped at {case.base:#x} with {case.outstanding} buffers fetched but not used"
    return None


@rule("VQ-NOT-LIVE", "dead")
def _buffers_alone(case: Case) -> str | None:
    """A buffer, or what was one: of the rings and of notifications RST-QUIET speaks."""
    if case.what == "device" and case.address and not any(_inside(case, name) for name in case.spans):
        return f"{case.data.decode()}, outside of the rings, while the queue was not live"
    return None


@rule("RST-QUIET", "dead")
def _reset_quiet(case: Case) -> str | None:
    return f"{case.data.decode()} after device reset" if case.what == "device" else None


@rule("VQR-QUIET", "dead")
def _queue_reset_quiet(case: Case) -> str | None:
    return f"{case.data.decode()} after queue reset" if case.what == "queue" else None


@rule("SUS-DEV-DRAIN", "suspended")
def _suspended_unsaid(case: Case) -> str | None:
    return f"the device is suspended, and owes a notification of what it used before: {case.data.decode()}"


@rule("SUS-DEV-QUIET", "dead")
def _suspended_quiet(case: Case) -> str | None:
    return f"{case.data.decode()} while the device was suspended" if case.what == "suspend" else None


@rule("MM-NOTREADY", "dead")
def _not_ready(case: Case) -> str | None:
    return f"{case.data.decode()} while QueueReady was 0" if case.what == "disable" else None


@rule("VU-STOPPED", "dead")
def _stopped_quiet(case: Case) -> str | None:
    return f"{case.data.decode()} while the queue was stopped" if case.what == "stop" else None


@rule("VU-BASE-STOP", "dead")
def _stopped_still(case: Case) -> str | None:
    return f"{case.data.decode()} after the back-end reported the queue stopped" if case.what == "stop" else None


@rule("VU-SUSPENDED", "dead")
def _suspended(case: Case) -> str | None:
    return f"{case.data.decode()} with all queues stopped" if case.what == "stop" else None


@rule("VU-RESET-DEV", "dead")
def _reset_device(case: Case) -> str | None:
    return f"{case.data.decode()} after the back-end reset the device" if case.what == "device" else None


@rule("ST-NO-EARLY-USE", "dead")
def _early(case: Case) -> str | None:
    return f"{case.data.decode()} before the device was set up" if case.what == "" else None


@rule("VQ-NOT-LIVE", "dead")
def _not_live(case: Case) -> str | None:
    return f"{case.data.decode()} while the queue was not live"
