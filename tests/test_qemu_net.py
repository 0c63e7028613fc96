"""QEMU's network card: frames go out and come back, the peer's come in, commands are obeyed, the link is cut."""

from __future__ import annotations

import pytest

from fuzz.targets.qemu.target import make
from fuzz.verdict import CONFORMS
from oracles.trace import Reclaimed
from tests.qemu_kit import HERE, layouts, qemus, used

SPREAD = "supply room length=128\n" * 4
SENT = "supply frame length=60 queue=1\nsupply frame length=300 cut=12,100,rest queue=1\nnotify queue=1\n"


def net(qemu, text, layout="split", features="", device="virtio-net-pci", queues=3):
    return used(device, qemu, text, layout, features, queues, "net")


@qemus
@layouts
def test_every_queue(qemu, layout, features):
    """300 bytes and a header are more than two rooms have."""
    commands = "supply promisc on=1 queue=2\nsupply mac_table unicast=2 multicast=3 cut=2,rest queue=2\n"
    text = f"{SPREAD}notify\n{SENT}{commands}notify queue=2\nreceive 2 queue=1\nreceive 2 queue=2\nreceive 4"
    outcome, counts = net(qemu, text, layout, features)
    assert (outcome.verdict, counts) == (CONFORMS, {0: 4, 1: 2, 2: 2})


@qemus
@layouts
def test_packets(qemu, layout, features):
    rooms = "supply room length=1526\n" * 7
    outcome, counts = net(
        qemu, f"{rooms}notify\nlever packet=burst\nreceive 6\nlever packet=54\nreceive 1", layout, features
    )
    assert (outcome.verdict, counts) == (CONFORMS, {0: 7})


@qemus
def test_without_mrg_rxbuf_and_commands(qemu):
    rooms = "supply room length=20\nsupply room\nsupply room\nnotify\n"
    text = f"{rooms}{SENT}lever packet=1514\nreceive 3\nreceive 2 queue=1"
    outcome, counts = net(qemu, text, device="virtio-net-pci,mrg_rxbuf=off,ctrl_vq=off", queues=2)
    assert (outcome.verdict, counts) == (CONFORMS, {0: 3, 1: 2})


@qemus
def test_nothing_is_received_while_the_link_is_down(qemu):
    text = "supply room\nsupply room\nnotify\nlever link=down\nlever packet=60\nreceive 1\n"
    outcome, counts = net(qemu, f"{text}lever link=up\nlever packet=512\nreceive 2")
    assert (outcome.verdict, counts) == (CONFORMS, {0: 1})


@qemus
def test_frames_of_before_stay_there(qemu):
    """What no buffer was there for does not come in the next program."""
    from fuzz import encoding
    from fuzz.driver_side import run

    head = "virtqueue-program 1\ndevice net\n" + "queue split 8\n" * 3 + "features version_1\n"
    flood = encoding.load(
        f"{head}lever packet=burst\nlever packet=burst\nlever packet=burst\n{SENT}receive 2 queue=1\n"
    )
    after = encoding.load(f"{head}supply room\nsupply room\nnotify\nlever packet=60\nreceive 1\n")
    target = make("qemu:virtio-net-pci", qemu)
    try:
        for _ in range(3):
            for program, expected in ((flood, 0), (after, 1)):
                session = target.open()
                outcome = run(program, session, hints=dict(target.limits.hints))
                session.close()
                got = sum(seen.buffers for queue, seen in outcome.trace if isinstance(seen, Reclaimed) and not queue)
                assert (outcome.verdict, got) == (CONFORMS, expected)
        assert target.starts == 1
    finally:
        target.close()


@HERE
@pytest.mark.parametrize(
    ("given", "levers", "queues", "merges"),
    [("", ["link"], 3, 1), (",status=off", [], 3, 1), (",mrg_rxbuf=off,ctrl_vq=off", ["link"], 2, 0)],
)
def test_what_the_user_gives(given, levers, queues, merges):
    target = make(f"qemu:virtio-net-pci{given}")
    try:
        assert [name for name, _ in target.limits.levers] == levers
        assert target.limits.queues == queues
        assert dict(target.limits.hints)["mrg_rxbuf"] == merges
    finally:
        target.close()
