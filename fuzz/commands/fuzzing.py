"""``vqfuzz fuzz``: from options to a campaign."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from fuzz import engines
from fuzz.campaign import Campaign, Wanted
from fuzz.registry import make
from fuzz.status import Status
from fuzz.traits import words

_SECONDS = 60.0


def say(text: str) -> None:
    """Print a result at once, also into a file or a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fuzz(target: str, seconds: float | None, runs: int | None, seed: int | None, layout: str | None,
         in_order: str | None, go_on: bool, out: Path, qemu: str, avoid: tuple[str, ...],
         everything: bool, version: str, strict: bool, mode: str = "legal",
         engine: str = engines.DEFAULT) -> int:  # fmt: skip
    """Run the campaign; returns the exit code."""
    if seed is None:
        import secrets

        seed = secrets.randbelow(1 << 32)
    if seconds is None and runs is None:
        seconds = _SECONDS
    wanted = Wanted(seed, runs, seconds, layout, in_order, go_on, out, qemu, words(avoid), mode, everything,
                    version, strict, engine)  # fmt: skip
    engines.check(engine)
    made = make(target, qemu)
    gc.freeze()  # what was imported lives until the end
    gc.set_threshold(20_000, 20, 20)  # traces are many small objects without cycles
    try:
        return Campaign(made, wanted, say, Status()).run()
    finally:
        made.close()
