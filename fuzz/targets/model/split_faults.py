"""Planted faults of split rings: reading chains, writing where nobody may, used elements, and notifying.

Each replaces one or two small methods of the reference device. Knows the device; must not know who looks for them.
"""

from __future__ import annotations

from fuzz.targets.model.engine import Engine, Job
from fuzz.targets.model.planting import LIVE, SPLIT, WARNED, Chains, Split, engine_with, plant
from oracles import spec
from oracles.split_rings import Chain
from oracles.trace import Extent

_JUNK = "random programs never write words that have no meaning"
_OFF = (False,)
_IDX = ("S-USED-IDX-BOUND", "S-USED-IDX-COUNT", "INO-BATCH-BOUND", "INO-S-BATCH-ID", "VQR-STATE", "INO-RESTART",
        "INO-NEG-ONLY", "S-AN-DEV-SPUR", "VQ-NOT-LIVE")  # fmt: skip

# -- reading chains --------------------------------------------------------------------------------------


def _one_piece(engine: Engine, job: Job) -> None:
    if job.chain.slots > 1:
        del job.chain.readable[1:]
    Engine.answer(engine, job)


class _Flagged(Split):
    """Takes WRITE on the pointer to a table for the direction of all that the table has."""

    write = False

    def indirect(self, flags: int, place: int) -> bool:
        self.write = bool(flags & spec.DESC_F_WRITE)
        return super().indirect(flags, place)

    def walk_table(self, offset: int, entries: int, readable: list[Extent], writable: list[Extent]) -> None:
        super().walk_table(offset, entries, [] if self.write else readable, writable)


def _table_only(ring: Split, offset: int, entries: int, readable: list[Extent], writable: list[Extent]) -> None:
    readable.clear()
    Split.walk_table(ring, offset, entries, readable, writable)


def _straight(ring: Split, offset: int, entries: int, readable: list[Extent], writable: list[Extent]) -> None:
    for index in range(entries):
        if not 0 <= offset + 16 * index <= len(ring.memory) - 16:
            return
        address, length, flags, _ = spec.DESCRIPTOR.unpack_from(ring.memory, offset + 16 * index)
        (writable if flags & spec.DESC_F_WRITE else readable).append((address, length))
        if not flags & spec.DESC_F_NEXT:
            return


plant(
    "one-readable-piece",
    "of a chain in the ring only the first readable element is read",
    ("S-FRAMING", "S-IND-TAIL", "S-IND-WRITE-IGN"),
    engine_with(own={"answer": _one_piece}),
    SPLIT,
)
plant(
    "write-on-the-pointer",
    "split: WRITE on a descriptor that points to a table makes nothing in it readable",
    ("S-IND-WRITE-IGN",),
    type("Faulty", (Engine,), {"split_ring": _Flagged}),
    SPLIT,
    features=spec.INDIRECT_DESC,
)
plant(
    "only-the-table",
    "split: what a chain has before its indirect table is not read",
    ("S-IND-TAIL", "S-IND-WRITE-IGN"),
    engine_with({"walk_table": _table_only}),
    SPLIT,
    features=spec.INDIRECT_DESC,
)
plant(
    "table-read-straight",
    "split: the entries of a table are read one after the other, whatever next says",
    ("S-IND-START", "S-IND-TAIL", "S-IND-WRITE-IGN", "S-USED-LEN-WRITTEN"),
    engine_with({"walk_table": _straight}),
    SPLIT,
    features=spec.INDIRECT_DESC,
)

# -- writing where nobody may ----------------------------------------------------------------------------


def _marked(ring: Split, head: int) -> Chain:
    chain = Split.walk(ring, head)
    at = ring.descriptor + 16 * (head % ring.size) + 14
    ring.memory[at : at + 2] = b"\xff\xff"  # next of the head, which was read
    return chain


def _marked_table(ring: Split, offset: int, entries: int, readable: list[Extent], writable: list[Extent]) -> None:
    Split.walk_table(ring, offset, entries, readable, writable)
    ring.memory[offset + 14 : offset + 16] = b"\xff\xff"


