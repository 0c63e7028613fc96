"""Buffers that nobody owes yet: held back by a lever, or waiting for something to happen on the other side.

On a target that shows nothing but its memory, the driver looks for them for a moment and goes on; what is held back
comes when the program is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from fuzz import driver_side
from fuzz.driver_side import run
from fuzz.encoding import load
from fuzz.targets.model import MEMORY, ModelSession
from fuzz.targets.model.engine import Engine
from fuzz.targets.model.faults import FAULTS
from fuzz.verdict import CONFORMS, UNDECIDED, Outcome
from oracles import spec
from oracles.trace import Called, Reclaimed, Resetting, SawDescriptor, SawUsed, Stored
from tests.test_driver_side import seen
from tests.test_model import MODES, program

PATIENCE = 20.0
modes = pytest.mark.parametrize(("layout", "in_order"), MODES)


class Quiet(ModelSession):
    """The model as a target that shows nothing but its memory and its notifications.

    With a *wire* it does nothing until a frame comes in, and so many seconds longer.
    """

    def __init__(self, engine: type[Engine] = Engine, wire: float = 0.0) -> None:
        super().__init__(engine, bytearray(MEMORY), queues=2)
        self.wire = wire
        self.timer = threading.Timer(wire, self.engines[0].run)

    def listen(self, observer: Callable[[int, Stored | Called], None]) -> bool:
        return False

    def notify(self, queue: int) -> None:
        if not self.wire:
            super().notify(queue)

    def lever(self, name: str, value: str) -> None:
        super().lever(name, value)
        if name == "frame":
            self.timer.start()


def quietly(head: str, steps: str, session: ModelSession | None = None, patient: bool = False) -> Outcome:
    """Run a program; a wait for what nobody owes, if there is one, is one for very long."""
    began = time.monotonic()
    outcome = run(program(head, steps), session or Quiet(), patient=patient)
    assert time.monotonic() - began < PATIENCE / 2
    return outcome


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_side, "PATIENCE", PATIENCE)


@modes
@pytest.mark.parametrize("asleep", ["", " asleep"])
def test_what_is_held_back_is_not_waited_for_and_comes_at_the_end(layout: str, in_order: bool, asleep: str) -> None:
    head = f"{layout} 8" + " in_order" * in_order
    outcome = quietly(head, "lever hold=1; supply in:8; supply in:9; supply in:10; notify; receive 3" + asleep)
    assert outcome.verdict == CONFORMS, outcome.violation or outcome.reason
    assert not outcome.warnings
    assert seen(outcome, Reclaimed) == ([] if in_order else [Reclaimed(2)])
    assert outcome.chains == 3


@modes
@pytest.mark.parametrize("action", ["reset", "queue-reset", "queue-reset size=2", "restart"])
def test_a_queue_may_end_while_buffers_are_held_back(layout: str, in_order: bool, action: str) -> None:
    head = f"{layout} 4 ring_reset" + " in_order" * in_order
    steps = f"lever hold=all; supply in:8; supply in:9; notify; receive 1; {action}; receive 2"
    outcome = quietly(head, steps + "; supply in:8; notify; receive 1; lever hold=0; receive 1")
    assert outcome.verdict == CONFORMS, outcome.violation or outcome.reason
    assert len(seen(outcome, Resetting)) == 1
    assert outcome.chains == (3 if action == "restart" else 1)


def loud(engine: type[Engine] = Engine) -> ModelSession:
    """The model that shows every store."""
    return ModelSession(engine, bytearray(MEMORY))


class Forgetful(Engine):
    """Forgets what it was told to hold back."""

    def work(self) -> None:
        if self.levers["hold"] == "all":
            self.todo.clear()
        super().work()


def test_what_is_held_back_at_the_end_is_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = "lever hold=all; supply in:8; notify; receive 1"
    assert quietly("split 4", steps).chains == quietly("split 4", steps, loud()).chains == 1
    assert quietly("split 4", steps, loud(Forgetful)).rule == "VQ-LIVE"
    monkeypatch.setattr(driver_side, "PATIENCE", 0.01)
    assert quietly("split 4", steps, Quiet(Forgetful)).verdict == UNDECIDED
    assert quietly("split 4", steps, Quiet(Forgetful), patient=True).rule == "VQ-LIVE"


def test_what_is_held_back_at_the_end_is_judged_as_it_comes() -> None:
    steps = "lever hold=all; lever order=lifo; supply in:8; supply in:8; notify"
    assert quietly("split 4 in_order", steps, loud(FAULTS["a05"].engine)).rule == "INO-ORDER"


@pytest.mark.parametrize("asleep", ["", " asleep"])
def test_what_happens_on_the_other_side_is_given_a_moment(asleep: str) -> None:
    """Room to receive is used when a frame comes in, and nothing is said if none does."""
    text = "virtqueue-program 1\ndevice net\nqueue split 4\nqueue split 4\nfeatures version_1\n"
    text += "supply room length=2048\nsupply room length=2048\nnotify\nlever frame=1\nreceive 2" + asleep
    for seconds, count in ((0.002, 2), (PATIENCE, 0)):
        session = Quiet(wire=seconds)
        began = time.monotonic()
        outcome = run(load(text), session, judge=False)
        session.timer.cancel()
        assert time.monotonic() - began < PATIENCE / 2
        assert outcome.verdict == CONFORMS, outcome.violation or outcome.reason
        assert outcome.chains == count


# --- a queue reset ----------------------------------------------------------------------------------------------------


class Late(Quiet):
    """Does something to a queue that was reset with buffers in flight, a moment later."""

    def __init__(self, act: str) -> None:
        super().__init__()
        self.act = act
        self.places: dict[str, int] = {}  # known when the queue was reset

    def reset_queue(self, queue: int) -> None:
        engine = self.engines[queue]
        self.places["idx"] = engine.ring.device + 2
        self.places["flags"] = engine.ring.descriptor + 14
        self.places["buffer"] = engine.todo[0].chain.writable[0][0] - self.address
        super().reset_queue(queue)

    def called(self, queue: int, seconds: float) -> bool:
        if seconds and self.places:
            if self.act == "call":
                self._calls[queue] = True
            elif self.act:
                self.memory[self.places[self.act]] ^= 0x80
            self.places.clear()
        return super().called(queue, seconds)


@pytest.mark.parametrize("act", ["", "idx", "flags", "buffer", "call"])
@pytest.mark.parametrize("layout", spec.LAYOUTS)
def test_a_queue_that_was_reset_lies_still(layout: str, act: str) -> None:
    """Neither its rings, nor the buffers that were in flight, nor a notification (2.6.1.1.1)."""
    steps = "lever hold=all; supply in:8; supply in:9; notify; queue-reset"
    outcome = quietly(f"{layout} 4 ring_reset", steps, Late(act))
    driver_only = (layout, act) == ("split", "flags")  # a table that nobody reads or writes any more
    assert outcome.rule == (CONFORMS if driver_only or not act else "VQR-QUIET"), outcome.violation


@modes
def test_what_was_used_before_a_queue_reset_is_looked_at(layout: str, in_order: bool) -> None:
    head = f"{layout} 4 ring_reset" + " in_order" * in_order
    outcome = quietly(head, "supply in:8; supply in:9; notify; queue-reset size=2; supply in:3; notify; receive 1")
    assert outcome.verdict == CONFORMS, outcome.violation or outcome.reason
    looks = [type(told).__name__ for told in seen(outcome, SawUsed, SawDescriptor, Resetting)]
    assert looks[: looks.index("Resetting")] == (["SawUsed"] if layout == "split" else ["SawDescriptor"] * 2)
    assert outcome.chains == 3
