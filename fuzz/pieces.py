"""Pieces that phases are made of: some buffers and a notification, receiving, and getting to a place in the ring.

Knows drafts. Must not know targets or anything that happened at run time.
"""

from __future__ import annotations

from fuzz.draft import Draft, Ring


def how_many(draft: Draft, most: int) -> int:
    """How many, at most *most* (> 0): powers of two, all, all but one; or anything."""
    integer = draft.integer
    kind = integer(0, 7)
    if kind < 2:
        return integer(1, min(most, 4))
    if kind < 4:
        return min(2, most)
    if kind == 4:
        return min(1 << integer(0, most.bit_length()), most)
    if kind == 5:
        return integer(1, most)
    return most if kind == 6 else max(1, most - 1)


def batch(draft: Draft, ring: Ring, count: int) -> None:
    """Up to *count* buffers and a notification, made available in one step or one by one."""
    if draft.integer(0, 3) < draft.held:
        draft.supplies(ring, count - 1, True)
        draft.supply(ring, not draft.integer(0, 3))
    else:
        draft.supplies(ring, count)
    draft.notify(ring)


def collect(draft: Draft, ring: Ring) -> None:
    """Receive all, all in several portions, a part, or nothing."""
    integer = draft.integer
    kind = integer(0, 5)
    left = len(ring.out)
    if kind == 5 or not left:
        return
    if kind < 3 or left == 1:
        draft.receive(ring, left)
    elif kind == 3:
        draft.receive(ring, integer(1, left - 1))
    else:
        for _ in range(min(left, 6)):
            portion = integer(1, 2)
            if portion < left:
                draft.receive(ring, portion)
                left -= portion
        draft.receive(ring, left)


def drain(draft: Draft, ring: Ring) -> None:
    """Receive whatever is outstanding."""
    if ring.out:
        draft.notify(ring)
        draft.receive(ring, len(ring.out))


def approach(draft: Draft, ring: Ring, before: int) -> int:
    """Bring the next descriptor to *before* places before the ring's end, with the ring empty."""
    drain(draft, ring)
    ahead = (ring.size - before - ring.position) % ring.size
    if ahead and ring.free == ring.size and draft.exactly(ring, ahead):
        drain(draft, ring)
    return ring.size - ring.position % ring.size
