"""``vqfuzz report``: a page of what is on disk."""

from __future__ import annotations

import importlib
from pathlib import Path

from fuzz.commands.fuzzing import say
from fuzz.report.html import render
from fuzz.report.page import Page, of_finds, of_run
from fuzz.report.saving import writable, write
from fuzz.results import Run
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
    run = importlib.import_module("fuzz.report.jsonl").load(text, str(path))
    assert isinstance(run, Run)
    return of_run(run)
