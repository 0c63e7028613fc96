"""libFuzzer sees the counters and comparisons of another process as its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.coverage.libfuzzer import Registered
from fuzz.targets.counters import SharedCounters
from fuzz.trouble import EnvironmentTrouble
from tests.coverage_kit import compiled, needs_gcc

ROOT = Path(__file__).resolve().parent.parent


@needs_gcc
def test_two_magic_numbers_of_another_process_are_found(tmp_path):
    pytest.importorskip("atheris", reason="the Python package atheris is not installed")
    program = compiled(tmp_path, source=ROOT / "tests/c/echo.c")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/coverage_harness.py"), "-runs=100000", "-seed=1", "-max_len=16"],
        cwd=tmp_path, env={**os.environ, "ECHO": str(program), "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 42, done.stderr
    assert "Loaded 1 modules   (65536 inline 8-bit counters)" in done.stderr
    assert "NEW " in done.stderr


def test_a_target_that_does_not_count_is_refused():
    counters = SharedCounters()
    with pytest.raises(EnvironmentTrouble, match=r"^the target does not count: build it with"):
        Registered(counters)
    counters.close()
