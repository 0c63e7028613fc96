"""The main job: programs, one after the other, against a target; what is found is saved, re-run, shrunk, told.

Knows what a find goes through, in which order. Must not know how a target is reached or a ring is read.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from fuzz import __version__, corpus, deviations, encoding, engines, finds
from fuzz.confirm import Needs, Runner, Smaller, again, audited, decide, minimise
from fuzz.coverage.steering import Steering, steering
from fuzz.earlier import Programs, needed, smaller
from fuzz.engines.composed import Behind, Steered
from fuzz.finds import Find
from fuzz.pacing import Pace
from fuzz.program import Limits, Program
from fuzz.report.text import quote
from fuzz.status import Status, counted
from fuzz.tally import Tally
from fuzz.targets import Target, TargetError
from fuzz.telling import facts, report, shrunk_facts
from fuzz.traits import traits
from fuzz.trouble import FOUND, INTERRUPTED, TARGET
from fuzz.verdict import BAD, CRASHED, HUNG, OUR_FAULT, UNDECIDED, VIOLATES, Outcome
from fuzz.wanted import Wanted, narrow
from oracles.rules import unbound
from oracles.trace import dump

AGAIN_MODEL, AGAIN_REAL = 20, 5
AUDITED = 16
"""In one of so many programs what our own driver writes is judged, too; and in every one that is told."""
AUDIT = "audit.vqtrace"
_CLOSER_LOOKS = 3  # at further finds of a rule, shrunk to see whether they are the same; then they are counted
_KNOWN_LOOKS = 2  # at finds that are a known deviation; then what has its traits is counted as one
_GLANCE = 6.0  # seconds for making small what is expected to be one
Say = Callable[[str], None]


class Campaign:
    """One run of ``vqfuzz fuzz``. *say* prints a result, *status* shows progress."""

    def __init__(self, target: Target, wanted: Wanted, say: Say, status: Status) -> None:
        self.target = target
        self.wanted = wanted
        self.say = say
        self.status = status
        self.runner = Runner(target)
        self.runner.unasked, self.runner.strict = unbound(wanted.version), wanted.strict
        self.tally = Tally(target.role)
        self.kept: dict[tuple[str, str], Find] = {}  # by rule and smallest program
        self.looked: Counter[str] = Counter()
        self.pace = Pace(wanted.seconds, target.role == "driver")
        self.began = time.monotonic()
        self.aside = 0.0  # seconds spent on finds
        self.limits = target.limits
        self.first: list[tuple[str, Program]] = []  # programs of a corpus, by their names: they run before all others
        self.over = False  # once set, no other program is begun
        self.steering: Steering | None = None  # by the target's coverage, if it counts it
        self.engine: engines.Engine

    def run(self) -> int:
        """Everything, until a find, the end, or Ctrl-C. Returns the exit code."""
        wanted = self.wanted
        finds.check(wanted.out)
        offer = self.target.probe()
        self.limits, notes = narrow(self.target, offer, wanted.layout, wanted.in_order)
        if wanted.corpus is not None:
            self.first, left_out = corpus.fitting(wanted.corpus, self.limits, offer.features, wanted.share)
            notes += left_out
        self.say(header(str(wanted.seed), self.target.name, self.limits))
        for note in notes:
            self.say(note)
        deviations.every()  # a list that can't be read is told now
        self.engine = self._engine()
        self.began = self.pace.begin()
        self.runner.until = self.pace.until
        code = None
        try:
            self._programs()
        except KeyboardInterrupt:
            code = INTERRUPTED
        except TargetError as error:
            self.status.clear()
            self.say(f"stopped after {counted(self.tally.programs, 'program')}: {error}")
            code = FOUND if self.tally.found else TARGET
        finally:
            self.engine.close()
        self._finish(code == INTERRUPTED)
        return self.tally.code() if code is None else code

    # -- the loop

    def _programs(self) -> None:
        wanted, tally, runner, engine = self.wanted, self.tally, self.runner, self.engine
        limit = wanted.runs if wanted.runs is not None else 1 << 62
        before: Program | None = None
        outcome = Outcome()
        place = 0
        while (engine.apart or engine.drawn < limit) and not self.over:
            now = time.monotonic()
            if now >= self.pace.deadline:
                break
            if self.status.due(now):
                self._progress(now)
            program = engine.next()
            self._note()
            if program is None:
                if engine.over:
                    break
                continue
            index = engine.drawn - 1
            if wanted.avoid and not wanted.avoid.isdisjoint(traits(program, self.limits.hints)):
                continue
            last = outcome
            runner.audit = index % AUDITED == 0
            began = time.monotonic()
            outcome, patient = decide(runner, program)
            self.pace.cost = time.monotonic() - began
            runner.audit = False
            late, runner.late = runner.late, ""
            engine.ran(program, outcome)
            tally.programs += not engine.apart
            if late and before is not None and last.verdict not in BAD:
                last.verdict, last.reason = runner.late_verdict, late
                if self._found(before, place, last, False, True):
                    return
            if self._count(program, index, outcome, patient):
                return
            before, place = program, index
        if runner.real and before is not None and outcome.verdict not in BAD:
            runner.settle()
            if runner.late:
                outcome.verdict, outcome.reason = runner.late_verdict, runner.late
                self._found(before, place, outcome, False, True)

    def _note(self) -> None:
        """What the engine has done by itself."""
        engine, tally = self.engine, self.tally
        tally.drawn = max(engine.drawn, 0)
        if engine.apart:
            tally.programs, tally.chains = engine.drawn, engine.used
            while engine.shapes:
                tally.shape(*engine.shapes.pop())

    def _engine(self) -> engines.Engine:
        """Where programs come from. Those of a corpus have numbers below 0."""
        wanted = self.wanted
        if wanted.engine == engines.DEFAULT:
            self.steering = steering(wanted.coverage, self.target, wanted.seed, self.limits, wanted.mode)
        if self.steering is not None:
            self.say("guided by what the target counts of its own code (--coverage off: not)")
        source = wanted.source(self.target, self.limits)
        engine: engines.Engine = (
            Steered(self.steering, self.runner.run) if self.steering else engines.make(wanted.engine, source)
        )
        return Behind([program for _, program in self.first], engine) if self.first else engine

    def _edges(self) -> list[str]:
        return [self.steering.words()] if self.steering is not None else []

    def _count(self, program: Program, index: int, outcome: Outcome, patient: bool) -> bool:
        """Take an outcome into account; whether the campaign is over."""
        tally = self.tally
        tally.chains += outcome.chains
        tally.by_queue.update(outcome.by_queue)
        tally.rejected += bool(outcome.rejected)
        tally.unjudged += program.hostile and outcome.reason.startswith("not judged")
        tally.shape(program.layout, program.features)
        for warning in outcome.warnings:
            tally.warnings[warning.rule] += 1
        if outcome.verdict in BAD:
            return self._found(program, index, outcome, patient, False)
        if self.engine.apart:
            tally.flaky += 1  # it failed in the engine's process
        elif outcome.verdict == UNDECIDED:
            tally.undecided += 1
        elif patient:
            tally.slow += 1
        return False

    def _progress(self, now: float) -> None:
        seconds = max(now - self.began - self.aside, 1e-6)
        self.status.show(self.tally.progress(now - self.began, seconds, self._edges()))

    # -- a find

    def _found(self, program: Program, index: int, outcome: Outcome, patient: bool, finish: bool) -> bool:
        """Save, re-run, shrink, tell. Whether the campaign is over."""
        tally, wanted = self.tally, self.wanted
        rule = outcome.rule
        tally.by_rule[rule] += 1
        looked = f"{rule} {outcome.cause}" if outcome.cause else rule  # ends of which we know why differ by that
        if self.looked[looked] > _CLOSER_LOOKS or self._met_often(rule, program):
            return False
        self.looked[looked] += 1
        ran = self.runner.earlier(program)
        meta = self._facts(index, outcome, patient)
        with finds.uninterrupted():
            find = finds.save(wanted.out, rule, program, outcome, meta)
            self._saved(find, rule)
        self.status.clear()
        self.status.show(f"{rule} in {self._named(index)}: saved as {find.folder}", force=True)
        if outcome.verdict == OUR_FAULT:
            self._ours(find, outcome)
            return not wanted.go_on
        needs = Needs(rule, patient, finish, cause=outcome.cause)
        repeated = any(known == rule for known, _ in self.kept)
        found = tally.found
        began = time.monotonic()
        stopped = self._confirm(find, outcome, needs, repeated, ran)
        self.aside += time.monotonic() - began
        if stopped:
            raise KeyboardInterrupt
        return not wanted.go_on and tally.found > found  # neither what never came back nor what is known ends the run

    def _saved(self, find: Find, rule: str) -> None:
        """A find is on disk, and nothing can come between that and this."""

    def _met_often(self, rule: str, program: Program) -> bool:
        """Whether this looks like a known deviation that was met, and shrunk, several times already."""
        for one in self.tally.known:
            often = self.tally.known[one] >= _KNOWN_LOOKS
            if often and one.seen_as(rule) and traits(program, self.limits.hints).issuperset(one.when):
                self.tally.known[one] += 1
                return True
        return False

    def _expected(self, find: Find) -> bool:
        """Whether it may be a deviation that is known and accepted: then it need not be seen again and again first."""
        return not self.wanted.everything and deviations.expected(self.target.name, _version(find), find.meta["rule"])

    def _known(self, find: Find, small: Smaller) -> bool:
        """Whether a find is a deviation that is known and accepted; then it is counted, and forgotten."""
        meta = find.meta
        words = f"{small.outcome.reason}\n{meta['message']}\n{meta['words']}"
        one = deviations.known(self.target.name, _version(find), meta["rule"], words, small.program)
        if one is None or self.wanted.everything:
            return False
        self.tally.known[one] += 1
        self.looked[meta["rule"]] -= 1
        finds.remove(find)
        return True

    def _confirm(self, find: Find, outcome: Outcome, needs: Needs, repeated: bool, ran: Programs) -> bool:
        """Re-run and shrink a saved find, and tell it unless it is known. Whether the user interrupted that."""
        program, rule = find.program, needs.rule
        times = self.pace.times((AGAIN_REAL if self.runner.real else AGAIN_MODEL) if not repeated else 1, rule)
        if self._expected(find):
            small = self._smaller(program, outcome, needs, _GLANCE)
            if self._known(find, small):
                return small.stopped
        try:
            self.runner.restart()
            count = self._again(program, needs, times)
            if not count and not self.pace.over():
                needs, count = self._after(find, needs, ran, times)
        except (KeyboardInterrupt, TargetError):
            self.tally.found += 1
            self.kept[rule, encoding.dump(program)] = find
            self._tell(find, None, outcome)
            raise
        finds.update(find, runs={"again": count, "of": times})
        if not count:
            self.tally.flaky += 1
            self._tell(find, None, outcome)
            return False
        if 0 < count < times:
            needs = replace(needs, tries=3)
        small = self._smaller(program, outcome, needs)
        if self._known(find, small):
            return small.stopped
        text = "".join(map(encoding.dump, (*find.before, small.program)))
        if (rule, text) in self.kept:
            finds.remove(find)
            return small.stopped
        # where a driver is under test, we are judged in every execution
        fault = audited(self.runner, small.program, needs) if self.target.role != "driver" else None
        if fault is not None:  # nobody is accused on a program in which our driver broke a rule
            self._ours(find, fault)
            return small.stopped
        self.tally.found += 1
        self.kept[rule, text] = find
        finds.update(find, shrunk=shrunk_facts(program, small), marks=list(small.outcome.marks))
        self._tell(find, small, small.outcome)
        return small.stopped

    def _ours(self, find: Find, outcome: Outcome) -> None:
        """Tell that a find is a fault of ours; its trace shows what our driver wrote, if that is what was wrong."""
        self.tally.ours += 1
        with finds.uninterrupted():
            if outcome.violation is None:
                finds.update(find, traceback=self.runner.trace_of_fault)
            else:
                finds.add(find.folder, AUDIT, dump(outcome.trace))
        self.status.clear()
        self.say(f"{_our_fault(outcome)}; please report it, with {find.folder}")

    def _smaller(self, program: Program, outcome: Outcome, needs: Needs, seconds: float = 0.0) -> Smaller:
        def show(done: int, now: Program) -> None:
            steps = counted(len(now.steps), "step")
            self.status.show(f"{needs.rule}: {steps} after {counted(done, 'execution')}")

        allowed = self.pace.shrinking(needs.rule, seconds)
        if allowed is None:
            return Smaller(program, outcome, 0, 0.0, False)
        return minimise(self.runner, program, outcome, needs, seconds=allowed, progress=show)

    def _again(self, program: Program, needs: Needs, times: int) -> int:
        return again(self.runner, program, needs, times,
                     lambda done: self.status.show(f"{needs.rule}: again {done}/{times}"))  # fmt: skip

    def _after(self, find: Find, needs: Needs, ran: Programs, times: int) -> tuple[Needs, int]:
        """It didn't fail alone: with what it takes of the programs that *ran* before, if it mostly does then.

        These are saved with it. Else it is a matter of chance, and theirs would only seem to be a part in it.
        """

        def show(what: str) -> None:
            self.status.show(f"{needs.rule}: {what}")

        before = needed(self.runner, find.program, needs, ran, show)
        behind = replace(needs, before=before)
        count = self._again(find.program, behind, times) if before else 0
        if 2 * count <= times:
            return needs, 0
        behind = replace(needs, before=smaller(self.runner, find.program, behind, show))
        with finds.uninterrupted():
            finds.precede(find, behind.before)
        return behind, count

    def _tell(self, find: Find, small: Smaller | None, outcome: Outcome) -> None:
        """Write the report beside the find, and print it."""
        program = small.program if small is not None else find.program
        file = find.folder / (finds.MINIMAL if small is not None else finds.PROGRAM)
        text = report(find.meta, program, outcome, file, find.before)
        with finds.uninterrupted():
            if small is not None:
                finds.complete(find, program, outcome, text)
            else:
                finds.add(find.folder, finds.REPORT, text)
        self.status.clear()
        self.say("")
        if not find.meta.get("runs", {}).get("again", 1):
            self.say(f"FLAKY: {outcome.rule} was seen once, and not again; its trace is the evidence ({find.folder})")
            if self.tally.flaky > 1:
                return
        self.say(text)

    def _facts(self, index: int, outcome: Outcome, patient: bool) -> finds.Meta:
        """What the find's folder says about how it came about."""
        named = {"corpus": self.first[index][0]} if index < 0 else {}
        return facts(self.target, outcome, seed=self.wanted.seed, index=index, patient=patient, **named,
                     options=self.wanted.options(max(index + 1, 1), from_corpus=index < 0))  # fmt: skip

    def _named(self, index: int) -> str:
        return self.first[index][0] if index < 0 else f"program {index}"

    # -- the end

    def _finish(self, interrupted: bool) -> None:
        self.status.clear()
        tally = self.tally
        whole = time.monotonic() - self.began
        for (rule, _), find in self.kept.items():
            also_seen(find, rule, tally.by_rule[rule] - 1, self.say)
        for line in tally.remarks():
            self.say(line)
        self.say(tally.summary(whole, max(whole - self.aside, 1e-6), self.wanted.out, interrupted, self._edges()))
        self.say(f"again: vqfuzz fuzz {quote(self.target.name)} {self.wanted.options(max(tally.drawn, 1))}")


def header(seeds: str, target: str, limits: Limits) -> str:
    """The first line of a run."""
    orders = " ".join("on" if one else "off" for one in limits.in_order)
    return f"vqfuzz {__version__} · seed {seeds} · {target} · {' '.join(limits.layouts)} · in_order {orders}"


def also_seen(find: Find, rule: str, more: int, say: Say) -> None:
    """Tell how often else the rule of a find was seen, here and in its folder."""
    if more > 0:
        say(f"{find.id}: {rule} also seen {counted(more, 'more time')}")
        finds.update(find, also_seen=more)


def _version(find: Find) -> str:
    return str(find.meta["describe"].get("version", ""))


def _our_fault(outcome: Outcome) -> str:
    return f"vqfuzz itself failed on this program: {outcome.reason}"


__all__ = ["CRASHED", "HUNG", "VIOLATES", "Campaign", "Wanted", "narrow"]
