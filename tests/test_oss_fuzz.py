"""The contract of OSS-Fuzz and ClusterFuzzLite: the check passes on one harness, and fails on what is broken."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fuzz.harness import NAMES, texts
from scripts.oss_fuzz import beside, building, contract, environment, running, seeding, states
from scripts.oss_fuzz.running import Ran

ROOT = Path(__file__).resolve().parent.parent
TARGET = "program_text"
BROKEN = "import nowhere_to_be_found\n"
LACKING = 3


# --- the whole check, on one harness as it is, and on the same one broken on purpose ----------------------------------


def check(tree: Path) -> Ran:
    """`make oss-fuzz-check ARGS='--quick --target ...'` on the sources *tree*."""
    command = (sys.executable, "-m", "scripts.oss_fuzz", "--quick", "--target", TARGET, "--tree", str(tree))
    return running.run(command, os.environ, ROOT, patience=500)


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Both at once: each of them keeps one processor busy for half a minute."""
    broken = tmp_path_factory.mktemp("broken")
    building.copy(ROOT, broken)
    harness = broken / "fuzz" / "harness" / f"{TARGET}.py"
    harness.write_text(BROKEN + harness.read_text(encoding="utf-8"), encoding="utf-8")
    with ThreadPoolExecutor(2) as pool:
        good, bad = pool.map(check, (ROOT, broken))
    if LACKING in (good.status, bad.status):
        pytest.skip(f"can't be checked here: {good.tail(1)}")
    return {"good": good, "broken": bad}


@pytest.mark.timeout(600)  # without a cache, the environments are made first
def test_check_passes(checks: dict[str, Ran]) -> None:
    good = checks["good"]
    assert good.status == 0, good.output
    assert "FAIL" not in good.output
    for line in (r"build address +oss-fuzz/build\.sh: 1 target", rf"{TARGET} +\d+ MiB, \d+ seeds, \d+ words",
                 rf"{TARGET} +address: 4 runs, \d+ seeds, merged to \d+", rf"{TARGET} +undefined: 4 runs, \d+ seeds",
                 r"crash states +INO_ORDER, INO_P_BATCH_ID, S_USED_LEN_WRITTEN"):  # fmt: skip
        assert re.search(f"^ok +{line}", good.output, re.MULTILINE), f"{line} is not in\n{good.output}"
    assert good.output.endswith(" steps, all is kept\n")


@pytest.mark.timeout(600)
def test_check_fails_and_names_a_harness_that_was_broken(checks: dict[str, Ran]) -> None:
    broken = checks["broken"]
    assert broken.status == 1, broken.output
    failed = [line for line in broken.output.splitlines() if line.startswith("FAIL")]
    assert all(line.split()[1] == TARGET for line in failed), broken.output
    assert any("ModuleNotFoundError: No module named 'nowhere_to_be_found'" in line for line in failed), broken.output
    assert "      | " in broken.output, "the end of its output is not shown"


