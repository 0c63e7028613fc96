"""libFuzzer sees the counters and comparisons of another process as its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.coverage.libfuzzer import Registered, register
from fuzz.registry import make
from fuzz.targets.counters import PlainCounters
from fuzz.trouble import EnvironmentTrouble
from tests.coverage_kit import compiled, needs_gcc

ROOT = Path(__file__).resolve().parent.parent


@needs_gcc
def test_a_magic_number_of_another_process_is_found_and_what_lies_behind_it(tmp_path):
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


def test_a_target_that_does_not_count_has_nothing_to_tell():
    assert register(make("model")) is None


@needs_gcc
def test_counters_of_a_back_end_are_told_with_its_comparisons(tmp_path):
    pytest.importorskip("atheris", reason="the Python package atheris is not installed")
    target = make(f"exec[raw]:{compiled(tmp_path)} {{socket}} {tmp_path}/marks")
    try:
        registered = register(target)
        assert registered is not None
        registered.begin()
        target.probe()
        assert registered.replay() > 0
        registered.begin()
        assert registered.replay() == 0
    finally:
        target.close()


def test_without_libfuzzer_there_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "atheris", None)  # as if it were not installed
    with pytest.raises(EnvironmentTrouble, match=r"^the Python package atheris is not installed: pip install"):
        Registered(PlainCounters(memoryview(bytearray(8))))
