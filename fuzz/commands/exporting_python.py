"""``export --as python``: a find on a driver as a script that plays the device, with no vqfuzz installed.

Runs the program once more to see what must be shown, makes the script, and runs that in a bare interpreter.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import cast

from fuzz import finds, registry
from fuzz.commands.replaying import target_words
from fuzz.confirm import Runner
from fuzz.finds import Find
from fuzz.program import Misuse, Program
from fuzz.report.python_script import Driver, family_of, script
from fuzz.targets import Target
from fuzz.targets import dpdk_virtio_user as dpdk
from fuzz.targets.linux_ring import build, session
from fuzz.targets.linux_ring.target import LinuxRing
from fuzz.trouble import CONFORMS, FOUND, UNCLEAR, UsageTrouble, deliver
from fuzz.verdict import BAD, OUR_FAULT, UNDECIDED, Outcome
from oracles import spec
from oracles import vhost_user as vu

_TRIES = 5
_LONGEST = 300.0  # seconds that a script may take


def export(path: Path, target: str | None, out: Path | None) -> int:
    """Write the script. Returns the exit code."""
    find = finds.load(path)
    if find.program.role != "device":
        raise UsageTrouble(f"{path} is about a device: --as python is for finds on drivers, in which we are the device")
    if any(isinstance(step, Misuse) for step in find.program.steps):
        raise UsageTrouble(f"{path} breaks rules of devices («misuse»): a script of --as python keeps them")
    if find.before:
        raise UsageTrouble(f"{path} needs other programs to run before it: a script of --as python runs one")
    words, _ = target_words(find, target, "", path)
    made = cast("object", registry.make(words))
    if not isinstance(made, LinuxRing | dpdk.DpdkVirtioUser):
        cast("Target", made).close()
        raise UsageTrouble(f"{words} can't do without vqfuzz: --as python is for linux-ring and {dpdk.NAME}")
    try:
        outcome = _seen(made, find)
        shows = outcome.verdict in BAD or _stalled(made, outcome)
        if not shows:
            undecided = outcome.verdict == UNDECIDED
            print(
                f"nothing to export: {path} {'is undecided' if undecided else 'conforms'} on {words}", file=sys.stderr
            )
            return UNCLEAR if undecided else CONFORMS
        driver, arguments = _linux(made) if isinstance(made, LinuxRing) else _dpdk(made, find.program)
    finally:
        made.close()
    text = script(find.program, outcome, driver)
    status, last = run(text, arguments)
    deliver(text, out)
    what = "shows it" if status == FOUND else f"does not show {outcome.rule or family_of(outcome)}"
    print(f"the script {what} on {driver.seen_on}: {last}", file=sys.stderr)
    return CONFORMS if status == FOUND else UNCLEAR


def _seen(made: LinuxRing | dpdk.DpdkVirtioUser, find: Find) -> Outcome:
    """An execution that fails as the find says, else one that fails, else the last."""
    runner = Runner(cast("Target", made))
    known = str(find.meta.get("rule", ""))
    best = Outcome()
    for _ in range(_TRIES):
        outcome = runner.run(find.program)
        if outcome.verdict == OUR_FAULT:
            raise UsageTrouble(f"the device broke a rule itself: {outcome.reason}")
        if outcome.verdict not in BAD and best.verdict in BAD:
            continue
        best = outcome
        if outcome.verdict == UNDECIDED or (outcome.verdict in BAD and known in ("", outcome.rule)):
            break
    return best


def _stalled(made: LinuxRing | dpdk.DpdkVirtioUser, outcome: Outcome) -> bool:
    """Whether a driver that acts by itself came to nothing: that is no verdict, but it can be shown."""
    return "passive" in made.limits.actions and outcome.verdict == UNDECIDED


def _linux(made: LinuxRing) -> tuple[Driver, list[str]]:
    about = made.describe()
    names = ("harness.c", "harness.h", "memory.c", "cover.c", "prefix.h")
    files = [build.HARNESS / name for name in names]
    files += sorted(path for path in (build.HARNESS / "shims").rglob("*") if path.is_file())
    values = {
        "memory": session.MEMORY, "rings": session.RINGS, "address": session.ADDRESS, "patience": 30,
        "flags": list(build.flags()), "kernel": list(build.kernel_flags()),
    }  # fmt: skip
    sources = {str(path.relative_to(build.HARNESS)): path.read_text(encoding="utf-8") for path in files}
    usage = (("LINUX_TREE", "an unpacked source tree, or a linux-source package's"),)
    return Driver("linux", f"{about['version']}, virtio_ring.c", usage, values, sources=sources), [about["tree"]]


def _dpdk(made: dpdk.DpdkVirtioUser, program: Program) -> tuple[Driver, list[str]]:
    features = program.features | (spec.RING_PACKED if program.layout == spec.PACKED else 0)
    numbers = made.numbers[: len(program.queues)]
    values = {
        "queues": numbers, "most": 2,
        "command": made.words_for(features, max(queue.size for queue in program.queues), "{socket}"),
        "offered": "".join(f" | 1 << {bit}" for bit in range(64) if dpdk.EXTRA >> bit & 1),
        "protocol": f"{vu.MQ | vu.REPLY_ACK | vu.STATUS:#x}",
    }  # fmt: skip
    usage = (("", "starts testpmd itself"), ("SOCKET", "waits at SOCKET for one that somebody else starts"))
    said = f"{made.describe()['version']}, testpmd with virtio-user"
    return Driver("vhost_user", said, usage, values, asked=False, prefix=made.prefix, least=made.least,
                  echo=len(numbers) > 1), []  # fmt: skip


def run(text: str, arguments: list[str]) -> tuple[int, str]:
    """Run a script in an interpreter without packages: its exit status, and what it says."""
    with tempfile.NamedTemporaryFile("w", prefix="vqfuzz-", suffix=".py", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            done = subprocess.run([sys.executable, "-I", "-S", file.name, *arguments], capture_output=True, text=True,
                                  timeout=_LONGEST, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            return UNCLEAR, f"it does not end within {_LONGEST:g} s"
    said = [line for line in done.stdout.splitlines() if line.startswith(("WRONG", "RIGHT", "UNCLEAR"))]
    errors = done.stderr.strip().splitlines()
    if errors and not said:
        return UNCLEAR, errors[-1]
    return done.returncode, said[0] if said else f"exit status {done.returncode}"
