"""Driver rules of the packed layout: each a small function of a Situation, most telling first (2.8).

Knows the specification; must not know how situations come to be found, nor any driver.
"""

from __future__ import annotations

from oracles import spec
from oracles.driver_asking import rule
from oracles.exposing import Chain, Situation

NEXT, WRITE, INDIRECT = spec.DESC_F_NEXT, spec.DESC_F_WRITE, spec.DESC_F_INDIRECT

# -- memory ----------------------------------------------------------------------------------------------


@rule("P-ZERO-INIT", "begun")
def _zero(one: Situation) -> str | None:
    if one.layout == spec.PACKED:
        return f"descriptor {one.slot} reads {one.data.hex()} when the queue starts, must be 0"
    return None


@rule("P-EV-AREA-DRV", "foreign")
def _device_area(one: Situation) -> str | None:
    if one.layout == spec.PACKED:
        return f"the driver stored {one.data.hex()} to the device area, at {one.address:#x}"
    return None


@rule("P-EV-VAL-DRV", "word")
def _event_flags(one: Situation) -> str | None:
    most = 2 if one.has(spec.EVENT_IDX) else 1
    if one.layout == spec.PACKED and one.new > most:
        return f"the flags of the driver area are {one.new:#x}, must be at most {most}"
    return None


@rule("P-EV-OFF-RANGE", "word")
def _event_offset(one: Situation) -> str | None:
    if one.layout == spec.PACKED and one.old & 0x7FFF >= one.size:
        return f"the offset in the driver area is {one.old & 0x7FFF}, in a ring of {one.size}"
    return None


@rule("P-AVAIL-BARRIER", "late")
def _flags_first(one: Situation) -> str | None:
    if one.layout == spec.PACKED and one.chain is not None and one.slot == one.chain.start and one.what != "bits":
        return f"descriptor {one.slot} was stored after the flags that made it available"
    return None


@rule("P-FIRST-LAST", "late")
def _first_last(one: Situation) -> str | None:
    if one.layout == spec.PACKED:
        return f"descriptor {one.slot} was stored after the first of its list was made available"
    return None


@rule("P-DRV-NO-EARLY", "altered")
def _reused(one: Situation) -> str | None:
    if one.layout == spec.PACKED and one.what == "bits":
        return f"the AVAIL and USED bits of descriptor {one.slot} were altered before its buffer came back"
    return None


@rule("P-DRV-NO-LATE", "altered")
def _altered(one: Situation) -> str | None:
    if one.layout == spec.PACKED and one.what == "descriptor":
        return f"descriptor {one.slot} was altered after it was made available"
    return None


@rule("P-DRV-WRAP", "unseen")
def _last_lap(one: Situation) -> str | None:
    if one.what == "lap":
        return f"descriptor {one.slot} was made available with the bits of the lap before: flags {one.new:#x}"
    return None


@rule("P-RING-SEQ", "unseen")
def _skipped_place(one: Situation) -> str | None:
    if one.what == "place":
        return f"descriptor {one.slot} was made available, and those before it were not"
    return None


# -- lists -----------------------------------------------------------------------------------------------


def _list(one: Situation) -> Chain:
    assert one.chain is not None
    return one.chain


def _pointers(one: Situation) -> list[int]:
    return [slot for slot, _, _, flags, _ in _list(one).items if flags & INDIRECT]


@rule("P-IND-FEAT", "list")
def _indirect(one: Situation) -> str | None:
    for slot in _pointers(one) if not one.has(spec.INDIRECT_DESC) else ():
        return f"descriptor {slot} refers to an indirect table, though the feature was not negotiated"
    return None


@rule("P-IND-NOCHAIN", "list")
def _indirect_in_list(one: Situation) -> str | None:
    for slot in _pointers(one):
        if len(_list(one).items) > 1 or _list(one).items[0][3] & NEXT:
            return f"descriptor {slot} refers to an indirect table, and is part of a list"
    return None


@rule("P-LIST-MAX", "list")
def _long(one: Situation) -> str | None:
    if _list(one).loops:
        return f"the list at {one.slot} does not end within the ring of {one.size}"
    return None


@rule("P-SPACE", "list")
def _space(one: Situation) -> str | None:
    chain = _list(one)
    if chain.overlaps >= 0:
        return f"the list at {one.slot} runs over descriptor {chain.overlaps}, whose buffer has not come back"
    return None


@rule("P-DRV-WRAP", "list")
def _wrap(one: Situation) -> str | None:
    chain = _list(one)
    if 0 <= chain.turned < chain.start:
        return f"descriptor {chain.turned}, behind the ring's end, carries the bits of the lap before"
    return None


@rule("P-LIST-NEXT", "list")
def _next(one: Situation) -> str | None:
    chain = _list(one)
    if chain.intended is None or not chain.items:
        return None
    meant = chain.intended.slots
    if meant and meant != len(chain.items):
        return f"the list at {one.slot} has {len(chain.items)} descriptors by NEXT, and was to have {meant}"
    if not meant and chain.intended.direct != len(chain.all()):
        return f"the list at {one.slot} has {len(chain.all())} elements, and was to have {chain.intended.direct}"
    return None


@rule("P-AVAIL-BITS", "list")
def _bits(one: Situation) -> str | None:
    chain = _list(one)
    if chain.turned >= 0:
        return f"descriptor {chain.turned} of an available list is not available by its AVAIL and USED bits"
    return None


@rule("P-IND-FLAGS", "list")
def _table_flags(one: Situation) -> str | None:
    for index, _, _, flags, _ in _list(one).entries:
        if flags & ~WRITE:
            return f"entry {index} of an indirect table has flags {flags:#x}, of which only WRITE may be set"
    return None


@rule("P-IND-MAX", "list")
def _table_length(one: Situation) -> str | None:
    count = _list(one).table[1] // 16
    return f"an indirect table has {count} entries, in a queue of {one.size}" if count > one.size else None


@rule("P-ORDER-RW", "list")
def _readable_first(one: Situation) -> str | None:
    written = False
    for slot, _, _, flags, _ in _list(one).all():
        if written and not flags & WRITE:
            return f"descriptor {slot} of the list at {one.slot} is device-readable, behind a device-writable one"
        written = written or bool(flags & WRITE)
    return None


@rule("P-WFLAG-AVAIL", "list")
def _direction(one: Situation) -> str | None:
    chain = _list(one)
    if chain.intended is not None and chain.intended.writable != chain.writable:
        meant = chain.intended.writable
        return f"{chain.writable} bytes of the list at {one.slot} are device-writable, {meant} were to be"
    return None


@rule("INO-P-DRV-ID", "list")
def _same_id(one: Situation) -> str | None:
    chain = _list(one)
    if one.has(spec.IN_ORDER) and chain.repeated and chain.items:
        return f"the list at {one.slot} has buffer id {chain.items[-1][4]}, which an outstanding one has"
    return None


@rule("P-ID-RANGE", "list")
def _large_id(one: Situation) -> str | None:
    id_ = _list(one).items[-1][4]
    return f"the list at {one.slot} has buffer id {id_}, in a ring of {one.size}" if id_ >= one.size else None
