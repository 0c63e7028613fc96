"""Kills workers and targets of ``vqfuzz fuzz --jobs`` at random, at times the run itself, and looks at what is left.

Afterwards every find that was reported must be on disk and fail again, no process may be left, no temporary folder, and
no file that is half written. Exit status 1: something of that is not so, and it is said.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = "VQFUZZ_CHAOS"
TARGETS = ["model:a05", "qemu-storage-daemon", "linux-ring:7.3"]
PAUSE = (0.2, 1.2)  # seconds between two kills
PARENT = 15  # one kill of so many is for the run itself
ENDS = 45.0  # seconds for a run to end by itself
GONE = 20.0  # seconds for what a killed run started to end


class Chaos:
    """One target, for *seconds*, in *place*."""

    def __init__(self, target: str, seconds: float, jobs: int, dice: random.Random, place: Path) -> None:
        self.target = target
        self.begun = time.monotonic()
        self.until = self.begun + seconds
        self.jobs = jobs
        self.dice = dice
        self.out = place / "out"
        self.mark = uuid.uuid4().hex
        self.temporary = place / "tmp"
        self.temporary.mkdir(parents=True)
        environment = {**os.environ, MARK: self.mark, "TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT)}
        self.environment = {name: value for name, value in environment.items() if name != "VQFUZZ_OUT"}
        self.kills: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()  # of what was reported
        self.said: list[str] = []
        self.wrong: list[str] = []
        self.reported: list[Path] = []

    def command(self, *words: str) -> list[str]:
        """One of vqfuzz."""
        return [sys.executable, "-m", "fuzz", *words]

    def run(self) -> None:
        """Runs until the time is over, then looks at what is left."""
        if not self._plain(self.target):  # what has to be made first, is: who compiles is not who fuzzes
            return
        self.until += time.monotonic() - self.begun
        while self.until - time.monotonic() > 1:
            self._one()
        self._plain("model")
        self._look()

    def _plain(self, target: str) -> bool:
        """One program, without kills; whether that could be run."""
        done = subprocess.run(
            self.command("fuzz", target, "--runs", "1", "--seed", "1", "--out", str(self.out)),
            env=self.environment, cwd=self.out.parent, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if done.returncode not in (0, 1, 4):
            self.wrong.append(f"one program on {target}: exit status {done.returncode}: {done.stderr.strip()}")
            return False
        return True

    def _one(self) -> None:
        """One run, and what kills in it."""
        seed = str(self.dice.getrandbits(32))
        left = max(self.until - time.monotonic(), 1.0)
        words = ["--seed", seed, "--jobs", str(self.jobs), "--time", f"{left:.1f}s", "--continue", "--all"]
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as trouble:
            parent = subprocess.Popen(
                self.command("fuzz", self.target, *words, "--out", str(self.out)),
                env=self.environment, cwd=self.out.parent, stdin=subprocess.DEVNULL, stdout=said, stderr=trouble,
            )  # fmt: skip
            killed = self._kill(parent)
            try:
                code = parent.wait(ENDS)
            except subprocess.TimeoutExpired:
                self.wrong.append(f"seed {seed}: the run does not end")
                parent.kill()
                code = parent.wait()
            self._gone(f"seed {seed}")
            said.seek(0)
            trouble.seek(0)
            self.said.append(said.read())
            last = trouble.read()[-300:].strip()
            if code == 3 and re.search(r"vqfuzz: .*(SIGKILL|exit status -9)", last):
                self.kills["run by its targets before it began"] += 1
            elif not killed and code not in (0, 1, 4):
                self.wrong.append(f"seed {seed}: exit status {code}: {last}")

    def _kill(self, parent: subprocess.Popen[bytes]) -> bool:
        """Kill at random until the time is over; whether the run itself was."""
        while not children(parent.pid) and parent.poll() is None and time.monotonic() < self.until:
            time.sleep(0.05)
        while time.monotonic() < self.until:
            time.sleep(self.dice.uniform(*PAUSE))
            if parent.poll() is not None:
                return False
            workers = children(parent.pid)
            targets = [pid for worker in workers for pid in children(worker)]
            if not self.dice.randrange(PARENT) and workers:
                self.kills["run"] += 1
                parent.kill()
                return True
            kind, pids = self.dice.choice([("worker", workers), ("target", targets)])
            if pids:
                with suppress(ProcessLookupError):
                    os.kill(self.dice.choice(pids), signal.SIGKILL)
                    self.kills[kind] += 1
        return False

    # -- what is left

    def _gone(self, when: str) -> None:
        """Nothing that the run started may live, or only for a moment."""
        deadline = time.monotonic() + GONE
        while (left := self._marked()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid, words in left.items():
            self.wrong.append(f"{when}: process {pid} is left: {words}")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _marked(self) -> dict[int, str]:
        found = {}
        wanted = f"{MARK}={self.mark}".encode()
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                with suppress(OSError):
                    if wanted in (place / "environ").read_bytes().split(b"\0"):
                        found[int(place.name)] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def _look(self) -> None:
        """At the disk."""
        self.wrong += [f"{path} is left" for path in self.temporary.iterdir()]
        if not self.out.exists():
            return
        for path in self.out.rglob("*"):
            if path.name.startswith(".") and not _young(path):
                self.wrong.append(f"{path} is left, half written or half removed")
        for folder in self.out.iterdir():
            if not folder.name.startswith("."):
                self._whole(folder)
        self.reported = sorted({Path(one) for text in self.said for one in re.findall(r"vqfuzz replay (\S+)", text)})
        for path in self.reported:
            self._replays(path if path.is_absolute() else self.out.parent / path)

    def _whole(self, folder: Path) -> None:
        """A find's folder has all that it had when it was saved, each file whole."""
        try:
            json.loads((folder / "find.json").read_text())
            for name in ("program.vq", "trace.vqtrace"):
                if not (folder / name).read_text().endswith("\n"):
                    self.wrong.append(f"{folder / name} is cut off")
        except (OSError, ValueError) as error:
            self.wrong.append(f"{folder} is not whole: {error}")

    def _replays(self, path: Path) -> None:
        """What was reported is there; what failed each time fails again, and of the rest the trace still tells why."""
        if not path.exists():
            self.wrong.append(f"{path} was reported, and is not there")
            return
        folder = path if path.is_dir() else path.parent
        meta = json.loads((folder / "find.json").read_text())
        runs = meta.get("runs", {"again": 0, "of": 0})
        if runs["again"] and runs["again"] == runs["of"]:
            self._ends(1, "replay", str(folder), "--times", "10", "--quiet")
            self.seen["replay"] += 1
        elif meta["verdict"] == "VIOLATES":  # by chance, or nobody ran it again: the trace is the evidence
            small = folder / "minimal.vqtrace"
            self._ends(1, "judge", str(small if small.exists() else folder / "trace.vqtrace"))
            self.seen["are judged by their traces"] += 1
        else:
            self.seen["are ends seen once, such as our kills"] += 1

    def _ends(self, wanted: int, *words: str) -> None:
        """A command must end with this exit status."""
        done = subprocess.run(
            self.command(*words), env=self.environment, cwd=self.out.parent, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        if done.returncode != wanted:
            self.wrong.append(f"vqfuzz {' '.join(words)} ends with {done.returncode}: {done.stderr.strip()}")


def _young(path: Path) -> bool:
    """Whether a file may still be written, as far as the next run can tell: it removes it a minute later."""
    with suppress(OSError):
        return path.name.endswith(".new") and time.time() - path.stat().st_mtime < 60
    return True


def children(pid: int) -> list[int]:
    """Of a process, as the system tells."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120, help="for all targets together")
    parser.add_argument("--seed", type=int, default=1, help="of who is killed when, and of the programs")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--target", action="append", help=f"again for each; else {' '.join(TARGETS)}")
    options = parser.parse_args()
    targets = options.target or TARGETS
    dice = random.Random(options.seed)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="vqfuzz-chaos-") as place:
        for number, target in enumerate(targets):
            one = Chaos(target, options.seconds / len(targets), options.jobs, dice, Path(place, str(number)))
            one.run()
            kills = ", ".join(f"{count} {what}" for what, count in sorted(one.kills.items())) or "nothing"
            deaths = sum(text.count("; started again with seed") for text in one.said)
            folders = len([folder for folder in one.out.glob("*") if not folder.name.startswith(".")])
            seen = ", ".join(f"{count} {what}" for what, count in sorted(one.seen.items())) or "none"
            print(f"{target}: killed {kills}; {deaths} workers started again; {len(one.reported)} finds reported "
                  f"({seen}), {folders} folders on disk; {len(one.wrong)} wrong", flush=True)  # fmt: skip
            for line in one.wrong:
                print(f"  {line}", flush=True)
            wrong += len(one.wrong)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
