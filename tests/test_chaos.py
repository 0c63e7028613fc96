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
    command = [sys.executable, str(ROOT / "scripts/chaos.py"), "--seconds", "12", "--seed", "3"]
    done = subprocess.run([*command, "--target", "model:a05"], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"killed .*[1-9]\d* worker", done.stdout), done.stdout
    assert re.search(r"[1-9]\d* replay", done.stdout), done.stdout
