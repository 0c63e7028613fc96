"""Folders that know whether their process lives: what a killed one left is removed, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from fuzz import finds
from fuzz.program import Notify, Program, Supply
from fuzz.targets.folders import RUN, Folder, sweep
from fuzz.targets.process import Process
from fuzz.verdict import Outcome

ROOT = Path(__file__).resolve().parent.parent
TINY = Program(steps=(Supply((), (1,)), Notify()))


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that has run *code* once it prints a line."""
    code += "\nprint('there', flush=True)\nimport time\ntime.sleep(60)"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_folder_is_left_alone_while_its_process_lives(tmp_path):
    made = Folder(tmp_path, "vq-")
    (made.path / "file").write_text("text")
    assert sweep(tmp_path, "vq-") == 0
    assert (made.path / "file").exists()
    made.remove()
    made.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_at_once(tmp_path):
    process = child("import sys\nfrom fuzz.targets.folders import Folder\nmade = Folder(sys.argv[1], 'vq-')", tmp_path)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        [left] = tmp_path.iterdir()
        (left / "below").mkdir()
        (left / "below/file").write_text("text")
        assert sweep(tmp_path, "vq-") == 0
        process.kill()
    assert sweep(tmp_path, "vq-") == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_else_is_swept(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "vq-file").write_text("a file")
    (tmp_path / "real").mkdir()
    (tmp_path / "vq-link").symlink_to(tmp_path / "real")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert sweep(tmp_path, "vq-") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert sweep(tmp_path / "nowhere", "vq-") == 0


def test_a_folder_that_was_never_locked_goes_if_it_is_empty(tmp_path):
    for name in ("vq-new-11111111", "vq-new-22222222"):
        (tmp_path / name).mkdir()
    (tmp_path / "vq-new-22222222/file").write_text("not ours to say")
    assert sweep(tmp_path, "vq-") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["vq-new-22222222"]


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    real = tempfile.mkdtemp
    swept: list[int] = []

    def make(**words):
        made = real(**words)
        if not swept:
            swept.append(sweep(tmp_path, "vq-"))
        return made

    monkeypatch.setattr(tempfile, "mkdtemp", make)
    made = Folder(tmp_path, "vq-")
    assert swept == [1]
    assert list(tmp_path.iterdir()) == [made.path]
    made.remove()
    with pytest.raises(FileNotFoundError):
        Folder(tmp_path / "nowhere", "vq-")


def test_a_target_sweeps_what_a_killed_one_left(tmp_path, monkeypatch):
    code = "import sys, tempfile\ntempfile.tempdir = sys.argv[1]\nfrom fuzz.targets.process import Process\n"
    with child(
        code + "made = Process(['sleep', '60'])\nmade.start()\nprint(made.pid, flush=True)", tmp_path
    ) as process:
        assert process.stdout is not None
        target = int(process.stdout.readline())
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{target}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{target}").exists(), "the target outlives whoever started it"
    [left] = tmp_path.iterdir()
    assert left.name.startswith(RUN)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mine = Process(["true"])
    own = mine.folder
    assert list(tmp_path.iterdir()) == [own] != [left]
    mine.close()
    assert list(tmp_path.iterdir()) == []


# --- finds ------------------------------------------------------------------------------------------------------------


def test_a_run_killed_while_it_saves_leaves_a_whole_find_or_none(tmp_path):
    code = (
        "import sys, os\nfrom pathlib import Path\nfrom fuzz import finds\nfrom fuzz.program import *\n"
        "from fuzz.verdict import Outcome\n"
        "def slow(*a):\n    print('there', flush=True)\n    import time\n    time.sleep(60)\n"
        "finds._write = slow\nfinds.save(Path(sys.argv[1]), 'INO-ORDER', Program(steps=(Reset(),)), Outcome(), {})"
    )
    with child(code, tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        [left] = tmp_path.iterdir()
        assert left.name.startswith(".")
        finds.check(tmp_path)
        assert left.exists(), "it is being written"
        process.kill()
    assert not list(tmp_path.glob("[!.]*"))
    finds.check(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_half_written_files_and_half_removed_folders_go(tmp_path):
    find = finds.save(tmp_path, "INO-ORDER", TINY, Outcome(), {})
    old, new = find.folder / ".minimal.vq.01234567.new", find.folder / ".report.txt.01234567.new"
    for path in (old, new):
        path.write_text("virtqueue-prog")
    os.utime(old, (1, 1))
    (tmp_path / ".ino-order-00000000.old").mkdir()
    finds.check(tmp_path)
    assert not old.exists()
    assert new.exists(), "somebody may be writing it"
    assert [path.name for path in tmp_path.iterdir()] == [find.id]


def test_two_workers_may_save_the_same_find_at_once(tmp_path, monkeypatch):
    real = Folder.keep_as

    def late(self, place):
        if not place.exists():
            place.mkdir()
            (place / "program.vq").write_text("of the other")
        real(self, place)

    monkeypatch.setattr(Folder, "keep_as", late)
    find = finds.save(tmp_path, "INO-ORDER", TINY, Outcome(), {})
    assert finds.load(find.folder).program == TINY
    assert [path.name for path in tmp_path.iterdir()] == [find.id]
