"""What docs/found.md says of drivers is so, on the versions that it names; and the control conforms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from fuzz.confirm import Runner
from fuzz.encoding import load
from fuzz.program import Program, Use
from fuzz.targets import Target
from fuzz.targets.dpdk_virtio_user import DpdkVirtioUser
from fuzz.verdict import CONFORMS, UNDECIDED

FOUND = Path(__file__).resolve().parent.parent / "corpus" / "found" / "dpdk-virtio-user"


def singly(program: Program) -> Program:
    """The same with a used descriptor for each buffer."""
    return replace(program, steps=tuple(replace(step, singly=True) for step in program.steps if isinstance(step, Use)))


@pytest.mark.target("dpdk-testpmd")
def test_a_batch_that_is_received_stops_the_queue() -> None:
    program = load((FOUND / "batch-received-packed.vq").read_text(encoding="utf-8"))
    target = DpdkVirtioUser("rx")
    control = Runner(cast("Target", target)).run(singly(program))
    assert (control.verdict, control.reason) == (CONFORMS, "")
    if "22.11." not in target.describe()["version"]:
        pytest.skip(f"found in 22.11; here: {target.describe()['version']}")
    outcome = Runner(cast("Target", target)).run(program)
    assert outcome.verdict == UNDECIDED
    assert "the driver exposed nothing" in outcome.reason
    assert outcome.chains < 4 + 64 + 1
