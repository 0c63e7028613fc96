"""Programs as text (``.vq``) and as bytes.

Text is the truth: what people write, what a find is saved as, what is compared. Its reader is strict
for people (one line says where, what and the mend) and forgiving for corpora of older versions. Bytes
are for fuzzers: any of them decode. Knows the words of the text form; must not know what a program
does on a ring, beyond what could never be meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fuzz import wild
from fuzz.choices import Bytes
from fuzz.device_reader import DEVICE_LINES, DEVICE_WRITERS
from fuzz.program import (
    ROLES,
    Lever,
    Limits,
    Notify,
    Poke,
    Program,
    Publish,
    QueueReset,
    Receive,
    Reset,
    Restart,
    Step,
    Supply,
    Suppress,
    Wild,
)
from fuzz.reader import HEADER, STEP_LINES, VERSION, Reader
from fuzz.words import Problem
from oracles import spec

MAX_TEXT = 1 << 20  # characters of a file


class ProgramError(ValueError):
    """A text that is no program. ``str()`` is one line: ``name:LINE: what is wrong; the mend``."""


# --- writing ---------------------------------------------------------------------------------------------------------


def dump(program: Program) -> str:
    """The canonical text of *program*: ``load(dump(program)) == program`` for every valid program."""
    lines = [f"{HEADER} {VERSION}"]
    if program.device != "any":
        lines.append(f"device {program.device}")
    if program.role != ROLES[0]:
        lines.append(f"role {program.role}")
    for queue in program.queues:
        start = f" start={queue.start}" if queue.start else ""
        lines.append(f"queue {program.layout} {queue.size}{start}")
    lines.append(" ".join(["features", *spec.feature_names(program.features & ~spec.RING_PACKED)]))
    lines.extend(map(line, program.steps))
    lines.append("")
    return "\n".join(lines)


def line(step: Step) -> str:
    """The canonical text of one step, without a line end."""
    return _WRITERS[type(step)](step)


def _on(queue: int) -> str:
    return f" queue={queue}" if queue else ""


def _supply(step: Supply) -> str:
    words = ["supply"]
    if step.request is not None:
        words.append(step.request.kind)
        words.extend(f"{name}={value}" for name, value in step.request.fields)
        if step.cut:
            words.append("cut=" + ",".join(str(length) if length else "rest" for length in step.cut))
    words.extend(f"out:{length}" for length in step.readable)
    words.extend(f"in:{length}" for length in step.writable)
    if step.indirect is not None:
        words.append(f"indirect={step.indirect}" if step.indirect else "indirect")
    if step.answer is not None:
        words.append(f"answer={step.answer}")
    if step.held:
        words.append("held")
    if step.gap:
        words.append("gap")
    return " ".join(words) + _on(step.queue)


def _suppress(step: Suppress) -> str:
    ahead = f" ahead={step.ahead}" if step.mode == "event" else ""
    junk = " junk" if step.junk else ""
    return f"suppress {step.mode}{ahead}{junk}{_on(step.queue)}"


def _queue_reset(step: QueueReset) -> str:
    return "queue-reset" + (f" size={step.size}" if step.size else "") + _on(step.queue)


def _poke(step: Poke) -> str:
    place = f" {step.place}" if step.what in wild.PLACED else ""
    address = f" addr={step.address}" if step.address else ""
    return f"poke {step.what}{place}{address}{_values(step.values)}{_on(step.queue)}"


def _values(values: tuple[tuple[str, int], ...]) -> str:
    return "".join(
        f" {name}={wild.flags(value) if name in ('flags', 'toggle') else wild.number(value)}" for name, value in values
    )


_WRITERS: dict[type, Callable[..., str]] = {
    Supply: _supply,
    Publish: lambda step: "publish" + _on(step.queue),
    Notify: lambda step: "notify" + (" force" if step.force else "") + _on(step.queue),
    Receive: lambda step: f"receive {step.count}" + (" asleep" if step.asleep else "") + _on(step.queue),
    Suppress: _suppress,
    Reset: lambda step: "reset",
    QueueReset: _queue_reset,
    Restart: lambda step: "restart" + _on(step.queue),
    Lever: lambda step: f"lever {step.name}={step.value}",
    Poke: _poke,
    Wild: lambda step: f"{step.way} {step.name}{_values(step.values)}",
    **DEVICE_WRITERS,
}


# --- reading ---------------------------------------------------------------------------------------------------------


def load(text: str, name: str = "program") -> Program:
    """The program that *text* says. Raises ProgramError, which speaks of the text as *name*."""
    if len(text) > MAX_TEXT:
        raise ProgramError(f"{name}:1: larger than 1 MiB; programs are a few kilobytes, is this another file?")
    reader = Reader()
    number = 1
    try:
        for at, words in _lines(text):
            number = at
            reader.take(words)
        reader.begin_steps()
    except Problem as problem:
        raise ProgramError(f"{name}:{number}: {problem}") from None
    return reader.program()


def repair(text: str) -> tuple[Program, list[str]]:
    """What can be read of *text*, and a line about each thing that was left out. Never raises."""
    left_out: list[str] = []
    if len(text) > MAX_TEXT:
        left_out.append("larger than 1 MiB: the rest is left out")
    reader = Reader()
    lines = list(_lines(text[:MAX_TEXT]))
    if lines and lines[0][1][:1] != [HEADER]:
        left_out.append(f"line 1: no «{HEADER} {VERSION}»; taken as if it were there")
        reader.version = VERSION
    for number, words in lines:
        try:
            if not reader.queues and words[:1] and (words[0] in STEP_LINES or words[0] in DEVICE_LINES):
                left_out.append(f"line {number}: no queue line before this; «queue split 8» taken")
                reader.take(["queue", reader.layout or spec.SPLIT, "8"])
            if words:
                reader.take(words)
        except Problem as problem:
            left_out.append(f"line {number}: {problem}")
            reader.version = VERSION
    if not reader.queues:
        left_out.append("no queue line; «queue split 8» taken")
    return reader.program(), left_out


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The first line, then all that say something; numbered, as words, without comments."""
    for number, raw in enumerate(text.split("\n"), 1):
        words = raw.partition("#")[0].split()
        if "\0" in raw:
            words = [raw]  # no word of ours, comment or not: the reader refuses it
        if words or number == 1:
            yield number, words


# --- bytes -----------------------------------------------------------------------------------------------------------


def from_bytes(data: bytes, limits: Limits) -> Program:
    """The program that *data* chooses. Total: any bytes make a valid program, the same one everywhere."""
    from fuzz.generate import program

    return program(Bytes(data), limits)
