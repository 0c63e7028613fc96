"""From a source tree to a program: compiled on the user's machine, once for each content, and kept in the cache.

Knows compilers and their flags. Must not know what the program does.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from fuzz.targets import TargetError
from fuzz.targets.folders import UNFINISHED, Folder, sweep
from fuzz.targets.linux_ring.trees import DRIVER, cache
from fuzz.targets.process import first_line

HARNESS = Path(__file__).parent / "harness"
PLAIN, SANITIZED, COVERAGE = BUILDS = ("plain", "sanitized", "coverage")
_COMPILERS = ("cc", "gcc", "clang")
#: as tools/virtio/Makefile has them; C11, since the headers define bool
_FLAGS = ("-std=gnu11", "-g", "-fno-strict-overflow", "-fno-strict-aliasing", "-fno-common", "-U_FORTIFY_SOURCE")
#: without CONFIG_PHYS_ADDR_T_64BIT addresses lose their upper half; -O0 leaves inline functions without a body
_KERNEL = ("-DCONFIG_PHYS_ADDR_T_64BIT=1", "-w", "-Werror=implicit-function-declaration", "-pthread")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
_LEVEL = {PLAIN: ("-O2",), SANITIZED: ("-O1", "-DVQFUZZ_SANITIZED=1", *_SANITIZERS), COVERAGE: ("-O1",)}
_TRACED = {PLAIN: (), SANITIZED: (), COVERAGE: ("-fsanitize-coverage=trace-pc",)}  # of virtio_ring.c alone
_SECONDS = 300.0  # that a compiler may take
#: of what runs sanitized; one-line reports in the words, and no search for leaks: memory of a dead queue is counted
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1",
}


def compiler() -> list[str]:
    """The user's C compiler as words: $CC, or the first of cc, gcc, clang. Raises TargetError if there is none."""
    words = shlex.split(os.environ.get("CC", ""))
    if words:
        if shutil.which(words[0]) is None:
            raise TargetError(f"the C compiler {words[0]} that CC names is not installed, or not on the PATH")
        return words
    for name in _COMPILERS:
        if shutil.which(name):
            return [name]
    raise TargetError("no C compiler (cc, gcc or clang) is on the PATH: install gcc, or set CC")


def flags() -> tuple[str, ...]:
    """What every file of a plain build is compiled with."""
    return (*_FLAGS, *_LEVEL[PLAIN])


def kernel_flags() -> tuple[str, ...]:
    """What files that see the kernel's headers are compiled with, beside the places of these."""
    return _KERNEL


def built(tree: Path, build: str) -> Path:
    """The program with the driver of *tree*, compiled if it isn't in the cache. Raises TargetError, one line."""
    command = compiler()
    source = (tree / DRIVER).read_text(encoding="utf-8", errors="replace")
    maps = [f"-ffile-prefix-map={tree}/=", f"-ffile-prefix-map={HARNESS}/=harness/"]  # words name no folder of ours
    flags = [*_FLAGS, *_LEVEL[build], *maps]
    kernel = [*_KERNEL, *_includes(tree)]
    if "recycle_done" in source:  # resize and reset have one parameter more since 6.13
        kernel.append("-DVQFUZZ_RECYCLE_DONE=1")
    units = [
        (tree / DRIVER, [*flags, *_TRACED[build], *kernel]),
        (HARNESS / "harness.c", [*flags, *kernel]),
        (HARNESS / "memory.c", flags),
        (HARNESS / "cover.c", flags),
    ]
    digest = hashlib.sha256()
    digest.update(repr((command, first_line([*command, "--version"]))).encode())
    for unit, with_flags in units:
        digest.update(
            repr([flag for flag in with_flags if str(tree) not in flag and str(HARNESS) not in flag]).encode()
        )
        for file in _read_by(command, unit, with_flags):
            digest.update(file.read_bytes())
    program = cache() / "linux-ring" / digest.hexdigest()[:24] / "linux-ring"
    if not program.exists():
        _compile(command, units, [*flags, "-no-pie", "-pthread"], program)
    return program


def _includes(tree: Path) -> list[str]:
    words = []
    for folder in (HARNESS / "shims", tree / "tools/virtio", tree / "tools/include"):
        words += ["-I", str(folder)]
    for file in (tree / "include/linux/kconfig.h", HARNESS / "prefix.h"):
        words += ["-include", str(file)]
    return words


def _read_by(command: Sequence[str], unit: Path, flags: Sequence[str]) -> list[Path]:
    """All files that compiling *unit* reads, those of the system left out: the compiler's version stands for them."""
    rule = _run([*command, *flags, "-MM", "-MT", "x", str(unit)]).replace("\\\n", " ")
    return [Path(name) for name in shlex.split(rule.partition(":")[2])]


def _compile(
    command: Sequence[str], units: Sequence[tuple[Path, list[str]]], link: Sequence[str], program: Path
) -> None:
    """Compile and link into *program*, which is there whole or not at all."""
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        sweep(program.parent, UNFINISHED)
        made = Folder(program.parent, UNFINISHED)
    except OSError as error:
        raise TargetError(f"nothing can be kept in {program.parent}: {error.strerror}") from None
    folder = made.path
    try:
        objects = []
        for unit, flags in units:
            objects.append(str(folder / f"{unit.stem}.o"))
            _run([*command, *flags, "-c", str(unit), "-o", objects[-1]])
        _run([*command, *link, *objects, "-o", str(folder / "linux-ring")])
        os.replace(folder / "linux-ring", program)
    finally:
        made.remove()


def _run(words: Sequence[str]) -> str:
    """What the compiler prints. Raises TargetError with its first error."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired:
        raise TargetError(f"{words[0]} compiles for more than {_SECONDS:g} s") from None
    except OSError as error:
        raise TargetError(f"{words[0]} can't be run: {error.strerror}") from None
    if done.returncode:
        lines = done.stderr.splitlines()
        first = next((line for line in lines if "error" in line or "undefined" in line), lines[0] if lines else "")
        raise TargetError(f"{words[0]} can't compile the driver: {first.strip() or f'exit status {done.returncode}'}")
    return done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}
