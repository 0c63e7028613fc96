"""Programs as a fuzzer's inputs: decoded, run, judged; mutated and crossed as programs, not as bytes.

An input is the text of a program, as corpora hold it; whatever is not, is bytes that choose one. Both are made to fit
the target. Knows targets by their words, and what a run comes to. Must not know which fuzzer this is for.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fuzz import encoding, finds, generate, hostile
from fuzz.choices import Seeded
from fuzz.confirm import Needs, Runner, decide, minimise
from fuzz.coverage.libfuzzer import Registered, register
from fuzz.fitting import fit
from fuzz.harness.raising import Found, identifier
from fuzz.mutate import cross, mutate
from fuzz.program import Limits, Program
from fuzz.reader import HEADER
from fuzz.registry import make
from fuzz.targets import Target
from fuzz.telling import facts, report, shrunk_facts
from fuzz.verdict import BAD, OUR_FAULT, Outcome

FINDS = "VQFUZZ_OUT"
"""The variable of the environment that names the folder for finds; without it, none are kept but by the fuzzer."""
FRESH = 4
"""One mutant of so many is a new program of the generator, and has nothing of the input."""
_TEXT = HEADER.encode()
_AUDITED = 16  # in one of so many programs what our own driver writes is judged, too
_SHRINKING = 5.0  # seconds, of the 25 that a fuzzer's input may take


def decode(data: bytes, limits: Limits) -> Program:
    """The program that *data* is or chooses, within *limits*. Never raises."""
    if data.startswith(_TEXT):
        text = data.decode("utf-8", "replace")
        try:
            return fit(encoding.load(text), limits)
        except encoding.ProgramError:
            return fit(encoding.repair(text)[0], limits)
    return encoding.from_bytes(data, limits)


def encode(program: Program, most: int) -> bytes:
    """The text of *program* in at most so many bytes: with fewer steps if it must be; b"" if there is no way."""
    steps = program.steps
    while True:
        data = encoding.dump(replace(program, steps=steps)).encode()
        if len(data) <= most or not steps:
            return data if len(data) <= most else b""
        steps = steps[: len(steps) * most // (len(data) + 1)]


class Programs:
    """Programs on one target. *limits*: narrower ones than the target's own.

    The target is opened when the first input comes, or counted(), which must come before libFuzzer begins.
    """

    def __init__(self, words: str, narrow: Callable[[Limits], Limits] = lambda limits: limits) -> None:
        self.words = words
        self._narrow = narrow
        self._runner: Runner | None = None
        self._limits: Limits | None = None
        self._counted: Registered | None = None

    def counted(self) -> bool:
        """Start the target; whether it counts its own code, of which libFuzzer knows from now on then.

        Raises TargetError, UsageTrouble, EnvironmentTrouble.
        """
        self.runner.target.probe()
        self._counted = register(self.runner.target)
        return self._counted is not None

    @property
    def runner(self) -> Runner:
        """The runner of the target."""
        if self._runner is None:
            self._runner = Runner(self.make())
        return self._runner

    def make(self) -> Target:
        """The target."""
        return make(self.words)

    @property
    def limits(self) -> Limits:
        """What programs may hold."""
        if self._limits is None:
            self._limits = self._narrow(self.runner.target.limits)
        return self._limits

    # -- inputs

    def mutate(self, data: bytes, most: int, seed: int) -> bytes:
        """Another input, of at most so many bytes; one of FRESH has nothing of *data*."""
        limits, choices = self.limits, Seeded(seed)
        if choices.integer(0, FRESH - 1):
            program = mutate(decode(data, limits), choices, limits)
        else:
            wild = "hostile" in limits.actions and limits.role == "driver"
            program = (hostile if wild else generate).program(choices, limits)
        return encode(program, most) or data[:most]

    def cross(self, first: bytes, second: bytes, most: int, seed: int) -> bytes:
        """An input made of two."""
        limits = self.limits
        program = cross(decode(first, limits), decode(second, limits), Seeded(seed), limits)
        return encode(program, most) or first[:most]

    # -- runs

    def run(self, program: Program, number: int) -> Outcome:
        """What comes of it, with as much patience as it needs; *number* decides whether we are judged, too."""
        runner = self.runner
        runner.audit = number % _AUDITED == 0
        if self._counted is not None:
            self._counted.begin()
        outcome, _ = decide(runner, program)
        if self._counted is not None:
            self._counted.replay()
        runner.audit = False
        if runner.late and outcome.verdict not in BAD:
            outcome.verdict, outcome.reason = runner.late_verdict, runner.late
        runner.late = ""
        return outcome

    def look(self, data: bytes) -> Found | None:
        """Run the input: what is found, made small, and kept if there is a place for finds."""
        program = decode(data, self.limits)
        outcome = self.run(program, zlib.crc32(data))
        if outcome.verdict not in BAD:
            return None
        return self._found(program, outcome)

    def _found(self, program: Program, outcome: Outcome) -> Found:
        runner = self.runner
        target, rule = runner.target, outcome.rule
        violation = outcome.violation
        message = violation.message if violation is not None else outcome.reason
        if outcome.verdict == OUR_FAULT:
            kind = rule if violation is not None else outcome.reason.partition(":")[0]
            text = f"{outcome.reason}\n{runner.trace_of_fault}\n{encoding.dump(program)}"
            return Found(f"OUR_FAULT_{identifier(kind)}", message, text)
        meta = facts(target, outcome, seed=0, index=0, options="", patient=False)
        small = minimise(runner, program, outcome, Needs(rule), seconds=_SHRINKING)
        folder = os.environ.get(FINDS, "")
        file: Path | None = None
        if folder:
            find = finds.save(Path(folder), rule, program, outcome, meta)
            finds.update(find, shrunk=shrunk_facts(program, small), marks=list(small.outcome.marks))
            meta, file = find.meta, find.folder / finds.MINIMAL
        text = report(meta, small.program, small.outcome, file)
        if folder:
            finds.complete(find, small.program, small.outcome, text)
        return Found(rule, message, text)
