"""Finds on disk: a folder each, every file of it written whole or not at all.

Knows files and their format. Must not know how a find was made, or how it is told to people.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz import encoding
from fuzz.program import Program
from fuzz.trouble import EnvironmentTrouble, UsageTrouble, readable, reason
from fuzz.verdict import Outcome
from oracles import trace
from oracles.trace import Entry

SCHEMA = 1
PROGRAM, TRACE, MINIMAL, MINIMAL_TRACE, REPORT, META = (
    "program.vq",
    "trace.vqtrace",
    "minimal.vq",
    "minimal.vqtrace",
    "report.txt",
    "find.json",
)
Meta = dict[str, Any]


@dataclass(slots=True)
class Find:
    """A find in *folder*: the program as found, and what is known of it (``find.json``)."""

    folder: Path
    program: Program
    meta: Meta = field(default_factory=dict)
    before: tuple[Program, ...] = ()  # what must have run on the target since it was started

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.name


def folder_of(out: Path, rule: str, program: Program) -> Path:
    """Where a find of *rule* by *program* belongs: the same find, the same folder."""
    digest = hashlib.sha256(encoding.dump(program).encode()).hexdigest()[:8]
    return out / f"{rule.lower().replace('_', '-')}-{digest}"


def check(out: Path) -> None:
    """See that finds can be saved under *out*, without leaving anything there. Raises EnvironmentTrouble."""
    place = out.absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".vqfuzz-", dir=place):
            pass
    except OSError as error:
        raise EnvironmentTrouble(f"finds can't be saved in {out}: {reason(error)}; name another with --out") from None


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the block is over, so that nothing is half done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def add(folder: Path, name: str, text: str) -> None:
    """Write a file of a find: whole, or as it was before. Raises EnvironmentTrouble."""
    hidden = folder / f".{name}.new"
    try:
        _write(hidden, text)
        os.replace(hidden, folder / name)
        _sync(folder)
    except OSError as error:
        raise EnvironmentTrouble(f"{folder / name} can't be written: {reason(error)}") from None


def save(out: Path, rule: str, program: Program, outcome: Outcome, meta: Meta) -> Find:
    """Put a new find under *out*, all of it at once. Raises EnvironmentTrouble."""
    folder = folder_of(out, rule, program)
    meta = {"schema": SCHEMA, "id": folder.name, **meta}
    files = {
        PROGRAM: encoding.dump(program),
        TRACE: told(outcome.trace, outcome.marks, program),
        META: _json(meta),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        if folder.exists():  # found before: by the same command, say
            for name, text in files.items():
                add(folder, name, text)
            for name in (MINIMAL, MINIMAL_TRACE, REPORT, *(place.name for place in folder.glob("before-*.vq"))):
                (folder / name).unlink(missing_ok=True)
            return Find(folder, program, meta)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=out))
        try:
            for name, text in files.items():
                _write(work / name, text)
            _sync(work)
            work.chmod(0o755)
            work.rename(folder)
            _sync(out)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    except OSError as error:
        raise EnvironmentTrouble(f"the find can't be saved as {folder}: {reason(error)}") from None
    return Find(folder, program, meta)


def update(find: Find, **facts: object) -> None:
    """Add facts to what is known of a find, on disk too."""
    find.meta.update(facts)
    add(find.folder, META, _json(find.meta))


def precede(find: Find, before: tuple[Program, ...]) -> None:
    """Add the programs without which it does not fail."""
    for number, program in enumerate(before, 1):
        add(find.folder, f"before-{number:03}.vq", encoding.dump(program))
    update(find, before=len(before))
    find.before = before


def complete(find: Find, minimal: Program, outcome: Outcome, report: str) -> None:
    """Add what shrinking found."""
    add(find.folder, MINIMAL, encoding.dump(minimal))
    add(find.folder, MINIMAL_TRACE, told(outcome.trace, outcome.marks, minimal))
    add(find.folder, REPORT, report)


def remove(find: Find) -> None:
    """Forget a find that turned out to be one that is already there."""
    hidden = find.folder.with_name(f".{find.id}.old")
    with uninterrupted():
        with suppress(OSError):
            find.folder.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def _json(meta: Meta) -> str:
    return json.dumps(meta, indent=2, ensure_ascii=False) + "\n"


def told(entries: list[Entry], marks: list[int], program: Program) -> str:
    """A trace as text, with a comment where each step of the program began."""
    lines = [trace.HEADER]
    steps = dict[int, list[str]]()
    for number, (mark, step) in enumerate(zip(marks, program.steps, strict=False), 1):
        steps.setdefault(mark, []).append(f"# step {number}: {encoding.line(step)}")
    for index, (queue, observation) in enumerate(entries):
        lines.extend(steps.pop(index, ()))
        lines.append(trace.dump_line(queue, observation))
    for left in steps.values():
        lines.extend(left)
    return "\n".join(lines) + "\n"


# --- loading ---------------------------------------------------------------------------------------------------------


def load_program(path: Path) -> Program:
    """The program in the file *path*. Raises UsageTrouble with file, line and mend."""
    text = readable(str(path), "program (.vq)")
    try:
        return encoding.load(text, str(path))
    except encoding.ProgramError as error:
        raise UsageTrouble(str(error)) from None


def load_trace(path: Path) -> list[Entry]:
    """The trace in the file *path*. Raises UsageTrouble with file, line and reason."""
    text = readable(str(path), "trace (.vqtrace)")
    try:
        return list(trace.load(text))
    except trace.TraceError as error:
        raise UsageTrouble(f"{path}:{str(error).removeprefix('line ')}") from None


def load_meta(folder: Path) -> Meta:
    """What ``find.json`` in *folder* says; nothing if there is none. Raises UsageTrouble."""
    path = folder / META
    if not path.exists():
        return {}
    return parse_meta(readable(str(path), "find's description"), str(path))


def parse_meta(text: str, name: str) -> Meta:
    """What *text*, of the file *name*, says of a find. Raises UsageTrouble: one line, with the mend."""
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UsageTrouble(f"{name}{place}: not JSON: {error}; remove it and use --target") from None
    if not isinstance(meta, dict) or meta.get("schema") != SCHEMA:
        raise UsageTrouble(f"{name}: not a find of schema {SCHEMA}; remove the file and use --target")
    if not isinstance(meta.get("before", 0), int):
        raise UsageTrouble(f"{name}: «before» is no number of programs; remove it if none must run first")
    for part, numbers in _PARTS.items():
        value = meta.get(part, {})
        wrong = [key for key in numbers if not isinstance(value.get(key), int | float)] if _table(value) else [""]
        if part in meta and wrong:
            what = f"«{part}» has no number «{wrong[0]}»" if wrong[0] else f"«{part}» is no table"
            raise UsageTrouble(f"{name}: {what}; remove the file and use --target")
    return meta


#: Tables in a find's description, and the numbers that each of them must have.
_PARTS: dict[str, tuple[str, ...]] = {
    "describe": (),
    "versions": (),
    "runs": ("again", "of"),
    "shrunk": ("before", "after", "executions", "seconds"),
}


def _table(value: object) -> bool:
    return isinstance(value, dict)


def load(path: Path) -> Find:
    """The find in the folder *path*, or the one that the program file *path* belongs to."""
    if path.is_dir():
        for name in (MINIMAL, PROGRAM):
            if (path / name).exists():
                return load(path / name)
        raise UsageTrouble(f"{path} is no find: there is no {PROGRAM} in it")
    find = Find(path.parent, load_program(path), load_meta(path.parent))
    if path.name in (MINIMAL, PROGRAM):
        numbers = range(1, 1 + find.meta.get("before", 0))
        find.before = tuple(load_program(path.with_name(f"before-{number:03}.vq")) for number in numbers)
    return find


def programs(path: Path) -> Iterator[Path]:
    """The programs that *path* means: a file, a find's smallest one, or all below a folder, finds once each."""
    if not path.is_dir():
        yield path
        return
    found = sorted(place for place in path.rglob("*.vq") if place.is_file())
    kept = [place for place in found if not _is_part(place)]
    if not kept:
        raise UsageTrouble(f"{path} holds no program: there is no file *.vq in it, or below it")
    yield from kept


_BEFORE = re.compile(r"before-\d{3}\.vq")


def _is_part(path: Path) -> bool:
    """Whether the program in *path* is only a part of a find: before its smallest one, or before that ran."""
    if path.name == PROGRAM:
        return path.with_name(MINIMAL).is_file()
    return bool(_BEFORE.fullmatch(path.name)) and path.with_name(META).is_file()
