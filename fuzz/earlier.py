"""What earlier programs left behind: those that must have run before a program fails, and no others.

A target that keeps its process from one program to the next may carry something over a device reset. Knows programs
and their runs. Must not know where finds are kept, nor who prints what.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from fuzz.confirm import Needs, Runner
from fuzz.program import Program
from fuzz.shrink import shrink
from fuzz.targets import TargetError

SECONDS = 60.0
"""For finding out which programs are needed; again as many for making these smaller."""

_BUDGET = 60  # executions for making one of them smaller

Programs = tuple[Program, ...]
Say = Callable[[str], None]


def needed(
    runner: Runner, program: Program, needs: Needs, ran: Programs, progress: Say, seconds: float = SECONDS
) -> Programs:
    """Those of *ran* that must run first, on a target started anew, for *program* to fail; () if that doesn't help."""
    deadline = time.monotonic() + seconds

    def fails(before: Programs) -> bool:
        if time.monotonic() > deadline:
            return False
        progress(f"after {len(before)} programs")
        return replace(needs, before=before).seen(runner, program) is not None

    try:
        if not ran or not (fails(ran) and fails(ran)):  # once may be chance
            return ()
        return _fewer(ran, fails)
    except TargetError:
        return ()


def _fewer(ran: Programs, fails: Callable[[Programs], bool]) -> Programs:
    """The last few alone if they will do, then without any that can be spared: by halves, down to single ones."""
    length = 1
    while length < len(ran):
        if fails(ran[-length:]):
            ran = ran[-length:]
            break
        length *= 2
    size = max(1, len(ran) // 2)
    while True:
        before = len(ran)
        end = len(ran)
        while end > 0:
            start = max(0, end - size)
            rest = ran[:start] + ran[end:]
            if rest and fails(rest):
                ran = rest
            end = start
        if size == 1 and len(ran) == before:
            return ran
        size = max(1, min(size, len(ran)) // 2)


def smaller(runner: Runner, program: Program, needs: Needs, progress: Say, seconds: float = SECONDS) -> Programs:
    """The programs that *needs* says must run first, each made smaller as long as *program* still fails."""
    deadline = time.monotonic() + seconds
    before = list(needs.before)
    limits = runner.target.limits
    try:
        for place in range(len(before)):

            def still(candidate: Program, place: int = place) -> bool:
                if time.monotonic() > deadline:
                    return False
                changed = (*before[:place], candidate, *before[place + 1 :])
                return replace(needs, before=changed).seen(runner, program) is not None

            def told(executions: int, best: Program, place: int = place) -> None:
                before[place] = best
                progress(f"program {place + 1} before it: {len(best.steps)} steps")

            shrink(before[place], still, _BUDGET, told, levers=limits.levers, pulses=limits.pulses)
    except TargetError:
        pass  # what was reached so far stands
    return tuple(before)
