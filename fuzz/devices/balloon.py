"""virtio-balloon (5.5): pages given and taken back, statistics, free pages hinted at and reported.

Knows what goes into which queue. Must not know rings, or which device answers.

Devices answer nothing but by using the buffer, so there is little to check. Pages that are named by number lie in
memory where nothing else is; pages that are hinted at or reported are the buffers themselves.
"""

from __future__ import annotations

import struct

from fuzz.choices import Choices
from fuzz.devices import Message, accept, forms
from fuzz.devices.cutting import cut
from fuzz.program import Limits, Request

INFLATE, DEFLATE, STATS, HINT, REPORT = range(5)  # virtqueues (5.5.2)
PAGE = 4096
_MOST_PAGES = 1024  # of a list
_MOST_REPORTED = 16
_STAT = struct.Struct("<HQ")  # tag, val (5.5.6.3)
_TAGS = (*range(10), 0x7001, 0x7FFF)  # the last two are of nobody's, and must be ignored
_LIST = {"page": (0, 0xFFFF, 0), "count": (1, _MOST_PAGES, 1), "stride": (1, 0xFFFF, 1)}
_FORMS: forms.Forms = {
    "inflate": _LIST,
    "deflate": _LIST,
    "stats": {"turn": (0, len(_TAGS) - 1, 0)},
    "command": {"id": (0, (1 << 32) - 1, 0)},
    "hint": {"pages": (1, _MOST_REPORTED, 1)},
    "report": {"pages": (1, _MOST_REPORTED, 1)},
}
_COUNTS = (1, 1, 2, 3, 4, 15, 16, 63, 256, 257, 1024)


class Device:
    """One run of one program.

    *hints*: spare, the first page number that may be named, and spare_pages, how many; hinting: 0 if that queue does
    not exist, so that the one for reports comes in its place.
    """

    name = "balloon"

    def __init__(self, hints: dict[str, int]) -> None:
        self._spare = range(hints.get("spare", 0), hints.get("spare", 0) + hints.get("spare_pages", 256))
        self._asked: dict[int, int] = {}  # page: requests to inflate that name it and were not answered
        self._given: dict[int, None] = {}  # pages that are in the balloon, since when in order

    # --- requests -----------------------------------------------------------------------------------------------------

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Lists of pages of lengths around the boundaries, in any order; whatever else a queue is for."""
        integer = choices.integer
        if queue == HINT and not dict(limits.hints).get("hinting", 1):
            queue = REPORT
        if queue in (INFLATE, DEFLATE):
            count = _COUNTS[integer(0, len(_COUNTS) - 1)]
            stride = (1, 1, 2, 7, 255)[integer(0, 4)]
            page = (0, integer(0, 255), 255)[integer(0, 2)]
            pages = (("page", page), ("count", count), ("stride", stride))
            return Request(("inflate", "deflate")[queue], pages), cut(choices, (4 * count,), 4 * count, 0)
        if queue == STATS:
            length = _STAT.size * len(_TAGS)
            return Request("stats", (("turn", integer(0, len(_TAGS) - 1)),)), cut(choices, (length,), length, 0)
        if queue == HINT and not integer(0, 2):
            return Request("command", (("id", (0, 0, 2)[integer(0, 2)]),)), cut(choices, (4,), 4, 0)
        kind = "hint" if queue == HINT else "report"
        # Here elements are pages, so they are never cut into less.
        return Request(kind, (("pages", (1, 1, 2, 3, 8)[integer(0, 4)]),)), ((), (PAGE,), (PAGE, 0))[integer(0, 2)]

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return forms.words(self.name, _FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        fields = forms.values(_FORMS, request)
        if request.kind == "inflate":
            return self._inflate(fields)
        if request.kind == "deflate":
            return self._deflate(fields)
        if request.kind == "stats":
            turn = fields["turn"]
            entries = [_STAT.pack(tag, forms.septets(buffer + tag)) for tag in (*_TAGS[turn:], *_TAGS[:turn])]
            # It comes back when the device wants newer ones; until then it is the only one there may be.
            return Message(b"".join(entries), 0, completes=False, alone=True)
        if request.kind == "command":
            return Message(struct.pack("<I", fields["id"]), 0)
        # No command was given that these pages could belong to, so they are ignored.
        return Message(b"", fields["pages"] * PAGE, _ignored if request.kind == "hint" else accept)

    # --- pages --------------------------------------------------------------------------------------------------------

    def _inflate(self, fields: dict[str, int]) -> Message:
        pages = _walk(self._spare, fields)
        for page in pages:
            self._asked[page] = self._asked.get(page, 0) + 1

        def given(used: int, data: bytes) -> str:
            for page in pages:
                self._asked[page] -= 1
                self._given[page] = None
            return ""

        return Message(struct.pack(f"<{len(pages)}I", *pages), 0, given)

    def _deflate(self, fields: dict[str, int]) -> Message:
        """Pages that are in the balloon, if there are any; never ones that are on their way into it (5.5.6.1)."""
        idle = [page for page in self._given or self._spare if not self._asked.get(page)]
        pages = _walk(idle or self._spare, fields)
        for page in pages:
            self._given.pop(page, None)
        return Message(struct.pack(f"<{len(pages)}I", *pages), 0)


def _walk(pages: range | list[int], fields: dict[str, int]) -> list[int]:
    """Page numbers from *page* on, each *stride* further, round and round."""
    first, stride = fields["page"], fields["stride"]
    return [pages[(first + step * stride) % len(pages)] for step in range(fields["count"])]


def _ignored(used: int, data: bytes) -> str:
    """5.5.6.5.2: pages that came without the command that the device gave are left alone."""
    return "" if data == data[:1] * len(data) else "a page was changed that was hinted at without a command (5.5.6.5.2)"
