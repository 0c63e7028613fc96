"""Reports of a run: valid by the public schemas, complete, escaped, and short enough."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from lxml import etree

from fuzz.report import github, jsonl, junit, kinds, sarif, summary
from fuzz.results import Run
from tests.report_kit import NASTY, result, run, sarif_schema, valid_junit, valid_sarif

HERE = Path(__file__).parent
EMPTY = Run("model", "vqfuzz check model")


# --- JUnit ------------------------------------------------------------------------------------------------------------


def junit_of(told: Run) -> etree._Element:
    """The document, once it is valid."""
    return valid_junit(junit.render(told))


@pytest.mark.parametrize("told", [run(), EMPTY], ids=["full", "empty"])
def test_junit_is_valid_by_the_schema_of_jenkins(told: Run) -> None:
    root = junit_of(told)
    assert [case.get("name") for case in root.iter("testcase")] == [one.name for one in told.results]


def test_the_schema_of_jenkins_refuses_what_is_wrong() -> None:
    root = junit_of(run())
    next(root.iter("testcase")).attrib.pop("name")
    with pytest.raises(etree.DocumentInvalid):
        etree.XMLSchema(etree.parse(str(HERE / "schemas" / "junit-10.xsd"))).assertValid(root)


def test_junit_fails_what_fails_and_skips_with_a_reason_what_did_not_pass() -> None:
    root = junit_of(run())
    cases = {str(case.get("name")): case for case in root.iter("testcase")}
    failed = {name for name, case in cases.items() if case.find("failure") is not None}
    assert failed == {"INO-ORDER/packed", "CRASHED/", "hostile-2/"}
    skipped = {name: one.get("message") for name, case in cases.items() if (one := case.find("skipped")) is not None}
    assert skipped == {
        "INO-ORDER/split": "accepted: bug 12, see %2C",
        "P-DESC-RO/packed": "not offered: no packed ring",
        "S-AVAIL-RO/split": "undecided: only a wait expired",
    }
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("9", "3", "0")
    suites = {suite.get("name"): (suite.get("tests"), suite.get("failures"), suite.get("skipped")) for suite in root}
    assert suites == {"vqfuzz conformance": ("6", "1", "3"), "vqfuzz hostile": ("3", "2", "0")}


def test_junit_keeps_the_report_as_text_and_the_section_as_class() -> None:
    root = junit_of(run())
    cases = {str(case.get("name")): case for case in root.iter("testcase")}
    failure = cases["INO-ORDER/packed"].find("failure")
    assert failure is not None
    assert failure.text is not None
    assert "second <line> & \\x1b[31m\\x00]]> `code` | ☃" in failure.text
    assert failure.get("type") == "INO-ORDER"
    classes = [cases[name].get("classname") for name in ("INO-ORDER/packed", "VU-STOPPED/split", "CRASHED/")]
    assert classes == ["virtio.6.2", "vhost-user.Ring states", "vqfuzz.hostile"]
    assert "warning VU-STOPPED" in (cases["VU-STOPPED/split"].findtext("system-out") or "")
    properties = {one.get("name"): one.get("value") for one in root[0].iter("property")}
    assert properties["seed"] == "7"
    assert properties["target.version"] == "dev 1.2"


# --- SARIF ------------------------------------------------------------------------------------------------------------


def sarif_of(told: Run) -> Any:
    """The log, once it is valid."""
    return valid_sarif(sarif.render(told))


@pytest.mark.parametrize("told", [run(), EMPTY, replace(run(), spec="1.1", version="")], ids=["full", "empty", "1.1"])
def test_sarif_is_valid_by_the_schema_of_oasis(told: Run) -> None:
    assert sarif_of(told)["version"] == "2.1.0"


def test_the_schema_of_oasis_refuses_what_is_wrong() -> None:
    log = json.loads(sarif.render(run()))
    log["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(sarif_schema()).validate(log)


def test_sarif_tells_what_was_found_and_nothing_else() -> None:
    (told,) = sarif_of(run())["runs"]
    found = {one["properties"]["name"]: one for one in told["results"]}
    assert set(found) == {"INO-ORDER/packed", "INO-ORDER/split", "VU-STOPPED/split", "CRASHED/", "hostile-2/"}
    states = {name: (one["level"], one["baselineState"], "suppressions" in one) for name, one in found.items()}
    assert states["INO-ORDER/packed"] == ("error", "new", False)
    assert states["INO-ORDER/split"] == ("error", "unchanged", True)
    assert states["VU-STOPPED/split"] == ("warning", "new", False)
    rules = told["tool"]["driver"]["rules"]
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in told["results"])


def test_sarif_points_at_the_smallest_program() -> None:
    (told,) = sarif_of(run())["runs"]
    places = {
        one["properties"]["name"]: one["locations"][0]["physicalLocation"]["artifactLocation"]
        for one in told["results"]
    }
    assert places["INO-ORDER/packed"] == {"uri": "out/ino-order-1/minimal.vq", "uriBaseId": "%SRCROOT%"}
    assert places["INO-ORDER/split"] == {"uri": "file:///out/x/minimal.vq"}
    assert places["hostile-2/"]["uri"] == "hostile/hostile-2.vq"
    assert places["VU-STOPPED/split"]["uri"] == "corpus/rules/VU-STOPPED.split.vq"


def test_sarif_describes_rules_by_the_catalogue() -> None:
    rules = {one["id"]: one for one in sarif_of(run())["runs"][0]["tool"]["driver"]["rules"]}
    assert rules["INO-ORDER"]["helpUri"] == "https://docs.oasis-open.org/virtio/virtio/v1.4/virtio-v1.4.html"
    assert rules["INO-ORDER"]["defaultConfiguration"] == {"level": "error"}
    assert rules["INO-ORDER"]["fullDescription"]["text"]
    assert rules["VU-STOPPED"]["helpUri"].endswith("/vhost-user.html")
    assert rules["CRASHED"]["shortDescription"] == {"text": "the target died"}
    assert next(iter(rules)) == "INO-ORDER", "the catalogue begins with it"


def test_sarif_tells_the_same_find_from_another_by_its_fingerprint() -> None:
    def prints(told: Run) -> list[Any]:
        return [one["partialFingerprints"] for one in sarif_of(told)["runs"][0]["results"]]

    other = run()
    other.seed, other.results[1] = 8, replace(other.results[1], program="virtqueue-program 1\n", message="else")
    assert prints(run()) == prints(run())
    assert prints(run())[0]["vqfuzzProgram/v1"] != prints(other)[0]["vqfuzzProgram/v1"]
    assert prints(run())[0]["vqfuzzRule/v1"] == prints(other)[0]["vqfuzzRule/v1"]


# --- GitHub -----------------------------------------------------------------------------------------------------------


def test_annotations_are_one_escaped_line_each() -> None:
    lines = github.annotate(run()).splitlines()
    assert lines[0] == (
        "::error file=out/ino-order-1/minimal.vq,line=1,title=INO-ORDER (packed)%3A out of order::"
        "100%25 of: a, b second <line> & \\x1b[31m\\x00]]> `code` | ☃ (seen 3 times) — VIRTIO 1.4, 6.2"
    )
    assert [line.partition(" ")[0] for line in lines] == ["::error"] * 3 + ["::warning", "::notice", "::notice"]
    assert github.annotate(EMPTY) == ""


def test_annotations_escape_what_would_end_a_property() -> None:
    one = result("INO-ORDER/split", "failed", find="a,b:c%d\ne", title="x\r\ny")
    (line,) = github.annotate(replace(EMPTY, results=[one])).splitlines()
    assert "file=a%2Cb%3Ac%25d%0Ae/minimal.vq,line=1," in line
    assert "title=INO-ORDER (split)%3A x%0D%0Ay::" in line


def test_annotations_say_what_github_would_drop() -> None:
    many = [result(f"R{number}/split", "failed") for number in range(25)]
    lines = github.annotate(replace(EMPTY, results=many)).splitlines()
    assert len(lines) == github.MOST
    assert lines[-1].startswith("::error title=16 more failures::")


def test_step_summary_has_a_row_for_each_chapter_and_folds_reports() -> None:
    text = github.summary(run())
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert rows == ["section", "---", "2.7 Split Virtqueues", "2.8 Packed Virtqueues", "6 Reserved Feature Bits",
                    "vhost-user protocol", "Hostile input", "**all**"]  # fmt: skip
    assert text.count("<details>") == text.count("</details>") == 3
    assert "&#60;line&#62;" in text, "a message must not be markup"


def test_step_summary_fences_hold_whatever_a_report_says() -> None:
    one = result("INO-ORDER/split", "failed", report="```\n</details>\n````\n")
    text = github.summary(replace(EMPTY, results=[one]))
    assert text.count("`````") == 2


def test_step_summary_stays_below_the_limit_of_github() -> None:
    many = [result(f"R{number}/split", "failed", report="☃" * 100_000) for number in range(12)]
    text = github.summary(replace(EMPTY, results=many, code=1))
    assert len(text.encode()) < 1 << 20
    assert "9 more failures have no room here" in text


# --- text -------------------------------------------------------------------------------------------------------------


def test_summary_fits_a_terminal_and_stands_in_the_order_of_the_specification() -> None:
    lines = summary.render(run()).splitlines()
    assert max(map(len, lines)) <= summary.WIDTH
    assert all(line.isprintable() for line in lines), "a target's words must not steer the terminal"
    heads = [line[:32].strip() for line in lines[1:6]]
    assert heads == ["2.7 Split Virtqueues", "2.8 Packed Virtqueues", "6 Reserved Feature Bits", "vhost-user protocol",
                     "Hostile input"]  # fmt: skip
    order = [lines.index(next(line for line in lines if line.startswith(word)))
             for word in ("all", "FAIL", "warning", "undecided", "accepted", "note", "9 looked at")]  # fmt: skip
    assert order == sorted(order)


def test_summary_has_the_columns_that_matter_in_their_order() -> None:
    only = replace(EMPTY, results=[result("S-DESC-RO/split", "passed", section="2.7.5.1")])
    assert summary.render(only).splitlines()[0].split() == ["passed", "rejected", "wedged", "failed", "not", "offered"]
    everything = summary.render(run()).splitlines()[0].split()
    assert everything == "passed rejected wedged failed undecided accepted not offered".split()
    total = next(line for line in summary.render(run()).splitlines() if line.startswith("all"))
    assert total.split() == "all 2 1 1 2 1 1 1".split()


def test_summary_counts_accepted_deviations_by_reason() -> None:
    found = [
        result(f"INO-ORDER/{layout}", "failed", known="why " * 60, new=False, also=1) for layout in ("split", "packed")
    ]
    text = summary.render(replace(EMPTY, results=found))
    assert "accepted  INO-ORDER: 4 × why" in text
    assert max(map(len, text.splitlines())) <= summary.WIDTH


def test_what_is_not_offered_is_told_with_its_reasons() -> None:
    found = [result(f"R{number}/packed", "not offered", message="no packed ring") for number in range(3)]
    found.append(result("R9/split", "not offered", message="no in_order"))
    told = replace(EMPTY, results=found)
    assert "not offered  3 × no packed ring\nnot offered  1 × no in_order\n" in summary.render(told)
    assert "### Not offered\n\n- 3 × no packed ring\n- 1 × no in&#95;order\n" in github.summary(told)


def test_chapters_have_the_numbers_of_the_version_asked_for() -> None:
    assert kinds.heading("2.7", "1.1") == "2.7 Packed Virtqueues"
    assert kinds.heading("2.7", "1.4") == "2.7 Split Virtqueues"
    both = result("X/packed", "passed", section="2.7.9, 2.8.10")
    assert kinds.number(both) == "2.8.10"


# --- all of them ------------------------------------------------------------------------------------------------------


def test_every_report_survives_every_text() -> None:
    told = replace(run(), target=NASTY, notes=[NASTY], describe={NASTY: NASTY})
    assert junit_of(told) is not None
    assert sarif_of(told)
    assert jsonl.load(jsonl.render(told), "x") == told
    assert github.summary(told)
    assert max(map(len, summary.render(told).splitlines())) <= summary.WIDTH
