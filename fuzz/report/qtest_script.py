"""A find as one shell script: it starts a stock QEMU, gives it qtest commands, and tells from rings what came of it.

Knows shells, and QEMU's options for whoever talks to it over standard input. Runs nothing.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fuzz import __version__, encoding
from fuzz.program import Program
from fuzz.report import qtest_proof
from fuzz.report.qtest_log import Chapter
from fuzz.report.qtest_proof import ENDED, Proof
from fuzz.report.text import where
from fuzz.verdict import BROKEN, CRASHED, HUNG, Outcome
from oracles.rules import registry

WIDTH = 120
_SPARE = {HUNG: 8}  # seconds beyond all pauses after which a QEMU that is not done hangs …
_USUALLY = 20  # … where that is not what must be shown
_HEADLINES = {
    CRASHED: "QEMU dies",
    HUNG: "QEMU hangs",
    BROKEN: "the device gives up with DEVICE_NEEDS_RESET, though the driver kept every rule (2.1.2)",
}
_PORT = 0xF4  # where QEMU is told to end

_HEAD = """\
qemu=${QEMU:-qemu-system-x86_64}
here=$(mktemp -d "${TMPDIR:-/tmp}/vqfuzz-XXXXXX") || exit 2
trap 'rm -rf "$here"' EXIT
trap 'exit 2' HUP INT PIPE TERM
: > "$here/answers"

# No guest runs: firmware that halts.
{ head -c 65520 /dev/zero; printf '\\372\\364\\353\\375'; head -c 12 /dev/zero; } > "$here/halt.bin"
"""

_FUNCTIONS = """\
# qtest commands from standard input, without what is said about them.
qtest() {
    sed 's/ *#.*//'
}

# Waits until QEMU has answered $1 commands, and for $2 seconds more, in which the device does what it does.
pause() {
    tries=0
    while [ ! -e "$here/ended" ] && [ "$(grep -Ec '^(OK|FAIL|ERR)' "$here/answers")" -lt "$1" ]; do
        [ $((tries += 1)) -le 500 ] || return
        sleep 0.01
    done
    sleep "$2"
}
"""

_MONITOR = """\
mkfifo "$here/monitor.in" "$here/monitor.out"
exec 3<>"$here/monitor.in" 4<>"$here/monitor.out"

# A command for QEMU's monitor, which is done before anything else happens.
monitor() {
    printf '%s\\n' "$1" >&3
    sleep 0.2
}
"""

_TAIL = """\
awk -v ended="$(cat "$here/ended")" -f "$here/check.awk" "$here/answers"
result=$?
if [ "$result" -eq 1 ]; then
    cat <<'TEXT'
{verdict}
TEXT
fi
if [ -s "$here/words" ]; then
    echo "QEMU said:"
    tail -n 5 "$here/words" | sed 's/^/    /'
