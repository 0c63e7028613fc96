"""What a device finds of a driver: the buffers that it exposes, decoded from raw memory, and the facts about each.

Knows what either layout's follower keeps: copies of the three areas, which descriptors are whose, what the driver
must notify of and hand up. It never takes the driver's word for what it did. Knows no rule.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from oracles import packed, spec, split
from oracles.model import Buffer, Virtqueue
from oracles.trace import Allowed, Exposed, Looked, Notified, Returned, Started, Stored, Supplied

Item = tuple[int, int, int, int, int]
"""A descriptor: slot or entry, address, length, flags, next (packed: id)."""


class Chain:
    """A buffer as it was exposed: its descriptors in the order in which a device meets them."""

    __slots__ = (
        "buffer", "entries", "expected", "intended", "items", "loops", "overlaps", "readable", "repeated", "slots",
        "start", "table", "turned", "untouched", "used", "used_flags", "writable", "wrong",
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


class Follower:
    """Follows one live queue from the device's side; a layout's follower adds how its rings are read.

    ``found`` collects situations, in the order in which they are to be judged, until a look is over. ``lost``: the
    device itself broke a rule, so that nothing can be said of the driver any more.
    """

    packed_layout = False

    def __init__(self, told: Started) -> None:
        self.told = told
        self.size = told.size
        self.in_order = bool(told.features & spec.IN_ORDER)
        self.event_idx = bool(told.features & spec.EVENT_IDX)
        sizes = spec.area_sizes(told.layout, told.size)
        self.descriptor, self.driver, self.device = (bytearray(size) for size in sizes)
        places = (told.descriptor, told.driver, told.device)
        self._areas = list(zip(places, (self.descriptor, self.driver, self.device), strict=True))
        self.begun = False  # the memory of a queue that starts was looked at
        self.exact = False  # the device's stores are logged
        self.first = True
        self.lost = False
        self.unsettled = False  # something was published, and the look at it is not over
        self.serial = 0
        self.tables: dict[int, bytes] = {}
        self.outstanding: dict[int, Chain] = {}
        self.handed: deque[Chain] = deque()  # returned by the device, not yet handed up by the driver
        self.intended: deque[Supplied] = deque()
        self.late: list[Situation] = []
        self.chains: list[Situation] = []
        self.altered: list[Situation] = []
        self.words = (0, 0)  # the device's event suppression: flags, event
        self.steady = True  # it has not changed since something was exposed
        self.reader: split.Reader | packed.Reader
        self.restart(told)

    def restart(self, told: Started) -> None:
        """The queue goes on where it stopped."""
        self.told = told
        queue = self.reader.queue if hasattr(self, "reader") else Virtqueue(told.size, self.in_order)
        self.reader = (packed if self.packed_layout else split).Reader(told, queue)
        self.decided = told.available

    def situation(self, moment: str) -> Situation:
        """A situation with what is known of the queue."""
        one = Situation(moment, self.told)
        one.first = self.first
        one.flags, one.event = self.words
        return one

    # -- what the driver exposes

    def areas(self) -> list[tuple[int, bytearray]]:
        """(address, copy) of the three areas: descriptors, driver, device."""
        return self._areas

    def exposed(self, seen: Exposed) -> Found:
        """Memory reads so now: what is wrong with that, whatever follows."""
        address, data = seen
        told = self.told
        offset = address - told.descriptor
        if 0 <= offset < len(self.descriptor):
            self._in_descriptors(offset, data)
            return None
        offset = address - told.driver
        if 0 <= offset < len(self.driver):
            return self._in_driver_area(offset, data)
        offset = address - told.device
        if 0 <= offset < len(self.device):
            return self._in_device_area(offset, data)
        return self._elsewhere(address, data)

    def supplied(self, told: Supplied) -> None:
        """What the driver was asked to expose next, where that is known."""
        self.intended.append(told)

    def _in_descriptors(self, offset: int, data: bytes) -> None:
        raise NotImplementedError

    def _in_driver_area(self, offset: int, data: bytes) -> Found:
        raise NotImplementedError

    def _in_device_area(self, offset: int, data: bytes) -> Found:
        if self.begun:
            one = self.situation("foreign")
            one.address, one.data = self.told.device + offset, data
            return [one]
        self.device[offset : offset + len(data)] = data
        self._take_words()
        return None

    def _elsewhere(self, address: int, data: bytes) -> Found:
        """An indirect table, or a word beside the rings."""
        if len(data) < 16:
            one = self.situation("beside")
            one.address, one.data = address, data
            return [one]
        for chain in self.outstanding.values():
            if chain.table[0] == address and self.tables.get(address) != data:
                self._alter(chain.start, "table")
        self.tables[address] = data
        return None

    def _alter(self, slot: int, what: str, chain: Chain | None = None) -> None:
        """What is exposed and not returned reads differently now."""
        one = self.situation("late" if self.unsettled else "altered")
        one.slot, one.what, one.chain = slot, what, chain
        (self.late if self.unsettled else self.altered).append(one)

    def follow_table(self, chain: Chain, address: int, length: int) -> None:
        """Read the indirect table that the last descriptor of *chain* points to; one that wasn't seen is left out."""
        chain.table = (address, length)
        data = self.tables.get(address)
        if data is None:
            return
        count = min(length, len(data)) // 16
        index = 0
        for _ in range(count):
            where, size, flags, follower = spec.DESCRIPTOR.unpack_from(data, 16 * index)
            if self.packed_layout:
                flags, follower = follower, flags
            chain.entries.append((index, where, size, flags, follower))
            self.measure(chain, size, flags)
            if self.packed_layout:
                index += 1
            elif not flags & spec.DESC_F_NEXT or follower >= count:
                return
            else:
                index = follower
        chain.loops = chain.loops or (count > 0 and not self.packed_layout)

    @staticmethod
    def measure(chain: Chain, length: int, flags: int) -> None:
        """Count an element's bytes; a readable one behind a writable one is wrong."""
        if flags & spec.DESC_F_WRITE:
            chain.writable += length
        else:
            chain.readable += length

    def take(self, chain: Chain, id_: int) -> None:
        """*chain* is exposed from here on."""
        if self.intended:
            chain.intended = intended = self.intended.popleft()
            chain.wrong = chain.wrong or (intended.slots != len(chain.items) or intended.writable != chain.writable)
        told = Supplied(self.serial, id_, len(chain.items), chain.readable, chain.writable, (), chain.table)
        self.serial += 1
        chain.repeated = id_ in self.outstanding
        if chain.repeated:
            chain.wrong = True
        else:
            chain.buffer = Buffer(told, self.reader.position_of_next(told.slots))
            self.reader.queue.held.append(chain.buffer)
            self.reader.queue.publish(1)
            self.reader.publish(1)
            self.outstanding[id_] = chain
        if chain.wrong:
            one = self.situation("list" if self.packed_layout else "chain")
            one.chain, one.slot = chain, chain.start
            self.chains.append(one)
        self.first = False

    # -- looks

    def looked(self, seen: Looked) -> Found:
        """A look is over: what is wrong, most telling first."""
        waited, logged = seen
        found = [] if self.begun else self.begin()
        found += [*self.late, *self.chains, *self.altered]
        if logged:
            found += self.unseen()
        if waited and self.steady and self.wants() and self.decided != self.place():
            found.append(self.situation("unnotified"))
        if waited:
            self.decided = self.place()
        if found:
            self.late, self.chains, self.altered = [], [], []
        self.unsettled = False
        self.begun = True
        return found

    def begin(self) -> list[Situation]:
        """At the first look: what is wrong with memory as it was when the queue was started."""
        return []

    def unseen(self) -> list[Situation]:
        """What the driver wrote where no device will look for it."""
        return []

    # -- what the device did

    def stored(self, seen: Stored) -> None:
        """The device stored something: logged."""
        self.exact = True
        address, data = seen
        if 0 <= address - self.told.device < len(self.device):
            offset = address - self.told.device
            self.device[offset : offset + len(data)] = data
            self._take_words()
        elif 0 <= address - self.told.descriptor < len(self.descriptor):
            offset = address - self.told.descriptor
            self.descriptor[offset : offset + len(data)] = data
        self.lost = self.reader.stored(seen) is not None
        self._returned()

    def saw(self, seen: Any) -> None:
        """What the device used was found by looking."""
        raise NotImplementedError

    def _returned(self) -> None:
        """Free what the device returned."""
        reader = self.reader
        reader.lint.clear()
        for buffer in reader.done:
            chain = self.outstanding.pop(buffer.id)
            self.tables.pop(chain.table[0], None)
            self.free(chain)
            self.handed.append(chain)
        reader.done.clear()

    def free(self, chain: Chain) -> None:
        """The descriptors of *chain* are the driver's again."""
        raise NotImplementedError

    # -- notifications

    def _take_words(self) -> None:
        """The device's event suppression as it stands in memory."""
        words = self.device_words()
        if words != self.words:
            self.words = words
            self.steady = False

    def device_words(self) -> tuple[int, int]:
        """(flags, event) of the device."""
        raise NotImplementedError

    def place(self) -> int:
        """Up to where buffers are exposed: split: idx; packed: position | wrap << 15."""
        raise NotImplementedError

    def wants(self) -> bool:
        """Whether the device asks for a notification of what was exposed since the last decision."""
        raise NotImplementedError

    def allowed(self, seen: Allowed) -> None:
        """The device's words as the driver read them: all that is known of them where stores aren't logged."""
        if not self.exact:
            self.words = (seen.flags, seen.event)
            self.steady = True

    def notified(self, seen: Notified) -> Found:
        """The driver notified: whether it was asked not to."""
        nothing_new = self.event_idx and self.decided == self.place()  # then no word can ask for it
        unwanted = (self.steady or nothing_new) and not seen.forced and not self.wants()
        self.decided = self.place()
        return [self.situation("unwanted")] if unwanted else None

    # -- what the driver hands up

    def handed_up(self, told: Returned) -> Found:
        """The driver handed up a buffer: whether it is another than the device returned, or its length is."""
        chain = self.handed.popleft() if self.handed else None
        if chain is not None:
            buffer = chain.buffer
            right = buffer.writable if buffer.length is None else buffer.length
            if told.id == buffer.id and (told.length == right or right < 0):
                return None
        one = self.situation("returned")
        one.chain, one.returned = chain, told
        return [one]
