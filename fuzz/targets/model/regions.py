"""Memory that a front-end shares: regions, mapped, and found by the addresses that the protocol uses.

Knows descriptors and mappings. Must not know messages or rings.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """One mapped region: *view* is its bytes, of which the first is *guest* to drivers and *user* to front-ends."""

    guest: int
    user: int
    size: int
    view: memoryview
    mapping: mmap.mmap


def mapped(descriptor: int, size: int, offset: int = 0) -> tuple[memoryview, mmap.mmap]:
    """*size* bytes of a file from *offset* on, shared. Raises OSError or ValueError if it is shorter."""
    mapping = mmap.mmap(descriptor, size + offset)
    return memoryview(mapping)[offset : offset + size], mapping


class Regions:
    """All regions of a front-end."""

    def __init__(self) -> None:
        self.all: list[Region] = []

    def add(self, guest: int, size: int, user: int, offset: int, descriptor: int) -> None:
        """Map one more. Raises OSError or ValueError."""
        view, mapping = mapped(descriptor, size, offset)
        self.all.append(Region(guest, user, size, view, mapping))

    def remove(self, guest: int, size: int, user: int) -> bool:
        """Unmap one; whether it was there."""
        for region in self.all:
            if (region.guest, region.size, region.user) == (guest, size, user):
                self.all.remove(region)
                _unmap(region)
                return True
        return False

    def clear(self) -> None:
        """Unmap all."""
        for region in self.all:
            _unmap(region)
        self.all = []

    def by_user(self, address: int) -> Region | None:
        """The region with this user address."""
        return next((region for region in self.all if region.user <= address < region.user + region.size), None)


def _unmap(region: Region) -> None:
    with suppress(BufferError):  # a ring still has a part of it: it goes with the ring
        region.view.release()
        region.mapping.close()
