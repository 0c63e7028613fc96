"""How long the command takes to begin."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.measuring import Row, Size

ROOT = Path(__file__).resolve().parent.parent.parent
STARTS = {"python -c pass": ["-c", "pass"], "vqfuzz --help": ["-m", "fuzz", "--help"],
          "import oracles.oracle": ["-c", "import oracles.oracle"]}  # fmt: skip


def _start(arguments: list[str]) -> tuple[float, float]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=environment)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall * 1e3, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def measure_start(size: Size) -> Iterator[Row]:
    """Milliseconds from the command to its end."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in STARTS}
    for arguments in STARTS.values():
        _start(arguments)  # compiles what has not been
    for _ in range(size.starts):
        for name, arguments in STARTS.items():
            times[name].append(_start(arguments))
    bare = median(cpu for _, cpu in times["python -c pass"])
    for name, pairs in times.items():
        wall, cpu = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
        figure = f"{wall:.0f} ms, CPU {cpu:.0f} ms"
        ratio = f"{cpu / bare:.1f} × bare"
        yield Row(name, figure, ratio, "≤ 150 ms", wall <= 150) if "help" in name else Row(name, figure, ratio)
