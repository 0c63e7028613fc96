"""The self test can fail: when a fault isn't found, or by a wrong rule, or when the clean model is accused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fuzz import selftest
from fuzz.targets.model import Model, ModelSession
from fuzz.targets.model.engine import Engine
from fuzz.targets.model.faults import FAULTS
from fuzz.trouble import CONFORMS, FOUND


def test_quick_passes(cli):
    done = cli("selftest", "--quick", "--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in selftest.QUICK:
        assert f"\n{name} " in done.stdout
    assert f"{len(selftest.QUICK)} of {len(selftest.QUICK)} faults found as they should be" in done.stdout
    assert "never accused" in done.stdout


def test_every_fault_is_found_within_its_bound_by_its_rule():
    rows = [selftest.examine(fault, 1) for fault in FAULTS.values() if not fault.aimed]
    assert [f"{row.fault.name}: {row.wrong}" for row in rows if row.wrong] == []
    # others are proven on a program of their own (test_proof_ring)
    # a08 needs as many buffers behind the reset as stood before it, which no removal of single steps can lower
    longest = {"a08": 24}
    too_long = [(row.fault.name, row.steps) for row in rows if row.steps > longest.get(row.fault.name, 12)]
    assert too_long == []
    assert next(row.steps for row in rows if row.fault.name == "a05") <= 4


@pytest.mark.parametrize(
    "fault",
    [
        replace(FAULTS["a05"], bound=1, engine=Engine),  # a fault that is none
        replace(FAULTS["a05"], rules=("VQ-LIVE",)),  # found by another rule than it should be
    ],
    ids=["not found", "wrong rule"],
)
def test_fails_if_a_fault_is_not_found_as_it_should_be(fault, monkeypatch, capsys):
    monkeypatch.setattr(selftest, "QUICK_CLEAN", 5)
    monkeypatch.setitem(FAULTS, "a05", fault)
    assert selftest.selftest(1, True, [fault]) == FOUND
    assert "WRONG" in capsys.readouterr().out


def _faulty(model):
    return ModelSession(FAULTS["canary"].engine, model._raw)


def test_fails_if_the_clean_model_is_accused(monkeypatch, capsys):
    monkeypatch.setattr(selftest, "QUICK_CLEAN", 20)
    monkeypatch.setattr(Model, "open", _faulty)
    assert selftest.selftest(1, True, [FAULTS["canary"]]) == FOUND
    assert "ACCUSED" in capsys.readouterr().out


def test_the_clean_model_is_never_accused_in_any_small_program():
    seen: list[int] = []
    count, accused = selftest.exhaustive_clean(5, seen.append)
    assert accused == []
    assert seen == list(range(count))
    assert count > 2500


def test_an_accusation_in_a_small_program_is_told(monkeypatch):
    monkeypatch.setattr(Model, "open", _faulty)
    count, accused = selftest.exhaustive_clean(2, lambda done: None)
    assert 0 < len(accused) <= count
    assert {text.split(":")[0] for text in accused} == {"S-USED-LEN-MAX", "P-USED-LEN"}


def test_dropping_a_rule_shows_what_else_finds_a_fault(monkeypatch):
    row = selftest.examine(FAULTS["a05"], 1)
    lost = selftest.Row(FAULTS["a16"], "P-USED-ORDER")
    monkeypatch.setitem(FAULTS, "a16", replace(FAULTS["a16"], engine=Engine))  # nothing else finds what isn't there
    monkeypatch.setattr(selftest, "DROPPED", 50)
    selftest.drop_one([row, lost], 1, lambda text: None)
    assert row.without[row.rule] not in ("", row.rule)
    assert lost.without == {"P-USED-ORDER": ""}
    table = "\n".join(selftest._drop_table([row, lost]))
    assert f"a05 by {row.without[row.rule]}" in table
    assert "P-USED-ORDER         a16" in table


def test_passes_with_what_is_right(monkeypatch, capsys):
    monkeypatch.setattr(selftest, "QUICK_CLEAN", 5)
    assert selftest.selftest(1, True, [FAULTS["canary"]]) == CONFORMS
    assert "passed" in capsys.readouterr().out
