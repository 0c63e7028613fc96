"""What our readers must keep to, whatever they are given: what is read can be written, and read as the same again.

What can't be read is refused with an exception of the kind that the reader's docstring names, in one line. Any other
exception leaves the harness as it is. Each function takes an input and returns the property that it breaks, or None.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from fuzz import baseline, deviations, encoding, finds
from fuzz.fitting import fit
from fuzz.harness.raising import Found
from fuzz.program import Limits, Program, Queue, Supply
from fuzz.report import jsonl, text
from fuzz.report.cards import of_find
from fuzz.trouble import EnvironmentTrouble, UsageTrouble
from oracles import trace
from oracles import vhost_user as vu
from oracles.driver_oracle import judge_driver
from oracles.message_oracle import MessageOracle
from oracles.oracle import judge
from oracles.trace import Connected, Entry, Got, HungUp, Kicked, Observation, Sent, Started

_NAME = "input"
_LIMITS = (
    Limits(),
    Limits(role="device", actions=frozenset({"reset", "queue_reset", "restart"})),
    Limits(device="blk", actions=Limits().actions | {"hostile"}),
    Limits(layouts=("packed",), packed_sizes=(3,), features=0, in_order=(True,), queues=4, longest_element=8),
)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _line(error: Exception, begins: str) -> Found | None:
    """An error must be one line that begins with the place."""
    said = str(error)
    if "\n" in said or not said.startswith(begins) or len(said) <= len(begins):
        return Found("message_of_an_error", f"{type(error).__name__} says {said!r}")
    return None


# --- programs ---------------------------------------------------------------------------------------------------------


def program_text(data: bytes) -> Found | None:
    """Programs as text: ``load``, ``dump`` and ``repair``."""
    given = _text(data)
    try:
        program = encoding.load(given, _NAME)
    except encoding.ProgramError as error:
        repaired, left_out = encoding.repair(given)
        if not left_out:
            return Found("refused_and_not_repaired", f"load says {error}, and repair leaves nothing out", given)
        return _line(error, f"{_NAME}:") or _same(repaired, "repaired")
    if encoding.repair(given) != (program, []):
        return Found("repaired_though_right", "repair of what load reads is another program", given)
    return _same(program, "read")


def _same(program: Program, how: str) -> Found | None:
    """What was *how* must come back when it is written and read."""
    written = encoding.dump(program)
    try:
        back = encoding.load(written, _NAME)
    except encoding.ProgramError as error:
        return Found(f"unreadable_when_{how}", str(error), written)
    if back != program:
        return Found(f"another_when_{how}", f"written and read it is another: {back!r}", written)
    return None


def program_bytes(data: bytes) -> Found | None:
    """Programs that bytes choose: valid, within limits, and the same each time."""
    limits = _LIMITS[data[0] % len(_LIMITS) if data else 0]
    program = encoding.from_bytes(data, limits)
    if encoding.from_bytes(data, limits) != program:
        return Found("another_each_time", "the same bytes make two programs", encoding.dump(program))
    fitted = fit(program, limits)
    if fit(fitted, limits) != fitted:
        return Found("fitted_twice", "what fits does not fit as it is", encoding.dump(fitted))
    return _same(program, "chosen") or _same(fitted, "fitted")


# --- traces -----------------------------------------------------------------------------------------------------------


def trace_text(data: bytes) -> Found | None:
    """Traces as text; and no oracle fails on any, whatever it says."""
    try:
        entries = list(trace.load(_text(data)))
    except trace.TraceError as error:
        return _line(error, "line ")
    written = trace.dump(entries)
    if list(trace.load(written)) != entries:
        return Found("another_when_read", "a trace, written and read, is another", written)
    judge(entries)
    judge_driver(entries)
    return None


# --- vhost-user messages ----------------------------------------------------------------------------------------------


def vhost_user_messages(data: bytes) -> Found | None:
    """A connection on which anything is said: the oracle judges it, and our own back-end and front-end survive it."""
    oracle = MessageOracle()
    for number, observation in _conversation(data):
        oracle.feed(number, observation)
    oracle.conclude()
    _to_backend(data)
    return _to_frontend(data)


def _conversation(data: bytes) -> Iterator[Entry]:
    """*data* as what both ends say: a byte that tells which, then a message of theirs."""
    yield 0, Connected()
    at = 0
    while at + 4 <= len(data):
        kind, request, flags, size = data[at], data[at + 1] % 48, data[at + 2], data[at + 3] % 80
        payload = data[at + 4 : at + 4 + size]
        at += 4 + size
        descriptors = flags >> 6
        seen: Observation
        if kind % 8 < 4:
            seen = Sent(request, vu.VERSION | flags & 0x3C, payload, descriptors)
        elif kind % 8 < 6:
            seen = Got(request, vu.VERSION | flags & 0x3C, len(payload) if kind & 8 else flags, payload, descriptors)
        elif kind % 8 == 6:
            seen = Kicked() if kind & 8 else HungUp()
        else:
            layout = "packed" if kind & 8 else "split"
            seen = Started(layout, 1 + size % 8, 0x1000, 0x2000, 0x3000, vu.PROTOCOL_FEATURES, (0, 1 << 20))
        yield kind >> 4 & 3, seen


def _to_backend(data: bytes) -> None:
    """Our model of a back-end is told *data*, and hung up on."""
    from fuzz.targets.model.backend import Backend

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    backend = Backend(theirs)
    try:
        ours.send(data[: 1 << 14])
        backend.pump()
        ours.shutdown(socket.SHUT_WR)
        backend.pump()
    except OSError:  # of our own end: it has hung up already
        pass
    finally:
        backend.close()
        ours.close()


def _to_frontend(data: bytes) -> Found | None:
    """Our front-end is answered with *data*."""
    from fuzz.targets.vhost_user.frontend import ConversationError, Frontend

    ours, theirs = socket.socketpair()
    frontend = Frontend(ours, 0.5)
    try:
        theirs.send(data[: 1 << 14])
        theirs.shutdown(socket.SHUT_WR)
        frontend.negotiate()
        frontend.set_features(frontend.features)
        frontend.queue_count()
        frontend.config(16)
        frontend.vring_base(0)
        frontend.settle()
    except ConversationError as error:
        return _line(error, "")
    finally:
        frontend.close()
        theirs.close()
    return None


# --- what reports are made of -----------------------------------------------------------------------------------------

_PROGRAM = Program(queues=(Queue(2),), steps=(Supply((1,)),))


def report_inputs(data: bytes) -> Found | None:
    """Baselines, lists of known deviations, find.json, and events: the first byte says which."""
    readers: tuple[Callable[[str], Found | None], ...] = (_baseline, _deviations, _meta, _events)
    which = b"bdme".find(data[:1])
    return readers[max(which, 0)](_text(data[1:]))


def _baseline(given: str) -> Found | None:
    try:
        baseline.parse(given, _NAME)
    except UsageTrouble as error:
        return _line(error, _NAME)
    return None


def _deviations(given: str) -> Found | None:
    try:
        deviations.parse(given, _NAME)
    except EnvironmentTrouble as error:
        return _line(error, _NAME)
    return None


def _meta(given: str) -> Found | None:
    """Whatever is accepted as the description of a find can be told."""
    try:
        meta = finds.parse_meta(given, _NAME)
    except UsageTrouble as error:
        return _line(error, _NAME)
    if finds.parse_meta(json.dumps(meta), _NAME) != meta:
        return Found("another_description", "find.json, written and read, is another", given)
    find = finds.Find(Path("find"), _PROGRAM, meta)
    of_find(find, ([], [0]), Path("find/program.vq"))
    text.render(text.Shown(meta, _PROGRAM, [], [0], "CRASHED", "it ended", Path("find/program.vq"), ()))
    return None


def _events(given: str) -> Found | None:
    try:
        run = jsonl.load(given, _NAME)
    except UsageTrouble as error:
        return _line(error, _NAME)
    back = jsonl.load(jsonl.render(run), _NAME)
    if back != run:
        return Found("another_run", "events, written and read, are another run", given)
    return None
