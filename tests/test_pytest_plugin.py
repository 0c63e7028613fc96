"""The pytest plugin, in runs of pytest of its own: beside a fake of the checks, and on the reference device."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parent.parent
Pytest = Callable[..., subprocess.CompletedProcess[str]]

CONFTEST = """
import sys, types
from fuzz.results import Result
from fuzz.targets import TargetError
from fuzz.trouble import UsageTrouble

class Item:
    def __init__(self, name, status):
        self.name, self.status = name, status
        self.rule, _, self.layout = name.partition("/")
    def run(self):
        if self.status == "gone":
            raise TargetError("./dev can't be started")
        report = "FAIL  " + self.rule + "\\n      what happened\\n" if self.status == "failed" else ""
        return Result(self.name, self.rule, self.layout, "conformance", self.status, message="why", report=report)

class Suite:
    def __init__(self, words, qemu, select, version, strict):
        if words == "nothing":
            raise UsageTrouble("no target is called 'nothing'")
        print("asked for", words, qemu, select, version, strict, file=sys.stderr)
        found = [Item(*one.split("=")) for one in words.partition(":")[2].split(",")]
        self.items = [one for one in found if not select or one.rule in select]
    def close(self):
        print("the target is ended", file=sys.stderr)

sys.modules["fuzz.check"] = types.SimpleNamespace(Suite=Suite)
"""
ALL = "fake:INO-ORDER/split=passed,INO-ORDER/packed=failed,P-DESC-RO/packed=not offered,S-AVAIL-RO/split=undecided"
#: Conforms, though the device holds buffers back; a device that hands back the younger one first does not.
CONFORMING = "\n".join((
    "virtqueue-program 1", "queue split 2", "features version_1 in_order", "lever hold=1",
    "supply in:1", "supply in:1", "notify", "",
))  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A suite of somebody else's, as strict as ours."""
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n"
    )
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


@pytest.fixture
def run(project: Path) -> Pytest:
    """Run pytest there, with this plugin and no other, whether or not it is installed here."""

    def run(*args: str, plugins: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        loaded = [word for name in ("fuzz.pytest_plugin", *plugins) for word in ("-p", name)]
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        surroundings |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
        return subprocess.run(
            [sys.executable, "-m", "pytest", *loaded, "-p", "no:cacheprovider", *args],
            cwd=project, env=surroundings, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=100,
        )  # fmt: skip

    return run


# --- a target's items -------------------------------------------------------------------------------------------------


def test_each_rule_and_layout_is_an_item_that_ends_as_its_result(run: Pytest) -> None:
    done = run("-v", f"--vq-target={ALL}")
    assert done.returncode == 1, done.stdout + done.stderr
    lines = re.findall(r"^vqfuzz::(\S+) (\w+)", done.stdout, re.MULTILINE)
    assert lines == [
        ("INO-ORDER/split", "PASSED"),
        ("INO-ORDER/packed", "FAILED"),
        ("P-DESC-RO/packed", "SKIPPED"),
        ("S-AVAIL-RO/split", "SKIPPED"),
    ]


def test_a_failure_is_the_report_and_no_traceback(run: Pytest) -> None:
    done = run(f"--vq-target={ALL}", "-rs")
    assert "FAIL  INO-ORDER\n      what happened\n" in done.stdout
    assert not re.search("Traceback|During handling", done.stdout)
    assert "pytest_plugin.py:" not in done.stdout.partition("short test summary")[0]
    assert "not offered: why" in done.stdout
    assert "undecided: why" in done.stdout


def test_options_reach_the_checks(run: Pytest) -> None:
    done = run("-s", f"--vq-target={ALL}", "--vq-qemu=q", "--vq-spec=1.2", "--vq-strict", "--vq-select=INO-ORDER")
    assert f"asked for {ALL} q ['INO-ORDER'] 1.2 True" in done.stderr
    assert "1 failed, 1 passed" in done.stdout


def test_items_can_be_chosen_like_any_others(run: Pytest, project: Path) -> None:
    (project / "test_own.py").write_text("def test_own(): pass\n")
    assert "1 passed, 4 deselected" in run(f"--vq-target={ALL}", "-m", "not vqfuzz").stdout
    assert "1 failed, 4 deselected" in run(f"--vq-target={ALL}", "-k", "packed and INO").stdout
    assert "1 failed, 2 passed, 2 skipped" in run(f"--vq-target={ALL}").stdout


def test_items_tell_rule_and_layout_to_junit(run: Pytest, project: Path) -> None:
    run(f"--vq-target={ALL}", "--junitxml=x.xml", "-o", "junit_family=xunit2")
    case = next(one for one in ET.parse(project / "x.xml").iter("testcase") if one.get("name") == "INO-ORDER/packed")
    assert {one.get("name"): one.get("value") for one in case.iter("property")} == {
        "rule": "INO-ORDER",
        "layout": "packed",
    }


def test_an_accepted_failure_is_xfail_and_a_pass_of_it_fails(run: Pytest, project: Path) -> None:
    text = '[[accepted]]\nrule = "INO-ORDER"\nlayout = "{}"\nreason = "bug 12"\n'
    (project / "b.toml").write_text(text.format("packed"))
    done = run(f"--vq-target={ALL}", "--vq-baseline=b.toml", "-rx")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 2 skipped, 1 xfailed" in done.stdout
    assert "INO-ORDER is accepted: bug 12" in done.stdout
    assert "1 failed, 1 passed, 2 skipped" in run(f"--vq-target={ALL}", "--vq-baseline=b.toml", "--runxfail").stdout
    (project / "b.toml").write_text(text.format("split"))
    done = run(f"--vq-target={ALL}", "--vq-baseline=b.toml")
    assert "2 failed, 2 skipped" in done.stdout
    assert "it passes, and" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--vq-target=nothing"], "vqfuzz: no target is called 'nothing'"),
        (["--vq-target=fake:A/split=passed", "--vq-spec=0.9"], "there is no VIRTIO 0.9; there are 1.1, 1.2, 1.3, 1.4"),
        (["--vq-target=fake:A/split=passed", "--vq-baseline=none"], "can't be read: no such file or directory"),
        (["--vq-target=fake:A/split=passed", "--vq-select=B"], "vqfuzz: --vq-select chooses no rule"),
        (["--vq-select=B"], "--vq-select needs --vq-target"),
        (["--vq-strict"], "--vq-strict needs --vq-target"),
    ],
)
def test_wrong_usage_is_one_line(run: Pytest, args: list[str], said: str) -> None:
    done = run(*args)
    assert done.returncode == 4
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_target_that_is_gone_fails_with_one_line(run: Pytest) -> None:
    done = run("--vq-target=fake:INO-ORDER/split=gone")
    assert "the target can't be used: ./dev can't be started" in done.stdout
    assert not re.search("Traceback|During handling", done.stdout)


