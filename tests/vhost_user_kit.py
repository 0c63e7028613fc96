"""What tests of vhost-user sessions share: targets in front of the fake back-end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fuzz.program import Limits
from fuzz.targets import QueueConfig
from fuzz.targets.process import Process
from fuzz.targets.vhost_user.target import VhostUser
from oracles import spec
from tests import fake_backend

SCRIPT = Path(fake_backend.__file__)
QUEUE = QueueConfig(8, 64, 192, 256, 65530, 65530)
WANTED = spec.VERSION_1 | spec.IN_ORDER


def target_at(path, seconds=0.3):
    """Somebody else's back-end."""
    target = VhostUser("fake", Limits(device="blk"), path=path)
    target.seconds = seconds
    return target


def target_of(behaviour, seconds=0.3):
    """A process of ours."""
    process = Process([sys.executable, "-S", str(SCRIPT), "{socket}", behaviour])
    target = VhostUser("fake", Limits(device="blk"), process)
    target.seconds = seconds
    return target


def one_line(error):
    """The text of what was raised, which is a single line."""
    text = str(error.value)
    assert text
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def descriptors():
    """How many we have open."""
    return len(os.listdir("/proc/self/fd"))
