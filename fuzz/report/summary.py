"""A run as text for a terminal: a row for each chapter, then what failed, what is accepted, what a reader should know.

Knows results. Plain lines of at most WIDTH characters, so that a log file shows the same.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from fuzz.report import kinds
from fuzz.results import FAILED, NOT_OFFERED, PASSED, REJECTED, UNDECIDED, WEDGED, Result, Run
from fuzz.status import duration

WIDTH = 100
_ALWAYS = (PASSED, REJECTED, WEDGED, FAILED, NOT_OFFERED)
_LEFT = 32  # of the chapters' column


def render(run: Run) -> str:
    """The summary, with a line end."""
    blocks = [
        _table(run),
        _found("FAIL", run.failures()),
        _found("warning", [one for one in run.results if kinds.warns(one)]),
        _found("undecided", [one for one in run.results if one.status == UNDECIDED]),
        _accepted(run.results),
        _lacking(run.results),
        [line for note in run.notes for line in _wrapped(note, "note  ", "      ")],
        _wrapped(_last(run), "", "  "),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _table(run: Run) -> list[str]:
    total = kinds.count(run.results)
    columns = [name for name in kinds.KINDS if name in _ALWAYS or total[name]]
    head = f"{'':{_LEFT}}" + "".join(f"  {name:>{_wide(name)}}" for name in columns)
    lines = [head]
    for name, found in kinds.by_chapter(run).items():
        lines.append(_row(kinds.heading(name, run.spec), kinds.count(found), columns))
    return [*lines, "─" * len(head), _row("all", total, columns)]


def _row(name: str, counts: Counter[str], columns: Sequence[str]) -> str:
    cells = "".join(f"  {counts[one] or '·':>{_wide(one)}}" for one in columns)
    return f"{name[:_LEFT]:{_LEFT}}{cells}"


def _wide(name: str) -> int:
    return max(6, len(name))


def _found(word: str, found: Sequence[Result]) -> list[str]:
    lines: list[str] = []
    for one in found:
        head = "  ".join(part for part in (word, one.rule, one.layout) if part)
        if one.name.partition("/")[0] != one.rule:
            head += f"  in {one.name}"  # another rule was looked at, or it comes from a later phase
        right = " · ".join(part for part in (one.level if one.rule else "", one.cite) if part)
        gap = max(2, WIDTH - len(head) - len(right))
        fits = len(head) + gap + len(right) <= WIDTH
        lines += (
            [head + " " * gap + right]
            if fits
            else [*_wrapped(head, "", "      "), *_wrapped(right, "      ", "      ")]
        )
        lines += _wrapped(kinds.sentence(one), "      ", "      ")
        kept = " · ".join(part for part in (one.reproduced, one.find) if part)
        lines += [f"      {kept}"] if kept else []  # a path is never broken
    return lines


def _accepted(found: Sequence[Result]) -> list[str]:
    """Accepted deviations, counted by rule and reason."""
    counts = Counter({(one.rule, one.known): 0 for one in found if kinds.accepted(one)})
    for one in found:
        if kinds.accepted(one):
            counts[one.rule, one.known] += 1 + one.also
    lines: list[str] = []
    for (rule, reason), times in counts.items():
        lines += _wrapped(f"{rule}: {times} × {reason}", "accepted  ", "          ")
    return lines


def _lacking(found: Sequence[Result]) -> list[str]:
    lines: list[str] = []
    for reason, times in kinds.lacking(found).items():
        lines += _wrapped(f"{times} × {reason}", "not offered  ", "             ")
    return lines


def _wrapped(text: str, first: str, indent: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent=first, subsequent_indent=indent,
                         break_on_hyphens=False)  # fmt: skip


def _last(run: Run) -> str:
    counts = kinds.count(run.results)
    parts = [f"{len(run.results)} looked at"] + [f"{counts[name]} {name}" for name in kinds.KINDS if counts[name]]
    return f"{', '.join(parts)} · VIRTIO {run.spec} · {duration(run.seconds)}"
