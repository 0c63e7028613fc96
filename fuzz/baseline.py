"""A baseline: what a target is known to get wrong, so that only what is new fails a pipeline.

Knows results and the file's format, which is that of ``corpus/known/`` in spirit: every entry has a reason. An
entry must be needed, so one whose rule now passes fails the run until it is taken out; an expired one accepts
nothing. Today's date is handed in. Must not know how results come about.
"""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from fuzz.results import FAILED, PASSED, PHASES, REJECTED, UNDECIDED, WEDGED, Result, Run
from fuzz.trouble import CONFORMS, FOUND, UNCLEAR, UsageTrouble, readable
from oracles.rules import registry
from oracles.spec import LAYOUTS

TO_BE_FILLED_IN = "..."
VERDICTS = ("CRASHED", "HUNG", "BROKEN")
#: Phases in which the same is looked at each time, so that a rule that passes there is known to pass.
STEADY = ("conformance", "boundary", "corpus")
_FIELDS = ("rule", "layout", "phase", "target", "reason", "expires")


@dataclass(frozen=True, slots=True)
class Expected:
    """One entry: a failure that is accepted."""

    place: str  # file and entry, for messages
    rule: str  # or CRASHED, HUNG, BROKEN
    reason: str
    layout: str = ""  # split | packed; "": both
    phase: str = ""  # one of PHASES; "": all
    target: str = ""  # pattern such as exec:*; "": all
    expires: datetime.date | None = None  # last day on which it accepts

    def covers(self, target: str, result: Result) -> bool:
        """Whether *result*, of the target typed as *target*, is what this is about: whatever its status."""
        return (
            result.rule == self.rule
            and self.layout in ("", result.layout)
            and self.phase in ("", result.phase)
            and (not self.target or fnmatchcase(target, self.target))
        )

    def expired(self, today: datetime.date) -> bool:
        """Whether it accepts nothing any more."""
        return self.expires is not None and today > self.expires


# --- what it does to a run --------------------------------------------------------------------------------------------


def apply(run: Run, baseline: Sequence[Expected], today: datetime.date) -> Run:
    """*run* with what *baseline* accepts marked as such, and what it expects in vain failed; its exit code fits.

    Marks ``known`` and ``new`` of failures. Entries that accept nothing though their rule was looked at, and
    passes, turn those results into failures. The given run stays as it is.
    """
    alive = [one for one in baseline if not one.expired(today)]
    used: set[Expected] = set()
    results = []
    for result in run.results:
        entries = [one for one in alive if one.covers(run.target, result)]
        if entries and result.status in (FAILED, WEDGED):
            used.update(entries)
            known = result.known or entries[0].reason
            result = replace(result, new=False, known=known)  # noqa: PLW2901 - the same one, marked
        results.append(result)
    vain = [one for one in alive if one not in used]
    results = [_judged(run, result, vain) for result in results]
    return _coded(replace(run, results=results, notes=[*run.notes, *_notes(run, baseline, vain, today)]))


def _judged(run: Run, result: Result, vain: Sequence[Expected]) -> Result:
    """A result that passes where an entry expects it to fail is a failure."""
    if result.status not in (PASSED, REJECTED) or result.phase not in STEADY:
        return result
    entry = next((one for one in vain if one.covers(run.target, result)), None)
    if entry is None:
        return result
    said = f"it passes, and {entry.place} expects it to fail ({entry.reason}); take that entry out"
    return replace(result, status=FAILED, new=True, message=said, report="")


def _notes(run: Run, baseline: Sequence[Expected], vain: Sequence[Expected], today: datetime.date) -> list[str]:
    notes = [
        f"{one.place} expired on {one.expires}: it accepts nothing any more; renew it, or take it out"
        for one in baseline
        if one.expired(today) and (not one.target or fnmatchcase(run.target, one.target))
    ]
    notes += [
        f"{one.place} met nothing in this run"
        for one in vain
        if not any(one.covers(run.target, result) for result in run.results)
    ]
    return notes


def _coded(run: Run) -> Run:
    """With the exit code that its results are worth; what ended it otherwise stays."""
    if run.code in (CONFORMS, FOUND, UNCLEAR):
        undecided = any(one.status == UNDECIDED for one in run.results)
        run.code = FOUND if run.failures() else UNCLEAR if undecided else CONFORMS
    return run


# --- reading ----------------------------------------------------------------------------------------------------------


def load(path: Path) -> list[Expected]:
    """The entries of the file *path*. Raises UsageTrouble: one line with file, entry and mend."""
    return parse(readable(str(path), "baseline (write one with --write-baseline)"), str(path))


