"""The engine atheris: libFuzzer in a process of its own, from which only programs that fail come back.

It never returns once it fuzzes, and ends its process when it is done; so it has one. There programs run on a target
of the same words; here those that failed run again, so that reports, shrinking and exit codes are the same as ever.
Knows the conversation with ``fuzz.harness.serving``. Must not know what becomes of a find.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

from fuzz import encoding
from fuzz.engines import Source
from fuzz.engines.plain import widest
from fuzz.harness.programs import decode
from fuzz.harness.serving import limits_to_json
from fuzz.program import Program
from fuzz.targets import TargetError
from fuzz.verdict import Outcome

_MANY = 1 << 62
_WAIT = 0.1  # seconds for something to be told
_ARTIFACTS = ("crash-", "timeout-", "oom-", "leak-", "slow-unit-")


class LibFuzzer:
    """Programs that failed there. *mutator*, *plain*, *states*: whether we mutate, whether the oracle is not
    instrumented, whether states of the protocol count as coverage, too."""

    apart = True

    def __init__(self, source: Source, mutator: bool = True, plain: bool = False, states: bool = True) -> None:
        self.source = source
        self.drawn = 0
        self.over = False
        self.used = 0
        self.shapes: list[tuple[str, int]] = []
        self._options = {"mutator": mutator, "plain": plain, "states": states}
        self._folder = tempfile.TemporaryDirectory(prefix="vqfuzz-")
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._before = 0  # programs that ran in processes that have ended
        self._left = b""
        self._waiting = False  # whether it waits for our word
        self._finds: deque[Program] = deque()

    # -- the process

    def _start(self) -> None:
        source = self.source
        runs = _MANY if source.runs is None else source.runs - self._before
        settings: dict[str, Any] = {
            "words": source.words, "qemu": source.qemu, "avoid": sorted(source.avoid), "runs": runs,
            "limits": limits_to_json(widest(source.limits, source.mode)), "version": source.version,
            "strict": source.strict, "parent": os.getpid(), **self._options,
        }  # fmt: skip
        seed = (source.seed + self._starts) % ((1 << 32) - 1) + 1  # 0 would mean: any
        self._starts += 1
        folder = Path(self._folder.name)
        with open(folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.harness.serving", json.dumps(settings), f"-seed={seed}",
                 f"-artifact_prefix={folder}/", "-close_fd_mask=0"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )  # fmt: skip
        self._left = b""

    def _hear(self) -> None:
        """Take what it tells, if it tells anything soon; notice its end."""
        assert self._process is not None
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        if not select.select([output], [], [], _WAIT)[0]:
            return
        data = os.read(output, 1 << 16)
        if not data:
            self._ended()
            return
        *lines, self._left = (self._left + data).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        self.drawn = self._before + told["ran"]
        self.used = told["used"]
        self.shapes += [(layout, features) for layout, features in told["shapes"]]
        if told["find"]:
            self._finds.append(encoding.load(told["find"], "what the engine found"))
            self._waiting = True

    def _ended(self) -> None:
        """It is done; or it ended in the middle of a program, which it leaves behind."""
        assert self._process is not None
        code = self._process.wait()
        self._process.stdin and self._process.stdin.close()
        self._process.stdout and self._process.stdout.close()
        self._process = None
        self._waiting = False
        left = [path for path in Path(self._folder.name).iterdir() if path.name.startswith(_ARTIFACTS)]
        limits = widest(self.source.limits, self.source.mode)
        for path in left:
            self._finds.append(decode(path.read_bytes(), limits))
            path.unlink()
        if code == 0:
            self.over = True
        elif not left:
            raise TargetError(f"the engine atheris ended: {self._words(code)}")
        self._before = self.drawn

    def _words(self, code: int) -> str:
        """The last that it said."""
        said = (Path(self._folder.name) / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line.removeprefix("vqfuzz: ") for line in said if line.strip() and not line.startswith("INFO")]
        return told[-1] if told else f"exit status {code}"

    # -- an engine

    def next(self) -> Program | None:
        """A program that failed there; None if none did so far."""
        if not self._finds:
            if self._waiting:
                self._go_on()
            if self._process is None:
                self._start()
            self._hear()
        return self._finds.popleft() if self._finds else None

    def _go_on(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._waiting = False
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its end is noticed next

    def ran(self, program: Program, outcome: Outcome) -> None:
        """It has seen that."""

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
        self._folder.cleanup()
