"""How many programs it takes to find each planted fault, and how many executions to shrink what was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from statistics import median

from bench.measuring import Row, Size, say
from fuzz import generate
from fuzz.choices import Seeded
from fuzz.confirm import Needs, Runner, minimise
from fuzz.program import Limits, Program
from fuzz.selftest import limits_for
from fuzz.targets.model import Model
from fuzz.targets.model.faults import FAULTS, Fault
from fuzz.verdict import BAD


def _first(programs: Iterator[Program], fault: Fault, cap: int) -> int:
    """How many of *programs* it takes to find *fault*; cap + 1: more than *cap*."""
    runner = Runner(Model(fault.name))
    for count, program in enumerate(islice(programs, cap), 1):
        if runner.run(program).verdict in BAD:
            return count
    return cap + 1


def _directed(fault: Fault, limits: Limits, seed: int, cap: int) -> int:
    return _first(generate.programs(seed, limits), fault, cap)


def _uniform(fault: Fault, limits: Limits, seed: int, cap: int) -> int:
    return _first((generate.uniform(Seeded(seed << 40 ^ index), limits) for index in range(cap)), fault, cap)


class _Found(Exception):
    """Ends a Hypothesis run."""


def _hypothesis(fault: Fault, limits: Limits, seed: int, cap: int) -> int:
    import hypothesis

    from fuzz.strategies import programs

    runner = Runner(Model(fault.name))
    count = 0
    found = 0

    def test(program: Program) -> None:
        nonlocal count, found
        count += 1
        if not found and runner.run(program).verdict in BAD:
            found = count
        if found:
            raise _Found

    settings = hypothesis.settings(
        max_examples=cap, phases=[hypothesis.Phase.generate], database=None, deadline=None, derandomize=False,
        suppress_health_check=list(hypothesis.HealthCheck), verbosity=hypothesis.Verbosity.quiet,
        report_multiple_bugs=False,
    )  # fmt: skip
    given = hypothesis.given(programs(limits))(test)
    with suppress(_Found, hypothesis.errors.Flaky):  # only the count matters, not how it is told
        hypothesis.seed(seed)(settings(given))()
    return found or cap + 1


WAYS = {"directed": _directed, "uniform": _uniform, "Hypothesis": _hypothesis}


def _number(value: float, cap: int) -> str:
    return f"> {cap}" if value > cap else f"{value:g}"


def measure_finding(size: Size) -> Iterator[Row]:
    """Programs until each fault is found, three ways: medians over the seeds."""
    limits = Model().limits
    all_medians: dict[str, list[float]] = {way: [] for way in WAYS}
    for name in size.faults:
        fault = FAULTS[name]
        say(f"  {name}: {fault.text}")
        figures = []
        for (way, search), cap in zip(WAYS.items(), size.caps, strict=True):
            try:
                middle = median(search(fault, limits_for(fault, limits), seed, cap) for seed in size.seeds)
            except ImportError:
                figures.append("not installed")
                continue
            all_medians[way].append(middle)
            figures.append(_number(middle, cap))
        directed = all_medians["directed"][-1]
        yield Row(f"programs to {name}: {' / '.join(WAYS)}", " / ".join(figures), "", "directed ≤ 200", directed <= 200)
    pairs = zip(all_medians.values(), size.caps, strict=True)
    text = " / ".join(_number(median(found), cap) if found else "-" for found, cap in pairs)
    met = median(all_medians["directed"]) <= 200
    yield Row(f"  median of {len(size.faults)} faults", text, "", "directed ≤ 200", met)


def measure_shrinking(size: Size) -> Iterator[Row]:
    """Executions until a find is as small as it gets: the first find of seed 1 for each fault."""
    executions, steps = [], []
    for name in size.faults:
        runner = Runner(Model(name))
        for program in islice(generate.programs(1, limits_for(FAULTS[name], runner.target.limits)), size.caps[0]):
            outcome = runner.run(program)
            if outcome.verdict in BAD:
                smaller = minimise(runner, program, outcome, Needs(outcome.rule))
                executions.append(smaller.executions)
                steps.append(len(smaller.program.steps))
                say(f"  {name}: {len(program.steps)} → {steps[-1]} steps, {executions[-1]} executions")
                break
    if not executions:
        yield Row("executions to shrink", "nothing found", "", "≤ 60", False)
        return
    middle = median(executions)
    yield Row(f"executions to shrink, median of {len(executions)} faults", f"{middle:g}", "", "≤ 60", middle <= 60)
    yield Row("  fewest and most; steps that are left", f"{min(executions)} to {max(executions)}; {median(steps):g}")
