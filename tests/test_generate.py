"""The generators: reproducible everywhere, within their limits, and where implementations go wrong."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from itertools import islice
from zlib import crc32

import pytest

from fuzz.choices import Bytes, Exhaustive, Seeded
from fuzz.devices import load as load_class
from fuzz.encoding import dump, from_bytes, load
from fuzz.generate import exhaustive, nth, program, programs, uniform
from fuzz.phases import directed
from fuzz.program import (
    Lever,
    Limits,
    Notify,
    Program,
    Publish,
    QueueReset,
    Receive,
    Reset,
    Restart,
    Supply,
    Suppress,
    divide,
)
from oracles import spec

LEVERS = (
    ("order", ("fifo", "lifo", "shuffle")),
    ("hold", ("0", "1", "2", "all")),
    ("batch", ("1", "2", "3", "all")),
)
PULSES = (("frame", ("1", "60", "1514")), ("key", ("a",)))
LIMITS = Limits(levers=LEVERS)

# --- choices ----------------------------------------------------------------------------------------------------------


def test_seeded_choices_are_the_same_everywhere():
    choices = Seeded(1)
    assert [choices.integer(0, 9) for _ in range(12)] == [1, 5, 8, 8, 7, 0, 2, 1, 4, 7, 4, 4]
    assert choices.integer(0, 1 << 60) == 85135825607278581


@pytest.mark.parametrize("span", [1, 2, 3, 7, 256, 1000, (1 << 24) + 1, 1 << 64])
@pytest.mark.parametrize("make", [lambda: Seeded(3), lambda: Bytes(b""), lambda: Bytes(bytes(range(256)) * 300)])
def test_choices_stay_between_their_ends(make, span):
    choices = make()
    numbers = [choices.integer(5, 4 + span) for _ in range(2000)]
    assert all(5 <= number <= 4 + span for number in numbers)
    parts = Counter((number - 5) * 4 // span for number in numbers)
    assert len(parts) == min(span, 4)  # every quarter of the range comes


def test_bytes_are_taken_as_they_stand_then_random():
    choices = Bytes(bytes([7, 9, 1, 2, 5]))
    assert choices.integer(0, 255) == 7
    assert choices.integer(10, 12) == 10 + 9 % 3
    assert choices.integer(4, 4) == 4  # takes nothing
    assert choices.integer(0, 0xFFFF) == 0x0102
    # One byte is too few for the next; it isn't taken later either.
    rest = Seeded(crc32(bytes([7, 9, 1, 2, 5])))
    assert [choices.integer(0, 0xFFFF) for _ in range(3)] == [rest.integer(0, 0xFFFF) for _ in range(3)]


def test_exhaustive_visits_every_path_once():
    paths = []
    for choices in Exhaustive().rounds():
        first = choices.integer(0, 2)
        paths.append((first, *(choices.integer(0, 1) for _ in range(first))))
    assert paths == [(0,), (1, 0), (1, 1), (2, 0, 0), (2, 0, 1), (2, 1, 0), (2, 1, 1)]


# --- reproducible -----------------------------------------------------------------------------------------------------

GOLDEN = {
    2: """\
virtqueue-program 1
queue packed 8
features event_idx version_1 ring_reset
lever batch=2
supply out:1
notify
receive 1 asleep
supply out:1
notify
receive 1 asleep
""",
    27: """\
virtqueue-program 1
queue split 2 start=37454
features version_1 in_order ring_reset
supply out:1 out:1
supply out:1 in:1 held
receive 1
supply in:1 in:1
supply out:1 out:1 held
suppress enable
notify
lever order=fifo
supply out:1 in:1 held
supply in:1 in:1
lever order=lifo
""",
    35: """\
