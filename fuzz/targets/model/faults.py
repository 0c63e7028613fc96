"""Every planted fault by name, in the order of their names: the test of the tests.

Each must be found, shrunk and named by a rule that fits, and the device without them must never be
accused. What they are stands in the modules of faults beside this one.
"""

from __future__ import annotations

from fuzz.targets.model import (
    batch_faults,
    life_faults,
    more_life_faults,
    more_packed_faults,
    more_store_faults,
    net_faults,
    order_faults,
    planting,
    ring_faults,
    split_faults,
)
from fuzz.targets.model.planting import Fault

FAULTS: dict[str, Fault] = dict(sorted(planting.FAULTS.items()))

__all__ = [
    "FAULTS",
    "Fault",
    "batch_faults",
    "life_faults",
    "more_life_faults",
    "more_packed_faults",
    "more_store_faults",
    "net_faults",
    "order_faults",
    "ring_faults",
    "split_faults",
]
