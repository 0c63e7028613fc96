"""What tests of coverage share: the C back-end of ``tests/c``, compiled so that it counts, and campaigns on it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.campaign import Campaign
from fuzz.coverage import build
from fuzz.registry import make
from fuzz.status import Status
from fuzz.wanted import Wanted

BACKEND = Path(__file__).parent / "c" / "backend.c"
OUTCOMES = 12
STEPS = 24  # of a program, at most: many short ones tell more than few long ones
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


def compiled(folder: Path, compiler: str = "gcc", source: Path = BACKEND) -> Path:
    """*source* as a program that counts."""
    program = folder / f"{source.stem}-{Path(compiler).name}"
    flags = [*build.cflags(compiler).split(), "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-c", str(source), "-o", f"{program}.o"], check=True)
    subprocess.run([compiler, f"{program}.o", build.ldflags(compiler), "-o", str(program)], check=True)
    return program


class Run:
    """A campaign of *runs* programs on the back-end *program*, and which outcomes it reached."""

    def __init__(self, program: Path, folder: Path, seed: int, runs: int, coverage: str, mode: str = "legal") -> None:
        marks = folder / f"outcomes-{seed}-{coverage}"
        marks.unlink(missing_ok=True)
        self.said: list[str] = []
        target = make(f"exec[raw]:{program} {{socket}} {marks}")
        target.limits = replace(target.limits, steps=STEPS)
        wanted = Wanted(seed, runs, out=folder / "finds", mode=mode, coverage=coverage)
        try:
            self.campaign = Campaign(target, wanted, self.said.append, Status(quiet=True))
            self.code = self.campaign.run()
        finally:
            target.close()
        self.outcomes = {place for place, mark in enumerate(marks.read_bytes()) if mark}

    def kept(self) -> Iterator[str]:
        """The programs that it kept, as text."""
        from fuzz.encoding import dump

        assert self.campaign.steering is not None
        return (dump(one.program) for one in self.campaign.steering.search.kept)
