"""Runs a hostile program: as the driver does, with pokes in between, and goes on where a device can be had again.

Whatever a device does about a poke is fine as long as it is safe: it may drop the buffer, stop, say that it needs a
reset, or close the connection. After the reset it must work. What steps mean depends on the program alone; only where
a device gave up are steps left out, up to the next reset. Never judges.
"""

from __future__ import annotations

from typing import Any

from fuzz import devices, encoding, poking
from fuzz.driver_queue import DriverQueue
from fuzz.driver_side import Driver, Stop
from fuzz.guard import Guard, overlaps
from fuzz.hostile_queue import HostileQueue
from fuzz.program import Notify, Poke, Program, QueueReset, Receive, Reset, Restart, Step, Supply, Wild
from fuzz.targets import TargetBroken, TargetDied, TargetError
from fuzz.verdict import BROKEN, CONFORMS, UNDECIDED, VIOLATES, WEDGED, Outcome
from oracles.trace import Extent, Resetting

_MARGIN = 1 << 16  # bytes behind the last buffer that are watched, too


class Renew(Stop):
    """What follows needs a session of its own."""


class HostileDriver(Driver):
    """One execution. *ever*: something was poked; *wild*: and not reset since; *loose*: writes prove nothing."""

    queue_kind = HostileQueue
    queues: list[HostileQueue]  # type: ignore[assignment]  # every one of them is of our kind

    def __init__(self, *arguments: Any) -> None:
        self.ever = self.wild = self.loose = self.renew = False
        super().__init__(*arguments)
        self.at = 0
        self.guard: Guard | None = None
        self.actions[Poke] = self._poke
        self.actions[Wild] = self._say

    # -- steps

    def execute(self) -> None:
        """As ever, but a device that gives up because of what was poked is reset, by the program's next reset."""
        self.start("init")
        steps = self.program.steps
        self.at = 0
        while self.at < len(steps):
            self._begin()
            self.outcome.reached += 1
            try:
                self._step(steps[self.at])
                self.at += 1
            except TargetBroken as broken:
                if not self.wild:
                    raise
                self._given_up(str(broken))
            except (TargetDied, TargetError) as error:
                if not self.ever:
                    raise
                raise TargetDied(str(error)) from None
        self._begin()
        self._finish()

    def _finish(self) -> None:
        if self.renew:
            self._renew()
        try:
            if self.moved:
                self._release()
            for queue in self.queues:
                queue.settle()
            self._check()
            for queue in self.queues:
                queue.linger(0.0 if self.wild else 0.01)
        except TargetBroken as broken:
            if not self.wild:
                raise
            self.outcome.rejected = str(broken)

    def _given_up(self, why: str) -> None:
        """The device needs a reset: go on with the next one."""
        self.outcome.rejected = why
        steps = self.program.steps
        self.at += 1
        while self.at < len(steps) and not isinstance(steps[self.at], Reset):
            self._begin()
            self.at += 1

    def _step(self, step: Step) -> None:
        """One step, with the guard on either side of what we write ourselves."""
        queue = self._queue_of(step.queue) if isinstance(step, Notify | Receive) else None
        ours = not (isinstance(step, Notify) or (queue is not None and queue.poked))  # whether we write in it
        if isinstance(step, Notify) and queue is not None:
            self._check()
            queue.publish()
            self._remember()
        elif ours:
            self._check()
        self.actions[type(step)](step)
        if not ours:
            self._check()
        self._remember(isinstance(step, Poke))

    def _queue_of(self, number: int) -> HostileQueue | None:
        return self.queues[number] if number < len(self.queues) else None

    def _in_gap(self, queue: DriverQueue, step: Supply) -> None:
        self._check()
        super()._in_gap(queue, step)
        self._remember()

    def _poke(self, step: Step) -> None:
        assert isinstance(step, Poke)
        queue = self._queue_of(step.queue)
        if queue is None:
            return
        self._open_guard()
        queue.note(False)
        if not poking.apply(queue, step):
            return
        self.ever = self.wild = True
        queue.spoil(encoding.line(step))
        queue.note(True)
        self._loosen()

    def _say(self, step: Step) -> None:
        assert isinstance(step, Wild)
        self._open_guard()
        self.ever = self.wild = True
        what = encoding.line(step)
        self.loose = True
        for queue in self.queues:
            queue.spoil(what)
        self.renew = self.session.wild(step.way, step.name, dict(step.values)) or self.renew

    def _reset(self, step: Step) -> None:
        if self.renew:
            self._renew()
        self.session.reset()
        for queue in self.queues:
            queue.end(Resetting("device"))
        if self.ever and self.device is not None:  # what it knew of the device, pokes may have changed
            self.device = devices.load(self.program.device, self.hints)
        self.wild = self.loose = False
        self.start("reset")

    def _renew(self) -> None:
        self.outcome.renew = True
        raise Renew

    def _queue_reset(self, step: Step) -> None:
        assert isinstance(step, QueueReset)
        if self.renew:
            return
        if not self.wild:
            super()._queue_reset(step)

    def _restart(self, step: Step) -> None:
        assert isinstance(step, Restart)
        if not self.wild:
            super()._restart(step)

    # -- the guard

    def _open_guard(self) -> None:
        if self.guard is None:
            self.guard = Guard(self.session.memory, self.arena.end + _MARGIN)

    def _loosen(self) -> None:
        """Where the device may write anywhere, nothing can be said of any queue. That begins with the rings: what an
        answer leaves there are descriptors and indices that nobody follows, in the queue of the poke or another."""
        if self.loose or not any(queue.reach.loose or self._reaches_rings(queue) for queue in self.queues):
            return
        self.loose = True
        for queue in self.queues:
            if not queue.poked:
                queue.spoil("another queue, so that anything may be written")

    def _reaches_rings(self, queue: HostileQueue) -> bool:
        """Whether what was poked lets the device write into any queue's rings or tables as into a buffer."""
        return queue.poked and any(overlaps(other.structures(), queue.reach.extents) for other in self.queues)

    def _remember(self, poked: bool = False) -> None:
        if self.guard is not None:
            for queue in self.queues:
                if queue.poked:
                    queue.note(poked)
            self._loosen()
            self.guard.remember()

    def _check(self) -> None:
        """Whether anything was written that nothing allowed. Raises Broken."""
        if self.guard is None or self.loose:
            return
        allowed: list[Extent] = []
        for queue in self.queues:
            allowed += queue.areas()
            allowed += queue.reach.extents
        found = self.guard.strays(allowed)
        if found is not None:
            poked = [queue for queue in self.queues if queue.poked] or self.queues
            poked[0].stray(*found)

    # -- the end

    def conclude(self, outcome: Outcome) -> None:
        """What a verdict means here: what is broken before the first poke is no matter of ours; after a reset, it is
        one that lasts."""
        if outcome.verdict == UNDECIDED and not self.ever:
            outcome.verdict, outcome.reason = (
                CONFORMS,
                f"not judged: it waits in vain before anything hostile happens: {outcome.reason}",
            )
        if outcome.verdict not in (VIOLATES, BROKEN):
            return
        violation = outcome.violation
        said = f"{violation.rule}: {violation.message}" if violation is not None else outcome.reason
        if not self.ever:
            outcome.verdict, outcome.violation = CONFORMS, None
            outcome.reason = f"not judged: it fails before anything hostile happens: {said}"
        elif not self.wild:
            outcome.verdict, outcome.violation, outcome.reason = WEDGED, None, f"after the reset: {said}"


def tail(program: Program) -> tuple[Step, ...]:
    """The steps behind the last reset: what must work on a device that was reset. () if there is none."""
    steps = program.steps
    last = max((at for at, step in enumerate(steps) if isinstance(step, Reset)), default=len(steps))
    return tuple(step for step in steps[last + 1 :] if not isinstance(step, Poke | Wild))