def parse(text: str, name: str) -> list[Expected]:
    """The entries in *text*, of the file *name*. Raises UsageTrouble."""
    try:
        top = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageTrouble(f"{name}: not TOML: {error}") from None
    entries = top.pop("accepted", [])
    if top or not isinstance(entries, list):
        raise UsageTrouble(f"{name}: holds something else than [[accepted]] entries; take it out")
    return [_entry(f"{name}: entry {number}", entry) for number, entry in enumerate(entries, 1)]


def _entry(place: str, table: object) -> Expected:
    if not isinstance(table, dict):
        raise UsageTrouble(f"{place} is no table; write [[accepted]]")
    place += f" ({table['rule']})" if isinstance(table.get("rule"), str) else ""
    unknown = sorted(set(table) - set(_FIELDS))
    if unknown:
        raise UsageTrouble(f"{place} has no field {unknown[0]!r}; there are {', '.join(_FIELDS)}")
    texts = {name: _text(place, table, name) for name in _FIELDS if name != "expires" and name in table}
    for name, example in (("rule", "INO-ORDER"), ("reason", "why it is accepted")):
        if not texts.get(name, "").strip():
            raise UsageTrouble(f'{place} lacks a {name}; add {name} = "{example}"')
    if not texts["reason"].strip(".… "):
        raise UsageTrouble(f'{place}: its reason is still "{texts["reason"]}"; say there why this is accepted')
    _known(place, "rule", texts["rule"], (*registry(), *VERDICTS))
    _known(place, "layout", texts.get("layout", LAYOUTS[0]), LAYOUTS)
    _known(place, "phase", texts.get("phase", PHASES[0]), PHASES)
    return Expected(place, **texts, expires=_date(place, table["expires"]) if "expires" in table else None)


def _text(place: str, table: Mapping[str, object], name: str) -> str:
    value = table[name]
    if not isinstance(value, str):
        raise UsageTrouble(f"{place}: {name} must be a text, in quotes")
    return value


def _known(place: str, name: str, value: str, among: Sequence[str]) -> None:
    if value not in among:
        from difflib import get_close_matches

        nearest = get_close_matches(value, among, 1, 0.0)[0]
        raise UsageTrouble(f"{place}: no {name} is called {value!r}; the nearest is {nearest!r}")


def _date(place: str, value: object) -> datetime.date:
    try:
        if isinstance(value, str):
            return datetime.date.fromisoformat(value)
        if type(value) is datetime.date:  # of TOML; not a date with a time
            return value
    except ValueError:
        pass
    raise UsageTrouble(f"{place}: expires is {str(value)!r}, which is no date; write it as 2027-01-31")


# --- writing ----------------------------------------------------------------------------------------------------------


def draft(run: Run, kept: Sequence[Expected] = ()) -> str:
    """A baseline that accepts what failed in *run*, for --write-baseline.

    Entries of *kept* that accepted something stay as they are; the others get a reason to be filled in, without
    which the file is refused.
    """
    lines = [
        f"# What {_comment(run.target)} is known to get wrong: vqfuzz fails only for what is not in here.",
        "# Each entry needs a reason; `expires` (a last day) is optional, and so is `target` (a pattern).",
    ]
    bad = [one for one in run.results if one.status in (FAILED, WEDGED)]
    stay = [one for one in kept if any(one.covers(run.target, result) for result in bad)]
    for entry in stay:
        lines += ["", *_lines(entry)]
    seen: set[tuple[str, str, str]] = set()
    for result in bad:
        key = (result.rule, result.layout, result.phase)
        if key in seen or any(entry.covers(run.target, result) for entry in stay):
            continue
        seen.add(key)
        lines += ["", f"# {_comment(result.message or result.title or result.name)}"]
        lines += _lines(Expected("", result.rule, TO_BE_FILLED_IN, result.layout, result.phase))
    return "\n".join(lines) + "\n"


def _lines(entry: Expected) -> list[str]:
    told = {"rule": entry.rule, "layout": entry.layout, "phase": entry.phase, "target": entry.target}
    lines = ["[[accepted]]", *(f"{name} = {_quoted(value)}" for name, value in told.items() if value)]
    lines.append(f"reason = {_quoted(entry.reason)}")
    return lines + ([f"expires = {entry.expires.isoformat()}"] if entry.expires is not None else [])


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's escapes are among its own, once DEL is escaped, too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _comment(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
