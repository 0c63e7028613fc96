"""``vqfuzz corpus``, and ``vqfuzz fuzz --corpus``: nothing is lost, nothing is silent, nothing is overwritten."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fuzz import corpus, encoding
from fuzz.cli_corpus import corpus as group
from fuzz.gains import Measure, Measured, fewest
from fuzz.generate import nth
from fuzz.program import Limits, Notify, Program, Receive, Supply
from fuzz.targets.model import Model
from fuzz.trouble import EnvironmentTrouble, UsageTrouble

ROOT = Path(__file__).resolve().parent.parent
TINY = Program(steps=(Supply((), (1,)), Notify()))
MORE = Program(steps=(Supply((), (1,)), Notify(), Receive(1)))


def fill(folder: Path, *programs: Program) -> Path:
    folder.mkdir(exist_ok=True)
    for number, program in enumerate(programs):
        (folder / f"p{number}.vq").write_text(encoding.dump(program))
    return folder


def texts(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.glob("*.vq")}


def drawn(count: int, seed: int = 1) -> list[Program]:
    return [nth(seed, index, Model().limits) for index in range(count)]


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_program_is_called_by_its_text(tmp_path):
    path = corpus.keep(tmp_path / "new", TINY)
    assert path is not None
    assert path.read_text() == encoding.dump(TINY)
    assert path.name == corpus.name_of(encoding.dump(TINY))
    assert len(path.stem) == 16
    assert corpus.keep(tmp_path / "new", TINY) is None
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_what_holds_something_else_is_never_overwritten(tmp_path):
    name = corpus.name_of(encoding.dump(TINY))
    (tmp_path / name).write_text("something else")
    path = corpus.keep(tmp_path, TINY)
    assert path is not None
    assert len(path.stem) == 64
    assert (tmp_path / name).read_text() == "something else"
    path.write_text("as well")
    with pytest.raises(EnvironmentTrouble, match="holds something else than its name says"):
        corpus.keep(tmp_path, TINY)


def test_a_killed_writer_leaves_no_half_program(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom fuzz import corpus\nfrom fuzz.program import Program\n"
        "os.fsync = lambda number: os.kill(os.getpid(), 9)\ncorpus.keep(Path(sys.argv[1]), Program())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False)
    assert done.returncode == -9
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".")
    with pytest.raises(UsageTrouble, match="holds no program"):
        corpus.paths([tmp_path])
    corpus.tidy(tmp_path)
    assert left.exists(), "somebody may be writing it"
    os.utime(left, (1, 1))
    corpus.tidy(tmp_path)
    assert not left.exists()


def test_writers_at_once_agree(tmp_path):
    """As machines do that share a folder: all write the same programs."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom fuzz import corpus\nfrom fuzz.generate import nth\n"
        "from fuzz.program import Limits\n"
        "for index in range(30):\n    corpus.keep(Path(sys.argv[1]), nth(1, index, Limits()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        {corpus.name_of(encoding.dump(nth(1, index, Limits()))) for index in range(30)}
    )


def test_inputs_of_fuzzers_are_programs_of_bytes(tmp_path):
    data = bytes(range(64))
    for name in ("0123456789abcdef0123456789abcdef01234567", "crash-0123456789abcdef0123456789abcdef01234567"):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "README").write_text("no program")
    (tmp_path / "notes.txt").write_text("no program")
    found = corpus.paths([tmp_path])
    assert len(found) == 2
    assert corpus.read(found[0], Limits()) == encoding.from_bytes(data, Limits())
    (tmp_path / ("f" * 40)).write_text(encoding.dump(TINY))
    assert corpus.read(tmp_path / ("f" * 40), Limits()) == TINY


# --- the fewest -------------------------------------------------------------------------------------------------------


def test_the_fewest_have_all_features_and_none_is_superfluous():
    measure = Measure()
    found = [Measured(str(index), program, measure.features(program)) for index, program in enumerate(drawn(60))]
    every = frozenset().union(*(one.features for one in found))
    kept = fewest(found)
    assert frozenset().union(*(one.features for one in kept)) == every
    assert len(kept) < len(found)
    for one in kept:
        assert frozenset().union(*(other.features for other in kept if other is not one)) != every
    assert fewest(found[::-1]) == kept
    assert fewest(kept) == kept


