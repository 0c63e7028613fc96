"""One of several processes that fuzz for the same run: a campaign whose words go to the process that started it.

They go over a pipe, a JSON object a line, each with its ``kind``:

    ready    lines: what the campaign says of its target, before the first program
    state    tally; what it came to so far
    status   text: what it is busy with
    saved    rule, folder: a find is on disk, and is looked at again from now on
    find     rule, program, folder, told, flaky: it was; the smallest programs as text, and the report
    settled  folder: nothing more comes of it
    says     text, for people
    end      tally, trouble: the last one; why it ended before its time, or ''
    trouble  text, code: the last one, too: it could not go on

Knows campaigns and signals. Must not know how many others there are, or what becomes of what it tells.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fuzz import encoding
from fuzz.campaign import Campaign, Wanted
from fuzz.confirm import Needs, Smaller
from fuzz.earlier import Programs
from fuzz.finds import Find
from fuzz.status import OFTEN, Status
from fuzz.tally import Tally
from fuzz.targets import Target, TargetBroken, TargetDied, TargetError, TargetHung
from fuzz.trouble import INTERRUPTED, TARGET, USAGE, EnvironmentTrouble, UsageTrouble
from fuzz.verdict import Outcome

STOP = signal.SIGUSR1
"""Begin no other program; what is being looked at is finished first."""
_LAST = 10  # seconds for ending what we started, when whoever started us is gone
Send = Callable[..., None]


class Telling(Status):
    """A status line that goes to the parent."""

    def __init__(self, send: Send) -> None:
        super().__init__(quiet=True)
        self._send = send

    def due(self, now: float) -> bool:
        """Whether it is time for another state: as often as on a terminal, whatever there is."""
        return now - self._last >= OFTEN

    def show(self, text: str, force: bool = False) -> None:
        """Tell it, if it is time; nothing is told elsewhere."""
        now = time.monotonic()
        if force or self.due(now):
            self._last = now
            if text:
                self._send("status", text=text)


class Worker(Campaign):
    """A campaign that tells another process what it finds."""

    def __init__(self, target: Target, wanted: Wanted, send: Send) -> None:
        super().__init__(target, wanted, self._hear, Telling(send))
        self.send = send
        self.trouble = ""  # why no other program can be run
        self._opening: list[str] | None = []  # what is said before the first program
        self._words: list[str] | None = None  # what is said of a find, while that is told

    def _hear(self, text: str) -> None:
        for heard in (self._words, self._opening):
            if heard is not None:
                heard.append(text)
                return
        self.send("says", text=text)

    def _programs(self) -> None:
        self.send("ready", lines=self._opening)
        self._opening = None
        try:
            super()._programs()
        except TargetError as error:
            self.trouble = str(error)
            self._words = []  # what is said of it here, the parent says
            raise

    def _progress(self, now: float) -> None:
        self.status.show("")
        self.send("state", tally=self.tally.dump())

    def _saved(self, find: Find, rule: str) -> None:
        self.send("saved", rule=rule, folder=str(find.folder))

    def _ours(self, find: Find, outcome: Outcome) -> None:
        super()._ours(find, outcome)
        self.send("settled", folder=str(find.folder))

    def _confirm(self, find: Find, outcome: Outcome, needs: Needs, repeated: bool, ran: Programs) -> bool:
        stopped = super()._confirm(find, outcome, needs, repeated, ran)
        self.send("settled", folder=str(find.folder))
        return stopped

    def _tell(self, find: Find, small: Smaller | None, outcome: Outcome) -> None:
        self._words = []
        try:
            super()._tell(find, small, outcome)
            program = small.program if small is not None else find.program
            text = "".join(map(encoding.dump, (*find.before, program)))
            flaky = not find.meta.get("runs", {}).get("again", 1)
            self.send("find", rule=find.meta["rule"], program=text, folder=str(find.folder), flaky=flaky,
                      told="\n".join(self._words))  # fmt: skip
        finally:
            self._words = None

    def _finish(self, interrupted: bool) -> None:
        self.send("end", tally=self.tally.dump(), trouble=self.trouble)


def serve(make: Callable[[], Target], wanted: Wanted, descriptor: int) -> int:
    """Run a campaign in this process, which was forked for it; its words go to *descriptor*. Returns an exit code."""

    def send(kind: str, **facts: Any) -> None:
        data = json.dumps({"kind": kind, **facts}).encode() + b"\n"
        with suppress(OSError):  # nobody listens any more: a signal says so, too
            while data:
                data = data[os.write(descriptor, data) :]

    gc.freeze()  # what was imported lives until the end
    gc.set_threshold(20_000, 20, 20)  # traces are many small objects without cycles
    target: Target | None = None
    try:
        target = make()
        worker = Worker(target, wanted, send)
        _listen(worker)
        return worker.run()
    except (UsageTrouble, EnvironmentTrouble, TargetError, TargetDied, TargetHung, TargetBroken) as trouble:
        code = USAGE if isinstance(trouble, UsageTrouble) else TARGET
        send("trouble", text=str(trouble), code=code)
        return code
    except KeyboardInterrupt:  # before anything ran
        send("end", tally=Tally().dump(), trouble="")
        return INTERRUPTED
    except Exception as error:  # whatever it is: told in one line, as on the command line
        send("trouble", text=f"vqfuzz itself failed: {type(error).__name__}: {error}", code=TARGET)
        return TARGET
    finally:
        if target is not None:
            target.close()


def _listen(worker: Worker) -> None:
    """From here on signals mean what they shall. Until now they were blocked."""

    def stop(number: int, frame: object) -> None:
        worker.over = True

    def end(number: int, frame: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, _LAST)  # with its default action: then the kernel ends our targets
        raise KeyboardInterrupt

    signal.signal(STOP, stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)


BLOCKED = frozenset({STOP, signal.SIGINT, signal.SIGTERM})
"""Signals that the parent blocks while it forks."""
