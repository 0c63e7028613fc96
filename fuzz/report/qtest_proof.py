"""What a script has to look at when all commands were given, and how a plain awk tells from it whether a find is there.

Knows rings as oracles do, and what it was that broke a rule: the last observations of a trace. Runs nothing.

The awk walks the ring from where the device was, names what it finds, and comes to one of three ends: exit status
1, the wrong is there; 0, all is as it must be; 2, this can't be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fuzz.verdict import BROKEN, CRASHED, HUNG, VIOLATES, Outcome
from oracles import spec
from oracles.oracle import Oracle
from oracles.queue_oracle import QueueOracle
from oracles.trace import Allowed, Called, Changed, Entry, Idle, SawDescriptor, SawUsed, Scanned, Started, Supplied

PATIENCE = 1.0  # seconds given to what is owed
ENDED = 33  # how QEMU ends when it is told to: (0x10 << 1) | 1, see docs of isa-debug-exit

_SHOWN = 64  # bytes of a buffer that are compared

Place = tuple[int, int]
"""(address, bytes)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Where to look for what is not in rings, and what was seen there."""

    status: Place  # the device status
    landing: int  # where interrupts write their numbers
    shared: Place  # the interrupt status, if there is one interrupt for everything; of 0 bytes if not
    memory: bytes  # of rings and buffers, at the end
    address: int  # of that
    register: Place = (0, 0)  # that was waited for, and never became 0

    def seen(self, place: Place) -> bytes:
        """What was read there."""
        at = place[0] - self.address
        return self.memory[at : at + place[1]]


@dataclass(slots=True)
class Proof:
    """What is read at the end, and the statements that judge it."""

    reads: list[Place] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    pause: float = 0.3
    whole: bool = False  # whether all memory must be as it was
    interrupts: bool = False  # whether interrupts must have been taken note of

    def read(self, place: Place) -> int:
        """Read *place*; the number by which the statements know it."""
        self.reads.append(place)
        return len(self.reads)


def prove(outcome: Outcome, facts: Facts) -> Proof:
    """The proof of a bad outcome."""
    proof = Proof()
    status = proof.read(facts.status)
    proof.statements.append(f"status = number({status}, 0, 1)")
    proof.statements.append(r'printf "The device status is 0x%02x.\n", status')
    if outcome.verdict == BROKEN:
        proof.statements.append('if (int(status / 64) % 2) judge(1, "DEVICE_NEEDS_RESET is set")')
        proof.statements.append('judge(0, "the device goes on")')
    elif outcome.verdict == HUNG and facts.register[1]:
        number = proof.read(facts.register)
        text = f"the register at {facts.register[0]:#x} is %d, and must become 0"
        proof.statements.append(f"value = number({number}, 0, {facts.register[1]})")
        proof.statements.append(f'judge(value, sprintf("{text}", value))')
        proof.pause = PATIENCE
    elif outcome.verdict == VIOLATES:
        _violation(proof, outcome, facts)
    else:  # a crash or a hang shows in how QEMU ends
        proof.pause = PATIENCE if outcome.verdict in (CRASHED, HUNG) else proof.pause
        proof.statements.append('judge(0, "QEMU lives and answers")')
    return proof


def _violation(proof: Proof, outcome: Outcome, facts: Facts) -> None:
    violation, trace = outcome.violation, outcome.trace
    assert violation is not None
    last = trace[-1][1] if trace else None
    queue = violation.queue
    waited = isinstance(last, Idle) and violation.position < 0
    cut = max(len(trace) - 1, 0) if waited or isinstance(last, Allowed | Changed) else _shown(trace, queue)
    state = Oracle()
    for number, observation in trace[:cut]:
        state.feed(number, observation)
    oracle = state.queue(queue)
    _ring(proof, oracle)
    if not waited:
        proof.statements.append(f'said = "{_plain(violation.message)}"')
    if waited:
        proof.pause = PATIENCE
        if oracle.reader.due:
            proof.interrupts = True
            name = "INTx" if facts.shared[1] else f"MSI-X vector {queue + 1}"
            missing = f"no used buffer notification came ({name})"
            proof.statements.append(f'if (!({_called(proof, facts, queue)})) judge(1, "{missing}")')
    elif isinstance(last, Changed):
        proof.whole = True
        _same(proof, (last.address, len(last.data)), last.data)
    elif isinstance(last, Scanned):
        proof.whole = True
        if violation.position >= 0:
            _entries(proof, oracle, trace, cut)
        _scanned(proof, trace, last, facts)
    elif isinstance(last, Called):
        proof.interrupts = True
        came = _called(proof, facts, queue)
        proof.statements.append(f'if ({came}) judge(1, "a used buffer notification came that must not come")')
    elif isinstance(last, Allowed):
        _words(proof, oracle, last)
    else:
        _entries(proof, oracle, trace, cut)
        seen = trace[cut][1] if trace else None
        if isinstance(seen, SawUsed) and ("IDX" in violation.rule or violation.rule == "INO-RESTART"):
            _index(proof, oracle, seen)
    proof.statements.append("if (seen && !differs) judge(1, seen)")
    proof.statements.append(f"conclude({int(waited and not oracle.reader.due)})")


def _shown(trace: Sequence[Entry], queue: int) -> int:
    """The index of the last look at the ring that showed anything; of the last observation, if none did."""
    looks = [place for place, (number, seen) in enumerate(trace)
             if number == queue and isinstance(seen, SawUsed | SawDescriptor)]  # fmt: skip
    return looks[-1] if looks else max(len(trace) - 1, 0)


def _ring(proof: Proof, oracle: QueueOracle) -> None:
    """Walk what was used since."""
    started, queue = oracle.started, oracle.queue
    words = " ".join(f"{buffer.id}:{buffer!r}:{buffer.slots}" for buffer in queue.older(len(queue.by_id)))
    proof.statements.append(f'outstanding("{words}", {int(queue.in_order)})')
    if started is None:  # the device was faster than the driver
        return
    position = oracle.reader.position()
    if started.layout == spec.SPLIT:
        number = proof.read((started.device, 4 + 8 * started.size))
        proof.statements.append(f"walk_split({number}, {started.size}, {position})")
    else:
        number = proof.read((started.descriptor, 16 * started.size))
        proof.statements.append(f"walk_packed({number}, {started.size}, {position & 0x7FFF}, {position >> 15})")


def _called(proof: Proof, facts: Facts, queue: int) -> str:
    """Whether an interrupt came, as an expression."""
    if facts.shared[1]:
        return f"number({proof.read(facts.shared)}, 0, 1) % 2"
    return f"number({proof.read((facts.landing + 4 * (queue + 1), 4))}, 0, 4)"


def _same(proof: Proof, place: Place, data: bytes) -> None:
    """What is ``said`` is so if *place* reads *data*."""
    number = proof.read(place)
    proof.statements.append(f'same("{data.hex()}", bytes({number}, 0, {len(data)}), said)')


def _scanned(proof: Proof, trace: Sequence[Entry], last: Scanned, facts: Facts) -> None:
    """Bytes of a used buffer that are still as they were before, or the beginning of a wrong answer."""
    supplied = [seen for _, seen in trace if isinstance(seen, Supplied) and seen.buffer == last.buffer]
    offset, length = last.kept[0] if last.kept else (0, _SHOWN)
    at = 0
    for start, size in _writable(supplied[-1]) if supplied else ():
        first, end = max(offset, at), min(offset + length, at + size)
        if first < end:
            place = (start + first - at, min(end - first, _SHOWN))
            _same(proof, place, facts.seen(place))
            break
        at += size
    if last.wrong:
        text = f"b{last.buffer} does not read as it did when it was wrong"
        proof.statements += ["if (seen && !differs) judge(1, seen)", f'unclear("{text}")']


def _writable(told: Supplied) -> list[Place]:
    left = told.readable
    found = []
    for start, size in told.elements:
        if left <= 0:
            found.append((start, size))
        left -= size
    return found


def _entries(proof: Proof, oracle: QueueOracle, trace: Sequence[Entry], cut: int) -> None:
    """The used entries that were seen, which must not be as they were."""
    started, seen = oracle.started, trace[cut][1] if trace else None
    if not isinstance(started, Started):
        return
    if isinstance(seen, SawDescriptor):
        data = seen.data[8:]
        place = (started.descriptor + 16 * seen.position + 8, 8)
        _same(proof, place, data)
    elif isinstance(seen, SawUsed) and seen.elements:
        first = oracle.reader.position() % started.size
        count = min(len(seen.elements) // 8, started.size - first)
        place = (started.device + 4 + 8 * first, 8 * count)
        _same(proof, place, seen.elements[: 8 * count])
    elif isinstance(seen, SawUsed):
        _index(proof, oracle, seen)


def _index(proof: Proof, oracle: QueueOracle, seen: SawUsed) -> None:
    """The used idx that was seen."""
    assert oracle.started is not None
    _same(proof, (oracle.started.device + 2, 2), seen.idx.to_bytes(2, "little"))


def _words(proof: Proof, oracle: QueueOracle, seen: Allowed) -> None:
    """The words with which the device asks for notifications, or not to be told."""
    started = oracle.started
    assert started is not None
    flags, event = seen.flags.to_bytes(2, "little"), seen.event.to_bytes(2, "little")
    if started.layout == spec.SPLIT:
        _same(proof, (started.device, 2), flags)
    else:
        _same(proof, (started.device, 4), event + flags)


def _plain(text: str) -> str:
    """For a string of awk."""
    return text.replace("\\", " ").replace('"', "'").replace("%", "%%")


_MAIN = """\
/^OK 0x/ { answer[++answers] = substr($2, 3) }
END {
    if (ended == 137) fatal("QEMU hangs: after " NR " answers no more came", HANG_EXPECTED)
    if (!NR) unclear("QEMU did not start: exit status " ended)
    if (ended != ENDED) fatal("QEMU died with exit status " ended " after " NR " answers", DEATH_EXPECTED)
    offset = answers - READS  # only questions at the end have such answers, or count
STATEMENTS
}
function judge(wrong, text) { print (wrong ? "WRONG: " : "RIGHT: ") text "."; exit wrong ? 1 : 0 }
function unclear(text) { print "UNCLEAR: " text "."; exit 2 }
function fatal(text, expected) { if (expected) judge(1, text); unclear(text) }
"""

_BYTES = """\
# Bytes of answer number *which*, as they stand there; their value, little-endian.
function bytes(which, at, count) { return substr(answer[offset + which], 2 * at + 1, 2 * count) }
function number(which, at, count,    text, value) {
    text = bytes(which, at, count)
    for (at = 2 * count - 1; at > 0; at -= 2)
        value = 256 * value + 16 * digit(substr(text, at, 1)) + digit(substr(text, at + 1, 1))
    return value + 0
}
function digit(text) { return index("0123456789abcdef", text) - 1 }
"""

_RING = """\
# Outstanding buffers, oldest first: id, name and descriptors of each; whether they come back in that order.
function outstanding(words, ordered,    place, part) {
    in_order = ordered
    total = split(words, word, " ")
    for (place = 1; place <= total; place++) {
        split(word[place], part, ":")
        rank[part[1]] = place
        name[place] = part[2] " (id " part[1] ")"
        slots[place] = part[3]
    }
    oldest = 1
}
# A used entry names *id*: the buffers that it gives back, as a text. Sets given, and room: their descriptors.
function take(id, entry,    place, text) {
    given = room = 0
    if (id in rank && !(rank[id] in back))
        for (place = in_order ? oldest : rank[id]; place <= rank[id]; place++) {
            back[place] = 1
            given++
            room += slots[place]
            text = text (text ? ", " : "") name[place]
        }
    if (!given) strange = entry " names no outstanding buffer"
    returned += given
    if (in_order) oldest = rank[id] + 1
    return given ? text : "no outstanding buffer"
}
# The ring was walked: what comes of that, if nothing else is wrong.
function conclude(due) {
    if (strange) judge(1, strange)
    if (due && !(1 in back)) judge(1, name[1] " was never used")
    if (!returned && total) unclear("nothing was used")
    judge(0, total ? "what must come back came back" : "nothing else is to be seen")
}
"""

_SPLIT = """\
function walk_split(which, size, idx,    now, place, entry) {
    now = number(which, 2, 2)
    printf "used.idx is %d; it was %d, and buffers outstanding were %d.\\n", now, idx, total
    while (idx != now && !strange) {
        place = idx % size
        entry = sprintf("used.ring[%d] = {id %d, len %d}", place, number(which, 4 + 8 * place, 4), \\
            number(which, 8 + 8 * place, 4))
        print entry ": " take(number(which, 4 + 8 * place, 4), entry)
        if ((now - idx + 65536) % 65536 < given) strange = "used.idx moved by less than the buffers that came back"
        idx = (idx + given) % 65536
    }
}
"""

_PACKED = """\
function walk_packed(which, size, at, wrap,    flags, entry) {
    while (returned < total && !strange) {
        flags = number(which, 16 * at + 14, 2)
        entry = sprintf("descriptor %d = {len %d, id %d, AVAIL %d, USED %d}", at, number(which, 16 * at + 8, 4), \\
            number(which, 16 * at + 12, 2), int(flags / 128) % 2, int(flags / 32768) % 2)
        if (int(flags / 128) % 2 != wrap || int(flags / 32768) % 2 != wrap) {
            print entry ": not used; buffers outstanding are " total - returned "."
            return
        }
        print entry ": " take(number(which, 16 * at + 12, 2), entry)
        at += room
        if (at >= size) {
            at -= size
            wrap = 1 - wrap
        }
    }
}
"""

_SAME = """\
# It is wrong if all that is told here is the same.
function same(wrong, found, text) { if (wrong == found) seen = text; else differs = 1 }
"""
_PIECES = {"number(": _BYTES, "outstanding(": _RING, "walk_split(": _SPLIT, "walk_packed(": _PACKED, "same(": _SAME}


def program(proof: Proof, verdict: str) -> str:
    """The awk program. It is told with ``ended`` how QEMU ended."""
    text = _MAIN.replace("STATEMENTS", "\n".join(f"    {line}" for line in proof.statements))
    text += "".join(piece for call, piece in _PIECES.items() if any(call in line for line in proof.statements))
    facts = {"HANG_EXPECTED": verdict == HUNG, "DEATH_EXPECTED": verdict == CRASHED}
    for name, value in {**facts, "READS": len(proof.reads), "ENDED": ENDED}.items():
        text = text.replace(name, str(int(value)))
    return text