def test_of_programs_with_the_same_features_the_shortest_is_kept():
    wide = frozenset({"a", "b"})
    assert [one.name for one in fewest([Measured("long", MORE, wide), Measured("short", TINY, wide)])] == ["short"]
    assert fewest([Measured("none", TINY, frozenset())]) == []


def test_edges_of_a_target_that_counts_are_features():
    class Counter:
        def __init__(self):
            self.reached = 0

        def clear(self):
            self.reached = 0

        def hits(self):
            return [(7, 3)] if self.reached else []

    class Counted(Model):
        counter = Counter()

        def counters(self):
            return self.counter

        def open(self):
            self.counter.reached = 1
            return super().open()

    found = Measure(Counted()).features(TINY)
    assert "edge 7=2" in found
    assert found > Measure().features(TINY)
    with pytest.raises(UsageTrouble, match="model counts none of its own code"):
        Measure(Model())


# --- the commands -----------------------------------------------------------------------------------------------------


def test_merging_adds_what_is_new_and_again_nothing(cli, tmp_path):
    fill(tmp_path / "in", *drawn(20))
    first = cli("corpus", "merge", "out", "in")
    assert first.returncode == 0, first.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert 1 < len(names) <= 20
    assert all(path.name == corpus.name_of(path.read_text()) for path in (tmp_path / "out").iterdir())
    second = cli("corpus", "merge", "out", "in")
    assert second.returncode == 0
    assert second.stdout.startswith("out: 0 programs added of 20;")
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    fill(tmp_path / "other", *drawn(20, seed=2))
    assert cli("corpus", "merge", "out", "other").returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} > names


