"""What a process keeps over a device reset: a find that needs earlier programs is kept, told and run with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz import encoding, finds, registry
from fuzz.campaign import AGAIN_MODEL, Campaign, Wanted
from fuzz.commands import replaying
from fuzz.confirm import KEPT, Needs, Runner, again
from fuzz.earlier import needed, smaller
from fuzz.program import Notify, Program, Queue, Reset, Supply
from fuzz.status import Status
from fuzz.targets import TargetDied
from fuzz.targets.model import Model, ModelSession
from fuzz.targets.model.engine import Engine
from fuzz.targets.model.faults import FAULTS
from fuzz.trouble import FOUND, UNCLEAR, UsageTrouble
from fuzz.verdict import CONFORMS, CRASHED
from tests.vhost_user_kit import target_at, target_of

KICK = Program(steps=(Notify(True),))
TWO = Program(steps=(Supply((), (8,)), Supply((), (8,)), Notify()))
LISTS = Program("packed", (Queue(4),), steps=(Supply((), (8,)), Notify()))


class Sour(Model):
    """A process that serves one session after the other, and is spoilt by a device reset for those that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.starts = 1
        self.spoilt = False

    def restart(self) -> None:
        self.starts += 1
        self.spoilt = False

    def open(self) -> ModelSession:
        session = ModelSession(FAULTS["canary"].engine if self.spoilt else Engine, self._raw)
        reset = session.reset

        def spoiling() -> None:
            self.spoilt = True
            reset()

        session.reset = spoiling  # type: ignore[method-assign]  # a session that leaves something behind
        return session


def silent(what: object) -> None:
    """Nobody reads along."""


def test_a_runner_remembers_what_ran_since_the_start():
    runner = Runner(Sour())
    others = [Program(queues=(Queue(1 << number),), steps=(Notify(),)) for number in range(4)]
    for program in (*others, others[1]):
        runner.run(program)
    assert runner.earlier(others[1]) == tuple(others)
    assert runner.earlier(others[2]) == tuple(others[:2])
    runner.restart()
    runner.run(TWO)
    assert runner.earlier(TWO) == ()
    assert runner.earlier(others[3]) == tuple(others[:3])  # what ended shows only when the next one begins
    assert runner.earlier(LISTS) == ()
    for _ in range(KEPT):
        runner.run(KICK)
    assert runner.earlier(KICK) == (KICK,) * (KEPT - 1)


def test_every_session_of_the_model_is_a_new_start():
    runner = Runner(Model())
    for _ in range(3):
        runner.run(TWO)
    assert runner.earlier(TWO) == ()


def test_only_the_programs_that_it_takes_are_kept():
    """Three of forty, in their order, however far they stand apart."""

    class Fragile(Model):
        starts = 1
        wanted = (3, 17, 31)

        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []

        def restart(self) -> None:
            self.seen.clear()

        def open(self) -> ModelSession:
            whole = self.seen == sorted(self.seen) and set(self.wanted) <= set(self.seen)
            session = ModelSession(FAULTS["canary"].engine if whole else Engine, self._raw)
            start = session.start

            def watched(features, queues):
                self.seen.append(queues[0].size)
                start(features, queues)

            session.start = watched  # type: ignore[method-assign]  # a session that leaves something behind
            return session

    ran = tuple(Program("packed", (Queue(size),)) for size in range(1, 41))
    runner = Runner(Fragile())
    needs = Needs("P-USED-LEN")
    lists = Program("packed", (Queue(50),), steps=LISTS.steps)
    assert not again(runner, lists, needs, 1)
    found = needed(runner, lists, needs, ran, silent)
    assert [program.queues[0].size for program in found] == [3, 17, 31]
    assert needed(runner, lists, needs, ran[4:], silent) == ()
    assert needed(runner, lists, needs, ran, silent, seconds=0.0) == ()


# --- a campaign -------------------------------------------------------------------------------------------------------


@pytest.fixture
def find(tmp_path) -> tuple[finds.Find, str]:
    said: list[str] = []
    made = Campaign(Sour(), Wanted(1, 50, out=tmp_path / "out"), said.append, Status(quiet=True))
    assert made.run() == FOUND
    [folder] = (tmp_path / "out").iterdir()
    return finds.load(folder), "\n".join(said)


