"""virtio-rng (5.4): room for random bytes, of which the device fills as many as it has.

Knows that an answer has at least one byte. Must not know rings, or which device answers.
"""

from __future__ import annotations

from fuzz.choices import Choices
from fuzz.devices import Message
from fuzz.program import Limits, Request

_LENGTHS = (1, 1, 8, 16, 63, 64, 65, 256, 512, 4096)
_MOST = 1 << 16


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
        if request.kind != "entropy":
            return f"rng has no request {request.kind!r}; it has entropy"
        fields = dict(request.fields)
        for name in fields:
            if name != "length":
                return f"entropy has no field {name!r}; it has length"
        if not 1 <= fields.get("length", 1) <= _MOST:
            return f"length of entropy is 1 to {_MOST}, not {fields['length']}"
        return None

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """Nothing to read, *length* bytes of room."""
        return Message(b"", dict(request.fields).get("length", 64), _filled)


def _filled(used: int, data: bytes) -> str:
    """5.4.6.2: one or more bytes of random data."""
    return "" if used else "no random byte was written (5.4.6.2)"
