"""Engines: the same programs to the same reports, whoever chooses them; and what they do when they end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest

from fuzz import encoding, engines, finds
from fuzz.confirm import Runner
from fuzz.engines import NAMES, Engine, Source
from fuzz.generate import nth, plain
from fuzz.program import Limits, Program
from fuzz.states import states
from fuzz.targets import Target
from fuzz.targets.model import Model
from fuzz.targets.model_driver import ModelDriver
from fuzz.trouble import EnvironmentTrouble, UsageTrouble
from oracles.trace import Entry, Reclaimed, Started, Stored, Supplied

ROOT = Path(__file__).resolve().parent.parent
HERE = ("directed", "random", "state", "hypothesis")


def vqfuzz(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fuzz", *words], capture_output=True, text=True, cwd=ROOT, check=False,
                          timeout=110)  # fmt: skip


def source(target: Model | ModelDriver, seed: int = 1, runs: int | None = None) -> Source:
    return Source(target.name, "", seed, "legal", target.limits, runs)


def first(engine: Engine, count: int, target: Model | ModelDriver) -> list[Program]:
    """The first programs of an engine that is told what came of them."""
    runner = Runner(cast("Target", target))
    made = []
    try:
        for _ in range(count):
            program = engine.next()
            assert program is not None
            engine.ran(program, runner.run(program))
            made.append(program)
    finally:
        engine.close()
    return made


@pytest.mark.parametrize("kind", [Model, ModelDriver])
@pytest.mark.parametrize("name", HERE)
def test_a_seed_makes_the_same_programs(name, kind):
    made = [first(engines.make(name, source(kind(), seed)), 25, kind()) for seed in (1, 1, 2)]
    assert made[0] == made[1]
    assert made[0] != made[2]
    assert all(encoding.load(encoding.dump(program)) == program for program in made[0])


def test_directed_and_random_are_the_generators():
    limits = Model.limits
    assert first(engines.make("directed", source(Model())), 5, Model()) == [nth(1, index, limits) for index in range(5)]
    assert first(engines.make("random", source(Model())), 5, Model()) == [plain(1, index, limits) for index in range(5)]


def test_programs_of_the_state_engine_come_of_others():
    engine = engines.make("state", source(ModelDriver()))
    made = first(engine, 60, ModelDriver())
    fresh = {encoding.dump(nth(1, index, ModelDriver.limits)) for index in range(60)}
    assert 5 < sum(encoding.dump(program) in fresh for program in made) < 40


def test_an_engine_of_a_thread_ends_when_it_is_closed():
    import threading

    engine = engines.make("hypothesis", source(Model()))
    engine.next()
    assert any(thread.name == "hypothesis" for thread in threading.enumerate())
    engine.close()
    assert not any(thread.name == "hypothesis" for thread in threading.enumerate())


@pytest.mark.parametrize("name", NAMES)
def test_each_finds_an_easy_fault_and_tells_it_alike(name, tmp_path):
    if name == "atheris":
        pytest.importorskip("atheris")
    done = vqfuzz("fuzz", "model-driver:a34", "--seed", "1", "--runs", "300", "--engine", name, "--out", str(tmp_path))
    assert done.returncode == 1, done.stderr
    find = finds.load(next(tmp_path.iterdir()))
    assert find.meta["rule"].partition("-")[0] in ("INO", "VQ")
    assert find.meta["runs"] == {"again": 20, "of": 20}
    assert find.meta["shrunk"]["complete"]
    report = (find.folder / "report.txt").read_text()
    assert report in done.stdout
    assert "Minimal program" in report
    again = done.stdout.splitlines()[-1]
    assert again.startswith("again: vqfuzz fuzz model-driver:a34 --seed 1 --runs ")
    assert (f"--engine {name}" in again) == (name != engines.DEFAULT)
    assert f"seed 1, program {int(again.split('--runs ')[1].split()[0]) - 1}" in report


@pytest.mark.parametrize("name", ["random", "state", "hypothesis"])
def test_a_clean_target_is_accused_of_nothing(name, tmp_path):
    done = vqfuzz("fuzz", "model", "--seed", "3", "--runs", "60", "--engine", name, "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert "60 programs" in done.stdout


def test_atheris_stops_after_so_many_programs_and_after_so_long(tmp_path):
    pytest.importorskip("atheris")
    words = ("fuzz", "model-driver", "--seed", "1", "--engine", "atheris", "--out", str(tmp_path))
    done = vqfuzz(*words, "--runs", "40")
    assert (done.returncode, "40 programs" in done.stdout) == (0, True), done.stdout
    assert re.search(r"of \d+ rules exercised", done.stdout)
    done = vqfuzz(*words, "--time", "3s")
    assert done.returncode == 0, done.stdout
    assert "no violation" in done.stdout


def test_atheris_goes_on_after_a_find(tmp_path):
    pytest.importorskip("atheris")
    done = vqfuzz("fuzz", "model-driver:a34", "--seed", "1", "--engine", "atheris", "--runs", "60", "--continue",
                  "--out", str(tmp_path))  # fmt: skip
    assert done.returncode == 1
    assert "60 programs" in done.stdout
    assert len(list(tmp_path.iterdir())) >= 1


def children(pid: int) -> list[int]:
    """Processes that *pid* started."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return [int(word) for word in listed.split()]


