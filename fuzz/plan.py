"""What ``vqfuzz check`` looks at, in which order: the deterministic cases, boundaries, and the corpus.

A plan depends on the target's limits and kind, the rules asked for, and nothing that happens. Knows the catalogue,
the proofs' programs and the corpus. Must not know how a case is run or told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from fuzz import encoding, proof
from fuzz.adapting import Unfit, adapt
from fuzz.cases import Check, boundary, device_boundary
from fuzz.mirroring import mirrored
from fuzz.program import Call, Limits, Program, Queue, Suppress, Use
from fuzz.results import PHASES
from fuzz.trouble import UsageTrouble
from oracles import driver_rules, spec
from oracles.driver_asking import moments
from oracles.rules import Level, Rule, UnknownRuleError, find, registry, unbound

_HERE = Path(__file__).resolve().parent
#: in a checkout, and in an installed package
_CORPORA = (_HERE.parent / "corpus", _HERE / "program_corpus")
_IDEAS = ("in_order", "wrap", "indirect", "suppression", "reset")
_OF_DRIVERS = "driver"
_THE_OTHER = {"driver": ("driver", "front-end"), "device": ("device", "back-end")}  # by our role: what does not bind
#: moments at which a driver is judged by its upper half, by notifications, by stores as they happen
_HANDED = frozenset({"returned", "refused", "overlooked"})
_NOTIFYING = frozenset({"unnotified", "unwanted"})
_STORING = frozenset({"late", "unseen", "beside"})


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is looked at. Either a *program* or a *check*; neither if something is *missing*."""

    name: str  # unique in a plan, such as INO-ORDER/split
    rule: str  # "" where it is about no rule in particular
    layout: str  # split | packed | ""
    phase: str
    program: Program | None = None
    check: Check | None = field(default=None, compare=False)
    missing: str = ""  # why the target can't be asked


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rules were asked for; all, if nothing was."""

    rules: frozenset[str] = frozenset()
    phases: tuple[str, ...] = PHASES[:4]

    def has(self, rules: Iterable[str]) -> bool:
        """Whether one of *rules* was asked for."""
        return not self.rules or not self.rules.isdisjoint(rules)


def selection(words: Sequence[str]) -> Selection:
    """The rules, sections (2.7.9; a version before it, 1.1:2.6.9) and phases that *words* name.

    Raises UsageTrouble in one line.
    """
    rules: set[str] = set()
    phases: list[str] = []
    for word in words:
        if word in PHASES[:4]:
            phases.append(word)
            continue
        try:
            rules |= {rule.id for rule in find(word.replace(":", " "))}
        except UnknownRuleError as error:
            raise UsageTrouble(f"{error} (vqfuzz rules lists them all; phases are {', '.join(PHASES[:4])})") from None
    wanted = tuple(phases) or (PHASES[:4] if not rules else ("conformance",))
    return Selection(frozenset(rules), wanted)


def judged(version: str, role: str = "driver") -> list[Rule]:
    """The checked rules that bind whoever is under test by that version, in the order of the catalogue.

    *role*: ours. Where it is driver, they bind devices.
    """
    left_out = unbound(version)
    return [
        rule
        for rule in registry().values()
        if rule.status == "checked" and rule.id not in left_out and rule.subject not in _THE_OTHER[role]
    ]


def plan(limits: Limits, checks: Sequence[Check], wanted: Selection, version: str = "1.4") -> list[Item]:
    """All items for a target with these *limits*, for which these control-plane *checks* exist."""
    items: list[Item] = []
    if "conformance" in wanted.phases:
        items += _conformance(limits, checks, wanted, version)
    if "boundary" in wanted.phases and not wanted.rules:
        made_by_rule = device_boundary.programs(limits) if limits.role == "device" else boundary.programs()
        items += [_fit(f"boundary/{name}", "", "boundary", made, limits, -1) for name, made in made_by_rule]
    if "corpus" in wanted.phases and not wanted.rules:
        items += [_fit(f"corpus/{name}", "", "corpus", made, limits, 0) for name, made in corpus(limits.role)]
    return items


def _fit(name: str, rule: str, phase: str, program: Program, limits: Limits, needs: int) -> Item:
    try:
        return Item(name, rule, program.layout, phase, adapt(program, limits, needs))
    except Unfit as unfit:
        return Item(name, rule, program.layout, phase, missing=str(unfit))


def _conformance(limits: Limits, checks: Sequence[Check], wanted: Selection, version: str) -> Iterator[Item]:
    """A case for each rule and layout, in the order of the catalogue."""
    by_rule: dict[str, list[Check]] = {}
    for check in checks:
        for id_ in check.rules:
            by_rule.setdefault(id_, []).append(check)
    programs = _programs()
    for rule in judged(version, limits.role):
        if not wanted.has((rule.id,)):
            continue
        if limits.role == "device":
            yield from _of_driver(rule, programs.get(rule.id, []), limits)
            continue
        needs = _needs(rule)
        found = programs.get(rule.id, [])
        for program in found:
            yield _fit(f"{rule.id}/{program.layout}", rule.id, "conformance", program, limits, needs)
        for check in by_rule.get(rule.id, ()):
            name = "/".join(part for part in (rule.id, check.layout, check.name) if part)
            yield Item(name, rule.id, check.layout, "conformance", check=check)
        if not found and rule.id not in by_rule:
            yield Item(rule.id, rule.id, "", "conformance", missing=_elsewhere(rule))


def _needs(rule: Rule) -> int:
    """The features without which a program can't be about *rule*."""
    bits = 0
    for name in rule.requires:
        bits |= 0 if name.startswith("!") else spec.FEATURE_NAMES[name]
    return bits