def test_check_says_in_one_line_what_the_environment_lacks(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    nowhere = {"XDG_CACHE_HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0",
               "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}  # fmt: skip
    command = (sys.executable, "-m", "scripts.oss_fuzz", "--quick", "--target", TARGET)
    ran = running.run(command, environment | nowhere, ROOT, patience=100)
    assert ran.status == LACKING, ran.output
    [line] = ran.output.splitlines()
    assert line.startswith("oss-fuzz-check: ")


def test_check_refuses_a_harness_that_there_is_not() -> None:
    command = [sys.executable, "-m", "scripts.oss_fuzz", "--target", "modle"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no harness is called modle; there are model_split, " in done.stderr


# --- one bug for each rule --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parser() -> Path:
    """The python3 that has ClusterFuzz's reader of stacks."""
    try:
        return environment.stacks()
    except environment.Missing as error:
        pytest.skip(f"can't be checked here: {error}")


def crash(*functions: str, message: str = "Broken: out of order") -> Ran:
    """What a harness leaves that crashed in *functions*, outermost first."""
    frames = "".join(f'  File "fuzz/harness/x.py", line 3, in {name}\n' for name in functions)
    text = f" === Uncaught Python exception: ===\n{message}\nTraceback (most recent call last):\n{frames}{message}\n\n"
    return Ran(77, f"{text}==7== ERROR: libFuzzer: fuzz target exited\nSUMMARY: libFuzzer: fuzz target exited\n", 0.0)


def crashing(name: Callable[[str], str], message: str = "Broken: out of order") -> Callable[[Path], Ran]:
    """A start of the harness, in which a violation of RULE is raised from the function *name* (RULE)."""

    def start(path: Path) -> Ran:
        rule = states.PLANTED[path.read_bytes()[0]].rule
        return crash("TestOneInput", "report", name(rule), message=message)

    return start


@pytest.mark.timeout(300)
def test_three_rules_are_three_bugs(parser: Path, tmp_path: Path) -> None:
    filed, wrong, _ = states.states(parser, ROOT, tmp_path, crashing(lambda rule: rule.replace("-", "_")))
    assert wrong == []
    assert len(set(filed)) == len(states.PLANTED) == 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("start", "said"),
    [
        (crashing(lambda rule: "check"), "a violation of INO-ORDER is filed under check / report / TestOneInput"),
        (crashing(lambda rule: "INO_ORDER_INO_P_BATCH_ID"), "a violation of INO-P-BATCH-ID is filed as one that went"),
        (crashing(lambda rule: rule, message="a == ERROR: b"), "a violation of INO-ORDER has no crash state"),
        (lambda path: Ran(0, "", 0.0), "a violation of INO-ORDER ends with 0, not 77"),
    ],
    ids=["one function for all", "one function for two", "the message looks like a report", "nothing is found"],
)  # fmt: skip
def test_bugs_that_can_not_be_told_apart_are_a_fault(
    parser: Path, tmp_path: Path, start: Callable[[Path], Ran], said: str
) -> None:
    _, [wrong], _ = states.states(parser, ROOT, tmp_path, start)
    assert wrong.startswith(said)


# --- the files --------------------------------------------------------------------------------------------------------


def test_every_harness_is_built_but_that_of_another_process() -> None:
    assert sorted([*beside.names(), "remote"]) == sorted(NAMES)


@pytest.mark.parametrize("name", beside.names())
def test_what_stands_beside_a_target_is_right(tmp_path: Path, name: str) -> None:
    beside.write(name, tmp_path)
    options, wrong = contract.options(tmp_path, name)
    assert wrong == []
    count, wrong = contract.seeds(tmp_path, name, int(options["max_len"]))
    assert (count >= 4, wrong) == (True, [])
    count, wrong = contract.dictionary(tmp_path, name)
    assert (count >= 10, wrong) == (True, [])


def test_the_same_corpus_makes_the_same_archive(tmp_path: Path) -> None:
    archives = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        beside.write("report_inputs", folder)
        archives.append((folder / "report_inputs_seed_corpus.zip").read_bytes())
    assert archives[0] == archives[1]


def test_seeds_of_programs_are_for_the_harness_that_gets_them(tmp_path: Path) -> None:
    for name, layout, is_device in (("model_packed", "packed", False), ("driver_split", "split", True)):
        beside.write(name, tmp_path)
        with zipfile.ZipFile(tmp_path / f"{name}_seed_corpus.zip") as archive:
            for seed in archive.namelist():
                text = archive.read(seed).decode()
                assert (f"\nqueue {layout} " in text, "\nrole device\n" in text) == (True, is_device), seed


def test_no_seed_of_a_conversation_is_a_find() -> None:
    found = {name: texts.vhost_user_messages(data) for name, data in seeding.conversations()}
    assert len(found) > 50
    assert [name for name, one in found.items() if one is not None] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("indirect", 'x.dict:1: libFuzzer can\'t read this; write name="word"'),
        ('""', 'x.dict:1: libFuzzer can\'t read this; write name="word"'),
        ('word="\\xZZ"', 'x.dict:1: libFuzzer can\'t read this; write name="word"'),
        (f'"{"x" * 65}"', "x.dict:1: longer than 64 bytes, and would be left out"),
        ("# nothing", "x.dict has no words"),
    ],
)
def test_bad_dictionary_is_told(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "x.dict").write_text(f"{line}\n")
    assert contract.dictionary(tmp_path, "x")[1] == [said]


def test_bad_seeds_are_told(tmp_path: Path) -> None:
    assert "can't be read" in contract.seeds(tmp_path, "x", 4)[1][0]
    path = tmp_path / "x_seed_corpus.zip"
    with zipfile.ZipFile(path, "w"):
        pass
    assert contract.seeds(tmp_path, "x", 4) == (0, ["x_seed_corpus.zip has no inputs"])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"")
        archive.writestr("b", b"12345")
    count, wrong = contract.seeds(tmp_path, "x", 4)
    assert count == 2
    assert wrong == ["seed a is empty", "seed b has more than 4 bytes (max_len), and would be cut short"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_len = 4\n", "x.options can't be read: File contains no section headers."),
        ("[libfuzzer]\n", "x.options has no max_len"),
        ("[libfuzzer]\nmax_len = 4\n[fuzzer]\n", "x.options: ClusterFuzz reads no section [fuzzer]"),
    ],
)
def test_bad_options_are_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.options").write_text(text)
    assert contract.options(tmp_path, "x")[1] == [said]


def target(folder: Path, name: str = "x") -> Path:
    """A folder with one target as it has to be."""
    (folder / name).write_text("#!/bin/sh\n# LLVMFuzzerTestOneInput\n")
    (folder / name).chmod(0o755)
    (folder / f"{name}.pkg").write_bytes(b"\x7fELF" + bytes(14) + b"\x3e\x00" + bytes(44))
    return folder


