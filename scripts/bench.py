#!/usr/bin/env python3
"""``make bench``: what vqfuzz does in a second, as one table.

Every time is CPU time (with QEMU, wall-clock time), the median of repetitions that take turns with each other, and
stands beside its ratio to a yardstick measured between them: rounds of a plain Python loop. Ratios hold on any
machine; whether an aim in seconds is met also depends on this one.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

from bench.drivers import measure_drivers  # noqa: E402  # found beside this script
from bench.events import measure_memory, measure_oracle  # noqa: E402  # found beside this script
from bench.finding import measure_finding, measure_shrinking  # noqa: E402  # as above
from bench.measuring import FULL, ROUNDS, Row, Size, say, yardstick  # noqa: E402  # as above
from bench.programs import measure_programs  # noqa: E402  # as above
from bench.shim import measure_shim  # noqa: E402  # as above
from bench.starting import measure_start  # noqa: E402  # as above

MEASURES: dict[str, Callable[[Size], Iterator[Row]]] = {
    "programs": measure_programs,
    "oracle": measure_oracle,
    "memory": measure_memory,
    "start": measure_start,
    "finding": measure_finding,
    "shrinking": measure_shrinking,
    "shim": measure_shim,
    "drivers": measure_drivers,
}


def table(rows: Sequence[Row]) -> str:
    """The rows in columns."""
    verdict = {None: "", True: "meets", False: "falls short"}
    cells = [("", "figure", "in rounds", "aim", "")]
    cells += [(row.name, row.figure, row.ratio, row.aim, verdict[row.met]) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in cells)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def measure(names: Sequence[str], size: Size) -> list[Row]:
    """All rows of the measurements *names*, the yardstick first."""
    rows = []
    sticks = [yardstick()]
    for name in names:
        began = time.monotonic()
        say(f"{name} …")
        rows += MEASURES[name](size)
        say(f"{name}: {time.monotonic() - began:.0f} s")
        sticks += [yardstick() for _ in range(3)]
    stick = median(sticks) / ROUNDS * 1e9
    spread = f"{min(sticks) / ROUNDS * 1e9:.0f} to {max(sticks) / ROUNDS * 1e9:.0f} ns"
    return [Row("yardstick: a round of a plain loop", f"{stick:.0f} ns", spread), *rows]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure vqfuzz and print one table.")
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="this measurement alone (repeatable)")
    parser.add_argument("--full", action="store_true", help="all faults, and traces of ten million events")
    options = parser.parse_args()
    size = FULL if options.full else Size()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # as the command does
    version = sys.version.split()[0]
    print(f"vqfuzz bench · Python {version} · seeds {', '.join(map(str, size.seeds))} · {size.repetitions} repetitions")
    rows = measure(options.only or list(MEASURES), size)
    print()
    print(table(rows))


if __name__ == "__main__":
    main()
