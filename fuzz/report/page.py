"""A whole page as data: of a check, of finds on disk, or of a comparison.

Knows results, finds and comparisons. Must not know HTML, nor run anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fuzz import __version__, finds
from fuzz.diff import Differ, Side
from fuzz.report import kinds
from fuzz.report.cards import Card, load, of_outcomes, of_result
from fuzz.report.matrix import LACKS, Cell, Line, matrix
from fuzz.report.text import quote
from fuzz.results import FAILED, NOT_OFFERED, PASSED, STATUSES, UNDECIDED, WEDGED, Result, Run
from fuzz.trouble import UsageTrouble
from fuzz.verdict import BAD, Outcome
from fuzz.verdict import UNDECIDED as UNCLEAR_VERDICT
from oracles.rules import registry

ACCEPTED = "accepted"
_KINDS = (*(status for status in STATUSES if status != NOT_OFFERED), ACCEPTED, NOT_OFFERED)
MOST_CARDS = 60  # told in full; more are counted
_MEANS = {
    0: ("conforms", "good"),
    1: ("found something", "bad"),
    2: ("could not be read", "odd"),
    3: ("target could not be used", "odd"),
    4: ("undecided or flaky", "odd"),
    130: ("interrupted", "odd"),
}


@dataclass(slots=True)
class Page:
    """All that a page shows, in its order."""

    title: str
    verdict: str  # a few words
    tone: str  # good | bad | odd
    lead: str = ""  # one sentence under it
    pills: list[tuple[str, str]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)  # of the summary: section, then statuses
    summary: list[tuple[str, list[int]]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)  # of the matrix: targets or layouts
    lines: list[Line] = field(default_factory=list)  # where something is said against somebody, or they differ
    same: list[Line] = field(default_factory=list)  # the others
    found: str = "Finds"  # heading of the cards
    cards: list[Card] = field(default_factory=list)
    left: int = 0  # cards left out
    warnings: list[tuple[str, str, str]] = field(default_factory=list)  # rule, title, words
    accepted: list[tuple[str, str, str]] = field(default_factory=list)  # rule, what, reason
    unclear: list[tuple[str, str]] = field(default_factory=list)
    not_offered: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    environment: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)  # of what, rows
    command: str = ""


# --- of a check -------------------------------------------------------------------------------------------------------


def of_run(run: Run) -> Page:
    """The page of a check."""
    verdict, tone = _MEANS.get(run.code, (f"exit {run.code}", "odd"))
    failed = run.failures()
    page = Page(f"{run.target}", verdict, tone)
    counts = Counter(map(_state, run.results))
    page.lead = ", ".join(f"{counts[kind]} {kind}" for kind in _KINDS if counts[kind]) or "nothing was checked"
    page.pills = [
        ("target", run.target),
        ("VIRTIO", run.spec + (" strict" if run.strict else "")),
        ("seed", str(run.seed)),
        ("date", run.started),
        ("took", f"{run.seconds:.1f} s" if run.seconds else ""),
        ("vqfuzz", run.version),
        ("exit", str(run.code)),
    ]
    page.pills = [pill for pill in page.pills if pill[1]]
    _summary(page, run)
    _layouts(page, run.results)
    told = [one for one in run.results if one.status in (FAILED, WEDGED)]
    told.sort(key=lambda one: not one.new)
    shown = [one for one in told if one.new][:MOST_CARDS]
    page.cards = _named([of_result(one) for one in shown])
    page.left = len(failed) - len(shown)
    page.accepted = [(one.rule, one.message or one.title, one.known) for one in told if not one.new]
    page.unclear = [(one.name, one.message or one.title) for one in run.results if one.status == UNDECIDED]
    page.not_offered = [(one.name, one.message or one.title) for one in run.results if one.status == NOT_OFFERED]
    warned = [one for one in run.results if one.status == PASSED and one.report]
    page.warnings = [(one.rule, one.title, one.message or "seen") for one in warned]
    page.notes, page.command = list(run.notes), run.command
    page.environment = [(run.target, sorted(run.describe.items()))] if run.describe else []
    return page


def _summary(page: Page, run: Run) -> None:
    """Results by chapter, in the order of the specification."""
    statuses = [status for status in _KINDS if any(_state(one) == status for one in run.results)]
    page.heads = ["section", *statuses]
    for name, found in kinds.by_chapter(run).items():
        counts = Counter(map(_state, found))
        page.summary.append((kinds.heading(name, run.spec), [counts[status] for status in statuses]))


def _by_number(section: str) -> tuple[int, list[int], str]:
    parts = section.split(".")
    numbers = [int(part) for part in parts] if all(part.isdecimal() for part in parts) else []
    return (not numbers, numbers, section)


def _layouts(page: Page, results: list[Result]) -> None:
    """Rules by layouts: the matrix of one target."""
    names = [name for name in ("split", "packed", "") if any(one.layout == name for one in results)]
    rows: dict[str, dict[str, Result]] = {}
    for one in results:
        if one.phase in ("conformance", "boundary"):
            kept = rows.setdefault(one.rule, {})
            if one.layout not in kept or one.status in (FAILED, WEDGED):
                kept[one.layout] = one
    page.labels = [name or "any layout" for name in names]
    for rule, by_layout in rows.items():
        first = next(iter(by_layout.values()))
        cells = tuple(Cell(_state(by_layout[name]) if name in by_layout else "—") for name in names)
        line = Line(rule, first.title, first.level, first.section, cells)
        clean = all(cell.state in ("passed", "rejected", LACKS, "—") for cell in cells)
        (page.same if clean else page.lines).append(line)


def _state(result: Result) -> str:
    """Its status; what fails nothing since it is known counts for itself."""
    return ACCEPTED if result.status in (FAILED, WEDGED) and not result.new else result.status


def _named(cards: list[Card]) -> list[Card]:
    """Cards with a name each that no other has."""
    seen: Counter[str] = Counter()
    for card in cards:
        card.name = card.name or "find"
        seen[card.name] += 1
        card.name += f"-{seen[card.name]}" if seen[card.name] > 1 else ""
    return cards


# --- of finds on disk -------------------------------------------------------------------------------------------------


def of_finds(path: Path) -> Page:
    """The page of the find in *path*, or of all finds right below it. Raises UsageTrouble."""
    folders = _folders(path)
    cards = _named([load(folder) for folder in folders[:MOST_CARDS]])
    metas = [finds.load_meta(folder) for folder in folders]
    targets = sorted({str(meta.get("target", "unknown")) for meta in metas})
    told = [card for card in cards if not card.known and card.word != "FLAKY"]
    page = Page(" · ".join(targets), *_MEANS[1 if told else 4])
    counts = Counter(f"{card.rule} {card.title}".strip() for card in cards)
    page.lead = f"{len(folders)} find{'s' if len(folders) != 1 else ''}: " + ", ".join(
        f"{name}{f' ({count} times)' if count > 1 else ''}" for name, count in counts.items()
    )
    page.cards, page.left = cards, len(folders) - len(cards)
    page.accepted = [(card.rule, card.message, card.known) for card in cards if card.known]
    page.pills = [("target", " · ".join(targets))]
    seeds = sorted({str(meta["seed"]) for meta in metas if meta.get("seed") is not None})
    versions = sorted({str(_table(meta, "versions").get("vqfuzz", "")) for meta in metas} - {""})
    newest = max((folder / finds.PROGRAM).stat().st_mtime for folder in folders if (folder / finds.PROGRAM).exists())
    page.pills += [("seed", " ".join(seeds))] if seeds else []
    page.pills += [
        ("VIRTIO", "1.1 to 1.4"),
        ("found", datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
        ("vqfuzz", " ".join(versions) or __version__),
    ]
    sections = [
        card.sections[-1][1] if card.sections else card.document or f"no rule: {card.word.lower()}" for card in cards
    ]
    found = Counter(sections)
    page.heads = ["section", "finds"]
    page.summary = [(name, [found[name]]) for name in sorted(found, key=_by_number)]
    _environments(page, metas)
    for meta in metas[:1]:
        if meta.get("options") and meta.get("target"):
            page.command = f"vqfuzz fuzz {quote(str(meta['target']))} {meta['options']}"
    return page


def _place(card: Card) -> str:
    """What a find is counted under: the section in the newest version, or how it ended if no rule says so."""
    return card.sections[-1][1] if card.sections else card.document or f"no rule: {card.word.lower()}"


def _table(meta: finds.Meta, name: str) -> dict[str, object]:
    value = meta.get(name)
    return value if isinstance(value, dict) else {}


def _environments(page: Page, metas: list[finds.Meta]) -> None:
    """Each target once, as the first of its finds describes it."""
    for meta in metas:
        target = str(meta.get("target", "unknown"))
        if any(name == target for name, _ in page.environment):
            continue
        rows = [(name, str(value)) for part in ("describe", "versions") for name, value in _table(meta, part).items()]
        if rows:
            page.environment.append((target, rows))


def _folders(path: Path) -> list[Path]:
    if any((path / name).is_file() for name in (finds.META, finds.PROGRAM)):
        return [path]
    found = sorted(place.parent for place in path.glob(f"*/{finds.PROGRAM}") if not place.parent.name.startswith("."))
    if not found:
        raise UsageTrouble(f"{path} holds no find: there is no {finds.PROGRAM} in it, nor in a folder below it")
    return found


# --- of a comparison --------------------------------------------------------------------------------------------------


def of_diff(differ: Differ, *, command: str, seed: int, started: str, notes: list[str]) -> Page:
    """The page of a comparison."""
    sides, first = differ.sides, differ.first
    verdict, tone = ("they differ", "bad") if first is not None else ("no divergence", "good")
    if differ.code not in (0, 1):
        verdict, tone = _MEANS.get(differ.code, (f"exit {differ.code}", "odd"))
    page = Page(" | ".join(side.label for side in sides), verdict, tone)
    different = sum(differ.kinds.values())
    page.lead = f"{differ.tally.programs} programs ran on {len(sides)} targets; verdicts differ on {different}."
    page.pills = [("target", side.label) for side in sides]
    page.pills += [("seed", str(seed)), ("VIRTIO", "1.4"), ("date", started)]
    page.pills += [("vqfuzz", __version__), ("exit", str(differ.code))]
    page.labels = [side.label for side in sides]
    page.found = "First divergence"
    for line in matrix(differ):
        (page.same if line.clean else page.lines).append(line)
    _chapters(page, [*page.lines, *page.same])
    if first is not None:
        page.cards = [_divergence(differ)]
        page.accepted = [(first.outcomes[at].rule, sides[at].label, why) for at, why in first.known.items()]
    page.warnings = [
        (rule, _title(rule), f"{side.label}: in {count} programs")
        for side in sides
        for rule, count in sorted(side.warnings.items())
    ]
    waits = [(side.label, side.counts[UNCLEAR_VERDICT]) for side in sides]
    page.unclear = [(label, f"{count} programs undecided") for label, count in waits if count]
    page.unclear += [(origin, "differed once, and not again") for origin in differ.flaky]
    ours = [f"vqfuzz itself failed, please report it: {differ.ours}"] if differ.ours else []
    page.notes = [*notes, *ours, *([f"stopped early: {differ.stopped}"] if differ.stopped else [])]
    page.environment = [(side.label, _facts(side)) for side in sides]
    page.command = command
    return page


def _facts(side: Side) -> list[tuple[str, str]]:
    return [*side.describe.items(), *((name, text) for name, text in side.offer.details if name not in side.describe)]


def _title(rule: str) -> str:
    known = registry().get(rule)
    return known.title if known is not None else ""


def _chapters(page: Page, lines: list[Line]) -> None:
    """Sections by what is kept and what is not, over all targets."""
    found: dict[str, Counter[str]] = {}
    for line in lines:
        parts = line.section.split(", ")[0].split(".")
        name = ".".join(parts[:2]) if parts[0].isdecimal() else line.section or "no section"
        state = (
            "kept" if line.kept else "not exercised" if line.clean else "differ" if line.differs else "broken by all"
        )
        found.setdefault(name, Counter())[state] += 1
    heads = ["kept", "differ", "broken by all", "not exercised"]
    page.heads = ["section", *heads]
    page.summary = [(name, [found[name][head] for head in heads]) for name in sorted(found, key=_by_number)]


def _divergence(differ: Differ) -> Card:
    first = differ.first
    assert first is not None
    sides = differ.sides
    small = first.smaller
    shown = [(side.label, said(outcome), outcome) for side, outcome in zip(sides, first.outcomes, strict=True)]
    card = of_outcomes("first-divergence", first.rules[first.lead], small.program, shown)
    card.message = f"{first.origin}: " + "; ".join(
        f"{side.label} {rule}" for side, rule in zip(sides, first.rules, strict=True)
    )
    card.reproduced = f"{first.again}/{first.of}"
    done = "" if small.complete else ", not to the end"
    before, after = len(first.program.steps), len(small.program.steps)
    card.shrunk = f"{before} → {after} steps ({small.executions} executions{done})"
    ordered = [sides[first.lead], *(side for number, side in enumerate(sides) if number != first.lead)]
    card.commands = ["# the program, saved as minimal.vq", *dict.fromkeys(map(_replay, ordered))]
    return card


def _replay(side: Side) -> str:
    qemu = side.describe.get("qemu", "")
    return f"vqfuzz replay minimal.vq --target {quote(side.target.name)}" + (f" --qemu {quote(qemu)}" if qemu else "")


def said(outcome: Outcome) -> str:
    """An outcome in one line."""
    if outcome.verdict not in BAD:
        return outcome.verdict + (f": {outcome.reason}" if outcome.reason else "")
    text = outcome.violation.message if outcome.violation is not None else outcome.reason
    return f"{outcome.rule}: {text}"


__all__ = ["Page", "of_diff", "of_finds", "of_run", "said"]
