"""The reports that were asked for: checked before a run, written after it.

Knows the forms that are files, by the names of their options. Must not know what stands in any.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from fuzz.report import files
from fuzz.results import Run
from fuzz.trouble import UsageTrouble

#: Options, and the modules whose ``render(run)`` makes the text; imported when one is wanted.
FORMATS = {
    "junit": "fuzz.report.junit",
    "sarif": "fuzz.report.sarif",
    "jsonl": "fuzz.report.jsonl",
    "html": "fuzz.report.run_page",
}


def check(paths: Mapping[str, Path]) -> None:
    """See that every file can be written: *paths* by option. Raises EnvironmentTrouble, UsageTrouble: one line."""
    taken: dict[str, str] = {}
    for option, path in paths.items():
        place = os.path.realpath(path)
        if place in taken and not place.startswith("/dev/"):
            raise UsageTrouble(f"--{option} and --{taken[place]} name the same file, {path}; name another for one")
        taken[place] = option
        files.writable(path)


def write(run: Run, paths: Mapping[str, Path]) -> None:
    """Write every report. Raises EnvironmentTrouble."""
    for option, path in paths.items():
        files.write(path, import_module(FORMATS[option]).render(run))
