"""Reads the text of hostile steps: ``poke``, ``say`` and ``register``.

Knows their words and numbers. Must not know what a step does.
"""

from __future__ import annotations

import re

from fuzz import wild as known_words
from fuzz.program import Poke, Wild
from fuzz.words import Problem, closest, number, short


def poke(words: list[str], queues: int) -> Poke:
    """The step behind the word ``poke``. Raises Problem."""
    if not words or words[0] not in known_words.POKES:
        raise Problem(f"«poke» takes what; {closest(words[0] if words else '', known_words.POKES)}")
    what, rest, place = words[0], words[1:], 0
    if what in known_words.PLACED and rest and "=" not in rest[0]:
        place, rest = number(rest[0], "the place", 0, 0xFFFF), rest[1:]
    fields = known_words.POKES[what]
    numbers, address = _fields(rest, {**fields, "queue": 8}, what in known_words.PLACED)
    queue = numbers.pop("queue", 0)
    if queue >= queues:
        raise Problem(f"queue {queue} is out of range; 0..{queues - 1} is possible")
    if not numbers and not address:
        raise Problem(f"this changes nothing; add one of {', '.join(f'{name}=' for name in fields)}")
    return Poke(what, place, address, tuple((name, numbers[name]) for name in fields if name in numbers), queue)


def wild(way: str, words: list[str]) -> Wild:
    """The step behind the word *way*: say or register. Raises Problem."""
    known = known_words.WAYS[way]
    if not words or words[0] not in known:
        raise Problem(f"«{way}» takes what; {closest(words[0] if words else '', known)}")
    fields = known[words[0]]
    numbers, _ = _fields(words[1:], fields, False)
    return Wild(way, words[0], tuple((name, numbers[name]) for name in fields if name in numbers))


def _fields(words: list[str], fields: dict[str, int], addressed: bool) -> tuple[dict[str, int], str]:
    """Fields with numbers, decimal, hexadecimal or (flags) by name; and the name of an address, or ''."""
    numbers: dict[str, int] = {}
    address = ""
    for word in words:
        name, _, value = word.partition("=")
        if name in numbers or (name == "addr" and address):
            raise Problem(f"«{name}» stands twice; once is enough")
        if name == "addr" and addressed:
            if value not in known_words.ADDRESSES:
                raise Problem(f"unknown address «{short(value)}»; {closest(value, known_words.ADDRESSES)}")
            address = value
        elif name in fields:
            named = known_words.bit_names(value) if name in ("flags", "toggle") else None
            numbers[name] = _number(value, name, fields[name]) if named is None else named
        else:
            known = [*(f"{field}=" for field in fields), *(["addr="] if addressed else [])]
            raise Problem(f"unknown word «{short(word)}»; {closest(name + '=', known)}")
    return numbers, address


def _number(word: str, what: str, bits: int) -> int:
    if re.fullmatch(r"0x[0-9a-f]{1,16}", word):
        word = str(int(word, 16))
    return number(word, what, 0, (1 << bits) - 1)