def test_making_smaller_elsewhere_and_in_place_is_the_same(cli, tmp_path):
    fill(tmp_path / "in", *drawn(30))
    (tmp_path / "in/bad.vq").write_text("virtqueue-program 1\nsuply in:1\n")
    elsewhere = cli("corpus", "min", "in", "out")
    assert elsewhere.returncode == 2
    assert len(list((tmp_path / "in").iterdir())) == 31
    inside = cli("corpus", "min", "in", "--in-place")
    assert inside.returncode == 2
    assert "bad.vq:2: " in inside.stderr
    assert "1 file of 31 left out" in inside.stderr
    assert (tmp_path / "in/bad.vq").exists(), "nobody knows what it was"
    assert texts(tmp_path / "in") - texts(tmp_path / "out") == {(tmp_path / "in/bad.vq").read_text()}
    assert 1 < len(texts(tmp_path / "out")) < 30
    assert not [path for path in (tmp_path / "in").iterdir() if path.name.startswith("p")], "names are hashes now"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["min", "in"], "name the folder for what is kept, or say --in-place"),
        (["min", "in", "out", "--in-place"], "name the folder for what is kept, or say --in-place"),
        (["min", "in", "in"], "in is not empty"),
        (["min", "in/p0.vq", "--in-place"], "is no folder"),
        (["merge", "in/p0.vq", "in"], "is a file"),
        (["merge", "out", "empty"], "empty holds no program"),
        (["merge", "out", "bad"], "no program in bad can be read (1 file left out)"),
        (["merge", "out", "nowhere"], "nowhere is not there"),
        (["min", "empty", "out"], "empty holds no program"),
        (["stats", "empty"], "empty holds no program"),
        (["decode", "empty"], "empty holds no program"),
        (["merge", "out", "in", "--target", "model"], "model counts none of its own code"),
        (["decode", "in", "--target", "modle"], "the nearest is 'model'"),
        (["mrge", "out", "in"], "the nearest is 'merge'"),
    ],
)
def test_what_is_wrong_is_one_line_and_changes_nothing(tmp_path, monkeypatch, words, said):
    fill(tmp_path / "in", TINY)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/one.vq").write_text("no program")
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageTrouble, click.UsageError), match=re.escape(said)) as caught:
        group.main(words, standalone_mode=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert texts(tmp_path / "in") == {encoding.dump(TINY)}


def test_on_the_command_line_it_is_the_last_line_and_exit_code_2(cli, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/one.vq").write_text("no program")
    done = cli("corpus", "merge", "out", "bad")
    assert done.returncode == 2
    first, last = done.stderr.splitlines()
    assert first.startswith("vqfuzz: left out: bad/one.vq:1: ")
    assert last == "vqfuzz: no program in bad can be read (1 file left out)"
    missing = cli("corpus", "merge", "out")
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1


def test_finds_are_not_made_smaller_in_place(cli, tmp_path):
    assert cli("fuzz", "model:a05", "--seed", "1", "--out", "out").returncode == 1
    done = cli("corpus", "min", "out", "--in-place")
    assert done.returncode == 2
    assert "there are finds in out" in done.stderr
    assert cli("corpus", "merge", "corpus", "out").returncode == 0
    assert len(texts(tmp_path / "corpus")) == 1, "of a find the smallest program alone"


def test_decoding_prints_text_that_can_be_read(cli, tmp_path):
    (tmp_path / "in").mkdir()
    name = "0123456789abcdef0123456789abcdef01234567"
    (tmp_path / "in" / name).write_bytes(bytes(range(64)))
    done = cli("corpus", "decode", f"in/{name}")
    assert done.returncode == 0
    assert encoding.load(done.stdout) == encoding.from_bytes(bytes(range(64)), Model().limits)
    fill(tmp_path / "in", TINY)
    both = cli("corpus", "decode", "in")
    assert both.stdout.count("virtqueue-program 1\n# in/") == 2
    kept = cli("corpus", "decode", "in", "--out", "text")
    assert kept.stdout == "text: 2 programs of 2 files; 0 there before\n"
    assert encoding.dump(TINY) in texts(tmp_path / "text")
    driver = cli("corpus", "decode", f"in/{name}", "--target", "model-driver")
    assert "role device" in driver.stdout


def test_statistics_tell_kinds_and_what_is_rare(cli, tmp_path):
    fill(tmp_path / "in", *drawn(12), TINY)
    (tmp_path / "in/same.vq").write_text(encoding.dump(TINY))
    (tmp_path / "in/hostile.vq").write_text(
        "virtqueue-program 1\nqueue packed 4\nfeatures version_1\nsupply in:8 held\npoke head value=9\nnotify\n"
    )
    done = cli("corpus", "stats", "in")
    assert done.returncode == 0, done.stderr
    assert "programs  14 in 15 files" in done.stdout
    assert "modes     hostile 1, legal 13" in done.stdout
    assert "packed " in done.stdout
    assert "rarest features, of " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("       1  ")


# --- fuzzing with one -------------------------------------------------------------------------------------------------


def failing(cli, tmp_path) -> Path:
    """A folder with a program that model:a05 fails at, and others."""
    assert cli("fuzz", "model:a05", "--seed", "1", "--out", "finds").returncode == 1
    [minimal] = (tmp_path / "finds").glob("*/minimal.vq")
    folder = fill(tmp_path / "corpus", TINY, MORE)
    (folder / "x.vq").write_text(minimal.read_text())
    return folder


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_programs_of_the_corpus_run_first(cli, tmp_path, jobs):
    folder = failing(cli, tmp_path)
    (folder / "bad.vq").write_text("no program")
    (folder / "blk.vq").write_text("virtqueue-program 1\ndevice blk\nqueue split 4\nfeatures version_1\nnotify\n")
    done = cli("fuzz", "model:a05", "--seed", "9", "--runs", "3", "--corpus", "corpus", "--jobs", jobs, "--continue")
    assert done.returncode == 1, done.stderr
    assert "left out: corpus/bad.vq:1: " in done.stdout
    assert "left out of corpus: 1 for other device class" in done.stdout
    assert " · corpus/x.vq" in done.stdout, "the report says which program it was"
    assert "--corpus corpus" in done.stdout.splitlines()[-1]
    metas = [json.loads(path.read_text()) for path in (tmp_path / "vqfuzz-out").glob("*/find.json")]
    [meta] = [meta for meta in metas if "corpus" in meta]
    assert meta["corpus"] == "corpus/x.vq"
    assert "--corpus corpus" in meta["options"]


def test_a_corpus_for_something_else_is_told(cli, tmp_path):
    fill(tmp_path / "in", Program(device="blk"))
    done = cli("fuzz", "model", "--runs", "1", "--corpus", "in")
    assert done.returncode == 2
    assert done.stderr == "vqfuzz: no program in in is for this target: 1 for other device class\n"
    (tmp_path / "empty").mkdir()
    assert cli("fuzz", "model", "--runs", "1", "--corpus", "empty").returncode == 2
    assert cli("fuzz", "model", "--runs", "4", "--jobs", "2", "--corpus", "empty").returncode == 2
