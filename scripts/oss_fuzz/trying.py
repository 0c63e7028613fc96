"""Runs the targets of a build as OSS-Fuzz and ClusterFuzz run them, and says in words what is wrong.

Knows libFuzzer's command line and what it prints. Must not know how targets are built.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.oss_fuzz.contract import UNMEASURED
from scripts.oss_fuzz.environment import surroundings
from scripts.oss_fuzz.running import Ran, confinement, run

RUNS = 4  # of OSS-Fuzz's bad_build_check
FEW = 100  # counters, below which it warns
_ARGUMENTS = ("-rss_limit_mb=2560", "-timeout=25")
_COUNTERS = re.compile(r"INFO: Loaded \d+ modules?.*\((?:.*)(?:counters|guards)\):\s*(\d+)")
_UNINSTRUMENTED = "ERROR: no interesting inputs were found"
_MEASURED = (
    "import coverage, json, sys; data = coverage.CoverageData(sys.argv[1]); data.read(); "
    "print(json.dumps({name: len(data.lines(name)) for name in data.measured_files()}))"
)


class Tried(NamedTuple):
    """What came of one try: *wrong* is '' if all is well, and *text* says what was seen."""

    wrong: str
    text: str
    ran: Ran


def start(out: Path, name: str, *arguments: str, folder: str | Path = "/") -> Ran:
    """Run a target with nothing but what ClusterFuzz gives it: no HOME, no $OUT, nothing to write to but /tmp."""
    environment = {
        "PATH": os.defpath,
        "ASAN_OPTIONS": "alloc_dealloc_mismatch=0:allocator_may_return_null=1:handle_abort=1:symbolize=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:silence_unsigned_overflow=1",
    }
    # a folder of its own: libFuzzer names what it keeps there after its process, and that number comes again
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="own-") as own:
        command = (*confinement(), str(out / name), *arguments)
        return run(command, environment | {"TMPDIR": own}, folder, patience=600)


def empty_start(out: Path, name: str) -> Tried:
    """A start without seeds: libFuzzer must find something to count, and come to the end."""
    ran = start(out, name, *_ARGUMENTS, "-seed=1337", f"-runs={RUNS}")
    if _UNINSTRUMENTED in ran.output:
        return Tried("libFuzzer finds nothing instrumented", "", ran)
    if f"Done {RUNS} runs" not in ran.output:
        return Tried(f"does not start: {_last_words(ran)}", "", ran)
    counters = _COUNTERS.search(ran.output)
    few = f" (few: {counters[1]} counters)" if counters and int(counters[1]) < FEW else ""
    return Tried("", f"{RUNS} runs{few}", ran)


def seeded(out: Path, name: str, longest: str) -> Tried:
    """All seeds once, with its dictionary and options: none may crash it."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="seeds-") as folder:
        count = unpack(out, name, folder)
        dictionary = f"-dict={out / name}.dict"
        ran = start(out, name, *_ARGUMENTS, "-runs=0", f"-max_len={longest}", dictionary, folder)
    if ran.status or "ParseDictionaryFile: error" in ran.output:
        return Tried(f"a seed or the dictionary ends it: {_last_words(ran)}", "", ran)
    return Tried("", f"{count} seeds", ran)


def merged(out: Path, name: str, longest: str) -> Tried:
    """How ClusterFuzz prunes a corpus: -merge=1 starts the target again, and may come to nothing in silence."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="merge-") as folder:
        count = unpack(out, name, Path(folder) / "seeds")
        less = Path(folder) / "less"
        less.mkdir()
        ran = start(out, name, *_ARGUMENTS, "-merge=1", f"-max_len={longest}", str(less), f"{folder}/seeds")
        left = len(list(less.iterdir()))
    if ran.status or not left:
        return Tried(f"-merge=1 makes {left} inputs of {count}: {_last_words(ran)}", "", ran)
    return Tried("", f"merged to {left}", ran)


def measured(python: Path, out: Path, name: str) -> Tried:
    """The coverage build on its seeds: what it measures must be ours, where reports can show it."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="coverage-") as folder:
        count = unpack(out, name, Path(folder) / "seeds")
        ran = start(out, name, f"{folder}/seeds", f"-atheris_runs={count + 3}", folder=folder)
        data = Path(folder) / ".coverage"
        if ran.status or not data.is_file():
            return Tried(f"measures nothing: {_last_words(ran)}", "", ran)
        asked = run((str(python), "-c", _MEASURED, str(data)), surroundings(), folder, patience=120)
    lines: dict[str, int] = json.loads(asked.output) if asked.status == 0 else {}
    ours = {path: hit for path, hit in lines.items() if re.search(r"(^|/)(oracles|fuzz)/", path) and hit}
    hidden = [path for path in ours if any(word in path for word in UNMEASURED)]
    if not ours:
        return Tried(f"measures none of our files, but {len(lines)} others", "", ran)
    if hidden:
        return Tried(f"{hidden[0]} would be left out of the report, for the words in its path", "", ran)
    return Tried("", f"{sum(ours.values())} lines in {len(ours)} files", ran)


def unpack(out: Path, name: str, folder: str | Path) -> int:
    """Unpack the seeds of a target; how many there are."""
    with zipfile.ZipFile(out / f"{name}_seed_corpus.zip") as archive:
        archive.extractall(folder)
        return len(archive.namelist())


def frozen(python: Path, out: Path, name: str) -> list[str]:
    """The names of all that is in a package."""
    script = Path(__file__).with_name("freeze.py")
    ran = run((str(python), str(script), str(out / f"{name}.pkg")), surroundings(), patience=120)
    found: list[str] = json.loads(ran.output) if ran.status == 0 else []
    return found


def _last_words(ran: Ran) -> str:
    """The line that says most: an exception, or libFuzzer's own, or the last one."""
    lines = [line.strip() for line in ran.output.splitlines() if line.strip()]
    telling: Sequence[str] = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception|Broken)\b", line)]
    telling = telling or [line for line in lines if "ERROR" in line] or lines
    return f"{telling[-1] if telling else 'no output'} (exit status {ran.status})"
