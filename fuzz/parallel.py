"""Several workers for one run: started, heard, stopped, and started again where one died.

Each has a seed of its own, which follows from that of the run, and a target of its own. Knows processes and the
messages of ``fuzz.worker``. Must not know how programs are made, or run.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from fuzz import finds, kin, worker
from fuzz.campaign import Say, Wanted
from fuzz.merged import Merged
from fuzz.report.text import quote
from fuzz.status import Status, counted
from fuzz.tally import Tally
from fuzz.targets import Target, TargetError
from fuzz.targets.folders import RUN, sweep
from fuzz.targets.process import death_signal
from fuzz.trouble import TARGET, USAGE, UsageTrouble

GRACE, LAST = 20.0, 60.0
"""Seconds after a find for what the others are looking at; until those that don't end are killed."""
_TRIES = 10  # times in a row that a worker may die without having run a program
_AGAIN = 3  # lives that begin with the corpus, as long as none got beyond it
_LOOK = 0.2  # seconds between two looks at the clock
_ENDINGS = (signal.SIGINT, signal.SIGTERM)


def sub_seed(seed: int, number: int, life: int) -> int:
    """The seed of worker *number*, from 1, when it is started for the *life*-th time, from 0."""
    words = f"vqfuzz {seed} {number} {life}".encode()
    return int.from_bytes(hashlib.sha256(words).digest()[:4], "big")


@dataclass(slots=True)
class _Worker:
    """One worker: the process that it is now, and what it came to."""

    number: int  # from 1
    runs: int | None  # programs that are left
    seed: int = 0  # of this life
    life: int = 0
    pid: int = 0
    descriptor: int = -1
    heard: bytes = b""  # of a line that is not complete
    tally: Tally = field(default_factory=Tally)  # of this life
    drawn: int = 0  # programs in the lives before
    pending: dict[str, str] = field(default_factory=dict)  # finds that it is looking at: folder, rule
    last: str = ""  # kind of its last message
    trouble: str = ""  # why it ended before its time
    idle: int = 0  # lives in a row without a program