virtqueue-program 1
queue split 8
features indirect_desc version_1 ring_reset
supply out:9 out:10 out:10 in:10 in:10 indirect=4
notify
receive 1
suppress enable
supply out:12 out:13 in:13 indirect=2
notify
receive 1 asleep
""",
}


@pytest.mark.parametrize("index", GOLDEN)
def test_programs_are_the_same_everywhere(index):
    assert dump(nth(7, index, LIMITS)) == GOLDEN[index]


def test_bytes_make_the_same_program_everywhere():
    assert crc32(dump(from_bytes(b"vqfuzz", LIMITS)).encode()) == 353407103


@pytest.mark.parametrize("make", [program, directed, uniform])
def test_generating_twice_leaves_the_same_text_and_the_same_next_number(make):
    for seed in range(60):
        twice = []
        for _ in range(2):
            choices = Seeded(seed)
            twice.append((dump(make(choices, LIMITS)), choices.integer(0, 1 << 60)))
        assert twice[0] == twice[1]


def test_a_program_depends_on_seed_and_number_alone():
    assert list(islice(programs(3, LIMITS), 40)) == [nth(3, index, LIMITS) for index in reversed(range(40))][::-1]
    assert len({dump(nth(seed, index, LIMITS)) for seed in (0, 1, 2) for index in range(100)}) >= 295


def test_other_limits_in_between_change_nothing():
    before = [dump(nth(3, index, LIMITS)) for index in range(30)]
    for index in range(30):
        nth(4, index, Limits(queues=3, split_sizes=(2,), levers=()))
    assert before == [dump(nth(3, index, LIMITS)) for index in range(30)]


# --- within the limits ------------------------------------------------------------------------------------------------

KINDS = [
    LIMITS,
    Limits(),
    Limits(layouts=("packed",), in_order=(True,), features=0, packed_sizes=(3,), actions=frozenset()),
    Limits(layouts=("split",), in_order=(False,), split_sizes=(1,), steps=10),
    Limits(queues=3, empty_elements=True, longest_element=7, features=spec.INDIRECT_DESC, mixed_indirect=False),
    Limits(split_sizes=(256, 32768), packed_sizes=(256, 32767), actions=frozenset({"queue_reset", "start"})),
    Limits(queues=2, levers=LEVERS, pulses=PULSES),
]


@pytest.mark.parametrize("limits", KINDS, ids=range(len(KINDS)))
@pytest.mark.parametrize("make", [directed, uniform])
def test_programs_stay_within_their_limits(make, limits):
    for seed in range(250):
        made = make(Seeded(seed), limits)
        assert load(dump(made)) == made
        assert made.layout in limits.layouts
        assert made.in_order in limits.in_order
        sizes = limits.split_sizes if made.layout == spec.SPLIT else limits.packed_sizes
        assert 1 <= len(made.queues) <= limits.queues
        assert all(queue.size in sizes for queue in made.queues)
        assert all(queue.start == 0 for queue in made.queues) or "start" in limits.actions
        allowed = limits.features | spec.VERSION_1 | spec.IN_ORDER
        assert not made.features & ~(allowed | spec.RING_RESET * ("queue_reset" in limits.actions))
        assert len(made.steps) <= limits.steps + 60  # the last phase is carried through
        for step in made.steps:
            check_step(step, made, limits)
        assert outstanding_bytes(made) <= 1 << 20


def check_step(step, made: Program, limits: Limits):
    """One step is within the limits."""
    wanted = {Reset: "reset", Restart: "restart", QueueReset: "queue_reset"}.get(type(step))
    assert wanted is None or wanted in limits.actions
    if isinstance(step, Supply):
        assert step.indirect is None or made.features & spec.INDIRECT_DESC
        assert not step.indirect or limits.mixed_indirect
        assert not step.gap or "gap" in limits.actions
        lengths = (*step.readable, *step.writable)
        assert all((0 if limits.empty_elements else 1) <= length <= limits.longest_element for length in lengths)
    elif isinstance(step, Receive):
        assert not step.asleep or "asleep" in limits.actions
    elif isinstance(step, Suppress):
        assert step.mode != "event" or made.features & spec.EVENT_IDX
    elif isinstance(step, Lever):
        assert step.value in dict((*limits.levers, *limits.pulses))[step.name]


def slots_of(step: Supply) -> int:
    return len(step.readable) + len(step.writable) if step.indirect is None else step.indirect + 1


def outstanding_bytes(made: Program) -> int:
    """The most bytes that can be outstanding at once, if nothing came back before it is received."""
    free = [queue.size for queue in made.queues]
    sizes = list(free)
    out: list[deque[tuple[int, int]]] = [deque() for _ in made.queues]
    total = most = 0
    for step in made.steps:
        if isinstance(step, Supply) and slots_of(step) <= free[step.queue]:
            length = sum(step.readable) + sum(step.writable)
            out[step.queue].append((slots_of(step), length))
            free[step.queue] -= slots_of(step)
            total += length
            most = max(most, total)
        elif isinstance(step, Receive):
            for _ in range(min(step.count, len(out[step.queue]))):
                slots, length = out[step.queue].popleft()
                free[step.queue] += slots
                total -= length
        elif isinstance(step, Reset | QueueReset):
            for queue in range(len(sizes)) if isinstance(step, Reset) else [step.queue]:
                if isinstance(step, QueueReset) and step.size:
                    sizes[queue] = step.size
                total -= sum(length for _, length in out[queue])
                free[queue] = sizes[queue]
                out[queue].clear()
    return most


CLASSES = [
    Limits(device="blk", hints=(("capacity", 64),), split_sizes=(2, 8, 64), packed_sizes=(3, 8)),
    Limits(device="net", queues=2, split_sizes=(4, 256), packed_sizes=(5, 64), layouts=("split",)),
]


@pytest.mark.parametrize("limits", CLASSES, ids=lambda limits: limits.device)
def test_requests_of_a_device_class_are_real_and_fit(limits):
    speaker = load_class(limits.device, dict(limits.hints))
    fits = total = 0
    used: Counter[tuple[int, str, bool]] = Counter()
    for index in range(150):
        made = nth(1, index, limits)
        assert load(dump(made)) == made
        assert (made.device, len(made.queues)) == (limits.device, limits.queues)
        for step in made.steps:
            if isinstance(step, Supply):
                assert step.request is not None
                assert speaker.words(step.request) is None
                message = speaker.message(step.request, 0, step.queue)
                parts = divide(len(message.readable), message.writable, step.cut)
                slots = len(parts[0]) + len(parts[1]) if step.indirect is None else step.indirect + 1
                total += 1
                fits += slots <= made.queues[step.queue].size
                used[step.queue, step.request.kind, step.indirect is not None] += 1
    assert total > 1500
    assert fits >= total * 0.9
    assert len(used) >= (8 if limits.device == "blk" else 4)
    if limits.device == "net":  # what is sent comes back only into room that was supplied
        received, sent = (sum(count for key, count in used.items() if key[0] == queue) for queue in (0, 1))
        assert 0.5 < received / sent < 2


@pytest.mark.parametrize("make", [directed, uniform])
def test_pulses_come_among_buffers_and_before_them(make):
    limits = Limits(queues=2, pulses=PULSES)
    values: Counter[Lever] = Counter()
    inside = before = 0
    for seed in range(400):
        steps = make(Seeded(seed), limits).steps
        places = [place for place, step in enumerate(steps) if isinstance(step, Lever)]
        values.update(step for step in steps if isinstance(step, Lever))
        waiting = [any(isinstance(step, Supply) for step in steps[:place]) for place in places]
        inside += any(waiting)
        before += not all(waiting)
    assert set(values) == {Lever(name, value) for name, known in PULSES for value in known}
    assert inside > 100
    assert before > 10


def test_a_lever_that_holds_back_does_so_for_a_phase_and_others_stay_moved():
    """The names decide; what can be made to happen once leaves nothing to move back."""
    limits = Limits(levers=(("suspend", ("off", "on")), ("latency", ("0", "1"))), pulses=PULSES)
    ends: Counter[tuple[str, str]] = Counter()
    for seed in range(200):
        made = directed(Seeded(seed), limits)
        stand = {step.name: step.value for step in made.steps if isinstance(step, Lever)}
        ends.update(stand.items())
    assert ends["suspend", "off"] > 20
    assert not ends["suspend", "on"]
    assert ends["latency", "1"] > 20


# --- the mixture ------------------------------------------------------------------------------------------------------


def test_each_buffer_has_a_notification_of_its_own():
    for made in islice(programs(3, replace(LIMITS, singly=True)), 200):
        told = [(place, step) for place, step in enumerate(made.steps) if isinstance(step, Notify | Publish)]
        supplies = [(place, step) for place, step in enumerate(made.steps) if isinstance(step, Supply)]
        assert told == [(place + 1, Notify(True, step.queue)) for place, step in supplies]
        assert not any(step.held for _, step in supplies)


def test_a_fifth_is_uniform():
    class Watched:
        """Says which generator was chosen: by the first number, asked for alone."""

        def __init__(self, seed: int) -> None:
            self.inner = Seeded(seed)
            self.first: int | None = None

        def integer(self, low: int, high: int) -> int:
            number = self.inner.integer(low, high)
            self.first = number if self.first is None else self.first
            return number

    count = 0
    for seed in range(400):
        choices = Watched(seed)
        made = program(choices, LIMITS)
        other = Seeded(seed)
        other.integer(0, 4)
        if choices.first == 4:
            count += 1
            assert made == uniform(other, LIMITS)
        else:
            assert made == directed(other, LIMITS)
    assert 60 <= count <= 100


# --- exhaustive -------------------------------------------------------------------------------------------------------

TINY = Limits(layouts=("split",), in_order=(True,), features=0, actions=frozenset())


def test_exhaustive_makes_every_program_once():
    bodies = [dump(made).split("\n", 3)[3] for made in exhaustive(TINY, 5, (1,))]
    assert [body.replace("supply ", "").replace("\n", ";") for body in bodies] == [
        "out:1;notify;",
        "out:1;notify;receive 1;",
        "out:1;notify;receive 1;out:1;notify;",
        "out:1;notify;receive 1;in:1;notify;",
        "in:1;notify;",
        "in:1;notify;receive 1;",
        "in:1;notify;receive 1;out:1;notify;",
        "in:1;notify;receive 1;in:1;notify;",
    ]


@pytest.mark.parametrize(("steps", "count"), [(1, 0), (2, 5), (3, 14), (4, 22), (5, 43), (6, 80)])
def test_exhaustive_count(steps, count):
    made = [dump(one) for one in exhaustive(TINY, steps, (1, 2))]
    assert len(made) == len(set(made)) == count


def test_exhaustive_covers_layouts_order_and_resets():
    limits = replace(TINY, layouts=("split", "packed"), in_order=(False, True), actions=frozenset({"reset", "restart"}))
    made = list(exhaustive(limits, 4, (2,)))
    assert {(one.layout, one.in_order) for one in made} == {(a, b) for a in spec.LAYOUTS for b in (False, True)}
    assert {type(step) for one in made for step in one.steps} == {Supply, Notify, Receive, Reset, Restart}
    assert all(load(dump(one)) == one for one in made)
