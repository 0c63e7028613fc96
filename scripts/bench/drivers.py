"""Programs per second where a driver is under test and we are the device: the reference driver, and Linux's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from bench.measuring import Row, Size
from fuzz import generate, registry
from fuzz.confirm import Runner
from fuzz.targets import TargetError
from fuzz.targets.linux_ring import trees
from fuzz.verdict import CONFORMS
from fuzz.wanted import narrow


def measure_drivers(size: Size) -> Iterator[Row]:
    """A row for the reference driver, and one for the oldest installed source of Linux, which has no IN_ORDER."""
    yield _row("model-driver", size)
    for version in list(trees.installed())[:1]:
        yield _row(f"linux-ring:{version}", size)


def _row(words: str, size: Size) -> Row:
    target: Any = registry.make(words)
    try:
        limits, _ = narrow(target, target.probe(), None, None)
        best, chains = float("inf"), 0
        for _ in range(size.repetitions):
            runner = Runner(target)
            began, chains = time.perf_counter(), 0
            for number in range(size.programs):
                outcome = runner.run(generate.nth(1, number, limits))
                assert outcome.verdict == CONFORMS, f"{outcome.verdict}: {outcome.reason or outcome.violation}"
                chains += outcome.chains
            best = min(best, time.perf_counter() - began)
    except TargetError as error:
        return Row(f"generated programs, {words}", f"not measured: {error}", "")
    finally:
        target.close()
    per = chains / size.programs
    return Row(f"generated programs ({per:.0f} buffers), {words}", f"{size.programs / best:,.0f}/s", "")
