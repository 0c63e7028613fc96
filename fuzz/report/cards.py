"""One find as a card: everything that a page tells of it, as data.

Made from a find's folder, from an outcome, or from a Result that has no folder. Knows what reports know of finds.
Never runs anything, and must not know HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuzz import deviations, encoding, finds
from fuzz.finds import Find, Meta
from fuzz.program import Program
from fuzz.report import drawing
from fuzz.report.drawing import Drawing
from fuzz.report.frames import Frame, Pictures, pictures
from fuzz.report.story import Row, shortened
from fuzz.report.text import origin, quote
from fuzz.results import Result
from fuzz.status import duration
from fuzz.trouble import UsageTrouble
from fuzz.verdict import BROKEN, CONFORMS, CRASHED, HUNG, OUR_FAULT, UNDECIDED, VIOLATES, Outcome
from oracles import spec
from oracles.rules import Rule, Violation, registry
from oracles.trace import Entry

_ROWS = 60  # of the table
_LINES = 200  # of a program
_LONG = 20_000  # characters of a text that was made elsewhere
_WORDS = {
    CRASHED: ("CRASH", "the target died"),
    HUNG: ("HANG", "the target answers no more"),
    BROKEN: ("BROKEN", "the device gives up: it needs a reset, it says"),
    OUR_FAULT: ("OURS", "vqfuzz itself failed; please report it"),
}


@dataclass(slots=True)
class Panel:
    """One run of a program on one target, drawn."""

    label: str  # '' if there is only one
    said: str
    state: str  # conforms | undecided | violates | crashed | hung | gave up | not judged
    timeline: Drawing | None = None
    frames: list[tuple[Frame, Drawing]] = field(default_factory=list)
    left: int = 0  # frames left out
    rows: list[Row] = field(default_factory=list)
    rows_left: int = 0


@dataclass(slots=True)
class Card:
    """A find."""

    name: str  # unique on the page; '' gets a number
    word: str  # FAIL | CRASH | HANG | BROKEN | FLAKY | WEDGED | DIVERGES | KNOWN
    rule: str
    title: str
    message: str
    level: str = ""
    subject: str = ""
    layout: str = ""
    document: str = ""
    sections: list[tuple[str, str]] = field(default_factory=list)  # version or versions, section
    demand: str = ""  # what the rule says
    expected: str = ""
    seen: str = ""
    reproduced: str = ""
    shrunk: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    program: str = ""
    before: list[tuple[str, str]] = field(default_factory=list)  # file, program: what must run first
    commands: list[str] = field(default_factory=list)
    words: str = ""  # the target's last
    report: str = ""  # as text, where nothing can be drawn
    known: str = ""  # why it is accepted
    where: str = ""  # its folder


_STATES = {
    CONFORMS: "conforms", UNDECIDED: "undecided", VIOLATES: "violates",
    CRASHED: "crashed", HUNG: "hung", BROKEN: "gave up", OUR_FAULT: "not judged",
}  # fmt: skip


def panel(program: Program, entries: Sequence[Entry], marks: Sequence[int], verdict: str, label: str = "",
          said: str = "", queue: int | None = None) -> tuple[Panel, Pictures]:  # fmt: skip
    """A run, drawn. *queue*: whose ring, if not that of the violation."""
    state = _STATES.get(verdict, "violates")
    drawn = pictures(program, entries, marks, state if state in ("crashed", "hung", "gave up") else "", queue)
    rows, left = shortened(drawn.told.rows, _ROWS)
    timeline = drawing.timeline(drawn.timeline) if drawn.timeline is not None else None
    frames = [(frame, drawing.ring(frame)) for frame in drawn.frames]
    return Panel(label, said, state, timeline, frames, drawn.left, rows, left), drawn


def describe_rule(card: Card, rule: Rule | None, layout: str) -> None:
    """Fill in what the catalogue says."""
    if rule is None:
        return
    card.title, card.level, card.subject, card.demand = rule.title, rule.level.value, rule.subject, rule.text
    if rule.document == "vhost-user":
        card.document = f"vhost-user protocol, {rule.place}"
        return
    for version in spec.VERSIONS:
        numbers = rule.section[version].split(", ")
        number = numbers[-1] if layout == spec.PACKED else numbers[0]
        if card.sections and card.sections[-1][1] == (number or "not in it"):
            first = card.sections.pop()[0].partition(" ")[0]
            card.sections.append((f"{first} to {version}", number or "not in it"))
        else:
            card.sections.append((version, number or "not in it"))


def text_of(program: Program) -> str:
    """A program as text, its middle left out if it is long."""
    lines = encoding.dump(program).splitlines()
    if len(lines) > _LINES:
        kept = _LINES - 12
        lines = [*lines[:12], f"# … {len(lines) - kept - 12} lines are left out here", *lines[-kept:]]
    return "\n".join(lines)


def of_find(find: Find, seen: tuple[list[Entry], list[int]], file: Path) -> Card:
    """The card of a find; *seen*: trace and marks of its program, which stands in *file*."""
    meta, program = find.meta, find.program
    verdict = str(meta.get("verdict", VIOLATES))
    one, drawn = panel(program, *seen, verdict)
    violation = drawn.told.violation if verdict == VIOLATES else None
    rule = violation.rule if violation is not None else str(meta.get("rule", verdict))
    card = Card(find.id, *_headline(verdict, rule), message=str(meta.get("message") or meta.get("reason") or ""))
    card.layout, card.where, card.panels = program.layout, str(find.folder), [one]
    describe_rule(card, registry().get(rule), program.layout)
    _violation(card, violation)
    card.program = text_of(program)
    card.before = [(f"before-{number:03}.vq", text_of(one)) for number, one in enumerate(find.before, 1)][-5:]
    _meta(card, meta, program)
    _accepted(card, meta, program)
    target = quote(str(meta.get("target", "")))
    qemu = str((meta.get("describe") or {}).get("qemu", ""))
    target += f" --qemu {quote(qemu)}" if qemu else ""
    card.commands = [
        f"vqfuzz replay {quote(str(file))} --target {target}",
        f"vqfuzz judge {quote(str(file.with_suffix('.vqtrace')))}   # without the target",
        f"vqfuzz explain {quote(str(find.folder))}",
    ]
    return card


def _headline(verdict: str, rule: str) -> tuple[str, str, str]:
    word, title = _WORDS.get(verdict, ("FAIL", ""))
    return word, rule, title


def _violation(card: Card, violation: Violation | None) -> None:
    if violation is not None:
        card.message, card.expected, card.seen = violation.message, violation.expected, violation.observed


def _meta(card: Card, meta: Meta, program: Program) -> None:
    """What find.json says, as far as it says it: a folder may be somebody else's."""
    runs, shrunk = meta.get("runs"), meta.get("shrunk")
    if isinstance(runs, dict) and runs.get("of"):
        card.reproduced = f"{runs.get('again', '?')}/{runs['of']}"
        card.word = card.word if runs.get("again", 1) else "FLAKY"
    if isinstance(shrunk, dict):
        parts = [f"{shrunk.get('executions', '?')} executions"]
        if isinstance(shrunk.get("seconds"), int | float):
            parts.append(duration(shrunk["seconds"]))
        parts += [] if shrunk.get("complete", True) else ["not to the end"]
        card.shrunk = f"{shrunk.get('before', '?')} → {shrunk.get('after', '?')} steps ({', '.join(parts)})"
    card.facts = [("target", str(meta.get("target", "unknown"))), *_shape(program)]
    if meta.get("seed") is not None:
        card.facts.append(("from", origin(meta)))
    if meta.get("also_seen"):
        card.facts.append(("also seen", f"{meta['also_seen']} more times"))
    if card.word in ("CRASH", "HANG", "BROKEN", "FLAKY"):
        card.words = "\n".join(str(meta.get("words") or "").splitlines()[-15:])[:4000]


