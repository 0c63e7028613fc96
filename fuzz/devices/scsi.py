"""virtio-scsi (5.6): commands for logical units, task management, and events.

Knows requests and what they are about; what a right answer is, is known to ``fuzz.devices.scsi_answers``, and what is
on the disk to ``fuzz.devices.sectors``. Must not know rings, or which device answers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from fuzz.choices import Choices
from fuzz.devices import Message, forms
from fuzz.devices import scsi_answers as answers
from fuzz.devices.cutting import cut
from fuzz.devices.sectors import SECTOR, Sectors, sector_data
from fuzz.program import Limits, Request

CONTROL, EVENT = 0, 1  # virtqueues; those behind are for commands (5.6.2)
_COMMAND = struct.Struct("<8sQBBB")  # lun, id, task_attr, prio, crn; then the CDB (5.6.6.1)
_TASK = struct.Struct("<II8sQ")  # type, subtype, lun, id (5.6.6.2)
_NOTIFY = struct.Struct("<I8sI")  # type, lun, event_requested
_TASK_ANSWER, _NOTIFY_ANSWER = 1, 5  # bytes

#: Task management functions in the order of their numbers, and the two requests for asynchronous notifications.
TASKS = (
    "abort_task", "abort_task_set", "clear_aca", "clear_task_set", "nexus_reset", "lun_reset", "query_task",
    "query_task_set",
)  # fmt: skip
_ABORTS = frozenset({"abort_task", "abort_task_set", "clear_task_set"})
_NOTIFIES = {"query_events": 1, "subscribe_events": 2}
#: Commands that move sectors, their operation codes, and how place and number of them stand in the CDB.
_MOVES = {"read": (0x28, ">BxIxHx"), "write": (0x2A, ">BxIxHx"), "read16": (0x88, ">BxQIxx"),
          "write16": (0x8A, ">BxQIxx")}  # fmt: skip
#: Other commands: their CDBs, without a length.
_CDBS = {
    "inquiry": (0x12, ">BxxHx"),
    "sense": (0x03, ">BxxHx"),  # the length has one byte here, the second one
    "luns": (0xA0, ">B5xIxx"),
    "ready": (0x00, ">B5x"),
    "capacity": (0x25, ">B9x"),
    "flush": (0x35, ">B9x"),
}
_LUN = {"lun": (0, 255, 0), "target": (0, 255, 0)}
_MOVED = {"sector": (0, (1 << 32) - 1, 0), "count": (0, 256, 1), **_LUN}
_ABOUT = {"back": (0, 15, 0), **_LUN}
_WANTED = {"events": (0, 0x7F, 0), **_LUN}
FORMS: forms.Forms = {
    **dict.fromkeys(_MOVES, _MOVED),
    "inquiry": {"length": (0, 255, 36), **_LUN},
    "sense": {"length": (0, 252, 18), **_LUN},
    "luns": {"length": (16, 4096, 64), **_LUN},
    **dict.fromkeys(("ready", "capacity", "flush"), _LUN),
    **dict.fromkeys(TASKS, _ABOUT),
    **dict.fromkeys(_NOTIFIES, _WANTED),
    "event": {"length": (answers.EVENT.size, 4096, answers.EVENT.size)},
}
_KINDS = ("read", "write", "inquiry", "read", "write", "ready", "read", "write", "read16", "write16", "inquiry", "luns",
          "sense", "capacity", "flush", "inquiry")  # fmt: skip
_CONTROLS = ("query_task", "abort_task", "query_events", "query_task", *TASKS, *_NOTIFIES)
_REMEMBERED = 16  # commands, for task management


class Device:
    """One run of one program.

    *hints*: capacity of LUN 0 in sectors that may be used, and blocks, in all; luns: how many there are from 0 on;
    sense_size and cdb_size as the configuration space has them; aborts: 0 if the device is known to hang when
    commands are aborted.
    """

    name = "scsi"

    def __init__(self, hints: dict[str, int]) -> None:
        self._cdb = hints.get("cdb_size", 32)
        self._sense = hints.get("sense_size", 96)
        self._luns = hints.get("luns", 1)
        self._blocks = hints.get("blocks", 0)
        self._sectors = Sectors(hints.get("capacity", 64), False)
        self._tags: dict[int, bool] = {}  # of commands supplied last, oldest first: whether they were answered

    # --- requests -----------------------------------------------------------------------------------------------------

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Commands that take long among ones that don't, mostly for LUN 0, in all ways to cut them."""
        request, usual, readable = self._drawn(choices, queue, dict(limits.hints))
        usual = tuple(length for length in usual if length)
        if queue in limits.uncut:
            return request, usual
        return request, cut(choices, usual, readable, sum(usual) - readable)

    def _drawn(self, choices: Choices, queue: int, hints: dict[str, int]) -> tuple[Request, tuple[int, ...], int]:
        """A request, its parts as drivers have them in elements of their own, and how many bytes the device reads."""
        integer = choices.integer
        if queue == EVENT:
            length = (answers.EVENT.size, answers.EVENT.size, 17, 64)[integer(0, 3)]
            return Request("event", (("length", length),)), (length,), 0
        where = ((), (), (), (), (), (("lun", 1),), (("lun", 2),), (("target", 1),))[integer(0, 7)]
        if queue == CONTROL:
            kind = _CONTROLS[integer(0, len(_CONTROLS) - 1)]
            if kind in _ABORTS and not hints.get("aborts", 1):
                kind = "query_task_set"
            if kind in _NOTIFIES:
                events = (0, 0x7E, integer(0, 0x7F))[integer(0, 2)]
                return Request(kind, (("events", events), *where)), (_NOTIFY.size, _NOTIFY_ANSWER), _NOTIFY.size
            return Request(kind, (("back", integer(0, 3)), *where)), (_TASK.size, _TASK_ANSWER), _TASK.size
        request = self._command(choices, hints.get("capacity", 64), where)
        out, in_ = _data(request.kind, forms.values(FORMS, request))
        head = _COMMAND.size + self._cdb
        return request, (head, out, answers.HEAD.size + self._sense, in_), head + out

    @staticmethod
    def _command(choices: Choices, capacity: int, where: tuple[tuple[str, int], ...]) -> Request:
        integer = choices.integer
        kind = _KINDS[integer(0, len(_KINDS) - 1)]
        if kind in _MOVES:
            count = min(capacity, (1, 1, 1, 2, 3, 4, 8, 0)[integer(0, 7)])
            places = (integer(0, 3), integer(0, 16), capacity - count, capacity - count - integer(0, 8))
            sector = max(0, min(places[integer(0, 3)], capacity - count))
            if where:  # another disk is small, if it is there
                sector = min(sector, 16)
            return Request(kind, (("sector", sector), ("count", count), *where))
        lengths = {"inquiry": (36, 5, 96, 255), "sense": (18, 8, 252, 96), "luns": (64, 16, 24, 512)}.get(kind)
        if lengths is None:
            return Request(kind, where)
        return Request(kind, (("length", lengths[integer(0, len(lengths) - 1)]), *where))

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return forms.words(self.name, FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        self._sectors.supplied(buffer, queue)
        kind, fields = request.kind, forms.values(FORMS, request)
        if kind == "event":
            return Message(b"", fields["length"], answers.event, completes=False)
        lun = bytes((1, fields["target"], 0x40, fields["lun"], 0, 0, 0, 0))  # a single level LUN structure
        present = not fields["target"] and fields["lun"] < self._luns
        if kind in _NOTIFIES:
            check = answers.notification(present)
            return Message(_NOTIFY.pack(_NOTIFIES[kind], lun, fields["events"]), _NOTIFY_ANSWER, check)
        if kind in TASKS:
            return self._task(kind, lun, present, fields["back"])
        return self._command_for(lun, present, kind, fields, (buffer, queue))

    def _task(self, kind: str, lun: bytes, present: bool, back: int) -> Message:
        """A task management function, about the command *back* before the last one where it is about one."""
        tags = list(self._tags)
        tag = tags[-1 - min(back, len(tags) - 1)] if tags else 0
        gone = kind == "query_task" and self._tags.get(tag, True)
        readable = _TASK.pack(0, TASKS.index(kind), lun, tag)
        return Message(readable, _TASK_ANSWER, lambda used, data: answers.task(kind, present, gone, data[0]))

    def _command_for(
        self, lun: bytes, present: bool, kind: str, fields: dict[str, int], place: tuple[int, int]
    ) -> Message:
        """A command, with data for the device or room for data from it."""
        tag = forms.septets(place[0] << 4 | place[1])
        self._tags.pop(tag, None)
        self._tags[tag] = False
        if len(self._tags) > _REMEMBERED:
            del self._tags[next(iter(self._tags))]
        _, in_ = _data(kind, fields)
        head = _COMMAND.pack(lun, tag, 0, 0, 0) + _cdb(kind, fields).ljust(self._cdb, b"\0")
        disk = present and not fields["lun"]  # of which we know something
        sector, count = fields.get("sector", 0), fields.get("count", 0)
        known = disk and not self._sectors.beyond(sector, count)
        must = known if kind in _MOVES else disk if kind == "luns" else present  # only LUN 0 has to list them
        asked = answers.Asked(kind, self._sense, in_, must)
        data, written = b"", None
        if kind in ("write", "write16"):
            data = b"".join([sector_data(*place, number) for number in range(sector, sector + count)])
            written = self._sectors.write(sector, count, place) if known else None
        elif kind in ("read", "read16") and known:
            asked.compare = self._sectors.read(sector, count)
        elif kind == "capacity" and disk:
            asked.blocks = self._blocks
        return Message(head + data, answers.HEAD.size + self._sense + in_, self._checked(asked, tag, written))

    def _checked(
        self, asked: answers.Asked, tag: int, written: Callable[[bool], None] | None
    ) -> Callable[[int, bytes], str]:
        def check(used: int, data: bytes) -> str:
            if tag in self._tags:
                self._tags[tag] = True
            well, wrong = answers.command(asked, data)
            if written is not None:
                written(well)
            return wrong

        return check


def _data(kind: str, fields: dict[str, int]) -> tuple[int, int]:
    """How many bytes of data a command has for the device, and how many it wants from it."""
    if kind in _MOVES:
        length = fields["count"] * SECTOR
        return (length, 0) if kind in ("write", "write16") else (0, length)
    return 0, answers.CAPACITY.size if kind == "capacity" else fields.get("length", 0)


def _cdb(kind: str, fields: dict[str, int]) -> bytes:
    """The command descriptor block."""
    if kind in _MOVES:
        code, form = _MOVES[kind]
        return struct.pack(form, code, fields["sector"], fields["count"])
    code, form = _CDBS[kind]
    return struct.pack(form, code, *([fields["length"]] if "length" in fields else []))
