"""Driver rules of the split layout: each a small function of a Situation, most telling first (2.7).

Knows the specification; must not know how situations come to be found, nor any driver.
"""

from __future__ import annotations

from oracles import spec
from oracles.driver_asking import rule
from oracles.exposing import Chain, Situation

NEXT, WRITE, INDIRECT = spec.DESC_F_NEXT, spec.DESC_F_WRITE, spec.DESC_F_INDIRECT

# -- memory ----------------------------------------------------------------------------------------------


@rule("S-AN-DRV-INIT", "begun")
def _used_flags(one: Situation) -> str | None:
    if one.layout == spec.SPLIT:
        return f"used flags are {one.new} when the queue starts, must be 0"
    return None


@rule("S-USED-RO", "foreign")
def _used_ring(one: Situation) -> str | None:
    if one.layout == spec.SPLIT:
        return f"the driver stored {one.data[:16].hex()} to the used ring, at {one.address:#x}"
    return None


@rule("S-LAYOUT", "beside")
def _beside(one: Situation) -> str | None:
    if one.layout == spec.SPLIT:
        return f"the driver stored {one.data.hex()} at {one.address:#x}, which is in none of the queue's three parts"
    return None


@rule("S-UN-DRV-FLAGS-EV", "word")
def _flags_with_event(one: Situation) -> str | None:
    if one.layout == spec.SPLIT and one.has(spec.EVENT_IDX):
        return f"available ring flags are {one.new}, must be 0 with VIRTIO_F_EVENT_IDX"
    return None


@rule("S-UN-DRV-FLAGS", "word")
def _flags(one: Situation) -> str | None:
    if one.layout == spec.SPLIT and not one.has(spec.EVENT_IDX):
        return f"available ring flags are {one.new}, must be 0 or 1"
    return None


@rule("S-AVAIL-BARRIER", "late")
def _published_first(one: Situation) -> str | None:
    if one.layout == spec.SPLIT:
        place = "the available ring's entry" if one.what == "entry" else f"the {one.what}"
        return f"{place} {one.slot} was stored after the available idx that published it"
    return None


@rule("S-EXPOSED-FROZEN", "altered")
def _frozen(one: Situation) -> str | None:
    if one.layout == spec.SPLIT or one.what == "table":
        whose = {"entry": "the available ring's entry", "table": "the indirect table of the buffer at"}
        place = whose.get(one.what, "descriptor")
        return f"{place} {one.slot} was altered while a buffer that it belongs to is available and not returned"
    return None


# -- available idx ---------------------------------------------------------------------------------------


@rule("S-AVAIL-START", "idx")
def _start(one: Situation) -> str | None:
    if one.first and (one.new - one.old) & 0xFFFF > one.size:
        return f"the available idx is {one.new} at the first look, must begin at {one.old}"
    return None


@rule("S-AVAIL-MONO", "idx")
def _backwards(one: Situation) -> str | None:
    if (one.new - one.old) & 0xFFFF >= 0x8000:
        return f"the available idx went back from {one.old} to {one.new}"
    return None


@rule("S-OUTSTANDING", "idx")
def _outstanding(one: Situation) -> str | None:
    step = (one.new - one.old) & 0xFFFF
    return (
        f"the available idx went from {one.old} to {one.new} with {one.slot} buffers outstanding: "
        f"{step + one.slot} in a queue of {one.size}"
    )


# -- chains ----------------------------------------------------------------------------------------------


def _chain(one: Situation) -> Chain:
    assert one.chain is not None
    return one.chain


def _pointers(one: Situation) -> list[tuple[int, int, int, int, int]]:
    return [item for item in _chain(one).items if item[3] & INDIRECT]


@rule("S-IND-FEAT", "chain")
def _indirect(one: Situation) -> str | None:
    for slot, *_ in _pointers(one) if not one.has(spec.INDIRECT_DESC) else ():
        return f"descriptor {slot} refers to an indirect table, though the feature was not negotiated"
    return None


def _bad_link(chain: Chain, size: int) -> str | None:
    for slot, _, _, flags, follower in chain.items:
        if flags & NEXT and not flags & INDIRECT and follower >= size:
            return f"descriptor {slot} links to {follower}, in a table of {size}"
    for index, _, _, flags, follower in chain.entries:
        if flags & NEXT and follower >= chain.table[1] // 16:
            return f"entry {index} links to {follower}, in an indirect table of {chain.table[1] // 16}"
    return None


