"""QEMU's disks: requests are completed in any order, or in theirs; and each lever does what it says."""

from __future__ import annotations

import pytest

from fuzz.targets import TargetError
from fuzz.targets.qemu.target import make
from fuzz.verdict import CONFORMS
from oracles.trace import Resetting, SawDescriptor, SawUsed, Supplied
from tests.qemu_kit import DISK, HERE, layouts, qemus, used

ONE = "supply read sector=0 length=512"
APART = "cut=16,512,1"  # as drivers cut; whatever is tried again must be


def blk(qemu, text, layout="split", features=""):
    return used("virtio-blk-pci", qemu, text, layout, features, 2, "blk")


def order(outcome):
    """Buffers of queue 0 in the order in which they were used, since the last reset."""
    numbers: dict[int, int] = {}
    found: list[int] = []
    for queue, seen in outcome.trace:
        if isinstance(seen, Resetting):
            found = []
        elif queue:
            continue
        elif isinstance(seen, Supplied):
            numbers[seen.id] = seen.buffer
        elif isinstance(seen, SawUsed):
            found += [
                numbers[int.from_bytes(seen.elements[at : at + 4], "little")] for at in range(0, len(seen.elements), 8)
            ]
        elif isinstance(seen, SawDescriptor):
            found.append(numbers[int.from_bytes(seen.data[12:14], "little")])
    return found


@qemus
@layouts
def test_instant_and_slow_requests_in_one_kick(qemu, layout, features):
    text = f"{ONE} cut=rest\nsupply get_id cut=rest\n" * 2 + "notify\nreceive 4"
    text = text.replace("cut=rest", "indirect") if features else text  # a full ring is another matter
    outcome, counts = blk(qemu, text, layout, features + " indirect_desc")
    assert (outcome.verdict, counts) == (CONFORMS, {0: 4})
    assert order(outcome) == [0, 1, 2, 3] if features else order(outcome)[:2] == [1, 3]


@qemus
@pytest.mark.parametrize("features", ["", " in_order"])
def test_suspended(qemu, features):
    text = f"lever suspend=read\n{ONE}\nsupply write sector=8 length=512\nsupply get_id\nnotify\nreceive 2\n"
    outcome, _ = blk(qemu, text + "lever suspend=none\nreceive 3", "split", features)
    assert outcome.verdict == CONFORMS
    found = order(outcome)
    assert (found == [0, 1, 2]) if features else (found[-1] == 0 and sorted(found) == [0, 1, 2])


@qemus
def test_reset_lets_suspended_requests_go(qemu):
    outcome, counts = blk(qemu, f"lever suspend=read\n{ONE}\nnotify\nreceive 1\nreset\n{ONE}\nnotify\nreceive 1")
    assert (outcome.verdict, counts, order(outcome)) == (CONFORMS, {0: 1}, [1])


@qemus
@pytest.mark.parametrize("lever", ["pause=on", "latency=10", "latency=1", "suspend=write"])
def test_levers_left_moved(qemu, lever):
    """Resets go through them, and what is there at the end comes."""
    write = "supply write sector=8 length=4096"
    text = f"lever {lever}\n{ONE}\n{write}\nnotify\nreset\n{ONE}\n{write}\nsupply get_id\nnotify\nreceive 3"
    outcome, _ = blk(qemu, text)
    assert outcome.verdict == CONFORMS
    assert sorted(order(outcome)) == [2, 3, 4]


@qemus
def test_failing_requests_are_tried_again(qemu):
    """Reads alone, then writes alone, then both, with a reset meanwhile; and data is right afterwards."""
    both = f"supply read sector=0 length=512 {APART}\nsupply write sector=8 length=512 {APART}\nnotify\n"
    back = f"supply read sector=8 length=512 {APART}\nnotify\nreceive 1\n"
    text = "".join(
        f"lever fail={what}\n{both}receive 1\nlever fail=none\nreceive 1\n{back}" for what in ("read", "write")
    )
    outcome, counts = blk(
        qemu, f"{text}lever fail=on\n{both}receive 1\nreset\n{both}lever fail=none\nreceive 2\n{back}"
    )
    assert (outcome.verdict, counts) == (CONFORMS, {0: 9})
    held = [seen.buffer for queue, seen in outcome.trace if isinstance(seen, Supplied)]
    assert held == list(range(11))


@qemus
def test_what_fails_is_held_back(qemu):
    text = (
        f"lever fail=read\nsupply read sector=0 length=512 {APART}\nsupply write sector=8 length=512 {APART}\nnotify\n"
    )
    outcome, _ = blk(qemu, text + "receive 2\nlever fail=none\nreceive 1")
    assert (outcome.verdict, order(outcome)) == (CONFORMS, [1, 0])


@qemus
def test_levers_go_one_after_the_other(qemu):
    """Those that would make QEMU wait for ever move each other back."""
    moves = (
        "suspend=read",
        "pause=on",
        "suspend=write",
        "latency=10",
        "fail=on",
        "suspend=read",
        "latency=1",
        "fail=read",
    )
    text = "".join(f"lever {move}\nsupply get_id indirect\nnotify\n" for move in moves)
    outcome, counts = blk(qemu, f"{text}receive 8", "split", " indirect_desc")
    assert (outcome.verdict, sum(counts.values())) == (CONFORMS, 8)


@HERE
@pytest.mark.parametrize(
    ("given", "levers", "queues"),
    [
        ("", ["suspend", "latency", "pause", "fail"], 2),
        (",num-queues=1", ["suspend", "latency", "pause", "fail"], 1),
        (",werror=report", ["suspend", "latency", "pause"], 2),
        (",drive=n0", [], 2),
    ],
)
def test_what_the_user_gives(given, levers, queues):
    target = make(f"qemu:virtio-blk-pci{given}", f"qemu-system-x86_64{DISK}")
    try:
        assert [name for name, _ in target.limits.levers] == levers
        assert dict(target.limits.hints)["capacity"] == 32768 - (8 if levers else 0)
        assert target.limits.queues == queues
    finally:
        target.close()


@HERE
def test_a_drive_that_is_not_there():
    with pytest.raises(TargetError, match="n0"):
        make("qemu:virtio-blk-pci,drive=n0")
