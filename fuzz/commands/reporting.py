"""``vqfuzz report``: a page of what is on disk."""

from __future__ import annotations

from pathlib import Path

from fuzz.commands.fuzzing import say
from fuzz.report import jsonl
from fuzz.report.files import writable, write
from fuzz.report.html import render
from fuzz.report.page import Page, of_finds, of_run
from fuzz.trouble import CONFORMS, UsageTrouble, readable


def report(path: Path, out: Path) -> int:
    """Write the page of *path* to *out*. Returns the exit code. Raises UsageTrouble, EnvironmentTrouble."""
    page = _page(path)
    writable(out)
    write(out, render(page))
    say(f"{out}: {page.title}: {page.verdict}; {len(page.cards)} told in full")
    return CONFORMS


def _page(path: Path) -> Page:
    if path.is_dir():
        return of_finds(path)
    if not path.exists():
        raise UsageTrouble(f"{path} is not there; name a find's folder, a folder of finds, or a file of events")
    text = readable(str(path), "file of events (JSON lines)")
    return of_run(jsonl.load(text, str(path)))
