"""For each rule a short trace by hand that breaks exactly it, and one beside it that conforms."""

from __future__ import annotations

from oracles import spec
from oracles.trace import (
    Allowed,
    Called,
    Changed,
    Entry,
    Idle,
    Notified,
    Observation,
    Published,
    Rechecked,
    Reclaimed,
    Resetting,
    SawUsed,
    Scanned,
    Started,
    Stored,
    Supplied,
    Suppressed,
)

DESCRIPTOR, DRIVER, DEVICE, BUFFERS = 0x10000, 0x11000, 0x12000, 0x13000
O, EV = spec.IN_ORDER, spec.EVENT_IDX  # noqa: E741 - short, for the table
BOTH, WRITE = 0x8080, 0x8082
Trace = list[Observation]


def started(layout: str, size: int = 4, features: int = 0, cause: str = "init", at: int | None = None) -> Started:
    """A queue that begins at *at*."""
    begin = (0 if layout == "split" else 0x8000) if at is None else at
    memory = (0x10000, 0x10000)
    return Started(layout, size, features, DESCRIPTOR, DRIVER, DEVICE, memory, begin, begin, 1, cause)


def split(features: int = 0, size: int = 4) -> Trace:
    return [started("split", size, features)]


def packed(features: int = 0, size: int = 8) -> Trace:
    return [started("packed", size, features)]


def b(number: int, *, id: int = -1, slots: int = 1, out: int = 0, room: int = 8, table: int = 0, direct: int = 0,  # noqa: A002 - as the observation has it
      decoys: tuple[int, ...] = ()) -> Supplied:  # fmt: skip
    """Buffer *number*: its head or id is the same if nothing else is said."""
    at = BUFFERS + 0x100 * number
    elements = (((at, out),) if out else ()) + (((at + 0x80, room),) if room else ())
    elements += ((at + 0x90, 0),) * (table - len(elements))
    where = (at + 0xA0, 16 * table) if table else (0, 0)
    return Supplied(number, number if id < 0 else id, slots, out, room, elements, where, direct, decoys)


def available(*buffers: Supplied) -> Trace:
    return [*buffers, Published(len(buffers))]


def four(room: int = 8, slots: int = 1) -> Trace:
    return available(*(b(number, room=room, slots=slots) for number in range(4)))


def element(slot: int, id: int, length: int = 8) -> Stored:  # noqa: A002 - as the specification has it
    return Stored(DEVICE + 4 + 8 * slot, spec.USED_ELEMENT.pack(id, length))


def idx(value: int) -> Stored:
    return Stored(DEVICE + 2, value.to_bytes(2, "little"))


def one(slot: int, id: int, length: int = 8) -> Trace:  # noqa: A002 - as the specification has it
    """A used element alone, published."""
    return [element(slot, id, length), idx(slot + 1)]


def desc(position: int, id: int, length: int = 8, flags: int = WRITE) -> Trace:  # noqa: A002 - as the specification has it
    """A used descriptor."""
    data = spec.DESCRIPTOR.pack(0, length, id, flags)
    at = DESCRIPTOR + 16 * position
    return [Stored(at + 8, data[8:14]), Stored(at + 14, data[14:])]


def changed(address: int) -> Trace:
    return [Changed(address, b"\x55")]


TOLD: Trace = [Notified()]
IDLE: Trace = [Idle(True)]
CALLED: Trace = [Called()]
STOP: Trace = [Resetting("stop")]
GONE: Trace = [Resetting("device")]
QUEUE_GONE: Trace = [Resetting("queue")]
AGAIN = {cause: [started("split", 4, O, cause)] for cause in ("reset", "queue_reset")}
PACKED_AGAIN: Trace = [started("packed", 8, O, "reset")]
TABLE = b(0, out=4, room=8, table=3)
FAILING = b(1)._replace(fails=True)
JUNK: Trace = [Suppressed(0, 0, True), Rechecked()]  # used_event says that nothing more is wanted
FLAG: Trace = [Suppressed(1, 1, True), Rechecked()]  # and flags, with EVENT_IDX
BROKEN_ANSWER: Trace = [Scanned(0, (), "byte 0 of the answer is 01, must be 02")]

