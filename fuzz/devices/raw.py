"""The class «raw»: a device of any type, of which nothing is known. Bytes go out, room is given, and what comes back
isn't looked at.

For implementations whose device type isn't among ours: all that binds the rings binds them, too. The bytes that the
device reads are the program's own, so that a search can look for those that mean something.
"""

from __future__ import annotations

from fuzz.choices import Choices
from fuzz.devices import Message, forms
from fuzz.devices.any import question
from fuzz.program import Limits, Request
from fuzz.shapes import LENGTHS

WORDS = 8
"""How many 64-bit words of a request can be said; what is behind them is a pattern."""
LONGEST = 1 << 16
"""Bytes to read, and room to write."""
_KIND = "bytes"
_NAMES = tuple(f"w{place}" for place in range(WORDS))
_WORD = (1 << 64) - 1
_LENGTHS: dict[str, tuple[int, int, int]] = {"out": (0, LONGEST, 0), "in": (0, LONGEST, 0)}
_FORMS: forms.Forms = {_KIND: {**_LENGTHS, **dict.fromkeys(_NAMES, (0, _WORD, 0))}}


class Device:
    """``bytes out=N in=N w0=… w7=…``: *out* bytes to read, first these little-endian words; *in* to write."""

    name = "raw"

    def __init__(self, hints: dict[str, int]) -> None:
        """No facts are needed."""

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """A few words of any kind, the rest as long as it happens to be; in any number of elements."""
        integer = choices.integer
        given = WORDS if integer(0, 1) else integer(0, 3)
        words = [(name, _word(choices)) for name in _NAMES[:given]]
        most = limits.longest_element
        length = min(_length(choices), most) if integer(0, 3) else 8 * given
        room = min(_length(choices), most) if integer(0, 3) else 0
        if not length + room:
            room = 1
        fields = (("out", length), ("in", room), *words)
        return Request(_KIND, fields), _cut(choices, length, room)

    def words(self, request: Request) -> str | None:
        """What is wrong with a request that a person wrote."""
        wrong = forms.words(self.name, _FORMS, request)
        if wrong is None and not any(value for name, value in request.fields if name in _LENGTHS):
            return f"{request.kind} has no bytes; add out= or in="
        return wrong

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The words, then the usual pattern; any answer is right."""
        fields = dict(request.fields)
        length = fields.get("out", 0)
        said = max((place + 1 for place, name in enumerate(_NAMES) if name in fields), default=0)
        head = b"".join((fields.get(name, 0) & _WORD).to_bytes(8, "little") for name in _NAMES[:said])
        data = head[:length] + question(buffer, max(0, length - len(head)))
        return Message(data, fields.get("in", 0))


def _length(choices: Choices) -> int:
    integer = choices.integer
    return LENGTHS[integer(0, len(LENGTHS) - 1)] if integer(0, 1) else integer(1, 128)


def _word(choices: Choices) -> int:
    """A word of one, two, four or eight bytes that are anything, or of one that repeats."""
    size = (1, 2, 4, 8)[choices.integer(0, 3)]
    value = choices.integer(0, (1 << 8 * size) - 1)
    return value if choices.integer(0, 3) else (value & 0xFF) * 0x0101010101010101


def _cut(choices: Choices, length: int, room: int) -> tuple[int, ...]:
    """One element for each side, small ones, or a few that differ."""
    integer = choices.integer
    kind = integer(0, 3)
    if kind < 2 or length + room < 2:
        return ()
    if kind == 2:
        return (max(1, (length + room) // integer(1, 6)),)
    return (*(integer(1, 16) for _ in range(integer(1, 4))), 0)


__all__ = ["LONGEST", "WORDS", "Device"]
