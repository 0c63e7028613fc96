"""The shrinker: from different finds to the same small program, in tens of executions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from statistics import median
from typing import NamedTuple

import pytest

from fuzz.encoding import dump, load
from fuzz.generate import programs
from fuzz.program import (
    Lever,
    Limits,
    Notify,
    Program,
    Queue,
    QueueReset,
    Receive,
    Request,
    Reset,
    Restart,
    Step,
    Supply,
    Suppress,
)
from fuzz.shrink import shrink
from fuzz.simpler import measure
from oracles import spec

LEVERS = (
    ("order", ("fifo", "lifo", "shuffle")),
    ("hold", ("0", "1", "2", "all")),
    ("batch", ("1", "2", "3", "all")),
)
SPLIT = Limits(layouts=("split",), levers=LEVERS)
PACKED = Limits(layouts=("packed",), levers=LEVERS)


# --- defects: what a program must contain to show them ----------------------------------------------------------------


def two_in_reverse(program: Program) -> bool:
    """Two writable buffers and a reception, while the target completes the last first."""
    order, count = "fifo", 0
    for step in program.steps:
        if isinstance(step, Lever) and step.name == "order":
            order = step.value
        elif isinstance(step, Supply) and step.writable:
            count += 1
        elif isinstance(step, Receive) and count >= 2 and order != "fifo":
            return True
    return False


def full_of_three(program: Program) -> bool:
    """A ring in which nothing is free, with three buffers at least, is notified."""
    size = free = program.queues[0].size
    out: deque[int] = deque()
    for step in program.steps:
        if getattr(step, "queue", 0):
            continue
        if isinstance(step, Supply):
            slots = len(step.readable) + len(step.writable) if step.indirect is None else 1
            if slots <= free:
                out.append(slots)
                free -= slots
        elif isinstance(step, Receive):
            for _ in range(min(step.count, len(out))):
                free += out.popleft()
        elif isinstance(step, Notify) and not free and len(out) >= 3:
            return True
        elif isinstance(step, Reset | QueueReset):
            size = (step.size if isinstance(step, QueueReset) else 0) or size
            free = size
            out.clear()
    return False


def table_behind_direct(program: Program) -> bool:
    """A direct descriptor, then a table of two or more."""
    wanted = bool(program.features & spec.INDIRECT_DESC)
    supplies = [step for step in program.steps if isinstance(step, Supply) and step.indirect]
    return wanted and any(len(step.readable) + len(step.writable) - (step.indirect or 0) >= 2 for step in supplies)


def reset_in_flight(program: Program) -> bool:
    """Two buffers notified and not received, a reset of the device, then one more, notified."""
    supplied = notified = stage = 0
    for step in program.steps:
        if isinstance(step, Supply):
            supplied += 1
            stage = max(stage, 2 * (stage > 0))
        elif isinstance(step, Notify):
            notified = supplied
            if stage == 2:
                return True
        elif isinstance(step, Receive):
            supplied = notified = 0
        elif isinstance(step, Reset):
            stage = max(stage, int(notified >= 2))
    return False


def event_passed(program: Program) -> bool:
    """A notification is asked for late, and passed by what is used then."""
    asked = 0
    for step in program.steps:
        if isinstance(step, Suppress):
            asked = step.ahead + 1 if step.mode == "event" and step.ahead >= 2 else 0
        elif isinstance(step, Supply) and asked:
            asked -= 1
            if not asked:
                return bool(program.features & spec.EVENT_IDX)
    return False


def counter_wraps(program: Program) -> bool:
    """Buffers on either side of index 65536."""
    count = sum(1 for step in program.steps if isinstance(step, Supply) and not step.queue)
    return program.queues[0].start + count > 0xFFFF and program.queues[0].start < 0x10000 - 1


class Defect(NamedTuple):
    shows: Callable[[Program], bool]
    limits: Limits
    body: str


HEAD = "virtqueue-program 1\n"
DEFECTS = [
    Defect(
        two_in_reverse,
        SPLIT,
        "queue split 1\nfeatures version_1\nlever order=lifo\nsupply in:1\nsupply in:1\nreceive 1\n",
    ),
    Defect(full_of_three, PACKED, "queue packed 3\nfeatures version_1\n" + "supply in:1\n" * 3 + "notify\n"),
    Defect(
        table_behind_direct,
        SPLIT,
        "queue split 2\nfeatures indirect_desc version_1\nsupply in:1 in:1 in:1 indirect=1\n",
    ),
    Defect(
        reset_in_flight,
        PACKED,
        "queue packed 1\nfeatures version_1\nsupply in:1\nsupply in:1\nnotify\nreset\nsupply in:1\nnotify\n",
    ),
    Defect(
        event_passed,
        PACKED,
        "queue packed 1\nfeatures event_idx version_1\nsuppress event ahead=2\n" + "supply in:1\n" * 3,
    ),
    Defect(counter_wraps, SPLIT, "queue split 1 start=65534\nfeatures version_1\nsupply in:1\nsupply in:1\n"),
]


def after_two_frames(program: Program) -> bool:
    """A buffer behind two frames of more than a byte each, of which the lever lets pass more than one."""
    frames = 0
    many = False
    for step in program.steps:
        if isinstance(step, Lever):
            frames += step.name == "frame" and step.value != "1"
            many = step.value != "fifo" if step.name == "order" else many
        elif isinstance(step, Supply) and frames > 1 and many:
            return True
    return False


PULSES = (("frame", ("1", "60", "1514")),)


def test_pulses_stay_where_they_are_and_get_simple_values():
    limits = Limits(layouts=("split",), levers=LEVERS, pulses=PULSES)
    ends = {}
    for program in islice((made for made in programs(1, limits) if after_two_frames(made)), 10):
        shrunk = shrink(program, after_two_frames, levers=LEVERS, pulses=PULSES)
        assert shrunk.complete
        ends[dump(shrunk.program)] = True
    body = "queue split 1\nfeatures version_1\nlever order=lifo\nlever frame=60\nlever frame=60\nsupply in:1\n"
    assert list(ends) == [HEAD + body]


by_name = pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.shows.__name__)


def finds(defect: Defect, count: int) -> list[Program]:
    """So many different programs that show *defect*."""
    found = (program for program in programs(1, defect.limits) if defect.shows(program))
    return list(islice(found, count))


@by_name
def test_different_finds_end_in_the_same_program(defect):
    executions = []
    ends: dict[str, int] = {}
    for program in finds(defect, 25):
        shrunk = shrink(program, defect.shows, levers=LEVERS)
        assert shrunk.complete
        executions.append(shrunk.executions)
        text = dump(shrunk.program)
        ends[text] = ends.get(text, 0) + 1
    assert ends == {HEAD + defect.body: 25}
    assert median(executions) <= 60


@by_name
def test_no_step_of_the_end_can_be_spared(defect):
    program = shrink(finds(defect, 1)[0], defect.shows, levers=LEVERS).program
    assert defect.shows(program)
    for place in range(len(program.steps)):
        assert not defect.shows(replace(program, steps=program.steps[:place] + program.steps[place + 1 :]))


@by_name
def test_every_report_of_progress_is_smaller_and_shows_it(defect):
    program = finds(defect, 3)[2]
    reports: list[tuple[int, Program]] = []
    shrunk = shrink(program, defect.shows, progress=lambda *report: reports.append(report), levers=LEVERS)
    sizes = [measure(smaller, LEVERS) for _, smaller in reports]
    assert reports[-1][1] == shrunk.program
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes) > 2
    assert all(defect.shows(smaller) for _, smaller in reports)
    assert [count for count, _ in reports] == sorted({count for count, _ in reports})
    assert reports[-1][0] <= shrunk.executions


@by_name
def test_shrinking_twice_takes_the_same_way(defect):
    program = finds(defect, 2)[1]
    ways: list[list[str]] = []
    for _ in range(2):
        way: list[str] = []

        def still(candidate: Program, way: list[str] = way) -> bool:
            way.append(dump(candidate))
            return bool(defect.shows(candidate))

        shrink(program, still, levers=LEVERS)
        ways.append(way)
    assert ways[0] == ways[1]
    assert len(ways[0]) == len(set(ways[0]))  # nothing is executed twice
    for text in ways[0]:
        assert dump(load(text)) == text  # whatever is executed could be saved


def test_budget_is_kept():
    program = finds(DEFECTS[1], 1)[0]
    whole = shrink(program, full_of_three)
    assert whole.complete
    for budget in (0, 1, whole.executions // 2, whole.executions - 1):
        shrunk = shrink(program, full_of_three, budget)
        assert (shrunk.executions, shrunk.complete) == (budget, False)
        assert full_of_three(shrunk.program)


def test_what_never_shows_again_stays_as_it_is():
    program = finds(DEFECTS[0], 1)[0]
    shrunk = shrink(program, lambda _: False)
    assert shrunk.program == program
    assert shrunk.complete
    assert 0 < shrunk.executions < 1000


def test_what_shows_always_ends_in_nothing():
    shrunk = shrink(finds(DEFECTS[0], 1)[0], lambda _: True)
    assert dump(shrunk.program) == HEAD + "queue split 1\nfeatures version_1\n"
    assert shrunk.executions <= 10


def test_steps_after_the_break_go_first():
    program = finds(DEFECTS[1], 1)[0]
    reached = next(n for n in range(len(program.steps)) if full_of_three(replace(program, steps=program.steps[:n])))
    tried: list[Program] = []

    def still(candidate: Program) -> bool:
        tried.append(candidate)
        return full_of_three(candidate)

    longer = replace(program, steps=(*program.steps[:reached], *[Notify()] * 40))
    shrink(longer, still, reached=reached)
    assert tried[0].steps == program.steps[:reached]


def test_one_queue_of_several():
    def second(program: Program) -> bool:
        """Two buffers on one queue."""
        queues = [step.queue for step in program.steps if isinstance(step, Supply)]
        return any(queues.count(queue) >= 2 for queue in queues)

    supplies: list[Step] = [Supply((9,), queue=queue) for queue in (0, 1, 2, 1)]
    steps = (*supplies, Notify(queue=2), Restart(0))
    program = Program(queues=(Queue(4), Queue(8, 77), Queue(2)), steps=steps)
    assert dump(shrink(program, second).program) == HEAD + "queue split 1\nfeatures version_1\n" + "supply in:1\n" * 2


def test_queues_of_a_device_class_keep_their_roles():
    steps = (
        Supply(request=Request("room", (("length", 1526),))),
        Supply(request=Request("frame"), queue=1),
        Notify(queue=1),
    )
    program = Program(queues=(Queue(4), Queue(4)), device="net", steps=steps)

    def sends(candidate: Program) -> bool:
        return any(isinstance(step, Supply) and step.queue == 1 for step in candidate.steps)

    shrunk = shrink(program, sends).program
    assert (len(shrunk.queues), shrunk.steps) == (2, (Supply(request=Request("frame"), queue=1),))


def test_requests_lose_cut_and_numbers():
    def reads_far(program: Program) -> bool:
        requests = [step.request for step in program.steps if isinstance(step, Supply) and step.request]
        return any(request.kind == "read" and dict(request.fields)["sector"] >= 3 for request in requests)

    steps = tuple(
        Supply(request=Request(kind, (("sector", 40), ("length", 2048))), cut=(1, 511, 0), indirect=0, held=True)
        for kind in ("write", "read", "write")
    )
    shrunk = shrink(Program(queues=(Queue(8),), device="blk", steps=(*steps, Notify())), reads_far).program
    assert shrunk.steps == (Supply(request=Request("read", (("sector", 3), ("length", 512)))),)
