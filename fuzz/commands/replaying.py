"""``replay``, ``shrink``, ``explain`` and ``judge``: what can be done with a program, a find or a trace."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fuzz import encoding, finds, registry
from fuzz.commands.fuzzing import say
from fuzz.confirm import Needs, Runner, decide, minimise
from fuzz.finds import Find
from fuzz.report.text import Shown, render, where
from fuzz.status import Status
from fuzz.targets import TargetError
from fuzz.telling import report, shrunk_facts
from fuzz.trouble import CONFORMS, FOUND, INTERRUPTED, TARGET, UNCLEAR, UsageTrouble, deliver
from fuzz.verdict import BAD, UNDECIDED, VIOLATES, Outcome
from oracles import spec
from oracles.driver_oracle import judge_driver
from oracles.oracle import judge as judge_trace
from oracles.rules import Level, Violation, unbound
from oracles.rules import registry as rules
from oracles.trace import Answered, Asked, Entry, Exposed, Looked, Supplied

_Words = tuple[str, str]  # of a target, and what starts its QEMU


def target_words(find: Find, target: str | None, qemu: str, path: Path) -> _Words:
    """The target that a program belongs on. Raises UsageTrouble."""
    words = target or find.meta.get("target")
    if not words:
        raise UsageTrouble(f"{path}: no {finds.META} beside it names its target; add --target, such as --target model")
    if not qemu and words == find.meta.get("target"):
        qemu = str(find.meta.get("describe", {}).get("qemu", ""))
    return str(words), qemu


@contextmanager
def _runners() -> Iterator[dict[_Words, Runner]]:
    """Runners by the words of their targets; all are ended."""
    made: dict[_Words, Runner] = {}
    try:
        yield made
    finally:
        for runner in made.values():
            runner.target.close()


def _runner(made: dict[_Words, Runner], words: _Words) -> Runner:
    if words not in made:
        made[words] = Runner(registry.make(*words))
    return made[words]


# --- replay -----------------------------------------------------------------------------------------------------------


def replay(path: Path, target: str | None, qemu: str, times: int, quiet: bool) -> int:
    """Run each program *times* times; a line each. Returns the exit code."""
    paths = list(finds.programs(path))
    codes: Counter[int] = Counter()
    with _runners() as made:
        for place in paths:
            find = finds.load(place)
            words = target_words(find, target, qemu, place)
            try:
                line, code = _replay(_runner(made, words), find, times)
            except TargetError as error:
                line, code = f"ERROR  {error}", TARGET
            codes[code] += 1
            if not quiet:
                say(f"{line}   {place}" + (f" on {words[0]}" if target else ""))
    if not quiet and len(paths) > 1:
        parts = [f"{count} {_MEANS[code]}" for code, count in sorted(codes.items())]
        say(f"{len(paths)} programs: {', '.join(parts)}")
    return next(code for code in (FOUND, TARGET, UNCLEAR, CONFORMS) if codes[code])


_MEANS = {CONFORMS: "conform", FOUND: "failed", UNCLEAR: "flaky or undecided", TARGET: "could not be run"}


def _replay(runner: Runner, find: Find, times: int) -> tuple[str, int]:
    """What a program does now, in words, and the exit code that this is worth."""
    known = str(find.meta.get("rule", ""))
    crashing = known in ("CRASHED", "HUNG") or find.program.hostile
    seen: Counter[str] = Counter()
    undecided = 0
    last: dict[str, Outcome] = {}
    for salt in range(times):
        patient = bool(find.meta.get("patient"))
        outcome = runner.run(find.program, patient, salt, finish=crashing, before=find.before)
        if outcome.verdict == UNDECIDED:
            outcome, _ = decide(runner, find.program, find.before)
        if outcome.verdict in BAD:
            seen[outcome.rule] += 1
            last[outcome.rule] = outcome
        undecided += outcome.verdict == UNDECIDED
    bad = sum(seen.values())
    if bad == times:
        rule, count = seen.most_common(1)[0]
        violation = last[rule].violation
        what = violation.message if violation is not None else last[rule].reason
        others = "".join(f", {other} {more}/{times}" for other, more in seen.most_common()[1:])
        return f"FAILS  {rule} {count}/{times}{others}: {what}", FOUND
    if bad:
        return "FLAKY  " + ", ".join(f"{rule} {count}/{times}" for rule, count in seen.most_common()), UNCLEAR
    if undecided:
        return f"UNDECIDED  {undecided}/{times}", UNCLEAR
    return (f"FIXED  {known} 0/{times}" if known else f"CONFORMS  {times}/{times}"), CONFORMS


# --- shrink -----------------------------------------------------------------------------------------------------------


def shrink(path: Path, target: str | None, qemu: str, out: Path | None) -> int:
    """Make a program smaller as long as it fails in the same way. Returns the exit code."""
    find = finds.load(path)
    status = Status()
    with _runners() as made:
        runner = _runner(made, target_words(find, target, qemu, path))
        outcome, patient = decide(runner, find.program, find.before)
        if outcome.verdict not in BAD:
            status.clear()
            say(f"nothing to shrink: {path} {'is undecided' if outcome.verdict == UNDECIDED else 'conforms'}")
            return UNCLEAR if outcome.verdict == UNDECIDED else CONFORMS
        smaller = minimise(runner, find.program, outcome, Needs(outcome.rule, patient, before=find.before),
                           progress=lambda done, now: status.show(f"{len(now.steps)} steps after {done}"))  # fmt: skip
    status.clear()
    facts = shrunk_facts(find.program, smaller)
    text = encoding.dump(smaller.program)
    deliver(text, out)
    ended = "interrupted" if smaller.stopped else "done" if smaller.complete else "stopped before the end"
    print(
        f"{outcome.rule}: {facts['before']} → {facts['after']} steps in {facts['executions']} executions, {ended}",
        file=sys.stderr,
    )
    return INTERRUPTED if smaller.stopped else FOUND


# --- explain ----------------------------------------------------------------------------------------------------------


def explain(path: Path, target: str | None, qemu: str) -> int:
    """Run a program and print the report; if its target can't be used, from the saved trace."""
    find = finds.load(path)
    words = target_words(find, target, qemu, path)
    saved = finds.MINIMAL_TRACE if find.meta.get("shrunk") and path.name != finds.PROGRAM else finds.TRACE
    file = find.folder / finds.MINIMAL if path.is_dir() and (path / finds.MINIMAL).exists() else path
    file = find.folder / finds.PROGRAM if file.is_dir() else file
    meta = dict(find.meta) if words[0] == find.meta.get("target") else {"target": words[0]}
    if file.name != finds.MINIMAL:
        meta.pop("shrunk", None)
    with _runners() as made:
        try:
            outcome, _ = decide(_runner(made, words), find.program, find.before)
        except (TargetError, UsageTrouble) as error:
            trace = find.folder / saved
            if target is not None or not find.meta or not trace.exists():
                raise
            say(f"{error}: from the saved trace\n")
            return _from_trace(find, meta, file, trace)
    if outcome.verdict not in BAD:
        say(f"{outcome.verdict}: {path} on {words[0]}" + (f": {outcome.reason}" if outcome.reason else "") + "\n")
    say(report(meta, find.program, outcome, file, find.before).rstrip("\n"))
    return _code(outcome.verdict)


