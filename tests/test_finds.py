"""Finds on disk: saved first and whole, loaded again, replayed, judged without the target."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuzz import campaign, encoding, finds
from fuzz.campaign import Campaign, Wanted
from fuzz.program import Notify, Program, Supply
from fuzz.status import Status
from fuzz.targets import TargetBroken, TargetDied, TargetError
from fuzz.targets.model import Model
from fuzz.trouble import FOUND, INTERRUPTED, UNCLEAR, UsageTrouble
from fuzz.verdict import BROKEN, VIOLATES, Outcome

TINY = Program(steps=(Supply((), (1,)), Notify()))


def fuzzing(target, out: Path, **wanted) -> tuple[Campaign, list[str]]:
    said: list[str] = []
    made = Campaign(target, Wanted(**{"seed": 1, "runs": 50, "out": out, **wanted}), said.append, Status(quiet=True))
    return made, said


# --- a find is saved before anything else -----------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["again", "minimise"])
def test_find_survives_whatever_comes_next(tmp_path, monkeypatch, step):
    def fail(*arguments, **options):
        raise RuntimeError("power cut")

    monkeypatch.setattr(campaign, step, fail)
    made, _ = fuzzing(Model("a05"), tmp_path / "out")
    with pytest.raises(RuntimeError, match="power cut"):
        made.run()
    [folder] = (tmp_path / "out").iterdir()
    find = finds.load(folder)
    assert find.meta["rule"] == "INO-ORDER"
    assert find.meta["verdict"] == VIOLATES
    assert find.meta["target"] == "model:a05"
    assert (folder / finds.TRACE).read_text().startswith("vqtrace 1\n")
    assert find.program == finds.load_program(folder / finds.PROGRAM)


def test_failed_save_leaves_nothing_half(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Exception, match="no space left on device"):
        finds.save(tmp_path, "INO-ORDER", TINY, Outcome(), {})
    assert list(tmp_path.iterdir()) == []


def test_failed_update_keeps_what_was_there(tmp_path, monkeypatch):
    find = finds.save(tmp_path, "INO-ORDER", TINY, Outcome(), {"note": 1})
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(Exception, match="input/output error"):
        finds.update(find, note=2)
    assert json.loads((find.folder / finds.META).read_text())["note"] == 1


def test_the_same_find_has_the_same_folder(tmp_path):
    first = finds.save(tmp_path, "INO-ORDER", TINY, Outcome(), {})
    finds.add(first.folder, finds.MINIMAL, "old")
    second = finds.save(tmp_path, "INO-ORDER", TINY, Outcome(), {})
    other = finds.save(tmp_path, "VQ-LIVE", TINY, Outcome(), {})
    assert first.folder == second.folder != other.folder
    assert not (first.folder / finds.MINIMAL).exists(), "a smallest program of another run"


def test_interruption_while_shrinking_keeps_the_smallest_so_far(tmp_path, monkeypatch):
    from fuzz import confirm
    from fuzz import shrink as shrinker

    real = shrinker.shrink

    def shrink(program, still, budget, progress, **more):
        def told(executions, smaller):
            progress(executions, smaller)
            if len(smaller.steps) < len(program.steps):
                raise KeyboardInterrupt

        return real(program, still, budget, told, **more)

    monkeypatch.setattr(confirm, "shrink", shrink)
    made, said = fuzzing(Model("a05"), tmp_path / "out")
    assert made.run() == INTERRUPTED
    [folder] = (tmp_path / "out").iterdir()
    smaller, whole = finds.load_program(folder / finds.MINIMAL), finds.load_program(folder / finds.PROGRAM)
    assert len(smaller.steps) < len(whole.steps)
    assert "not to the end" in (folder / finds.REPORT).read_text()
    assert "interrupted" in said[-2]


def test_target_that_cannot_be_started_again(tmp_path):
    """A crash of somebody else's process: told from what was seen, exit code 1."""

    class Dying(Model):
        opened = 0

        def open(self):
            self.opened += 1
            if self.opened > 3:
                raise TargetError("nobody listens there")
            session = super().open()
            if self.opened == 3:
                session.notify = _die  # type: ignore[method-assign]  # a session that dies
            return session

        def words(self):
            return "last words of it"

    target = Dying()
    target.name = "vhost-user:/gone"
    made, said = fuzzing(target, tmp_path / "out")
    assert made.run() == FOUND
    [folder] = (tmp_path / "out").iterdir()
    assert folder.name.startswith("crashed-")
    text = "\n".join(said)
    assert "CRASH  the target died" in text
    assert "killed by signal 11" in text
    assert "last words of it" in text
    assert "nobody listens there" in text


def _die(queue):
    raise TargetDied("killed by signal 11")


