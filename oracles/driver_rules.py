"""What binds the driver in either layout: where rings lie, notifications, and what it hands up.

Importing this module registers every driver rule. Knows the specification; must not know how situations come
to be found, nor any driver.
"""

from __future__ import annotations

from oracles import packed_driver_rules, spec, split_driver_rules
from oracles.driver_asking import broken, rule, rule_ids
from oracles.exposing import Situation

__all__ = ["LINT", "broken", "packed_driver_rules", "rule_ids", "split_driver_rules"]

LINT = frozenset({"S-AN-DRV-SUPP", "S-AN-DRV-EV-SUPP", "P-ID-RANGE"})
"""Rules that say what a driver should, or what is suspicious: warnings, never a violation."""

# -- a queue is started ----------------------------------------------------------------------------------


@rule("VQ-FORMAT", "started")
def _format(one: Situation) -> str | None:
    if (one.layout == spec.PACKED) != one.has(spec.RING_PACKED):
        negotiated = "was" if one.has(spec.RING_PACKED) else "was not"
        return f"the queue is laid out {one.layout}, though the feature bit for packed queues {negotiated} negotiated"
    return None


@rule("S-QSIZE", "started")
def _split_size(one: Situation) -> str | None:
    if one.layout == spec.SPLIT and (one.size & (one.size - 1) or not 0 < one.size <= spec.MAX_SIZE):
        return f"the queue size is {one.size}, neither a power of two nor at most {spec.MAX_SIZE}"
    return None


@rule("P-QSIZE", "started")
def _packed_size(one: Situation) -> str | None:
    if one.layout == spec.PACKED and not 0 < one.size <= spec.MAX_SIZE:
        return f"the queue size is {one.size}; it must be from 1 to {spec.MAX_SIZE}"
    return None


def _misplaced(one: Situation, layout: str, demanded: tuple[int, int, int]) -> str | None:
    places = (one.told.descriptor, one.told.driver, one.told.device)
    if one.layout != layout:
        return None
    for name, place, multiple in zip(("descriptor", "driver", "device"), places, demanded, strict=True):
        if place % multiple:
            return f"the {name} area begins at {place:#x}, which is no multiple of {multiple}"
    return None


@rule("S-ALIGN", "started")
def _split_places(one: Situation) -> str | None:
    return _misplaced(one, spec.SPLIT, (16, 2, 4))


@rule("P-ALIGN", "started")
def _packed_places(one: Situation) -> str | None:
    return _misplaced(one, spec.PACKED, (16, 4, 4))


# -- available buffer notifications ----------------------------------------------------------------------


@rule("S-AN-DRV-EV-MUST", "unnotified")
def _unnotified_event(one: Situation) -> str | None:
    if one.layout == spec.SPLIT and one.has(spec.EVENT_IDX):
        return f"the available idx passed avail_event {one.event}, and no notification was sent"
    return None


@rule("S-AN-DRV-MUST", "unnotified")
def _unnotified_flags(one: Situation) -> str | None:
    if one.layout == spec.SPLIT and not one.has(spec.EVENT_IDX):
        return f"buffers were made available with used flags {one.flags}, and no notification was sent"
    return None


@rule("P-EV-DESC-DRV", "unnotified")
def _unnotified_descriptor(one: Situation) -> str | None:
    if one.layout == spec.PACKED and one.flags == spec.EVENT_FLAGS_DESC and one.has(spec.EVENT_IDX):
        return (
            f"descriptor {one.event & 0x7FFF} (wrap counter {one.event >> 15}) was made available, for which the "
            "device asked to be notified, and no notification was sent"
        )
    return None


@rule("P-EV-ENABLE-DRV", "unnotified")
def _unnotified_enabled(one: Situation) -> str | None:
    if one.layout == spec.PACKED and one.flags == spec.EVENT_FLAGS_ENABLE:
        return "lists were made available with notifications enabled, and none was sent"
    return None


@rule("S-AN-DRV-EV-SUPP", "unwanted")
def _unwanted_event(one: Situation) -> str | None:
    if one.layout == spec.SPLIT and one.has(spec.EVENT_IDX):
        return f"a notification was sent, though the available idx did not pass avail_event {one.event}"
    return None


@rule("S-AN-DRV-SUPP", "unwanted")
def _unwanted_flags(one: Situation) -> str | None:
    if one.layout == spec.SPLIT and not one.has(spec.EVENT_IDX):
        return f"a notification was sent, though used flags are {one.flags}"
    return None


@rule("P-EV-DISABLE-DRV", "unwanted")
def _unwanted_disabled(one: Situation) -> str | None:
    if one.layout == spec.PACKED and one.flags == spec.EVENT_FLAGS_DISABLE:
        return "a notification was sent, though the device disabled them"
    return None


