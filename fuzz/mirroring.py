"""A program in which we are the driver as one in which we are the device: the same idea, seen from the other side.

What our driver did, the driver under test is asked to do; what was left to the device, we do, in the way that is most
awkward and still legal. The rules' programs are written once so, and serve both. Knows programs alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fuzz.program import (
    Add,
    Call,
    Callbacks,
    Get,
    Kick,
    Lever,
    Notify,
    Program,
    QueueReset,
    Receive,
    Reset,
    Restart,
    Step,
    Supply,
    Suppress,
    Use,
)
from oracles import spec

_MODES = {"enable": "on", "disable": "off", "event": "delayed"}
_ALL = 0xFFFF


def mirrored(program: Program) -> Program:
    """*program*, whose role is driver and which is for class «any», sides changed; at its end all comes back."""
    steps = tuple(_Mirror(program).steps())
    return replace(program, queues=program.queues[:1], steps=steps, role="device")


class _Mirror:
    """One program on its way to the other side."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.singly = False  # the lever batch=1
        self.holding = False  # the lever hold
        self.answers: list[int | None] = []  # bytes to write, of each buffer that was not used yet

    def steps(self) -> Iterator[Step]:
        """What both do, then whatever is still out."""
        yield from self._words()
        for step in self.program.steps:
            yield from self._step(step)
        yield Kick()
        yield from self._use(Receive(len(self.answers) or 1))
        yield Add((), (1,))
        yield Kick()
        yield from self._use(Receive(1))

    def _words(self) -> Iterator[Step]:
        if self.program.features & spec.EVENT_IDX:
            yield Suppress("event")

    def _step(self, step: Step) -> Iterator[Step]:
        if isinstance(step, Supply):
            yield from self._supply(step)
        elif isinstance(step, Notify):
            yield Kick()
        elif isinstance(step, Receive):
            if not self.holding:
                yield from self._use(step)
        elif isinstance(step, Suppress):
            yield Callbacks(_MODES[step.mode])
        elif isinstance(step, Lever):
            self._lever(step)
        elif isinstance(step, Reset | QueueReset | Restart):
            yield step
            if not isinstance(step, Restart):
                self.answers.clear()
                yield from self._words()

    def _lever(self, step: Lever) -> None:
        if step.name == "batch":
            self.singly = step.value == "1"
        elif step.name == "hold":
            self.holding = step.value != "0"

    def _supply(self, step: Supply) -> Iterator[Step]:
        added = Add(tuple(max(1, one) for one in step.readable), tuple(max(1, one) for one in step.writable))
        self.answers.append(step.answer)
        if step.gap:  # the device was about to sleep: its words excuse the driver from notifying it
            yield from (Suppress("disable"), added, Kick(), Suppress("event"))
        else:
            yield added

    def _use(self, step: Receive) -> Iterator[Step]:
        count = min(step.count, len(self.answers)) or 1
        length = self.answers[count - 1] if self.answers else None
        del self.answers[:count]
        yield Use(count, length, singly=self.singly, junk=True)
        yield Call()
        yield Get(count, step.asleep)
        yield from self._words()
