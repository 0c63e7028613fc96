"""``export``: a find as what the maintainers of its target expect.

Runs the program once more, on a QEMU whose memory is not shared, so that everything that was done to it is on record.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from fuzz import driver_side, finds
from fuzz.commands.replaying import target_words
from fuzz.finds import Find
from fuzz.program import Program
from fuzz.report import qtest_log, qtest_proof
from fuzz.report.qtest_log import Known, Ran
from fuzz.report.qtest_proof import Facts, Place
from fuzz.report.qtest_script import About, Stock, script
from fuzz.targets import TargetDied, TargetError, TargetHung
from fuzz.targets.qemu.machine import LANDING, LANDING_SIZE, WINDOW_SIZE
from fuzz.targets.qemu.private import SESSION, Private
from fuzz.targets.qemu.session import QemuSession
from fuzz.targets.qemu.target import Qemu, make
from fuzz.trouble import CONFORMS, FOUND, UNCLEAR, UsageTrouble, deliver
from fuzz.verdict import BAD, CRASHED, HUNG, UNDECIDED, Outcome

_TRIES = 5, 40  # runs of a program that does not fail every time: at least, at most
_LONGEST = 300.0  # seconds that a script may take
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class _Take:
    """What came of one execution, with its record."""

    outcome: Outcome
    log: list[str]
    runs: list[Ran]
    facts: Facts


def export(path: Path, target: str | None, qemu: str, out: Path | None) -> int:
    """Write the script. Returns the exit code."""
    find = finds.load(path)
    words, qemu = target_words(find, target, qemu, path)
    if not words.startswith("qemu:"):
        raise UsageTrouble(f"{path} belongs on {words}: only what runs on a target qemu:DEVICE becomes a qtest script")
    made = make(words, qemu, Private)
    try:
        machine = made.machine
        assert isinstance(machine, Private)
        _, left_out = _stock(machine, words, False)  # before anything is run: whether there can be such a script
        take = _record(made, machine, find)
        if take.outcome.verdict not in BAD:
            unclear = take.outcome.verdict == UNDECIDED
            print(f"nothing to export: {path} {'is undecided' if unclear else 'conforms'} on {words}", file=sys.stderr)
            return UNCLEAR if unclear else CONFORMS
        version = made.describe().get("version", "a QEMU of unknown version")
    finally:
        made.close()
    text, shown, last = _script(machine, words, version, take)
    deliver(text, out)
    what = "shows it" if shown else f"does not show {take.outcome.rule}"
    lacks = " (nobody is the device's peer in it)" if left_out and not shown else ""
    print(f"the script {what} on {version}{lacks}: {last}", file=sys.stderr)
    return CONFORMS if shown else UNCLEAR


def _script(machine: Private, words: str, version: str, take: _Take) -> tuple[str, bool, str]:
    """The script, whether it shows what it must, and what it says.

    What stands behind the device is as plain as it can be, if that will do and no lever is moved.
    """
    proof = qtest_proof.prove(take.outcome, take.facts)
    told = qtest_log.chapters(take.log, take.runs, _known(machine), whole=proof.whole, interrupts=proof.interrupts)
    monitor = any(line.startswith("{") for chapter in told for line in chapter.lines)
    text, shown, last = "", False, ""
    for plain in (False,) if monitor else (True, False) if machine.behind.levers else (True,):
        stock, left_out = _stock(machine, words, plain)
        about = About(words, version, [run.program for run in take.runs], left_out)
        text = script(about, take.outcome, told, proof, stock)
        shown, last = _seen(text, shlex.join(machine.qemu))
        if shown:
            break
    return text, shown, last


# --- the record ------------------------------------------------------------------------------------------------------


def _record(made: Qemu, machine: Private, find: Find) -> _Take:
    """An execution that fails as the find says; else one that fails in another way; else any."""
    known = str(find.meta.get("rule", ""))
    runs = find.meta.get("runs") or {"again": 1, "of": 1}
    tries = min(max(_TRIES[0], 4 * runs["of"] // max(1, runs["again"])), _TRIES[1])
    best: _Take | None = None
    for _ in range(tries):
        take = _take(made, machine, find, known)
        if take.outcome.verdict in BAD and known in ("", take.outcome.rule):
            return take
        if best is None or take.outcome.verdict in BAD:
            best = take
        if not known:
            break
    assert best is not None
    return best


def _take(made: Qemu, machine: Private, find: Find, known: str) -> _Take:
    made.restart()
    runs: list[Ran] = []
    for program in (*find.before, find.program):
        session = made.open()
        machine.transport.status()
        status = _place(machine.asked)
        interrupts = _place(machine.interrupts()) if machine.transport.shared else (0, 0)
        outcome, ran = _run(made, machine, session, program)
        runs.append(ran)
        log, memory = list(machine.log), machine.memory()
        register = _place(machine.asked) if "become reset" in outcome.reason else (0, 0)
        session.close()
    if outcome.verdict not in BAD and known in (CRASHED, HUNG):  # it may show only when the session is over
        log = list(machine.log)
        outcome = _aftermath(made, outcome)
    if sum(line == SESSION for line in log) != len(runs):
        raise TargetError(f"{made.name} does not survive the programs that must run first")
    facts = Facts(status, LANDING, interrupts, memory, machine.address, register)
    return _Take(outcome, log, runs, facts)


def _run(made: Qemu, machine: Private, session: QemuSession, program: Program) -> tuple[Outcome, Ran]:
    times: list[float] = []

    def begun(number: int) -> None:
        machine.note(f"step {number}")
        times.append(time.monotonic())

    hints = dict(made.limits.hints)
    outcome = driver_side.run(program, session, hints=hints, patient=True, begun=begun)
    times.append(time.monotonic())
    seconds = [after - before for before, after in pairwise(times)]
    return outcome, Ran(program, outcome.trace, seconds)


def _aftermath(made: Qemu, outcome: Outcome) -> Outcome:
    """How QEMU took the end of the session."""
    try:
        made.open().close()
    except TargetDied as died:
        outcome.verdict, outcome.reason = CRASHED, str(died)
    except TargetHung as hung:
        outcome.verdict, outcome.reason = HUNG, str(hung)
    return outcome


def _place(question: str) -> Place:
    """The register that a question is about: ``readw 0x…``."""
    command, _, address = question.partition(" ")
    return int(address, 0), {"readb": 1, "readw": 2, "readl": 4}[command]


def _known(machine: Private) -> Known:
    """What commands are about, and what memory is for what."""
    transport = machine.transport
    doorbells = {transport.doorbell(queue): f"notify queue {queue}" for queue in range(machine.behind.queues)}
    window = range(machine.address, machine.address + WINDOW_SIZE)
    return Known(doorbells, transport.registers(), window, range(LANDING, LANDING + LANDING_SIZE))


# --- a QEMU without us -----------------------------------------------------------------------------------------------


def _stock(machine: Private, words: str, plain: bool) -> tuple[Stock, str]:
    """How to start QEMU for a script, and what it then lacks. Raises UsageTrouble if it can't do without us."""
    alone = machine.behind.alone()
    options = []
    replaced = []
    for word in [*machine.board(machine.accelerator), *machine.devices(plain)]:
        names = [name for name in _PLACEHOLDER.findall(word) if name != "folder"]
        if not all(name in alone for name in names):
            raise UsageTrouble(f"{words} can't do without the peer that vqfuzz plays, and a script can't play it")
        options.append(alone[names[0]] if names else word)
        replaced += [alone[name] for name in names]
    left_out = f"Nobody is the device's peer: where vqfuzz was, there is {' and '.join(replaced)}." if replaced else ""
    return Stock(options, machine.behind.plain_files() if plain else machine.behind.files()), left_out


def _seen(text: str, qemu: str) -> tuple[bool, str]:
    """Run the script: whether it shows what is wrong, and what it says."""
    with tempfile.NamedTemporaryFile("w", prefix="vqfuzz-", suffix=".sh", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            done = subprocess.run(["sh", file.name], env={**os.environ, "QEMU": qemu}, capture_output=True, text=True,
                                  timeout=_LONGEST, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            return False, f"it does not end within {_LONGEST:g} s"
    said = [line for line in done.stdout.splitlines() if line.startswith(("WRONG", "RIGHT", "UNCLEAR"))]
    return done.returncode == FOUND, said[0] if said else done.stderr.strip() or f"exit status {done.returncode}"
