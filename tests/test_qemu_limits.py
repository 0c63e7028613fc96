"""A program that a device has no room for is refused in one line, and accuses nobody."""

from __future__ import annotations

import pytest

RINGS = "virtqueue-program 1\ndevice rng\n{queues}\nfeatures version_1\nsupply entropy length=8\nnotify\nreceive 1\n"


@pytest.mark.target("qemu-system-x86_64")
@pytest.mark.parametrize(
    ("queues", "said"),
    [
        ("queue split 16", "queue 0 has at most 8 entries, not 16"),
        ("queue split 8\nqueue split 8", "has 1 virtqueues, so there is no queue 1"),
    ],
)
def test_what_a_device_has_no_room_for(cli, tmp_path, queues: str, said: str) -> None:
    path = tmp_path / "program.vq"
    path.write_text(RINGS.format(queues=queues))
    done = cli("replay", str(path), "--target", "qemu:virtio-rng-pci")
    assert done.returncode == 3
    assert said in done.stdout
    assert len(done.stdout.splitlines()) == 1
