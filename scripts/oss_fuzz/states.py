"""Whether ClusterFuzz files one bug for each rule: it looks at the names of the three innermost functions, at no more.

A harness of the check's own raises violations of three rules as all our harnesses do; ClusterFuzz's own code says what
it takes each for. Knows that harness and what is asked. Must not know how targets are built.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from scripts.oss_fuzz.environment import Missing, surroundings
from scripts.oss_fuzz.running import Ran, run

NAME = "oss_fuzz_check_states"
_ASK = Path(__file__).with_name("crash_state.py")
_CRASHED = 77  # what libFuzzer ends with


class Planted(NamedTuple):
    """A fault of the reference device, the rule that it breaks, and a program that shows it."""

    target: str
    rule: str
    program: str


PLANTED = (
    Planted("model:a05", "INO-ORDER", "INO-ORDER.split.vq"),
    Planted("model:a01", "INO-P-BATCH-ID", "INO-P-BATCH-ID.packed.vq"),
    Planted("model:a23", "S-USED-LEN-WRITTEN", "S-USED-LEN-WRITTEN.split.vq"),
)
#: The first byte of an input says on which device the rest of it is run.
HARNESS = f'''"""Programs on reference devices with planted faults: each breaks a rule."""

from fuzz.harness import start
from fuzz.harness.programs import Programs
from fuzz.harness.raising import report

PLANTED = [Programs(words) for words in {tuple(one.target for one in PLANTED)!r}]


def TestOneInput(data: bytes) -> None:
    """One input."""
    if not data or data[0] >= len(PLANTED):
        return
    found = PLANTED[data[0]].look(data[1:])
    if found is not None:
        report(found)


if __name__ == "__main__":
    start.start(TestOneInput, start.DEVICE)
'''


def harness(tree: Path) -> None:
    """Put the harness into the sources *tree*."""
    (tree / "fuzz" / "harness" / f"{NAME}.py").write_text(HARNESS, encoding="utf-8")


def seed(tree: Path, number: int, folder: Path) -> Path:
    """The input that breaks the rule of PLANTED[number], as a file in *folder*."""
    program = (tree / "corpus" / "rules" / PLANTED[number].program).read_bytes()
    path = folder / f"{NAME}-{number}"
    path.write_bytes(bytes([number]) + program)
    return path


def states(python: Path, tree: Path, folder: Path, start: Callable[[Path], Ran]) -> tuple[list[str], list[str], str]:
    """The state of each violation, what is wrong with them, and the output that goes with it.

    *python*: of the environment that has ClusterFuzz's code; *start* runs the harness on one input.
    """
    filed: list[str] = []
    for number, planted in enumerate(PLANTED):
        ran = start(seed(tree, number, folder))
        if ran.status != _CRASHED:
            return filed, [f"a violation of {planted.rule} ends with {ran.status}, not {_CRASHED}"], ran.tail()
        state = ask(python, ran.output)["state"]
        frames = state.split()
        if not frames or frames[0] == "NULL":
            return filed, [f"a violation of {planted.rule} has no crash state: its report hides the stack"], ran.tail()
        if planted.rule.replace("-", "_") not in frames[0]:
            return filed, [f"a violation of {planted.rule} is filed under {' / '.join(frames)}"], ran.tail()
        if state in filed:
            return filed, [f"a violation of {planted.rule} is filed as one that went before"], ran.tail()
        filed.append(state)
    return filed, [], ""


def ask(python: Path, output: str) -> dict[str, str]:
    """What ClusterFuzz makes of the *output* of a crash: its ``type`` and ``state``. Raises Missing."""
    done = subprocess.run(
        [str(python), str(_ASK), "state"],
        input=output,
        env=surroundings(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise Missing(f"ClusterFuzz's reader of stacks fails: {done.stderr.strip().splitlines()[-1]}")
    said: dict[str, str] = json.loads(done.stdout)
    return said


def yaml(python: Path, path: Path) -> object:
    """What the YAML file *path* says; None if it can't be read."""
    done = run((str(python), str(_ASK), "yaml", str(path)), surroundings(), patience=60)
    return json.loads(done.output) if done.status == 0 else None
