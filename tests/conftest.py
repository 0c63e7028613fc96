"""What all tests share: the command line as a fixture, and what happens when a real target isn't there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from fuzz.targets.linux_ring.session import LinuxSession
    from fuzz.targets.linux_ring.target import LinuxRing

ROOT = Path(__file__).resolve().parent.parent
#: set by .ci/run, where all targets have been installed: a missing one is then an error
REQUIRED = os.environ.get("VQFUZZ_REQUIRE_TARGETS") == "1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vqfuzz"
SID = CACHE / "sid"
PROGRAMS = ("qemu-storage-daemon", "qemu-system-x86_64", "dpdk-testpmd")
SID_PACKAGES = ("qemu-utils", "qemu-system-x86", "dpdk-dev", "virtiofsd", "passt", "vhost-device-vsock")
LINUX_SOURCES = ("linux-source-6.12", "linux-source-7.2", "linux-source-7.3")
LINUX_GUESTS = ("guest-uml", "guest-6.12", "guest-7")
#: whether an archive has these changes by the day: one that is missing is never an error
FLEETING = ("target sid:", "target linux-source-7", "target guest-uml", "target guest-7")

# The same examples each time, and no deadline: a loaded machine must not fail a test.
hypothesis.settings.register_profile("vqfuzz", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("vqfuzz")


# --- real targets: `@pytest.mark.target("dpdk-testpmd")`, also "sid:virtiofsd", "linux-source-6.12" -------------------


@cache
def target_version(name: str) -> str | None:
    """The version of a target's program, «there» if it doesn't tell, None if it isn't there.

    ``sid:NAME`` is a package of the unpacked Debian sid, ``linux-source-VERSION`` what was unpacked of that package
    and a compiler for it, ``guest-uml`` and ``guest-VERSION`` kernels with all that it takes to run them, ``libblkio``
    the library with its header and a compiler, all else a program in the path.
    """
    if name.startswith("linux-source-"):
        stamp = CACHE / "linux" / name.removeprefix("linux-source-") / ".complete"
        return stamp.read_text().split()[1] if stamp.exists() and shutil.which("cc") else None
    if name.startswith("guest-"):
        return guest_version(name.removeprefix("guest-"))
    if name.startswith("sid:"):
        stamp = SID / ".complete"
        packages = dict(line.split() for line in stamp.read_text().splitlines()) if stamp.exists() else {}
        return packages.get(name.removeprefix("sid:"))
    if name == "libblkio":
        from fuzz.targets.served import libblkio

        library = libblkio.library()
        return library.version if library is not None and not libblkio.missing() else None
    program = shutil.which(name)
    if program is None:
        return None
    if not name.startswith("qemu-"):
        return "there"
    out = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=30).stdout
    found = re.search(r"version (\S+)", out)
    return found[1] if found else "there"


def guest_version(name: str) -> str | None:
    from fuzz.targets import TargetError
    from fuzz.targets.guests import kernels, machine_qemu, machine_uml

    lacks = machine_uml.available() if name == "uml" else machine_qemu.available()
    try:
        kernel = kernels.find_uml("") if name == "uml" else kernels.find(name)
    except TargetError:
        return None
    return kernel.version if not lacks and shutil.which("cc") else None


def missing(name: str) -> str | None:
    """Why tests of *name* can't run here; None if they can."""
    if target_version(name) is not None:
        return None
    return f"target {name} is not there (installed by: make targets{'-sid' if name.startswith('sid:') else ''})"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "target(name, ...): needs these real targets, and is skipped without them")


def summary() -> str:
    """One line: which real targets were found."""
    names = [*PROGRAMS, *(f"sid:{package}" for package in SID_PACKAGES), *LINUX_SOURCES, *LINUX_GUESTS, "libblkio"]
    found = [f"{name} {target_version(name)}" for name in names if target_version(name)]
    absent = [name for name in names if not target_version(name)]
    required = ", all required" if REQUIRED else ""
    return f"real targets{required}: {', '.join(found) or 'none'}; not there: {', '.join(absent) or 'none'}"


def pytest_report_header() -> str:
    return summary()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.get_verbosity() < 0:  # -q leaves the header out
        terminalreporter.write_line(summary())


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("target"):
        for name in marker.args:
            if reason := missing(name):
                pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With VQFUZZ_REQUIRE_TARGETS=1, a test that is skipped for want of a target has failed, however it was skipped.

    Except for those of sid and the newest kernels, which change by the day and are sometimes broken.
    """
    report = yield
    if REQUIRED and report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if reason.startswith("target ") and not reason.startswith(FLEETING):
            report.outcome = "failed"
            report.longrepr = f"VQFUZZ_REQUIRE_TARGETS=1, and {reason}"
    return report


# --- the kernel's driver ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def linux_rings() -> Generator[dict[str, LinuxRing], None, None]:
    """Targets by what stands behind ``linux-ring:``, closed in the end."""
    made: dict[str, LinuxRing] = {}
    yield made
    for target in made.values():
        target.close()


@pytest.fixture
def opened(linux_rings: dict[str, LinuxRing]) -> Callable[[str], LinuxSession]:
    """A session of ``linux-ring:WORDS``, ready for start()."""
    from fuzz.targets.linux_ring.target import parse

    def open_(words: str) -> LinuxSession:
        target = linux_rings.get(words)
        if target is None:
            target = linux_rings[words] = parse(f"linux-ring:{words}")
        return target.open()

    return open_


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `vqfuzz ARGS...` in a directory of its own, as a user's pipeline does: no terminal, no colour, no input."""

    def run(*args: object, timeout: float = 100, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        surroundings = {key: value for key, value in os.environ.items() if not key.startswith(("VQFUZZ_", "GITHUB_"))}
        surroundings |= {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "120", **(env or {})}
        return subprocess.run(
            [sys.executable, "-m", "fuzz", *map(str, args)],
            cwd=tmp_path,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
