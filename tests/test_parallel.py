"""Several workers for one run: their seeds, what becomes of finds, deaths and signals, and one report of all."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fuzz import encoding, finds
from fuzz.merged import Merged
from fuzz.parallel import Parallel, sub_seed
from fuzz.program import Notify, Program, Supply
from fuzz.status import Status
from fuzz.tally import Tally
from fuzz.targets.model import Model
from fuzz.trouble import INTERRUPTED
from fuzz.verdict import Outcome
from fuzz.wanted import Wanted
from fuzz.worker import Worker

ROOT = Path(__file__).resolve().parent.parent
TINY = Program(steps=(Supply((), (1,)), Notify()))


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def until(what, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


@pytest.fixture
def start(tmp_path):
    """Start ``vqfuzz fuzz …`` with a folder for temporary files of its own; ended after the test."""
    begun = []
    (tmp_path / "tmp").mkdir()

    def run(*words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
        process = subprocess.Popen(
            [sys.executable, "-m", "fuzz", "fuzz", *map(str, words)], cwd=tmp_path, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        begun.append(process)
        return process

    yield run
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


# --- what it comes to -------------------------------------------------------------------------------------------------


def test_seeds_of_workers_follow_from_the_seed():
    seeds = [sub_seed(seed, number, life) for seed in (1, 2) for number in (1, 2) for life in (0, 1)]
    assert len(set(seeds)) == 8
    assert sub_seed(1, 1, 0) == 3475905050


def test_runs_are_divided_and_the_last_line_repeats_the_run(cli):
    first = cli("fuzz", "model", "--seed", "4", "--runs", "31", "--jobs", "3")
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert "seed 4 · 3 jobs · model" in lines[0]
    assert lines[1] == "seeds of the workers: " + " ".join(str(sub_seed(4, number, 0)) for number in (1, 2, 3))
    assert lines[-2].startswith("31 programs in ")
    assert lines[-1] == "again: vqfuzz fuzz model --seed 4 --runs 31 --jobs 3"


def test_one_job_is_todays_run(cli):
    plain, one = (cli("fuzz", "model", "--seed", "1", "--runs", "5", *more) for more in ((), ("--jobs", "1")))
    strip = re.compile(r"in .* s · .*", re.MULTILINE)
    assert strip.sub("", plain.stdout) == strip.sub("", one.stdout)


def test_more_jobs_than_runs_are_as_many_as_runs(cli):
    done = cli("fuzz", "model", "--seed", "1", "--runs", "2", "--jobs", "5")
    assert "2 jobs" in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[-2].startswith("2 programs in ")


def test_the_first_find_ends_the_run_and_names_a_seed_that_meets_it_again(cli, tmp_path):
    done = cli("fuzz", "model:a05", "--seed", "1", "--jobs", "2", "--time", "60s")
    assert done.returncode == 1
    folders = list((tmp_path / "vqfuzz-out").iterdir())
    assert 1 <= len(folders) <= 2
    meta = json.loads((folders[0] / "find.json").read_text())
    assert meta["seed"] in {sub_seed(1, number, 0) for number in (1, 2)}
    assert "--jobs" not in meta["options"]
    again = cli("fuzz", "model:a05", *meta["options"].split(), "--out", "again")
    assert again.returncode == 1
    assert (tmp_path / "again" / folders[0].name / "program.vq").read_text() == (folders[0] / "program.vq").read_text()


def test_duplicates_are_folded_and_counted(cli, tmp_path):
    done = cli("fuzz", "model:canary", "--seed", "1", "--runs", "40", "--jobs", "2", "--continue", "--layout", "split")
    assert done.returncode == 1
    minimal = [path.read_text() for path in (tmp_path / "vqfuzz-out").glob("*/minimal.vq")]
    rules = [json.loads(path.read_text())["rule"] for path in (tmp_path / "vqfuzz-out").glob("*/find.json")]
    assert len(set(zip(rules, minimal, strict=True))) == len(minimal)
    assert re.search(r"also seen \d+ more times", done.stdout)
    assert f"{len(minimal)} find" in done.stdout.splitlines()[-2]
    assert done.stdout.count("vqfuzz explain") == len(minimal), "each is told once"


def merged(tmp_path, **wanted) -> tuple[Merged, list[str]]:
    said: list[str] = []
    return Merged("model", "device", Wanted(1, out=tmp_path, jobs=2, **wanted), said.append, Status(quiet=True)), said


def test_the_first_saved_is_kept(tmp_path):
    one, said = merged(tmp_path)
    other = Program(steps=(Supply((), (2,)), Notify()))
    first, second = (finds.save(tmp_path, "INO-ORDER", program, Outcome(), {}) for program in (TINY, other))
    text = encoding.dump(TINY)
    one.find("INO-ORDER", text, first.folder, "the first", False)
    one.find("INO-ORDER", text, second.folder, "the second", False)
    one.find("INO-ORDER", text, first.folder, "the first again", False)
    assert said == ["the first"]
    assert [path.name for path in tmp_path.iterdir()] == [first.id]
    tally = Tally(found=3)
    tally.by_rule["INO-ORDER"] = 5
    assert one.finish(tally, "vqfuzz …", False) == 1
    assert finds.load(first.folder).meta["also_seen"] == 4
    assert said[-1] == "again: vqfuzz …"
    assert "1 find in" in said[-2]


def test_a_find_that_nobody_ran_again_is_told_and_leaves_it_open(tmp_path):
    one, said = merged(tmp_path)
    one.left("INO-ORDER", tmp_path / "nowhere")
    assert not said
    find = finds.save(tmp_path, "INO-ORDER", TINY, Outcome(), {})
    one.left("INO-ORDER", find.folder)
    assert "was not run again: vqfuzz replay" in said[0]
    assert one.finish(Tally(), "vqfuzz …", False) == 4
    assert "1 find not run again" in said[-2]


def test_tallies_go_over_the_pipe_and_add_up():
    from fuzz.deviations import every

    one = Tally("driver", drawn=3, programs=2, found=1)
    one.shape("split", 1 << 32)
    one.warnings["INO-S-MASK"] = 2
    one.known[every()[0]] = 4
    two = Tally.load(json.loads(json.dumps(one.dump())))
    assert two == one
    two.add(one)
    assert (two.role, two.drawn, two.programs, two.warnings["INO-S-MASK"], two.known[every()[0]]) == (
        "driver", 6, 4, 4, 8)  # fmt: skip
    assert two.rules == one.rules


def test_trouble_of_one_worker_is_that_of_the_run_only_if_none_began(tmp_path):
    told = {"kind": "trouble", "text": "it ended", "code": 3}
    for opened in (True, False):
        one = Parallel(Model, Model(), Wanted(1, jobs=2, out=tmp_path), print, Status(quiet=True))
        one.opened = opened
        one._take(one.workers[0], told)
        assert one.merged.trouble == (None if opened else ("it ended", 3))


# --- deaths and signals -----------------------------------------------------------------------------------------------


def test_a_worker_that_dies_is_started_again_with_its_next_seed(start):
    run = start("model", "--seed", "1", "--jobs", "2", "--time", "8s")
    victim = until(lambda: children(run.pid))[0]
    time.sleep(1)
    os.kill(victim, signal.SIGKILL)
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    [line] = re.findall(r"worker \d \(seed \d+\) ended: .*", out)
    assert "killed by SIGKILL, after" in line
    assert int(line.rpartition(" ")[2]) in {sub_seed(1, number, 1) for number in (1, 2)}
    assert "1 worker died" in out


def test_a_worker_that_never_lives_is_given_up(cli, tmp_path):
    """Its target ends it: whoever can't run a program ten times in a row, never can."""
    code = (
        "import os, sys, fuzz.worker as w\nw.serve = lambda *a: os._exit(7)\n"
        "from fuzz.__main__ import main\nsys.argv[0] = 'vqfuzz'\nsys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "fuzz", "model", "--seed", "1", "--jobs", "2", "--time", "60s"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stdout.count("exit status 7, after 0 programs, 10 times in a row: not started again") == 2
    assert done.stderr.strip() == "vqfuzz: workers end before they run a program: exit status 7"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_with_everything_saved(start, tmp_path, number):
    run = start("model:a05", "--seed", "1", "--jobs", "2", "--time", "100s", "--continue")
    until(lambda: list((tmp_path / "vqfuzz-out").glob("*/report.txt")))
    pids = children(run.pid)
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert out.splitlines()[-1].startswith("again: vqfuzz fuzz model:a05 --seed 1 --runs ")
    assert "interrupted" in out.splitlines()[-2]
    for folder in (tmp_path / "vqfuzz-out").iterdir():
        assert finds.load(folder).meta["rule"]
        assert (folder / "report.txt").exists() or f"saved as vqfuzz-out/{folder.name}," in out


def test_a_signal_while_a_find_is_saved_does_not_keep_it_from_being_known(tmp_path, monkeypatch):
    told: list[tuple[str, dict[str, Any]]] = []
    save = finds.save

    def slowly(*words: Any, **facts: Any) -> Any:
        find = save(*words, **facts)
        signal.raise_signal(signal.SIGINT)  # it waits until all is written
        return find

    monkeypatch.setattr(finds, "save", slowly)
    wanted = Wanted(1, runs=50, out=tmp_path / "out")
    one = Worker(Model("a05"), wanted, lambda kind, **facts: told.append((kind, facts)))
    assert one.run() == INTERRUPTED
    saved = [facts["folder"] for kind, facts in told if kind == "saved"]
    assert saved == [str(folder) for folder in (tmp_path / "out").iterdir()]


def test_workers_and_their_targets_die_with_a_killed_parent(start, tmp_path):
    run = start("model-vhost-user", "--seed", "1", "--jobs", "2", "--time", "100s")
    pids = until(lambda: (found := children(run.pid)) and len(found) == 2 and found)
    time.sleep(1)
    run.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_a_killed_workers_target_had_started_ends_too(start, tmp_path):
    mark = f"9{os.getpid()}7"  # seconds of a sleep that nobody else sleeps
    script = f"sleep {mark} & exec {sys.executable} {ROOT / 'tests/fake_backend.py'} $0 good"

    def sleepers():
        words = [path.read_bytes().split(b"\0") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        return [word for word in words if word[:2] == [b"sleep", mark.encode()]]

    run = start(f"exec:sh -c '{script}' {{socket}}", "--seed", "1", "--jobs", "2", "--time", "100s", "--continue")
    workers = until(lambda: len(sleepers()) == 2 and children(run.pid))
    targets = {pid for worker in workers for pid in children(worker)}
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: len(sleepers()) == 2 and not targets <= {pid for one in children(run.pid) for pid in children(one)})
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=60)
    assert sleepers() == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_target_that_can_not_be_used_is_one_line(cli, tmp_path):
    done = cli("fuzz", "exec:/nonexistent/backend {socket}", "--jobs", "3", "--runs", "30")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == "vqfuzz: /nonexistent/backend is not installed, or not on the PATH\n"
    unknown = cli("fuzz", "modle", "--jobs", "2")
    assert unknown.returncode == 2
    assert "the nearest is 'model'" in unknown.stderr
    running = cli("fuzz", "vhost-user:/run/x.sock", "--jobs", "2")
    assert running.returncode == 2
    assert running.stderr.count("\n") == 1
    none = cli("fuzz", "model", "--jobs", "0")
    assert none.returncode == 2
