"""Programs per second on the reference device: a fixed one of 50 chains, and generated ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench.measuring import Row, Size, each, take_turns
from fuzz import driver_side, encoding, generate
from fuzz.program import Program
from fuzz.targets.model import Model
from fuzz.verdict import CONFORMS
from oracles import oracle, spec, trace

#: Ten chains; the fixed program is five times this.
CHAINS = """
supply out:16 in:32
notify
receive 1
supply out:4
supply out:8 out:8 in:64
supply in:16
supply out:1 in:16 in:16 indirect
notify
receive 2
supply out:32 held
supply out:4 in:8 held
supply in:1
notify
receive 5
supply out:12 out:4 in:32 indirect
supply out:16 in:1
notify
receive 2
"""
MODES = tuple((layout, in_order) for layout in spec.LAYOUTS for in_order in (False, True))


def fixed(layout: str, in_order: bool) -> Program:
    """The fixed program of 50 chains: bursts of 1 to 4, one to three descriptors or a table, ring of 64."""
    features = "version_1 indirect_desc event_idx" + " in_order" * in_order
    head = f"virtqueue-program 1\nqueue {layout} 64\nfeatures {features}\n"
    return encoding.load(head + CHAINS * 5)


def _name(layout: str, in_order: bool) -> str:
    return f"{layout}, IN_ORDER {'on' if in_order else 'off'}"


def _run(model: Model, programs: Sequence[Program], judge: bool = True) -> int:
    for program in programs:
        outcome = driver_side.run(program, model.open(), judge=judge)
        assert outcome.verdict == CONFORMS, f"{outcome.verdict}: {outcome.reason or outcome.violation}"
    return len(programs)


def _judge(trace_: list[trace.Entry], times: int) -> int:
    for _ in range(times):
        found, _ = oracle.judge(trace_)
        assert found is None
    return times


def measure_programs(size: Size) -> Iterator[Row]:
    """Programs per second on the reference device, and what part of that the oracle takes."""
    model = Model()
    count = size.programs
    works: dict[str, Callable[[], int]] = {}  # each returns how many it did
    for mode in MODES:
        program = fixed(*mode)
        outcome = driver_side.run(program, model.open())
        assert outcome.chains == 50, outcome
        name = _name(*mode)
        works[name] = partial(_run, model, [program] * count)
        works[name + " off"] = partial(_run, model, [program] * count, False)
        works[name + " judged"] = partial(_judge, outcome.trace, count)
    numbers = range(4 * count)
    chains = sum(driver_side.run(generate.nth(1, number, model.limits), model.open()).chains for number in numbers)
    works["made"] = lambda: len([generate.nth(1, number, model.limits) for number in numbers])
    works["made and run"] = lambda: _run(model, [generate.nth(1, number, model.limits) for number in numbers])
    times = take_turns({name: partial(each, work) for name, work in works.items()}, size.repetitions)
    for mode in MODES:
        name = _name(*mode)
        on, off, judged = times[name], times[name + " off"], times[name + " judged"]
        rate = 1 / on.seconds
        yield Row(f"programs of 50 chains, {name}", f"{rate:,.0f}/s", f"{on.rounds:,.0f}", "≥ 3,000/s", rate >= 3000)
        yield Row("  nothing recorded or scanned", f"{1 / off.seconds:,.0f}/s", f"{off.rounds:,.0f}")
        share = judged.rounds / on.rounds
        yield Row("  the oracle alone, on the trace", f"{1 / judged.seconds:,.0f}/s", f"{share:.0%} of the whole")
    whole, made = times["made and run"], times["made"]
    yield Row(f"generated programs ({chains / len(numbers):.0f} chains), seed 1", f"{1 / whole.seconds:,.0f}/s",
              f"{whole.rounds:,.0f}")  # fmt: skip
    yield Row("  generating alone", f"{1 / made.seconds:,.0f}/s", f"{made.rounds / whole.rounds:.0%} of the whole")
