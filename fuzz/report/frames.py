"""A run as pictures: the ring after each step, and each buffer from where it became available to where it was used.

Knows stories and rings. Must not know how a picture is drawn.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from fuzz.program import (
    Add,
    Call,
    Callbacks,
    Get,
    Kick,
    Lever,
    Misuse,
    Notify,
    Program,
    Publish,
    QueueReset,
    Receive,
    Reset,
    Restart,
    Supply,
    Suppress,
    Use,
)
from fuzz.report import story
from fuzz.report.rings import Packed, Place, Rings
from fuzz.report.story import Row, Story
from oracles.oracle import Oracle
from oracles.trace import Entry

FRAMES = 12  # steps of which the ring is drawn, the last ones
COLUMNS = 24  # steps of a timeline, the last ones
BARS = 16  # buffers of a timeline
_END = -1

_SIGNS: dict[type, tuple[str, str]] = {
    Supply: ("+", "supply"),
    Publish: ("p", "publish"),
    Notify: ("!", "notify"),
    Receive: ("−", "receive"),
    Suppress: ("e", "suppress"),
    Reset: ("↺", "reset"),
    QueueReset: ("↺", "queue reset"),
    Restart: ("↺", "restart"),
    Lever: ("~", "lever"),
    Add: ("+", "add"),
    Kick: ("!", "kick"),
    Get: ("−", "get"),
    Callbacks: ("e", "callbacks"),
    Use: ("✓", "use"),
    Call: ("!", "call"),
    Misuse: ("✗", "misuse"),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """The ring after one step."""

    step: str  # from 1; «end»; 0: set-up
    driver: str
    device: tuple[str, ...]
    outstanding: str
    places: tuple[Place, ...]
    more: str  # of a ring that is shown in part
    pointers: dict[str, tuple[int, str]]  # driver, device: place and words
    wrong: int = -1  # place that is wrong
    note: str = ""
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A buffer's time in the ring, in columns of the timeline."""

    name: str
    first: int
    last: int
    state: str  # used | wrong | due | outstanding | reset
    earlier: bool  # it was there before the first column


@dataclass(frozen=True, slots=True)
class Timeline:
    """Steps from left to right: what the driver did, what the device did, and the buffers below."""

    steps: tuple[str, ...]
    driver: tuple[tuple[str, str], ...]  # sign, words
    device: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...]
    left_steps: int  # left out
    left_bars: int


@dataclass(frozen=True, slots=True)
class Pictures:
    """What can be drawn of one run."""

    told: Story
    timeline: Timeline | None
    frames: tuple[Frame, ...]
    left: int  # frames left out


@dataclass(slots=True)
class _Seen:
    """What was watched while a story was told."""

    since: int  # the step from which on rings are kept
    rings: dict[int, dict[int, Rings]] = field(default_factory=dict)  # by step, by queue
    before: dict[int, Rings] = field(default_factory=dict)  # before those steps
    spans: dict[tuple[int, int], list[int]] = field(default_factory=dict)  # (queue, buffer): first and last step
    alive: set[tuple[int, int]] = field(default_factory=set)  # outstanding at the last look
    order: list[int] = field(default_factory=list)  # steps of which something was seen

    def watch(self, step: int, rings: dict[int, Rings], oracle: Oracle) -> None:
        if not self.order or self.order[-1] != step:
            self.order.append(step)
        now = set()
        for number in rings:
            queue = oracle.queue(number).queue
            now |= {(number, buffer.number) for buffer in (*queue.by_id.values(), *queue.held)}
        for key in sorted(now | self.alive):  # those that are gone are so since this step
            self.spans.setdefault(key, [step, step])[1] = step
        self.alive = now
        frozen = {number: _frozen(ring, number, oracle) for number, ring in rings.items()}
        if step >= self.since or step == _END:
            self.rings[step] = frozen
        else:
            self.before = frozen


def _frozen(ring: Rings, number: int, oracle: Oracle) -> Rings:
    twin = copy.copy(ring)
    for name, value in vars(ring).items():
        if isinstance(value, dict | list):
            setattr(twin, name, value.copy())
    if isinstance(twin, Packed):
        twin.cursor = getattr(oracle.queue(number).reader, "cursor", twin.cursor)
    return twin


