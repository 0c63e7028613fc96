"""What several campaigns of one run came to, as one: each find told once, and everything counted.

Knows finds and tallies. Must not know who found them, or in which process.
"""

from __future__ import annotations

import time
from pathlib import Path

from fuzz import finds
from fuzz.campaign import Say, Wanted, also_seen
from fuzz.finds import Find
from fuzz.report.text import quote
from fuzz.status import Status, counted
from fuzz.tally import Tally
from fuzz.trouble import INTERRUPTED, UNCLEAR, UsageTrouble


class Merged:
    """One report of many. *target*: as typed; *role*: of what is fuzzed."""

    def __init__(self, target: str, role: str, wanted: Wanted, say: Say, status: Status) -> None:
        self.target = target
        self.role = role
        self.wanted = wanted
        self.status = status
        self._say = say
        self.kept: dict[tuple[str, str], Path] = {}  # by rule and smallest program
        self.folded = 0  # finds of what was found before
        self.unseen = 0  # finds that nobody ran again
        self.died = 0  # workers
        self.trouble: tuple[str, int] | None = None  # why something stopped early, and the exit code for that
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line, or more."""
        self.status.clear()
        self._say(text)

    def find(self, rule: str, program: str, folder: Path, told: str, flaky: bool) -> None:
        """Somebody looked at a find again, and tells it. The first is kept; what is the same is counted."""
        first = self.kept.get((rule, program))
        if first is None or flaky:
            if not flaky:
                self.kept[rule, program] = folder
            self.say(told)
            return
        self.folded += 1
        if first != folder:
            finds.remove(Find(folder, finds.load_program(folder / finds.PROGRAM)))

    def left(self, rule: str, folder: Path) -> None:
        """Whoever saved a find was killed before it ran it again."""
        if (folder / finds.PROGRAM).exists():
            self.unseen += 1
            self.say(f"{rule} is saved as {folder}, and was not run again: vqfuzz replay {quote(str(folder))}")

    def progress(self, tally: Tally, jobs: int) -> None:
        """Show how far it is."""
        whole = max(time.monotonic() - self.began, 1e-6)
        self.status.show(tally.progress(whole, whole, [counted(jobs, "job")]))

    def finish(self, tally: Tally, again: str, interrupted: bool) -> int:
        """The last lines, of which the last is *again*. Returns the exit code."""
        tally.found -= self.folded
        whole = max(time.monotonic() - self.began, 1e-6)
        for (rule, _), folder in self.kept.items():
            try:
                also_seen(finds.load(folder), rule, tally.by_rule[rule] - 1, self.say)
            except UsageTrouble as trouble:  # somebody moved it away
                self.say(str(trouble))
        for line in tally.remarks():
            self.say(line)
        also = [counted(self.wanted.jobs, "job")]
        also += [f"{counted(self.died, 'worker')} died"] if self.died else []
        also += [f"{counted(self.unseen, 'find')} not run again"] if self.unseen else []
        self.say(tally.summary(whole, whole, self.wanted.out, interrupted, also))
        self.say(f"again: {again}")
        if interrupted:
            return INTERRUPTED
        code = tally.code()
        if not tally.found and self.trouble is not None:
            return self.trouble[1]
        return UNCLEAR if not code and self.unseen else code
