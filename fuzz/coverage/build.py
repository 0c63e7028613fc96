"""What it takes to build a program that counts: the runtime's source, its object, and the flags of three compilers.

Knows compilers. Must not know what the program is, or how it is run.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from fuzz.targets.linux_ring.build import compiler
from fuzz.targets.linux_ring.trees import cache
from fuzz.targets.process import first_line
from fuzz.trouble import EnvironmentTrouble, UsageTrouble

SOURCE = Path(__file__).parent / "runtime" / "vqcov.c"
PLUGIN = SOURCE.with_name("tcg.c")
_OWN = ("-O2", "-g", "-fPIC")
_SECONDS = 60.0
#: what is instrumented of a program, by the kind of its compiler
_TRACED = {"gcc": "trace-pc,trace-cmp", "clang": "trace-pc-guard,trace-cmp"}
_RUST = ("level=3", "trace-pc-guard", "trace-compares")


def cflags(command: str = "") -> str:
    """Flags for compiling what shall count, for the C compiler *command*; ''; the user's. Raises as object_file()."""
    return f"-fsanitize-coverage={_TRACED[_kind(_words(command))]}"


def ldflags(command: str = "") -> str:
    """What the linker needs: the runtime's object. Raises as object_file()."""
    return str(object_file(command))


def rustflags(command: str = "") -> str:
    """RUSTFLAGS for a crate and all that it is made of. Raises as object_file()."""
    passes = [f"-Cllvm-args=-sanitizer-coverage-{one}" for one in _RUST]
    return " ".join(["-Cpasses=sancov-module", *passes, f"-Clink-arg={object_file(command)}"])


def object_file(command: str = "") -> Path:
    """The runtime, compiled if it isn't in the cache. Raises UsageTrouble, TargetError, EnvironmentTrouble."""
    return _made("vqcov.o", ("-c",), (SOURCE,), command)


def plugin_file(command: str = "") -> Path:
    """A plugin for QEMU's TCG that counts blocks of the guest's code, with the runtime in it. Raises as object_file().

    Its arguments are ``from=ADDRESS`` and ``to=ADDRESS``; counters are places from there on.
    """
    return _made("tcg.so", ("-shared",), (PLUGIN, SOURCE), command)


def _made(name: str, flags: tuple[str, ...], sources: tuple[Path, ...], command: str) -> Path:
    words = _words(command)
    digest = hashlib.sha256(repr((words, first_line([*words, "--version"]), _OWN, flags)).encode())
    for source in sources:
        digest.update(source.read_bytes())
    made = cache() / "coverage" / digest.hexdigest()[:24] / name
    if any(character.isspace() for character in str(made)):
        raise EnvironmentTrouble(f"{made} can't stand among flags, for there is a space in it; set XDG_CACHE_HOME")
    if not made.exists():
        _compile([*words, *_OWN, *flags, *map(str, sources)], made)
    return made


def _words(command: str) -> list[str]:
    """The C compiler as words."""
    if not command:
        return compiler()
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageTrouble(f"the compiler {command!r} can't be read: {str(error).lower()}") from None
    if not words or shutil.which(words[0]) is None:
        raise UsageTrouble(f"the compiler {command!r} is not installed, or not on the PATH; name gcc or clang")
    return words


def _kind(words: list[str]) -> str:
    """Whose flags it takes: what calls itself clang, whatever it is called, is one."""
    try:
        said = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        raise EnvironmentTrouble(f"{words[0]} --version can't be run, so it can't be told what it is") from None
    return "clang" if "clang" in said.stdout.lower() else "gcc"


def _compile(words: list[str], made: Path) -> None:
    """Compile into *made*, which is there whole or not at all."""
    try:
        made.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="new-", dir=made.parent))
    except OSError as error:
        raise EnvironmentTrouble(f"nothing can be kept in {made.parent}: {error.strerror}") from None
    try:
        new = folder / made.name
        done = subprocess.run(
            [*words, "-o", str(new)],
            capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        if done.returncode:
            line = next(
                (line for line in done.stderr.splitlines() if "error" in line), f"exit status {done.returncode}"
            )
            raise EnvironmentTrouble(f"{words[0]} can't compile the coverage runtime: {line.strip()}")
        os.replace(new, made)
    except (OSError, subprocess.SubprocessError) as error:
        raise EnvironmentTrouble(f"{words[0]} can't be run: {error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
