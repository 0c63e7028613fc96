"""A buffer that a driver exposed, and the facts about one that can't be waved through.

Knows data only: the words in which followers speak to rules. Knows no rule.
"""

from __future__ import annotations

from oracles import spec
from oracles.model import Buffer
from oracles.trace import Returned, Started, Supplied

Item = tuple[int, int, int, int, int]
"""A descriptor: slot or entry, address, length, flags, next (packed: id)."""


class Chain:
    """A buffer as it was exposed: its descriptors in the order in which a device meets them."""

    __slots__ = (
        "buffer", "entries", "expected", "filled", "intended", "items", "known", "loops", "overlaps", "readable",
        "repeated", "slots", "start", "table", "turned", "untouched", "used", "used_flags", "writable", "wrong",
    )  # fmt: skip

    def __init__(self, start: int) -> None:
        self.start = start  # split: head; packed: position
        self.items: list[Item] = []  # in the ring
        self.entries: list[Item] = []  # in the indirect table
        self.table: tuple[int, int] = (0, 0)  # address, length in bytes
        self.slots: list[int] = []
        self.readable = self.writable = 0
        self.loops = False  # a descriptor is met twice
        self.overlaps = -1  # a descriptor of it that belongs to an outstanding buffer
        self.repeated = False  # its head or id is that of an outstanding buffer
        self.expected = -1  # split, IN_ORDER: the head that ring order demands
        self.untouched = False  # split, IN_ORDER: nothing was stored to the descriptor that ring order demands
        self.turned = -1  # packed: the first descriptor with wrong AVAIL and USED bits
        self.wrong = False  # it can't be waved through
        self.intended: Supplied | None = None  # what it is meant to be, where the driver's upper side is seen
        self.buffer: Buffer
        self.filled: tuple[bytes, ...] = ()  # pieces of what the device wrote, 16 bytes of each …
        self.known = 0  # … and how many of the first one's bytes were written
        self.used = b""  # split: what the used ring says at its place, if that is one that a batch skips
        self.used_flags = 0  # packed: of the used descriptor that returned it

    def all(self) -> list[Item]:
        """Its elements, without the descriptor that points to a table."""
        return [item for item in self.items if not item[3] & spec.DESC_F_INDIRECT] + self.entries


class Situation:
    """What a follower could not wave through: the facts, for the rules to judge."""

    __slots__ = (
        "address", "chain", "data", "event", "features", "first", "flags", "layout", "moment", "new", "old", "returned",
        "size", "slot", "told", "what",
    )  # fmt: skip

    def __init__(self, moment: str, told: Started) -> None:
        self.moment = moment
        self.told = told
        self.layout = told.layout
        self.features = told.features
        self.size = told.size
        self.chain: Chain | None = None
        self.slot = -1
        self.what = ""
        self.old = 0
        self.new = 0
        self.flags = 0
        self.event = 0
        self.first = False  # nothing was exposed since the queue was started
        self.address = 0
        self.data = b""
        self.returned: Returned | None = None

    def has(self, feature: int) -> bool:
        """Whether the feature was negotiated."""
        return bool(self.features & feature)


Found = list[Situation] | None
"""What an observation shows, in the order in which it is to be judged."""