def test_target_as_it_has_to_be_is_right(tmp_path: Path) -> None:
    out = target(tmp_path)
    assert (contract.found(out), contract.folder(out), contract.target(out, "x")) == (["x"], [], [])


def test_bad_target_is_told(tmp_path: Path) -> None:
    out = target(tmp_path, "x.y")
    assert "its name has other characters" in contract.target(out, "x.y")[0]
    out = target(tmp_path)
    (out / "x.pkg").chmod(0o755)
    assert contract.target(out, "x") == ["x.pkg is executable, and would be taken for a target"]
    assert "x.pkg is executable and no fuzz target: put helpers into bin/" in contract.folder(out)
    (out / "x.pkg").chmod(0o644)
    (out / "x.pkg").write_bytes(b"\x7fELF" + bytes(14) + b"\xb7\x00" + bytes(44))
    assert contract.target(out, "x") == ["x.pkg is no program for x86-64"]
    (out / "x.pkg").unlink()
    assert contract.target(out, "x") == ["there is no x.pkg beside it"]
    (out / "x").write_text("#!/usr/bin/perl\n# LLVMFuzzerTestOneInput\n")
    assert "x is neither a shell script nor ELF" in contract.target(out, "x")
    (out / "x").chmod(0o644)
    (out / "x.y").chmod(0o644)
    assert contract.folder(out) == ["no fuzz targets found"]


def test_bad_freeze_is_told() -> None:
    whole = [f"oracles/catalogue/{path.name}" for path in (ROOT / "oracles" / "catalogue").glob("*.toml")]
    whole.append("corpus/in_order/batch-of-two.vq")
    assert contract.frozen(whole, ROOT) == []
    assert contract.frozen([*whole, "scapy.all"], ROOT)[0].startswith("scapy.all is frozen together with atheris")
    assert contract.frozen(whole[1:], ROOT) == [f"{whole[0]}, which is read late, is not frozen"]
    assert contract.frozen(whole[:-1], ROOT) == ["nothing of corpus/ is frozen"]


def test_bad_project_is_told(tmp_path: Path) -> None:
    assert contract.project(["python"], True) == ["project.yaml is no mapping"]
    assert contract.project({"language": "c++"}, False) == ["project.yaml: language is not python"]
    assert "project.yaml has no main_repo" in contract.project({"language": "python"}, True)
    (tmp_path / "Dockerfile").write_text("FROM debian\nCOPY build.sh /\n")
    assert contract.dockerfile(tmp_path / "Dockerfile") == [
        "Dockerfile is not FROM gcr.io/oss-fuzz-base/base-builder-python",
        "Dockerfile does not COPY build.sh to $SRC/",
    ]
    assert contract.licences(tmp_path) == ["Dockerfile has no Apache header"]
    assert contract.harness('"""x"""\nfrom __future__ import annotations\n') != []


# --- the place where targets run --------------------------------------------------------------------------------------


def test_only_tmp_can_be_written_where_targets_run() -> None:
    confined = running.confinement()
    if not confined:
        pytest.skip("namespaces can't be made here")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        writes = f"touch {folder}/here && test ! -e /dev/null && touch /var/tmp/there"
        ran = running.run((*confined, "sh", "-c", writes), {"PATH": os.defpath})
        assert (Path(folder) / "here").exists(), ran.output
    assert "Read-only file system" in ran.output


def test_command_that_does_not_end_is_ended_with_all_that_it_started() -> None:
    ran = running.run(("sh", "-c", "sleep 97 & sleep 98"), {"PATH": os.defpath}, patience=0.3)
    assert (ran.status, ran.seconds < 20) == (-9, True)  # the pipe is open while any of them lives
    assert ran.tail(1) == "no end after 0 s"


def test_tail_of_an_output_begins_at_an_exception() -> None:
    assert crash("a", "b").tail(2) == " === Uncaught Python exception: ===\nBroken: out of order"


def test_nothing_outlives_a_check_that_is_killed() -> None:
    if not running.leash():
        pytest.skip("namespaces can't be made here")
    code = (
        "import os; from scripts.oss_fuzz import running; "
        "running.run((*running.leash(), 'sh', '-c', 'sleep 4321 & sleep 4322'), os.environ)"
    )
    killed = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    wait_until(lambda: len(sleeping()) == 2)
    killed.kill()
    killed.wait()
    wait_until(lambda: not sleeping())


def sleeping() -> list[str]:
    """The two processes of the test above that are there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:  # it has just ended
            continue
    return [words for words in found if words in ("sleep\0004321\0", "sleep\0004322\0")]


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until it *holds*; a busy machine may take its time."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.02)
