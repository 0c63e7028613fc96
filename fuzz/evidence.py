"""What a virtqueue's driver did and saw: recorded, fed to the oracle, and buffers scanned as they come back.

Everything goes through ``feed``: into the trace, and to the oracle, whose books of outstanding buffers
are the driver's own. Knows canaries and right answers; never judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.arena import Block, survivors
from fuzz.devices import Message
from fuzz.targets import QueueConfig
from oracles import packed_rings, spec, split_rings
from oracles.model import Buffer
from oracles.rules import Violation
from oracles.trace import Changed, Observation, Scanned

if TYPE_CHECKING:
    from fuzz.driver_side import Driver


class Broken(Exception):
    """The oracle found a violation: the run ends here."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.message)
        self.violation = violation


class Evidence:
    """The state that one queue's driver keeps, and the way from it to the oracle."""

    def __init__(
        self, driver: Driver, number: int, size: int, start: int, places: tuple[int, int, int], salt: int, judge: bool
    ) -> None:
        self.driver = driver
        self.session = driver.session
        self.number = number
        self.size = size
        self.split = driver.layout == spec.SPLIT
        self.start_at = start & 0xFFFF if self.split else 0
        self.places = places
        self.oracle = driver.oracle.queue(number)
        self._judged = self.oracle.feed
        self.trace = driver.outcome.trace
        self.blocks: dict[int, Block] = {}
        self.messages: dict[int, Message] = {}
        self.lazy: set[int] = set()  # buffers whose return nobody owes
        self.serial = 0
        self.salt = salt
        self.judge = judge
        self.config: QueueConfig
        self.ring: split_rings.DriverRing | packed_rings.DriverRing
        self.words = self.session.memory.cast("H")
        self.shown: tuple[int, int, bool] | None = None  # the suppression words we wrote last
        self._used_shadow = bytearray()
        self._resumed = (0, 0)
        self._at_rest: list[tuple[int, bytes]] = []  # what the device must leave alone since the queue ended

    def feed(self, observation: Observation) -> None:
        """Record an observation and have it judged; scan what it completes. Raises Broken."""
        if self.split and self.oracle.doubted >= 0 and not isinstance(observation, Changed | Scanned):
            self._look_again(self.oracle.doubted)
        if self.judge:
            self.trace.append((self.number, observation))
        violation = self._judged(observation)
        if violation is not None:
            raise Broken(violation)
        oracle = self.oracle
        if oracle.to_scan:
            found, oracle.to_scan = oracle.to_scan, []
            if self.judge:
                for buffer in found:
                    if buffer.writable or buffer.number in self.messages:
                        self.scan(buffer)
                if self.split and self.messages and not oracle.to_scan:
                    self._check_together(found[-1])

    def _look_again(self, number: int) -> None:
        """A buffer was skipped and found unfinished: has it been finished since?"""
        block = self.blocks.get(number)
        if block is not None:
            self.check_seen(block)

    def _check_together(self, buffer: Buffer) -> None:
        """What came back in one step of used idx, up to *buffer*, was checked: is it whole?"""
        message = self.messages.get(buffer.number)
        wrong = message.together() if message is not None and buffer.length is not None else ""
        if wrong:
            self.feed(Scanned(buffer.number, (), wrong, self.driver.program.device))

    def scan(self, buffer: Buffer) -> None:
        """Compare the writable bytes of *buffer* with their prefill and with the right answer."""
        block = self.blocks.get(buffer.number)
        if block is None:
            return
        arena = self.driver.arena
        data = arena.written(block)
        block.seen = data
        kept: tuple[tuple[int, int], ...] = ()
        wrong = ""
        message = self.messages.get(buffer.number)
        if message is None and data == block.expected:
            tail = len(data) - len(data.rstrip(block.canary))
            if tail:
                kept = ((len(data) - tail, tail),)
            elif buffer.run == 1 and buffer.length == len(data):
                return
        else:
            kept = survivors(data, block.canary, self.session.proof)
            if message is not None:
                wrong = message.check(len(data) if buffer.length is None else buffer.length, data)
            elif block.expected is not None and buffer.length is not None:
                wrong = _difference(block.expected, data, block.canary)
        beside = arena.disturbed(block) if wrong or kept else None
        if beside is not None:  # bytes that are missing here may have gone there
            self.feed(Changed(self.session.address + beside[0], beside[1]))
        self.feed(Scanned(buffer.number, kept, wrong, self.driver.program.device))

    def check_seen(self, block: Block) -> None:
        """A buffer that was used is the driver's again: the device must have left it alone since."""
        if block.seen is None:
            return
        at = 0
        found = self.driver.arena.written(block)
        if found != block.seen:
            for start, length in block.elements[block.readable :]:
                for offset, data in split_rings.differences(
                    start, block.seen[at : at + length], found[at : at + length]
                ):
                    self.feed(Changed(self.session.address + offset, data))
                at += length

    def quiet(self) -> None:
        """Look for writes where nobody may write: our rings, our buffers, and nobody's memory."""
        address = self.session.address
        for offset, data in self.ring.disturbed():
            self.feed(Changed(address + offset, data))
        arena = self.driver.arena
        for block in self.blocks.values():
            self.check_seen(block)
            found = arena.disturbed(block)
            if found:
                self.feed(Changed(address + found[0], found[1]))
            if block.table is not None:
                self._check_table(block)
        stray = arena.trespassed()
        if stray:
            self.feed(Changed(address + stray[0], stray[1]))

    def _check_table(self, block: Block) -> None:
        assert block.table is not None
        at, length = block.table
        found = self.session.memory[at : at + length].tobytes()
        expected = block.image_of_table
        if found != expected:
            for offset, data in split_rings.differences(at, expected, found):
                self.feed(Changed(self.session.address + offset, data))


def _difference(expected: bytes, data: bytes, canary: bytes) -> str:
    place = next((at for at in range(len(data)) if data[at] != expected[at]), len(data))
    if place == len(data):
        return ""
    found = "nothing" if data[place : place + 1] == canary else f"{data[place]:02x}"
    if expected[place : place + 1] == canary:
        return f"byte {place} was written, though only {place} bytes were asked for"
    return f"byte {place} of the answer is {found}, must be {expected[place]:02x}"
