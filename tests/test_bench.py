"""The benchmark's script makes its table, in a configuration so small that its figures mean nothing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "bench.py"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module; it has a package of its own beside it."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    spec = importlib.util.spec_from_file_location("bench_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_has_a_line_for_each_measurement(bench: ModuleType) -> None:
    from bench.measuring import TINY  # type: ignore[import-not-found]  # found by the script

    table = bench.table(bench.measure(list(bench.MEASURES), TINY))
    for begin in ("yardstick", "programs of 50 chains, packed", "generated", "oracle, split, looking, ring 16",
                  "oracle's memory", "vqfuzz --help", "programs to a05", "executions to shrink",
                  "QEMU over qtest"):  # fmt: skip
        assert f"\n{begin}" in table, table
    assert "falls short" in table or "meets" in table


def test_conforming_streams_are_not_accused_round_the_index(bench: ModuleType) -> None:
    from bench.events import FORMS, feed, laps, started  # type: ignore[import-not-found]  # found by the script

    for form in FORMS:
        lap = laps(form, 16384)
        assert feed(started(form, 16384), lap, 9 * 16384) > 0
