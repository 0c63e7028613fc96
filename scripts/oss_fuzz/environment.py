"""The check's own virtual environments: that of OSS-Fuzz's builder, and that of ClusterFuzz's reader of stacks.

They are made once, in the user's cache, and made anew when what they hold changes. Knows pip, the cache and which
programs of the system are needed. Must not know fuzz targets.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.oss_fuzz.running import run

#: The minor version of the builder's image, whose python3 is 3.11.13.
VERSION = "3.11"
#: What the builder's image installs.
BUILDER = (("atheris>=2.3.0", "pyinstaller==6.10.0", "setuptools==72.1.0", "coverage==6.3.2"),)
#: Its reader of stacks needs these; what else it depends on talks to Google's cloud, and is large.
STACKS = (("--no-deps", "clusterfuzz==2.6.0"), ("requests", "six", "pyyaml", "protobuf<4"))
#: bash runs build.sh, PyInstaller uses the rest.
PROGRAMS = ("bash", "ldd", "objcopy", "objdump")
_LIBRARY = "from PyInstaller.depend.bindepend import get_python_library_path as path; print(path())"


class Missing(Exception):
    """The environment lacks something: one line that says what, and the mend."""


def builder() -> Path:
    """The python3 of an environment like the builder's. Raises Missing."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        raise Missing(f"{', '.join(absent)} not found: on Debian and Ubuntu install bash and binutils")
    python = _made("builder", BUILDER)
    # PyInstaller raises in its own way, after minutes, where it finds no libpython to pack
    if run((str(python), "-c", _LIBRARY), surroundings()).output.strip().splitlines()[-1:] in ([], ["None"]):
        raise Missing(f"{_interpreter()} has no shared library to freeze: on Debian install libpython{VERSION}")
    return python


def stacks() -> Path:
    """The python3 of an environment with what of ClusterFuzz reads stacks. Raises Missing."""
    return _made("stacks", STACKS)


def surroundings() -> dict[str, str]:
    """The environment variables that pip needs to reach its index, and nothing that leads Python astray."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_DEFAULT_TIMEOUT": "30"}


def versions(python: Path) -> str:
    """Which versions of the builder's packages were found, for people."""
    names = [word.partition("=")[0].partition(">")[0] for word in BUILDER[0]]
    ask = f"import platform, importlib.metadata as m; print(platform.python_version(), *map(m.version, {names!r}))"
    found = run((str(python), "-c", ask), surroundings()).output.split()
    return ", ".join(f"{name} {version}" for name, version in zip(["Python", *names], found, strict=False))


def _interpreter() -> str:
    if f"{sys.version_info.major}.{sys.version_info.minor}" == VERSION:
        return str(getattr(sys, "_base_executable", sys.executable))  # not that of a checkout's .venv: all share one
    found = shutil.which(f"python{VERSION}")
    if found is None:
        raise Missing(f"no python{VERSION}, which OSS-Fuzz builds with: install it, or make PYTHON=/path/to/it")
    return found


def _made(name: str, steps: tuple[tuple[str, ...], ...]) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vqfuzz" / "oss-fuzz"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache / "lock"):
            interpreter = _interpreter()
            wanted = f"{interpreter} {steps}\n"
            # what another checkout wants is another folder: it may be in use
            folder = cache / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
            python, stamp = folder / "bin" / "python3", folder / ".complete"
            if stamp.is_file() and stamp.read_text() == wanted and _works(python):
                return python
            shutil.rmtree(folder, ignore_errors=True)
            _pip_or_venv((interpreter, "-m", "venv", str(folder)), f"{interpreter} makes no virtual environment")
            for words in steps:
                command = (str(python), "-m", "pip", "install", "--quiet", *words)
                _pip_or_venv(command, f"pip could not install {' '.join(words)}")
            stamp.write_text(wanted)
    except OSError as error:
        raise Missing(f"{cache} can't be used: {error.strerror}") from None
    return python


def _works(python: Path) -> bool:
    return python.exists() and run((str(python), "-c", ""), surroundings(), patience=60).status == 0


def _pip_or_venv(command: tuple[str, ...], otherwise: str) -> None:
    done = run(command, surroundings(), patience=600)
    if done.status:
        errors = [line for line in done.output.splitlines() if "error" in line.lower()] or [done.tail(1)]
        raise Missing(f"{otherwise}: {errors[-1].strip()}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
