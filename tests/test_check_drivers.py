"""``vqfuzz check`` of a driver: which rules and cases there are for one, what it makes of each, and what it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from fuzz import results
from fuzz.adapting import Unfit, adapt
from fuzz.cases import device_boundary
from fuzz.check import Checker, Settings
from fuzz.confirm import Runner
from fuzz.encoding import load
from fuzz.mirroring import mirrored
from fuzz.plan import judged, plan, selection
from fuzz.program import Add, Call, Callbacks, Get, Kick, Limits, Suppress, Use
from fuzz.targets import Target
from fuzz.targets.dpdk_virtio_user import DpdkVirtioUser
from fuzz.targets.model_driver import ModelDriver
from fuzz.targets.model_driver.faults import FAULTS
from fuzz.verdict import CONFORMS
from oracles import driver_rules
from oracles.rules import registry
from tests.linux_kit import LATEST, needs_latest
from tests.report_kit import valid_junit, valid_sarif

ROOT = Path(__file__).resolve().parent.parent
ASKED = ModelDriver.limits
SERVED = DpdkVirtioUser.limits


def checked(fault: str, tmp_path: Path, *words: str) -> list[results.Result]:
    target = cast("Target", ModelDriver(fault))
    settings = Settings(out=tmp_path / "out", selection=selection(words or ("conformance", "corpus")))
    return list(Checker(target, settings).run())


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_every_rule_that_binds_a_driver_is_planned_in_the_order_of_the_catalogue() -> None:
    items = plan(ASKED, [], selection(["conformance"]))
    order = list(registry())
    rules = list(dict.fromkeys(item.rule for item in items))
    assert rules == [rule.id for rule in judged("1.4", "device")]
    assert rules == sorted(rules, key=order.index)
    assert {registry()[rule].subject for rule in rules} == {"driver", "both", "front-end"}


def test_all_that_the_oracle_of_drivers_knows_is_asked_of_one_whose_stores_are_seen() -> None:
    asked = {item.rule for item in plan(ASKED, [], selection(["conformance"])) if item.program is not None}
    assert asked == set(driver_rules.rule_ids())


def test_what_nobody_could_see_is_not_called_passed() -> None:
    missing = {item.rule: item.missing for item in plan(SERVED, [], selection(["conformance"]))}
    assert missing["INO-DRV-WALK"] == "nobody sees what its upper half gets"
    assert missing["S-AN-DRV-MUST"].startswith("it runs beside us")
    assert missing["S-AVAIL-BARRIER"] == "its stores are not seen when they happen"
    assert missing["P-WRAP-INIT"] == "what a driver breaks of it is told by other rules"
    assert missing["S-NEXT-RANGE"] == ""


def test_a_driver_that_acts_by_itself_is_served_with_few_programs() -> None:
    items = [item for item in plan(SERVED, [], selection(["conformance"])) if item.program is not None]
    programs = {item.program for item in items}
    assert len(programs) == 4 < len(items)
    assert all(isinstance(step, Use | Call | Suppress) for one in programs if one for step in one.steps)


def test_sections_and_rules_are_chosen() -> None:
    chosen = {item.rule for item in plan(ASKED, [], selection(["2.7.9"]))}
    assert {"INO-DRV-WALK", "INO-S-SKIPPED-SLOT"} <= chosen
    assert "S-UN-DRV-FLAGS" not in chosen


@pytest.mark.parametrize("limits", [ASKED, SERVED], ids=["asked", "served"])
def test_boundaries_fit_and_have_names_of_their_own(limits: Limits) -> None:
    found = list(device_boundary.programs(limits))
    names = [name for name, _ in found]
    assert len(set(names)) == len(names)
    assert any(name.startswith("index-65536") for name in names)
    for _, program in found:
        adapt(program, limits)


@pytest.mark.parametrize("idea", device_boundary.IDEAS)
def test_boundaries_are_passed_by_the_reference_driver_and_use_buffers(idea: str) -> None:
    for name, program in device_boundary.programs(ASKED):
        if name.startswith(f"{idea}-"):
            outcome = Runner(cast("Target", ModelDriver())).run(program)
            assert (name, outcome.verdict, outcome.reason) == (name, CONFORMS, "")
            assert outcome.chains


def test_a_program_for_one_side_is_not_run_on_the_other() -> None:
    ours = load("virtqueue-program 1\nqueue split 4\nsupply in:8\n")
    theirs = load("virtqueue-program 1\nrole device\nqueue split 4\nadd in:8\n")
    with pytest.raises(Unfit, match="about devices"):
        adapt(ours, ASKED)
    with pytest.raises(Unfit, match="about drivers"):
        adapt(theirs, Limits())
    with pytest.raises(Unfit, match="nobody can ask"):
        adapt(theirs, SERVED)


def test_sides_are_changed() -> None:
    source = load("virtqueue-program 1\nqueue split 4\nfeatures version_1 in_order\nsupply out:4 in:8 answer=3\n"
                  "supply in:2\nsuppress disable\nnotify\nreceive 2\n")  # fmt: skip
    made = mirrored(source)
    first = (Add((4,), (8,)), Add((), (2,)), Callbacks("off"), Kick(), Use(2, junk=True), Call(), Get(2))
    assert made.role == "device"
    assert made.steps[:7] == first


# --- running it -------------------------------------------------------------------------------------------------------


def test_the_reference_driver_conforms_and_nothing_is_undecided(tmp_path: Path) -> None:
    found = checked("", tmp_path)
    assert {one.status for one in found} == {results.PASSED, results.NOT_OFFERED}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_fails_by_a_rule_that_fits(fault: str, tmp_path: Path) -> None:
    failed = {one.rule for one in checked(fault, tmp_path) if one.status == results.FAILED}
    assert failed
    assert failed <= set(FAULTS[fault].rules)


def test_all_reports_can_be_had_of_a_driver(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    files = {option: tmp_path / f"report.{option}" for option in ("junit", "sarif", "json", "html")}
    options = [word for option, path in files.items() for word in (f"--{option}", str(path))]
    baseline = tmp_path / "baseline.toml"
    done = cli("check", "model-driver:a44", "VQ-DRV-WAKE", "--github", "--write-baseline", str(baseline), *options)
    assert done.returncode == 1
    assert "FAIL  VQ-DRV-WAKE" in done.stdout
    assert "::error" in done.stdout
    valid_junit(files["junit"].read_text())
    valid_sarif(files["sarif"].read_text())
    assert "VQ-DRV-WAKE" in files["html"].read_text()
    assert any(json.loads(line).get("rule") == "VQ-DRV-WAKE" for line in files["json"].read_text().splitlines())
    baseline.write_text(baseline.read_text().replace('"..."', '"planted"'))
    accepted = cli("check", "model-driver:a44", "VQ-DRV-WAKE", "--baseline", str(baseline))
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr


def test_a_list_and_an_older_version_of_a_driver_s_rules(cli) -> None:
    listed = cli("check", "model-driver", "--list")
    assert "INO-DRV-WALK/packed\n" in listed.stdout
    assert "boundary/half-then-sleep-2/packed/in-order\n" in listed.stdout
    old = cli("check", "model-driver", "VQR-REENABLE-DRV", "INO-DRV-WALK", "--spec", "1.1", "--list")
    assert "INO-DRV-WALK" in old.stdout
    assert "VQR" not in old.stdout
    assert cli("check", "model-driver", "2.7.9", "--strict").returncode == 0


def test_pytest_checks_a_driver(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-p", "fuzz.pytest_plugin", "-p", "no:cacheprovider", str(tmp_path),
             "--vq-target=model-driver:a44", "--vq-select=VQ-DRV-WAKE"]  # fmt: skip
    known = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=known)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL  VQ-DRV-WAKE" in done.stdout
    assert "1 failed" in done.stdout


@needs_latest
def test_the_kernel_s_driver_is_checked(cli) -> None:
    done = cli("check", f"linux-ring:{LATEST}", "conformance")
    assert done.returncode == 1
    assert "FAIL  VQ-DRV-WAKE" in done.stdout


@pytest.mark.target("linux-source-6.12")
def test_a_kernel_without_in_order_passes(cli) -> None:
    done = cli("check", "linux-ring:6.12", "conformance", "corpus")
    assert (done.returncode, done.stdout.count("undecided")) == (0, 0), done.stdout
