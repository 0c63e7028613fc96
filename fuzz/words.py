"""The words of program text: names, numbers and options, and what is wrong with them together with the mend.

Knows how a line is made of words. Must not know what any line says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

MAX_BUFFER = 1 << 20  # bytes of one buffer: more says nothing new about a ring, and costs memory
WORD = re.compile(r"[a-z][a-z0-9_.-]*")
VALUE = re.compile(r"[a-z0-9_.-]+")
_NUMBER = re.compile(r"[0-9]{1,20}")


class Problem(Exception):
    """What is wrong with a line, and the mend."""


def closest(word: str, known: Collection[str]) -> str:
    """The mend for an unknown word: the known one that looks most like it, or all of them."""
    from difflib import get_close_matches  # only mistakes pay for it

    near = get_close_matches(word, known, 1, 0.5)
    return f"did you mean «{near[0]}»?" if near else "known: " + ", ".join(known)


def number(word: str, what: str, low: int, high: int) -> int:
    """The number *what* in low..high. Raises Problem."""
    if not _NUMBER.fullmatch(word):
        raise Problem(f"{what} is «{short(word)}»; write a decimal number in {low}..{high}")
    value = int(word)
    if not low <= value <= high:
        raise Problem(f"{what} {value} is out of range; {low}..{high} is possible")
    return value


def short(word: str) -> str:
    """A word as messages quote it: printable, and not a page long."""
    text = word if word.isprintable() else ascii(word)[1:-1]
    return text if len(text) <= 40 else text[:37] + "…"


class Options(NamedTuple):
    """What stood after the first words of a line."""

    numbers: dict[str, int]
    flags: set[str]


def options_of(words: Iterable[str], numbers: dict[str, tuple[int, int]], flags: Collection[str] = ()) -> Options:
    """Read ``name=number`` and single words, each at most once."""
    found = Options({}, set())
    for word in words:
        name, equals, value = word.partition("=")
        if name in found.numbers or name in found.flags:
            raise Problem(f"«{name}» stands twice; once is enough")
        if name in flags and not equals:
            found.flags.add(name)
        elif name in numbers and equals:
            found.numbers[name] = number(value, name, *numbers[name])
        elif name in numbers:
            raise Problem(f"«{name}» has no number; write {name}=N")
        elif name in flags:
            raise Problem(f"«{name}» takes no value; write it alone")
        else:
            known = [*(f"{key}=" for key in numbers), *flags]
            mend = closest(word if not equals else name + "=", known) if known else "take it out"
            raise Problem(f"unknown word «{short(word)}»; {mend}")
    return found