#: rule, a trace that breaks it and no other first, one that conforms
CASES: list[tuple[str, Trace, Trace]] = [
    # split: used idx and used elements
    ("S-USED-IDX-START", [*split(), *four(), idx(0xFFFF)], [*split(), *four(), *one(0, 0)]),
    ("INO-RESTART", [*split(O), *four(), *GONE, *AGAIN["reset"], *available(b(4, id=0)), *one(0, 3)],
     [*split(O), *four(), *GONE, *AGAIN["reset"], *available(b(4, id=0)), *one(0, 0)]),
    ("INO-RESTART", [*split(O), *four(), *QUEUE_GONE, *AGAIN["queue_reset"], *available(b(4)), element(0, 4), idx(2)],
     [*split(O), *four(), *QUEUE_GONE, *AGAIN["queue_reset"], *available(b(4)), element(0, 4), idx(1)]),
    ("INO-RESTART", [*packed(O), *four(), *GONE, *PACKED_AGAIN, *available(b(4)), *desc(0, 3)],
     [*packed(O), *four(), *GONE, *PACKED_AGAIN, *available(b(4)), *desc(0, 4)]),
    ("S-USED-IDX-BOUND", [*split(), *available(b(0)), element(0, 0), idx(2)],
     [*split(), *available(b(0)), element(0, 0), idx(1)]),
    ("INO-S-BATCH-SLOT", [*split(O), *four(), element(1, 1), idx(2)], [*split(O), *four(), element(0, 1), idx(2)]),
    ("INO-S-BATCH-ID", [*split(O), *four(), element(0, 0), idx(2)], [*split(O), *four(), element(0, 1), idx(2)]),
    ("S-USED-LEN-ORDER", [*split(), *four(), idx(1), element(0, 0)], [*split(), *four(), element(0, 0), idx(1)]),
    ("S-USED-LEN-ORDER", [*split(O), *four(), idx(1), element(0, 0)], [*split(O), *four(), element(0, 0), idx(1)]),
    ("S-USED-IDX-COUNT", [*split(), *four(), element(1, 1), idx(2)],
     [*split(), *four(), element(1, 1), element(0, 0), idx(2)]),
    ("S-USED-IDX-COUNT", [*split(), *four(), SawUsed(2, bytes.fromhex("0000000008000000 0900000008000000"), 1)],
     [*split(), *four(), SawUsed(2, bytes.fromhex("0000000008000000 0100000008000000"), 3)]),
    ("INO-NEG-ONLY", [*split(), *four(), SawUsed(2, bytes.fromhex("0100000008000000 0900000008000000"), 1)],
     [*split(), *four(), SawUsed(2, bytes.fromhex("0100000008000000 0000000008000000"), 3)]),
    ("INO-NEG-ONLY", [*split(), *four(), element(0, 1), idx(2)], [*split(O), *four(), element(0, 1), idx(2)]),
    ("INO-BATCH-BOUND", [*split(O), *available(b(0)), element(0, 0), idx(2)],
     [*split(O), *available(b(0), b(1)), element(0, 1), idx(2)]),
    ("INO-S-IND-SLOT", [*split(O), *available(TABLE), element(0, 0), idx(3)],
     [*split(O), *available(TABLE), element(0, 0), idx(1)]),
    ("INO-S-IND-SLOT", [*split(O), *available(TABLE, b(1), b(2), b(3)), element(0, 0), idx(3)],
     [*split(O), *available(TABLE, b(1), b(2), b(3)), element(0, 2), idx(3)]),
    ("S-AN-DEV-SPUR", [*split(), *available(b(0)), *TOLD, *one(0, 0), Reclaimed(1), *TOLD, *one(1, 0)],
     [*split(), *available(b(0)), *TOLD, *one(0, 0), Reclaimed(1), *TOLD]),
    ("S-USED-ID-HI", [*split(), *four(), *one(0, 0x10000)], [*split(), *four(), *one(0, 0)]),
    ("S-USED-ONCE", [*split(), *four(), *one(0, 0), *one(1, 0)], [*split(), *four(), *one(0, 0), *one(1, 2)]),
    ("S-USED-ONCE", [*split(O), *four(), *one(0, 0), *one(1, 0)], [*split(O), *four(), *one(0, 0), *one(1, 1)]),
    ("S-USED-ID", [*split(), *four(), *one(0, 9)], [*split(), *four(), *one(0, 3)]),
    ("S-USED-ID", [*split(), *four(), *one(0, 0), Reclaimed(1), *one(1, 0)],
     [*split(), *four(), *one(0, 0), Reclaimed(1), *available(b(4, id=0)), *one(1, 0)]),
    ("INO-BATCH-LEN", [*split(O), *four(), element(0, 1, 16), idx(2)], [*split(O), *four(), element(0, 1, 8), idx(2)]),
    ("INO-BATCH-LEN", [*packed(O), *available(b(0, out=4), b(1)), *desc(0, 1, 16)],
     [*packed(O), *available(b(0), b(1)), *desc(0, 1, 16)]),  # there WRITE may be the driver's own, left over
    ("INO-BATCH-LEN", [*packed(O), *available(b(0, out=4), b(1)), *desc(0, 1, 9)],
     [*packed(O), *available(b(0, out=4), b(1)), *desc(0, 1, 8)]),
    ("S-USED-LEN-MAX", [*split(), *four(), *one(0, 0, 9)], [*split(), *four(), *one(0, 0, 8)]),
    ("S-USED-LEN-MAX", [*split(O), *four(0), *one(0, 0, 1)], [*split(O), *four(0), *one(0, 0, 0)]),
    # split: order
    ("INO-ORDER", [*split(O), *four(0), *one(0, 1, 0)], [*split(O), *four(0), *one(0, 0, 0), *one(1, 1, 0)]),
    ("INO-ORDER", [*split(O), *four(), *one(0, 2), Scanned(0), Scanned(1, ((0, 8),))],
     [*split(), *four(), *one(0, 2), Scanned(2)]),
    ("INO-ORDER", [*split(O), *four(), *one(0, 0), element(1, 3), idx(3), Scanned(1, ((0, 1),))],
     [*split(O), *four(), *one(0, 0), element(1, 2), idx(3), Scanned(1)]),
    ("INO-ORDER", [*split(O), *four(), *one(0, 1)], [*split(O), *four(), *one(0, 0)]),
    ("INO-ORDER", [*split(O), *four(), element(0, 1), element(1, 0), idx(2), Scanned(0, ((0, 8),))],
     [*split(O), *four(), element(0, 0), element(1, 1), idx(2), Scanned(0), Scanned(1)]),
    ("INO-ERR", [*split(O), *available(b(0), FAILING), *one(0, 1, 0), Scanned(0, ((0, 8),))],
     [*split(O), *available(b(0), FAILING), *one(0, 0), *one(1, 1, 0)]),
    ("INO-ERR", [*split(O), *available(FAILING._replace(buffer=0, id=0), b(1)), *one(0, 1), Scanned(0, ((0, 8),))],
     [*split(O), *available(FAILING._replace(buffer=0, id=0), b(1)), *one(0, 0, 0), *one(1, 1)]),
    ("INO-ERR", [*packed(O), *available(FAILING._replace(buffer=0, id=0), b(1)), *desc(0, 1), *desc(1, 0)],
     [*packed(O), *available(FAILING._replace(buffer=0, id=0), b(1)), *desc(0, 0, 0), *desc(1, 1)]),
    ("INO-S-BATCH-IDX", [*split(O), *four(), *one(0, 1), Scanned(0)], [*split(O), *four(), element(0, 1), idx(2)]),
    # packed: the used descriptor
    ("P-USED-ORDER", [*packed(), *four(), *reversed(desc(0, 0))], [*packed(), *four(), *desc(0, 0)]),
    ("INO-ORDER", [*packed(O), *four(), *desc(0, 1), *desc(1, 0)], [*packed(), *four(), *desc(0, 1), *desc(1, 0)]),
    ("INO-ORDER", [*packed(O), *four(), *desc(0, 1), Scanned(0, ((0, 8),)), *IDLE],
     [*packed(O), *four(), *desc(0, 0), Scanned(0)]),
    ("P-IND-ONESLOT", [*packed(), *available(TABLE, b(1)), *desc(0, 0), *desc(3, 1)],
     [*packed(), *available(TABLE, b(1)), *desc(0, 0), *desc(1, 1)]),
    ("P-USED-ONE", [*packed(), *available(b(0, slots=3), b(1)), *desc(0, 0), *desc(1, 0)],
     [*packed(), *available(b(0, slots=3), b(1)), *desc(0, 0), *desc(3, 1)]),
    ("P-USED-ONE", [*packed(0, 4), *available(b(0, slots=3)), *desc(0, 0), Reclaimed(1),
                    *available(b(1, slots=3), b(2)), *desc(3, 1), *desc(0, 2, 8, 2)],
     [*packed(0, 4), *available(b(0, slots=3)), *desc(0, 0), Reclaimed(1), *available(b(1, slots=3), b(2)),
      *desc(3, 1), *desc(2, 2, 8, 2)]),
    ("INO-P-SKIPPED-DESC", [*packed(O), *four(), *desc(0, 1), *desc(1, 1)],
     [*packed(O), *four(), *desc(0, 1), *desc(2, 2)]),
    ("INO-P-BATCH-ID", [*packed(O), *four(), *desc(0, 0), *desc(2, 2)],
     [*packed(O), *four(), *desc(0, 1), *desc(2, 2)]),
    ("INO-P-BATCH-SLOT", [*packed(O), *available(b(0, slots=2), b(1), b(2)), *desc(0, 1), *desc(2, 2)],
     [*packed(O), *available(b(0, slots=2), b(1), b(2)), *desc(0, 1), *desc(3, 2)]),
    ("P-NO-LATE-CHANGE", [*packed(), *four(), *desc(0, 0), *desc(1, 1), *desc(0, 2)],
     [*packed(), *four(), *desc(0, 0), *desc(1, 1), *desc(2, 2)]),
    ("P-NO-LATE-CHANGE", [*packed(), *available(b(0)), *desc(0, 0), *desc(0, 0)],
     [*packed(), *available(b(0)), *desc(0, 0)]),
    ("P-NO-EARLY-USE", [*packed(), b(0), *desc(0, 0)], [*packed(), *available(b(0)), *desc(0, 0)]),
    ("P-NO-EARLY-USE", [*packed(), *available(b(0)), b(1), *desc(0, 1)], [*packed(), *available(b(0)), *desc(0, 0)]),
    ("INO-BATCH-BOUND", [*packed(O), *available(b(0)), b(1), *desc(0, 1)],
     [*packed(O), *available(b(0), b(1)), *desc(0, 1)]),
    ("INO-NEG-ONLY", [*packed(), *four(), *desc(0, 1), *desc(2, 2)], [*packed(O), *four(), *desc(0, 1), *desc(2, 2)]),
    ("P-USED-POS", [*packed(), *four(), *desc(1, 0)], [*packed(), *four(), *desc(0, 0)]),
    ("VU-SETBASE", [started("packed", 8, 0, "restart", 3), *four(), *desc(3, 0)],
     [started("packed", 8, 0, "restart", 3), *four(), *desc(3, 0, 8, 2)]),
    ("VU-SETBASE", [started("packed", 8, 0, "restart", 3), *four(), *desc(0, 0, 8, 2)],
     [started("packed", 8, 0, "restart", 3), *four(), *desc(3, 0, 8, 2)]),
    ("VU-RESTART", [*split(), *STOP, started("split", 4, 0, "restart"), *available(b(0)), *one(0, 9)],
     [*split(), *STOP, started("split", 4, 0, "restart"), *available(b(0)), *one(0, 0)]),
    ("VU-RESTART", [*packed(), *STOP, started("packed", 8, 0, "restart", 3), *available(b(0)), *desc(3, 9, 8, 2)],
     [*packed(), *STOP, started("packed", 8, 0, "restart", 3), *available(b(0)), *desc(3, 0, 8, 2)]),
    ("P-WRAP-INIT", [*packed(), *four(), *desc(0, 0, 8, 2)], [*packed(), *four(), *desc(0, 0, 8, WRITE)]),
    ("P-FULL-CHAIN", [*packed(0, 3), *available(b(0, slots=3)), *desc(0, 0), Reclaimed(1), *available(b(1)),
                      *desc(0, 1)],
     [*packed(0, 3), *available(b(0, slots=3)), *desc(0, 0), Reclaimed(1), *available(b(1)), *desc(0, 1, 8, 2)]),
    ("INO-P-SKIP-WRAP", [*packed(O, 4), *four(), *desc(0, 3), Reclaimed(4), *available(b(4)), *desc(0, 4)],
     [*packed(O, 4), *four(), *desc(0, 3), Reclaimed(4), *available(b(4)), *desc(0, 4, 8, 2)]),
    ("P-DEV-WRAP", [*packed(0, 2), *available(b(0), b(1)), *desc(0, 0), *desc(1, 1), Reclaimed(2), *available(b(2)),
                    *desc(0, 2)],
     [*packed(0, 2), *available(b(0), b(1)), *desc(0, 0), *desc(1, 1), Reclaimed(2), *available(b(2)),
      *desc(0, 2, 8, 2)]),
    ("P-USED-BITS", [*packed(), *four(), *desc(0, 0, 8, 0x8002)], [*packed(), *four(), *desc(0, 0)]),
    ("P-USED-BITS", [*packed(), *four(), *desc(0, 0), *desc(1, 1, 8, 2)],
     [*packed(), *four(), *desc(0, 0), *desc(1, 1)]),
    ("P-ID-LAST", [*packed(), *available(b(0, slots=2, decoys=(77,))), *desc(0, 77)],
     [*packed(), *available(b(0, slots=2, decoys=(77,))), *desc(0, 0)]),
    ("P-USED-ONCE", [*packed(), *four(), *desc(0, 0), *desc(1, 0)], [*packed(), *four(), *desc(0, 0), *desc(1, 3)]),
    ("P-USED-ID", [*packed(), *four(), *desc(0, 9)], [*packed(), *four(), *desc(0, 3)]),
    ("P-USED-LEN", [*packed(), *four(), *desc(0, 0, 9)], [*packed(), *four(), *desc(0, 0, 9, BOTH)]),
    # what became of the bytes
    ("P-USED-LEN", [*packed(), *four(), *desc(0, 0, 8), Scanned(0, ((4, 4),))],
     [*packed(), *four(), *desc(0, 0, 4), Scanned(0, ((4, 4),))]),
    ("INO-SKIP-FULL", [*split(O), *four(), element(0, 1), idx(2), Scanned(0, ((4, 4),))],
     [*split(O), *four(), element(0, 1, 4), idx(2), Scanned(0), Scanned(1, ((4, 4),))]),
    ("INO-SKIP-FULL", [*packed(O), *four(), *desc(0, 1), Scanned(0, ((4, 4),)), *desc(2, 2)],
     [*packed(O), *four(), *desc(0, 1), Scanned(0), Scanned(1), *desc(2, 2)]),
    ("INO-SKIP-FULL", [*packed(O), *four(), *desc(0, 1), Scanned(0, ((4, 4),)), *desc(2, 9)],
     [*packed(O), *four(), *desc(0, 1), Scanned(0), *desc(2, 3)]),
    ("INO-ORDER", [*packed(O), *four(), *desc(0, 1), Scanned(0, ((4, 4),)), *desc(1, 0)],
     [*packed(O), *four(), *desc(0, 0), Scanned(0, ()), *desc(1, 1)]),
    ("S-USED-LEN-WRITTEN", [*split(), *four(), *one(0, 0, 8), Scanned(0, ((4, 4),))],
     [*split(), *four(), *one(0, 0, 4), Scanned(0, ((4, 4),))]),
    ("P-IND-LEN", [*packed(), *available(TABLE), *desc(0, 0), *BROKEN_ANSWER],
     [*packed(), *available(TABLE), *desc(0, 0), Scanned(0)]),
    ("S-IND-TAIL", [*split(), *available(b(0, slots=2, out=4, table=2, direct=1)), *one(0, 0), *BROKEN_ANSWER],
     [*split(), *available(b(0, slots=2, out=4, table=2, direct=1)), *one(0, 0), Scanned(0)]),
    ("S-IND-START", [*split(), *available(TABLE), *one(0, 0), *BROKEN_ANSWER],
     [*split(), *available(TABLE), *one(0, 0), Scanned(0)]),
    ("S-FRAMING", [*split(), *four(), *one(0, 0), *BROKEN_ANSWER], [*split(), *four(), *one(0, 0), Scanned(0)]),
    ("P-DEV-LIST-ORDER", [*packed(), *available(b(0, slots=2, out=4)), *desc(0, 0), *BROKEN_ANSWER],
     [*packed(), *available(b(0, slots=2, out=4)), *desc(0, 0), Scanned(0)]),
    ("S-FRAMING", [*packed(), *four(), *desc(0, 0), *BROKEN_ANSWER], [*packed(), *four(), *desc(0, 0), Scanned(0)]),
    ("DT-NET-MRG-FULL", [*split(), *four(), *one(0, 0), Scanned(0, (), "DT-NET-MRG-FULL: 2 bytes are left", "net")],
     [*split(), *four(), *one(0, 0), Scanned(0, (), "", "net")]),
    ("DT-NET-MRG-TOGETHER", [*split(), *four(), *one(0, 0), Scanned(0, (), "DT-NET-MRG-TOGETHER: 1 is missing", "net")],
     [*split(), *four(), *one(0, 0), Scanned(0, (), "", "net")]),
    ("VQ-DATA", [*split(), *four(), *one(0, 0), Scanned(0, (), "sector 0 was answered for sector 1", "blk")],
     [*split(), *four(), *one(0, 0), Scanned(0, (), "", "blk")]),
    # memory
    ("S-DESC-RO", [*split(), *changed(DESCRIPTOR + 63)], [*split()]),
    ("S-AVAIL-RO", [*split(), *changed(DRIVER + 13)], [*split()]),
    ("P-EV-AREA", [*packed(), *changed(DRIVER + 3)], [*packed()]),
    ("S-IND-RO", [*split(), *available(TABLE), *changed(BUFFERS + 0xA0 + 47)], [*split(), *available(TABLE)]),
    ("P-IND-RO", [*packed(), *available(TABLE), *changed(BUFFERS + 0xA0)], [*packed(), *available(TABLE)]),
    ("S-RO-BUF", [*split(), b(0, out=4), *changed(BUFFERS + 3)], [*split(), b(0, out=4)]),
    ("P-RO-BUF", [*packed(), *available(b(0, out=4)), *desc(0, 0), *changed(BUFFERS)],
     [*packed(), *available(b(0, out=4)), *desc(0, 0)]),
    ("INO-BATCH-TIME", [*split(O), *four(), element(0, 1), idx(2), *changed(BUFFERS + 0x80)],
     [*split(O), *four(), element(0, 1), idx(2)]),
    ("INO-BATCH-TIME", [*packed(O), *four(), *desc(0, 1), *changed(BUFFERS + 0x187)],
     [*packed(O), *four(), *desc(0, 1)]),
    ("VQ-OOB", [*packed(O), *four(), *desc(0, 0), *desc(1, 1), *changed(BUFFERS + 0x187)],
     [*packed(O), *four(), *desc(0, 0), *desc(1, 1)]),
    ("INO-BATCH-TIME", [*split(O), *four(), element(0, 1), idx(2), Scanned(0, ((4, 4),)), *changed(BUFFERS + 0x84)],
     [*split(O), *four(), element(0, 1), idx(2), Scanned(0)]),
    ("VQ-OOB", [*split(O), *four(), *one(0, 0), *changed(BUFFERS + 0x80)], [*split(O), *four(), *one(0, 0)]),
    ("VQ-OOB", [*split(), *available(b(0, out=4)), *changed(BUFFERS + 4)], [*split(), *available(b(0, out=4))]),
    ("VQ-OOB", [*packed(), *changed(DRIVER + 4)], [*packed()]),
    ("VQ-OOB", [*split(), *available(TABLE), *changed(BUFFERS + 0xA0 + 48)], [*split(), *available(TABLE)]),
    ("VQ-OOB", [*split(), Stored(DEVICE + 2 + 4 + 8 * 4 + 4, b"\0\0")],
     [*split(EV), Stored(DEVICE + 4 + 8 * 4, b"\0\0")]),
    # the device's own suppression words
    ("S-AN-DEV-FLAGS-EV", [*split(EV), Stored(DEVICE, b"\1\0")], [*split(), Stored(DEVICE, b"\1\0")]),
    ("S-AN-DEV-FLAGS", [*split(), Stored(DEVICE, b"\2\0")], [*split(), Stored(DEVICE, b"\0\0")]),
    ("S-AN-DEV-FLAGS", [*split(), Allowed(2, 0, False)], [*split(), Allowed(1, 0, True)]),
    ("P-EV-VAL-DEV", [*packed(EV), Stored(DEVICE + 2, b"\3\0")], [*packed(EV), Stored(DEVICE + 2, b"\2\0")]),
    ("P-EV-VAL-DEV", [*packed(), Stored(DEVICE + 2, b"\2\0")], [*packed(), Stored(DEVICE + 2, b"\1\0")]),
    ("P-EV-VAL-DEV", [*packed(EV), Allowed(4, 0, False)], [*packed(EV), Allowed(2, 0x8007, False)]),
    ("P-EV-OFF-RANGE", [*packed(EV), Stored(DEVICE, b"\x08\x80")], [*packed(EV), Stored(DEVICE, b"\x07\x80")]),
    ("P-EV-OFF-RANGE", [*packed(EV), Allowed(2, 8, False)], [*packed(EV), Allowed(1, 8, True)]),
    # used buffer notifications
    ("INO-EVENT", [*split(O | EV), *four(), Suppressed(0, 1), Rechecked(), element(0, 2), idx(3), *IDLE],
     [*split(O | EV), *four(), Suppressed(0, 3), Rechecked(), element(0, 2), idx(3), *IDLE]),
    ("INO-EVENT", [*packed(O | EV), *four(), Suppressed(2, 0x8001), Rechecked(), *desc(0, 2), *IDLE],
     [*packed(O | EV), *four(), Suppressed(2, 0x8003), Rechecked(), *desc(0, 2), *IDLE]),
    ("S-UN-DEV-MUST", [*split(), *four(), *one(0, 0), *IDLE], [*split(), *four(), *one(0, 0), *CALLED, *IDLE]),
    ("S-UN-DEV-MUST", [*split(), *four(), Suppressed(1, 0), Suppressed(0, 0), Rechecked(), *one(0, 0), *IDLE],
     [*split(), *four(), Suppressed(1, 0), Rechecked(), *one(0, 0), *IDLE]),
    ("S-UN-DEV-EV-MUST", [*split(EV), *four(), Suppressed(0, 0), Rechecked(), *one(0, 0), *IDLE],
     [*split(EV), *four(), Suppressed(0, 1), Rechecked(), *one(0, 0), *IDLE]),
    ("P-EV-ENABLE-DEV", [*packed(), *four(), *desc(0, 0), *IDLE], [*packed(), *four(), *desc(0, 0), *CALLED, *IDLE]),
    ("P-EV-DESC-DEV", [*packed(EV), *four(), Suppressed(2, 0x8001), Rechecked(), *desc(0, 0), *desc(1, 1), *IDLE],
     [*packed(EV), *four(), Suppressed(2, 0x8002), Rechecked(), *desc(0, 0), *desc(1, 1), *IDLE]),
    ("P-EV-DESC-DEV", [*packed(EV, 2), *available(b(0), b(1)), Suppressed(2, 0), Rechecked(), *desc(0, 0), *desc(1, 1),
                       Reclaimed(2), *available(b(2)), *desc(0, 2, 8, 2), *IDLE],
     [*packed(EV, 2), *available(b(0), b(1)), Suppressed(2, 0), Rechecked(), *desc(0, 0), *desc(1, 1), *IDLE]),
    ("S-UN-DEV-IGN-EVENT", [*split(), *four(), *one(0, 0), *CALLED, *JUNK, *one(1, 1), *IDLE],
     [*split(), *four(), *one(0, 0), *CALLED, *JUNK, *one(1, 1), *CALLED, *IDLE]),
    ("S-UN-DEV-MUST", [*split(), *four(), *JUNK, *one(0, 0), *IDLE], [*split(), *four(), *JUNK, *one(0, 0), *CALLED]),
    ("S-UN-DEV-IGN-FLAG", [*split(EV), *four(), *one(0, 0), *CALLED, *FLAG, *one(1, 1), *IDLE],
     [*split(EV), *four(), *one(0, 0), *CALLED, *FLAG, *one(1, 1), *CALLED, *IDLE]),
    # liveness
    ("INO-LIVE", [*split(O), *four(), *TOLD, *IDLE], [*split(O), *four(), *IDLE]),
    ("INO-LIVE", [*packed(O), *four(), Allowed(1, 0, True), *IDLE], [*packed(O), *four(), Allowed(0, 0, False), *IDLE]),
    ("VQ-LIVE", [*split(), *four(), *TOLD, *IDLE], [*split(), *four(), *TOLD, Idle(False)]),
    ("VQ-LIVE", [*packed(), *four(), *TOLD, *IDLE], [*packed(), *four(), *TOLD, Idle(True, False)]),
    # stop, reset, and what comes after
    ("VU-BASE-SPLIT", [*split(), *four(), *one(0, 0), Resetting("stop", 0)],
     [*split(), *available(b(0)), *one(0, 0), Resetting("stop", 1)]),
    ("VU-BASE-SPLIT", [*split(), *four(), *one(0, 0), Resetting("stop", 5)], [*split(), *four(), Resetting("stop", 0)]),
    ("VU-BASE-PACKED", [*packed(), *four(), *desc(0, 0), Resetting("stop", 0)],
     [*packed(), *four(), *desc(0, 0), Resetting("stop", 0x8001_8001)]),
    ("RST-QUIET", [*split(), *four(), *GONE, *CALLED], [*split(), *four(), *CALLED, *GONE]),
    ("RST-QUIET", [*packed(), *four(), *GONE, *desc(0, 0)], [*packed(), *four(), *desc(0, 0), *GONE]),
    ("VQ-NOT-LIVE", [*packed(), *four(), *GONE, *changed(BUFFERS + 0x80)], [*packed(), *four(), *GONE]),
    ("VQ-NOT-LIVE", [*split(), *four(), *GONE, *changed(BUFFERS + 0x80)], [*split(), *four(), *GONE]),
    ("VQ-NOT-LIVE", [*split(), *four(), *GONE, started("split", 4, 0, "reset"), *available(b(4, id=0)), *one(0, 3)],
     [*split(), *four(), *GONE, started("split", 4, 0, "reset"), *available(b(4, id=0)), *one(0, 0)]),
    ("VQR-QUIET", [*split(), *four(), *QUEUE_GONE, *changed(BUFFERS)], [*split(), *four(), *QUEUE_GONE]),
    ("VU-STOPPED", [*split(), *four(), *STOP, SawUsed(1, bytes(8), 1)],
     [*split(), *four(), SawUsed(1, bytes(8), 1), *STOP]),
    ("ST-NO-EARLY-USE", [*one(0, 0), *split()], [*split()]),
    ("ST-NO-EARLY-USE", [*CALLED, *packed()], [*packed(), *CALLED]),
]  # fmt: skip
EMPTY_RESET: Trace = [*available(b(0)), *one(0, 0), Reclaimed(1), *QUEUE_GONE, started("split", 4, 0, "queue_reset"),
                      *available(b(1))]  # fmt: skip
