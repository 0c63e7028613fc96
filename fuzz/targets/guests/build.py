"""The agent: compiled on the user's machine, once for each content of its source, and kept in the cache.

Knows a compiler. Must not know what the agent does.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from shutil import rmtree

from fuzz.targets import TargetError
from fuzz.targets.guests.kernels import cache
from fuzz.targets.linux_ring.build import compiler
from fuzz.targets.process import first_line

SOURCE = Path(__file__).parent / "agent"
_FLAGS = ("-static", "-O2", "-Wall", "-std=gnu11")  # static: nothing else is in the guest
_SECONDS = 120.0  # that a compiler may take


def agent() -> bytes:
    """The agent's program, compiled if it isn't in the cache. Raises TargetError, one line."""
    command = compiler()
    sources = sorted(SOURCE.glob("*.[ch]"))
    digest = hashlib.sha256(repr((command, first_line([*command, "--version"]), _FLAGS)).encode())
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    program = cache() / "guest-agent" / digest.hexdigest()[:24] / "agent"
    if not program.exists():
        _compile([*command, *_FLAGS, *(str(source) for source in sources if source.suffix == ".c")], program)
    return program.read_bytes()


def _compile(words: list[str], program: Path) -> None:
    """Compile into *program*, which is there whole or not at all."""
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="new-", dir=program.parent))
    except OSError as error:
        raise TargetError(f"nothing can be kept in {program.parent}: {error.strerror}") from None
    try:
        done = subprocess.run(
            [*words, "-o", str(folder / "agent")],
            capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line or "cannot find" in line]
            raise TargetError(f"{words[0]} can't compile the guests' agent: {lines[0].strip() if lines else 'failed'}")
        os.replace(folder / "agent", program)
    except subprocess.TimeoutExpired:
        raise TargetError(f"{words[0]} compiles for more than {_SECONDS:g} s") from None
    except OSError as error:
        raise TargetError(f"{words[0]} can't be run: {error.strerror}") from None
    finally:
        rmtree(folder, ignore_errors=True)