def test_a_find_that_needs_another_program_is_kept_with_it(find):
    made, said = find
    assert made.meta["rule"] == "S-USED-LEN-MAX"
    assert made.meta["runs"] == {"again": 20, "of": 20}
    assert len(made.before) == made.meta["before"] == 1
    assert encoding.dump(made.before[0]) == (made.folder / "before-001.vq").read_text()
    assert made.before[0].steps == (Reset(),)
    assert made.program.steps == (Supply((), (1,)), Notify())
    assert "  Only after this program in the same process\n    before-001.vq\n      queue split 1\n" in said
    assert (made.folder / finds.REPORT).read_text().strip() in said


def test_such_a_find_is_run_with_what_comes_before_it(find, monkeypatch, capsys):
    folder = find[0].folder
    monkeypatch.setattr(registry, "make", lambda *words: Sour())
    assert replaying.replay(folder, None, "", 3, False) == FOUND
    assert replaying.replay(folder / finds.PROGRAM, None, "", 1, False) == FOUND
    assert "FAILS  S-USED-LEN-MAX 3/3" in capsys.readouterr().out
    assert replaying.explain(folder, None, "") == FOUND
    assert "Only after this program in the same process" in capsys.readouterr().out
    assert replaying.shrink(folder, None, "", None) == FOUND
    assert capsys.readouterr().out == (folder / finds.MINIMAL).read_text()
    assert replaying.judge(folder) == FOUND
    assert Runner(Sour()).run(find[0].program).verdict == CONFORMS


def test_what_comes_before_a_find_is_no_program_of_its_own(find):
    folder = find[0].folder
    assert list(finds.programs(folder.parent)) == [folder / finds.MINIMAL]
    (folder / finds.META).unlink()
    assert folder / "before-001.vq" in list(finds.programs(folder.parent))


def test_a_find_whose_parts_are_gone_is_told_in_one_line(find):
    folder = find[0].folder
    (folder / "before-001.vq").unlink()
    with pytest.raises(UsageTrouble, match=r"before-001\.vq"):
        finds.load(folder)
    meta = json.loads((folder / finds.META).read_text())
    (folder / finds.META).write_text(json.dumps(meta | {"before": "one"}))
    with pytest.raises(UsageTrouble, match="is no number of programs"):
        finds.load(folder)


def test_a_find_made_again_forgets_what_came_before(find, tmp_path):
    folder: Path = find[0].folder
    program = finds.load_program(folder / finds.PROGRAM)
    saved = finds.save(tmp_path / "out", "S-USED-LEN-MAX", program, Runner(Model()).run(program), {})
    assert saved.folder == folder
    assert finds.load(folder).before == ()


def test_what_came_back_once_by_chance_needs_nothing_before_it(tmp_path):
    class Moody(Model):
        """Dies in its third session, and in the first one that runs behind the two before it."""

        opened = 0

        def open(self) -> ModelSession:
            self.opened += 1
            session = super().open()
            self.starts = 1
            if self.opened in (3, 3 + AGAIN_MODEL + 3):
                session.notify = die  # type: ignore[method-assign]  # a session that ends
            return session

    said: list[str] = []
    assert Campaign(Moody(), Wanted(1, 20, out=tmp_path / "out"), said.append, Status(quiet=True)).run() == UNCLEAR
    assert "FLAKY: CRASHED" in "\n".join(said)
    [folder] = (tmp_path / "out").iterdir()
    assert not list(folder.glob("before-*"))
    assert finds.load(folder).before == ()


def die(queue: int) -> None:
    raise TargetDied("killed by signal 11")


# --- a process --------------------------------------------------------------------------------------------------------


def test_a_process_that_dies_of_what_it_has_served():
    """The fourth time that it is set up kills it, whatever ran before."""
    target = target_of("crash-at-table:4")
    try:
        runner = Runner(target)
        assert [runner.run(KICK).verdict for _ in range(4)] == [CONFORMS] * 3 + [CRASHED]
        ran = runner.earlier(KICK)
        assert ran == (KICK,) * 3
        assert not again(runner, KICK, Needs(CRASHED), 2)
        assert needed(runner, KICK, Needs(CRASHED), ran, silent) == ran
        needs = Needs(CRASHED, before=ran)
        less = smaller(runner, KICK, needs, silent)
        assert [program.steps for program in less] == [()] * 3
        starts = target.starts
        assert again(runner, KICK, replace(needs, before=less), 2) == 2
        assert target.starts == starts + 2
    finally:
        target.close()


def test_what_is_somebody_elses_cannot_be_started_anew():
    target = target_at("/nowhere")
    target.restart()
    assert target.starts == 0
