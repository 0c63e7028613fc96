"""A baseline accepts what it names, until it expires; what it expects in vain fails; and it is read strictly."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz import baseline
from fuzz.baseline import Expected
from fuzz.results import Result, Run
from fuzz.trouble import CONFORMS, FOUND, TARGET, UNCLEAR, UsageTrouble
from tests.report_kit import result, run

TODAY = datetime.date(2026, 6, 15)
GOOD = """
[[accepted]]
rule = "INO-ORDER"
layout = "packed"
target = "exec:*"
reason = "bug 12"
expires = 2026-06-15
"""


def applied(found: list[Result], text: str, today: datetime.date = TODAY, target: str = "exec:./x") -> Run:
    return baseline.apply(Run(target, "", results=found, code=FOUND), baseline.parse(text, "b.toml"), today)


def failed(name: str = "INO-ORDER/packed", **facts: object) -> Result:
    return result(name, "failed", **facts)


def test_what_is_accepted_fails_nothing_and_says_why() -> None:
    told = applied([failed()], GOOD)
    assert (told.code, told.failures(), told.notes) == (CONFORMS, [], [])
    assert (told.results[0].new, told.results[0].known) == (False, "bug 12")


@pytest.mark.parametrize(
    ("found", "target"),
    [
        (failed("INO-ORDER/split"), "exec:./x"),
        (failed("INO-SKIP/packed"), "exec:./x"),
        (failed(), "vhost-user:/x"),
    ],
    ids=["layout", "rule", "target"],
)
def test_only_what_is_named_is_accepted(found: Result, target: str) -> None:
    told = applied([found], GOOD, target=target)
    assert told.failures() == [found]
    assert told.code == FOUND


def test_an_entry_without_layout_covers_both() -> None:
    text = GOOD.replace('layout = "packed"', "")
    assert applied([failed(), failed("INO-ORDER/split")], text).failures() == []
    assert applied([failed(), result("INO-ORDER/split", "passed")], text).failures() == [], "one of them is enough"


def test_an_expired_entry_accepts_nothing_any_more() -> None:
    told = applied([failed()], GOOD, TODAY + datetime.timedelta(1))
    assert told.failures() == [failed()]
    assert told.notes == [
        "b.toml: entry 1 (INO-ORDER) expired on 2026-06-15: it accepts nothing any more; renew it, or take it out"
    ]


def test_an_expired_entry_expects_no_failure_either() -> None:
    assert applied([result("INO-ORDER/packed", "passed")], GOOD, TODAY + datetime.timedelta(1)).failures() == []


@pytest.mark.parametrize("status", ["passed", "rejected"])
def test_an_expected_failure_that_passes_fails(status: str) -> None:
    (one,) = applied([result("INO-ORDER/packed", status)], GOOD).failures()
    assert one.message == (
        "it passes, and b.toml: entry 1 (INO-ORDER) expects it to fail (bug 12); take that entry out"
    )


def test_an_entry_that_another_phase_needs_is_not_in_vain() -> None:
    found = [result("INO-ORDER/packed", "passed"), failed("fuzz-1/packed", rule="INO-ORDER", phase="fuzz")]
    assert applied(found, GOOD).failures() == []


def test_generated_programs_that_find_nothing_prove_nothing() -> None:
    text = GOOD + 'phase = "fuzz"\n'
    told = applied([result("INO-ORDER/packed", "passed")], text)
    assert told.failures() == []
    assert told.notes == ["b.toml: entry 1 (INO-ORDER) met nothing in this run"]


@pytest.mark.parametrize("status", ["undecided", "not offered"])
def test_what_was_not_decided_leaves_an_entry_alone(status: str) -> None:
    told = applied([result("INO-ORDER/packed", status)], GOOD)
    assert told.failures() == []
    assert told.code == (UNCLEAR if status == "undecided" else CONFORMS)


def test_wedged_is_accepted_like_failed() -> None:
    text = '[[accepted]]\nrule = "HUNG"\nreason = "slow reset"\n'
    assert applied([result("hostile-1/", "wedged", rule="HUNG", phase="hostile")], text).failures() == []


def test_a_run_that_could_not_be_made_keeps_its_code_and_the_run_given_stays() -> None:
    before = run()
    before.code = TARGET
    kept = replace(before, results=list(before.results))
    assert baseline.apply(before, baseline.parse(GOOD, "b.toml"), TODAY).code == TARGET
    assert before == kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[accepted]\n", "b.toml: not TOML: "),
        ("x = 1\n", "b.toml: holds something else than [[accepted]] entries; take it out"),
        ("accepted = 1\n", "b.toml: holds something else than [[accepted]] entries; take it out"),
        ("accepted = [1]\n", "b.toml: entry 1 is no table; write [[accepted]]"),
        (GOOD + "odd = 1\n", "b.toml: entry 1 (INO-ORDER) has no field 'odd'; there are rule, layout, phase, target,"),
        (GOOD.replace('rule = "INO-ORDER"', ""), 'b.toml: entry 1 lacks a rule; add rule = "INO-ORDER"'),
        (GOOD.replace('reason = "bug 12"', ""), "b.toml: entry 1 (INO-ORDER) lacks a reason; add reason = "),
        (GOOD.replace("bug 12", " "), "b.toml: entry 1 (INO-ORDER) lacks a reason; add reason = "),
        (GOOD.replace("bug 12", "..."), 'b.toml: entry 1 (INO-ORDER): its reason is still "..."; say there why'),
        (GOOD.replace("INO-ORDER", "INO-ORDR"), "no rule is called 'INO-ORDR'; the nearest is 'INO-ORDER'"),
        (GOOD.replace('"packed"', '"pack"'), "no layout is called 'pack'; the nearest is 'packed'"),
        (GOOD.replace('"packed"', "3"), "layout must be a text, in quotes"),
        (GOOD + 'phase = "fuz"\n', "no phase is called 'fuz'; the nearest is 'fuzz'"),
        (GOOD.replace("2026-06-15", '"June"'), "expires is 'June', which is no date; write it as 2027-01-31"),
        (GOOD.replace("2026-06-15", "2026-06-15T00:00:00"), "which is no date; write it as 2027-01-31"),
        (GOOD + GOOD.replace("bug 12", "…"), 'b.toml: entry 2 (INO-ORDER): its reason is still "…"'),
    ],
)
def test_a_broken_baseline_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageTrouble) as caught:
        baseline.parse(text, "b.toml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_dates_may_be_texts() -> None:
    (one,) = baseline.parse(GOOD.replace("2026-06-15", '"2026-06-15"'), "b.toml")
    assert one.expires == TODAY


def test_a_file_that_is_not_there_names_the_mend(tmp_path: Path) -> None:
    with pytest.raises(UsageTrouble, match="can't be read: no such file or directory; name a baseline"):
        baseline.load(tmp_path / "none.toml")


def test_a_draft_is_refused_until_its_reasons_are_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text(baseline.draft(run()), encoding="utf-8")
    with pytest.raises(UsageTrouble, match=r"entry 1 \(INO-ORDER\): its reason is still"):
        baseline.load(path)
    path.write_text(baseline.draft(run()).replace('"..."', '"known"'), encoding="utf-8")
    told = baseline.apply(run(), baseline.load(path), TODAY)
    assert told.failures() == []
    assert told.code == UNCLEAR, "one result is undecided"


def test_a_draft_keeps_what_is_still_needed_and_drops_the_rest() -> None:
    kept = [
        Expected("x", "INO-ORDER", 'say "why" \\ \x7f', "packed", target="exec:*", expires=TODAY),
        Expected("y", "INO-SKIP", "fixed since"),
    ]
    text = baseline.draft(replace(run(), target="exec:./x"), kept)
    again = baseline.parse(text.replace('"..."', '"new"'), "z")
    assert [(one.rule, one.layout, one.phase, one.reason) for one in again] == [
        ("INO-ORDER", "packed", "", 'say "why" \\ \x7f'),
        ("INO-ORDER", "split", "conformance", "new"),
        ("CRASHED", "", "hostile", "new"),
        ("HUNG", "", "hostile", "new"),
    ]
    assert again[0].expires == TODAY


def test_a_draft_names_each_deviation_once() -> None:
    found = [failed(), failed(), failed("S-DESC-RO/packed", rule="INO-ORDER")]
    assert baseline.draft(Run("model", "", results=found)).count("[[accepted]]") == 1
