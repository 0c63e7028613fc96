"""What tests of QEMU devices share: which QEMUs there are, and targets in them."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from fuzz import encoding, looking
from fuzz.driver_side import run
from fuzz.targets.qemu.target import make
from fuzz.verdict import CONFORMS
from oracles.trace import Reclaimed

TRIES = {"net": 6, "console": 6}  # of classes where something comes in that nobody owes
ROOT = Path(__file__).resolve().parent.parent
SID = f"{shlex.quote(str(ROOT / 'scripts' / 'sid-run'))} /usr/bin/qemu-system-x86_64"
HERE = pytest.mark.target("qemu-system-x86_64")

#: Each as the command that --qemu takes: the machine's own, and that of Debian sid.
QEMUS = [
    pytest.param("", marks=HERE, id="qemu"),
    pytest.param(SID, marks=pytest.mark.target("sid:qemu-system-x86"), id="sid"),
]
qemus = pytest.mark.parametrize("qemu", QEMUS)
layouts = pytest.mark.parametrize(
    ("layout", "features"),
    [(layout, features) for layout in ("split", "packed") for features in ("", " in_order")],
    ids=lambda value: value.strip() or "no_order",
)
#: A disk that has nothing on it and is quick; its device's properties then say drive=n0.
DISK = " -blockdev driver=null-co,node-name=n0,read-zeroes=on,size=16777216"


def alive(pid):
    """Whether a process runs: one that ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def children():
    """Process numbers of our children that run."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in listed if alive(int(pid))}


def _may_come(queue):
    """On a busy machine frames that were sent come back late: in these tests, whatever may come is waited for."""
    return bool(queue.oracle.available) and (queue.session.holding(queue.number) or bool(queue.lazy))


def used(device, qemu, text, layout="split", features="", queues=1, kind="any"):
    """Outcome of a program, and how many buffers came back on each queue.

    What nobody owes (a frame that comes in) may be late for the program: then it is run again, a few times.
    """
    head = f"virtqueue-program 1\ndevice {kind}\n" + f"queue {layout} 8\n" * queues + f"features version_1{features}\n"
    wanted = sum(map(int, re.findall(r"receive (\d+)", text)))
    target = make(f"qemu:{device},in_order=on,packed=on", qemu)
    try:
        for _ in range(TRIES.get(kind, 1)):
            session = target.open()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(looking, "GLANCE", 0.5)
                patch.setattr(looking.Looking, "_may_come", _may_come)
                outcome = run(encoding.load(head + text), session, hints=dict(target.limits.hints), patient=True)
            session.close()
            counts: Counter[int] = Counter()
            for queue, seen in outcome.trace:
                counts[queue] += seen.buffers if isinstance(seen, Reclaimed) else 0
            if outcome.verdict != CONFORMS or counts.total() >= wanted:
                break
    finally:
        target.close()
    return outcome, +counts
