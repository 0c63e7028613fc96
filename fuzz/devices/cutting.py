"""Ways to cut a request into elements: as drivers do it, and as they might (2.7.4.1).

Knows lengths only. Must not know what the bytes mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuzz.choices import Choices


def cut(choices: Choices, usual: Sequence[int], readable: int, writable: int) -> tuple[int, ...]:
    """A cut for so many device-readable, then device-writable bytes; *usual*: element lengths as every driver has them.

    The usual one; in one piece; a single byte apart; odd beginnings; about as many pieces of one length; a usual
    border moved by a byte; the last byte or two of everything apart.
    """
    integer = choices.integer
    style = integer(0, 6)
    first = readable or writable
    if style == 0:
        return tuple(usual)
    if style == 1:
        return ()
    if style == 2:
        return (1, 0)
    if style == 3:
        return (integer(1, min(first, 15)), integer(1, 3), 0)
    if style == 4:
        return (max(1, (readable + writable) // integer(2, 8)),)
    if style == 5:
        return (max(1, usual[0] + (-1, 1)[integer(0, 1)]), 0)
    end = max(1, (writable or readable) - integer(1, 2))
    return (0, end, 0) if readable and writable else (end, 0)
