"""Our choices where the text is open: each explained, each told where a rule rests on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fuzz.confirm import Runner
from fuzz.encoding import load
from fuzz.proof import folder
from fuzz.report import policy
from fuzz.report.text import Shown, render
from fuzz.targets.model import Model
from oracles import rules
from oracles.rules import registry

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "policy.md").read_text(encoding="utf-8")
ENTRIES = {
    number: " ".join(body.split()) for number, body in re.findall(r"^## (A\d+)\. (.*?)(?=^## |\Z)", TEXT, re.M | re.S)
}
#: Files of the catalogue whose policies are all listed in docs/policy.md, and nothing else of theirs.
FILES = ("in_order", "common", "split", "packed", "status")


def test_every_open_question_has_an_answer() -> None:
    assert list(policy.choices()) == [f"A{number}" for number in range(1, 39)]
    assert list(ENTRIES) == list(policy.choices())


@pytest.mark.parametrize("number", policy.choices())
def test_the_text_says_what_reports_say(number: str) -> None:
    question, choice = policy.choices()[number]
    assert question.endswith("?")
    assert choice.endswith(".")
    assert ENTRIES[number].startswith(f"{question} ")
    assert f"**Choice:** {choice} " in ENTRIES[number]
    assert re.search(r"(Rules: [A-Z0-9, -]+|No rule of its own\.)$", ENTRIES[number])


def test_the_catalogue_rests_on_choices_that_there_are() -> None:
    for rule in registry().values():
        for number in rule.policy.split():
            assert number in policy.choices(), rule.id


@pytest.mark.parametrize("name", FILES)
def test_the_text_lists_the_rules_that_rest_on_a_choice(name: str) -> None:
    path = Path(rules.__file__).with_name(rules.FOLDER) / f"{name}.toml"
    ours = rules.load(path.read_text(encoding="utf-8"), name)
    listed = {
        (rule, number)
        for number, body in ENTRIES.items()
        for rule in body.partition(" Rules: ")[2].split(", ")
        if rule in ours
    }
    assert listed == {(rule.id, number) for rule in ours.values() for number in rule.policy.split()}


def test_a_rule_is_shown_with_its_choice(cli) -> None:
    shown = cli("rules", "P-USED-WFLAG").stdout
    assert "\n  policy A18: A warning if it is clear" in shown
    assert "policy" not in cli("rules", "RST-QUIET").stdout
    both = cli("rules", "INO-SKIP-FULL").stdout
    assert both.index("policy A1: ") < both.index("policy A5: ")


def test_a_report_says_by_which_choice_it_judges() -> None:
    program = load((folder() / "INO-BATCH-LEN.packed.vq").read_text(encoding="utf-8"))
    outcome = Runner(Model("a10")).run(program)
    text = render(Shown({"target": "model"}, program, outcome.trace, outcome.marks, outcome.verdict))
    assert "\n  policy A4: The last buffer's alone.\n" in text
