"""Every planted fault by name, in the order of their names: the test of the tests.

Each must be found, shrunk and named by a rule that fits, and the device without them must never be
accused. What they are stands in batch_faults and ring_faults, and in the modules of more of them: one for each
rule that no other fault shows alone.
"""

from __future__ import annotations

from fuzz.targets.model import (
    batch_faults,
    more_life_faults,
    more_packed_faults,
    more_store_faults,
    planting,
    ring_faults,
)
from fuzz.targets.model.planting import Fault

FAULTS: dict[str, Fault] = dict(sorted(planting.FAULTS.items()))

__all__ = [
    "FAULTS",
    "Fault",
    "batch_faults",
    "more_life_faults",
    "more_packed_faults",
    "more_store_faults",
    "ring_faults",
]
