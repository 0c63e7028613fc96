"""Known and accepted deviations of real targets: what a run meets again and need not report again.

They stand in ``corpus/known/*.toml``, each with the target and versions that have it, the rules under which
it is seen, what a smallest program must have for it, and the reason why it is accepted. Knows that format.
Must not know how a find is made or told.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from fuzz.program import Program
from fuzz.traits import traits
from fuzz.trouble import EnvironmentTrouble

_HERE = Path(__file__).parent
#: in a checkout, and in an installed package
_PLACES = (_HERE.parent / "corpus" / "known", _HERE / "known_deviations")
_KEYS = {"id": str, "targets": list, "rules": list, "reason": str}
_MAY = {"versions": list, "when": list, "without": list, "text": str}


@dataclass(frozen=True, slots=True)
class Deviation:
    """One entry of a list."""

    id: str
    targets: tuple[str, ...]  # patterns, any of them: qemu:virtio-blk-*
    rules: tuple[str, ...]  # any of them; «*»: whatever is seen of it
    reason: str
    versions: tuple[str, ...] = ()  # words of the target's version, any of them; none: all versions
    when: tuple[str, ...] = ()  # traits that the smallest program has, all of them
    without: tuple[str, ...] = ()  # and that it has not
    text: str = ""  # words of the violation's message or the target's words

    def covers(self, target: str, version: str, rule: str, words: str, program: Program) -> bool:
        """Whether a find, shrunk to *program*, is this."""
        if not self.may_cover(target, version, rule) or self.text not in words:
            return False
        found = traits(program)
        return found.issuperset(self.when) and found.isdisjoint(self.without)

    def may_cover(self, target: str, version: str, rule: str) -> bool:
        """Whether a find may be this, whatever its program."""
        if not any(fnmatchcase(target, pattern) for pattern in self.targets):
            return False
        if self.versions and not any(one in version for one in self.versions):
            return False
        return self.seen_as(rule)

    def seen_as(self, rule: str) -> bool:
        """Whether it is seen as *rule*."""
        return rule in self.rules or "*" in self.rules


def known(target: str, version: str, rule: str, words: str, program: Program) -> Deviation | None:
    """The accepted deviation that a find is, or None. Raises EnvironmentTrouble if a list can't be read."""
    return next((one for one in every() if one.covers(target, version, rule, words, program)), None)


def of_case(target: str, version: str, rule: str, words: str) -> Deviation | None:
    """The accepted deviation that a failed case of the control plane is, which has no program; or None."""
    return next(
        (one for one in every() if one.may_cover(target, version, rule) and not one.when and one.text in words), None
    )


def expected(target: str, version: str, rule: str) -> bool:
    """Whether some accepted deviation of this target is seen as *rule*. Raises EnvironmentTrouble."""
    return any(one.may_cover(target, version, rule) for one in every())


@cache
def every() -> tuple[Deviation, ...]:
    """All entries of all lists."""
    folder = next((place for place in _PLACES if place.is_dir()), None)
    found: list[Deviation] = []
    for path in sorted(folder.glob("*.toml")) if folder else ():
        found += read(path)
    return tuple(found)


def read(path: Path) -> list[Deviation]:
    """The entries of the list *path*. Raises EnvironmentTrouble with file and mend."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentTrouble(f"{path}: can't be read: {error}") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> list[Deviation]:
    """The entries in *text*, of the list *name*. Raises EnvironmentTrouble: one line, with the mend."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnvironmentTrouble(f"{name}: can't be read: {error}") from None
    entries = data.get("deviation", [])
    if set(data) - {"deviation"} or not isinstance(entries, list):
        raise EnvironmentTrouble(f"{name}: holds something else than [[deviation]] entries")
    return [_entry(f"{name}: deviation {number}", entry) for number, entry in enumerate(entries, 1)]


def _entry(place: str, entry: Mapping[str, Any]) -> Deviation:
    for key, kind in {**_KEYS, **_MAY}.items():
        value = entry.get(key)
        if value is None and key in _KEYS:
            raise EnvironmentTrouble(f"{place} lacks {key}")
        if value is not None and not isinstance(value, kind):
            raise EnvironmentTrouble(f"{place}: {key} must be a {'text' if kind is str else 'list of texts'}")
    unknown = sorted(set(entry) - set(_KEYS) - set(_MAY))
    if unknown:
        raise EnvironmentTrouble(f"{place} has no field {unknown[0]!r}; there are {', '.join([*_KEYS, *_MAY])}")
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return Deviation(**fields)
