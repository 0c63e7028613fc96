"""The record of a run on a QEMU, as chapters: a step of the program each, above the qtest commands that it became.

Knows the forms of commands, and what lies where in guest memory: that from the trace. Leaves out what makes no
difference to a device: guards, and what is in buffers that it may only write. Knows no rule, and runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fuzz import encoding
from fuzz.program import Program, Receive
from fuzz.targets.qemu.private import SESSION
from oracles import spec
from oracles.trace import Entry, Started, Supplied

PAUSE = 0.2  # seconds in which a device has done what it does at once

_LONG = 32  # bytes that are all the same, from which on they are filled in rather than written
_COMMENT = 44  # column of comments
_STATUS = {1: "ACKNOWLEDGE", 2: "DRIVER", 8: "FEATURES_OK", 4: "DRIVER_OK"}  # 2.1, in the order of 3.1.1
_ADDRESSED = re.compile(r"write[bwl]? (0x[0-9a-f]+) ")
_WRITE = re.compile(r"write (0x[0-9a-f]+) 0x[0-9a-f]+ 0x([0-9a-f]*)")
_WORD = re.compile(r"writew (0x[0-9a-f]+) (0x[0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that was run, how long each of its steps took, and what was seen."""

    program: Program
    trace: list[Entry]
    seconds: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Chapter:
    """Commands with a title. A monitor command (JSON) stands alone.

    *pause*: seconds to wait when all of it is answered; negative: don't even wait for answers.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    pause: float = -1.0


@dataclass(frozen=True, slots=True)
class Known:
    """Names of doorbells (commands) and of registers; where rings and buffers are, and what interrupts write."""

    doorbells: dict[str, str]
    registers: dict[int, str]
    window: range
    landing: range

    def notes(self, line: str) -> bool:
        """Whether with this command the driver took note of an interrupt."""
        address = _address(line)
        acknowledged = self.registers.get(address) == "InterruptACK"
        return line.startswith("read") or address in self.landing or acknowledged


def chapters(log: Sequence[str], runs: Sequence[Ran], known: Known, *, whole: bool, interrupts: bool) -> list[Chapter]:
    """All of *log*: what finds the device, then one session for each of *runs*.

    *whole*: with all that was written to memory. *interrupts*: with the driver's taking note of interrupts.
    """
    while log and known.notes(log[-1]):
        log = log[:-1]  # an interrupt that was taken note of last must stay to be seen
    starts = [place for place, line in enumerate(log) if line == SESSION]
    told = [Chapter("What firmware does: the device gets its addresses, and messages for interrupts.")]
    told[0].lines = _discovery(log[: starts[0]])
    for number, (run, start, end) in enumerate(zip(runs, starts, [*starts[1:], len(log)], strict=True)):
        teller = _Teller(run, known, _Places(run.trace, whole, number == 0), interrupts)
        name = f"program {number + 1} of {len(runs)}: " if len(runs) > 1 else ""
        told += teller.tell(log[start + 1 : end], name)
    return [chapter for chapter in told if chapter.lines or chapter.pause > 0]


def _discovery(log: Sequence[str]) -> list[str]:
    """BARs and the MSI-X table, without finding out how large the BARs are."""
    lines: list[str] = []
    select = ""
    for line in log:
        if line.startswith("outl 0xcf8 "):
            select = line
        elif line.startswith("outl 0xcfc ") and line != "outl 0xcfc 0xffffffff":
            lines += [select, line]
        elif line.startswith("writel "):
            lines.append(line)
    return lines


class _Teller:
    """One session."""

    def __init__(self, run: Ran, known: Known, places: _Places, interrupts: bool) -> None:
        self.run = run
        self.known = known
        self.places = places
        self.interrupts = interrupts
        self.told: list[Chapter] = []

    def tell(self, log: Sequence[str], name: str) -> list[Chapter]:
        """Its chapters."""
        steps = self.run.program.steps
        names = " ".join(spec.feature_names(self.run.program.features)) or "none"
        self.told.append(Chapter(f"{name}set-up with the ring features {names} (3.1.1)"))
        started = False
        for line in log:
            if line.startswith("# step "):
                number = int(line.removeprefix("# step "))
                self._wait(number - 1)
                words = encoding.line(steps[number - 1]) if number <= len(steps) else "nothing; no step is left"
                self.told.append(Chapter(f"{name}step {number}: {words}"))
                started = True
            elif line.startswith("{"):
                if started:  # what is said to a new QEMU before anything happens changes nothing
                    self._monitor(line)
            else:
                self._add(line, started)
        return self.told

    def _wait(self, number: int) -> None:
        """Step *number* is over: a device needs as long again as it took."""
        steps, seconds = self.run.program.steps, self.run.seconds
        if number == 0:
            self.told[-1].pause = 0.0  # QEMU may have been starting up to here
        elif isinstance(steps[number - 1], Receive):
            took = seconds[number - 1] if number <= len(seconds) else 0.0
            self.told[-1].pause = max(PAUSE, round(2 * took, 1))

    def _monitor(self, line: str) -> None:
        chapter = self.told[-1]
        if chapter.lines:
            self.told.append(Chapter("", [line]))
        else:
            chapter.lines.append(line)
        self.told.append(Chapter(""))

    def _add(self, line: str, started: bool) -> None:
        known, address = self.known, _address(line)
        if known.notes(line):
            if self.interrupts:
                self.told[-1].pause = PAUSE
                self.told.append(Chapter("", [_with(line, "the driver took note of an interrupt")]))
        elif address in known.window:
            self.told[-1].lines += self.places.lines(line, started)
        else:
            remark = known.doorbells.get(line) or known.registers.get(address, "")
            if remark.lower().endswith("status"):
                remark += ": " + (_status(int(line.split()[2], 0)) or "reset")
            self.told[-1].lines.append(_with(line, remark))
            if line in known.doorbells:
                self.told[-1].pause = 0.0  # a device is told by and by, but before the driver does anything else


def _address(line: str) -> int:
    """Where a command writes; -1 if it is none that does."""
    match = _ADDRESSED.match(line)
    return int(match[1], 0) if match else -1


def _status(value: int) -> str:
    return " ".join(name for bit, name in _STATUS.items() if value & bit)


def _with(line: str, remark: str) -> str:
    return f"{line:<{_COMMENT}}  # {remark}" if remark else line


class _Places:
    """What lies where, as a trace tells it."""

    def __init__(self, trace: Sequence[Entry], whole: bool, first: bool) -> None:
        self._whole = whole
        self._first = first
        found: dict[tuple[int, int], str] = {}
        self._queues: dict[int, tuple[str, Started]] = {}  # by the address of each area
        several = len({number for number, _ in trace}) > 1
        for number, seen in trace:
            queue = f"queue {number}: " if several else ""
            if isinstance(seen, Started):
                starts = (seen.descriptor, seen.driver, seen.device)
                for start, length in zip(starts, spec.area_sizes(seen.layout, seen.size), strict=True):
                    found[start, start + length] = queue
                    self._queues[start] = (queue, seen)
            elif isinstance(seen, Supplied):
                left = seen.readable
                for start, length in seen.elements:
                    if left > 0:
                        found[start, start + length] = f"b{seen.buffer}, to be read"
                    left -= length
                if seen.table[1]:
                    found[seen.table[0], sum(seen.table)] = f"b{seen.buffer}, its indirect table"
        self._found = sorted(found.items())

    def lines(self, line: str, started: bool) -> Iterator[str]:
        """The command *line*, which writes memory, as far as it matters and with what it writes.

        Before any step *started*, only what is written to rings matters: no buffer is there yet. Nor do zeros in the
        first session, for memory is zero.
        """
        match = _WORD.fullmatch(line)
        if match:
            address = int(match[1], 0)
            remark = self._name(address, 2)
            if (remark or self._whole) and (started or not self._first or int(match[2], 0)):
                yield _with(line, remark)
            return
        match = _WRITE.fullmatch(line)
        assert match, line
        address, data = int(match[1], 0), bytes.fromhex(match[2])
        if self._first and not started and not any(data):
            return
        if self._whole:
            yield _with(_write(address, data), self._name(address, len(data)))
            return
        at = address
        for (first, behind), _ in self._found:
            start, end = max(first, at), min(behind, address + len(data))
            if start < end and (started or first in self._queues):
                yield _with(_write(start, data[start - address : end - address]), self._name(start, end - start))
                at = end

    def _name(self, address: int, length: int) -> str:
        for (start, end), name in self._found:
            if start <= address < end:
                if start in self._queues:
                    queue, started = self._queues[start]
                    return queue + _part(started, start, address - start, length)
                return name
        return ""


def _part(started: Started, start: int, offset: int, length: int) -> str:
    """What stands at *offset* of the area that begins at *start*."""
    size = started.size
    if start == started.descriptor:
        first, last = offset // 16, (offset + length - 1) // 16
        if started.layout == spec.PACKED and offset % 16 == 14:
            return f"flags of descriptor {first}: available"
        return f"descriptor {first}" + (f" to {last}" if last > first else "")
    if started.layout == spec.PACKED:
        return "driver event suppression" if start == started.driver else "device event suppression"
    if length != 2:
        return "available ring" if start == started.driver else "used ring"
    area = "avail" if start == started.driver else "used"
    if offset < 4:
        return f"{area}.{'idx' if offset else 'flags'}"
    if area == "avail":
        return "used_event" if offset == 4 + 2 * size else f"avail.ring[{(offset - 4) // 2}]"
    return "avail_event" if offset == 4 + 8 * size else "used.ring"


def _write(address: int, data: bytes) -> str:
    if len(data) >= _LONG and len(set(data)) == 1:
        return f"memset {address:#x} {len(data):#x} {data[0]:#x}"
    return f"write {address:#x} {len(data):#x} 0x{data.hex()}"
