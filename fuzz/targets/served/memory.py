"""A guest's memory as one range: all regions of a front-end, each mapped where the guest has it.

So rings, tables and buffers may lie in any of them, and one view serves all. What lies between regions reads as zero
and is nobody's: a driver's wild address must not be our death. Knows mappings. Must not know messages or rings.
"""

from __future__ import annotations

import ctypes
import mmap

from fuzz.targets import TargetError
from fuzz.targets.model.regions import Region, Regions

SPAN = 1 << 36
"""Bytes of addresses that are reserved: those of a machine begin at 0, those of a process lie close together."""
_BELOW = SPAN // 2  # so much of it lies below the first region of a process: what it maps later often has less
_NORESERVE = 0x4000  # of Linux: reserved addresses are no memory
_FIXED = 0x10
_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE


class Space:
    """Reserved addresses from *low* on; they are given back when the last view of them is gone."""

    def __init__(self, low: int) -> None:
        self.low = low
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
        try:
            self._range = mmap.mmap(-1, SPAN, flags, _READ_WRITE)
        except (OSError, ValueError) as error:
            raise TargetError(f"{SPAN >> 30} GiB of addresses can't be reserved for guest memory: {error}") from None
        self.view = memoryview(self._range)
        self._at = ctypes.addressof(ctypes.c_char.from_buffer(self._range))
        self._mmap = ctypes.CDLL(None, use_errno=True).mmap
        self._mmap.restype = ctypes.c_void_p
        self._mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_int64)

    def map(self, guest: int, size: int, descriptor: int, offset: int) -> memoryview:
        """Map a file's bytes at the guest address; a view of them. Raises ValueError or OSError."""
        at = guest - self.low
        if at < 0 or at + size > SPAN or at % mmap.PAGESIZE or size <= 0:
            raise ValueError(f"a region of {size} bytes at {guest:#x} is outside of the range, or begins within a page")
        self._place(at, size, mmap.MAP_SHARED, descriptor, offset)
        return self.view[at : at + size]

    def unmap(self, guest: int, size: int) -> None:
        """What was mapped there is nobody's any more."""
        self._place(guest - self.low, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE, -1, 0)

    def _place(self, at: int, size: int, flags: int, descriptor: int, offset: int) -> None:
        done = self._mmap(self._at + at, size, _READ_WRITE, flags | _FIXED, descriptor, offset)
        if done != self._at + at:
            number = ctypes.get_errno()
            raise OSError(number, "a region can't be mapped")


class OneRange(Regions):
    """All regions of a front-end in one space, which the first of them makes."""

    def __init__(self) -> None:
        super().__init__()
        self.space: Space | None = None

    def add(self, guest: int, size: int, user: int, offset: int, descriptor: int) -> None:
        """Map one more. Raises OSError or ValueError."""
        if self.space is None:
            self.space = Space(max(0, guest - _BELOW) & -mmap.PAGESIZE if guest >= _BELOW else 0)
        self.all.append(Region(guest, user, size, self.space.map(guest, size, descriptor, offset)))

    def remove(self, guest: int, size: int, user: int) -> bool:
        """Let go of one; whether it was there."""
        known = super().remove(guest, size, user)
        if known and self.space is not None:
            self.space.unmap(guest, size)
        return known

    def clear(self) -> None:
        """Let go of all."""
        if self.space is not None:
            for region in self.all:
                self.space.unmap(region.guest, region.size)
        super().clear()

    def guest(self, user: int) -> int | None:
        """The guest address of a front-end's address, if it lies in a region."""
        region = self.by_user(user)
        return None if region is None else region.guest + user - region.user
