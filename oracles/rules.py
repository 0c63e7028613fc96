"""The rules by name: what each demands, how strongly, and where that is written.

Knows the catalogue, the files of ``catalogue/`` beside this one: the only files that ``oracles`` ever reads, and
only when somebody asks. Must not know how a rule is checked, by whom, or of what target: it imports only ``spec``.
Findings carry a rule's id and nothing more, so judging a trace never loads the catalogue.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from oracles import spec

FOLDER = "catalogue"
#: The files of the catalogue, in the order of the specification; what binds the device before what binds the driver.
FILES = (
    "in_order", "in_order_driver", "common", "split", "split_driver", "packed", "packed_driver", "features", "status",
    "reset", "suspend", "pci", "mmio", "vhost_user", "device_types",
)  # fmt: skip


class RulesError(ValueError):
    """The catalogue can't be used. ``str()`` names the file, the entry and what is wrong with it."""


class UnknownRuleError(KeyError):
    """No rule fits what was asked for. ``str()`` is one line that names what comes closest."""

    def __str__(self) -> str:
        """The message itself: a KeyError would quote it."""
        return str(self.args[0])


class Level(enum.Enum):
    """How much a finding weighs. Reports keep these apart."""

    MUST = "MUST"  # a normative MUST or MUST NOT
    SHOULD = "SHOULD"  # a normative SHOULD or SHOULD NOT
    TEXT = "TEXT"  # described, defined, follows from the text, or our reading of it
    LINT = "LINT"  # legal, but hardly meant
    MAY = "MAY"  # a permission: never accused, listed so that readers see that


