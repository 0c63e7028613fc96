"""A peer that scribbles over shared memory gets a verdict, whatever it writes; vqfuzz never falls over."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from fuzz import driver_side, generate
from fuzz import driver_side as module
from fuzz.targets.model import Model, ModelSession
from fuzz.targets.model.engine import Engine
from fuzz.verdict import BAD, CONFORMS, OUR_FAULT, UNDECIDED
from oracles.oracle import judge
from oracles.trace import Called, Stored, dump, load


class Scribbler(ModelSession):
    """The reference device behind memory that changes at random whenever the driver turns to it."""

    dice: Random
    often: float

    def scribble(self) -> None:
        if self.dice.random() < self.often:
            at = self.dice.randrange(0, 4096)
            length = self.dice.choice((1, 2, 4, 16, 200))
            self.raw[at : at + length] = self.dice.randbytes(length)

    def listen(self, observer: Callable[[int, Stored | Called], None]) -> bool:
        return False

    def notify(self, queue: int) -> None:
        self.scribble()
        super().notify(queue)
        self.scribble()

    def called(self, queue: int, seconds: float) -> bool:
        self.scribble()
        return super().called(queue, 0)

    def stop(self, queue: int) -> int:
        return self.dice.choice((super().stop(queue), self.dice.getrandbits(32), 0))


@pytest.mark.parametrize("seed", range(12))
def test_garbage_in_shared_memory(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0005)
    dice = Random(seed)
    verdicts = set()
    for index in range(8):
        program = generate.nth(seed, index, Model().limits)
        session = Scribbler(Engine, bytearray(1 << 21))
        session.dice, session.often = dice, 0.3
        outcome = driver_side.run(program, session, patient=index % 2 == 0)
        verdicts.add(outcome.verdict)
        assert outcome.verdict in BAD | {CONFORMS, UNDECIDED}
        assert outcome.verdict != OUR_FAULT
        # the evidence can be written, read and judged again, with the same result
        again, _ = judge(load(dump(outcome.trace)))
        if outcome.violation is not None:
            assert again is not None
            assert again.rule == outcome.violation.rule
    assert verdicts != {CONFORMS}
