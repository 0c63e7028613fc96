"""What all measurements share: the yardstick, turns, rows of the table, and how much is measured."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from fuzz.targets.model.faults import FAULTS

ROUNDS = 10_000  # of the yardstick's loop, once


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. *ratio*: rounds of the yardstick's loop, or as it says; *met*: None without an aim."""

    name: str
    figure: str
    ratio: str = ""
    aim: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    repetitions: int = 5
    programs: int = 40  # per mode and repetition
    rings: tuple[int, ...] = (16, 256, 4096, 32768)
    lengths: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    length: int = 50_000  # of the traces that compare rings
    faults: tuple[str, ...] = tuple(name for name in sorted(FAULTS) if name != "canary")
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    caps: tuple[int, int, int] = (300, 100, 100)  # programs per search: directed, uniform, Hypothesis
    starts: int = 9


FULL = Size(
    lengths=(1_000, 100_000, 1_000_000, 10_000_000),
    caps=(2000, 3000, 2000),
)
TINY = Size(1, 1, (16,), (1_000,), 1_000, ("a05",), (1,), (50, 2, 2), 1)  # for the test of this script


def say(text: str) -> None:
    """Progress, which is no part of the table."""
    print(text, file=sys.stderr, flush=True)


def yardstick() -> float:
    """CPU seconds for ROUNDS rounds of a loop that any Python can be compared by."""
    began = time.process_time()
    total = 0
    for number in range(ROUNDS):
        total += number & 3
    return time.process_time() - began


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds for one of something, and the same in rounds of the yardstick's loop."""

    seconds: float
    rounds: float


def each(work: Callable[[], int]) -> float:
    """CPU seconds for one of what *work* does; it returns how many it did."""
    began = time.process_time()
    count = work()
    return (time.process_time() - began) / count


def take_turns(works: dict[str, Callable[[], float]], repetitions: int) -> dict[str, Timed]:
    """Each of *works* in turn, again and again; each returns seconds for one of what it does. Medians."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    rounds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repetitions):
        for name, work in works.items():
            before = yardstick()
            one = work()
            seconds[name].append(one)
            rounds[name].append(one * ROUNDS / ((before + yardstick()) / 2))
    return {name: Timed(median(seconds[name]), median(rounds[name])) for name in works}
