"""What requests of table-driven classes have in common: fields with bounds, where they are cut, small numbers.

Knows requests. Must not know any device, or rings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fuzz.choices import Choices
from fuzz.devices import cutting
from fuzz.program import Request

#: Fields of each kind of request: name, and (lowest, highest, what holds where a person leaves it out).
Forms = Mapping[str, Mapping[str, tuple[int, int, int]]]


def words(device: str, forms: Forms, request: Request) -> str | None:
    """What is wrong with a request that a person wrote, or None."""
    form = forms.get(request.kind)
    if form is None:
        return f"{device} has no request {request.kind!r}; it has {', '.join(forms)}"
    for name, value in request.fields:
        if name not in form:
            return f"{request.kind} has no field {name!r}" + (f"; it has {', '.join(form)}" if form else "")
        low, high, _ = form[name]
        if not low <= value <= high:
            return f"{name} of {request.kind} is {low} to {high}, not {value}"
    return None


def values(forms: Forms, request: Request) -> dict[str, int]:
    """All fields of a right request."""
    return {name: default for name, (_, _, default) in forms[request.kind].items()} | dict(request.fields)


def pick(choices: Choices, among: Sequence[int]) -> int:
    """One of *among*."""
    return among[choices.integer(0, len(among) - 1)]


def cut(choices: Choices, readable: int, writable: int, head: int = 0, tail: int = 0) -> tuple[int, ...]:
    """A way to cut a request whose *head* first bytes and *tail* last ones drivers put in elements of their own."""
    parts = [head, readable - head] if 0 < head < readable else [readable]
    parts += [writable - tail, tail] if 0 < tail < writable else [writable]
    return cutting.cut(choices, [part for part in parts if part], readable, writable)


def septets(number: int) -> int:
    """A number as another one, all of whose bytes are below 0x80."""
    return sum((number >> 7 * place & 0x7F) << 8 * place for place in range(8))
