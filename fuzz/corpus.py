"""Corpora: folders of programs, as text (``.vq``) and as the bytes that fuzzers keep; read, and added to.

A program is called by a hash of its text, so folders of many machines can be copied into each other in any order.
Knows files and programs. Must not know what a program is kept for.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from fuzz import encoding, finds
from fuzz.common import misfit
from fuzz.program import Limits, Program
from fuzz.reader import HEADER
from fuzz.targets.folders import sync
from fuzz.trouble import EnvironmentTrouble, UsageTrouble, reason

_DIGITS = 16  # of the hash in a name: never the same by chance
_INPUT = re.compile(r"(?:[a-z]+(?:-[a-z]+)*-)?[0-9a-f]{16,64}|id[:_]\d+\S*")
"""What libFuzzer, ClusterFuzz and AFL call an input."""
_AGE = 60.0  # seconds that writing a file never takes


def paths(places: Iterable[Path]) -> list[Path]:
    """The programs and inputs in *places*, each a file or a folder; of a find its smallest program alone.

    Raises UsageTrouble if one is not there, or there is nothing in it.
    """
    found: dict[Path, None] = {}
    for place in places:
        if not place.is_dir():
            if not place.exists():
                raise UsageTrouble(f"{place} is not there; name a folder of programs, or a program")
            found[place] = None
            continue
        below = sorted(path for path in place.rglob("*") if _counts(path, place))
        if not below:
            raise UsageTrouble(f"{place} holds no program: there is no file *.vq in it, nor a fuzzer's input")
        found.update(dict.fromkeys(below))
    return list(found)


def _counts(path: Path, place: Path) -> bool:
    """Whether a file below *place* is a program or an input."""
    if any(part.startswith(".") for part in path.relative_to(place).parts) or not path.is_file():
        return False
    if path.suffix == ".vq":
        return not finds.is_part(path)
    return bool(_INPUT.fullmatch(path.name))


def read(path: Path, limits: Limits) -> Program:
    """The program in a file; of a fuzzer's input the one that its bytes choose within *limits*.

    Raises UsageTrouble: one line, with the place and the mend.
    """
    if path.suffix == ".vq":
        return finds.load_program(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageTrouble(f"{path} can't be read: {reason(error)}; name a program, or a fuzzer's input") from None
    if data.startswith(HEADER.encode()):
        return finds.load_program(path)
    return encoding.from_bytes(data, limits)


def name_of(text: str, digits: int = _DIGITS) -> str:
    """What a program with this text is called."""
    return f"{hashlib.sha256(text.encode()).hexdigest()[:digits]}.vq"


def keep(folder: Path, program: Program) -> Path | None:
    """Add *program* to the corpus *folder*: the new file, or None if it is there. Raises EnvironmentTrouble.

    A file appears whole or not at all, and none that holds something else is ever overwritten.
    """
    text = encoding.dump(program)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for digits in (_DIGITS, 64):
            path = folder / name_of(text, digits)
            if _put(path, text):
                return path
            if path.read_bytes() == text.encode():
                return None
    except OSError as error:
        raise EnvironmentTrouble(f"nothing can be kept in {folder}: {reason(error)}") from None
    raise EnvironmentTrouble(f"{path} holds something else than its name says; move it away")


def _put(path: Path, text: str) -> bool:
    """Write a new file; False if there is one of this name. Raises OSError."""
    if path.exists():
        return False
    hidden = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.new")
    try:
        with open(hidden, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(hidden, path)  # as renaming, but it never replaces what somebody else put there meanwhile
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            hidden.rename(path)
    finally:
        hidden.unlink(missing_ok=True)
    sync(path.parent)
    return True


def tidy(folder: Path) -> None:
    """Remove what was not finished when whoever wrote it was killed."""
    for left in folder.glob(".*.new"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _AGE:
                left.unlink()


def fitting(
    place: Path, limits: Limits, offered: int, share: tuple[int, int] = (0, 1)
) -> tuple[list[tuple[str, Program]], list[str]]:
    """The programs in *place* that belong within *limits*, by their paths, and a line about each that is left out.

    *share* (first, every): this part of them alone. Raises UsageTrouble if none of all is left.
    """
    found: list[tuple[str, Program]] = []
    lines: list[str] = []
    misfits: Counter[str] = Counter()
    for path in paths([place]):
        try:
            program = read(path, limits)
        except UsageTrouble as trouble:
            lines.append(f"left out: {trouble}")
            continue
        why = misfit(program, limits, offered)
        if why:
            misfits[why] += 1
        else:
            found.append((str(path), program))
    what = ", ".join(f"{count} for {why}" for why, count in sorted(misfits.items()))
    if not found:
        raise UsageTrouble(f"no program in {place} is for this target: {what or lines[0]}")
    if what:
        lines.append(f"left out of {place}: {what}")
    return found[share[0] :: share[1]], lines
