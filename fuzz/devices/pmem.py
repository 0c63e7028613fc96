"""virtio-pmem (5.19): flushes, and whether they succeed.

Knows the one request there is. Must not know rings, what lies in the persistent memory, or which device answers.
"""

from __future__ import annotations

import struct

from fuzz.choices import Choices
from fuzz.devices import Message, forms
from fuzz.devices.cutting import cut
from fuzz.program import Limits, Request

_REQUEST = struct.pack("<I", 0)  # VIRTIO_PMEM_REQ_TYPE_FLUSH (5.19.6)
_ANSWER = struct.Struct("<i")
_FORMS: forms.Forms = {"flush": {}}


class Device:
    """One run of one program."""

    name = "pmem"

    def __init__(self, hints: dict[str, int]) -> None:
        pass

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """A flush, cut in some way."""
        return Request("flush"), cut(choices, (len(_REQUEST), _ANSWER.size), len(_REQUEST), _ANSWER.size)

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return forms.words(self.name, _FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The type of the request, and room for the value that is returned."""
        return Message(_REQUEST, _ANSWER.size, _returned)


def _returned(used: int, data: bytes) -> str:
    """5.19.7.3: 0 for success, -1 for failure; nothing is wrong with the memory, so it doesn't fail."""
    (value,) = _ANSWER.unpack(data)
    if not value:
        return ""
    return f"ret {value} ({'failure' if value == -1 else 'neither success nor failure'}, 5.19.7.3)"