def gone(pid: int) -> bool:
    """Whether a process has ended, within ten seconds."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_atheris_ends_with_the_campaign(ending, tmp_path):
    pytest.importorskip("atheris")
    command = [sys.executable, "-m", "fuzz", "fuzz", "model-driver", "--seed", "1", "--engine", "atheris", "--time",
               "80s", "--out", str(tmp_path)]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for _ in range(400):
            if started := children(process.pid):
                break
            time.sleep(0.1)
        time.sleep(0.5)
        os.kill(process.pid, ending)
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert started
    assert all(gone(pid) for pid in started)
    if ending == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted" in said


def test_what_is_missing_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("atheris", "hypothesis"):
        with pytest.raises(EnvironmentTrouble) as caught:
            engines.check(name)
        assert "pip install 'vqfuzz[" in str(caught.value)
        assert "\n" not in str(caught.value)
    engines.check("directed")
    with pytest.raises(UsageTrouble):
        engines.check("afl")


def test_the_command_knows_the_engines():
    assert f"[{'|'.join(NAMES)}]" in vqfuzz("fuzz", "--help").stdout
    done = vqfuzz("fuzz", "model", "--engine", "afl")
    assert done.returncode == 2


def test_the_table_of_engines_is_measured_and_written(tmp_path):
    pytest.importorskip("atheris")
    out = tmp_path / "engines.md"
    command = [sys.executable, str(ROOT / "scripts/engines.py"), "--cap", "12", "--seeds", "1", "--out", str(out)]
    done = subprocess.run([*command, "--faults", "model:a05", "model:deaf-to-flags"], capture_output=True, text=True,
                          check=False, timeout=110)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in out.read_text().splitlines() if line.startswith("| `model")]
    assert [len(row) for row in rows] == [9, 9]
    assert all(1 <= int(cell) <= 12 or cell.startswith(">12") for cell in rows[0][2:] if cell.isdigit())
    assert rows[1][2:] == [">12 (0/1)"] * 7  # that one is a warning, and no engine calls it a find
    assert "scripts/engines.py --cap 12 --seeds 1" in out.read_text()


# --- states -----------------------------------------------------------------------------------------------------------


def test_states_are_numbers_of_the_trace_alone():
    runner = Runner(Model())
    outcome = runner.run(nth(1, 3, Model.limits))
    assert states(outcome.trace) == states(list(outcome.trace))
    assert len(states(outcome.trace)) > 20
    assert states([]) == frozenset()


def started(size: int = 4, used: int = 0) -> tuple[int, Started]:
    return 0, Started("split", size, 1 << 32, 0x1000, 0x2000, 0x3000, (0x1000, 0x10000), used, used)


def supplied(number: int, slots: int = 1, table: bool = False) -> tuple[int, Supplied]:
    return 0, Supplied(number, 0, slots, 1, 0, table=(0x5000, 16) if table else (0, 0))


def idx(value: int) -> tuple[int, Stored]:
    return 0, Stored(0x3002, value.to_bytes(2, "little"))


BASE: list[Entry] = [started(), supplied(0), idx(1), (0, Reclaimed(1))]


@pytest.mark.parametrize(
    "other",
    [
        [started(), supplied(0), supplied(1), idx(1), (0, Reclaimed(1))],  # fuller
        [started(), supplied(0), supplied(1), idx(2), (0, Reclaimed(2))],  # a batch
        [started(4, 3), supplied(0), idx(4), (0, Reclaimed(1))],  # to the end of the ring
        [started(4, 0xFFFF), supplied(0), idx(0), (0, Reclaimed(1))],  # the counter wraps
        [started(), supplied(0, table=True), idx(1), (0, Reclaimed(1))],  # a table
        [started(), supplied(0), supplied(1), idx(2), (0, Reclaimed(1)), supplied(2)],  # one finished, not taken back
    ],
)
def test_what_tells_states_apart(other):
    assert states(other) - states(BASE)


def test_runs_of_either_side_reach_a_bounded_number_of_states():
    for kind in (Model, ModelDriver):
        runner = Runner(cast("Target", kind()))
        met: set[int] = set()
        grown = []
        for index in range(160):
            met |= states(runner.run(nth(2, index, kind.limits)).trace)
            grown.append(len(met))
        assert 500 < grown[-1] < 4000
        assert grown[159] - grown[80] < grown[80] // 2


def test_limits_of_hostile_programs_reach_the_engines():
    made = engines.make("state", Source("model", "", 1, "hostile", Limits()))
    assert made.next() is not None