def test_items_run_beside_xdist(run: Pytest) -> None:
    done = run(f"--vq-target={ALL}", "-n2", plugins=("xdist",))
    assert "1 failed, 1 passed, 2 skipped" in done.stdout, done.stdout + done.stderr


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_without_a_target_nothing_is_imported_or_added(run: Pytest, project: Path) -> None:
    (project / "conftest.py").unlink()
    (project / "test_own.py").write_text(
        "import sys\n\ndef test_own():\n"
        "    ours = {name for name in sys.modules if name.split('.')[0] in ('fuzz', 'oracles')}\n"
        "    assert ours == {'fuzz', 'fuzz.pytest_plugin'}\n"
    )
    done = run("-v")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_it_is_the_entry_point_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"vqfuzz": "fuzz.pytest_plugin"}


# --- a suite's own programs -------------------------------------------------------------------------------------------

OWN = """
from fuzz.pytest_plugin import program

@program("programs/a.vq")
def test_marked():
    assert True

def test_fixture(vq_target):
    result = vq_target.conforms("programs/a.vq")
    assert result.status == "passed"
    assert result.layout == "split"
"""


@pytest.fixture
def own(project: Path) -> Path:
    (project / "programs").mkdir()
    (project / "programs" / "a.vq").write_text(CONFORMING)
    (project / "test_own.py").write_text(OWN)
    (project / "conftest.py").unlink()
    return project


@pytest.mark.usefixtures("own")
def test_programs_run_on_the_reference_device_by_default(run: Pytest) -> None:
    done = run("-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def without_checks(project: Path) -> None:
    """A conftest with one check that is deselected: what is looked at are the suite's own tests."""
    (project / "conftest.py").write_text(CONFTEST.replace('words.partition(":")[2].split(",")', '["X/split=passed"]'))


def test_a_program_that_finds_something_fails_with_the_report(run: Pytest, own: Path) -> None:
    without_checks(own)
    done = run("--vq-target=model:a05", "-m", "not vqfuzz")
    assert "2 failed" in done.stdout, done.stdout + done.stderr
    assert re.search(r"^FAIL  INO-\S+ ", done.stdout, re.MULTILINE)
    assert "Minimal program" in done.stdout or "  Program" in done.stdout
    assert "reproduced 5/5" in done.stdout
    assert not re.search("Traceback|During handling", done.stdout)


def test_the_body_of_a_test_does_not_run_when_its_program_failed(run: Pytest, own: Path) -> None:
    without_checks(own)
    (own / "test_own.py").write_text(OWN.replace("assert True", "raise AssertionError('the body ran')"))
    assert "the body ran" in run().stdout
    assert "the body ran" not in run("--vq-target=model:a05", "-m", "not vqfuzz").stdout


def test_a_baseline_covers_programs_too(run: Pytest, own: Path) -> None:
    without_checks(own)
    rule = re.search(r"^FAIL  (\S+) ", run("--vq-target=model:a05", "-m", "not vqfuzz").stdout, re.MULTILINE)
    assert rule is not None
    (own / "b.toml").write_text(f'[[accepted]]\nrule = "{rule[1]}"\nreason = "a planted fault"\n')
    done = run("--vq-target=model:a05", "-m", "not vqfuzz", "--vq-baseline=b.toml")
    assert "2 xfailed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OWN.replace("a.vq", "none.vq"), "none.vq can't be read: no such file or directory"),
        (OWN.replace('@program("programs/a.vq")', "@program()"), 'write the paths of programs: @program("file.vq")'),
    ],
)
def test_a_program_that_cannot_be_read_is_one_line(run: Pytest, own: Path, text: str, said: str) -> None:
    (own / "test_own.py").write_text(text)
    done = run()
    assert said in done.stdout
    assert not re.search("Traceback|During handling", done.stdout)
