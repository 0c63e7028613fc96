"""What happened in a run, as rows: driver, device, and what the model has outstanding, side by side.

Made from a saved trace by feeding it to the oracle once more. Knows observations and the program's
steps. Must not know targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fuzz import encoding
from fuzz.program import Notify, Program, Receive, Step, Supply
from fuzz.report.rings import Packed, Rings, rings_for
from fuzz.report.tale import Row, Story
from fuzz.status import counted
from oracles import vhost_user
from oracles.oracle import Oracle, QueueOracle
from oracles.rules import Violation
from oracles.trace import (
    Allowed,
    Called,
    Changed,
    Entry,
    Got,
    HungUp,
    Idle,
    Notified,
    Published,
    Reclaimed,
    Resetting,
    SawDescriptor,
    SawUsed,
    Scanned,
    Sent,
    Started,
    Stored,
    Supplied,
    Suppressed,
)

__all__ = ["Row", "Story", "shortened", "tell"]

_SHOWN = 8  # buffers named in a list of them


#: Called after each observation, with the step that it belongs to and what is known then; nothing of it may be changed.
Watch = Callable[[int, dict[int, Rings], Oracle], None]


def tell(program: Program, entries: Sequence[Entry], marks: Sequence[int], watch: Watch | None = None) -> Story:
    """The story of *entries*, of which those from marks[n] on belong to step n."""
    if program.role == "device":
        from fuzz.report.device_story import DeviceTeller

        return DeviceTeller(program, entries, list(marks), watch).tell()
    return _Teller(program, entries, list(marks), watch).tell()


class _Teller:
    def __init__(
        self, program: Program, entries: Sequence[Entry], marks: list[int], watch: Watch | None = None
    ) -> None:
        self.program = program
        self.watch = watch
        self.entries = entries
        self.marks = marks
        self.oracle = Oracle()
        self.rings: dict[int, Rings] = {}
        self.rows: list[Row] = []
        self.step = 0
        self.fresh = False  # a step began, and no row shows it yet
        self.multi = len(program.queues) > 1

    def tell(self) -> Story:
        violation: Violation | None = None
        at = 0
        for index, (number, seen) in enumerate(self.entries):
            while at < len(self.marks) and self.marks[at] <= index:
                self._skip_to(at)
                at += 1
            queue = self.oracle.queue(number)
            violation = self.oracle.feed(number, seen)
            if (isinstance(seen, Started) and seen.cause != "restart") or number not in self.rings:
                if isinstance(seen, Started):
                    self.rings[number] = rings_for(seen)
            if isinstance(seen, (Sent, Got, HungUp)):
                self._message(seen)
            elif number in self.rings:
                self._see(number, queue, seen)
            elif violation is not None:  # nothing was set up yet
                self._add(number, device=self._other(seen) or "wrote to the ring")
            if self.watch is not None:
                self.watch(self.step, self.rings, self.oracle)
            if violation is not None:
                violation = replace(violation, event=index)
                break
        else:
            while at < len(self.marks):
                self._skip_to(at)
                at += 1
            violation = self.oracle.conclude()
        if violation is not None:
            self._blame(violation)
        for number, ring in self.rings.items():
            if isinstance(ring, Packed):
                ring.cursor = getattr(self.oracle.queue(number).reader, "cursor", ring.cursor)
        return Story(self.rows, self.rings, self.oracle, violation)

    # -- steps

    def _of_step(self) -> Step | None:
        return self.program.steps[self.step - 1] if 0 < self.step <= len(self.program.steps) else None

    def _skip_to(self, at: int) -> None:
        """Step number *at* (from 0) begins; show the one before, if nothing of it was to be seen."""
        self._flush()
        self.step = at + 1 if at < len(self.program.steps) else -1
        self.fresh = self.step > 0

    def _flush(self) -> None:
        if self.fresh:
            step = self._of_step()
            if step is not None:
                self._add(driver=encoding.line(step))

    def _add(self, number: int = 0, driver: str = "", device: str = "", ring: bool = False) -> None:
        step = self._of_step()
        if self.fresh and step is not None and not driver and not isinstance(step, Supply):
            driver = encoding.line(step)
        model = self._outstanding(number)
        last = self.rows[-1] if self.rows else None
        joins = last is not None and not self.fresh and last.step == self.step and not last.device and not driver
        if joins and last is not None and device:
            last.device, last.model, last.ring = device, model, ring
        else:
            self.rows.append(Row(self.step, driver, device, model, ring))
        self.fresh = False

    def _outstanding(self, number: int) -> str:
        queue = self.oracle.queue(number).queue
        names = [repr(buffer) for buffer in queue.older(_SHOWN)]
        more = len(queue.by_id) - len(names)
        names += [f"+{more}"] if more > 0 else []
        return (f"q{number} " if self.multi else "") + (" ".join(names) or "-")

    # -- observations

    def _message(self, seen: Sent | Got | HungUp) -> None:
        """What was said on a vhost-user connection."""
        if isinstance(seen, Sent):
            self._add(driver=vhost_user.name(seen.request))
        elif isinstance(seen, HungUp):
            self._add(device="closed the connection")
        else:
            self._add(device=f"answer to {vhost_user.name(seen.request)}: {seen.payload[:16].hex() or 'nothing'}")

    def _see(self, number: int, queue: QueueOracle, seen: Any) -> None:
        prefix = f"q{number}: " if self.multi else ""
        driver = self._driver(number, queue, seen)
        if driver:
            self._add(number, driver=driver)
            return
        ring = self.rings[number]
        if isinstance(seen, Stored):
            text, is_use = ring.stored(seen)
        elif isinstance(seen, SawUsed):
            text, is_use = ring.saw_used(seen), True
        elif isinstance(seen, SawDescriptor):
            text, is_use = ring.saw_descriptor(seen.position, seen.data), True
        else:
            text, is_use = self._other(seen), False
        if text:
            self._add(number, device=prefix + text, ring=is_use)
        elif isinstance(self._of_step(), Notify) and isinstance(seen, Notified) and self.fresh:
            self._add(number)

    def _driver(self, number: int, queue: QueueOracle, seen: Any) -> str:
        """What the driver did, or ''; its writes go into the picture of the ring."""
        if isinstance(seen, Supplied):
            buffer = queue.queue.held[-1] if queue.queue.held else None
            if buffer is not None:
                self.rings[number].supplied(buffer)
            step = self._of_step()
            if isinstance(step, Supply) and self.fresh:
                return f"b{seen.buffer} = {encoding.line(step)}"
            return f"b{seen.buffer} = the supply in the gap"
        if isinstance(seen, Suppressed) and isinstance(self._of_step(), Receive):
            step = self._of_step() if self.fresh else None
            return (encoding.line(step) + ": " if step is not None else "") + "asks to be notified"
        if isinstance(seen, Reclaimed):
            step = self._of_step() if self.fresh else None
            done = f"took back {seen.buffers}"
            return f"{encoding.line(step)} ({done})" if step is not None else done
        if isinstance(seen, Resetting):
            step = self._of_step()
            base = f", position {seen.base}" if seen.what == "stop" and seen.base >= 0 else ""
            return (encoding.line(step) if step is not None and self.fresh else f"{seen.what} reset") + base
        self.rings[number].driver(seen)
        if isinstance(seen, Published) and self.rows and not self.fresh:
            self.rows[-1].model = self._outstanding(number)
        return ""

    def _other(self, seen: Any) -> str:
        """Observations that don't touch the ring."""
        if isinstance(seen, Changed):
            return f"wrote {seen.data[:8].hex()} at {seen.address:#x}"
        if isinstance(seen, Scanned):
            if seen.wrong:
                return f"b{seen.buffer}: {seen.wrong}"
            length = sum(run for _, run in seen.kept)
            return f"(b{seen.buffer}: {counted(length, 'byte')} not written)" if length else ""
        if isinstance(seen, Called):
            return "notification"
        if isinstance(seen, Idle):
            return "(nothing more comes)" if seen.final else "(nothing more yet)"
        if isinstance(seen, Allowed) and seen.silent:
            return "(wants no notification)"
        return ""

    # -- the end

    def _blame(self, violation: Violation) -> None:
        """Mark the row with which it went wrong."""
        uses = [row for row in self.rows if row.ring] if violation.position >= 0 else []
        rows = uses or self.rows
        if not rows:  # at set-up, before the first step
            self.rows.append(Row(0, device=violation.message))
        row = (rows or self.rows)[-1]
        row.bad = True
        queue = self.oracle.queue(violation.queue).queue
        if violation.position >= 0 and queue.in_order and queue.by_id:
            row.note = f"✗ {queue.oldest()} is due"
        else:
            row.note = "✗"


def shortened(rows: Sequence[Row], most: int) -> tuple[list[Row], int]:
    """At most *most* of the rows, the last ones; and how many were left out."""
    left = max(0, len(rows) - most)
    return list(rows[left:]), left
