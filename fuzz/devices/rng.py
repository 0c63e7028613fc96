"""virtio-rng (5.4): room for random bytes, of which the device fills as many as it has.

Knows that an answer has at least one byte. Must not know rings, or which device answers.
"""

from __future__ import annotations

from fuzz.choices import Choices
from fuzz.devices import Message, forms
from fuzz.program import Limits, Request

_LENGTHS = (1, 1, 8, 16, 63, 64, 65, 256, 512, 4096)
_FORMS: forms.Forms = {"entropy": {"length": (1, 1 << 16, 64)}}


class Device:
    """One run of one program."""

    name = "rng"

    def __init__(self, hints: dict[str, int]) -> None:
        pass

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Room of some length, in one piece or several."""
        integer = choices.integer
        length = _LENGTHS[integer(0, len(_LENGTHS) - 1)]
        style = integer(0, 3)
        cut: tuple[int, ...] = ((), (1, 0), (max(1, length // integer(2, 8)),), (max(1, length - 1), 1))[style]
        return Request("entropy", (("length", length),)), cut

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return forms.words(self.name, _FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """Nothing to read, *length* bytes of room."""
        return Message(b"", forms.values(_FORMS, request)["length"], _filled)


def _filled(used: int, data: bytes) -> str:
    """5.4.6.2: one or more bytes of random data."""
    return "" if used else "no random byte was written (5.4.6.2)"
