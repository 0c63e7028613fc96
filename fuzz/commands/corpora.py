"""``vqfuzz corpus``: corpora merged, made smaller, looked into, and turned into text.

Nothing is lost, and nothing is silent: what can't be read is named, the rest is dealt with, and the exit code is 2.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path

from fuzz import corpus, encoding, finds
from fuzz.gains import Measure, Measured, fewest, rarity
from fuzz.program import Limits, Program
from fuzz.registry import make
from fuzz.status import Status, counted
from fuzz.targets import Target
from fuzz.targets.model import Model
from fuzz.trouble import CONFORMS, USAGE, EnvironmentTrouble, UsageTrouble, deliver, reason
from oracles import spec

_RARE = 20  # features that are listed


class _Pile:
    """Programs from several places, each once; *left_out* counts what can't be read, which is said at once."""

    def __init__(self, places: Sequence[Path], limits: Limits) -> None:
        self.left_out = 0
        self.files = 0
        self.programs: dict[str, tuple[Path, Program]] = {}  # by the text
        self.read: list[Path] = []  # what could be
        for path in corpus.paths(places):
            self.files += 1
            try:
                program = corpus.read(path, limits)
            except UsageTrouble as trouble:
                self.left_out += 1
                print(f"vqfuzz: left out: {trouble}", file=sys.stderr)
                continue
            self.read.append(path)
            self.programs.setdefault(encoding.dump(program), (path, program))
        if not self.programs:
            named = ", ".join(map(str, places))
            raise UsageTrouble(f"no program in {named} can be read ({counted(self.left_out, 'file')} left out)")

    def measured(self, measure: Measure) -> list[Measured]:
        """All of them, with what they exercise; in an order that depends on the programs alone."""
        status = Status()
        found = []
        for number, text in enumerate(sorted(self.programs, key=lambda text: (len(text), text))):
            status.show(f"{number} of {counted(len(self.programs), 'program')} run")
            program = self.programs[text][1]
            found.append(Measured(corpus.name_of(text), program, measure.features(program)))
        status.clear()
        return found

    def code(self) -> int:
        """The exit code, and the line that says how many could not be read."""
        if self.left_out:
            print(f"vqfuzz: {counted(self.left_out, 'file')} of {self.files} left out, as said above", file=sys.stderr)
        return USAGE if self.left_out else CONFORMS


def _opened(target: str, qemu: str) -> Target | None:
    return make(target, qemu) if target else None


def merge(out: Path, places: Sequence[Path], target: str, qemu: str) -> int:
    """Add to *out* what brings something new. Returns the exit code."""
    made = _opened(target, qemu)
    with closing(made) if made is not None else nullcontext():
        limits = made.limits if made is not None else Model().limits
        pile = _Pile(places, limits)
        measure = Measure(made)
        there = _Pile([out], limits) if _holds(out) else None
        known = {feature for one in there.measured(measure) for feature in one.features} if there is not None else set()
        before, added = len(known), 0
        corpus.tidy(out)
        for one in pile.measured(measure):
            if not one.features <= known:
                known |= one.features
                added += corpus.keep(out, one.program) is not None
    print(f"{out}: {counted(added, 'program')} added of {len(pile.programs)}; "
          f"{before} → {counted(len(known), 'feature')}")  # fmt: skip
    return max(pile.code(), there.code() if there is not None else CONFORMS)


def _holds(out: Path) -> bool:
    """Whether there is a corpus in *out* already."""
    if out.exists() and not out.is_dir():
        raise UsageTrouble(f"{out} is a file; name the folder that programs are added to")
    return out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir())


