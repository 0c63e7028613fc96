"""The Hypothesis strategy: narrowed as asked, quick to reach what is rare, and ending where it was reached."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from fuzz.encoding import dump, load
from fuzz.program import Limits, Notify, Program, Receive, Reset, Supply
from fuzz.strategies import programs
from oracles import spec

LIMITS = Limits(split_sizes=(4, 8), packed_sizes=(3, 5), levers=(("order", ("fifo", "lifo")),))


@given(st.data())
def test_narrowed_down_as_asked(data):
    layout = data.draw(st.sampled_from(spec.LAYOUTS))
    in_order = data.draw(st.booleans())
    program = data.draw(programs(LIMITS, layout, in_order))
    assert (program.layout, program.in_order) == (layout, in_order)
    assert all(queue.size in (4, 8, 3, 5) for queue in program.queues)
    assert load(dump(program)) == program


def test_without_narrowing_all_kinds_come():
    seen = set()

    @settings(max_examples=60, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(programs())
    def look(program):
        seen.add((program.layout, program.in_order))

    look()
    assert seen == {(layout, in_order) for layout in spec.LAYOUTS for in_order in (False, True)}


def chain_of_size(program: Program) -> bool:
    """One chain takes the whole of a ring of five."""
    direct = [step for step in program.steps if isinstance(step, Supply) and step.indirect is None]
    return program.queues[0].size == 5 and any(len(step.readable) + len(step.writable) == 5 for step in direct)


def reset_in_flight(program: Program) -> bool:
    """Two buffers notified and not received when the device is reset."""
    supplied = notified = 0
    for step in program.steps:
        if isinstance(step, Supply):
            supplied += 1
        elif isinstance(step, Notify):
            notified = supplied
        elif isinstance(step, Receive):
            supplied = notified = 0
        elif isinstance(step, Reset) and notified >= 2:
            return True
    return False


@pytest.mark.parametrize("shows", [chain_of_size, reset_in_flight])
def test_what_is_rare_is_reached_and_ends_soon_after(shows):
    program = find(programs(LIMITS), shows, settings=settings(max_examples=300, derandomize=True, database=None))
    assert shows(program)
    assert not shows(replace(program, steps=program.steps[:-20]))  # the phase in which it was is carried through
