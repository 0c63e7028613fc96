"""A find as text: what is broken, where that is written, how it came about, and how to see it again.

Knows a find's facts (``find.json``), its smallest program and that program's trace. Never runs anything.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz import encoding
from fuzz.program import Program
from fuzz.report import policy, story
from fuzz.status import duration
from fuzz.verdict import BROKEN, CRASHED, HUNG, OUR_FAULT, VIOLATES, WEDGED
from oracles import spec
from oracles.rules import Rule, Violation, registry
from oracles.trace import Entry

WIDTH = 100
ROWS = 14  # of the table
LINES = 14  # of the program
_WORDS = {CRASHED: "CRASH", HUNG: "HANG", BROKEN: "BROKEN", WEDGED: "WEDGED"}
_HEADLINES = {
    CRASHED: "the target died",
    HUNG: "the target answers no more",
    BROKEN: "the device gives up: it needs a reset, it says (2.1.2), though the driver kept every rule",
    WEDGED: "after hostile steps and a reset, or on a new connection, the device does not work",
    OUR_FAULT: "vqfuzz itself failed; please report it, with the folder of this find",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """All that a report is made of."""

    meta: dict[str, Any]
    program: Program
    trace: list[Entry]
    marks: list[int]
    verdict: str
    reason: str = ""
    file: Path | None = None  # where the program stands
    before: tuple[Program, ...] = ()  # what must have run first


def render(shown: Shown) -> str:
    """The report, with a line end."""
    told = story.tell(shown.program, shown.trace, shown.marks)
    violation = told.violation if shown.verdict == VIOLATES else None
    blocks = [
        _head(shown, violation),
        _facts(shown, told),
        _table(told, shown.program.role == "device"),
        _ring(told, violation),
        _expected(violation),
        _before(shown),
        _program(shown),
        _commands(shown),
    ]
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block) + "\n"


def _wrapped(text: str, indent: str, first: str | None = None) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent if first is None else first, subsequent_indent=indent,
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def _head(shown: Shown, violation: Violation | None) -> list[str]:
    if violation is None:
        word = _WORDS.get(shown.verdict, shown.verdict)
        headline = _HEADLINES.get(shown.verdict, "no rule is broken")
        if shown.verdict == BROKEN and shown.program.role == "device":
            headline = "the driver gives up, though the device kept every rule"
        lines = [f"{word}  {headline}"]
        return lines + (_wrapped(shown.reason, "      ") if shown.reason else [])
    rule = registry().get(violation.rule)
    if rule is None:
        return [f"FAIL  {violation.rule}", *_wrapped(violation.message, "      ")]
    left = f"FAIL  {rule.id}  {rule.title}"
    right = f"{rule.level.value} · {rule.subject} · {shown.program.layout}"
    gap = max(3, WIDTH - len(left) - len(right))
    first = [left + " " * gap + right] if len(left) + gap + len(right) <= WIDTH else [left, f"      {right}"]
    cited = f"      {where(rule, shown.program.layout)}"
    more = f"vqfuzz rules {rule.id}"
    cited += " " * max(3, WIDTH - len(cited) - len(more)) + more
    return [*first, cited, *_wrapped(violation.message, "      ")]


def where(rule: Rule, layout: str = "") -> str:
    """The section in the newest version, and the number in older ones where it differs."""
    text = rule.cite(layout=layout)
    if rule.document != "virtio":
        return text
    newest = rule.section[spec.VERSIONS[-1]]
    others = [
        f"{version}: {section_in(rule.section[version], layout)}"
        for version in spec.VERSIONS[:-1]
        if rule.section[version] and rule.section[version] != newest
    ]
    return text + (f" ({'; '.join(others)})" if others else "")


def section_in(numbers: str, layout: str) -> str:
    """Of two numbers of sections, split and packed, the one of *layout*."""
    parts = numbers.split(", ")
    return parts[-1] if layout == spec.PACKED else parts[0]


def _facts(shown: Shown, told: story.Story) -> list[str]:
    meta, program = shown.meta, shown.program
    describe = meta.get("describe") or {}
    target = str(meta.get("target", "unknown"))
    ours = target.startswith("qemu:")  # then the target's name says it all: the command line is long, and made from it
    extra = [describe[name] for name in ("version",) if describe.get(name)]
    extra = extra if ours or not describe.get("command") else [describe["command"], *extra]
    names = " ".join(spec.feature_names(program.features)) or "none"
    sizes = " ".join(str(queue.size) for queue in program.queues)
    queue = f"queue {told.queue()}, " if len(program.queues) > 1 else ""
    size = f"{queue}size {sizes}"
    shrunk = meta.get("shrunk") or {}
    runs = meta.get("runs") or {}
    parts = []
    if runs.get("of"):
        parts.append(f"reproduced {runs['again']}/{runs['of']}")
    if shrunk:
        done = "" if shrunk.get("complete", True) else ", not to the end"
        parts.append(
            f"shrunk {shrunk['before']} → {shrunk['after']} steps "
            f"({shrunk['executions']} executions, {duration(shrunk['seconds'])}{done})"
        )
    lines = _wrapped(" · ".join([target, *extra]), " " * 12, "  target    ")
    lines += _wrapped(f"{names} · {program.layout}, {size}", " " * 12, "  features  ")
    if parts:
        lines.append("  verdict   " + " · ".join(parts))
    if meta.get("severity"):
        cause = f" · {meta['cause']}" if meta.get("cause") else ""
        lines += _wrapped(f"{meta['severity']}{cause}", " " * 12, "  severity  ")
    if meta.get("seed") is not None:
        lines.append(f"  id        {meta.get('id', '?')} · {origin(meta)}")
    words = str(meta.get("words") or "").splitlines()
    if shown.verdict in _WORDS and words:
        lines += ["", "  Its last words", *(f"    {word[: WIDTH - 4]}" for word in words[-10:])]
    return lines


def _table(told: story.Story, ours: bool) -> list[str]:
    """*ours*: the device is, and the driver is under test."""
    rows, left = story.shortened(told.rows, ROWS)
    if not rows:
        return []
    heads = ("driver, as seen", "device", "outstanding") if ours else ("driver", "device, as seen", "outstanding")
    first = min(34, max(len(heads[0]), *(len(row.driver) for row in rows)))
    room = WIDTH - len("    step  ") - first - 4 - len(heads[2])
    widths = (first, min(room, max(len(heads[1]), *(len(row.device) for row in rows))))
    lines = ["  What happened", f"    step  {heads[0]:<{widths[0]}}  {heads[1]:<{widths[1]}}  {heads[2]}"]
    lines.append(f"    ────  {'─' * widths[0]}  {'─' * widths[1]}  {'─' * len(heads[2])}")
    if left:
        lines.append(f"       …  {left} rows before these are left out")
    before = None
    for row in rows:
        number = "" if row.step == before else "end" if row.step < 0 else str(row.step) if row.step else "0"
        before = row.step
        driver, device = cut(row.driver or "·", widths[0]), cut(row.device or "·", widths[1])
        line = f"    {number:>4}  {driver:<{widths[0]}}  {device:<{widths[1]}}  "
        note = f"   {row.note}" if row.note else ""
        lines.append(line + cut(row.model, WIDTH - len(line) - len(note)) + note)
    return lines


def cut(text: str, width: int) -> str:
    """*text* in at most *width* characters."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def _ring(told: story.Story, violation: Violation | None) -> list[str]:
    rings = told.rings.get(told.queue())
    if rings is None or violation is None:
        return []
    drawn = rings.draw(violation.position if violation.position < rings.size else -1)
    return [f"  Ring (size {rings.size})", *(cut(f"    {line}", WIDTH) for line in drawn)]


