"""What docs/found.md says of QEMU's devices is so, on the versions that it names: corpus/found/qemu."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import encoding
from fuzz.confirm import Runner, decide
from fuzz.targets.qemu.target import make

ROOT = Path(__file__).resolve().parent.parent
FOUND = ROOT / "corpus" / "found" / "qemu"
SID = f"{ROOT / 'scripts' / 'sid-run'} /usr/bin/qemu-system-x86_64"
TRIES = 3  # what is done first depends on the machine, too
RINGS = ",in_order=on,packed=on"

#: program, device, what is seen in 10.0.2 and in 11.1.3; those that depend on the moment are not here
SEEN = [
    ("full-ring-split", "virtio-blk-pci", "INO-LIVE", "CONFORMS"),
    ("full-ring-packed", "virtio-rng-pci", "CONFORMS", "INO-LIVE"),
    ("full-ring-packed-younger", "virtio-blk-pci", "INO-LIVE", "INO-LIVE"),
    ("in-order-packed-odd-size", "virtio-blk-pci", "INO-LIVE", "CONFORMS"),
    ("in-order-survives-reset", "virtio-blk-pci", "INO-RESTART", "INO-RESTART"),
    ("mmio-larger-queue", "virtio-rng-device", "CRASHED", None),
    ("retry-header-with-data", "virtio-blk-pci", "VQ-DATA", "VQ-DATA"),
    ("net-link-down-list", "virtio-net-pci", "P-ID-LAST", "P-ID-LAST"),
    ("blk-direct-then-table", "virtio-blk-pci", "BROKEN", "BROKEN"),
    ("scsi-framing", "virtio-scsi-pci", "VQ-DATA", "VQ-DATA"),
    ("sound-reset-in-flight", "virtio-sound-pci", "VQ-NOT-LIVE", "VQ-NOT-LIVE"),
    ("pmem-spurious", "virtio-pmem-pci", "BROKEN", "CONFORMS"),
    ("mouse-lights", "virtio-mouse-pci", "CONFORMS", "CRASHED"),
    ("console-short-control", "virtio-serial-pci", "S-USED-LEN-MAX", "S-USED-LEN-MAX"),
]


def seen(name: str, device: str, qemu: str, version: str, expected: str) -> str:
    """What comes of a program in corpus/found/qemu on a QEMU of this version: *expected*, within a few tries."""
    target = make(f"qemu:{device}{RINGS}", qemu)
    try:
        target.probe()
        found = target.describe()["version"]
        if f"version {version}" not in found:
            pytest.skip(f"found in {version}; here: {found}")
        program = encoding.load((FOUND / f"{name}.vq").read_text(), name)
        runner = Runner(target)
        rules = [decide(runner, program)[0].rule]
        while rules[-1] != expected and len(rules) < TRIES:
            rules.append(decide(runner, program)[0].rule)
        assert set(rules) <= {"CONFORMS", expected}
        return rules[-1]
    finally:
        target.close()


@pytest.mark.target("qemu-system-x86_64")
@pytest.mark.parametrize(("name", "device", "expected"), [(name, device, old) for name, device, old, _ in SEEN])
def test_what_10_0_2_does(name: str, device: str, expected: str) -> None:
    assert seen(name, device, "", "10.0.2", expected) == expected


@pytest.mark.target("sid:qemu-system-x86")
@pytest.mark.parametrize(("name", "device", "expected"), [(name, device, new) for name, device, _, new in SEEN if new])
def test_what_11_1_3_does(name: str, device: str, expected: str) -> None:
    assert seen(name, device, SID, "11.1.3", expected) == expected


def test_every_program_is_told_of() -> None:
    text = (ROOT / "docs" / "found.md").read_text(encoding="utf-8")
    for path in FOUND.glob("*.vq"):
        assert f"`{path.stem}`" in text, path.stem
        encoding.load(path.read_text(), path.name)
