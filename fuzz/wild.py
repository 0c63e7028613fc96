"""The words of hostile steps: what can be poked, which addresses there are, and the values worth trying.

Knows names and numbers. Must not know memory or targets. Addresses outside shared memory come from a fixed list,
so that a program means the same everywhere, and nothing that is not ours can be reached by chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fuzz.program import Poke, Step, Wild

_DESCRIPTOR = {"len": 32, "flags": 16, "toggle": 16, "next": 16}
#: What can be poked: the fields of each, and how many bits they have.
#: chain: descriptor PLACE of the buffer supplied last; descriptor: the one at PLACE of the descriptor area;
#: table: entry PLACE of the indirect table of the buffer supplied last; head: its entry of the available ring, or its
#: buffer id (packed), *back*: that of so many buffers earlier; idx: the available idx, *add* past what is right, or so
#: many descriptors marked available (packed); event: the driver's event suppression; used: what the device writes.
POKES: dict[str, dict[str, int]] = {
    "chain": _DESCRIPTOR,
    "descriptor": _DESCRIPTOR,
    "table": _DESCRIPTOR,
    "head": {"value": 16, "back": 8},
    "idx": {"add": 16},
    "event": {"value": 16, "flags": 16},
    "used": {"value": 16, "flags": 16},
}
PLACED = ("chain", "descriptor", "table")  # those that take a PLACE, and an address
#: Addresses by name. Outside: null 0, end just past shared memory, hole 2^40, high 2^63, top 2^64 - 16, which wraps.
#: Inside: edge 8 bytes before the end; self the descriptor area; own the first element of the buffer supplied last.
ADDRESSES = ("null", "end", "hole", "high", "top", "edge", "self", "own")

#: Named bits of flags.
FLAGS = {"next": 1, "write": 2, "indirect": 4, "avail": 0x80, "used": 0x8000}

_STATE = {"queue": 32, "value": 32}
_RAW = {"fds": 8, "fd": 8, "size": 32, "short": 16, "flags": 32}
_DESCRIPTORS = {"value": 64}
_ADDRESSED = {"queue": 32, "flags": 32, "where": 8}
#: vhost-user messages: their own fields, and those that all have. *fds*: how many descriptors, *fd* of which kind
#: (0 eventfd, 1 end of a closed pipe, 2 memory of a page, 3 /dev/null); *size*: instead of the payload's, in the
#: header; *short*: so many bytes less are sent; *flags*: of the header.
SAY: dict[str, dict[str, int]] = {
    "get-features": {},
    "set-features": {"value": 64},
    "set-owner": {},
    "reset-owner": {},
    "set-mem-table": {"count": 32, "where": 8},
    "set-log-base": {"value": 64},
    "set-vring-num": _STATE,
    "set-vring-addr": _ADDRESSED,
    "set-vring-base": _STATE,
    "get-vring-base": _STATE,
    "set-vring-kick": _DESCRIPTORS,
    "set-vring-call": _DESCRIPTORS,
    "set-vring-err": _DESCRIPTORS,
    "get-protocol-features": {},
    "set-protocol-features": {"value": 64},
    "get-queue-num": {},
    "set-vring-enable": _STATE,
    "get-config": {"offset": 32, "length": 32},
    "set-config": {"offset": 32, "length": 32},
    "get-inflight-fd": {"queue": 16, "value": 16},
    "set-inflight-fd": {"queue": 16, "value": 16},
    "add-mem-reg": {"where": 8},
    "rem-mem-reg": {"where": 8},
    "set-status": {"value": 64},
    "get-status": {},
    "unknown": {"value": 32},
}
#: Registers of virtio-pci and virtio-mmio by the fields of 4.1.4.3, and what else can be written: notify (the
#: doorbell), config (the configuration space). *width* in bytes; *offset* past the register's own address.
REGISTERS = (
    "device_feature_select driver_feature_select driver_feature config_msix_vector device_status queue_select "
    "queue_size queue_msix_vector queue_enable queue_desc queue_driver queue_device queue_reset notify config"
).split()
WAYS: dict[str, dict[str, dict[str, int]]] = {
    "say": {name: {**fields, **_RAW} for name, fields in SAY.items()},
    "register": {name: {"value": 64, "width": 8, "offset": 8} for name in REGISTERS},
}

#: Values worth trying first, by the field's name.
VALUES: dict[str, tuple[int, ...]] = {
    "len": (0, 1, 0xFFFFFFFF, 0xFFFFFFF0, 17, 0x80000000, 16),
    "flags": (0xFFFF, 0, 1, 2, 4, 5, 3, 0x8080),
    "toggle": (1, 2, 4, 5, 0x8080, 0x80, 0x8000, 6),
    "next": (0xFFFF, 0, 1, 0x7FFF),
    "value": (0xFFFF, 0, 1, 0x8000),
    "back": (1, 2),
    "add": (1, 300, 0x8000, 0xFFFF),
    "queue": (0, 1, 255, 0xFFFF, 0xFFFFFFFF),
    "fds": (0, 1, 2, 9),
    "fd": (0, 1, 2, 3),
    "size": (0, 1, 0xFFFFFFFF, 0x1000, 4096 + 16),
    "short": (1, 4, 8, 12),
    "count": (0, 1, 9, 0xFFFFFFFF),
    "where": (0, 1, 2, 3, 4),
    "offset": (0, 1, 4, 0xFFFFFFFF),
    "length": (0, 256, 257, 0xFFFFFFFF),
    "width": (1, 2, 4, 8),
}
WIDE = (0, 1, 0xFFFF, 0xFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF, 64, 65535, 256)


def values_of(field: str, bits: int) -> tuple[int, ...]:
    """Values worth trying for a field of so many bits, the simplest first."""
    known = WIDE if field == "value" and bits > 16 else VALUES[field]
    mask = (1 << bits) - 1
    return tuple(dict.fromkeys(value & mask for value in known))


def number(value: int) -> str:
    """A number as programs write it: large ones hexadecimal."""
    return str(value) if value < 10000 else hex(value)


def flags(value: int) -> str:
    """Flags by name where all of them have one."""
    names = [name for name, bit in FLAGS.items() if value & bit]
    return "+".join(names) if names and sum(FLAGS[name] for name in names) == value else number(value)


def fields_of(step: Poke | Wild) -> dict[str, int]:
    """The fields that a step may have, and their bits."""
    return POKES[step.what] if isinstance(step, Poke) else WAYS[step.way][step.name]


def tidied(step: Poke | Wild) -> Poke | Wild:
    """The step with its fields in the order of the table, each cut to its bits, and none that it can't have."""
    known = fields_of(step)
    given = dict(step.values)
    kept = tuple((name, given[name] & (1 << bits) - 1) for name, bits in known.items() if name in given)
    return replace(step, values=kept)