def _code(verdict: str) -> int:
    return FOUND if verdict in BAD else UNCLEAR if verdict == UNDECIDED else CONFORMS


def _from_trace(find: Find, meta: finds.Meta, file: Path, trace: Path) -> int:
    marks = meta.get("marks" if trace.name == finds.MINIMAL_TRACE else "first_marks") or []
    verdict, why = str(find.meta.get("verdict", VIOLATES)), str(find.meta.get("reason", ""))
    entries = finds.load_trace(trace)
    marked = [int(mark) for mark in marks]
    shown = Shown(meta, find.program, entries, marked, verdict, why, file, find.before)
    say(render(shown).rstrip("\n"))
    return _code(verdict)


# --- judge ------------------------------------------------------------------------------------------------------------


def judge(path: Path, version: str = spec.VERSIONS[-1]) -> int:
    """Judge a saved trace by that *version* of VIRTIO. Returns the exit code."""
    if path.is_dir():
        minimal = path / finds.MINIMAL_TRACE
        path = minimal if minimal.exists() else path / finds.TRACE
    entries = finds.load_trace(path)
    violation, warnings = judge_trace([] if _of_driver(entries) else entries, (), unbound(version))
    if any(isinstance(seen, Looked) for _, seen in entries):  # an audit's, or what a device saw of a driver
        drivers, more = judge_driver(entries)
        warnings += more
        if drivers is not None and (violation is None or not 0 <= violation.event < drivers.event):
            violation = drivers
    code = _verdict(path, entries, violation, version)
    for warning in warnings:
        say(f"warning {warning.rule}: {warning.message}")
    return code


def _of_driver(entries: list[Entry]) -> bool:
    """Whether a trace is what a device saw of a driver: then nobody said what was supplied."""
    kinds = {type(seen) for _, seen in entries}
    return Looked in kinds and Supplied not in kinds and not kinds.isdisjoint((Asked, Answered, Exposed))


def _verdict(path: Path, entries: list[Entry], violation: Violation | None, version: str) -> int:
    if violation is None:
        say(f"CONFORMS  {path}: {len(entries)} observations")
        return CONFORMS
    rule = rules().get(violation.rule)
    line = _line(path, violation.event)
    say(f"VIOLATES  {path}{f':{line}' if line else ''}: {violation.rule}: {violation.message}")
    if violation.expected:
        say(f"          expected {violation.expected}")
    if rule is not None:
        level = rule.level_in(version) or rule.level
        weight = "" if level is Level.TEXT else f" · {level.value}"
        cited = where(rule) if version == spec.VERSIONS[-1] else rule.cite(version)
        say(f"          {cited}{weight} · {rule.title}")
    return FOUND


def _line(path: Path, event: int) -> int:
    """The line of a trace's observation number *event*; 0: none in particular."""
    count = -1
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], 2):
        if line.strip() and not line.startswith("#"):
            count += 1
            if count == event:
                return number
    return 0
