"""Planted faults in what a device does about drivers that break their rules: legal programs never show them.

One for each way in which such a device may fail, so that the hostile mode can be seen to see it. ``severity`` is the
name under which it must be told. Knows the device; must not know who looks for the faults.
"""

from __future__ import annotations

from dataclasses import dataclass

from fuzz.targets import TargetDied, TargetHung
from fuzz.targets.model.engine import Engine, Job
from oracles import spec, split_rings
from oracles.split_rings import Chain


@dataclass(frozen=True, slots=True)
class HostileFault:
    """What is wrong, the verdict and the severity that must be told, and the device that has it."""

    name: str
    text: str
    verdict: str
    severity: str
    engine: type[Engine]


class _BeforeIt(Engine):
    """A length that leads out of memory is cut by subtracting what is too much from the address."""

    def answer(self, job: Job) -> None:
        end = len(self.memory)
        for address, length in job.chain.writable:
            offset = address - self.address
            if 16 <= offset < end < offset + length:
                self.memory[offset - 16 : offset] = bytes(16)
        super().answer(job)


class _EndlessRing(split_rings.DeviceRing):
    def walk(self, head: int) -> Chain:
        index, seen = head % self.size, set[int]()
        while True:
            if index in seen:
                raise TargetHung("model answers no more: it follows a chain that never ends")
            seen.add(index)
            _, _, flags, follower = spec.DESCRIPTOR.unpack_from(self.memory, self.descriptor + 16 * index)
            if flags & spec.DESC_F_INDIRECT or not flags & spec.DESC_F_NEXT:
                return super().walk(head)
            index = follower % self.size


class _Endless(Engine):
    split_ring = _EndlessRing


class _Wedged(Engine):
    """A buffer that can't be there stops the queue, and no reset starts it again."""

    stuck = False

    def usable(self, job: Job) -> bool:
        self.stuck = self.stuck or job.chain.id >= self.ring.size
        return not self.stuck

    def run(self) -> None:
        if not self.stuck:
            super().run()


class _Neighbour(Engine):
    """Buffers that are not there are looked for in the rings of the next queue, which are then initialized."""

    def run(self) -> None:
        ring = self.ring
        if self.live and ring.waiting() > ring.size:
            used = spec.area_sizes(spec.SPLIT, ring.size)[2]
            behind = (ring.device + used + 16 + 63) & ~63
            self.memory[behind : behind + 16] = b"\xff" * 16
        super().run()


class _Null(Engine):
    """Addresses are used without a look."""

    def answer(self, job: Job) -> None:
        if any(address == 0 and length for address, length in (*job.chain.readable, *job.chain.writable)):
            raise TargetDied("model ended: killed by SIGSEGV")
        super().answer(job)


class _AssertingRing(split_rings.DeviceRing):
    def walk(self, head: int) -> Chain:
        entry = self.descriptor + 16 * (head % self.size)
        _, length, flags, _ = spec.DESCRIPTOR.unpack_from(self.memory, entry)
        if flags & spec.DESC_F_INDIRECT and length % 16:
            raise TargetDied("model ended: killed by SIGABRT; it said: ring.c:7: walk: Assertion `!(len % 16)' failed.")
        return super().walk(head)


class _Asserting(Engine):
    split_ring = _AssertingRing


HOSTILE: dict[str, HostileFault] = {
    fault.name: fault
    for fault in (
        HostileFault("h01", "a length that leads out of memory is written in front of its element", "VIOLATES",
                     "memory safety", _BeforeIt),
        HostileFault("h02", "split: a chain that leads back into itself is followed for ever", "HUNG", "hang",
                     _Endless),
        HostileFault("h03", "a head or id beyond the ring stops the queue for ever, over resets, too", "WEDGED",
                     "wedged", _Wedged),
        HostileFault("h04", "split: an available idx too far ahead overwrites the next queue's descriptors", "VIOLATES",
                     "memory safety", _Neighbour),
        HostileFault("h05", "address 0 is read and written", "CRASHED", "memory safety", _Null),
        HostileFault("h06", "split: an indirect table of no whole number of entries fails an assertion", "CRASHED",
                     "crash", _Asserting),
    )
}  # fmt: skip