fi
exit "$result"
"""


@dataclass(frozen=True, slots=True)
class Stock:
    """How to start a QEMU that nobody talks to but the script."""

    options: list[str]  # with {folder}
    files: tuple[tuple[str, int], ...]  # to be made in the folder: name, bytes


@dataclass(frozen=True, slots=True)
class About:
    """What the script says of itself."""

    target: str
    seen_on: str  # QEMU's version
    programs: Sequence[Program]  # the last one fails
    left_out: str = ""  # what the script can't do


def script(about: About, outcome: Outcome, chapters: Sequence[Chapter], proof: Proof, stock: Stock) -> str:
    """The script."""
    monitor = any(line.startswith("{") for chapter in chapters for line in chapter.lines)
    parts = [_comment(about, outcome), _HEAD]
    if stock.files:
        folders = sorted({name.rpartition("/")[0] for name, _ in stock.files} - {""})
        made = [f'mkdir "$here/{name}"\n' for name in folders]
        made += [f'truncate -s {size} "$here/{name}"\n' for name, size in stock.files]
        parts.append("# What stands behind the device.\n" + "".join(made))
    parts.append(_FUNCTIONS)
    if monitor:
        parts.append(_MONITOR)
    body, seconds = _body(chapters, proof, monitor)
    parts.append(body + _start(stock, monitor, seconds + _SPARE.get(outcome.verdict, _USUALLY)))
    awk = qtest_proof.program(proof, outcome.verdict)
    parts.append(f"# What it answered.\ncat > \"$here/check.awk\" <<'AWK'\n{awk}AWK")
    verdict = "\n".join(_verdict(outcome, about.programs[-1].layout))
    parts.append(_TAIL.replace("{verdict}", verdict))
    return "\n".join(parts)


# --- what is said ----------------------------------------------------------------------------------------------------


def _verdict(outcome: Outcome, layout: str) -> list[str]:
    """What is wrong, where that is written, and what was seen."""
    violation = outcome.violation
    rule = registry().get(violation.rule) if violation is not None else None
    if violation is None:
        lines = [_HEADLINES.get(outcome.verdict, outcome.verdict), outcome.reason]
    elif rule is None:
        lines = [violation.rule, violation.message]
    else:
        lines = [rule.title, f"{where(rule, layout)}; rule {rule.id} of vqfuzz: {rule.text}"]
        lines += [f"Seen: {violation.message}"]
        lines += [f"Expected: {violation.expected}"] if violation.expected else []
    return [piece for line in lines if line for piece in _wrapped(line, "")]


def _comment(about: About, outcome: Outcome) -> str:
    """The head of the script."""
    first, *others = _verdict(outcome, about.programs[-1].layout)
    lines = [f"{about.target.removeprefix('qemu:')}: {first}", "", *others, ""]
    lines += _wrapped(f"Made by vqfuzz {__version__} from a run on {about.seen_on}.", "")
    lines += ["It needs a stock QEMU and no guest."]
    lines += _wrapped(about.left_out, "")
    lines += [
        "",
        "    sh THIS-FILE                                  # with the qemu-system-x86_64 on the PATH",
        "    QEMU='build/qemu-system-x86_64' sh THIS-FILE  # with another",
        "",
        "Exit status: 1 it is wrong, 0 it is right, 2 that can't be told.",
    ]
    for number, program in enumerate(about.programs, 1):
        many = len(about.programs) > 1
        lines += ["", f"Program {number} of {len(about.programs)}:" if many else "The program:", ""]
        lines += [piece for line in encoding.dump(program).splitlines() for piece in _wrapped(line, "    ")]
    return "\n".join(["#!/bin/sh", *(f"# {line}".rstrip() for line in lines)]) + "\n"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - 2, initial_indent=indent, subsequent_indent=indent + "    " if indent else "",
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


# --- what is done ----------------------------------------------------------------------------------------------------


def _body(chapters: Iterable[Chapter], proof: Proof, monitor: bool) -> tuple[str, float]:
    """All that is given to QEMU, and how long the pauses are."""
    lines = ["# shellcheck disable=SC2086  # what starts QEMU may be several words", "{"]
    count = 0
    seconds = proof.pause
    if monitor:
        lines += _said('{"execute": "qmp_capabilities"}')
    for chapter in chapters:
        if chapter.title:
            lines += textwrap.wrap(chapter.title, WIDTH, initial_indent="# ", subsequent_indent="#     ")
        if chapter.lines and chapter.lines[0].startswith("{"):
            lines += [f"pause {count} 0", *_said(chapter.lines[0])]
            seconds += 0.2
        elif chapter.lines:
            lines += ["qtest <<'END'", *chapter.lines, "END"]
            count += len(chapter.lines)
        if chapter.pause >= 0:
            lines.append(f"pause {count} {chapter.pause:g}")
            seconds += chapter.pause
    lines += [f"pause {count} {proof.pause:g}", "# What came of it; then QEMU is told to end.", "qtest <<'END'"]
    lines += [f"read {address:#x} {length:#x}" for address, length in proof.reads]
    lines += [f"outb {_PORT:#x} {ENDED >> 1:#x}", "END", "} | {"]
    return "\n".join(lines), seconds


def _said(line: str) -> list[str]:
    return [f"monitor {shlex.quote(json.dumps(json.loads(line)))}"]


def _start(stock: Stock, monitor: bool, seconds: float) -> str:
    """The command that starts QEMU, for at most so many seconds."""
    options = [*stock.options, "-qtest", "stdio", "-qtest-log", "none", "-device", f"isa-debug-exit,iobase={_PORT:#x}"]
    if monitor:
        options += ["-qmp", "pipe:{folder}/monitor"]
    lines = [f"\ntimeout -s KILL {round(seconds)} $qemu"]
    for word in options:
        if word.startswith("-"):
            lines.append(_quoted(word))
        else:
            lines[-1] += f" {_quoted(word)}"
    command = " \\\n    ".join(lines)
    return f'{command} \\\n    > "$here/answers" 2> "$here/words"\necho $? > "$here/ended"\n}}\n'


def _quoted(word: str) -> str:
    """For a shell, with the folder in it."""
    if "{folder}" not in word:
        return shlex.quote(word)
    inner = re.sub(r'(["\\$`])', r"\\\1", word).replace("{folder}", "$here")
    return f'"{inner}"'
