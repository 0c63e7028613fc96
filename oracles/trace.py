"""Observations: the only thing that is ever saved of a run, and the text form of each.

What the driver did is recorded as what it did; what it found in shared memory is recorded raw, as
addresses and bytes. Ring events are derived from these by the layouts, and never saved, so that
tomorrow's rules can judge yesterday's traces. Knows nothing of rules, roles or targets.

A trace is a text file: ``vqtrace 1``, then a line each, ``QUEUE KIND field=value …``.
Numbers are decimal, addresses and bytes hexadecimal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Union, get_args, get_type_hints

from oracles.control import (
    Activity,
    Answered,
    Asked,
    Capability,
    Configured,
    Connected,
    Delivered,
    Exposed,
    Extent,
    Filled,
    Got,
    HungUp,
    Interrupted,
    Kicked,
    Logged,
    Looked,
    Meant,
    Read,
    Returned,
    Sent,
    Tracked,
    Wrote,
)

__all__ = [
    "HEADER", "KINDS", "Activity", "Allowed", "Answered", "Asked", "Called", "Capability", "Changed", "Configured",
    "Connected", "Delivered", "Entry", "Exposed", "Extent", "Filled", "Got", "HungUp", "Idle", "Interrupted",
    "Kicked", "Logged", "Looked", "Meant", "Notified", "Observation", "Poked", "Published", "Read", "Rechecked",
    "Reclaimed", "Resetting", "Returned", "SawDescriptor", "SawUsed", "Scanned", "Sent", "Started", "Stored",
    "Supplied", "Suppressed", "TraceError", "Tracked", "Wrote", "dump", "dump_line", "load", "load_line",
]  # fmt: skip

HEADER = "vqtrace 1"


class TraceError(ValueError):
    """A trace that can't be read. ``str()`` names the line and what is wrong with it."""


class Started(NamedTuple):
    """A queue is live from here on (3.1.1, 2.6.1.2): its place in memory and its positions."""

    layout: str
    size: int
    features: int
    descriptor: int  # address of the descriptor area
    driver: int  # address of the driver area (split: available ring)
    device: int  # address of the device area (split: used ring)
    memory: Extent  # all shared memory
    available: int = 0  # split: available idx; packed: position | wrap << 15
    used: int = 0  # split: used idx; packed: position | wrap << 15
    proof: int = 1  # so many surviving prefill bytes in a row prove «not written»
    cause: str = "init"  # init | reset | queue_reset | restart
    lengths: bool = True  # whether used lengths mean anything; else nothing is said about them


class Supplied(NamedTuple):
    """A buffer was put in the rings by us; not visible before Published."""

    buffer: int  # serial number, from 0 over the whole run
    id: int  # split: head; packed: buffer id
    slots: int  # descriptors taken in the descriptor area
    readable: int  # bytes the device may read
    writable: int  # bytes the device may write
    elements: tuple[Extent, ...] = ()  # in order: all readable, then all writable
    table: Extent = (0, 0)  # indirect table, if its length isn't 0
    direct: int = 0  # elements outside the table
    decoys: tuple[int, ...] = ()  # packed: ids in descriptors whose id has no meaning
    fails: bool = False  # whether the request is one that the device must refuse, or has nothing to answer


class Published(NamedTuple):
    """The oldest *buffers* of those supplied and not yet visible became available, in one step."""

    buffers: int


class Notified(NamedTuple):
    """We sent an available buffer notification; *forced*: on purpose, whatever the device's words say."""

    forced: bool = False


class Suppressed(NamedTuple):
    """We wrote our event suppression: split (avail flags, used_event); packed (flags, off_wrap).

    *junk*: split, the word without meaning (2.7.7) was written, too: to say the opposite of the other.
    """

    flags: int
    event: int
    junk: bool = False


class Rechecked(NamedTuple):
    """We looked at the ring after Suppressed: what is used from here on was used under the new words."""