#: Words for a rule's strength, apart from those that begin with MUST, SHOULD or MAY.
STRENGTHS: dict[str, Level] = {
    "descriptive": Level.TEXT,
    "definition": Level.TEXT,
    "consequence": Level.TEXT,
    "interpretation": Level.TEXT,
    "ambiguity": Level.TEXT,
    "practice": Level.TEXT,
    "harness": Level.TEXT,
    "lint": Level.LINT,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One demand on a device or a driver."""

    id: str
    level: Level
    strength: str  # "MUST NOT", "descriptive", "consequence", ...: see catalogue/README.md
    subject: str  # device | driver | both | back-end | front-end
    layout: str  # split | packed | both
    requires: tuple[str, ...]  # names of features, "!" before one that must be off
    title: str  # the defect, as a headline
    text: str  # what is demanded
    seen: str  # how it shows to a tool in the driver's seat
    section: dict[str, str] = field(hash=False)  # per VIRTIO version; "" where there is none; "split, packed" if two
    document: str  # virtio | vhost-user
    place: str  # vhost-user: title of the section
    since: str  # first VIRTIO version that says it; "" for vhost-user
    status: str  # checked | covered | permission | not checked
    reason: str  # why it is not checked, or why it can't be told from the rule that covers it
    cover: str = ""  # covered: the rule under whose name it is reported
    policy: str = ""  # our choice where the text is open: numbers in docs/policy.md, such as "A3 A9"
    earlier: str = ""  # how strongly it binds before *since*, as a strength; "": not at all

    def bears(self, layout: str, features: int) -> bool:
        """Whether the rule is checked and binds a queue of this layout with these features negotiated."""
        if self.status != "checked" or self.layout not in ("both", layout):
            return False
        for name in self.requires:
            if bool(features & spec.FEATURE_NAMES[name.lstrip("!")]) == name.startswith("!"):
                return False
        return True

    def level_in(self, version: str) -> Level | None:
        """How much a finding weighs by that version of VIRTIO; None: the rule isn't in it."""
        if self.document != "virtio" or spec.VERSIONS.index(self.since) <= spec.VERSIONS.index(version):
            return self.level
        return _level(self.earlier) if self.earlier else None

    def cite(self, version: str = spec.VERSIONS[-1], layout: str = "") -> str:
        """Where it is written, for people. With *layout*, of two sections only the one for that layout."""
        if self.document == "vhost-user":
            return f"vhost-user, {self.place}"
        numbers = self.section[version].split(", ")
        if not numbers[0]:
            return f"not in VIRTIO {version}"
        if layout:
            numbers = numbers[-1:] if layout == spec.PACKED else numbers[:1]
        return f"VIRTIO {version}, {', '.join(numbers)}"


@dataclass(frozen=True, slots=True)
class Violation:
    """One finding: a rule was broken, or is suspected to be if the rule is lint."""

    rule: str  # id
    message: str  # what happened, in one sentence
    expected: str = ""
    observed: str = ""
    queue: int = 0
    buffer: int = -1  # serial number, -1 if it isn't about one
    position: int = -1  # place in the ring, -1 if it isn't about one
    event: int = -1  # index of the observation in the trace
    ours: bool = False  # we broke it ourselves: the driver's or the front-end's side


_WORDS: dict[str, tuple[str, ...]] = {
    "subject": ("device", "driver", "both", "back-end", "front-end"),
    "layout": (*spec.LAYOUTS, "both"),
    "document": ("virtio", "vhost-user"),
    "status": ("checked", "covered", "permission", "not checked"),
}
_OPTIONAL = {
    "document": "virtio", "place": "", "since": "", "reason": "", "cover": "", "policy": "", "earlier": "",
}  # fmt: skip
_TEXTS = ("id", "strength", "subject", "layout", "title", "text", "seen", "status", *_OPTIONAL)


def _level(strength: str) -> Level:
    first = strength.split(" ", 1)[0].upper()
    if first in ("MUST", "SHOULD", "MAY"):
        return Level[first]
    if strength not in STRENGTHS:
        raise ValueError(f"no strength is called {strength!r}")
    return STRENGTHS[strength]


def _texts(table: Mapping[str, object]) -> dict[str, str]:
    """The fields that are plain strings, in full."""
    texts: dict[str, str] = {}
    for name in _TEXTS:
        value = table.get(name, _OPTIONAL.get(name))
        if value is None:
            raise ValueError(f"{name} is missing")
        if not isinstance(value, str) or value != value.strip():
            raise ValueError(f"{name} is not a string without blanks around it")
        if not value and name not in _OPTIONAL:
            raise ValueError(f"{name} is empty")
        if name in _WORDS and value not in _WORDS[name]:
            raise ValueError(f"{name} is {value!r}, not one of {', '.join(_WORDS[name])}")
        texts[name] = value
    return texts


def _requires(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("requires is not a list")
    for name in value:
        if not isinstance(name, str) or name.removeprefix("!") not in spec.FEATURE_NAMES:
            raise ValueError(f"requires: no feature is called {name!r}")
    return tuple(value)


def _section(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("section is not a table of versions")
    for version, numbers in value.items():
        if version not in spec.VERSIONS:
            raise ValueError(f"section: there is no version {version!r}")
        if not isinstance(numbers, str) or not all(
            part.isdecimal() for number in numbers.split(", ") for part in number.split(".")
        ):
            raise ValueError(f"section: {numbers!r} is not a section number")
    return {version: value.get(version, "") for version in spec.VERSIONS}


def _check(rule: Rule) -> None:
    """What holds between the fields of a rule."""
    if rule.document == "vhost-user" and (not rule.place or rule.since or any(rule.section.values())):
        raise ValueError("a rule of vhost-user has a place, and no section or since")
    if rule.document == "virtio" and (rule.place or not rule.section.get(rule.since)):
        raise ValueError("a rule of VIRTIO has a section in the version that it exists since, and no place")
    if (rule.status in ("not checked", "covered")) != bool(rule.reason):
        raise ValueError("a rule has a reason if it is not checked or covered, and else none")
    if (rule.status == "covered") != bool(rule.cover):
        raise ValueError("a rule names the one that covers it if it is covered, and else none")
    if (rule.status == "permission") != (rule.level is Level.MAY):
        raise ValueError("a rule has status permission if its strength is MAY, and only then")


def _rule(table: object) -> Rule:
    if not isinstance(table, dict):
        raise ValueError("it is not a table")
    unknown = sorted(table.keys() - {*_TEXTS, "requires", "section"})
    if unknown:
        raise ValueError(f"no field is called {unknown[0]!r}")
    texts = _texts(table)
    rule = Rule(
        **texts,
        level=_level(texts["strength"]),
        requires=_requires(table.get("requires", [])),
        section=_section(table.get("section", {})),
    )
    _check(rule)
    return rule


def load(text: str, name: str = "the catalogue") -> dict[str, Rule]:
    """Rules of a catalogue, by id, in its order. Raises RulesError, which names the file and the entry."""
    import tomllib  # late: whoever only judges traces never pays for it

    try:
        top = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"{name}: {error}") from None
    entries = top.pop("rule", None)
    if top or not isinstance(entries, list):
        raise RulesError(f"{name}: it must consist of [[rule]] entries")
    rules: dict[str, Rule] = {}
    for number, table in enumerate(entries, 1):
        label = table.get("id", "without id") if isinstance(table, dict) else "not a table"
        try:
            rule = _rule(table)
            if rule.id in rules:
                raise ValueError("the id is taken by an earlier entry")
        except ValueError as error:
            raise RulesError(f"{name}: rule {number} ({label}): {error}") from None
        rules[rule.id] = rule
    return rules


@functools.cache
def registry() -> dict[str, Rule]:
    """All rules by id, in the order of the catalogue. Read once; not to be changed."""
    from pathlib import Path

    rules: dict[str, Rule] = {}
    for name in FILES:
        path = Path(__file__).with_name(FOLDER) / f"{name}.toml"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RulesError(f"{path}: {error}") from None
        for rule in load(text, str(path)).values():
            if rule.id in rules:
                raise RulesError(f"{path}: {rule.id} stands in another file, too")
            rules[rule.id] = rule
    for rule in rules.values():
        if rule.cover and rules.get(rule.cover, rule).status != "checked":
            raise RulesError(f"{rule.id} is covered by {rule.cover}, which is not a checked rule")
    return rules


@functools.cache
def unbound(version: str) -> frozenset[str]:
    """Ids of the rules that don't bind by *version* of VIRTIO."""
    return frozenset(rule.id for rule in registry().values() if rule.level_in(version) is None)


def _within(number: str, section: str) -> bool:
    """Whether one of the section numbers in *section* is *number* or lies below it."""
    return any(one == number or one.startswith(f"{number}.") for one in section.split(", "))


def _closest(wanted: str, known: Iterable[str]) -> str:
    import difflib

    return difflib.get_close_matches(wanted, list(known), 1, 0.0)[0]


def _by_section(number: str, versions: tuple[str, ...]) -> list[Rule]:
    rules = list(registry().values())
    found = [rule for rule in rules if any(_within(number, rule.section[version]) for version in versions)]
    if not found:
        known = {one for rule in rules for version in versions for one in rule.section[version].split(", ") if one}
        where = f" of VIRTIO {versions[0]}" if len(versions) == 1 else ""
        closest = _closest(number, sorted(known))
        raise UnknownRuleError(f"no rule is in section {number}{where}; the closest section with rules is {closest}")
    return found


def find(words: str) -> list[Rule]:
    """Rules that *words* may mean, in the order of the catalogue; never none: raises UnknownRuleError (a KeyError).

    An id in any case (``INO-ORDER``), the beginning of ids (``INO-S``: whole words of ids first, then any
    letters), or a section with all below it, in any version (``2.7.9``) or in one (``1.1 2.7.8``).
    """
    rules = registry()
    parts = words.upper().replace("§", " ").split()
    versions: tuple[str, ...] = spec.VERSIONS
    if len(parts) == 2 and parts[0] in versions and parts[1][0].isdecimal():
        versions = (parts.pop(0),)
    if len(parts) != 1:
        raise UnknownRuleError(f"{words!r} is neither a rule, such as INO-ORDER, nor a section, such as 2.7.9")
    wanted = parts[0]
    if wanted in rules:
        return [rules[wanted]]
    if wanted[0].isdecimal():
        return _by_section(wanted.rstrip("."), versions)
    found = [rule for rule in rules.values() if rule.id.startswith(wanted.rstrip("-") + "-")]
    found = found or [rule for rule in rules.values() if rule.id.startswith(wanted)]
    if not found:
        raise UnknownRuleError(f"no rule is called {words.strip()!r}; the closest is {_closest(wanted, rules)}")
    return found
