"""For each rule of drivers a short trace by hand that breaks exactly it, and one beside it that conforms."""

from __future__ import annotations

from oracles import spec
from oracles.trace import (
    Allowed,
    Answered,
    Asked,
    Called,
    Delivered,
    Exposed,
    Filled,
    Idle,
    Looked,
    Notified,
    Observation,
    Resetting,
    Returned,
    SawDescriptor,
    SawUsed,
    Started,
    Stored,
    Supplied,
)
from tests.traces_by_hand import DESCRIPTOR, DEVICE, DRIVER, Trace, desc, element, idx

O, EV, IND = spec.IN_ORDER, spec.EVENT_IDX, spec.INDIRECT_DESC  # noqa: E741 - short, for the table
NEXT, WRITE, INDIRECT, AVAIL, USED = 1, 2, 4, 0x80, 0x8000
BUFFER, TABLE = 0x13000, 0x14000
LOOK: Trace = [Looked()]
WAITED: Trace = [Looked(waited=True)]


def begun(layout: str, features: int = 0, size: int = 4, places: tuple[int, int, int] = (DESCRIPTOR, DRIVER, DEVICE),
          cause: str = "init") -> Trace:  # fmt: skip
    """A queue that is started, its memory not looked at yet."""
    begin = 0 if layout == "split" else 0x8000
    features |= spec.RING_PACKED if layout == "packed" else 0
    return [Started(layout, size, features, *places, (0x10000, 0x10000), begin, begin, 1, cause)]


def split(features: int = 0, size: int = 4) -> Trace:
    return [*begun("split", features, size), *LOOK]


def packed(features: int = 0, size: int = 4) -> Trace:
    return [*begun("packed", features, size), *LOOK]


# -- split: what a driver stores


def d(slot: int, flags: int = WRITE, follower: int = 0, length: int = 8, address: int = BUFFER) -> Exposed:
    """A descriptor of the table."""
    return Exposed(DESCRIPTOR + 16 * slot, spec.DESCRIPTOR.pack(address, length, flags, follower))


def head(entry: int, slot: int) -> Exposed:
    """An entry of the available ring."""
    return Exposed(DRIVER + 4 + 2 * entry, slot.to_bytes(2, "little"))


def at(number: int) -> Exposed:
    """The available idx."""
    return Exposed(DRIVER + 2, number.to_bytes(2, "little"))


def word(place: int, value: int) -> Exposed:
    return Exposed(place, value.to_bytes(2, "little"))


def one(slot: int = 0, entry: int = 0, **fields: int) -> Trace:
    """A chain of one descriptor, exposed."""
    return [d(slot, **fields), head(entry, slot), at(entry + 1), *LOOK]


def two(second: int = 1, flags: tuple[int, int] = (NEXT, WRITE), lengths: tuple[int, int] = (4, 8)) -> Trace:
    """A chain of descriptor 0, readable, and another, exposed."""
    return [d(0, flags[0], second, lengths[0]), d(second, flags[1], 0, lengths[1]), head(0, 0), at(1), *LOOK]


def through(*entries: tuple[int, int], length: int = 0, flags: int = INDIRECT) -> Trace:
    """A buffer in an indirect table of (flags, next), exposed."""
    table = b"".join(spec.DESCRIPTOR.pack(BUFFER, 8, own, follower) for own, follower in entries)
    return [Exposed(TABLE, table), *one(flags=flags, length=length or len(table), address=TABLE)]


# -- packed: what a driver stores


def p(position: int, flags: int = WRITE, *, id: int = 0, lap: int = 1, length: int = 8, address: int = BUFFER,  # noqa: A002 - as the specification has it
      bits: int = -1) -> Exposed:  # fmt: skip
    """A descriptor of the ring, available in the lap with this wrap counter."""
    flags |= (AVAIL if lap else USED) if bits < 0 else bits
    return Exposed(DESCRIPTOR + 16 * position, spec.DESCRIPTOR.pack(address, length, id, flags))


