"""What a campaign counts: the rules that bore on what ran."""

from __future__ import annotations

from fuzz.tally import Tally
from oracles import spec
from oracles.rules import registry


def test_a_rule_bears_on_its_layout_and_features() -> None:
    rules = registry()
    both = spec.VERSION_1 | spec.IN_ORDER
    assert rules["INO-ORDER"].bears("split", both)
    assert not rules["INO-ORDER"].bears("split", spec.VERSION_1)
    assert not rules["P-USED-ID"].bears("split", both)
    assert rules["VQ-LIVE"].bears("packed", spec.VERSION_1)
    assert not rules["VQ-LIVE"].bears("packed", both)  # there it is INO-LIVE
    assert not rules["INO-BATCH-OPT"].bears("split", both)  # a permission is not checked


def test_exercised_rules_add_up() -> None:
    tally = Tally()
    tally.shape("split", spec.VERSION_1)
    first = set(tally.rules)
    assert "S-USED-ID" in first
    assert "INO-ORDER" not in first
    tally.shape("packed", spec.VERSION_1 | spec.IN_ORDER)
    assert first < tally.rules
    assert tally.exercised().startswith(f"{len(tally.rules)} of ")