def minimise(place: Path, out: Path | None, in_place: bool, target: str, qemu: str) -> int:
    """Keep the fewest programs that have all features, in *out* or in place. Returns the exit code."""
    if (out is None) != in_place:
        raise UsageTrouble("name the folder for what is kept, or say --in-place: one of them")
    if out is not None and _holds(out):
        raise UsageTrouble(
            f"{out} is not empty; name a new folder, or merge into it: vqfuzz corpus merge {out} {place}"
        )
    if in_place and not place.is_dir():
        raise UsageTrouble(f"{place} is no folder, so nothing can be removed from it")
    made = _opened(target, qemu)
    with closing(made) if made is not None else nullcontext():
        pile = _Pile([place], made.limits if made is not None else Model().limits)
        if in_place and any(path.with_name(finds.META).exists() for path in pile.read):
            raise UsageTrouble(f"there are finds in {place}, which must stay whole; name a folder for what is kept")
        found = pile.measured(Measure(made))
    kept = fewest(found)
    if not kept:
        raise UsageTrouble(f"no program in {place} has any feature; nothing was removed")
    for one in kept:
        corpus.keep(out or place, one.program)
    if in_place:
        _remove(place, {corpus.name_of(encoding.dump(one.program)) for one in kept}, pile)
    features = len(rarity(found))
    print(f"{out or place}: {counted(len(kept), 'program')} of {pile.files} kept; all {counted(features, 'feature')}")
    return pile.code()


def _remove(place: Path, names: set[str], pile: _Pile) -> None:
    """Remove the files of programs that were read and are not kept; what could not be read stays."""
    for path in pile.read:
        if path.parent != place or path.name not in names:
            try:
                path.unlink()
            except OSError as error:
                raise EnvironmentTrouble(f"{path} can't be removed: {reason(error)}") from None


def stats(places: Sequence[Path], target: str, qemu: str) -> int:
    """Say what is in corpora. Returns the exit code."""
    made = _opened(target, qemu)
    with closing(made) if made is not None else nullcontext():
        pile = _Pile(places, made.limits if made is not None else Model().limits)
        found = pile.measured(Measure(made))
    programs = [one.program for one in found]
    steps = sorted(len(program.steps) for program in programs)
    often = rarity(found)
    print(f"programs  {len(programs)} in {counted(pile.files, 'file')}")
    print(f"steps     {sum(steps)}: {steps[0]} to {steps[-1]}, median {steps[len(steps) // 2]}")
    print(f"features  {len(often)}; {len(fewest(found))} programs have them all")
    print(f"layouts   {_counts(program.layout for program in programs)}")
    print(f"in_order  {_counts('on' if program.in_order else 'off' for program in programs)}")
    print(f"modes     {_counts('hostile' if program.hostile else 'legal' for program in programs)}")
    print(f"sides     {_counts('we are the ' + program.role for program in programs)}")
    print(f"classes   {_counts(program.device for program in programs)}")
    bits = (name for program in programs for name in spec.feature_names(program.features & ~spec.VERSION_1))
    print(f"offers    {_counts(bits)}")
    rules = sum(feature.startswith("rule ") for feature in often)
    print(f"rules     {rules} exercised")
    rare = sorted((count, feature) for feature, count in often.items())[:_RARE]
    print(f"rarest features, of {len(often)}:")
    for count, feature in rare:
        print(f"  {count:>6}  {feature}")
    return pile.code()


def _counts(words: Iterable[str]) -> str:
    found = Counter(words)
    return ", ".join(f"{word} {count}" for word, count in sorted(found.items())) or "none"


def decode(places: Sequence[Path], out: Path | None, target: str, qemu: str) -> int:
    """Make text of programs: on standard output, or a file each in *out*. Returns the exit code."""
    made = _opened(target, qemu)
    with closing(made) if made is not None else nullcontext():
        pile = _Pile(places, made.limits if made is not None else Model().limits)
    if out is None:
        several = len(pile.programs) > 1
        for text, (path, _) in pile.programs.items():
            deliver(f"{_commented(text, path)}\n" if several else text, None)
        return pile.code()
    added = sum(corpus.keep(out, program) is not None for _, program in pile.programs.values())
    before = len(pile.programs) - added
    print(f"{out}: {counted(added, 'program')} of {counted(pile.files, 'file')}; {before} there before")
    return pile.code()


def _commented(text: str, path: Path) -> str:
    """The text with the place that it comes from, behind its first line."""
    first, _, rest = text.partition("\n")
    return f"{first}\n# {path}\n{rest}"
