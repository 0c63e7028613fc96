"""What each program of a corpus adds to the others: features of running it, and the fewest programs that have all.

Programs run on the reference model, so the same program has the same features everywhere; with a target that counts
its own code, edges of that are features, too. Knows programs and features. Must not know files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast, runtime_checkable

from fuzz.common import misfit
from fuzz.confirm import Runner
from fuzz.features import features
from fuzz.program import Program
from fuzz.targets import Target
from fuzz.targets.model import Model
from fuzz.targets.model_driver import ModelDriver
from fuzz.trouble import UsageTrouble

_ANSWERS = frozenset({"VQ-DATA"})  # the model knows no device classes: what it answers is not looked at


class Counts(Protocol):
    """What a target counts of its own code."""

    def clear(self) -> None:
        """Count from 0."""
        ...

    def hits(self) -> Iterable[tuple[int, int]]:
        """Each place that was reached, and how often (1 to 255)."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A target that counts its own code, if it was built so."""

    def counters(self) -> Counts | None:
        """Its counters, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """A program of a corpus: how it is called, how long it is, and all that it exercises."""

    name: str
    program: Program
    features: frozenset[str] = field(repr=False)


class Measure:
    """Runs programs to see what they exercise. *target*: whose edges count, too. Raises UsageTrouble, TargetError."""

    def __init__(self, target: Target | None = None) -> None:
        self._models = {"driver": Runner(Model()), "device": Runner(cast("Target", ModelDriver()))}
        self._runner: Runner | None = None
        self._target = target
        self._offered = 0
        if target is not None:
            if _counters(target) is None:
                raise UsageTrouble(f"{target.name} counts none of its own code; leave --target out, or build it with "
                                   "coverage")  # fmt: skip
            self._runner = Runner(target)
            self._offered = target.probe().features

    def features(self, program: Program) -> frozenset[str]:
        """What *program* exercises on the reference model, and on the target."""
        runner = self._models[program.role]
        found = features(program, runner.run(program, without=_ANSWERS))
        if self._runner is None or self._target is None or misfit(program, self._target.limits, self._offered):
            return found
        before = _counters(self._target)
        if before is not None:
            before.clear()
        self._runner.run(program)
        counts = _counters(self._target)  # others, if it was started anew
        hits = counts.hits() if counts is not None else ()
        return found | {f"edge {place:x}={count.bit_length()}" for place, count in hits}


def _counters(target: Target) -> Counts | None:
    return target.counters() if isinstance(target, Counting) else None


def fewest(corpus: Sequence[Measured]) -> list[Measured]:
    """Programs of *corpus* that have all features of all, short ones first: of those none can be left out.

    Greedy, rarest features first; the same for the same programs in any order.
    """
    ordered = sorted(corpus, key=_size)
    often = rarity(ordered)
    kept: dict[str, Measured] = {}
    covered: set[str] = set()
    for feature in sorted(often, key=lambda one: (often[one], one)):
        if feature in covered:
            continue
        having = [one for one in ordered if feature in one.features]
        best = max(having, key=lambda one: len(one.features - covered))  # of equals the first, which is the shortest
        kept[best.name] = best
        covered |= best.features
    return _needed([one for one in ordered if one.name in kept])


def _needed(kept: list[Measured]) -> list[Measured]:
    """Without those that others make superfluous, the longest first."""
    often = rarity(kept)
    left = []
    for one in reversed(kept):
        if all(often[feature] > 1 for feature in one.features):
            often.subtract(one.features)
        else:
            left.append(one)
    return left[::-1]


def _size(one: Measured) -> tuple[int, str]:
    return len(one.program.steps), one.name


def rarity(corpus: Iterable[Measured]) -> Counter[str]:
    """How many programs have each feature."""
    return Counter(feature for one in corpus for feature in one.features)