def simpler(step: Poke | Wild) -> Iterator[Step]:
    """Alternatives, the simplest first: fewer fields, then values that stand earlier in the list, then the place."""
    rows = step.values
    if len(rows) + (isinstance(step, Poke) and bool(step.address)) > 1:
        for at in range(len(rows)):
            yield replace(step, values=rows[:at] + rows[at + 1 :])
        if isinstance(step, Poke) and step.address:
            yield replace(step, address="")
    if isinstance(step, Poke):
        for place in (0, 1):
            if place < step.place:
                yield replace(step, place=place)
        for address in ADDRESSES[: ADDRESSES.index(step.address)] if step.address else ():
            yield replace(step, address=address)
    bits = fields_of(step)
    for at, (name, value) in enumerate(rows):
        for other in values_of(name, bits[name]):
            if other == value:
                break
            yield replace(step, values=(*rows[:at], (name, other), *rows[at + 1 :]))


def weight(step: Poke | Wild) -> int:
    """How far a step is from the simplest of its kind: every move of ``simpler`` makes this smaller."""
    bits = fields_of(step)
    total = 0
    for name, value in step.values:
        known = values_of(name, bits[name])
        total += 100 + (known.index(value) if value in known else 50)
    if isinstance(step, Poke):
        total += 20 * min(step.place, 2) + (100 + ADDRESSES.index(step.address) if step.address else 0)
    return total


def bit_names(word: str) -> int | None:
    """Flags from names joined by +, or None."""
    total = 0
    for name in word.split("+"):
        if name not in FLAGS:
            return None
        total |= FLAGS[name]
    return total


__all__ = [
    "ADDRESSES",
    "FLAGS",
    "PLACED",
    "POKES",
    "REGISTERS",
    "SAY",
    "WAYS",
    "bit_names",
    "fields_of",
    "simpler",
    "tidied",
    "values_of",
    "weight",
]
