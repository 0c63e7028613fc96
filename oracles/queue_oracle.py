"""The oracle of one virtqueue: observations in, violations out.

A pure function in steps: no clock, no randomness, no I/O. It stops at the first observation that
breaks a rule, since nothing after it can be trusted. Order binds each virtqueue by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oracles import packed, spec, split
from oracles.announcing import WHY
from oracles.beside import Beside
from oracles.device_rules import broken
from oracles.locating import expected, locate
from oracles.model import Buffer, Case, Virtqueue
from oracles.rules import Violation
from oracles.trace import (
    Allowed,
    Called,
    Changed,
    Idle,
    Notified,
    Observation,
    Published,
    Rechecked,
    Reclaimed,
    Resetting,
    SawDescriptor,
    SawUsed,
    Scanned,
    Started,
    Stored,
    Supplied,
    Suppressed,
)

_ORDER = ("INO-ORDER", "INO-ERR", "INO-OFFER")  # what explains a doubt


class QueueOracle:
    """Judges one virtqueue. ``feed`` each observation in order; it returns a Violation or None.

    ``to_scan``: buffers just found used (or suspected to be passed over), whose writable bytes must be
    compared with their prefill and reported by a Scanned each, before anything else is fed.
    ``doubted``: the buffer that a batch skipped and that was found unfinished, -1 if there is none: it is to be
    looked at again, and reported by a Changed if it is not as it was, before anything else is fed.
    """

    def __init__(
        self,
        number: int = 0,
        without: frozenset[str] = frozenset(),
        unasked: frozenset[str] = frozenset(),
        beside: Beside | None = None,
    ) -> None:
        self.number = number
        self._beside = beside or Beside([])
        self.without = without
        self.unasked = unasked
        self.blind = False  # a case was found that only a dropped rule explains: nothing more can be said
        self.to_scan: list[Buffer] = []
        self.warnings: list[Violation] = []
        self.used_total = 0
        self.seen: set[str] = set()
        self._suspect: tuple[Case, list[Buffer]] | None = None
        self.doubted = -1
        self._doubt: Case | None = None  # a skipped buffer is unfinished; what comes next tells what it was
        self._dead = ""  # why the queue isn't live
        self.untold = 0  # buffers published of which the device was neither told nor excused us
        self._news = 0  # buffers published since the last notification
        self._spurious = False  # whether that announced nothing
        self._heard = False  # whether a used buffer notification ever came
        self._junk = False
        self._next_number = -1  # of the buffer supplied next; -1 before the first
        self.queue = Virtqueue(0, False)
        self.started: Started | None = None
        self.reader: split.Reader | packed.Reader
        self._handlers: dict[type, Callable[[Any], Violation | None]] = {
            Started: self._start, **dict.fromkeys((Stored, SawUsed, SawDescriptor, Called), self._too_early)
        }  # fmt: skip

    # -- the protocol with whoever observes

    def feed(self, observation: Observation) -> Violation | None:
        """Judge one observation. Never raises on any sequence of well-typed observations."""
        handler = self._handlers.get(type(observation))
        if handler is None or (self.blind and handler != self._start):
            return None
        return handler(observation)

    @property
    def available(self) -> int:
        """Buffers made available and not yet used."""
        return len(self.queue.by_id)

    @property
    def received(self) -> int:
        """Buffers used and not yet reclaimed."""
        return len(self.queue.used)

    @property
    def live(self) -> bool:
        """Whether the queue is started and neither stopped nor reset."""
        return self.started is not None and not self._dead

    def conclude(self) -> Violation | None:
        """No observation follows: decide what was left open."""
        return self._decide()

    # -- life of the queue

    def _start(self, told: Started) -> Violation | None:
        kept = self.queue if told.cause == "restart" and self.started is not None else None
        self.started = told
        self.blind = False
        in_order = bool(told.features & spec.IN_ORDER)
        ghosts = self.queue.ids() if told.cause in ("reset", "queue_reset") else frozenset()
        self.queue = kept or Virtqueue(told.size, in_order, ghosts)
        self.reader = (split if told.layout == spec.SPLIT else packed).Reader(told, self.queue)
        self._dead = ""
        self._spurious = self._junk = False
        self._beside.begin(self.queue)
        self.untold = self._news = len(self.queue.by_id)
        self.to_scan.clear()
        self._suspect = self._doubt = None
        self.doubted = -1
        self._handlers = {
            Started: self._start,
            Supplied: self._supplied,
            Published: self._published,
            Notified: self._notified,
            Suppressed: self._suppressed,
            Rechecked: self._rechecked,
            Allowed: self._allowed,
            Stored: self._stored,
            SawUsed: self._saw,
            SawDescriptor: self._saw,
            Changed: self._changed,
            Scanned: self._scanned,
            Called: self._called,
            Idle: self._idle,
            Reclaimed: self._reclaimed,
            Resetting: self._resetting,
        }
        del self._handlers[SawDescriptor if told.layout == spec.SPLIT else SawUsed]
        return None

    def _too_early(self, seen: Observation) -> Violation | None:
        called = isinstance(seen, Called)
        return self._activity("a used buffer notification arrived" if called else "the device wrote to the ring")

    def _resetting(self, told: Resetting) -> Violation | None:
        violation = self._decide()
        if violation is None and told.what == "stop" and told.base >= 0:
            case = self.reader.base(told.base)
            violation = self._take_lint() or (self._judge(case) if case else None)
        if told.what == "suspend" and self.started is not None and not self._dead and self.reader.due:
            case = self._case("suspended", None)
            case.data = WHY[self.reader.due].encode()
            self.reader.lint.append(case)
            self._take_lint()
        self._dead = told.what
        self._beside.end()
        self.reader.due = ""
        return violation

    # -- what the driver did

    def _supplied(self, told: Supplied) -> Violation | None:
        self.blind = told.buffer != self._next_number >= 0  # a trace that no driver makes
        self._next_number = told.buffer + 1
        self.queue.held.append(Buffer(told, self.reader.position_of_next(told.slots)))
        return None

    def _published(self, told: Published) -> Violation | None:
        count = min(told.buffers, len(self.queue.held))
        self.queue.publish(count, self._beside.now(count))
        self.blind = self.queue.in_order and len(self.queue.fifo) != len(self.queue.by_id)  # an id given twice
        self.reader.publish(count)
        self.untold += count
        self._news += count
        return None

    def _notified(self, told: Notified) -> Violation | None:
        self._spurious = not self._news
        self.untold = self._news = 0
        return None

    def _allowed(self, told: Allowed) -> Violation | None:
        if told.silent:
            self.untold = 0
        packed_layout = isinstance(self.reader, packed.Reader)
        case = self.reader.word(True, told.flags)
        if case is None and packed_layout and told.flags == spec.EVENT_FLAGS_DESC:
            case = self.reader.word(False, told.event)
        return self._judge(case) if case else None

    def _suppressed(self, told: Suppressed) -> Violation | None:
        self.reader.suppress(told.flags, told.event)
        self._junk = told.junk
        return None

    def _rechecked(self, told: Rechecked) -> Violation | None:
        self.reader.rechecked()
        return None

    def _reclaimed(self, told: Reclaimed) -> Violation | None:
        violation = self._decide() if isinstance(self.reader, split.Reader) else None
        self.queue.reclaim(told.buffers)
        return violation

    # -- what the device did

    def _stored(self, seen: Stored) -> Violation | None:
        if self._dead:
            return self._activity(f"the device stored {seen.data.hex()} at {seen.address:#x}", seen.address)
        reader = self.reader
        case = reader.stored(seen)
        if case is None and not reader.done and not reader.lint:
            return None  # as most stores: nothing is published yet
        return self._used(case)

    def _saw(self, seen: Any) -> Violation | None:
        if self._dead:
            return self._activity("the device used a buffer")
        return self._used(self.reader.saw(seen))

    def _used(self, case: Case | None) -> Violation | None:
        """Something was published: judge what could not be waved through, ask for scans of the rest."""
        if case is not None:
            return self._judge(case)
        reader = self.reader
        if reader.done:
            if self._doubt is not None:
                return self._decide()
            self.to_scan = reader.done
            self.used_total += len(reader.done)
            self._beside.used(reader.done)
            reader.done = []
        return self._take_lint() if reader.lint else None

    def _changed(self, seen: Changed) -> Violation | None:
        if self._dead:
            return self._activity(f"memory at {seen.address:#x} changed to {seen.data[:8].hex()}", seen.address)
        doubted = self._doubt.buffer if self._doubt is not None and isinstance(self.reader, split.Reader) else None
        if doubted is not None and doubted.part(seen.address):
            self._doubt, self.doubted = None, -1  # it is being finished now: late, and not left out
        case = self.reader.stray(seen.address, seen.data)
        return self._judge(case) if case else None

    def _called(self, seen: Called) -> Violation | None:
        if self._dead:
            return self._activity("a used buffer notification arrived")
        self._heard = True
        self.reader.called()
        return self._take_lint() if self.reader.lint else None

    def _scanned(self, seen: Scanned) -> Violation | None:
        if self._suspect is not None:
            return self._scanned_suspect(seen)
        buffer = next((used for used in reversed(self.queue.used) if used.number == seen.buffer), None)
        if buffer is None or self.started is None:
            return None
        case = self._case("scanned", buffer)
        case.kept = tuple(run for run in seen.kept if run[1] >= self.started.proof)
        case.base = self.started.proof
        case.what = self.started.layout
        if case.kept and buffer.length is None and not buffer.masked:
            # Packed: an early return and an incomplete batch look alike until the next use. It may also be late.
            self._doubt = self._doubt or case
            self.doubted = buffer.number if self.doubted < 0 else self.doubted
            return None
        self._more_written(buffer, case.kept)
        violation = self._judge(case) if case.kept else None
        if violation is None and seen.wrong:
            case = self._case("answer", buffer)
            case.what, case.data, case.device = self.started.layout, seen.wrong.encode(), seen.device
            violation = self._judge(case)
        return violation

    def _more_written(self, buffer: Buffer, kept: tuple[tuple[int, int], ...]) -> None:
        """Lint: the used entry says that less was written than was."""
        started, length = self.started, buffer.length
        if started is None or length is None or not buffer.writable or not started.lengths:
            return
        short = length >= 0 and buffer.writable - length < started.proof  # too little to tell that it was left alone
        untouched = kept[0][0] if kept else 0 if short else buffer.writable
        if untouched > max(length, 0) and (length < 0 or isinstance(self.reader, split.Reader)):
            case = self._case("written", buffer)
            case.what = spec.PACKED if length < 0 else spec.SPLIT
            self.reader.lint.append(case)
            self._take_lint()

    def _idle(self, seen: Idle) -> Violation | None:
        violation = self._decide()
        if violation is not None or not seen.final or self._dead:
            return violation
        if self.reader.due:
            case = self._case("uncalled", None)
            case.what = self.reader.due
            case.data = WHY[self.reader.due].encode()
            return self._judge(case)
        if seen.owed and self.available > self.untold:
            case = self._case("silence", self.queue.oldest())
            case.what = "the device was notified" if not self.untold else "it had asked not to be notified"
            return self._judge(case)
        return None

    # -- judging

    def _case(self, moment: str, buffer: Buffer | None) -> Case:
        case = Case(moment, self.queue)
        case.buffer = buffer
        if self.started is not None:
            case.spans = {f"{self.started.layout} descriptor": (0, 0)}
        return case

    def _activity(self, what: str, address: int = 0) -> Violation | None:
        case = Case("dead", self.queue)
        case.what, case.data, case.address = self._dead, what.encode(), address
        return self._judge(case)

    def _judge(self, case: Case) -> Violation | None:
        """Name what *case* breaks. A reordering on a split ring waits for a scan of those passed over."""
        if case.moment == "used" and case.queue.in_order and case.distance and self._suspect is None:
            older = [buffer for buffer in self.queue.older(case.distance) if buffer.writable]
            if case.place + case.distance >= case.step and older and case.fresh and not case.permuted:
                self._suspect = (case, older)
                self.to_scan = list(older)
                return None
        return self._name(case)

    def _name(self, case: Case) -> Violation | None:
        self._locate(case)
        found = broken(case, unasked=self.unasked)
        owner = found[0][0] if found else ""
        found = [] if owner in self.without else found
        if self._doubt is not None and case is not self._doubt and (owner or case.moment != "scanned"):
            if owner not in _ORDER:
                return self._decide() or self._named(case, found)
            self._doubt, self.doubted = None, -1  # explained
        return self._named(case, found)

    def _named(self, case: Case, found: list[tuple[str, str]]) -> Violation | None:
        if not found:
            self.blind = case.moment in ("used", "descriptor")  # where the ring stands, nobody knows any more
            return None
        id_, message = found[0]
        also = [other for other, _ in found[1:] if other != id_]
        return Violation(
            id_,
            message,
            queue=self.number,
            buffer=-1 if case.buffer is None else case.buffer.number,
            position=case.slot,
            expected=expected(case),
            observed=f"also broken: {', '.join(also)}" if also else "",
        )

    def _scanned_suspect(self, seen: Scanned) -> Violation | None:
        assert self._suspect is not None
        case, older = self._suspect
        older = [buffer for buffer in older if buffer.number != seen.buffer]
        if seen.kept:
            return self._decide()
        if older:
            self._suspect = (case, older)
            return None
        case.what = "complete"  # all passed over were finished: the idx is behind, not the order broken
        return self._decide()

    def _decide(self) -> Violation | None:
        """Nothing that comes can tell more: name what was left open."""
        case = self._doubt if self._suspect is None else self._suspect[0]
        if case is None:
            return None
        self._suspect = self._doubt = None
        self.doubted = -1
        self.to_scan = []
        return self._name(case)

    def _take_lint(self) -> Violation | None:
        for case in self.reader.lint:
            self._locate(case)
            for id_, message in broken(case, self.without, self.unasked)[:1]:
                if id_ not in self.seen:
                    self.seen.add(id_)
                    self.warnings.append(Violation(id_, message, queue=self.number, position=case.slot))
        self.reader.lint.clear()
        return None

    def _locate(self, case: Case) -> None:
        """Give the case what it needs to tell one area, and one cause, from another."""
        if self.started is None:
            return
        locate(case, self.started)
        case.spurious, case.heard, case.junk = self._spurious, self._heard, self._junk
        self._beside.tell(case)
