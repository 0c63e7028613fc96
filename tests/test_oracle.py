"""The oracle: each rule is named by a short trace that breaks exactly it, and by none that conforms."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from oracles import device_rules
from oracles.oracle import Oracle, judge
from oracles.rules import Level, Violation, registry
from oracles.trace import Entry, Started, dump, load
from tests.traces_by_hand import BESIDE, BESIDE_OTHERS, CASES, LINT, Trace


def named(table: Sequence[tuple[str, Sequence[object], Sequence[object]]]) -> list[object]:
    seen: dict[str, int] = {}
    out: list[object] = []
    for row in table:
        seen[row[0]] = seen.get(row[0], 0) + 1
        out.append(pytest.param(*row, id=f"{row[0]}-{seen[row[0]]}"))
    return out


def on_queue(trace: Trace, queue: int = 0) -> list[Entry]:
    return [(queue, observation) for observation in trace]


@pytest.mark.parametrize(("rule", "bad", "good"), named(CASES))
def test_rule(rule: str, bad: Trace, good: Trace) -> None:
    violation, _ = judge(on_queue(bad))
    assert violation is not None
    assert violation.rule == rule, violation
    assert violation.message
    assert judge(on_queue(good)) == (None, [])


@pytest.mark.parametrize(("rule", "odd", "good"), named(LINT))
def test_suspicion(rule: str, odd: Trace, good: Trace) -> None:
    violation, warnings = judge(on_queue(odd))
    assert violation is None
    assert [warning.rule for warning in warnings] == [rule]
    assert judge(on_queue(good)) == (None, [])


LENGTHS = {"S-USED-LEN-MAX", "S-USED-LEN-WRITTEN", "S-USED-LEN-EXACT", "P-USED-LEN", "P-USED-WFLAG", "INO-BATCH-LEN"}


@pytest.mark.parametrize(("rule", "bad", "good"), named([row for row in (*CASES, *LINT) if row[0] in LENGTHS]))
def test_lengths_that_mean_nothing(rule: str, bad: Trace, good: Trace) -> None:
    for trace in (bad, good):
        told = [seen._replace(lengths=False) if isinstance(seen, Started) else seen for seen in trace]
        assert judge(load(dump(on_queue(told)))) == (None, [])


@pytest.mark.parametrize(("rule", "bad"), [pytest.param(*row, id=row[0]) for row in BESIDE])
def test_rule_beside(rule: str, bad: Trace) -> None:
    """It is mentioned, and named itself when those before it don't bind."""
    violation, _ = judge(on_queue(bad))
    assert violation is not None
    assert rule in violation.observed
    unasked = []
    while violation is not None and violation.rule != rule:
        unasked.append(violation.rule)
        violation, _ = judge(on_queue(bad), (), unasked)
    assert violation is not None


@pytest.mark.parametrize(("rule", "bad", "good"), named(BESIDE_OTHERS))
def test_rule_that_another_queue_tells(rule: str, bad: list[Entry], good: list[Entry]) -> None:
    violation, _ = judge(bad)
    assert violation is not None
    assert violation.rule == rule, violation
    assert judge(good) == (None, [])


def test_every_rule_has_a_trace_and_is_in_the_catalogue() -> None:
    elsewhere = {"MM-NOTREADY", "SUS-DEV-DRAIN", "SUS-DEV-QUIET"}  # test_registers: they need a log of registers, too
    told = {rule for rule, *_ in (*CASES, *LINT, *BESIDE, *BESIDE_OTHERS)}
    assert told == set(device_rules.rule_ids()) - elsewhere
    assert set(device_rules.rule_ids()) <= set(registry())
    assert registry()["INO-S-MASK"].level is Level.LINT


@pytest.mark.parametrize(("rule", "bad", "good"), named([*CASES, *LINT]))
def test_saved_traces_are_judged_alike(rule: str, bad: Trace, good: Trace) -> None:
    for trace in (bad, good):
        oracle = Oracle()
        live: Violation | None = None
        index = -1
        for at, (queue, observation) in enumerate(on_queue(trace, 3)):
            live = oracle.feed(queue, observation)
            if live is not None:
                index = at
                break
        live = live or oracle.conclude()
        saved, warnings = judge(load(dump(on_queue(trace, 3))))
        assert warnings == oracle.warnings
        assert (saved is None) == (live is None)
        if saved is not None and live is not None:
            assert (saved.rule, saved.message, saved.queue) == (live.rule, live.message, 3)
            assert saved.event == index


@pytest.mark.parametrize(("rule", "bad", "good"), named(CASES))
def test_dropped_rule_is_never_named(rule: str, bad: Trace, good: Trace) -> None:
    violation, warnings = judge(on_queue(bad), [rule])
    assert violation is None or violation.rule != rule
    assert rule not in {warning.rule for warning in warnings}