@rule("S-NEXT-RANGE", "chain")
def _range(one: Situation) -> str | None:
    chain = _chain(one)
    if chain.start >= one.size:
        return f"the available ring names head {chain.start}, in a table of {one.size}"
    return _bad_link(chain, one.size)


@rule("S-AVAIL-COUNT", "chain")
def _count(one: Situation) -> str | None:
    if _chain(one).repeated:
        return f"the available idx covers an entry that names head {one.slot}, which is available already"
    return None


@rule("INO-S-AVAIL-HEADS", "chain")
def _heads(one: Situation) -> str | None:
    chain = _chain(one)
    if chain.expected not in (-1, chain.start) and not chain.untouched:
        return f"the available ring names head {chain.start}; the chain was put at {chain.expected}"
    return None


@rule("INO-S-DESC-SEQ", "chain")
def _sequence(one: Situation) -> str | None:
    chain = _chain(one)
    if chain.expected not in (-1, chain.start):
        return f"the chain begins at descriptor {chain.start}, must begin at {chain.expected}"
    return None


@rule("S-NEXT-FREE", "chain")
def _free(one: Situation) -> str | None:
    chain = _chain(one)
    if chain.overlaps >= 0:
        return f"the chain at {chain.start} takes descriptor {chain.overlaps}, which belongs to an outstanding buffer"
    return None


@rule("S-CHAIN-2G", "chain")
def _loop_or_long(one: Situation) -> str | None:
    chain = _chain(one)
    if chain.loops:
        return f"the chain at {chain.start} has a loop"
    total = chain.readable + chain.writable
    return f"the chain at {chain.start} has {total} bytes, more than 2^32" if total > 1 << 32 else None


@rule("INO-S-NEXT", "chain")
def _next(one: Situation) -> str | None:
    if not one.has(spec.IN_ORDER):
        return None
    for slot, _, _, flags, follower in _chain(one).items:
        if flags & NEXT and not flags & INDIRECT and follower != (slot + 1) % one.size:
            return f"descriptor {slot} links to {follower}, must link to {(slot + 1) % one.size}"
    return None


@rule("S-IND-NEXT", "chain")
def _indirect_and_next(one: Situation) -> str | None:
    for slot, _, _, flags, _ in _pointers(one):
        if flags & NEXT:
            return f"descriptor {slot} has both INDIRECT and NEXT"
    return None


@rule("S-IND-LEN", "chain")
def _table_length(one: Situation) -> str | None:
    for slot, _, length, _, _ in _pointers(one):
        if length % 16:
            return f"descriptor {slot} gives its indirect table {length} bytes, no multiple of 16"
    return None


@rule("S-BUF-NONEMPTY", "chain")
def _empty(one: Situation) -> str | None:
    chain = _chain(one)
    if chain.items and len(_pointers(one)) == len(chain.items) and chain.table[1] < 16:
        return f"the buffer at {chain.start} has no element: its indirect table is empty"
    return None


@rule("S-IND-NEST", "chain")
def _nested(one: Situation) -> str | None:
    for index, _, _, flags, _ in _chain(one).entries:
        if flags & INDIRECT:
            return f"entry {index} of an indirect table has INDIRECT"
    return None


@rule("INO-S-IND-SEQ", "chain")
def _table_sequence(one: Situation) -> str | None:
    for index, _, _, flags, follower in _chain(one).entries if one.has(spec.IN_ORDER) else ():
        if flags & NEXT and follower != index + 1:
            return f"entry {index} of an indirect table links to {follower}, must link to {index + 1}"
    return None


@rule("S-CHAIN-QSZ", "chain")
def _long(one: Situation) -> str | None:
    chain = _chain(one)
    count = len(chain.all())
    return f"the buffer at {chain.start} has {count} elements, in a queue of {one.size}" if count > one.size else None


@rule("S-FLAGS-KNOWN", "chain")
def _unknown_flags(one: Situation) -> str | None:
    for slot, _, _, flags, _ in (*_chain(one).items, *_chain(one).entries):
        if flags & ~(NEXT | WRITE | INDIRECT):
            return f"descriptor {slot} has flags {flags:#x}, of which only NEXT, WRITE and INDIRECT are defined"
    return None


@rule("S-ORDER-RW", "chain")
def _readable_first(one: Situation) -> str | None:
    written = False
    for slot, _, _, flags, _ in _chain(one).all():
        if written and not flags & WRITE:
            return f"descriptor {slot} of the chain at {one.slot} is device-readable, behind a device-writable one"
        written = written or bool(flags & WRITE)
    return None
