"""``vqfuzz diff``: from options to a comparison, and what it came to as text, JSON and HTML."""

from __future__ import annotations

import gc
import json
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fuzz import __version__, encoding, finds
from fuzz.commands.fuzzing import say
from fuzz.common import Part, common, misfit
from fuzz.diff import Differ, Divergence, Side, label
from fuzz.generate import nth
from fuzz.program import Limits, Program
from fuzz.registry import make
from fuzz.report import aside
from fuzz.report.files import writable, write
from fuzz.report.matrix import conforming, matrix, table
from fuzz.report.page import of_diff, said
from fuzz.report.text import WIDTH, quote, where
from fuzz.status import Status, counted, duration
from fuzz.targets import Target
from fuzz.trouble import UsageTrouble
from fuzz.verdict import BAD
from fuzz.wanted import narrow
from oracles import spec
from oracles.rules import registry

_SECONDS = 60.0
_LINES = 60  # of a program that is printed


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked for."""

    targets: tuple[str, ...]
    seed: int
    runs: int | None
    seconds: float | None
    layout: str | None
    in_order: str | None
    corpus: Path | None
    qemus: tuple[str, ...]
    html: Path | None
    json: Path | None

    def command(self, runs: int) -> str:
        """The command that repeats it, for exactly so many generated programs."""
        words = ["vqfuzz diff", *(quote(one) for one in self.targets), f"--seed {self.seed}"]
        words += [f"--runs {runs}"] if runs else []
        words += [f"--layout {self.layout}"] if self.layout else []
        words += [f"--in-order {self.in_order}"] if self.in_order else []
        words += [f"--corpus {quote(str(self.corpus))}"] if self.corpus else []
        words += [f"--qemu {quote(one)}" for one in self.qemus]
        words += [f"--html {quote(str(self.html))}"] if self.html else []
        words += [f"--json {quote(str(self.json))}"] if self.json else []
        return " ".join(words)


def diff(targets: tuple[str, ...], seconds: float | None, runs: int | None, seed: int | None, layout: str | None,
         in_order: str | None, corpus: Path | None, qemu: tuple[str, ...], html: Path | None,
         json_file: Path | None) -> int:  # fmt: skip
    """Compare; returns the exit code."""
    if len(targets) < 2:
        raise UsageTrouble("diff needs two targets or more, such as: vqfuzz diff model model:a05")
    if seed is None:
        import secrets

        seed = secrets.randbelow(1 << 32)
    if seconds is None and runs is None and corpus is None:
        seconds = _SECONDS
    asked = Asked(targets, seed, runs, seconds, layout, in_order, corpus, qemu, html, json_file)
    for place in (html, json_file):
        if place is not None:
            writable(place)
    gc.freeze()  # as for fuzz: what was imported lives until the end
    gc.set_threshold(20_000, 20, 20)
    with ExitStack() as open_:
        made = []
        for words, command in zip(targets, _qemus(targets, qemu), strict=True):
            target = make(words, command)
            open_.callback(target.close)
            made.append(target)
        return _Command(asked, made).run()


def _qemus(targets: tuple[str, ...], given: tuple[str, ...]) -> list[str]:
    """What starts the QEMU of each target: one for all of them, or one for each qemu:DEVICE in order."""
    numbers = [number for number, words in enumerate(targets) if words.startswith("qemu:")]
    if given and not numbers:
        raise UsageTrouble(f"--qemu names the QEMU of targets qemu:DEVICE; none of {' '.join(targets)} is one")
    if len(given) > 1 and len(given) != len(numbers):
        raise UsageTrouble(
            f"{len(given)} times --qemu for {len(numbers)} targets qemu:DEVICE; give it once for all of them, or once "
            "for each, in their order ('' is the usual one)"
        )
    found = [""] * len(targets)
    for at, number in enumerate(numbers):
        found[number] = "" if not given else given[at if len(given) > 1 else 0]
    return found


class _Command:
    """One run of the command."""

    def __init__(self, asked: Asked, made: list[Target]) -> None:
        self.asked = asked
        self.made = made
        self.status = Status()
        self.notes: list[str] = []
        self.left_out: dict[str, int] = {}
        self.drawn = 0
        self.limits = Limits()
        self.features = 0

    def run(self) -> int:
        """Everything. Returns the exit code."""
        asked = self.asked
        corpus = list(finds.programs(asked.corpus)) if asked.corpus is not None else []
        sides = self._sides()
        orders = " ".join("on" if one else "off" for one in self.limits.in_order)
        names = " | ".join(side.label for side in sides)
        layouts = " ".join(self.limits.layouts)
        say(f"vqfuzz {__version__} · seed {asked.seed} · diff {names} · {layouts} · in_order {orders}")
        programs = [(str(path), self._fitting(path)) for path in corpus]
        fitting = [(origin, program) for origin, program in programs if program is not None]
        if corpus and not fitting and asked.runs is None and asked.seconds is None:
            raise UsageTrouble(f"no program in {asked.corpus} is for what these targets have in common: {self._why()}")
        self.notes += [f"left out of {asked.corpus}: {self._why()}"] if self.left_out else []
        for note in self.notes:
            say(note)
        began = datetime.now(UTC)
        differ = Differ(sides, self.status.show)
        code = differ.run(self._source(fitting), asked.seconds)
        self.status.clear()
        self._print(differ)
        self._write(differ, began)
        say(f"again: {asked.command(max(self.drawn, 1) if asked.runs or asked.seconds else 0)}")
        return code

    def _sides(self) -> list[Side]:
        """Every target, asked what it offers; sets what they have in common."""
        parts, offers = [], []
        for target in self.made:
            offer = target.probe()
            own, notes = narrow(target, offer, self.asked.layout, self.asked.in_order)
            self.notes += notes
            offers.append((offer, own))
        names = label(self.made)
        parts = [Part(name, own, offer.features) for name, (offer, own) in zip(names, offers, strict=True)]
        self.limits = common(parts)
        self.features = parts[0].features
        for part in parts:
            self.features &= part.features
        sides = [
            Side(target, name, offer, own, self.limits.device)
            for target, name, (offer, own) in zip(self.made, names, offers, strict=True)
        ]
        self.notes += [note for side in sides for note in side.notes]
        return sides

    def _fitting(self, path: Path) -> Program | None:
        program = finds.load_program(path)
        why = misfit(program, self.limits, self.features)
        if why:
            self.left_out[why] = self.left_out.get(why, 0) + 1
        return None if why else program

    def _why(self) -> str:
        return ", ".join(f"{count} for {why}" for why, count in sorted(self.left_out.items()))

    def _source(self, corpus: list[tuple[str, Program]]) -> Iterator[tuple[str, Program]]:
        """Programs of the folder, then generated ones as long as there shall be more."""
        yield from corpus
        asked = self.asked
        if asked.runs is None and asked.seconds is None:
            return
        limit = asked.runs if asked.runs is not None else 1 << 62
        while self.drawn < limit:
            program = nth(asked.seed, self.drawn, self.limits)
            self.drawn += 1
            yield f"program {self.drawn - 1}", program

    # -- what it came to

    def _print(self, differ: Differ) -> None:
        labels = [side.label for side in differ.sides]
        first = differ.first
        if first is not None:
            say("")
            say("\n".join(told(first, differ.sides)))
        lines = matrix(differ)
        shown = [line for line in lines if not line.clean]
        same = sum(line.kept for line in lines)
        untried = len(lines) - len(shown) - same
        say("")
        if shown:
            say("\n".join(f"  {line}" for line in table(shown, labels, WIDTH)))
        say(
            f"  {counted(same, 'rule')} kept by all of them"
            + (f", {untried} not exercised by these programs" if untried else "")
        )
        say("")
        for origin in differ.flaky:
            say(f"FLAKY: {origin} differed once, and not again in {differ.times} executions")
        if differ.ours:
            say(f"vqfuzz itself failed, please report it: {differ.ours}")
        if differ.stopped and differ.stopped != "interrupted":
            say(f"stopped after {counted(differ.tally.programs, 'program')}: {differ.stopped}")
        different = sum(differ.kinds.values())
        counts = ", ".join(f"{side.label} conforms in {conforming(side)}" for side in differ.sides)
        say(
            f"{counted(differ.tally.programs, 'program')} in {duration(differ.seconds)} · {counts} · "
            + (f"{different} differ" if different else "no divergence")
            + (" · interrupted" if differ.stopped == "interrupted" else "")
        )

    def _write(self, differ: Differ, began: datetime) -> None:
        asked = self.asked
        if asked.json is not None:
            write(asked.json, json.dumps(facts(differ, asked), indent=2, ensure_ascii=False) + "\n")
        if asked.html is not None:
            from fuzz.report.html import render

            started = began.strftime("%Y-%m-%dT%H:%M:%SZ")
            command = asked.command(max(self.drawn, 1) if asked.runs or asked.seconds else 0)
            page = of_diff(differ, command=command, seed=asked.seed, started=started, notes=self.notes)
            write(asked.html, render(page))


def told(first: Divergence, sides: list[Side]) -> list[str]:
    """The first divergence as lines of text."""
    small = first.smaller
    lines = [f"DIVERGES  {first.origin}"]
    width = max(len(side.label) for side in sides)
    for number, (side, outcome) in enumerate(zip(sides, first.outcomes, strict=True)):
        lines.append(f"      {side.label:<{width}}  {said(outcome)}"[: WIDTH + 60])
        if number in first.known:
            lines.append(f"      {'':<{width}}  known and accepted: {first.known[number]}")
    done = "" if small.complete else ", not to the end"
    lines += [
        "",
        f"  verdict   reproduced {first.again}/{first.of} · shrunk {len(first.program.steps)} → "
        f"{counted(len(small.program.steps), 'step')} ({counted(small.executions, 'execution')}, "
        f"{duration(small.seconds)}{done})",
        "",
    ]
    shown = chosen(first)
    lines += aside.render(small.program, [sides[one].label for one in shown], [first.outcomes[one] for one in shown])
    rule = registry().get(first.rules[first.lead])
    if rule is not None:
        demand = f"{rule.text} ({where(rule, small.program.layout)})"
        lines += ["", *textwrap.wrap(demand, WIDTH, initial_indent="  the rule  ", subsequent_indent=" " * 12)]
    text = encoding.dump(small.program).splitlines()
    if len(text) > _LINES:
        text = [*text[:6], f"… {len(text) - _LINES + 6} lines", *text[12 - _LINES :]]
    return [*lines, "", "  Minimal program", *(f"    {line}" for line in text)]


def chosen(first: Divergence) -> list[int]:
    """Two sides that differ: the one that is bad, and the first that came to something else, in their order."""
    other = next(number for number, rule in enumerate(first.rules) if rule != first.rules[first.lead])
    better = [number for number, one in enumerate(first.outcomes) if one.verdict not in BAD]
    return sorted({first.lead, better[0] if better else other})


def facts(differ: Differ, asked: Asked) -> dict[str, object]:
    """The result as JSON has it."""
    first = differ.first
    small = first.smaller if first is not None else None
    return {
        "schema": 1,
        "vqfuzz": __version__,
        "seed": asked.seed,
        "programs": differ.tally.programs,
        "code": differ.code,
        "stopped": differ.stopped,
        "targets": [
            {
                "target": side.target.name,
                "label": side.label,
                "features": spec.feature_names(side.offer.features),
                "describe": side.describe,
                "verdicts": dict(sorted(side.counts.items())),
                "warnings": dict(sorted(side.warnings.items())),
            }
            for side in differ.sides
        ],
        "matrix": [
            {"rule": line.rule, "level": line.level, "section": line.section,
             "cells": [{"state": cell.state, "count": cell.count} for cell in line.cells]}
            for line in matrix(differ)
        ],
        "divergences": [{"rules": list(kind), "programs": count} for kind, count in differ.kinds.items()],
        "flaky": differ.flaky,
        "first": None
        if first is None or small is None
        else {
            "origin": first.origin,
            "rules": list(first.rules),
            "said": [said(outcome) for outcome in first.outcomes],
            "reproduced": {"again": first.again, "of": first.of},
            "steps": {"before": len(first.program.steps), "after": len(small.program.steps)},
            "program": encoding.dump(first.program),
            "minimal": encoding.dump(small.program),
        },
    }  # fmt: skip