def lists(*descriptors: Exposed) -> Trace:
    """Descriptors stored from the last to the first, so that each list is available at once."""
    return [*reversed(descriptors), *LOOK]


def in_table(*flags: int, own: int = INDIRECT) -> Trace:
    table = b"".join(spec.DESCRIPTOR.pack(BUFFER, 8, 0, one) for one in flags)
    return [Exposed(TABLE, table), *lists(p(0, own, length=len(table), address=TABLE))]


def meant(slots: int, writable: int) -> Supplied:
    return Supplied(0, 0, slots, 0, writable)


def batch(*, skipped: bytes = b"") -> Trace:
    """Split, IN_ORDER: three buffers, returned in one batch; *skipped*: what the used ring has at the second place."""
    exposed: Trace = [observation for slot in range(3) for observation in one(slot, slot)]
    more: Trace = [Stored(DEVICE + 12, skipped)] if skipped else []
    return [*split(O), *exposed, element(0, 2, 6), *more, idx(3)]


FILLED: Trace = [Asked((), (8,)), *one(), Asked((), (8,)), *one(1, 1)]
REFUSED: Trace = [Asked((), (8,)), Answered("refused", 1)]
DATA: Trace = [Filled(0, b"eight by".ljust(16, b"\0"))]
USED_8: Trace = [element(0, 0, 8), idx(1)]
USED_UP: Trace = [*lists(p(0), p(1, id=1), p(2, id=2)), *desc(0, 0), *desc(1, 1), *desc(2, 2)]
SILENT: Trace = [Stored(DEVICE, b"\1\0")]
DISABLED: Trace = [Stored(DEVICE + 2, b"\1\0")]
KICK: Trace = [Notified()]