def _shape(program: Program) -> list[tuple[str, str]]:
    """What a program negotiates."""
    sizes = " ".join(str(queue.size) for queue in program.queues)
    names = " ".join(spec.feature_names(program.features)) or "none"
    return [("features", names), ("virtqueues", f"{program.layout}, size {sizes}, device class {program.device}")]


def _accepted(card: Card, meta: Meta, program: Program) -> None:
    """Whether it is listed as known."""
    describe = meta.get("describe")
    version = str(describe.get("version", "")) if isinstance(describe, dict) else ""
    words = f"{meta.get('reason', '')}\n{meta.get('message', '')}\n{meta.get('words', '')}"
    one = deviations.known(str(meta.get("target", "")), version, card.rule, words, program)
    if one is not None:
        card.known = one.reason


def load(folder: Path) -> Card:
    """The card of the find in *folder*, from the smallest program if there is one. Raises UsageTrouble."""
    minimal = (folder / finds.MINIMAL).exists() and (folder / finds.MINIMAL_TRACE).exists()
    file = folder / (finds.MINIMAL if minimal else finds.PROGRAM)
    find = finds.load(file)
    entries = finds.load_trace(folder / (finds.MINIMAL_TRACE if minimal else finds.TRACE))
    marks = find.meta.get("marks" if minimal else "first_marks") or []
    if not isinstance(marks, list) or not all(isinstance(mark, int) for mark in marks):
        raise UsageTrouble(f"{folder / finds.META}: the marks are no list of numbers; remove the file and run it again")
    return of_find(find, (entries, marks), file)


def of_result(result: Result) -> Card:
    """The card of a Result; drawn if its folder is still there."""
    folder = Path(result.find) if result.find else None
    folder = folder.parent if folder is not None and folder.is_file() else folder
    card = None
    if folder is not None and folder.is_dir():
        try:
            card = load(folder)
        except UsageTrouble:  # then what the Result itself says has to do
            card = None
    if card is None:
        verdict = result.rule if result.rule in _WORDS else VIOLATES
        card = Card("", *_headline(verdict, result.rule), message=result.message)
        describe_rule(card, registry().get(result.rule), result.layout)
        card.program, card.report = result.program[:_LONG].rstrip(), result.report[:_LONG].rstrip()
        card.where = result.find
    card.word = "WEDGED" if result.status == "wedged" else card.word
    card.name = card.name or result.name
    if card.rule == result.rule:  # of a find that is another's by now, its own words hold
        card.title, card.level = result.title or card.title, result.level or card.level
    card.layout, card.reproduced = result.layout or card.layout, result.reproduced or card.reproduced
    card.known = result.known
    if result.severity:
        card.facts.append(("severity", result.severity))
    if result.also:
        card.facts.append(("also seen", f"{result.also} more times"))
    return card


def of_outcomes(name: str, rule: str, program: Program, sides: Sequence[tuple[str, str, Outcome]]) -> Card:
    """The card of a divergence: *sides* are (label, what it came to in words, outcome), two of them or more."""
    card = Card(name, "DIVERGES", rule, "verdicts differ", "", layout=program.layout)
    describe_rule(card, registry().get(rule), program.layout)
    card.facts = _shape(program)
    queue = next((outcome.violation.queue for _, _, outcome in sides if outcome.violation is not None), 0)
    for label, said, outcome in sides:
        one, _ = panel(program, outcome.trace, outcome.marks, outcome.verdict, label, said, queue)
        card.panels.append(one)
        if outcome.rule == rule and outcome.violation is not None and not card.expected:
            _violation(card, outcome.violation)
    card.program = text_of(program)
    return card
