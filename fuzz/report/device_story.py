"""What happened in a run in which we were the device, as rows: what the driver was asked and did, and what we did.

Made from a saved trace by feeding it to the oracle of drivers once more; the books and pictures are those of the same
run from the other side. Knows observations and the program's steps. Must not know targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fuzz import encoding
from fuzz.program import Call, Misuse, Program, Step, Suppress, Use
from fuzz.report.rings import Packed, Rings, rings_for
from fuzz.report.tale import Row, Story
from oracles.driver_oracle import DriverOracle
from oracles.mirror import Mirror
from oracles.oracle import Oracle
from oracles.rules import Violation
from oracles.trace import (
    Answered,
    Called,
    Entry,
    Exposed,
    Notified,
    Observation,
    Published,
    Resetting,
    Returned,
    Started,
    Stored,
    Supplied,
)

_SHOWN = 8  # buffers named in a list of them
_OURS = (Use, Call, Suppress, Misuse)
_SAID = {
    "refused": "refused",
    "empty": "nothing came back",
    "quiet": "nothing pending, sleeps",
    "delayed": "sleeps",
    "awake": "",
}

Watch = Callable[[int, dict[int, Rings], Oracle], None]


class DeviceTeller:
    """Tells one run."""

    def __init__(
        self, program: Program, entries: Sequence[Entry], marks: Sequence[int], watch: Watch | None = None
    ) -> None:
        self.program = program
        self.entries = entries
        self.marks = marks
        self.watch = watch
        self.judge = DriverOracle()
        self.oracle = Oracle()
        self.mirrors = [Mirror(self.judge.queue(number)) for number in range(len(program.queues))]
        self.multi = len(program.queues) > 1
        self.rings: dict[int, Rings] = {}
        self.rows: list[Row] = []
        self.step = 0
        self.names: dict[tuple[int, int], str] = {}  # of buffers that came back, by queue and id
        self.judged = True
        self.told = -1  # the queue that the step's row spoke of last
        self.said = False  # whether the row of this step says more than the step

    def tell(self) -> Story:
        """All rows, up to the violation."""
        violation: Violation | None = None
        at = 0
        for index, (number, seen) in enumerate(self.entries):
            while at < len(self.marks) and self.marks[at] <= index:
                self._begin(at)
                at += 1
            if self.judged:
                violation = self.judge.feed(number, seen)
            self._see(number, seen)
            if self.watch is not None:
                self.watch(self.step, self.rings, self.oracle)
            if violation is not None:
                violation = replace(violation, event=index)
                break
        while violation is None and at < len(self.marks):
            self._begin(at)
            at += 1
        if violation is not None:
            if not self.rows:
                self.rows.append(Row(0, driver=violation.message))
            self.rows[-1].bad, self.rows[-1].note = True, "✗"
        for number, ring in self.rings.items():
            if isinstance(ring, Packed):
                ring.cursor = getattr(self.oracle.queue(number).reader, "cursor", ring.cursor)
        return Story(self.rows, self.rings, self.oracle, violation)

    # -- rows

    def _begin(self, at: int) -> None:
        """Step number *at* (from 0) begins."""
        steps = self.program.steps
        self.step = at + 1 if at < len(steps) else -1
        if self.step < 0:
            return
        step: Step = steps[at]
        self.judged = self.judged and not isinstance(step, Misuse)  # nobody is, once we broke a rule
        line = encoding.line(step)
        self.said = False
        ours = isinstance(step, _OURS)
        queue = getattr(step, "queue", 0)
        self.told = queue
        self._add(queue, device=line) if ours else self._add(queue, driver=line)

    def _add(self, number: int, driver: str = "", device: str = "", ring: bool = False) -> None:
        self.rows.append(Row(self.step, driver, device, self._outstanding(number), ring))

    def _outstanding(self, number: int) -> str:
        queue = self.oracle.queue(number).queue
        names = [repr(buffer) for buffer in queue.older(_SHOWN)] if queue.by_id else []
        more = len(queue.by_id) - len(names)
        return self._on(number, " ") + (" ".join(names + ([f"+{more}"] if more > 0 else [])) or "-")

    def _on(self, number: int, sign: str) -> str:
        """Which queue, if there are several."""
        return f"q{number}{sign}" if self.multi else ""

    def _join(self, number: int, driver: str) -> None:
        """Add to what the step's row says of the driver, or begin another."""
        if number != self.told:
            driver, self.told = self._on(number, ": ") + driver, number
        last = self.rows[-1] if self.rows else None
        if last is None or last.step != self.step or last.device:
            self._add(number, driver=driver)
            self.said = True
            return
        last.driver += (", " if self.said else ": ") + driver
        self.said = True
        last.model = self._outstanding(number)

    # -- observations

    def _see(self, number: int, seen: Observation) -> None:
        if isinstance(seen, Answered) and _SAID.get(seen.what, seen.what):
            self._join(number, _SAID.get(seen.what, seen.what))
        elif isinstance(seen, Returned):
            self._join(number, f"{self.names.get((number, seen.id), f'id {seen.id}')} with {seen.length}")
        elif isinstance(seen, Notified):
            self._join(number, "notifies")
        for told in self.mirrors[number].seen(seen) if self.judged else [seen]:
            self._follow(number, told)
        if isinstance(seen, Exposed) and self.rows and not self.rows[-1].device:
            self.rows[-1].model = self._outstanding(number)

    def _follow(self, number: int, told: Observation) -> None:
        """The same run from the other side."""
        queue = self.oracle.queue(number)
        if self.judged:
            self.oracle.feed(number, told)
            queue.to_scan.clear()
        if isinstance(told, Started):
            if told.cause != "restart" or number not in self.rings:
                self.rings[number] = rings_for(told)
                self.names = {key: name for key, name in self.names.items() if key[0] != number}
        elif isinstance(told, Supplied):
            buffer = queue.queue.held[-1]
            self.rings[number].supplied(buffer)
            self.names[number, buffer.id] = repr(buffer)
            self._join(number, repr(buffer))
        elif isinstance(told, Published):
            self.rings[number].driver(told)
            self.rows[-1].model = self._outstanding(number) if self.rows else ""
        elif isinstance(told, Stored):
            text, is_use = self.rings[number].stored(told)
            if text:
                self._add(number, device=self._on(number, ": ") + text, ring=is_use)
        elif isinstance(told, Called):
            self._add(number, device=self._on(number, ": ") + "notification")
        elif isinstance(told, Resetting) and told.what == "stop":
            self._join(number, f"position {told.base}")
