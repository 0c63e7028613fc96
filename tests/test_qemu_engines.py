"""QEMU's crypto, sound, IOMMU and GPU devices do real work on every queue; levers and pulses do what they say."""

from __future__ import annotations

import pytest

from fuzz.devices import gpu, iommu, sound
from fuzz.verdict import CONFORMS
from oracles.trace import SawUsed
from tests.qemu_kit import layouts, qemus, used


@pytest.fixture
def answers(monkeypatch):
    """The answers that a class looks at, as they come."""
    found = []

    def spy(module, name):
        check = getattr(module, name)

        def look(*arguments):
            found.append(arguments[-1])
            return check(*arguments)

        monkeypatch.setattr(module, name, look)
        return found

    return spy


@qemus
@layouts
def test_crypto(qemu, layout, features):
    session = "supply cipher_session key=24 queue=1\nsupply cipher_session key=32 decrypt=1 queue=1\n"
    work = "supply data session=0 length=4096\nsupply data session=1 length=16 cut=7,rest\nnotify\nreceive 2\n"
    close = "supply close queue=1\nsupply close queue=1\nnotify queue=1\nreceive 2 queue=1\n"
    text = f"{session}notify queue=1\nreceive 2 queue=1\n{work * 4}{close}{session}notify queue=1\nreceive 2 queue=1"
    outcome, counts = used("virtio-crypto-pci", qemu, text, layout, features, 2, "crypto")
    assert (outcome.verdict, counts) == (CONFORMS, {0: 8, 1: 6})


@qemus
def test_crypto_can_be_slow(qemu):
    """Requests made available together then come back one at a time, but for the first few."""
    text = "supply cipher_session queue=1\nnotify queue=1\nreceive 1 queue=1\nlever rate=20\n"
    text += "supply data length=16 indirect\n" * 8 + "notify\nreceive 8"
    outcome, counts = used("virtio-crypto-pci", qemu, text, "split", " indirect_desc", 2, "crypto")
    assert (outcome.verdict, counts) == (CONFORMS, {0: 8, 1: 1})
    assert sum(queue == 0 and isinstance(seen, SawUsed) for queue, seen in outcome.trace) >= 4


@qemus
@layouts
def test_sound(qemu, layout, features, answers):
    found = answers(sound, "_answered")
    live = "supply next stream=0\nsupply next stream=1\nnotify\nreceive 2\n" * 3
    frames = "supply play length=64 queue=2\nsupply record length=2048 queue=3\n" * 2
    text = f"{frames}notify queue=2\nnotify queue=3\nsupply pcm_info count=2\nnotify\nreceive 1\n{live}"
    text += "lever pass=20\n" * 5 + "receive 2 queue=2\nreceive 2 queue=3"
    outcome, counts = used("virtio-sound-pci", qemu, text, layout, features, 4, "sound")
    assert (outcome.verdict, counts) == (CONFORMS, {0: 7, 2: 2, 3: 2})
    assert {data[:4] for data in found} == {bytes.fromhex("00800000")}


@qemus
@layouts
def test_iommu(qemu, layout, features, answers):
    found = answers(iommu, "_answered")
    text = (
        "supply event queue=1\nsupply event length=32 cut=5,rest queue=1\nnotify queue=1\n"
        "supply probe endpoint=128\nnotify\nreceive 1\nsupply attach endpoint=128\nsupply attach endpoint=136\n"
        "supply map virt=0 size=4096 phys=16777216\nnotify\nreceive 3\nlever access=0x0\nreceive 1 queue=1\n"
        "lever access=0x10000\nreceive 1 queue=1\nsupply unmap virt=0 size=4096\nnotify\nreceive 1\n"
        "lever access=0x0\nreceive 1 queue=1\nsupply detach endpoint=128\nnotify\nreceive 1\nlever access=0x0\n"
    )
    outcome, counts = used("virtio-iommu-pci", qemu, text, layout, features, 2, "iommu")
    assert (outcome.verdict, counts) == (CONFORMS, {0: 6, 1: 2})
    assert [data[-4] for data in found] == [0] * 6


@qemus
@layouts
@pytest.mark.parametrize("device", ["virtio-gpu-pci", "virtio-vga"])
def test_gpu(qemu, layout, features, device, answers):
    found = answers(gpu, "_check")
    cursor = "supply update_cursor x=1 queue=1\nsupply move_cursor room=1 queue=1\nnotify queue=1\nreceive 2 queue=1\n"
    text = ("supply next fence=1\nsupply next cut=24,rest\nsupply next\nnotify\nreceive 3\n" + cursor) * 3
    text += "supply display_info\nsupply edid scanout=1 cut=400,rest\nnotify\nreceive 2"
    outcome, counts = used(device, qemu, text, layout, features, 2, "gpu")
    assert (outcome.verdict, counts) == (CONFORMS, {0: 11, 1: 6})
    assert [int.from_bytes(data[:4], "little") for data in found] == [0x1100] * 9 + [0x1101, 0x1104]