class Allowed(NamedTuple):
    """The device's event suppression as we read it after publishing: split (used flags, avail_event),
    packed (flags, off_wrap); *silent* if it excused us from notifying."""

    flags: int
    event: int
    silent: bool


class Stored(NamedTuple):
    """The device stored *data* at *address* of a ring area: from targets that log stores, in order."""

    address: int
    data: bytes


class SawUsed(NamedTuple):
    """Split, found by looking: used idx is now *idx*; *elements*: the used elements from the idx seen
    before up to this one; *changed*: bit i set if the i-th of them differs from the look before."""

    idx: int
    elements: bytes
    changed: int


class SawDescriptor(NamedTuple):
    """Packed, found by looking: the descriptor at *position* now reads *data* (16 bytes)."""

    position: int
    data: bytes


class Changed(NamedTuple):
    """Memory other than the above reads differently from what we left there."""

    address: int
    data: bytes


class Scanned(NamedTuple):
    """The device-writable part of a used buffer was compared with its prefill.

    *kept*: surviving runs (offset in the writable part, length), *wrong*: what the device class says
    is wrong with the answer, or nothing.
    """

    buffer: int
    kept: tuple[Extent, ...] = ()
    wrong: str = ""
    device: str = "any"  # the class that says so; of «any» every wrong answer is a descriptor misread


class Called(NamedTuple):
    """A used buffer notification arrived."""


class Idle(NamedTuple):
    """The device had its chance: nothing more came. *final*: it is certain, or was waited for so long
    that it counts; otherwise it proves nothing (timing is never a verdict)."""

    final: bool
    owed: bool = True  # whether the device owes completion of what it was told of


class Reclaimed(NamedTuple):
    """The driver took back the oldest *buffers* of those used; their descriptors are free again."""

    buffers: int


class Resetting(NamedTuple):
    """*what*: device | queue | stop | suspend | disable (QueueReady is 0): from here on the queue isn't live;
    *base*: what a stop reported, else -1."""

    what: str
    base: int = -1


class Poked(NamedTuple):
    """The driver wrote what no driver writes, as *what* says: from here on only safety is judged of this queue, until
    it is started again. A Changed behind it is a write that nothing of ours allowed, what was poked included."""

    what: str


Observation = Union[
    Started,
    Supplied,
    Published,
    Notified,
    Suppressed,
    Rechecked,
    Allowed,
    Stored,
    SawUsed,
    SawDescriptor,
    Changed,
    Scanned,
    Called,
    Idle,
    Reclaimed,
    Resetting,
    Exposed,
    Looked,
    Returned,
    Filled,
    Delivered,
    Asked,
    Answered,
    Poked,
    Wrote,
    Read,
    Capability,
    Configured,
    Meant,
    Interrupted,
    Connected,
    Sent,
    Got,
    HungUp,
    Kicked,
    Activity,
    Tracked,
    Logged,
]
KINDS: dict[str, type[Observation]] = {kind.__name__.lower(): kind for kind in get_args(Observation)}
_HINTS = {kind: get_type_hints(kind) for kind in KINDS.values()}
_ADDRESSES = {"descriptor", "driver", "device", "address", "features", "value", "on", "off"}
Entry = tuple[int, Observation]
"""(queue number, observation)."""


def _quote(text: str) -> str:
    """*text* without blanks and line ends: those, and all that isn't printable, as % and the bytes of UTF-8."""
    if text == "-":
        return "%2d"
    return "".join(
        char if char.isprintable() and char not in " %" else "%" + char.encode("utf-8", "surrogatepass").hex("%")
        for char in text
    )


def _unquote(text: str) -> str:
    first, *others = text.split("%")
    data = first.encode("utf-8", "surrogatepass")
    for other in others:
        data += bytes.fromhex(other[:2]) + other[2:].encode("utf-8", "surrogatepass")
    return data.decode("utf-8", "surrogatepass")


