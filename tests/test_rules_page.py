"""docs/rules.md is what the catalogue and the planted faults say now."""

from __future__ import annotations

from pathlib import Path

from fuzz.report.rules_page import page, proofs, whole
from oracles.rules import registry

PAGE = Path(__file__).resolve().parent.parent / "docs" / "rules.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == whole(), "make rules"


def test_every_rule_has_a_row_and_what_is_not_checked_its_reason() -> None:
    text = whole()
    for rule in registry().values():
        assert f"| **{rule.id}** |" in text
        if rule.status == "not checked":
            assert rule.reason in text


def test_a_cell_breaks_no_table() -> None:
    rule = registry()["INO-ORDER"]
    line = next(line for line in page([rule], proofs()).splitlines() if line.startswith("| **INO-ORDER**"))
    assert line.replace("\\|", "").count("|") == 11
