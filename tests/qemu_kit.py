"""What tests of QEMU devices share: which QEMUs there are, and targets in them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SID = f"{shlex.quote(str(ROOT / 'scripts' / 'sid-run'))} /usr/bin/qemu-system-x86_64"
HERE = pytest.mark.target("qemu-system-x86_64")

#: Each as the command that --qemu takes: the machine's own, and that of Debian sid.
QEMUS = [
    pytest.param("", marks=HERE, id="qemu"),
    pytest.param(SID, marks=pytest.mark.target("sid:qemu-system-x86"), id="sid"),
]
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
