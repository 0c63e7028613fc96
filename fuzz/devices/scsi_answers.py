"""What a virtio-scsi device may answer (5.6.6), and what the SCSI standards (SAM-5, SPC-4, SBC-3) have to do with it.

Knows responses, statuses and sense data. Must not know rings, or which device answers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

HEAD = struct.Struct("<IIHBB")  # sense_len, residual, status_qualifier, status, response; then sense, then data
EVENT = struct.Struct("<I8sI")  # event, lun, reason
CAPACITY = struct.Struct(">II")  # the last logical block, bytes of one
_NOTIFICATION = struct.Struct("<IB")  # event_actual, response

_OK = 0
_RESPONSES = {
    0: "OK", 1: "OVERRUN", 2: "ABORTED", 3: "BAD_TARGET", 4: "RESET", 5: "BUSY", 6: "TRANSPORT_FAILURE",
    7: "TARGET_FAILURE", 8: "NEXUS_FAILURE", 9: "FAILURE", 10: "FUNCTION_SUCCEEDED", 11: "FUNCTION_REJECTED",
    12: "INCORRECT_LUN",
}  # fmt: skip
_FOR_COMMANDS = frozenset(range(10))
#: ABORTED, RESET, BUSY and FAILURE: ended by task management or a reset, or to be tried again (5.6.6.1.1).
_NOT_DONE = frozenset({2, 4, 5, 9})
_FOR_NOTIFICATIONS = frozenset({0, 3, 5, 6, 7, 8, 9, 12})
_FOR_TASKS = _FOR_NOTIFICATIONS | {10, 11}
_NOT_THERE = frozenset({3, 12})
_SUCCEEDED = 10

_GOOD, _CHECK_CONDITION = 0x00, 0x02
_LATER = frozenset({0x08, 0x28, 0x40})  # BUSY, TASK SET FULL, TASK ABORTED
_UNIT_ATTENTION = 6
#: Commands that are carried out whatever unit attention condition there is, without reporting it (SAM-5, 5.14).
#: So is REQUEST SENSE, but QEMU reports one there, which is for others to mend than those who look at virtqueues.
_UNMOVED = frozenset({"inquiry", "luns"})
_EVENTS_MISSED = 1 << 31
_ASYNCHRONOUS = 0x7E  # bits of event_actual that are defined


@dataclass(slots=True)
class Asked:
    """A command as far as its answer depends on it."""

    kind: str
    sense: int  # bytes of room for sense data
    room: int  # bytes of room for data
    must: bool  # it can be carried out: the logical unit is there, and the sectors are
    compare: Callable[[bytes], str] | None = None  # what is wrong with data that was read
    blocks: int = 0  # capacity in blocks, if known


def command(asked: Asked, answer: bytes) -> tuple[bool, str]:
    """Whether a command was carried out, and what is wrong with its answer."""
    length, residual, _, status, response = HEAD.unpack_from(answer)
    if response not in _FOR_COMMANDS:
        return False, f"response {response} (none for a command, 5.6.6.1.1)"
    if response != _OK:
        may = response in _NOT_DONE or not asked.must
        return False, "" if may else f"response {response} ({_RESPONSES[response]})"
    if status == _GOOD:
        return True, _good(asked, residual, answer[HEAD.size + asked.sense :])
    if length > asked.sense:
        return False, f"sense_len {length}, but there is room for {asked.sense}"
    if status == _CHECK_CONDITION:
        return False, _sense(asked, answer[HEAD.size : HEAD.size + length])
    return False, "" if status in _LATER else f"status {status:#04x}"


def _sense(asked: Asked, sense: bytes) -> str:
    """What is wrong with a CHECK CONDITION, or ''."""
    fixed = sense[:1] and sense[0] & 0x7E == 0x70  # else in descriptors (SPC-4, 4.5)
    at = 2 if fixed else 1
    if len(sense) <= at:
        return f"CHECK CONDITION with {len(sense)} bytes of sense data"
    key = sense[at] & 15
    if not asked.must or (key == _UNIT_ATTENTION and asked.kind not in _UNMOVED):
        return ""
    code = sense[12:14] if fixed else sense[2:4]
    return f"CHECK CONDITION, sense key {key}, additional sense code {code.hex() or 'missing'}"


def _good(asked: Asked, residual: int, data: bytes) -> str:
    """What is wrong with a status of GOOD and the data that came with it, or ''."""
    kind = asked.kind
    if residual > asked.room and asked.must:
        return f"residual {residual}, though there were {asked.room} bytes to transfer"
    came = data[: len(data) - residual]
    if kind in ("inquiry", "luns", "sense"):
        return _PARAMETERS[kind](came) if asked.must else ""
    if residual and asked.must:
        return f"residual {residual}, though the status is GOOD"
    if asked.compare is not None:
        return asked.compare(data)
    if kind == "capacity" and asked.blocks and CAPACITY.unpack(data) != (asked.blocks - 1, 512):
        last, size = CAPACITY.unpack(data)
        return f"the capacity is {last + 1} blocks of {size} bytes, not {asked.blocks} of 512"
    return ""


def _inquiry(data: bytes) -> str:
    if len(data) >= 4 and (data[0] >> 5 or data[3] & 15 != 2):
        return f"INQUIRY data {data[:4].hex()}: the logical unit is there, and the format is 2 (SPC-4, 6.6.2)"
    return ""


def _luns(data: bytes) -> str:
    if len(data) < 4:
        return f"{len(data)} bytes of REPORT LUNS data"
    length = int.from_bytes(data[:4], "big")
    if length % 8 or not length:
        return f"LUN list of {length} bytes: they are 8 each, and one is there (SPC-4, 6.33)"
    return ""


def _sense_data(data: bytes) -> str:
    if data and not 0x70 <= data[0] & 0x7F <= 0x73:
        return f"sense data with response code {data[0] & 0x7F:#x} (SPC-4, 4.5.1)"
    return ""


_PARAMETERS: dict[str, Callable[[bytes], str]] = {"inquiry": _inquiry, "luns": _luns, "sense": _sense_data}


def task(kind: str, present: bool, gone: bool, response: int) -> str:
    """What is wrong with the response to a task management function. *gone*: about a command that was answered."""
    if response not in _FOR_TASKS:
        return f"response {response} (none for task management, 5.6.6.2)"
    if present and response in _NOT_THERE:
        return f"{kind} is answered with {_RESPONSES[response]}, though the logical unit is there"
    if response == _SUCCEEDED and (gone or not kind.startswith("query")):
        return f"{kind} is answered with {_RESPONSES[response]}" + (", but its task was answered" if gone else "")
    return ""


def notification(present: bool) -> Callable[[int, bytes], str]:
    """What is wrong with the answer to a query for or a subscription of asynchronous notifications."""

    def check(used: int, data: bytes) -> str:
        events, response = _NOTIFICATION.unpack(data)
        if response not in _FOR_NOTIFICATIONS:
            return f"response {response} (none for asynchronous notifications, 5.6.6.2)"
        if present and response in _NOT_THERE:
            return f"response {response} ({_RESPONSES[response]}), though the logical unit is there"
        if response == _OK and events & ~_ASYNCHRONOUS:
            return f"event_actual {events:#x} has bits of no event (5.6.6.2)"
        return ""

    return check


def event(used: int, data: bytes) -> str:
    """What is wrong with an event (5.6.6.3), or ''."""
    number, lun, reason = EVENT.unpack_from(data)
    kind = number & ~_EVENTS_MISSED
    if kind > 3:
        return f"event {kind} (none of the specification)"
    if kind and (lun[0] != 1 or any(lun[4:])):
        return f"event {kind} about the logical unit {lun.hex()}, which is none of the formats (5.6.6.1)"
    if kind == 1 and reason > 2:
        return f"transport reset for the reason {reason} (none of the specification)"
    return ""