PACKED_RESET: Trace = [started("packed", 8, 0, "queue_reset"), *available(b(1))]
FLAGGED: Trace = [
    b(0),
    b(1),
    b(2, out=4, room=8, table=3),
    Published(3),
]  # our driver sets WRITE on the pointer to its table
WRONG_ANSWER = Scanned(2, (), "byte 0 of the answer is 01, must be 02")
CASES += [
    ("VQR-STATE", [*split(), *four(), *QUEUE_GONE, started("split", 4, 0, "queue_reset"), *available(b(4, id=0)),
                   *one(0, 3)],
     [*split(), *four(), *QUEUE_GONE, started("split", 4, 0, "queue_reset"), *available(b(4, id=0)), *one(0, 0)]),
    ("VQR-STATE", [*split(), *EMPTY_RESET, element(0, 1), idx(2)], [*split(), *EMPTY_RESET, *one(0, 1)]),
    ("VQR-STATE", [*packed(), *QUEUE_GONE, *PACKED_RESET, *desc(0, 1, 8, 2)],
     [*packed(), *QUEUE_GONE, *PACKED_RESET, *desc(0, 1)]),
    ("S-IND-WRITE-IGN", [*split(), *FLAGGED, *one(0, 2), WRONG_ANSWER], [*split(), *FLAGGED, *one(0, 2), Scanned(2)]),
    ("P-IND-DEV-IGN", [*packed(), *FLAGGED, *desc(0, 2), WRONG_ANSWER],
     [*packed(), *FLAGGED, *desc(0, 2), Scanned(2)]),
]  # fmt: skip
#: rules that say less than another does of the same: never named first, but beside it
BESIDE: list[tuple[str, Trace]] = [
    ("VU-BASE-STOP", [*split(), *four(), *STOP, *CALLED]),
    ("VU-SUSPENDED", [*split(), *four(), *STOP, *CALLED]),
    ("VU-RESET-DEV", [*split(), *four(), *GONE, *CALLED]),
    ("VQ-NOT-LIVE", [*split(), *four(), *QUEUE_GONE, *CALLED]),
]
#: rules of suspicion: the trace conforms, and a warning says which
LINT: list[tuple[str, Trace, Trace]] = [
    ("INO-S-MASK", [*split(O), *four(), element(0, 1), element(1, 0), idx(2)],
     [*split(O), *four(), element(0, 0), element(1, 1), idx(2)]),
    ("INO-S-MASK", [*split(O), *four(), SawUsed(2, bytes.fromhex("0100000008000000 0000000008000000"), 3)],
     [*split(O), *four(), SawUsed(2, bytes.fromhex("0100000008000000 0000000008000000"), 1)]),
    ("VU-BASE-DRAIN", [*split(), *four(), *one(0, 0), Resetting("stop", 3)],
     [*split(), *four(), *one(0, 0), Resetting("stop", 1)]),
    ("VU-BASE-DRAIN", [*packed(), *four(), *desc(0, 0), Resetting("stop", 0x8001_8003)],
     [*packed(), *four(), *desc(0, 0), Resetting("stop", 0x8001_8001)]),
    ("VU-BASE-PACKED", [*packed(), *four(), *desc(0, 0), Resetting("stop", 0x8001)],
     [*packed(), *four(), *desc(0, 0), Resetting("stop", 0x8001_8001)]),
    ("S-USED-LEN-EXACT", [*split(), *four(), *one(0, 0, 4), Scanned(0, ((6, 2),))],
     [*split(), *four(), *one(0, 0, 4), Scanned(0, ((4, 4),))]),
    ("P-USED-WFLAG", [*packed(), *four(), *desc(0, 0, 8, BOTH), Scanned(0)],
     [*packed(), *four(), *desc(0, 0, 8, BOTH), Scanned(0, ((0, 8),))]),
    ("S-UN-DEV-SUPP", [*split(), *four(), Suppressed(1, 0), Rechecked(), *one(0, 0), *CALLED],
     [*split(), *four(), Suppressed(0, 0), Rechecked(), *one(0, 0), *CALLED]),
    ("S-UN-DEV-EV-SUPP", [*split(EV), *four(), Suppressed(0, 1), Rechecked(), *one(0, 0), *CALLED],
     [*split(EV), *four(), Suppressed(0, 0), Rechecked(), *one(0, 0), *CALLED]),
    ("P-EV-DISABLE-DEV", [*packed(), *four(), Suppressed(1, 0), Rechecked(), *desc(0, 0), *CALLED],
     [*packed(), *four(), Suppressed(0, 0), Rechecked(), *desc(0, 0), *CALLED]),
]  # fmt: skip


