"""A page as HTML: one file that needs nothing else, readable without a script, and on a phone.

Knows the template beside it. Every text of a page is data: escaped, and without characters that could change what
stands around it.
"""

from __future__ import annotations

import re
from pathlib import Path

from fuzz.report.page import Page
from fuzz.trouble import EnvironmentTrouble

TEMPLATE = "page.html.j2"
STYLE = "page.css"
#: Controls, lone surrogates, and what turns the direction of text: a target's words must not rearrange a page.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")

_TONES = {
    "conforms": "good", "passed": "good", "rejected": "good",
    "violates": "bad", "failed": "bad", "crashed": "bad", "hung": "bad", "gave up": "bad", "wedged": "bad",
    "warning": "odd", "undecided": "odd", "not judged": "odd", "accepted": "odd",
}  # fmt: skip
_SIGNS = {"good": "✓", "bad": "✗", "odd": "!", "none": "–"}


def tone(state: str) -> str:
    """How a state is coloured: good | bad | odd | none."""
    return _TONES.get(state, "none")


def sign(state: str) -> str:
    """The same as a character, since colour alone tells nothing to some."""
    return _SIGNS[tone(state)]


def anchor(name: str) -> str:
    """A name as the value of an id."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-").lower() or "find"


def render(page: Page) -> str:
    """The page. Raises EnvironmentTrouble if jinja2 is missing."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise EnvironmentTrouble("HTML needs the Python package jinja2, which is not installed") from None
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"tone": tone, "sign": sign, "anchor": anchor, "number": _number}
    style = (folder / STYLE).read_text(encoding="utf-8")
    text = environment.get_template(TEMPLATE).render(page=page, style=style)
    return _UNFIT.sub("\ufffd", text) + "\n"


def _number(value: float) -> str:
    """A coordinate, as short as it gets."""
    return f"{value:.1f}".removesuffix(".0")