class Parallel:
    """One run of ``vqfuzz fuzz --jobs N`` on the *target*, which *make* makes anew in each worker."""

    def __init__(self, make: Callable[[], Target], target: Target, wanted: Wanted, say: Say, status: Status) -> None:
        self.make = make
        self.wanted = wanted
        jobs = wanted.jobs if wanted.runs is None else min(wanted.jobs, wanted.runs)
        self.merged = Merged(target.name, target.role, replace(wanted, jobs=jobs), say, status)
        self.say = self.merged.say
        self.past = Tally(target.role)  # of lives that are over
        self.workers = [_Worker(number, self._share(number, jobs)) for number in range(1, jobs + 1)]
        self.opened = False  # whether it was told what the target offers
        self.failed: list[_Worker] = []  # that could not begin before that
        self.stopping = 0.0  # since when no program shall begin
        self.hasty = False  # whether workers were told to end, too
        self.asked = 0  # how often we were told
        self.family: kin.Family

    def _share(self, number: int, jobs: int) -> int | None:
        runs = self.wanted.runs
        return None if runs is None else runs // jobs + (number <= runs % jobs)

    def run(self) -> int:
        """Everything, until a find, the end, or a signal. Returns the exit code."""
        finds.check(self.wanted.out)
        before = [signal.signal(number, self._interrupted) for number in _ENDINGS]
        self.family = kin.Family()
        try:
            for one in self.workers:
                self._start(one)
            while any(one.pid for one in self.workers):
                self._listen()
                self._hasten()
                self.merged.progress(self._tally(), len(self.workers))
        finally:
            self._kill()
            self.family.close()
            for number, handler in zip(_ENDINGS, before, strict=True):
                signal.signal(number, handler)
        trouble = self.merged.trouble
        if trouble is not None and not self.opened and not self.asked:
            raise UsageTrouble(trouble[0]) if trouble[1] == USAGE else TargetError(trouble[0])
        return self.merged.finish(self._tally(), self._again(), self.asked > 0)

    def _tally(self) -> Tally:
        """What all came to so far."""
        whole = Tally(self.merged.role)
        whole.add(self.past)
        for one in self.workers:
            whole.add(one.tally)
        return whole

    def _again(self) -> str:
        """The command that gives every worker at least the programs that it had."""
        drawn = max(one.drawn for one in self.workers)
        runs = max(drawn, 1) * len(self.workers)
        runs = min(runs, self.wanted.runs or runs)
        return f"vqfuzz fuzz {quote(self.merged.target)} {self.merged.wanted.options(runs)}"

    # -- a worker's life

    def _start(self, one: _Worker) -> None:
        """Fork a worker; it is told when we die, and what it started dies with it."""
        wanted = self.wanted
        one.seed = sub_seed(wanted.seed, one.number, one.life)
        one.heard, one.last, one.trouble = b"", "", ""
        left = None if wanted.seconds is None else max(self._left(), 0.0)
        corpus = wanted.corpus if not one.drawn and one.life < _AGAIN else None
        share = (one.number - 1, len(self.workers))
        own = replace(wanted, seed=one.seed, runs=one.runs, seconds=left, jobs=1, corpus=corpus, share=share)
        sys.stdout.flush()
        sys.stderr.flush()
        arrange = death_signal(signal.SIGTERM)
        reading, writing = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, worker.BLOCKED)
        one.pid = os.fork()
        if not one.pid:
            code = TARGET
            try:
                arrange()
                os.setpgid(0, 0)  # a Ctrl-C at the terminal is the parent's to pass on
                for descriptor in (reading, *(other.descriptor for other in self.workers if other.descriptor >= 0)):
                    os.close(descriptor)
                os.dup2(os.open(os.devnull, os.O_RDWR), 0)
                code = worker.serve(self.make, own, writing)
            finally:
                os._exit(code)
        self.family.members.add(one.pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, worker.BLOCKED)
        os.close(writing)
        one.descriptor = reading

    def _listen(self) -> None:
        """Take in what workers say, for a moment."""
        by_descriptor = {one.descriptor: one for one in self.workers if one.pid}
        ready, _, _ = select.select(list(by_descriptor), [], [], _LOOK)
        for descriptor in ready:
            one = by_descriptor[descriptor]
            data = os.read(descriptor, 1 << 16)
            *lines, one.heard = (one.heard + data).split(b"\n")
            for line in lines:
                self._take(one, json.loads(line))
            if not data:
                self._ended(one)

    def _take(self, one: _Worker, told: dict[str, Any]) -> None:
        """One message."""
        kind = one.last = told["kind"]
        if kind in ("state", "end"):
            one.tally = Tally.load(told["tally"])
            one.trouble = told.get("trouble", "")
        elif kind == "ready" and not self.opened:
            self._open(told["lines"])
        elif kind == "status":
            self.merged.status.show(f"worker {one.number}: {told['text']}")
        elif kind == "saved":
            one.pending[told["folder"]] = told["rule"]
        elif kind == "settled":
            one.pending.pop(told["folder"], None)
        elif kind == "find":
            self.merged.find(told["rule"], told["program"], Path(told["folder"]), told["told"], told["flaky"])
            one.pending.pop(told["folder"], None)
        elif kind == "says":
            self.say(f"worker {one.number}: {told['text']}")
        elif kind == "trouble":
            one.trouble = told["text"]
            if not self.opened:  # else it is started again
                self.merged.trouble = self.merged.trouble or (told["text"], told["code"])

    def _open(self, lines: list[str]) -> None:
        """Say once what each worker has to say of its target."""
        self.opened = True
        seeds = " ".join(str(sub_seed(self.wanted.seed, one.number, 0)) for one in self.workers)
        first, *others = lines
        parts = first.split(" · ")
        self.say(" · ".join([parts[0], f"seed {self.wanted.seed}", counted(len(self.workers), "job"), *parts[2:]]))
        self.say(f"seeds of the workers: {seeds}")
        for line in others:
            self.say(line)
        self.merged.trouble = None
        for one in self.failed:  # where others could
            self._died(one, one.trouble)

    def _ended(self, one: _Worker) -> None:
        """A worker is gone: it said why, or something killed it."""
        _, status = os.waitpid(one.pid, 0)
        os.close(one.descriptor)
        self.family.members.discard(one.pid)
        one.pid, one.descriptor = 0, -1
        if one.last == "end" and not one.trouble:
            if (one.tally.found or one.tally.ours) and not self.wanted.go_on:
                self._stop()
            self._over(one)
            self._leave(one)  # interrupted between saving and telling
        elif one.last == "trouble" and not self.opened:  # if none can begin, all of them need not try again
            self.failed.append(one)
        else:
            self._died(one, one.trouble or kin.ending(status))

    def _over(self, one: _Worker) -> None:
        """A life is over: keep what it came to."""
        self.past.add(one.tally)
        one.drawn += one.tally.drawn
        one.tally = Tally(self.merged.role)

    def _died(self, one: _Worker, how: str) -> None:
        """End and remove what it left, and start it again with its next seed."""
        self.merged.died += 1
        self.family.bury()
        sweep(gettempdir(), RUN)
        finds.check(self.wanted.out)
        ran, drawn = one.tally.programs, one.tally.drawn
        one.idle = 0 if ran else one.idle + 1
        one.runs = None if one.runs is None else max(one.runs - drawn, 0)
        self._over(one)
        line = f"worker {one.number} (seed {one.seed}) ended: {how}, after {counted(ran, 'program')}"
        more = not self.stopping and not self.asked and one.runs != 0 and self._left() > 0
        if more and one.idle >= _TRIES:
            more = False
            self.merged.trouble = self.merged.trouble or (f"workers end before they run a program: {how}", TARGET)
            line += f", {_TRIES} times in a row: not started again"
        if more:
            one.life += 1
            line += f"; started again with seed {sub_seed(self.wanted.seed, one.number, one.life)}"
        self.say(line)
        self._leave(one)
        if more:
            self._start(one)

    def _leave(self, one: _Worker) -> None:
        """Name the finds that it saved, and did not come to tell."""
        for folder, rule in one.pending.items():
            self.merged.left(rule, Path(folder))
        one.pending.clear()

    def _left(self) -> float:
        seconds = self.wanted.seconds
        return float("inf") if seconds is None else self.merged.began + seconds - time.monotonic()

    # -- the end

    def _interrupted(self, number: int, frame: object) -> None:
        self.asked += 1

    def _stop(self, number: int = worker.STOP) -> None:
        """No other program shall begin."""
        if not self.stopping:
            self.stopping = time.monotonic()
            self._signal(number)

    def _signal(self, number: int) -> None:
        for one in self.workers:
            if one.pid:
                os.kill(one.pid, number)

    def _hasten(self) -> None:
        """Whoever is asked to end, and doesn't, is asked again, and killed in the end."""
        since = time.monotonic() - self.stopping if self.stopping else 0.0
        if not self.hasty and (self.asked or since > GRACE):
            self.hasty, self.stopping = True, time.monotonic()
            self._signal(signal.SIGINT)
        elif self.asked > 1 or (self.hasty and since > LAST):
            self._signal(signal.SIGKILL)

    def _kill(self) -> None:
        """End those that are left, whatever happened."""
        self._signal(signal.SIGKILL)
        for one in self.workers:
            if one.pid:
                with suppress(ChildProcessError):
                    os.waitpid(one.pid, 0)
                one.pid = 0
