"""Bytes that lie in several elements of a buffer, read and written in their order.

Knows memory whose offset 0 has an address. What lies outside of it is left out: a driver's wild address is for the
oracle.
"""

from __future__ import annotations

from collections.abc import Sequence

from oracles.trace import Extent


def gather(memory: memoryview, address: int, extents: Sequence[Extent], most: int) -> bytes:
    """The first bytes of *extents* (address, length), up to *most*."""
    data = b""
    for where, size in extents:
        at, part = where - address, min(size, most - len(data))
        if part > 0 and 0 <= at <= len(memory) - part:
            data += memory[at : at + part].tobytes()
    return data


def scatter(memory: memoryview, address: int, extents: Sequence[Extent], data: bytes) -> None:
    """Write *data* to them."""
    done = 0
    for where, size in extents:
        at, part = where - address, min(size, len(data) - done)
        if part and 0 <= at <= len(memory) - part:
            memory[at : at + part] = data[done : done + part]
        done += part
