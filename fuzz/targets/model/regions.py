"""Memory that a front-end shares: regions, mapped, and found by the addresses that the protocol uses.

Knows descriptors and mappings. Must not know messages or rings.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """One mapped region: *view* is its bytes, of which the first is *guest* to drivers and *user* to front-ends."""

    guest: int
    user: int
    size: int
    view: memoryview  # it keeps the mapping


def mapped(descriptor: int, size: int, offset: int = 0) -> memoryview:
    """*size* bytes of a file from *offset* on, shared. Raises OSError or ValueError if it is shorter."""
    return memoryview(mmap.mmap(descriptor, size + offset))[offset : offset + size]


class Regions:
    """All regions of a front-end."""

    def __init__(self) -> None:
        self.all: list[Region] = []

    def add(self, guest: int, size: int, user: int, offset: int, descriptor: int) -> None:
        """Map one more. Raises OSError or ValueError."""
        self.all.append(Region(guest, user, size, mapped(descriptor, size, offset)))

    def remove(self, guest: int, size: int, user: int) -> bool:
        """Let go of one; whether it was there."""
        for region in self.all:
            if (region.guest, region.size, region.user) == (guest, size, user):
                self.all.remove(region)
                return True
        return False

    def clear(self) -> None:
        """Let go of all; a ring that still runs in one keeps that mapped."""
        self.all = []

    def by_user(self, address: int) -> Region | None:
        """The region with this user address."""
        return next((region for region in self.all if region.user <= address < region.user + region.size), None)
