"""Reads the memory images in this directory: bytes written by hand, with stages, addresses and comments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_STAGE = re.compile(r"\[(.+)\]")
_TOKEN = re.compile(r"[0-9a-f]{2}|\.\.|\{[a-z]\}")


class Piece(NamedTuple):
    offset: int
    tokens: tuple[str, ...]


class Image:
    """The stages of one file, each some pieces of memory."""

    def __init__(self, name: str) -> None:
        self.stages: dict[str, list[Piece]] = {}
        pieces: list[Piece] = []
        for line in (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8").splitlines():
            text = line.partition("#")[0].strip()
            stage = _STAGE.fullmatch(text)
            if stage:
                pieces = self.stages[stage[1]] = []
            elif text.startswith("@"):
                pieces.append(Piece(int(text[1:], 16), ()))
            elif text:
                tokens = text.split()
                assert all(map(_TOKEN.fullmatch, tokens)), f"{name}: {line}"
                pieces[-1] = Piece(pieces[-1].offset, (*pieces[-1].tokens, *tokens))

    def check(self, memory: memoryview, stage: str, **names: int) -> None:
        """Assert that memory reads as *stage* says; *names*: what stands in braces."""
        for offset, tokens in self.stages[stage]:
            wanted = _spell(tokens, names)
            found = [
                ".." if token == ".." else f"{byte:02x}"
                for token, byte in zip(wanted, memory[offset : offset + len(wanted)], strict=True)
            ]
            assert found == wanted, f"{stage} @{offset:03x}: {' '.join(found)}"

    def write(self, memory: memoryview, stage: str, **names: int) -> None:
        """Bring memory into the state that *stage* describes; bytes without meaning become 0xee."""
        for offset, tokens in self.stages[stage]:
            data = bytes(0xEE if token == ".." else int(token, 16) for token in _spell(tokens, names))
            memory[offset : offset + len(data)] = data


def _spell(tokens: tuple[str, ...], names: dict[str, int]) -> list[str]:
    found: list[str] = []
    for token in tokens:
        if token.startswith("{"):
            value = names[token[1]]
            found += [f"{value & 0xFF:02x}", f"{value >> 8:02x}"]
        else:
            found.append(token)
    return found
