"""QEMU's console, input, file system, clock and entropy devices complete real requests on every queue."""

from __future__ import annotations

import pytest

from fuzz.verdict import CONFORMS
from oracles.trace import SawUsed
from tests.qemu_kit import QEMUS, layouts, qemus, used

OPEN = "supply port_open port=0 queue=3\nsupply port_open port=1 queue=3\nnotify queue=3\nreceive 2 queue=3\n"
CONSOLE = {
    "both ways": (
        f"{OPEN}supply room length=512 queue=4\nnotify queue=4\nsupply room length=100\nnotify\n"
        "supply write length=300 cut=50 queue=5\nsupply write length=212 queue=5\nnotify queue=5\nreceive 2 queue=5\n"
        "supply write length=100 queue=1\nnotify queue=1\nreceive 1 queue=1\nreceive 1 queue=4\nreceive 1",
        {0: 1, 1: 1, 3: 2, 4: 1, 5: 2},
    ),
    "words": (
        f"{OPEN}supply room length=16\nnotify\nsupply room length=9 queue=4\nsupply room length=7 queue=4\n"
        "notify queue=4\nlever console=16\nlever port=16\nreceive 1\nreceive 2 queue=4",
        {0: 1, 3: 2, 4: 2},
    ),
    "control": (
        "supply control length=64 queue=2\n" * 7 + "notify queue=2\n"
        "supply device_ready queue=3\nsupply port_ready port=0 queue=3\nsupply port_ready port=1 queue=3\n"
        "notify queue=3\nreceive 3 queue=3\nreceive 6 queue=2\nlever plug=in\nreceive 1 queue=2",
        {2: 7, 3: 3},
    ),
    "held back": (
        f"{OPEN}lever hold=on\n" + "supply write length=4096 queue=5\nnotify queue=5\n" * 4 + "lever hold=off\n"
        "receive 4 queue=5",
        {3: 2, 5: 4},
    ),
}


@qemus
@layouts
@pytest.mark.parametrize("words", CONSOLE)
def test_console(qemu, layout, features, words):
    text, expected = CONSOLE[words]
    outcome, counts = used("virtio-serial-pci", qemu, text, layout, features, 6, "console")
    assert (outcome.verdict, counts) == (CONFORMS, expected)


@qemus
@layouts
@pytest.mark.parametrize(
    ("kind", "lever", "events"),
    [("keyboard", "type=2", 5), ("mouse", "move=20", 3), ("tablet", "point=3000", 3), ("multitouch", "touch=begin", 6)],
)
def test_events(qemu, layout, features, kind, lever, events):
    text = "supply event\n" * 8 + f"notify\nlever {lever}\nreceive {events}\n"
    outcome, counts = used(f"virtio-{kind}-pci", qemu, text, layout, features, 2, "input")
    assert (outcome.verdict, counts) == (CONFORMS, {0: events})


@qemus
def test_lights(qemu):
    text = "supply status code=1 queue=1\nsupply status code=1 value=0 queue=1\nnotify queue=1\nreceive 2 queue=1"
    outcome, counts = used("virtio-keyboard-pci", qemu, text, "packed", "", 2, "input")
    assert (outcome.verdict, counts) == (CONFORMS, {1: 2})


@qemus
@layouts
def test_files(qemu, layout, features):
    life = "supply next\nnotify\nreceive 1\n" * 16
    outcome, counts = used("virtio-9p-pci", qemu, life, layout, features, 1, "9p")
    assert (outcome.verdict, counts) == (CONFORMS, {0: 16})


@qemus
def test_files_are_what_they_say(qemu):
    """No error among the answers: lengths are those of what was asked for, and the file ends after 70000 bytes."""
    requests = (
        "version",
        "attach",
        "walk newfid=19",
        "open fid=19",
        "read fid=19 offset=69000 length=4096 cut=23,7,rest",
    )
    text = "\n".join(f"supply {request}\nnotify\nreceive 1" for request in requests)
    outcome, counts = used("virtio-9p-pci", qemu, text, kind="9p")
    assert (outcome.verdict, counts) == (CONFORMS, {0: 5})
    elements = [seen.elements for _, seen in outcome.trace if isinstance(seen, SawUsed)]
    assert [int.from_bytes(element[4:8], "little") for element in elements] == [21, 20, 22, 24, 11 + 1000]


@qemus
@layouts
def test_entropy(qemu, layout, features):
    text = "supply entropy length=100 cut=33\nsupply entropy length=4096\nnotify\nreceive 2"
    outcome, counts = used("virtio-rng-pci", qemu, text, layout, features, 1, "rng")
    assert (outcome.verdict, counts) == (CONFORMS, {0: 2})


@pytest.mark.parametrize("qemu", QEMUS[1:])
@layouts
def test_clock(qemu, layout, features):
    kinds = ("read", "config", "clock_cap", "cross_cap", "unknown")
    text = "\n".join(f"supply {kind}\nnotify\nreceive 1" for kind in kinds)
    outcome, counts = used("virtio-rtc-pci", qemu, text, layout, features, 1, "rtc")
    assert (outcome.verdict, counts) == (CONFORMS, {0: 5})