def _expected(violation: Violation | None) -> list[str]:
    if violation is None:
        return []
    lines = []
    if violation.expected:
        lines += _wrapped(violation.expected, " " * 12, "  expected  ")
    if violation.observed:
        lines += _wrapped(violation.observed, " " * 12, "  seen      ")
    rule = registry().get(violation.rule)
    if rule is not None:
        lines += _wrapped(rule.text, " " * 12, "  the rule  ")
        for name, text in policy.told(rule):
            lines += _wrapped(f"{name}: {text}", " " * 12, "  ")
    return lines


def _before(shown: Shown) -> list[str]:
    """The programs that had to run first: the last of them, and those that are short."""
    count = len(shown.before)
    if not count:
        return []
    many = f"these {count} programs" if count > 1 else "this program"
    lines = [f"  Only after {many} in the same process"]
    first = max(0, count - 3)
    lines += [f"    before-001.vq … before-{first:03}.vq"] if first else []
    for number, program in enumerate(shown.before[first:], first + 1):
        text = encoding.dump(program).splitlines()[1:]
        shown_lines = text if len(text) <= LINES // 2 else [f"{len(program.steps)} steps"]
        lines += [f"    before-{number:03}.vq", *(cut(f"      {line}", WIDTH) for line in shown_lines)]
    return lines


def _program(shown: Shown) -> list[str]:
    lines = encoding.dump(shown.program).splitlines()
    if len(lines) > LINES:
        kept = LINES - 6
        lines = [*lines[:4], f"… {len(lines) - kept - 4} lines", *lines[-kept:]]
    return [
        "  Minimal program" if shown.meta.get("shrunk") else "  Program",
        *(cut(f"    {line}", WIDTH) for line in lines),
    ]


def _commands(shown: Shown) -> list[str]:
    file = shown.file
    if file is None:
        return []
    qemu = (shown.meta.get("describe") or {}).get("qemu", "")
    target = quote(str(shown.meta.get("target", ""))) + (f" --qemu {quote(str(qemu))}" if qemu else "")
    lines = ["  See it again", f"    vqfuzz replay {quote(str(file))} --target {target}"]
    if shown.meta.get("id"):
        lines.append(f"    vqfuzz judge {quote(str(file.with_suffix('.vqtrace')))}   # without the target")
        lines.append(f"    vqfuzz explain {quote(str(file.parent))}")
    return lines


def origin(meta: dict[str, Any]) -> str:
    """Which program of a run it was: of the seed, or of the corpus that ran before those."""
    return str(meta["corpus"]) if meta.get("corpus") else f"seed {meta['seed']}, program {meta.get('index', '?')}"


def quote(words: str) -> str:
    """For a shell."""
    import shlex

    return shlex.quote(words)
