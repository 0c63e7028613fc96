"""``vqfuzz cov-runtime``: what a user pastes into a build, so that a target counts its own code."""

from __future__ import annotations

import sys

from fuzz.coverage import build
from fuzz.trouble import UsageTrouble

FORMS = ("cflags", "ldflags", "rustflags", "path", "plugin")


def command(form: str | None, compiler: str) -> int:
    """Print one form; returns the exit code. Raises UsageTrouble, EnvironmentTrouble or TargetError."""
    if form is None:
        ways = ", ".join(f"--{one}" for one in FORMS)
        raise UsageTrouble(f"say what to print: {ways}; as in cc $(vqfuzz cov-runtime --cflags) … "
                           "$(vqfuzz cov-runtime --ldflags)")  # fmt: skip
    text = {
        "cflags": lambda: build.cflags(compiler),
        "ldflags": lambda: build.ldflags(compiler),
        "rustflags": lambda: build.rustflags(compiler),
        "path": lambda: str(build.SOURCE),
        "plugin": lambda: str(build.plugin_file(compiler)),
    }[form]()
    sys.stdout.write(text + "\n")
    return 0