def pictures(program: Program, entries: Sequence[Entry], marks: Sequence[int], ended: str = "",
             queue: int | None = None) -> Pictures:  # fmt: skip
    """All of a run that can be drawn, within bounds that don't depend on its length.

    *ended*: in a word or two, how it ended, if no rule says so: the last row is where that was.
    *queue*: whose ring is drawn, if not that of the violation.
    """
    seen = _Seen(max(0, len(marks) - FRAMES))
    told = story.tell(program, entries, marks, seen.watch)
    if ended and told.rows and not any(row.bad for row in told.rows):
        told.rows[-1].bad, told.rows[-1].note = True, f"✗ {ended}"
    groups: dict[int, list[Row]] = {}
    for row in told.rows:
        groups.setdefault(row.step, []).append(row)
    frames = _frames(told, groups, seen, told.queue() if queue is None else queue)
    return Pictures(told, _timeline(program, told, groups, seen), tuple(frames), max(0, len(groups) - FRAMES))


def _name(step: int) -> str:
    return "end" if step == _END else str(step)


def _frames(told: Story, groups: dict[int, list[Row]], seen: _Seen, number: int) -> list[Frame]:
    violation = told.violation
    wrong = violation.position if violation is not None and violation.queue == number else -1
    found: list[Frame] = []
    first = next(iter(groups), 0)
    before = [rings for step, rings in seen.rings.items() if 0 <= step < first or first == _END]
    last = before[-1].get(number) if before else seen.before.get(number)  # if nothing was to be seen of the first step
    for step, rows in list(groups.items())[-FRAMES:]:
        last = seen.rings.get(step, {}).get(number, last)
        if last is None:
            continue
        place = wrong if wrong < last.size else -1
        places, more = last.view(place)
        bad = any(row.bad for row in rows)
        found.append(
            Frame(
                _name(step),
                next((row.driver for row in rows if row.driver), ""),
                tuple(row.device for row in rows if row.device),
                rows[-1].model,
                tuple(places),
                more,
                last.pointers(),
                place if bad else -1,
                next((row.note for row in rows if row.bad), ""),
                bad,
            )
        )
    return found


def _timeline(program: Program, told: Story, groups: dict[int, list[Row]], seen: _Seen) -> Timeline | None:
    steps = list(groups)
    if not steps:
        return None
    shown = steps[-COLUMNS:]
    column = {step: number for number, step in enumerate(shown)}
    bars = _bars(program, told, seen, shown, column)
    kept = bars
    if len(bars) > BARS:  # those that it is about, and the latest
        telling = [bar for bar in bars if bar.state in ("wrong", "due")][:BARS]
        others = [bar for bar in bars if bar not in telling]
        chosen = {*telling, *others[len(others) - (BARS - len(telling)) :]} if len(telling) < BARS else {*telling}
        kept = [bar for bar in bars if bar in chosen]
    return Timeline(
        tuple(_name(step) for step in shown),
        tuple(_driver_sign(program, step, groups[step]) for step in shown),
        tuple(_device_sign(groups[step]) for step in shown),
        tuple(kept),
        len(steps) - len(shown),
        len(bars) - len(kept),
    )


def _bars(program: Program, told: Story, seen: _Seen, shown: list[int], column: dict[int, int]) -> list[Bar]:
    violation = told.violation
    final = seen.order[-1] if seen.order else 0
    multi = len(program.queues) > 1
    found = []
    for (number, serial), (first, last) in seen.spans.items():
        queue = told.oracle.queue(number).queue
        here = {buffer.number for buffer in (*queue.by_id.values(), *queue.held)}
        state, end = "outstanding", last
        if serial not in here:
            state = "reset" if _resets(program, last) else "used"
        elif violation is not None and violation.queue == number:
            ordered = queue.in_order and queue.by_id and violation.position >= 0
            if serial == violation.buffer:
                state = "wrong"
            elif ordered and serial == queue.oldest().number:
                state = "due"
        end = final if serial in here else end
        if end not in column:
            continue
        name = f"q{number} b{serial}" if multi else f"b{serial}"
        found.append(Bar(name, column.get(first, 0), column[end], state, first not in column))
    return found


def _resets(program: Program, step: int) -> bool:
    return 0 < step <= len(program.steps) and isinstance(program.steps[step - 1], Reset | QueueReset | Restart)


def _driver_sign(program: Program, step: int, rows: list[Row]) -> tuple[str, str]:
    words = next((row.driver for row in rows if row.driver), "")
    if 0 < step <= len(program.steps):
        sign, name = _SIGNS[type(program.steps[step - 1])]
        return sign, words or name
    return "", words


def _device_sign(rows: list[Row]) -> tuple[str, str]:
    words = "; ".join(row.device for row in rows if row.device)
    if any(row.bad for row in rows):
        return "✗", words or "nothing came"
    if any(row.ring for row in rows):
        return "✓", words
    return ("!" if "notification" in words else "·" if words else ""), words