def on(queue: int, *observations: Observation) -> list[Entry]:
    return [(queue, observation) for observation in observations]


#: the first queue gave its three buffers back in turn, with younger ones to choose from
IN_TURN: list[Entry] = [*on(0, *split(O)), *on(1, *split(O))]
IN_TURN += on(0, *four(), *one(0, 0), *one(1, 1), *one(2, 2))
OLDER: list[Entry] = [*on(0, *split(O)), *on(1, *split(O)), *on(0, *available(b(0)))]
#: what only another queue tells: rule, bad, good
BESIDE_OTHERS: list[tuple[str, list[Entry], list[Entry]]] = [
    ("INO-OFFER", [*IN_TURN, *on(1, *four(0), *one(0, 1, 0))],
     [*IN_TURN, *on(1, *four(0), *one(0, 0, 0))]),
    ("INO-ORDER", [*on(0, *split(O), *four()), *on(1, *split(O), *four(0), *one(0, 1, 0))],
     [*on(0, *split(O), *four()), *on(1, *split(O), *four(0), *one(0, 0, 0))]),
    ("INO-ORDER", [*IN_TURN, *on(1, *four(0), *one(0, 0, 0), *one(1, 2, 0))],
     [*IN_TURN, *on(1, *four(0), *one(0, 0, 0), *one(1, 1, 0))]),
    ("INO-PER-QUEUE", [*OLDER, *on(1, *available(b(0)), *TOLD, *IDLE)],
     [*OLDER, *on(1, *available(b(0)), *TOLD, *one(0, 0), *CALLED, *IDLE)]),
    ("INO-LIVE", [*OLDER, *on(1, *available(b(0), b(1)), *TOLD, *one(0, 0), *CALLED, *IDLE)],
     [*OLDER, *on(1, *available(b(0), b(1)), *TOLD, *one(0, 0), *one(1, 1), *CALLED, *IDLE)]),
]  # fmt: skip
