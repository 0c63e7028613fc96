"""``vqfuzz check``: what it looks at and in which order, what it makes of what it sees, and what it writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fuzz import results
from fuzz.cases import Check, NotOffered
from fuzz.check import Checker, Settings, Suite
from fuzz.plan import judged, plan, selection
from fuzz.program import Limits
from fuzz.targets.model import Model
from fuzz.targets.presets import PRESETS
from fuzz.trouble import UsageTrouble
from fuzz.verdict import CRASHED, OUR_FAULT, VIOLATES, Outcome
from oracles.rules import Violation, registry
from tests.report_kit import valid_junit, valid_sarif

# --- the plan ---------------------------------------------------------------------------------------------------------


def test_every_rule_that_binds_a_device_is_planned_in_the_order_of_the_catalogue() -> None:
    items = [item for item in plan(Limits(), [], selection([])) if item.phase == "conformance"]
    order = list(registry())
    assert list(dict.fromkeys(item.rule for item in items)) == [rule.id for rule in judged("1.4")]
    assert [order.index(item.rule) for item in items] == sorted(order.index(item.rule) for item in items)


def test_names_are_unique() -> None:
    names = [item.name for item in plan(Limits(), [], selection([]))]
    assert len(names) == len(set(names))


def test_what_a_version_does_not_have_is_not_looked_at() -> None:
    old = {item.rule for item in plan(Limits(), [], selection([]), "1.1")}
    assert "VQR-STATE" not in old
    assert "INO-ORDER" in old


def test_rules_sections_and_phases_are_chosen() -> None:
    def rules(*words: str) -> set[str]:
        return {item.rule for item in plan(Limits(), [], selection(words))}

    assert rules("INO-ORDER") == {"INO-ORDER"}
    assert {"INO-S-BATCH-ID", "INO-SKIP-FULL"} <= rules("2.7.9")
    assert rules("1.1:2.6.9") == rules("2.7.9")
    assert {item.phase for item in plan(Limits(), [], selection(["boundary"]))} == {"boundary"}
    assert rules("INO-ORDER", "S-USED-ID") == {"INO-ORDER", "S-USED-ID"}


@pytest.mark.parametrize(
    ("word", "said"), [("INO-ODER", "the closest is INO-ORDER"), ("9.9.9", "no rule is in section")]
)
def test_what_is_no_rule_is_one_line(word: str, said: str) -> None:
    with pytest.raises(UsageTrouble, match=said) as caught:
        selection([word])
    assert "\n" not in str(caught.value)


def test_cases_of_the_control_plane_stand_with_their_rule() -> None:
    check = Check("case", ("VU-STOPPED",), "", Outcome)
    names = [item.name for item in plan(Limits(), [check], selection([]))]
    assert "VU-STOPPED/case" in names


def test_what_is_not_offered_says_why() -> None:
    items = plan(PRESETS["qemu-storage-daemon"].limits, [], selection(["conformance"]))
    missing = {item.name: item.missing for item in items}
    assert missing["INO-ORDER/split"] == "in_order is not offered"
    assert missing["P-USED-ID/packed"] == "there are no packed virtqueues"


# --- running it -------------------------------------------------------------------------------------------------------


def checked(target: str, tmp_path: Path, *words: str, **settings) -> list[results.Result]:
    made = Model(target)
    checker = Checker(made, Settings(out=tmp_path / "out", selection=selection(words), programs=20, **settings))
    return list(checker.run())


def test_the_model_conforms(tmp_path: Path) -> None:
    found = checked("", tmp_path)
    assert {one.status for one in found} <= {results.PASSED, results.NOT_OFFERED}
    assert not (tmp_path / "out").exists()


def test_a_fault_fails_its_rule_and_is_kept(tmp_path: Path) -> None:
    found = [one for one in checked("a05", tmp_path, "INO-ORDER") if one.status == results.FAILED]
    assert [one.name for one in found] == ["INO-ORDER/packed", "INO-ORDER/split"]
    first = found[0]
    assert (first.rule, first.level, first.section, first.reproduced) == ("INO-ORDER", "MUST", "6.2", "3/3")
    assert first.report.startswith("FAIL  INO-ORDER")
    assert (Path(first.find) / "program.vq").is_file()
    assert first.program


def test_a_failed_case_is_run_again_and_named(tmp_path: Path) -> None:
    outcome = Outcome(VIOLATES, violation=Violation("VU-STOPPED", "it wrote"))
    checker = Checker(Model(), Settings(out=tmp_path, selection=selection(["VU-STOPPED"])))
    items = plan(Limits(), [Check("case", ("VU-STOPPED",), "", lambda: outcome)], selection(["VU-STOPPED"]))
    result = next(checker.look(item) for item in items if item.check is not None)
    assert (result.status, result.rule, result.message, result.reproduced) == (
        "failed",
        "VU-STOPPED",
        "it wrote",
        "3/3",
    )
    assert result.section == "Ring states"


def test_a_case_that_can_not_be_asked_is_not_offered(tmp_path: Path) -> None:
    def run() -> Outcome:
        raise NotOffered("it has no such register")

    checker = Checker(Model(), Settings(out=tmp_path, selection=selection(["VU-STOPPED"])))
    items = plan(Limits(), [Check("case", ("VU-STOPPED",), "", run)], selection(["VU-STOPPED"]))
    result = next(checker.look(item) for item in items if item.check is not None)
    assert (result.status, result.message) == (results.NOT_OFFERED, "it has no such register")


def test_a_death_is_named_as_one(tmp_path: Path) -> None:
    checker = Checker(Model(), Settings(out=tmp_path, selection=selection(["VU-STOPPED"])))
    check = Check("case", ("VU-STOPPED",), "", lambda: Outcome(CRASHED, reason="killed by SIGSEGV"))
    items = plan(Limits(), [check], selection(["VU-STOPPED"]))
    result = next(checker.look(item) for item in items if item.check is not None)
    assert (result.status, result.rule, result.message) == ("failed", "CRASHED", "killed by SIGSEGV")


def test_strict_fails_what_should_be(tmp_path: Path) -> None:
    rule = next(one.id for one in judged("1.4") if one.level.value == "SHOULD" and one.layout == "split")
    from fuzz.proof import family

    fault = next(one.name for one in family("ring") if one.rule == rule)
    assert {one.status for one in checked(fault, tmp_path, rule)} == {results.PASSED}
    assert results.FAILED in {one.status for one in checked(fault, tmp_path, rule, strict=True)}


def test_a_suite_for_others_runs_item_by_item() -> None:
    suite = Suite("model:a05", select=["INO-ORDER"])
    try:
        found = {item.name: item.run() for item in suite.items}
    finally:
        suite.close()
    assert found["INO-ORDER/split"].status == results.FAILED


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_conforming_target_is_exit_0_with_a_summary_by_section(cli) -> None:
    done = cli("check", "model", "--time", "1s")
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("vqfuzz ")
    assert re.search(r"seed 1$", lines[0])
    assert any(line.startswith("2.7 Split Virtqueues") for line in lines)
    assert lines[-1] == "again: vqfuzz check model"


def test_all_reports_are_written(cli, tmp_path: Path) -> None:
    done = cli("check", "model:a05", "INO-ORDER", "--junit", "j.xml", "--sarif", "s.sarif", "--json", "e.jsonl",
               "--html", "r.html")  # fmt: skip
    assert done.returncode == 1
    assert 'failures="2"' in (tmp_path / "j.xml").read_text()
    assert {one["ruleId"] for one in json.loads((tmp_path / "s.sarif").read_text())["runs"][0]["results"]} == {
        "INO-ORDER"
    }
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "e.jsonl").read_text().splitlines()[-1])["failures"] == 2


def test_github_gets_annotations_and_a_summary(cli, tmp_path: Path) -> None:
    done = cli("check", "model:a05", "INO-ORDER", "--github", env={"GITHUB_STEP_SUMMARY": str(tmp_path / "page.md")})
    assert "::error file=" in done.stdout
    assert "INO-ORDER" in (tmp_path / "page.md").read_text()


@pytest.mark.parametrize("option", ["--junit", "--sarif", "--json", "--html", "--write-baseline"])
def test_a_report_that_can_not_be_written_is_told_before_anything_runs(cli, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").write_text("")
    done = cli("check", "model", option, "file/x")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert "can't be written" in done.stderr


def test_a_baseline_is_written_filled_in_and_heeded(cli, tmp_path: Path) -> None:
    done = cli("check", "model:a05", "INO-ORDER", "--write-baseline", "b.toml")
    assert done.returncode == 1
    refused = cli("check", "model:a05", "INO-ORDER", "--baseline", "b.toml")
    assert refused.returncode == 2
    text = (tmp_path / "b.toml").read_text()
    (tmp_path / "b.toml").write_text(re.sub(r"(?m)^reason = .*$", 'reason = "planted"', text))
    assert cli("check", "model:a05", "INO-ORDER", "--baseline", "b.toml").returncode == 0
    mended = cli("check", "model", "INO-ORDER", "--baseline", "b.toml")
    assert mended.returncode == 1
    assert "expects it to fail" in mended.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["model", "INO-ODER"], 2, "the closest is INO-ORDER"),
        (["modle"], 2, "the nearest is 'model'"),
        (["model", "--spec", "1.5"], 2, "1.5"),
        (["model", "--baseline", "nowhere.toml"], 2, "nowhere.toml can't be read"),
    ],
)
def test_bad_input_is_one_line(cli, arguments: list[str], code: int, said: str) -> None:
    done = cli("check", *arguments)
    assert done.returncode == code
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_listing_runs_nothing(cli) -> None:
    done = cli("check", "model", "--list", "2.7.9")
    assert done.returncode == 0
    assert "INO-S-BATCH-ID/split" in done.stdout.split()


# --- real targets -----------------------------------------------------------------------------------------------------


def test_what_our_own_driver_breaks_accuses_nobody(tmp_path: Path) -> None:
    checker = Checker(Model(), Settings(out=tmp_path, selection=selection(["VU-STOPPED"])))
    fault = Outcome(OUR_FAULT, reason="its driver broke S-ALIGN")
    items = plan(Limits(), [Check("case", ("VU-STOPPED",), "", lambda: fault)], selection(["VU-STOPPED"]))
    result = next(checker.look(item) for item in items if item.check is not None)
    assert result.status == results.UNDECIDED
    assert "please report it: its driver broke S-ALIGN" in result.message


@pytest.mark.target("qemu-storage-daemon")
def test_reports_of_a_real_back_end_are_valid(cli, tmp_path: Path) -> None:
    done = cli("check", "qemu-storage-daemon", "conformance", "--junit", "j.xml", "--sarif", "s.sarif")
    assert done.returncode in (1, 4), done.stdout[-3000:]  # what is known of it is in docs/found.md
    root = valid_junit((tmp_path / "j.xml").read_text())
    names = {case.get("name") for case in root.iter("testcase")}
    assert {"INO-ORDER/split", "S-USED-ID/split", "VU-REPLY-ACK/acknowledgements"} & names
    log = valid_sarif((tmp_path / "s.sarif").read_text())
    assert {one["ruleId"] for one in log["runs"][0]["results"]} <= {"VU-RING-INIT", "VU-DISABLED", "VU-NO-RELY-KICK",
                                                                    "VU-ENABLE-TRACK", "VU-BASE-DRAIN"}  # fmt: skip


@pytest.mark.target("qemu-storage-daemon")
def test_a_real_back_end_keeps_what_is_asked_of_it(cli) -> None:
    done = cli("check", "qemu-storage-daemon:null", "2.7.8", "boundary", "corpus")
    assert done.returncode == 0, done.stdout[-3000:]
