"""Inputs that are lines of words: changed by lines and words, as well as by bytes.

Bytes alone hardly ever make a second line that a reader takes. Words and lines come from the harness's own seeds, and
from the input. Knows text. Must not know what any reader makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from fuzz.choices import Seeded
from fuzz.harness.seeds import seeds

_WORD = re.compile(rb"[A-Za-z0-9_.+-]+|[^A-Za-z0-9_.+-]")
_NUMBER = re.compile(rb"-?[0-9]+")
_LINES = 2000  # of seeds that are remembered
_NUMBERS = (0, 1, 2, 3, 7, 8, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, (1 << 32) - 1, 1 << 63, (1 << 64) - 1, -1)
Bytewise = Callable[[bytes, int], bytes]


class Lines:
    """Mutation for the harness *name*. *bytewise*: libFuzzer's own, which every other mutant comes from."""

    def __init__(self, name: str) -> None:
        known = b"\n".join(data for _, data in seeds(name)).split(b"\n")
        self.lines: list[bytes] = list(dict.fromkeys(known))[:_LINES]
        self.words: list[bytes] = sorted({word for line in self.lines for word in _WORD.findall(line)})
        self.bytewise: Bytewise | None = None

    def mutate(self, data: bytes, most: int, seed: int) -> bytes:
        """Another input, of at most so many bytes."""
        choices = Seeded(seed)
        if self.bytewise is not None and choices.integer(0, 1):
            return self.bytewise(data, most)
        lines = data.split(b"\n")
        for _ in range(choices.integer(1, 3)):
            at = choices.integer(0, len(lines) - 1)
            kind = choices.integer(0, 7)
            if kind == 0 and len(lines) > 1:
                del lines[at]
            elif kind == 1:
                lines.insert(at, lines[choices.integer(0, len(lines) - 1)])
            elif kind == 2:
                lines.insert(at, self.lines[choices.integer(0, len(self.lines) - 1)])
            elif kind == 3:
                lines[at] = self.lines[choices.integer(0, len(self.lines) - 1)]
            elif kind == 4:
                other = choices.integer(0, len(lines) - 1)
                lines[at], lines[other] = lines[other], lines[at]
            else:
                lines[at] = self._word(lines[at], choices)
        return b"\n".join(lines)[:most]

    def _word(self, line: bytes, choices: Seeded) -> bytes:
        """One word is another, or gone, or there twice."""
        words = _WORD.findall(line)
        if not words:
            return self.words[choices.integer(0, len(self.words) - 1)]
        at = choices.integer(0, len(words) - 1)
        kind = choices.integer(0, 7)
        if _NUMBER.fullmatch(words[at]) and kind < 6:
            words[at] = b"%d" % _NUMBERS[choices.integer(0, len(_NUMBERS) - 1)]
        elif kind == 6:
            del words[at]
        elif kind == 7:
            words.insert(at, words[at])
        else:
            words[at] = self.words[choices.integer(0, len(self.words) - 1)]
        return b"".join(words)

    def cross(self, first: bytes, second: bytes, most: int, seed: int) -> bytes:
        """Lines of one, then of the other."""
        choices = Seeded(seed)
        ours, theirs = first.split(b"\n"), second.split(b"\n")
        at, start = choices.integer(0, len(ours)), choices.integer(0, len(theirs))
        return b"\n".join([*ours[:at], *theirs[start:]])[:most]
