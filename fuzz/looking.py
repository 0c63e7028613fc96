"""Looking at the ring, waiting, and taking buffers back: what the driver sees of the device.

An expired wait proves nothing, unless the run is a patient one. Keeps the driver's rules of waiting:
write suppression words, then look again (2.7.7, 2.8.22); never judges.
"""

from __future__ import annotations

import time
from itertools import islice

from fuzz.evidence import Evidence
from oracles import packed_rings, spec
from oracles.trace import Called, Changed, Idle, Rechecked, Reclaimed, SawDescriptor, SawUsed, Suppressed

_BOTH = spec.DESC_F_AVAIL | spec.DESC_F_USED

GLANCE = 0.005
"""Seconds without anything new after which we go on where nothing is owed: a lever holds buffers back, or what was
made to happen on the other side may use those that wait for it."""


class Undecided(Exception):
    """Something was waited for and did not come, too soon to say that it won't."""


class Looking(Evidence):
    """The receiving half of a queue's driver."""

    def suppress(self, mode: str, ahead: int, junk: bool = False) -> None:
        """Write our event suppression words, then look at the ring, as a driver must (2.7.7, 2.8.22)."""
        ring, position = self.ring, self.oracle.reader.position()
        if isinstance(ring, packed_rings.DriverRing):
            self.shown = (*ring.suppress(mode, ahead, position), False)
        else:
            self.shown = (*ring.suppress(mode, ahead, position, junk), junk)
        self.feed(Suppressed(*self.shown))
        if not self.driver.listening:
            with self.driver.fence:
                pass
            self.look()
        self.feed(Rechecked())

    def look(self) -> None:
        """Look at the ring for used buffers. A target with a log has shown them already."""
        if self.driver.listening or not self.oracle.live:
            return
        self._look()
        self._hears(0.0)

    def _hears(self, seconds: float) -> bool:
        """Whether a notification came, waiting up to *seconds*: for what we saw, or for what we have yet to look at."""
        if not self.session.called(self.number, seconds):
            return False
        if self.session.shared:
            self.driver.overhear()
        else:
            self.feed(Called())
            self._look()
            self.feed(Rechecked())
        return True

    def overhear(self) -> None:
        """A notification came for some queue. It counts here if one is due, or if what is there makes it due:
        that it was for another queue, nobody can say, and that it was for none of them, neither."""
        if not self.oracle.live:
            return
        self._look()
        if self.oracle.reader.due:
            self.feed(Called())
            self.feed(Rechecked())

    def _look(self) -> None:
        if self.split:
            self._look_split()
        else:
            self._look_packed()

    def _look_split(self) -> None:
        device = self.config.device
        old = self.oracle.reader.position()
        new = self.words[device // 2 + 1]
        step = (new - old) & 0xFFFF
        if not step:
            return
        memory, size, first = self.session.memory, self.size, device + 4
        if step > size:
            self.feed(SawUsed(new, b"", 0))
            return
        start, end = old % size, old % size + step
        data = memory[first + 8 * start : first + 8 * min(end, size)].tobytes()
        if end > size:
            data += memory[first : first + 8 * (end - size)].tobytes()
        changed = 0
        shadow = self._shadow()
        for place in range(step):
            at = 8 * ((start + place) % size)
            element = data[8 * place : 8 * place + 8]
            if shadow[at : at + 8] != element:
                changed |= 1 << place
                shadow[at : at + 8] = element
        self.feed(SawUsed(new, data, changed))

    def _shadow(self) -> bytearray:
        """The used ring as it read when we looked last."""
        if len(self._used_shadow) != 8 * self.size:
            self._used_shadow = bytearray(b"\xff" * (8 * self.size))
        return self._used_shadow

    def _look_packed(self) -> None:
        base = self.config.descriptor
        for _ in range(self.size):
            if not self.oracle.available:
                return
            position = self.oracle.reader.position()
            cursor, wrap = position & 0x7FFF, position >> 15
            flags = self.words[base // 2 + 8 * cursor + 7]
            if flags & _BOTH != (_BOTH if wrap else 0):
                return
            at = base + 16 * cursor
            data = self.session.memory[at : at + 16].tobytes()
            if isinstance(self.ring, packed_rings.DriverRing):
                self.ring.accept(cursor, data)
            self.feed(SawDescriptor(cursor, data))

    def _watch(self) -> None:
        """Look for used descriptors anywhere else in a packed ring: only that at the device's position may change."""
        ring = self.ring
        if self.driver.listening or not self.oracle.live or not isinstance(ring, packed_rings.DriverRing):
            return
        found = ring.misplaced()
        deadline = time.monotonic() + self.driver.patience if found else 0.0
        while found and time.monotonic() < deadline:
            # Later descriptors may show up before the one at the device's position (2.8.12): let it finish.
            time.sleep(0.001)
            self._look_packed()
            now = ring.misplaced()
            found = [change for change in found if change in now]
        for offset, data in found:
            self.feed(Changed(self.session.address + offset, data))

    def quiet(self) -> None:
        """Look for writes where nobody may write."""
        self._watch()
        super().quiet()

    def owed(self) -> int:
        """How many outstanding buffers the device must return without further ado."""
        told = self.oracle.available - self.oracle.untold
        if self.lazy and told > 0:
            told -= sum(1 for buffer in self.oracle.queue.by_id.values() if buffer.number in self.lazy)
        return max(told, 0)

    def receive(self, count: int, asleep: bool) -> None:
        """Wait until *count* buffers are used, or all that are owed, and reclaim so many."""
        if not self.driver.listening:
            self._wait(count, asleep)
        elif asleep and self.oracle.received < count:
            self.suppress("enable", 0)
        ready = min(count, self.oracle.received)
        if not ready:
            return
        for buffer in islice(self.oracle.queue.used, ready):
            self.ring.reclaim(buffer.id, buffer.slots)
            block = self.blocks.pop(buffer.number)
            self.check_seen(block)
            self.messages.pop(buffer.number, None)
            self.lazy.discard(buffer.number)
            self.driver.arena.free(block)
        self.feed(Reclaimed(ready))

    def _may_come(self) -> bool:
        """Whether something may be used though nothing is owed."""
        if not self.oracle.available:
            return False
        return self.session.holding(self.number) or (self.driver.stirred and bool(self.lazy))

    def _wait(self, count: int, asleep: bool) -> None:
        """Wait for *count* used buffers; asleep: only a notification makes us look."""
        deadline = 0.0
        seen = -1
        self.look()
        held = self.session.holding(self.number)
        while self.oracle.received < count and (self.owed() or self._may_come()):
            now = time.monotonic()
            owed = self.owed() > 0 and not held
            if self.oracle.used_total != seen:
                seen, deadline = self.oracle.used_total, now + (self.driver.patience if owed else GLANCE)
                if asleep:  # ask to be woken, and look again, until that look shows nothing new
                    self.suppress("enable", 0)
                continue
            if now >= deadline:
                self.look()
                if not owed:
                    self.driver.stirred = False
                    return
                self._watch()
                self.idle()
                if self.oracle.received < count and self.owed():
                    raise Undecided(f"{self.oracle.queue.oldest()} was not used within {self.driver.patience:g} s")
                if self.oracle.reader.due:
                    raise Undecided(f"no used buffer notification came within {self.driver.patience:g} s")
                return
            pause = deadline - now if asleep else 0.0005
            if not self._hears(pause) and not asleep:
                self.look()

    def idle(self) -> None:
        """The device had its chance: a log shows that it is idle, or we waited for long enough."""
        listening = self.driver.listening
        final = listening or self.driver.patient
        owed = not self.session.holding(self.number) and self.owed() > 0
        self.feed(Idle(final, owed))

    def linger(self, seconds: float) -> None:
        """Give buffers that nobody owes a moment to come, as received frames do, and look at them."""
        deadline = time.monotonic() + seconds
        while self.lazy and not self.driver.listening and self.oracle.available and time.monotonic() < deadline:
            self.look()
        self.quiet()

    def settle(self) -> None:
        """The program is over: see that what is owed comes, notifications included, and nothing else changed."""
        if not self.driver.listening:
            self._wait(self.oracle.received + self.oracle.available, False)
            if self.oracle.reader.due and not self._hears(self.driver.patience):
                self.idle()
                raise Undecided("a used buffer notification that was asked for has not come")