#: rule, a trace that breaks it and no other first, one that conforms
CASES: list[tuple[str, Trace, Trace]] = [
    # a queue is started
    ("VQ-FORMAT", [Started("packed", 4, 0, DESCRIPTOR, DRIVER, DEVICE, (0, 0))], packed()),
    ("VQ-FORMAT", [*begun("split", spec.RING_PACKED)], split()),
    ("S-QSIZE", begun("split", size=6), begun("split", size=8)),
    ("P-QSIZE", begun("packed", size=32769), begun("packed", size=5)),
    ("S-ALIGN", begun("split", places=(DESCRIPTOR + 8, DRIVER, DEVICE)),
     begun("split", places=(DESCRIPTOR + 16, DRIVER + 2, DEVICE + 4))),
    ("P-ALIGN", begun("packed", places=(DESCRIPTOR, DRIVER + 2, DEVICE)),
     begun("packed", places=(DESCRIPTOR + 16, DRIVER + 4, DEVICE + 4))),
    ("S-AN-DRV-INIT", [*begun("split"), word(DEVICE, 1), *LOOK], [*begun("split"), word(DEVICE + 4, 1), *LOOK]),
    ("P-ZERO-INIT", [*begun("packed"), p(2, bits=0, length=5), *LOOK], [*begun("packed"), p(0), *LOOK]),
    # memory
    ("S-USED-RO", [*split(), word(DEVICE, 0)], [*split(), word(DRIVER, 0)]),
    ("P-EV-AREA-DRV", [*packed(), word(DEVICE, 0)], [*packed(), word(DRIVER, 0)]),
    ("S-LAYOUT", [*split(), word(DRIVER + 4 + 2 * 4 + 2, 1)], [*split(EV), word(DRIVER + 4 + 2 * 4, 1)]),
    ("S-UN-DRV-FLAGS", [*split(), word(DRIVER, 2)], [*split(), word(DRIVER, 1)]),
    ("S-UN-DRV-FLAGS-EV", [*split(EV), word(DRIVER, 1)], [*split(EV), word(DRIVER, 0)]),
    ("P-EV-VAL-DRV", [*packed(), word(DRIVER + 2, 2)], [*packed(EV), word(DRIVER + 2, 2)]),
    ("P-EV-VAL-DRV", [*packed(EV), word(DRIVER + 2, 3)], [*packed(), word(DRIVER + 2, 1)]),
    ("P-EV-OFF-RANGE", [*packed(EV), word(DRIVER, 0x8004)], [*packed(EV), word(DRIVER, 0x8003)]),
    ("S-AVAIL-BARRIER", [*split(), d(3), at(1), head(0, 3)], [*split(), d(3), head(0, 3), at(1)]),
    ("S-AVAIL-BARRIER", [*split(), head(0, 3), at(1), d(3)], [*split(), *one(3), d(2)]),
    ("S-EXPOSED-FROZEN", [*split(), *one(3), d(3, length=9)], [*split(), *one(3), d(2)]),
    ("S-EXPOSED-FROZEN", [*split(), *one(3), d(3, length=9)],
     [*split(), *one(3), element(0, 3), idx(1), d(3, length=9)]),
    ("S-EXPOSED-FROZEN", [*split(), *one(3), head(0, 2)], [*split(), *one(3), head(1, 2)]),
    ("S-EXPOSED-FROZEN", [*split(IND), *through((WRITE, 0)), Exposed(TABLE, bytes(16))],
     [*split(IND), *through((WRITE, 0)), element(0, 0), idx(1), Exposed(TABLE, bytes(16))]),
    ("S-EXPOSED-FROZEN", [*packed(IND), *in_table(WRITE), Exposed(TABLE, bytes(16))], [*packed(IND), *in_table(WRITE)]),
    # the available idx
    ("S-AVAIL-START", [*split(), at(9)], [*split(), *one()]),
    ("S-AVAIL-MONO", [*split(), *one(), at(0)], [*split(), *one(), *one(1, 1)]),
    ("S-OUTSTANDING", [*split(), *one(), at(5)], [*split(), *one(), *one(1, 1), *one(2, 2), *one(3, 3)]),
    # chains
    ("S-IND-FEAT", [*split(), *through((WRITE, 0))], [*split(IND), *through((WRITE, 0))]),
    ("S-NEXT-RANGE", [*split(), d(0, NEXT, 4), head(0, 0), at(1)], [*split(), *two(3)]),
    ("S-NEXT-RANGE", [*split(), head(0, 4), at(1)], [*split(), head(0, 3), at(1)]),
    ("S-NEXT-RANGE", [*split(IND), *through((NEXT, 2), (WRITE, 0))], [*split(IND), *through((NEXT, 1), (WRITE, 0))]),
    ("S-AVAIL-COUNT", [*split(), d(0), head(0, 0), at(2)], [*split(), d(0), head(0, 0), d(1), head(1, 1), at(2)]),
    ("INO-S-AVAIL-HEADS", [*split(O), d(0), head(0, 3), at(1)], [*split(O), *one()]),
    ("INO-S-DESC-SEQ", [*split(O), *one(1)], [*split(), *one(1)]),
    ("INO-S-DESC-SEQ", [*split(O), *two(), *one(1, 1)], [*split(O), *two(), *one(2, 1)]),
    ("INO-S-DESC-SEQ", [*split(O), *one(), Resetting("device"), *begun("split", O, cause="reset"), *LOOK, *one(1)],
     [*split(O), *one(), Resetting("device"), *begun("split", O, cause="reset"), *LOOK, *one()]),
    ("INO-S-DESC-SEQ", [*split(O), d(3, NEXT, 0), d(0), head(0, 3), at(1), *LOOK],
     [*split(O), d(0, NEXT, 1), d(1), head(0, 0), at(1), *LOOK]),
    ("S-NEXT-FREE", [*split(), *two(), d(2, NEXT, 1), head(1, 2), at(2)],
     [*split(), *two(), d(2, NEXT, 3), head(1, 2), at(2)]),
    ("S-CHAIN-2G", [*split(), *two(flags=(NEXT, NEXT))], [*split(), *two()]),
    ("S-CHAIN-2G", [*split(), *two(lengths=(0x80000000, 0x80000001))],
     [*split(), *two(lengths=(0x80000000, 0x80000000))]),
    ("INO-S-NEXT", [*split(O), *two(2)], [*split(), *two(2)]),
    ("S-IND-NEXT", [*split(IND), *through((WRITE, 0), flags=INDIRECT | NEXT)], [*split(IND), *through((WRITE, 0))]),
    ("S-IND-LEN", [*split(IND), *through((WRITE, 0), length=20)], [*split(IND), *through((WRITE, 0), length=16)]),
    ("S-BUF-NONEMPTY", [*split(IND), d(0, INDIRECT, length=0), head(0, 0), at(1)],
     [*split(IND), d(0, length=0), head(0, 0), at(1)]),
    ("S-IND-NEST", [*split(IND), *through((INDIRECT, 0))], [*split(IND), *through((0, 0))]),
    ("INO-S-IND-SEQ", [*split(O | IND), *through((NEXT, 2), (0, 0), (0, 0))],
     [*split(IND), *through((NEXT, 2), (0, 0), (0, 0))]),
    ("S-CHAIN-QSZ", [*split(IND, 2), *through((NEXT, 1), (NEXT, 2), (WRITE, 0))],
     [*split(IND, 2), *through((NEXT, 1), (WRITE, 0))]),
    ("S-FLAGS-KNOWN", [*split(), *one(flags=8)], [*split(), *one(flags=0)]),
    ("S-ORDER-RW", [*split(), *two(flags=(NEXT | WRITE, 0))], [*split(), *two()]),
    ("S-ORDER-RW", [*split(IND), *through((NEXT | WRITE, 1), (0, 0))], [*split(IND), *through((NEXT, 1), (WRITE, 0))]),
    # lists
    ("P-IND-FEAT", [*packed(), *in_table(WRITE)], [*packed(IND), *in_table(WRITE)]),
    ("P-IND-NOCHAIN", [*packed(IND), *in_table(WRITE, own=INDIRECT | NEXT)], [*packed(IND), *in_table(WRITE)]),
    ("P-IND-NOCHAIN", [*packed(IND), *lists(p(0, NEXT), p(1, INDIRECT))], [*packed(IND), *lists(p(0, NEXT), p(1))]),
    ("P-LIST-MAX", [*packed(size=2), *lists(p(0, NEXT), p(1, NEXT))], [*packed(size=2), *lists(p(0, NEXT), p(1))]),
    ("P-SPACE", [*packed(size=3), *lists(p(0), p(1, id=1)), *lists(p(2, NEXT), p(0, id=2, lap=0))],
     [*packed(size=3), *lists(p(0), p(1, id=1)), *desc(0, 0), *lists(p(2, NEXT), p(0, id=2, lap=0))]),
    ("P-DRV-WRAP", [*packed(size=3), *USED_UP[:-2], *lists(p(0, id=0, lap=1))],
     [*packed(size=3), *USED_UP[:-2], *lists(p(0, id=0, lap=0))]),
    ("P-DRV-WRAP", [*packed(), *USED_UP, *lists(p(3, NEXT), p(0, lap=1))],
     [*packed(), *USED_UP, *lists(p(3, NEXT), p(0, lap=0))]),
    ("P-LIST-NEXT", [*packed(), meant(2, 16), *lists(p(0, WRITE), p(1, WRITE))],
     [*packed(), meant(2, 16), *lists(p(0, NEXT | WRITE), p(1, WRITE))]),
    ("P-AVAIL-BITS", [*packed(), *lists(p(0, NEXT), p(1, bits=0))], [*packed(), *lists(p(0, NEXT), p(1))]),
    ("P-RING-SEQ", [*packed(), *lists(p(1))], [*packed(), *lists(p(0))]),
    ("P-IND-FLAGS", [*packed(IND), *in_table(NEXT, WRITE)], [*packed(IND), *in_table(0, WRITE)]),
    ("P-IND-MAX", [*packed(IND, 2), *in_table(0, 0, WRITE)], [*packed(IND, 3), *in_table(0, 0, WRITE)]),
    ("P-ORDER-RW", [*packed(), *lists(p(0, NEXT | WRITE), p(1, 0))], [*packed(), *lists(p(0, NEXT), p(1))]),
    ("P-ORDER-RW", [*packed(IND), *in_table(WRITE, 0)], [*packed(IND), *in_table(0, WRITE)]),
    ("P-WFLAG-AVAIL", [*packed(), meant(1, 8), *lists(p(0, 0))], [*packed(), meant(1, 8), *lists(p(0))]),
    ("INO-P-DRV-ID", [*packed(O), *lists(p(0), p(1))], [*packed(O), *lists(p(0), p(1, id=1))]),
    ("P-AVAIL-BARRIER", [*packed(), word(DESCRIPTOR + 14, AVAIL | WRITE), p(0)],
     [*packed(), p(0, bits=0), word(DESCRIPTOR + 14, AVAIL | WRITE)]),
    ("P-FIRST-LAST", [*packed(), p(0, NEXT), p(1)], [*packed(), p(1), p(0, NEXT)]),
    ("P-DRV-NO-EARLY", [*packed(), *lists(p(0)), p(0, bits=0)],
     [*packed(size=1), *lists(p(0)), *desc(0, 0), p(0, lap=0)]),
    ("P-DRV-NO-LATE", [*packed(), *lists(p(0)), p(0, length=9)], [*packed(), *lists(p(0)), p(0)]),
    # available buffer notifications
    ("S-AN-DRV-MUST", [*split(), *one(), *WAITED], [*split(), *one(), *KICK, *WAITED]),
    ("S-AN-DRV-MUST", [*split(), *SILENT, *one(), *WAITED, Stored(DEVICE, bytes(2)), *one(1, 1), *WAITED],
     [*split(), *SILENT, *one(), Stored(DEVICE, bytes(2)), *WAITED]),
    ("S-AN-DRV-MUST", [*split(), *one(), Allowed(0, 0, True), *WAITED],
     [*split(), *one(), Allowed(1, 0, True), *WAITED]),
    ("S-AN-DRV-EV-MUST", [*split(EV), *one(), *WAITED], [*split(EV), Stored(DEVICE + 36, b"\1\0"), *one(), *WAITED]),
    ("P-EV-ENABLE-DRV", [*packed(), *lists(p(0)), *WAITED], [*packed(), *DISABLED, *lists(p(0)), *WAITED]),
    ("P-EV-DESC-DRV", [*packed(EV), Stored(DEVICE, b"\1\x80\2\0"), *lists(p(0), p(1, id=1)), *WAITED],
     [*packed(EV), Stored(DEVICE, b"\1\x80\2\0"), *lists(p(0)), *WAITED]),
    ("P-EV-DESC-DRV", [*packed(EV, 2), Stored(DEVICE, b"\0\0\2\0"), *lists(p(0), p(1, id=1)), *KICK[:0], *WAITED,
                       *desc(0, 0), *lists(p(0, lap=0)), *WAITED],
     [*packed(EV, 2), Stored(DEVICE, b"\0\0\2\0"), *lists(p(0), p(1, id=1)), *WAITED]),
    ("P-EV-DISABLE-DRV", [*packed(), *DISABLED, *lists(p(0)), *KICK], [*packed(), *lists(p(0)), *KICK]),
    ("P-EV-DISABLE-DRV", [*packed(), *DISABLED, *lists(p(0)), *KICK],
     [*packed(), *DISABLED, *lists(p(0)), Notified(forced=True)]),
    # what is handed up
    ("INO-DRV-WALK", [*batch(), Returned(2, 6)], [*batch(), Returned(0, 8), Returned(1, 8), Returned(2, 6)]),
    ("INO-DRV-WALK", [*batch(), Returned(0, 8), Returned(1, 8), Returned(2, 6), Returned(0, 8)],
     [*batch(), Returned(0, 8)]),
    ("INO-DRV-WALK", [*packed(O), *lists(p(0), p(1, id=1)), *desc(0, 1, 6), Returned(1, 6)],
     [*packed(O), *lists(p(0), p(1, id=1)), *desc(0, 1, 6), Returned(0, 8), Returned(1, 6)]),
    ("VQ-DRV-HANDED", [*split(), *one(), Returned(0, 8)], [*split(), *one(), element(0, 0, 8), idx(1), Returned(0, 8)]),
    ("VQ-DRV-HANDED", [*split(), *one(), element(0, 0, 8), idx(1), Returned(0, 8), Returned(0, 8)],
     [*split(), *one(0), *one(1, 1), element(0, 1, 8), element(1, 0, 8), idx(2), Returned(0, 8), Returned(1, 8)]),
    ("VQ-DRV-LENGTH", [*split(), *one(), element(0, 0, 6), idx(1), Returned(0, 5)],
     [*split(), *one(), element(0, 0, 6), idx(1), Returned(0, 6)]),
    ("VQ-DRV-LENGTH", [*packed(), *lists(p(0)), *desc(0, 0, 6), Returned(0, 7)],
     [*packed(), *lists(p(0)), *desc(0, 0, 6), Returned(0, 6)]),
    ("VQ-DRV-LENGTH", [*batch(), Returned(0, 8), Returned(1, 8), Returned(2, 5)],
     [*batch(), Returned(0, 8), Returned(1, 8), Returned(2, 6)]),
    ("VQ-DRV-WAKE", [*batch(), Returned(0, 8), Answered("quiet")], [*batch(), Returned(0, 8), Answered("delayed")]),
    ("VQ-DRV-WAKE", [*batch(), Answered("empty")], [*split(), *one(), Answered("empty"), Answered("quiet")]),
    ("VQ-DRV-WAKE", [*split(), *one(), Answered("quiet"), element(0, 0), idx(1), Idle(True)],
     [*split(), *one(), Answered("quiet"), element(0, 0), idx(1), Called(), Idle(True)]),
    ("VQ-DRV-WAKE", [*split(), *one(), Answered("delayed"), element(0, 0), idx(1), Idle(True)],
     [*split(), *one(), *one(1, 1), Answered("delayed"), element(0, 0), idx(1), Idle(True)]),
    ("VQ-DRV-DATA", [*split(), *one(), *DATA, *USED_8, Returned(0, 8), Delivered(b"eightbyt", last=True)],
     [*split(), *one(), *DATA, *USED_8, Returned(0, 8), Delivered(b"eight by", last=True)]),
    ("VQ-DRV-DATA", [*packed(), *lists(p(0)), *DATA, *desc(0, 0, 8), Delivered(b"eight")],
     [*packed(), *lists(p(0)), *DATA, *desc(0, 0, 8), Delivered(b"eight by", b"eight")]),
    ("VQ-DRV-DATA", [*split(), *one(), *DATA, Delivered(b"eight by"), *USED_8],
     [*split(), *one(), *DATA, *USED_8, Delivered(b"eight by")]),
    ("VQ-DRV-DATA", [*split(), *one(), *DATA, *USED_8, Delivered(b"eight by"), Delivered(b"eight by")],
     [*split(), *one(), *DATA, *USED_8, Delivered(b"eight by"), Returned(0, 8)]),
    ("VQ-DRV-DATA", [*split(), *one(), *DATA, *USED_8, Delivered(b"eight by", b"nine")],
     [*split(), *one(), *DATA, *USED_8, Delivered(b"eight by", b"eigh")]),
    ("VQ-DRV-ROOM", [*split(), *FILLED, element(0, 0, 8), idx(1), Returned(0, 8), *REFUSED],
     [*split(), *FILLED, element(0, 0, 8), idx(1), *REFUSED]),
    ("INO-SKIP-LEN", [*batch(), Returned(0, 6)], [*batch(), Returned(0, 8)]),
    ("INO-SKIP-LEN", [*packed(O), *lists(p(0), p(1, id=1)), *desc(0, 1, 6), Returned(0, 16)],
     [*packed(O), *lists(p(0), p(1, id=1)), *desc(0, 1, 6), Returned(0, 8)]),
    ("INO-S-SKIPPED-SLOT", [*batch(skipped=spec.USED_ELEMENT.pack(1, 3)), Returned(0, 8), Returned(1, 3)],
     [*batch(skipped=spec.USED_ELEMENT.pack(1, 3)), Returned(0, 8), Returned(1, 8)]),
    ("S-USED-LEN-DRV", [*split(), *one(), element(0, 0, 6), idx(1), Returned(0, 8)],
     [*split(), *one(), element(0, 0, 6), idx(1), Returned(0, 6)]),
    ("S-USED-LEN-DRV", [*split(), *one(), SawUsed(1, spec.USED_ELEMENT.pack(0, 6), 1), Returned(0, 8)],
     [*split(), *one(), SawUsed(1, spec.USED_ELEMENT.pack(0, 6), 1), Returned(0, 6)]),
    ("P-USED-NEXT", [*packed(), *lists(p(0)), *desc(0, 0, 8, 0x8083), Returned(0, 0)],
     [*packed(), *lists(p(0)), *desc(0, 0, 8, 0x8083), Returned(0, 8)]),
    ("P-USED-NEXT", [*packed(), *lists(p(0)), SawDescriptor(0, spec.DESCRIPTOR.pack(0, 8, 0, 0x8083)), Returned(0, 0)],
     [*packed(), *lists(p(0)), SawDescriptor(0, spec.DESCRIPTOR.pack(0, 8, 0, 0x8083)), Returned(0, 8)]),
]  # fmt: skip
#: rules of suspicion and of what should be: the trace conforms, and a warning says which
WARNED: list[tuple[str, Trace, Trace]] = [
    ("S-AN-DRV-SUPP", [*split(), *SILENT, *one(), *KICK], [*split(), *one(), *KICK]),
    ("S-AN-DRV-EV-SUPP", [*split(EV), *one(), *KICK, *KICK], [*split(EV), *one(), *KICK, *one(1, 1)]),
    ("P-ID-RANGE", [*packed(), *lists(p(0, id=4))], [*packed(), *lists(p(0, id=3))]),
]
#: what a driver may do, and an oracle that is too strict would accuse
ALLOWED: list[tuple[str, list[Observation]]] = [
    ("several chains in one step", [*split(), d(0), head(0, 0), d(1), head(1, 1), at(2), *LOOK]),
    ("lists of a batch, the oldest last", [*packed(), p(2, id=2), p(1, id=1), p(0), *LOOK]),
    ("a list that is held back", [*packed(), p(1, id=1), p(0, NEXT, bits=0), *LOOK]),
    ("a skipped descriptor is used again", [*packed(O, 2), *lists(p(0), p(1, id=1)), *desc(0, 1),
                                            *lists(p(0, lap=0), p(1, id=1, lap=0))]),
    ("the entry of a buffer that is still outstanding",
     [*split(size=2), *one(), *one(1, 1), element(0, 1), idx(1), d(1), head(0, 1), at(3), *LOOK]),
    ("descriptors come free in ring order, whichever buffer came back",
     [*packed(size=2), *lists(p(0), p(1, id=1)), *desc(0, 1), *lists(p(0, id=1, lap=0))]),
]  # fmt: skip
