"""The search that learns: what it keeps, what it makes of that, and values put where they were compared."""

from __future__ import annotations

import pytest

from fuzz import encoding
from fuzz.choices import Seeded
from fuzz.guided import MOST_KEPT, Guided
from fuzz.program import Limits, Poke, Program, Queue, Request, Supply
from fuzz.values import Pair, Values, put, slots, solve
from oracles import spec

RAW = Limits(device="raw", layouts=("split",), in_order=(False,), steps=20)
MAGIC = 0xFEEDFACE12345678


def search(limits=RAW, seed=1):
    return Guided(seed, limits)


def run(guided, count, features):
    made = []
    for index in range(count):
        program = guided.program(index)
        made.append(encoding.dump(program))
        guided.learn(program, features(program))
    return made


def some(program):
    """Features of a program, as somebody might make them: how many steps, how many kinds of steps, its sizes."""
    sizes = {200 + queue.size for queue in program.queues}
    return {len(program.steps), 100 + len({type(step) for step in program.steps}), *sizes}


@pytest.mark.parametrize("limits", [RAW, Limits(), Limits(role="device")], ids=["raw", "any", "device"])
def test_the_same_seed_and_features_make_the_same_programs(limits):
    first, second = run(search(limits), 60, some), run(search(limits), 60, some)
    assert first == second
    assert first != run(search(limits), 60, lambda program: ())  # what it learns makes the difference
    for text in first:
        assert encoding.dump(encoding.load(text)) == text  # and each can be written and read


def test_without_features_nothing_is_kept_and_all_are_fresh():
    guided = search()
    run(guided, 30, lambda program: ())
    assert not guided.kept
    assert guided.new == 0


def test_a_program_is_kept_for_what_it_reaches_first():
    guided = search()
    program = guided.program(0)
    assert guided.learn(program, {1, 2}) == 2
    assert guided.learn(program, {1, 2}) == 0
    assert guided.learn(guided.program(1), {2, 3}) == 1
    assert [sorted(one.features) for one in guided.kept] == [[1, 2], [2, 3]]
    assert guided.new == 3
    assert guided.lookout([1, 4]) == [4]
    assert guided.new == 3  # looking is not learning


def test_the_shortest_program_owns_a_feature():
    guided = search()
    long = Program(device="raw", steps=(supply(w0=1),) * 3)
    short = Program(device="raw", steps=(supply(w0=1),))
    guided.learn(long, {1, 2})
    guided.learn(short, {1, 3})
    assert [one.own for one in guided.kept] == [1, 2]


def test_most_programs_are_made_of_kept_ones():
    guided = Guided(1, RAW, fresh=lambda index: Program(device="raw", steps=(supply(w0=index),)),
                    change=lambda program, choices, limits: Program(device="raw", steps=(*program.steps, supply(w1=7))),
                    join=lambda a, b, choices, limits: a)  # fmt: skip
    guided.learn(guided.program(0), {1})
    made = [guided.program(index) for index in range(1, 201)]
    fresh = sum(program.steps == (supply(w0=index),) for index, program in enumerate(made, 1))
    assert 25 < fresh < 75  # one of four
    assert any(supply(w1=7) in program.steps for program in made)


def test_those_who_own_nothing_go_when_there_are_too_many():
    guided = search()
    program = guided.program(0)
    for feature in range(MOST_KEPT + 1):
        guided.learn(program, {feature})
    assert len(guided.kept) == MOST_KEPT + 1  # each owns what it reached first
    guided.learn(Program(device="raw", steps=()), {*range(MOST_KEPT + 1), MOST_KEPT + 1})
    assert len(guided.kept) == 1


def test_a_comparison_is_solved_in_a_few_programs():
    """A magic number of 64 bits, which nothing but the comparison tells."""
    guided = search()
    for index in range(40):
        program = guided.program(index)
        requests = [step.request for step in program.steps if isinstance(step, Supply)]
        words = [dict(request.fields).get("w0", 0) for request in requests if request is not None]
        if MAGIC in words:
            break
        guided.learn(program, {bool(words)}, [Pair(5, word, MAGIC, 8, True) for word in words])
    assert index < 39


# --- values ----------------------------------------------------------------------------------------------------------


def supply(out=16, room=8, **words):
    return Supply((), (), Request("bytes", (("out", out), ("in", room), *words.items())))


def solved(program, *pair, limits=RAW, **how):
    made = solve(program, Pair(1, *pair), Seeded(1), limits, **how)
    return None if made is None else made.steps


def test_the_other_side_takes_the_place_of_one():
    program = Program(device="raw", steps=(supply(w0=0x1122334455667788, w1=9),))
    assert solved(program, 0x1122334455667788, MAGIC, 8) == (supply(w0=MAGIC, w1=9),)
    assert solved(program, MAGIC, 0x1122334455667788, 8) == (supply(w0=MAGIC, w1=9),)  # whichever side is ours
    assert solved(program, 0x3344, 0xBEEF, 2) == (supply(w0=0x1122BEEF55667788, w1=9),)  # bytes of it
    assert solved(program, 0x88776655, 0x01020304, 4) == (supply(w0=0x1122334404030201, w1=9),)  # big-endian
    assert solved(program, 16, 1337, 4) == (supply(out=1337, w0=0x1122334455667788, w1=9),)  # a length
    assert solved(program, 0x77777777, 1, 4) is None
    assert solved(program, 16, 1 << 40, 8) is None  # no buffer is as long


def test_everywhere_changes_each_number_once():
    program = Program(device="raw", steps=(supply(w0=0x0808080808080808, w1=0x0808080808080808),))
    assert solved(program, 0x08080808, 0x5EEDF00D, 4, everywhere=True) == (
        supply(w0=0x080808085EEDF00D, w1=0x080808085EEDF00D),
    )


def test_shapes_are_solved_too():
    program = Program(device="raw", steps=(supply(out=40, room=40),))
    found = solved(program, 1, 3, 4)
    assert found is not None
    assert found[0].cut
    plain = Program(steps=(Supply((8,), (8,)),))
    made = solved(plain, 2, 5, 4, limits=Limits())
    assert made is not None
    assert len(made[0].readable) + len(made[0].writable) == 5
    longer = solved(Program(steps=(Supply((8, 8), ()),)), 16, 321, 4, limits=Limits())
    assert longer == (Supply((8, 313), ()),)


def test_values_stand_only_where_they_may():
    program = Program(device="raw", steps=(supply(out=16),))
    out = next(slot for slot in slots(program, RAW) if slot.name == "out")
    assert put(program, out, 1 << 30, RAW) is None
    assert put(program, out, 7, RAW) == Program(device="raw", steps=(supply(out=7),))
    poked = Program(steps=(Poke("chain", values=(("len", 5),)),))
    slot = slots(poked, Limits())[0]
    cut = put(poked, slot, 0x1_0000_0007, Limits())  # to its bits
    assert cut == Program(steps=(Poke("chain", values=(("len", 7),)),))
    assert slots(Program(queues=(Queue(4),), features=spec.VERSION_1), Limits()) == []


def test_constants_are_what_is_remembered():
    values = Values()
    values.learn([Pair(1, 7, 0x1234, 2, True), Pair(2, 8, 99, 4)])
    assert values.known == {0x1234: 2}
    program = Program(device="raw", steps=(supply(w0=0),))
    made = {encoding.dump(values.place(program, Seeded(seed), RAW)) for seed in range(40)}
    assert any(str(0x1234) in text for text in made)
    assert values.place(Program(device="raw"), Seeded(1), RAW) == Program(device="raw")
    assert Values().place(program, Seeded(1), RAW) == program
