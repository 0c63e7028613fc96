"""A search that learns: programs that reached something new are kept, and what runs next is made of them.

What «something» is, nobody here knows: an outcome comes with a set of numbers, its features, which are edges of the
target's code, states of the protocol, or whatever else tells one run from another. Knows programs and numbers. Must
not know targets. Deterministic: the same seed, limits and features make the same programs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fuzz import generate
from fuzz.choices import Choices, Seeded
from fuzz.mutate import cross, mutate
from fuzz.program import Limits, Program
from fuzz.values import Pair, Values, solve

MOST_KEPT = 4096
"""Programs kept at once; beyond, those go that are nobody's smallest."""
FRESH = 4
"""One program of so many is a fresh one of the directed generator, whatever is kept."""
_SALT = 1 << 62  # so that no choice here repeats one of the generators
_YOUNG = 8  # of the programs kept last, so many are tried more often than the rest
_RIDDLES = 2048  # comparisons that are tried to be solved
_VARIED = 4  # values that are looked for at a place where they are no constants: mostly they count something
_ATTEMPTS = 4  # at a comparison in one program; it may stand in it several times
_ROUNDS = 8  # programs in which that is tried
_LOOKS = 32  # comparisons looked at for one program to be made

Mutate = Callable[[Program, Choices, Limits], Program]
Cross = Callable[[Program, Program, Choices, Limits], Program]


@dataclass(slots=True, eq=False)
class Kept:
    """A program that reached something first, or reached it with the fewest steps."""

    program: Program
    features: frozenset[int]  # all that it reached
    own: int = 0  # of them, how many no kept program reaches with fewer steps
    tries: int = 0  # programs made of it


@dataclass(slots=True, eq=False)
class _Riddle:
    """A comparison in a program, to be solved."""

    program: Program
    pair: Pair
    tries: int = 0
    rounds: int = 0  # programs before

    def rank(self) -> tuple[int, bool]:
        """What comes first: what was tried least, and is a constant of the code."""
        return self.tries + self.rounds, not self.pair.constant


class Guided:
    """Which program runs next, from what the programs before have reached.

    *fresh* makes program number INDEX from nothing; else ``fuzz.generate.nth`` does. *change* and *join* make one
    program of one or two others, within *limits*. Use: ``program(index)``, run it, ``learn(program, features)``.
    """

    def __init__(
        self,
        seed: int,
        limits: Limits,
        fresh: Callable[[int], Program] | None = None,
        change: Mutate = mutate,
        join: Cross = cross,
    ) -> None:
        self.limits = limits
        self.kept: list[Kept] = []
        self.values = Values()
        self.new = 0  # features that learn() was the first to see, since the beginning
        self._seed = seed
        self._fresh = fresh or (lambda index: generate.nth(seed, index, limits))
        self._change = change
        self._join = join
        self._best: dict[int, Kept] = {}  # by feature, the kept program with the fewest steps
        self._riddles: dict[tuple[int, int], _Riddle] = {}  # by place, and what was wanted there
        self._wanted: Counter[int] = Counter()  # places: how many different values were looked for there

    # --- what runs next -----------------------------------------------------------------------------------------------

    def program(self, index: int) -> Program:
        """Program number *index*: fresh, or made of kept ones."""
        choices = Seeded(self._seed << 40 ^ index ^ _SALT)
        if not self.kept or not choices.integer(0, FRESH - 1):
            program = self._fresh(index)
            return self.values.place(program, choices, self.limits) if choices.integer(0, 1) else program
        if self._riddles and choices.integer(0, 2):
            solved = self._solved(choices)
            if solved is not None:
                return solved
        return self._child(choices)

    def _solved(self, choices: Choices) -> Program | None:
        """A kept program with what the target compared changed into what it compared that with."""
        open_ = [riddle for riddle in self._riddles.values() if riddle.tries < _ATTEMPTS]
        for riddle in sorted(open_, key=_Riddle.rank)[:_LOOKS]:
            solved = solve(riddle.program, riddle.pair, choices, self.limits, not riddle.tries % 2)
            riddle.tries = riddle.tries + 1 if solved is not None else _ATTEMPTS
            if solved is not None:
                return solved
        return None

    def _child(self, choices: Choices) -> Program:
        integer = choices.integer
        parent = self._parent(choices)
        program = parent.program
        kind = integer(0, 7)
        if kind == 7 and len(self.kept) > 1:
            program = self._join(program, self._parent(choices).program, choices, self.limits)
        if kind < 5 or not self.values.known:
            for _ in range(1 << integer(0, 2)):
                program = self._change(program, choices, self.limits)
        if kind > 2:
            program = self.values.place(program, choices, self.limits)
        return program

    def _parent(self, choices: Choices) -> Kept:
        """One of the youngest every other time; else, of two, the one that was tried less for what it is worth."""
        integer, kept = choices.integer, self.kept
        last = len(kept) - 1
        first = kept[integer(max(0, last - _YOUNG + 1), last) if integer(0, 1) else integer(0, last)]
        other = kept[integer(0, last)]
        if other.tries * (1 + first.own) < first.tries * (1 + other.own):
            first = other
        first.tries += 1
        return first

    # --- what came of it ----------------------------------------------------------------------------------------------

    def learn(self, program: Program, features: Iterable[int], pairs: Iterable[Pair] = ()) -> int:
        """*program* ran and reached *features*; *pairs*: what was compared and found unequal while it ran.

        Returns how many of the features are new. If any is, the program is kept.
        """
        reached = frozenset(features)
        best = self._best
        new = [feature for feature in reached if feature not in best]
        compared = list(pairs)
        self.values.learn(compared)
        self._await(program, compared)
        if new:
            self.new += len(new)
            self._keep(Kept(program, reached))
        return len(new)

    def lookout(self, features: Iterable[int]) -> list[int]:
        """Those of *features* that nobody reached before; nothing is learnt."""
        return [feature for feature in features if feature not in self._best]

    def _keep(self, one: Kept) -> None:
        steps = len(one.program.steps)
        for feature in one.features:
            best = self._best.get(feature)
            if best is None or steps < len(best.program.steps):
                if best is not None:
                    best.own -= 1
                self._best[feature] = one
                one.own += 1
        self.kept.append(one)
        if len(self.kept) > MOST_KEPT:
            self.kept = [each for each in self.kept if each.own]

    def _await(self, program: Program, pairs: list[Pair]) -> None:
        """Comparisons that were not met before are riddles; known ones get a program in which they may be solved."""
        riddles = self._riddles
        for pair in pairs:
            key = (pair.place, pair.right)
            riddle = riddles.get(key)
            if riddle is not None:
                if riddle.tries >= _ATTEMPTS and riddle.rounds < _ROUNDS:
                    riddle.program, riddle.pair, riddle.tries, riddle.rounds = program, pair, 0, riddle.rounds + 1
                continue
            if not pair.constant:
                self._wanted[pair.place] += 1
                if self._wanted[pair.place] > _VARIED:
                    continue
            if len(riddles) < _RIDDLES:
                riddles[key] = _Riddle(program, pair)
