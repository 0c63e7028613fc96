"""Runs build.sh as OSS-Fuzz's builder does: a copy of the sources, and folders for what comes out.

Knows $SRC, $OUT and $WORK. Must not know what the targets have to be like.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.oss_fuzz.running import Ran, leash, run

#: Whose build.sh is run for which sanitizer: ClusterFuzzLite's is OSS-Fuzz's by another door, and both are tried.
SCRIPTS = {"address": "oss-fuzz", "undefined": ".clusterfuzzlite", "coverage": "oss-fuzz"}
PRELOADED = "sanitizer_with_fuzzer.so"
_LIBRARIES = {"address": "asan_with_fuzzer.so", "undefined": "ubsan_with_fuzzer.so"}
_OURS = Path(__file__).resolve().parent
_FREEZING = re.compile(r"^\++ compile_python_fuzzer \S*?([^/\s]+)\.py", re.MULTILINE)
_COPIED = ("oracles", "fuzz", "corpus", "scripts", "oss-fuzz", ".clusterfuzzlite", "tests/golden")


class Build(NamedTuple):
    """A build for *sanitizer*: what came of it, the folder that came out, and the harness it stopped at, or ''."""

    sanitizer: str
    ran: Ran
    out: Path
    stopped_at: str


def copy(tree: Path, to: Path) -> None:
    """The sources of the repository *tree*, without what git ignores, as a builder has them."""
    command = ["git", "-C", str(tree), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        names = [name for name in listed.split("\0") if name and (tree / name).is_file()]
    except (OSError, subprocess.CalledProcessError):  # a copy without git
        paths = [path for folder in _COPIED for path in (tree / folder).rglob("*")]
        names = [str(path.relative_to(tree)) for path in paths if path.is_file() and "__pycache__" not in path.parts]
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tree / name, to / name)


def build(
    tree: Path, base: Path, python: Path, sanitizer: str, targets: Sequence[str], change: Callable[[Path], None]
) -> Build:
    """Run the build.sh for *sanitizer* on a copy of *tree*, below *base*, of which *change* may change something.

    *python*: that of the builder's environment.
    """
    folders = {name: base / sanitizer / name.lower() for name in ("SRC", "OUT", "WORK", "HOME")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    source = folders["SRC"] / "vqfuzz"
    copy(tree, source)
    change(source)
    script = folders["SRC"] / "build.sh"
    shutil.copy2(source / SCRIPTS[sanitizer] / "build.sh", script)
    if sanitizer in _LIBRARIES:
        preload(python, sanitizer, folders["OUT"])
    tools = base / sanitizer / "tools"
    tools.mkdir()
    (tools / "compile_python_fuzzer").symlink_to(_OURS / "compile_python_fuzzer")
    environment = {name: str(folder) for name, folder in folders.items()} | {
        "PATH": os.pathsep.join([str(tools), str(python.parent), os.environ.get("PATH", os.defpath)]),
        "SANITIZER": sanitizer,
        "FUZZING_ENGINE": "libfuzzer",
        "FUZZING_LANGUAGE": "python",
        "ARCHITECTURE": "x86_64",
        "VQFUZZ_HARNESSES": " ".join(targets),
    }
    ran = run((*leash(), "bash", "-eux", str(script)), environment, source, patience=600 * (1 + len(targets)))
    at = _FREEZING.findall(ran.output)
    return Build(sanitizer, ran, folders["OUT"], at[-1] if at and ran.status else "")


def preload(python: Path, sanitizer: str, out: Path) -> None:
    """Put the library that a target loads first, from atheris' wheel, where the builder puts it."""
    [package] = python.parent.parent.glob("lib/python3.*/site-packages/")
    shutil.copy2(package / _LIBRARIES[sanitizer], out / PRELOADED)