def test_a_device_that_gives_up_is_a_find_of_its_own_kind(tmp_path):
    """Saved, run again, shrunk and told: neither a crash nor a hang, nor a buffer that never comes."""

    class Tender(Model):
        def open(self):
            session = super().open()
            notify = session.notify

            def give_up(queue):
                if session.engines[0].ring.waiting():
                    raise TargetBroken("DEVICE_NEEDS_RESET: virtio-blk missing headers")
                notify(queue)

            session.notify = give_up  # type: ignore[method-assign]  # a session whose device gives up
            return session

    made, said = fuzzing(Tender(), tmp_path / "out")
    assert made.run() == FOUND
    [folder] = (tmp_path / "out").iterdir()
    assert folder.name.startswith("broken-")
    find = finds.load(folder)
    assert (find.meta["verdict"], find.meta["runs"]) == (BROKEN, {"again": 20, "of": 20})
    assert find.meta["reason"] == "DEVICE_NEEDS_RESET: virtio-blk missing headers"
    assert find.program.steps == (Supply((), (1,)), Notify())
    text = "\n".join(said)
    assert "BROKEN  the device gives up" in text
    assert "missing headers" in text


def test_find_that_never_comes_back_is_flaky(tmp_path):
    class Once(Model):
        opened = 0

        def open(self):
            self.opened += 1
            if self.opened == 3:
                session = super().open()
                session.notify = _die  # type: ignore[method-assign]  # a session that dies
                return session
            return super().open()

    made, said = fuzzing(Once(), tmp_path / "out")
    assert made.run() == UNCLEAR
    assert "FLAKY: CRASHED" in "\n".join(said)
    assert "reproduced 0/20" in "\n".join(said)


# --- replaying and judging --------------------------------------------------------------------------------------------


@pytest.fixture
def find(cli, tmp_path) -> Path:
    assert cli("fuzz", "model:a05", "--seed", "1").returncode == 1
    folder: Path
    [folder] = (tmp_path / "vqfuzz-out").iterdir()
    return folder


def test_replay_of_a_find(cli, find):
    done = cli("replay", find, "--times", 20)
    assert done.returncode == 1
    assert done.stdout.startswith("FAILS  INO-ORDER 20/20: ")
    for name in (finds.PROGRAM, finds.MINIMAL):
        assert cli("replay", find / name, "--quiet").returncode == 1
    fixed = cli("replay", find, "--target", "model")
    assert fixed.returncode == 0
    assert fixed.stdout.startswith("FIXED  INO-ORDER 0/1")
    gone = cli("replay", find, "--target", "vhost-user:/nowhere")
    assert gone.returncode == 3
    assert gone.stdout.startswith("ERROR  vhost-user:/nowhere can't be reached")


def test_replay_of_a_corpus(cli, find, tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "one.vq").write_text(encoding.dump(TINY))
    (folder / "two.vq").write_text((find / finds.MINIMAL).read_text())
    done = cli("replay", folder, "--target", "model")
    assert done.returncode == 0
    assert done.stdout.count("CONFORMS  1/1") == 2
    done = cli("replay", folder, "--target", "model:a05")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "2 programs: 1 conform, 1 failed"


def test_judge_says_the_same_without_the_target(cli, find):
    meta = json.loads((find / finds.META).read_text())
    for name in (finds.TRACE, finds.MINIMAL_TRACE):
        done = cli("judge", find / name)
        assert done.returncode == 1
        assert done.stdout.startswith(f"VIOLATES  {find / name}:")
        assert f": {meta['rule']}: " in done.stdout
    assert meta["message"] in cli("judge", find / finds.TRACE).stdout
    line = int(cli("judge", find).stdout.partition(".vqtrace:")[2].partition(":")[0])
    entries = [line for line in (find / finds.MINIMAL_TRACE).read_text().splitlines() if not line.startswith("#")]
    assert (find / finds.MINIMAL_TRACE).read_text().splitlines()[line - 1] == entries[-1]


def test_explain_needs_no_target_that_is_gone(cli, find):
    live = cli("explain", find)
    assert live.returncode == 1
    meta = json.loads((find / finds.META).read_text())
    meta["target"] = "vhost-user:/gone"
    (find / finds.META).write_text(json.dumps(meta))
    saved = cli("explain", find)
    assert saved.returncode == 1
    assert "from the saved trace" in saved.stdout

    def story(text: str) -> str:
        return text[text.index("What happened") : text.index("See it again")]

    assert story(live.stdout) == story(saved.stdout)


def test_shrink_comes_to_the_same(cli, find, tmp_path):
    done = cli("shrink", find / finds.PROGRAM, "--out", tmp_path / "small.vq")
    assert done.returncode == 1
    assert (tmp_path / "small.vq").read_text() == (find / finds.MINIMAL).read_text()
    assert "INO-ORDER" in done.stderr
    conforms = cli("shrink", find, "--target", "model")
    assert conforms.returncode == 0
    assert "nothing to shrink" in conforms.stdout


def test_foreign_find_json_is_refused(tmp_path):
    (tmp_path / finds.PROGRAM).write_text(encoding.dump(TINY))
    for text in ("[]", '{"schema": 99}', "[" * 100_000):
        (tmp_path / finds.META).write_text(text)
        with pytest.raises(UsageTrouble, match=r"find\.json"):
            finds.load(tmp_path)
