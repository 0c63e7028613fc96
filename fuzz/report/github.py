"""A run for GitHub Actions: annotations, which are lines on standard output, and the summary of a step.

Knows results and GitHub's escapes and limits. Must not know where the summary goes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fuzz.report import kinds
from fuzz.results import UNDECIDED, Result, Run
from fuzz.status import duration

MOST = 10
"""Annotations of one kind that GitHub shows of a step; it drops the others without a word."""
LONGEST = 1_000_000
"""Bytes of a step's summary: GitHub refuses one of more than 1 MiB as a whole."""
_SIGNS = re.compile(r"[\\`*_\[\]|~$@<>&]")
_NAMES = ("passed", "rejected", "wedged", "failed", "not offered")


def annotate(run: Run) -> str:
    """``::error file=…,line=1,title=…::message``, a line for each failure; warnings likewise. May be ''."""
    failures, warned = run.failures(), [one for one in run.results if kinds.warns(one)]
    lines = _annotated("error", failures, "failure") + _annotated("warning", warned, "warning")
    undecided = [one.name for one in run.results if one.status == UNDECIDED]
    if undecided:
        lines.append(_command("notice", {"title": f"{len(undecided)} undecided"}, ", ".join(undecided)))
    known = [one.name for one in run.results if kinds.accepted(one)]
    if known:
        lines.append(_command("notice", {"title": f"{len(known)} accepted"}, ", ".join(known)))
    return "".join(line + "\n" for line in lines)


def _annotated(what: str, found: Sequence[Result], noun: str) -> list[str]:
    shown = found if len(found) <= MOST else found[: MOST - 1]
    lines = [_annotation(what, one) for one in shown]
    if len(shown) < len(found):
        left = len(found) - len(shown)
        lines.append(_command(what, {"title": f"{left} more {noun}s"}, "They stand in the summary of this step."))
    return lines


def _annotation(what: str, one: Result) -> str:
    layout = f" ({one.layout})" if one.layout else ""
    where = f" — {one.cite}" if one.cite else ""
    title = f"{one.rule}{layout}: {one.title}" if one.title else f"{one.rule}{layout}"
    return _command(what, {"file": kinds.file_of(one), "line": "1", "title": title}, f"{kinds.sentence(one)}{where}")


def _command(what: str, properties: dict[str, str], message: str) -> str:
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{what} {told}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# --- the summary of a step --------------------------------------------------------------------------------------------


def summary(run: Run) -> str:
    """Markdown: a table by section, each failure with its report folded away, what is accepted."""
    failures = run.failures()
    verdict = f"{len(failures)} failed" if failures else "conforms" if run.code == 0 else f"exit status {run.code}"
    parts = [
        f"## vqfuzz: {_text(kinds.what(run))}: {verdict}\n",
        f"VIRTIO {run.spec}{', strict' if run.strict else ''} · seed {run.seed} · {duration(run.seconds)}"
        + (f" · vqfuzz {run.version}" if run.version else "")
        + "\n",
        _table(run),
    ]
    parts += [_list("Warnings", [f"{_line(one)}" for one in run.results if kinds.warns(one)])]
    accepted = [f"{_line(one)} — {_text(one.known)}" for one in run.results if kinds.accepted(one)]
    parts += [
        _list("Accepted", accepted),
        _list("Undecided", [_line(one) for one in run.results if one.status == UNDECIDED]),
    ]
    parts += [
        _list("Not offered", [f"{times} × {_text(reason)}" for reason, times in kinds.lacking(run.results).items()])
    ]
    parts += [_list("Notes", [_text(note) for note in run.notes]), f"Again: {_code(run.command)}\n"]
    room = LONGEST - sum(len(part.encode()) for part in parts)
    return "\n".join(part for part in [*parts[:3], *_failures(failures, room), *parts[3:]] if part)


def _table(run: Run) -> str:
    chapters = kinds.by_chapter(run)
    total = kinds.count(run.results)
    names = [name for name in kinds.KINDS if name in _NAMES or total[name]]
    lines = ["| section | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for name, found in chapters.items():
        counts = kinds.count(found)
        cells = " | ".join(str(counts[one] or "") for one in names)
        lines.append(f"| {_text(kinds.heading(name, run.spec))} | {cells} |")
    lines.append("| **all** | " + " | ".join(f"**{total[one]}**" for one in names) + " |")
    return "\n".join(lines) + "\n"


def _failures(found: Sequence[Result], room: int) -> list[str]:
    """Failures with their reports, as many as there is room for; the others are counted."""
    parts: list[str] = ["### Failures\n"] if found else []
    for place, one in enumerate(found):
        report = _fenced(kinds.printable(one.report) or kinds.sentence(one))
        told = f"<details><summary>{_line(one)}</summary>\n\n{report}\n</details>\n"
        room -= len(told.encode()) + 1
        if room < 200:
            parts.append(f"{len(found) - place} more failures have no room here; they stand in the other reports.\n")
            break
        parts.append(told)
    return parts


def _line(one: Result) -> str:
    layout = f" ({one.layout})" if one.layout else ""
    cite = f" — {_text(one.cite)}" if one.cite else ""
    return f"<b>{_text(one.rule)}</b>{layout} {_text(kinds.sentence(one))}{cite}"


def _list(title: str, lines: Sequence[str]) -> str:
    return f"### {title}\n\n" + "".join(f"- {line}\n" for line in lines) if lines else ""


def _text(text: str) -> str:
    """*text* as Markdown that means just that."""
    return _SIGNS.sub(lambda match: f"&#{ord(match[0])};", " ".join(text.split()))


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _fenced(text: str) -> str:
    """A block of code that no line of *text* can end."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text.rstrip()}\n{fence}\n"
