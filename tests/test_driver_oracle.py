"""The oracle of drivers: each rule is named by a short trace that breaks exactly it, and by none that conforms."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from oracles import driver_rules
from oracles.driver_oracle import DriverOracle, judge_driver
from oracles.rules import Level, registry
from oracles.trace import KINDS, Entry, Looked, Notified, Observation, Resetting, Returned, Started, dump, load
from tests.driver_traces_by_hand import ALLOWED, CASES, WARNED, O, lists, one, p, packed, split
from tests.traces_by_hand import Trace, desc


def named(table: Sequence[tuple[str, Trace, Trace]]) -> list[object]:
    seen: dict[str, int] = {}
    out: list[object] = []
    for row in table:
        seen[row[0]] = seen.get(row[0], 0) + 1
        out.append(pytest.param(*row, id=f"{row[0]}-{seen[row[0]]}"))
    return out


def entries(trace: Trace) -> list[Entry]:
    """On one queue, and looked at once more in the end."""
    return [(0, observation) for observation in [*trace, Looked()]]


@pytest.mark.parametrize(("rule", "bad", "good"), named(CASES))
def test_rule(rule: str, bad: Trace, good: Trace) -> None:
    violation, warnings = judge_driver(entries(bad))
    assert violation is not None
    assert violation.rule == rule
    assert not warnings
    assert judge_driver(entries(good)) == (None, [])


@pytest.mark.parametrize(("rule", "bad", "good"), named(WARNED))
def test_rule_that_warns(rule: str, bad: Trace, good: Trace) -> None:
    violation, warnings = judge_driver(entries(bad))
    assert violation is None
    assert [warning.rule for warning in warnings] == [rule]
    assert judge_driver(entries(good)) == (None, [])


@pytest.mark.parametrize("trace", [row[1] for row in ALLOWED], ids=[row[0] for row in ALLOWED])
def test_what_a_driver_may_do(trace: Trace) -> None:
    assert judge_driver(entries(trace)) == (None, [])


@pytest.mark.parametrize(("rule", "bad", "good"), named([*CASES, *WARNED]))
def test_dropped_rule_takes_its_case_along(rule: str, bad: Trace, good: Trace) -> None:
    assert judge_driver(entries(bad), [rule]) == (None, [])


@pytest.mark.parametrize(("rule", "bad", "good"), named(CASES))
def test_saved_trace_is_judged_alike(rule: str, bad: Trace, good: Trace) -> None:
    assert judge_driver(load(dump(entries(bad)))) == judge_driver(entries(bad))


def test_every_rule_has_a_case() -> None:
    assert {rule for rule, *_ in (*CASES, *WARNED)} == set(driver_rules.rule_ids())


def test_every_checked_rule_of_drivers_is_asked() -> None:
    ours = {rule.id for rule in registry().values() if rule.status == "checked" and rule.subject == "driver"}
    registers = ("F-", "ST-", "RST-", "VQR-", "CFG-", "PCI-", "MM-", "SUS-")  # asked of what registers are told
    ours = {id_ for id_ in ours if not id_.startswith(registers)}
    assert ours <= set(driver_rules.rule_ids())
    assert set(driver_rules.rule_ids()) <= set(registry())


def test_warnings_are_what_their_level_says() -> None:
    levels = {id_: registry()[id_].level for id_ in driver_rules.rule_ids()}
    assert {id_ for id_, level in levels.items() if level in (Level.SHOULD, Level.LINT)} == driver_rules.LINT


def test_queues_are_judged_each_by_itself() -> None:
    oracle = DriverOracle()
    for observation in (*split(), *one()):
        assert oracle.feed(0, observation) is None
        assert oracle.feed(1, observation) is None
    assert set(oracle.queues) == {0, 1}


def test_nothing_is_said_after_a_violation_or_a_reset() -> None:
    rule, bad, _ = next(row for row in CASES if row[0] == "S-USED-RO")
    assert rule == "S-USED-RO"
    oracle = DriverOracle()
    found = [oracle.feed(0, observation) for observation in [*bad, bad[-1], bad[-1]]]
    assert [violation.rule for violation in found if violation is not None] == [rule]
    assert judge_driver([*entries(split()), (0, Resetting("device")), (0, bad[-1])]) == (None, [])


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_never_raises_whatever_comes(layout: str) -> None:
    """Every kind of observation with every value at hand, in every state that a few of them lead to."""
    hand = [Started(layout, 4, 1 << 34 if layout == "packed" else 0, 0, 64, 128, (0, 4096), 0, 0)]
    samples: list[Observation] = [row for case in CASES for row in (*case[1], *case[2])]
    kinds = {type(sample) for sample in samples}
    assert {"exposed", "looked", "returned", "started", "stored"} <= {kind.__name__.lower() for kind in kinds}
    assert kinds <= set(KINDS.values())
    for first in (hand, []):
        oracle = DriverOracle()
        for observation in [*first, *samples, Notified(), *reversed(samples)]:
            oracle.feed(0, observation)


def test_a_mistaken_batch_is_not_laid_on_flags() -> None:
    """A used descriptor with NEXT, and a driver that takes the youngest of the batch first: the walk is wrong."""
    batch_with_next = [*packed(O), *lists(p(0), p(1, id=1)), *desc(0, 1, 6, 0x8083)]
    for wrong, rule in ((Returned(1, 6), "INO-DRV-WALK"), (Returned(0, 6), "INO-SKIP-LEN")):
        violation, _ = judge_driver(entries([*batch_with_next, wrong]))
        assert violation is not None
        assert violation.rule == rule
