"""Workers and targets are killed at random for a few seconds: nothing that was found is lost, nothing is left.

``scripts/chaos.py`` does so for as long as one likes, on real targets too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_kills_lose_no_find_and_leave_nothing():
    command = [sys.executable, str(ROOT / "scripts/chaos.py"), "--seconds", "9", "--seed", "6"]
    targets = ["--target", "model:a05", "--target", "model-vhost-user:a05"]
    done = subprocess.run([*command, *targets], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"killed .*\d+ worker", done.stdout)) == 2, done.stdout
    for replayed in re.findall(r"(\d+) replay", done.stdout):
        assert int(replayed) > 0
    assert len(re.findall(r"\d+ replay", done.stdout)) == 2, done.stdout
