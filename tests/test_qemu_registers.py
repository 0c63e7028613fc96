"""The cases of registers on real QEMU devices: what conforms, and what does not and is known."""

from __future__ import annotations

import pytest

from fuzz.cases import NotOffered
from fuzz.cases.registers import cases
from fuzz.targets.qemu.target import make
from fuzz.verdict import CONFORMS
from tests.qemu_kit import alive, children, qemus

_MMIO = {
    "registers/queue-reset": "MM-QRESET",  # RING_RESET is offered, and there is no register QueueReset
    "registers/disabled": "MM-NOTREADY",  # QueueReady = 0 does not keep it from a queue
    "registers/changing": "MM-INT",  # a configuration change also sets the bit for used buffers
}
#: It notifies the driver of its status queue as soon as it is started, though nothing was ever in it.
_EMPTY = {"registers/queue-reset": "MM-QRESET", "registers/reset": "MM-INT"}


@qemus
@pytest.mark.parametrize(
    ("device", "known"),
    [
        ("virtio-blk-pci,in_order=on,packed=on", {}),
        ("virtio-rng-pci,packed=off", {}),
        ("virtio-net-pci", {}),
        ("virtio-balloon-pci,in_order=on", {}),
        ("virtio-rng-device,in_order=on", _MMIO),
        ("virtio-net-device", _MMIO),
        ("virtio-keyboard-device", _EMPTY),
    ],
    ids=lambda value: value.partition(",")[0] if isinstance(value, str) else "",
)
def test_registers(device, known, qemu):
    before = children()
    target = make(f"qemu:{device}", qemu)
    ran = set()
    try:
        for check in cases(target):
            try:
                outcome = check.run()
            except NotOffered:
                continue
            rule = known.get(check.name)
            if rule is None:
                assert (outcome.verdict, outcome.violation, outcome.reason) == (CONFORMS, None, ""), check.name
            else:
                assert outcome.violation is not None, check.name
                assert outcome.violation.rule == rule, check.name
            warned = {warning.rule for warning in outcome.warnings}
            # virtio-mmio shows bits 32 to 63 in every window but the first
            assert warned <= ({"F-RESERVED-RANGE"} if "-device" in device else set()), check.name
            ran.add(check.name)
    finally:
        target.close()
    assert {"registers/offer", "registers/subsets", "registers/sizes", "registers/configuration"} <= ran
    assert not any(alive(pid) for pid in children() - before)
