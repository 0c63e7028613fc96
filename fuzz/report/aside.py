"""One program on two targets, told side by side: what the driver did once, what each device did beside it.

Knows two outcomes of one program. Never runs anything.
"""

from __future__ import annotations

from fuzz.program import Program
from fuzz.report import story
from fuzz.report.story import Row, Story
from fuzz.report.text import WIDTH, cut
from fuzz.verdict import Outcome

ROWS = 40


def stories(program: Program, outcomes: list[Outcome]) -> list[Story]:
    """What happened in each outcome."""
    return [story.tell(program, outcome.trace, outcome.marks) for outcome in outcomes]


def pairs(told: list[Story]) -> list[tuple[int, str, list[Row | None]]]:
    """Rows of all stories in step: (step, driver, the row of each or None); -1: what came after the last step."""
    by_step = [_by_step(one) for one in told]
    steps = sorted({step for one in by_step for step in one}, key=lambda step: (step < 0, step))
    lines: list[tuple[int, str, list[Row | None]]] = []
    for step in steps:
        groups = [one.get(step, []) for one in by_step]
        for number in range(max(map(len, groups))):
            rows = [group[number] if number < len(group) else None for group in groups]
            driver = next((row.driver for row in rows if row is not None and row.driver), "")
            lines.append((step, driver, rows))
    return lines


def _by_step(told: Story) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in told.rows:
        found.setdefault(row.step, []).append(row)
    return found


def render(program: Program, labels: list[str], outcomes: list[Outcome]) -> list[str]:
    """Both as lines of text, and both rings below."""
    told = stories(program, outcomes)
    lines = pairs(told)
    left = max(0, len(lines) - ROWS)
    first = min(26, max([6, *(len(driver) for _, driver, _ in lines[left:])]))
    each = (WIDTH - 10 - first - 2 * len(labels)) // len(labels)
    heads = "  ".join(shorter(label, each).ljust(each) for label in labels)
    text = ["  What happened", f"    step  {'driver':<{first}}  {heads}".rstrip()]
    number = next((one.queue() for one in told if one.violation is not None), 0)
    text.append(f"    ────  {'─' * first}  " + "  ".join("─" * each for _ in labels))
    text += [f"       …  {left} rows before these are left out"] if left else []
    before = None
    for step, driver, rows in lines[left:]:
        named = "" if step == before else "end" if step < 0 else str(step)
        before = step
        cells = "  ".join(_cell(row, each).ljust(each) for row in rows)
        text.append(f"    {named:>4}  {cut(driver or '·', first):<{first}}  {cells}".rstrip())
    for label, one in zip(labels, told, strict=True):
        rings = one.rings.get(number)
        if rings is not None:
            wrong = one.violation.position if one.violation is not None and one.queue() == number else -1
            drawn = rings.draw(wrong if wrong < rings.size else -1)
            text += ["", f"  Ring of {label} (size {rings.size})", *(cut(f"    {line}", WIDTH) for line in drawn)]
    return text


def shorter(label: str, width: int) -> str:
    """A label in *width* characters, cut in its middle: names of one kind differ at their ends."""
    if len(label) <= width:
        return label
    end = (width - 1) // 2
    return f"{label[: width - 1 - end]}…{label[-end:]}"


def _cell(row: Row | None, width: int) -> str:
    if row is None or not (row.device or row.bad):
        return "·"
    note = f" {row.note}" if row.note else ""
    return cut(row.device or "·", width - len(note)) + note