# -- what the driver hands up ----------------------------------------------------------------------------


@rule("P-USED-NEXT", "returned")
def _used_next(one: Situation) -> str | None:
    chain, told = one.chain, one.returned
    if chain is None or told is None or one.layout != spec.PACKED or not chain.used_flags & spec.DESC_F_NEXT:
        return None
    if told.id != chain.buffer.id or chain.buffer.length is None:
        return None  # another buffer altogether, or one that the descriptor does not name: flags have no part in it
    return f"{_mismatch(one)}; the used descriptor carries NEXT, which has no meaning there"


@rule("INO-S-SKIPPED-SLOT", "returned")
def _skipped_slot(one: Situation) -> str | None:
    chain, told = one.chain, one.returned
    if chain is None or told is None or not one.has(spec.IN_ORDER) or one.layout != spec.SPLIT:
        return None
    if not chain.used:
        return None
    id_, length = spec.USED_ELEMENT.unpack(chain.used)
    if told.id == id_ & 0xFFFF != chain.buffer.id or (told.id == chain.buffer.id and told.length == length):
        return f"{_mismatch(one)}; so says the used ring at a place that a batch skips, where nothing has a meaning"
    return None


@rule("INO-SKIP-LEN", "returned")
def _skipped_length(one: Situation) -> str | None:
    chain, told = one.chain, one.returned
    if chain is None or told is None or told.id != chain.buffer.id or chain.buffer.length is not None:
        return None
    return f"{_mismatch(one)}: a batch skipped it, so it counts as completely written"


@rule("S-USED-LEN-DRV", "returned")
def _beyond_length(one: Situation) -> str | None:
    chain, told = one.chain, one.returned
    if chain is None or told is None or told.id != chain.buffer.id or one.layout != spec.SPLIT:
        return None
    length = chain.buffer.length
    if length is not None and told.length > length:
        return f"{_mismatch(one)}: what lies beyond the used length was not written"
    return None


@rule("INO-DRV-WALK", "returned")
def _walk(one: Situation) -> str | None:
    if not one.has(spec.IN_ORDER) or one.returned is None:
        return None
    if one.chain is not None and one.chain.buffer.id == one.returned.id:
        return None
    return _mismatch(one)


@rule("VQ-DRV-HANDED", "returned")
def _never_returned(one: Situation) -> str | None:
    return _mismatch(one) if one.chain is None else None


@rule("VQ-DRV-LENGTH", "returned")
def _other_length(one: Situation) -> str | None:
    chain, told = one.chain, one.returned
    if chain is None or told is None or told.id != chain.buffer.id or not chain.buffer.length:
        return None  # skipped; or nothing was written, so that a packed queue's length means nothing (2.8.4)
    if one.layout == spec.SPLIT and told.length > chain.buffer.length:
        return None  # S-USED-LEN-DRV
    return _mismatch(one)


@rule("VQ-DRV-DATA", "delivered")
def _other_data(one: Situation) -> str:
    got = f"the driver's upper half was handed data that begins with {one.data.hex()}"
    if one.what == "another" and one.chain is not None:
        right = one.chain.filled[0][: len(one.data)].hex()
        return f"{got} in buffer {one.chain.buffer.id}, to which the device wrote what begins with {right}"
    if one.what == "other":
        return f"{got}, which is not what the request asked for"
    if one.what == "early":
        return f"{got}: the device wrote that to a buffer that it has not returned"
    return f"{got}: no buffer that the device returned has that, but such as were handed up already"


@rule("VQ-DRV-ROOM", "refused")
def _no_room(one: Situation) -> str | None:
    return (
        f"a buffer of {one.slot} descriptors was refused with {one.old} in use, though the queue has held {one.new} "
        "of them at a time"
    )


@rule("VQ-DRV-WAKE", "overlooked")
def _overlooked(one: Situation) -> str | None:
    assert one.chain is not None
    whose = f"buffer {one.chain.buffer.id}, which the device returned"
    if one.what == "asleep":
        return f"the driver waits for a notification, and did not ask for one for {whose}"
    waits = " and it waits to be notified of one" if one.what == "quiet" else ""
    return f"the driver says that no buffer has come back{',' if waits else ''}{waits}; it did not hand up {whose}"


def _mismatch(one: Situation) -> str:
    """What was handed up, and what is right."""
    assert one.returned is not None
    told, chain = one.returned, one.chain
    what = f"buffer {told.id} was handed up with {told.length} bytes"
    if chain is None:
        return f"{what}, though the device returned none that was not handed up already"
    buffer = chain.buffer
    length = buffer.writable if buffer.length is None else buffer.length
    return f"{what}; it is the turn of buffer {buffer.id}, with {length}"