def _of_driver(rule: Rule, programs: list[Program], limits: Limits) -> Iterator[Item]:
    """The cases of one rule where a driver is under test: its programs, with us as the device."""
    missing = _unseen(rule, limits)
    if missing or not programs:
        yield Item(rule.id, rule.id, "", "conformance", missing=missing or _elsewhere(rule))
        return
    for program in programs:
        made = program if program.role == "device" else mirrored(program)
        if "passive" in limits.actions:
            made = _served(made, limits)
        yield _fit(f"{rule.id}/{program.layout}", rule.id, "conformance", made, limits, _needs(rule))


def _unseen(rule: Rule, limits: Limits) -> str:
    """Why nobody could see this driver break the rule, or ''."""
    if rule.id not in driver_rules.rule_ids():
        if rule.document == "virtio" and _programs().get(rule.id):
            return "what a driver breaks of it is told by other rules"
        if rule.document == "vhost-user" and "passive" in limits.actions:
            return "only its rings are judged, not what it says over vhost-user"
        return _elsewhere(rule)
    asked = moments(rule.id)
    if "passive" in limits.actions and asked <= _HANDED:
        return "nobody sees what its upper half gets"
    if "passive" in limits.actions and asked <= _NOTIFYING:
        return "it runs beside us: whether it had to notify when it looked can't be told"
    if "logged" not in limits.actions and asked <= _STORING:
        return "its stores are not seen when they happen"
    return ""


def _served(program: Program, limits: Limits) -> Program:
    """What can be done with a driver that acts by itself: rounds over the end of its ring, in every way to use buffers.

    The same for all rules, so that it need be run once for each kind of queue.
    """
    size = min(limits.split_sizes if program.layout == spec.SPLIT else limits.packed_sizes)
    rounds = (Use(1), Use(size - 2, junk=True), Use(3, junk=True), Use(size, length=1), Use(3, singly=True))
    steps = tuple(step for one in rounds for step in (one, Call())) * 2
    quiet = (Suppress("disable"), Use(2), Suppress("enable"), Use(2, order="reversed"), Call(True))
    bits = spec.VERSION_1 | program.features & ~(spec.RING_RESET)
    return Program(program.layout, (Queue(size),), bits, "any", (*steps, *quiet), "device")


def _elsewhere(rule: Rule) -> str:
    """Why there is no case for a rule on this kind of target."""
    if rule.document == "vhost-user":
        return "it is about the vhost-user protocol, which is not spoken here"
    if rule.level is Level.LINT:
        return "a suspicion: it is looked for in every program"
    return "it is about registers that can't be reached here"


@cache
def _programs() -> dict[str, list[Program]]:
    """The corpus of rules: its programs by rule."""
    found: dict[str, list[Program]] = {}
    for path in sorted(proof.folder().glob("*.vq"), key=lambda path: (path.name.split(".")[0], path.name[::-1])):
        found.setdefault(path.name.split(".")[0], []).append(_load(path))
    return found


@cache
def corpus(role: str = "driver") -> tuple[tuple[str, Program], ...]:
    """(idea/name, program) of the corpus by idea, of those in which we have that role."""
    root = next((place for place in _CORPORA if place.is_dir()), _CORPORA[0])
    ideas = _IDEAS if role == "driver" else (_OF_DRIVERS,)
    paths = [path for idea in ideas for path in sorted((root / idea).glob("*.vq"))]
    return tuple((f"{path.parent.name}/{path.stem}", _load(path)) for path in paths)


def _load(path: Path) -> Program:
    return encoding.load(path.read_text(encoding="utf-8"), str(path))