def _number(text: str, base: int = 10) -> int:
    if not text.isascii() or not text.isalnum():
        raise ValueError(f"{text!r} is no number: digits alone, and never negative")
    return int(text, base)


def _extent(extent: Extent) -> str:
    return f"{extent[0]:x}+{extent[1]}"


def _dump_value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:x}" if name in _ADDRESSES else str(value)
    if isinstance(value, bytes):
        return value.hex() or "-"
    if isinstance(value, str):
        return _quote(value) or "-"
    assert isinstance(value, tuple)
    if name in ("memory", "table"):
        return _extent((value[0], value[1]))
    return ",".join(str(item) if isinstance(item, int) else _extent(item) for item in value) or "-"


def dump_line(queue: int, observation: Observation) -> str:
    """One observation as a line, without its line end."""
    words = [str(queue), type(observation).__name__.lower()]
    defaults = observation._field_defaults
    for name, value in zip(observation._fields, observation, strict=True):
        if name not in defaults or value != defaults[name]:
            words.append(f"{name}={_dump_value(name, value)}")
    return " ".join(words)


def dump(entries: Iterable[Entry]) -> str:
    """A whole trace as text."""
    return "\n".join([HEADER, *(dump_line(queue, observation) for queue, observation in entries)]) + "\n"


_MOST_ENTRIES = 1 << 16  # twice what the layouts allow (2.7, 2.8): what a device was told that can't be is judged


def _load_extent(text: str) -> Extent:
    place, plus, length = text.partition("+")
    if not plus:
        raise ValueError(f"{text!r} is not ADDRESS+LENGTH")
    return _number(place, 16), _number(length)


def _load_value(kind: type[Observation], name: str, text: str) -> object:
    hint = _HINTS[kind][name]
    if hint is bool:
        if text not in ("yes", "no"):
            raise ValueError(f"{name} is yes or no")
        return text == "yes"
    if hint is int:
        return _number(text, 16 if name in _ADDRESSES else 10)
    if hint is bytes:
        return b"" if text == "-" else bytes.fromhex(text)
    if hint is str:
        return "" if text == "-" else _unquote(text)
    if hint == Extent:
        return _load_extent(text)
    items = [] if text == "-" else text.split(",")
    if hint == tuple[int, ...]:
        return tuple(_number(item) for item in items)
    return tuple(_load_extent(item) for item in items)


def load_line(line: str) -> Entry:
    """The inverse of dump_line. Raises ValueError that says what is wrong."""
    words = line.split()
    if len(words) < 2 or not words[0].isdigit():
        raise ValueError("a line is QUEUE KIND field=value …")
    kind = KINDS.get(words[1])
    if kind is None:
        raise ValueError(f"no observation is called {words[1]!r}")
    fields: dict[str, object] = {}
    for word in words[2:]:
        name, _, text = word.partition("=")
        if name not in kind._fields or name in fields:
            raise ValueError(f"{words[1]} has no field {name!r}, or has it twice")
        fields[name] = _load_value(kind, name, text)
    missing = [name for name in kind._fields if name not in fields and name not in kind._field_defaults]
    if missing:
        raise ValueError(f"{words[1]} lacks {', '.join(missing)}")
    seen = kind(**fields)  # type: ignore[arg-type]  # checked field by field above
    if isinstance(seen, Started) and seen.size > _MOST_ENTRIES:
        raise ValueError(f"a queue of {seen.size} entries: none has more than {_MOST_ENTRIES}")
    return int(words[0]), seen


def load(text: str) -> Iterator[Entry]:
    """Entries of a trace. Raises TraceError with the line number at the first line that can't be read."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != HEADER:
        raise TraceError(f"line 1: not a trace: the first line must be {HEADER!r}")
    for number, line in enumerate(lines[1:], 2):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            yield load_line(line)
        except ValueError as error:
            raise TraceError(f"line {number}: {error}") from None
