"""A run as one page of HTML: what ``vqfuzz check --html`` writes.

Knows that a run becomes a page, and a page a file. Never runs anything.
"""

from __future__ import annotations

from fuzz.report import html
from fuzz.report.page import of_run
from fuzz.results import Run


def render(run: Run) -> str:
    """The page. Raises EnvironmentTrouble if jinja2 is missing."""
    return html.render(of_run(run))
