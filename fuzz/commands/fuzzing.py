"""``vqfuzz fuzz``: from options to a campaign."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from tempfile import gettempdir

from fuzz import engines
from fuzz.campaign import Campaign, Wanted
from fuzz.registry import make
from fuzz.status import Status
from fuzz.targets import Target
from fuzz.targets.folders import RUN, sweep
from fuzz.traits import words
from fuzz.trouble import UsageTrouble

_SECONDS = 60.0


def say(text: str) -> None:
    """Print a result at once, also into a file or a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fuzz(target: str, seconds: float | None, runs: int | None, seed: int | None, layout: str | None,
         in_order: str | None, go_on: bool, out: Path, qemu: str, avoid: tuple[str, ...],
         everything: bool, version: str, strict: bool, mode: str = "legal", jobs: int = 1,
         corpus: Path | None = None, coverage: str = "auto", engine: str = engines.DEFAULT) -> int:  # fmt: skip
    """Run the campaign; returns the exit code."""
    if seed is None:
        import secrets

        seed = secrets.randbelow(1 << 32)
    if seconds is None and runs is None:
        seconds = _SECONDS
    wanted = Wanted(seed, runs, seconds, layout, in_order, go_on, out, qemu, words(avoid), mode, everything,
                    version, strict, jobs=jobs, corpus=corpus, coverage=coverage, engine=engine)  # fmt: skip
    if jobs > 1 and target.partition(":")[0].partition("[")[0] == "vhost-user":
        raise UsageTrouble(f"--jobs: {target} runs already, and serves one of us; exec:'CMD {{socket}}' starts more")
    engines.check(engine)
    made = make(target, qemu)
    sweep(gettempdir(), RUN)  # what killed runs left
    if jobs > 1:
        return _several(made, wanted)
    gc.freeze()  # what was imported lives until the end
    gc.set_threshold(20_000, 20, 20)  # traces are many small objects without cycles
    try:
        return Campaign(made, wanted, say, Status()).run()
    finally:
        made.close()


def _several(target: Target, wanted: Wanted) -> int:
    """The same in several processes, each with a target of its own; *target* itself is not used."""
    from fuzz.parallel import Parallel  # late: only those who want it pay for it

    target.close()
    if target.name.startswith("vhost-user"):
        raise UsageTrouble(
            f"--jobs: {target.name} runs already, and serves one of us; exec:'CMD {{socket}}' starts one each"
        )
    return Parallel(lambda: make(target.name, wanted.qemu), target, wanted, say, Status()).run()
