"""Where generated programs go: of two thousand, how many fill a ring, cross its end, wrap a counter, …

A boundary that programs hardly ever touch is a place where no defect will be found.
"""

from __future__ import annotations

from collections import Counter, deque
from itertools import islice

from fuzz.generate import programs
from fuzz.program import Lever, Limits, Notify, Program, Publish, QueueReset, Receive, Reset, Restart, Supply, Suppress
from oracles import spec

LIMITS = Limits(
    levers=(
        ("order", ("fifo", "lifo", "shuffle")),
        ("hold", ("0", "1", "2", "all")),
        ("batch", ("1", "2", "3", "all")),
    )
)


def slots_of(step: Supply) -> int:
    return len(step.readable) + len(step.writable) if step.indirect is None else step.indirect + 1


class Ring:
    """A ring in which buffers come back in the order in which they were supplied."""

    def __init__(self, size: int, start: int) -> None:
        self.size = self.free = size
        self.position = self.laps = 0
        self.counter = start
        self.out: deque[int] = deque()
        self.fresh = 0  # supplied since the last notification
        self.stayed = False  # something has been in flight since the last reset


def shows(made: Program) -> set[str]:
    """What a program exercises on its first queue."""
    seen = {made.layout, "in order" if made.in_order else "any order", *spec.feature_names(made.features)}
    ring = Ring(made.queues[0].size, made.queues[0].start)
    asked = -1
    for step in made.steps:
        if getattr(step, "queue", 0):
            continue
        if isinstance(step, Supply) and slots_of(step) <= ring.free:
            seen |= supply_shows(step, ring)
        elif isinstance(step, Notify):
            seen |= {
                name for name, count in (("batch", 2), ("batch of 8", 8), ("batch of 16", 16)) if ring.fresh >= count
            }
            if ring.fresh >= 2 and ring.position % ring.size < sum(list(ring.out)[-ring.fresh :]) <= ring.position:
                seen.add("batch over the end")
            ring.fresh = 0
            if step.force:
                seen.add("forced")
        elif isinstance(step, Receive):
            if step.asleep:
                seen.add("asleep")
            if step.count < len(ring.out):
                seen.add("part received")
            for _ in range(min(step.count, len(ring.out))):
                ring.free += ring.out.popleft()
        elif isinstance(step, Suppress):
            seen.add(f"suppress {step.mode}")
            asked = step.ahead if step.mode == "event" else -1
            if asked >= ring.size - ring.position % ring.size and not ring.out:
                seen.add("event behind the end")
        elif isinstance(step, Reset | QueueReset | Restart):
            seen.add(type(step).__name__ + (" in flight" if ring.out else ""))
            if isinstance(step, QueueReset) and step.size not in (0, ring.size):
                seen.add("resized")
            if not isinstance(step, Restart):
                size = step.size if isinstance(step, QueueReset) and step.size else ring.size
                ring = Ring(size, 0)
        elif isinstance(step, Publish | Lever):
            seen.add(type(step).__name__)
    return seen


def supply_shows(step: Supply, ring: Ring) -> set[str]:
    """What one supply exercises; changes the ring accordingly."""
    seen = set()
    slots, elements = slots_of(step), len(step.readable) + len(step.writable)
    if slots == ring.size > 1:
        seen.add("chain of size")
    if ring.position % ring.size + slots > ring.size:
        seen.add("chain over the end")
    if ring.position % ring.size + slots == ring.size and ring.position:
        seen.add("chain exactly to the end")
    if step.indirect is not None:
        seen.add("mixed" if step.indirect else "indirect")
        if elements == ring.size > 1:
            seen.add("table of size")
    for name, there in (
        ("held", step.held),
        ("gap", step.gap),
        ("answer", step.answer is not None),
        ("answer nothing", step.answer == 0),
        ("only readable", not step.writable),
        ("only writable", not step.readable),
        ("one byte", (*step.readable, *step.writable) == (1,)),
        ("large", max((*step.readable, *step.writable)) >= 4095),
    ):
        if there:
            seen.add(name)
    ring.free -= slots
    ring.position += slots
    ring.counter += 1
    ring.out.append(slots)
    ring.fresh += 1
    for name, there in (
        ("full", not ring.free),
        ("full of many", not ring.free and len(ring.out) >= 4),
        ("lap", ring.position >= ring.size),
        ("four laps", ring.position >= 4 * ring.size),
        ("2^16", ring.counter == 1 << 16),
        ("2^15", ring.counter == 1 << 15),
        ("another power of two", ring.counter >= 64 and ring.counter & ring.counter - 1 == 0),
        ("size not a power of two", ring.size & ring.size - 1 > 0),
        ("ring of one", ring.size == 1),
        ("large ring", ring.size >= 64),
        ("large ring full", ring.size >= 64 and not ring.free),
        ("large ring wraps", ring.size >= 64 and ring.position > ring.size),
    ):
        if there:
            seen.add(name)
    return seen


#: Of 2 000 programs, at least so many show each of these: about 70 % of what it is today.
LEAST = {
    "split": 700, "packed": 690, "in order": 970, "any order": 420, "indirect_desc": 870, "event_idx": 880,
    "ring_reset": 860, "full": 1020, "full of many": 420, "chain of size": 510, "chain over the end": 720,
    "chain exactly to the end": 1000, "batch": 1190, "batch of 8": 240, "batch of 16": 100, "batch over the end": 970,
    "lap": 1180, "four laps": 550, "2^16": 60, "2^15": 30, "another power of two": 160,
    "size not a power of two": 290, "ring of one": 70, "large ring": 330, "large ring full": 90,
    "large ring wraps": 160, "indirect": 510, "mixed": 200, "table of size": 220, "held": 1010, "gap": 280,
    "answer": 520, "answer nothing": 210, "only readable": 950, "only writable": 950, "one byte": 420, "large": 110,
    "forced": 310, "asleep": 1080, "part received": 790, "suppress enable": 610, "suppress disable": 460,
    "suppress event": 350, "event behind the end": 180, "Reset": 270, "Reset in flight": 370, "QueueReset": 210,
    "QueueReset in flight": 280, "resized": 230, "Restart": 270, "Restart in flight": 380, "Publish": 310,
    "Lever": 1210,
}  # fmt: skip


def test_programs_go_where_implementations_go_wrong():
    counts = Counter(name for made in islice(programs(11, LIMITS), 2000) for name in shows(made))
    assert {name: counts[name] for name, least in LEAST.items() if counts[name] < least} == {}