def _taken_out(ring: Split) -> int:
    head = Split.head(ring)
    ring.words[ring.driver // 2 + 2 + ring.available % ring.size] = 0xFFFF
    return head


def _in_place(engine: Engine, job: Job) -> None:
    Engine.answer(engine, job)
    for address, length in job.chain.readable[:1]:
        engine.memory[address - engine.address : address - engine.address + length] = bytes(length)


def _one_more_byte(engine: Engine, job: Job) -> None:
    Engine.answer(engine, job)
    for address, length in job.chain.writable[-1:]:
        engine.memory[address - engine.address + length] = 0


plant(
    "marks-descriptors",
    "split: descriptors are marked once they were read",
    ("S-DESC-RO", *LIVE),
    engine_with({"walk": _marked}),
    SPLIT,
)
plant(
    "marks-tables",
    "split: indirect tables are marked once they were read",
    ("S-IND-RO",),
    engine_with({"walk_table": _marked_table}),
    SPLIT,
    features=spec.INDIRECT_DESC,
)
plant(
    "clears-available-ring",
    "split: entries of the available ring are overwritten once they were read",
    ("S-AVAIL-RO",),
    engine_with({"head": _taken_out}),
    SPLIT,
)
plant(
    "works-in-place",
    "what was read of a request is overwritten",
    ("S-RO-BUF",),
    engine_with(own={"answer": _in_place}),
    SPLIT,
)
plant(
    "one-byte-behind",
    "one byte is written behind the end of a buffer",
    ("VQ-OOB", "S-RO-BUF", "S-IND-RO"),
    engine_with(own={"answer": _one_more_byte}),
    SPLIT,
)

# -- used elements ---------------------------------------------------------------------------------------


class _Twice(Split):
    """Every second element names the chain of the one before."""

    before = -1

    def batch_id(self, chains: Chains) -> int:
        id_, self.before = (self.before, -1) if self.before >= 0 else (chains[-1].id, chains[-1].id)
        return id_


plant(
    "place-for-head",
    "split: the used element has the place in the ring for its id, not the head",
    ("S-USED-ID", "S-USED-ONCE", "S-USED-LEN-MAX", "S-USED-LEN-WRITTEN", "S-FRAMING", "VQR-STATE", "INO-RESTART",
     "INO-ORDER", "INO-S-BATCH-ID", "INO-S-BATCH-IDX", "INO-BATCH-LEN", "INO-ERR", "INO-SKIP-FULL", "VU-RESTART",
     "VQ-NOT-LIVE"),
    engine_with({"batch_id": lambda ring, chains: ring.used % ring.size}),
    SPLIT,
)  # fmt: skip
plant(
    "lap-in-the-id",
    "split: the upper half of a used element's id is not zero",
    ("S-USED-ID-HI",),
    engine_with({"batch_id": lambda ring, chains: chains[-1].id | 1 << 16}),
    SPLIT,
)
plant(
    "returned-twice",
    "split: a chain is returned twice, and the one behind it not at all",
    ("S-USED-ONCE", "S-USED-ID", "INO-ORDER", "INO-S-BATCH-ID", "S-USED-LEN-WRITTEN", "S-USED-LEN-MAX", "S-FRAMING",
     "S-IND-START", "S-IND-TAIL", "S-IND-WRITE-IGN", "INO-SKIP-FULL", "INO-BATCH-LEN", "INO-S-BATCH-IDX", "VQR-STATE",
     "INO-RESTART", "INO-ERR", "VQ-NOT-LIVE", "VU-RESTART"),
    type("Faulty", (Engine,), {"split_ring": _Twice}),
    SPLIT,
)  # fmt: skip
plant(
    "published-one-more",
    "split: used idx moves by one more than there are elements",
    _IDX,
    engine_with({"batch_count": lambda ring, chains: len(chains) + 1}),
    SPLIT,
)
plant(
    "descriptors-counted",
    "split: used idx moves by the descriptors of a chain, not by one",
    _IDX,
    engine_with({"batch_count": lambda ring, chains: sum(chain.slots for chain in chains)}),
    SPLIT,
    _OFF,
)
plant(
    "last-byte-not-counted",
    "the used length is one byte too small",
    ("S-USED-LEN-EXACT", "P-USED-LEN"),
    engine_with(own={"length": lambda engine, jobs: max(jobs[-1].written - 1, 0)}),
    SPLIT,
    aimed=WARNED,
)

# -- notifying -------------------------------------------------------------------------------------------


def _used_event(ring: Split) -> int:
    return ring.words[(ring.driver + 4 + 2 * ring.size) // 2]


def _whatever_flags_say(ring: Split) -> bool:
    asked = Split.calls(ring)
    return asked or not ring.event_idx


def _every_other(ring: Split) -> bool:
    asked = Split.calls(ring)
    ring.turn = not getattr(ring, "turn", False)  # type: ignore[attr-defined]  # the fault's own
    return asked and bool(ring.turn)  # type: ignore[attr-defined]  # the fault's own


def _event_always(ring: Split) -> bool:
    old = ring.signalled
    return Split.calls(ring) and spec.crosses(_used_event(ring), ring.used, old)


def _flag_always(ring: Split) -> bool:
    return Split.calls(ring) and not ring.words[ring.driver // 2] & spec.AVAIL_F_NO_INTERRUPT


def _silence_in_flags(ring: Split) -> None:
    ring.store(ring.device, b"\1\0")


def _trusting(engine: Engine) -> None:
    ring = engine.ring
    if engine.live and isinstance(ring, Split) and not ring.waiting() and not engine.todo:
        ring.available = (ring.available - 1) & 0xFFFF
    Engine.run(engine)


plant(
    "deaf-to-flags",
    "split: notifications are sent though flags asks for none",
    ("S-UN-DEV-SUPP",),
    engine_with({"calls": _whatever_flags_say}),
    SPLIT,
    aimed=WARNED,
)
plant(
    "every-other-notification",
    "split: every other notification is left out",
    ("S-UN-DEV-MUST", "S-UN-DEV-EV-MUST", "INO-EVENT"),
    engine_with({"calls": _every_other}),
    SPLIT,
)
plant(
    "event-zero-means-none",
    "split: a used_event of 0 counts as none",
    ("S-UN-DEV-EV-MUST", "INO-EVENT"),
    engine_with({"passed": lambda ring, event, new, old: event != 0 and spec.crosses(event, new, old)}),
    SPLIT,
    features=spec.EVENT_IDX,
)
plant(
    "deaf-to-used-event",
    "split: notifications are sent for every element, whatever used_event is",
    ("S-UN-DEV-EV-SUPP",),
    engine_with({"passed": lambda ring, event, new, old: new != old}),
    SPLIT,
    features=spec.EVENT_IDX,
    aimed=WARNED,
)
plant(
    "heeds-used-event",
    "split: used_event is heeded though EVENT_IDX is off",
    ("S-UN-DEV-IGN-EVENT", "S-UN-DEV-MUST"),
    engine_with({"calls": _event_always}),
    SPLIT,
)
plant(
    "heeds-flags",
    "split: flags is heeded though EVENT_IDX is on",
    ("S-UN-DEV-IGN-FLAG", "S-UN-DEV-EV-MUST", "INO-EVENT"),
    engine_with({"calls": _flag_always}),
    SPLIT,
    features=spec.EVENT_IDX,
    aimed=_JUNK,
)
plant(
    "two-in-flags",
    "split: flags in the used ring is 2 while the device works",
    ("S-AN-DEV-FLAGS",),
    engine_with({"silence": lambda ring: None if ring.event_idx else ring.store(ring.device, b"\2\0")}),
    SPLIT,
)
plant(
    "flags-with-event",
    "split: flags in the used ring is 1 while the device works, with EVENT_IDX as without",
    ("S-AN-DEV-FLAGS-EV",),
    engine_with({"silence": _silence_in_flags}),
    SPLIT,
    features=spec.EVENT_IDX,
)
plant(
    "trusts-notifications",
    "split: a notification counts as an available buffer",
    ("S-AN-DEV-SPUR", *LIVE, "S-USED-ID", "S-USED-ONCE", "S-USED-IDX-BOUND", "INO-RESTART", "VQR-STATE", "VQ-OOB",
     "S-USED-LEN-WRITTEN", "S-USED-LEN-MAX", "INO-ORDER", "S-FRAMING", "INO-BATCH-BOUND", "VU-BASE-SPLIT",
     "INO-S-BATCH-ID", "INO-S-BATCH-SLOT", "S-USED-IDX-COUNT", "S-RO-BUF", "S-IND-RO", "INO-SKIP-FULL", "VU-RESTART",
     "VQ-NOT-LIVE"),
    engine_with(own={"run": _trusting}),
    SPLIT,
)  # fmt: skip
