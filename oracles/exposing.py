"""What a device finds of a driver: the buffers that it exposes, decoded from raw memory, and the facts about each.

Knows what either layout's follower keeps: copies of the three areas, which descriptors are whose, what the driver
must notify of and hand up. It never takes the driver's word for what it did. Knows no rule.
"""

from __future__ import annotations

from typing import Any

from oracles import packed, spec, split
from oracles.exposed import Chain, Found, Item, Situation
from oracles.model import Buffer, Virtqueue
from oracles.trace import Allowed, Exposed, Looked, Notified, Started, Stored, Supplied
from oracles.upper_half import UpperHalf

__all__ = ["Chain", "Follower", "Found", "Item", "Situation"]


class Follower(UpperHalf):
    """Follows one live queue from the device's side; a layout's follower adds how its rings are read.

    ``found`` collects situations, in the order in which they are to be judged, until a look is over. ``lost``: the
    device itself broke a rule, so that nothing can be said of the driver any more.
    """

    packed_layout = False

    def __init__(self, told: Started) -> None:
        super().__init__(told)
        self.size = told.size
        self.event_idx = bool(told.features & spec.EVENT_IDX)
        sizes = spec.area_sizes(told.layout, told.size)
        self.descriptor, self.driver, self.device = (bytearray(size) for size in sizes)
        places = (told.descriptor, told.driver, told.device)
        self._areas = list(zip(places, (self.descriptor, self.driver, self.device), strict=True))
        self.begun = False  # the memory of a queue that starts was looked at
        self.exact = False  # the device's stores are logged
        self.lost = False
        self.unsettled = False  # something was published, and the look at it is not over
        self.serial = 0
        self.tables: dict[int, bytes] = {}
        self.late: list[Situation] = []
        self.chains: list[Situation] = []
        self.altered: list[Situation] = []
        self.steady = True  # it has not changed since something was exposed
        self.reader: split.Reader | packed.Reader
        self.restart(told)

    def restart(self, told: Started) -> None:
        """The queue goes on where it stopped."""
        self.told = told
        queue = self.reader.queue if hasattr(self, "reader") else Virtqueue(told.size, self.in_order)
        self.reader = (packed if self.packed_layout else split).Reader(told, queue)
        self.decided = told.available

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
            short = intended.slots != len(chain.items) if intended.slots else intended.direct != len(chain.all())
            chain.wrong = chain.wrong or short or intended.writable != chain.writable
            self.hold(chain)
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
            self.came_back(chain)
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
