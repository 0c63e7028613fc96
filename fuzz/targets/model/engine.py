"""The reference device: one queue of it, from fetching buffers to handing them back in order.

It understands one class of request, «any»: read everything, then write as many bytes as asked, a
pattern that depends on what was read. Its levers make it awkward within what is legal; a planted
fault is a subclass that replaces one small method. Knows rings through the device's half only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from fuzz.devices.any import reply
from oracles import packed_rings, spec, split_rings
from oracles.split_rings import Chain


class Job:
    """A fetched buffer on its way through the device."""

    __slots__ = ("asked", "capacity", "chain", "readable", "serial", "written")

    def __init__(self, chain: Chain, serial: int, asked: int | None) -> None:
        self.chain = chain
        self.serial = serial
        self.readable = sum([length for _, length in chain.readable])
        self.capacity = sum([length for _, length in chain.writable])
        self.asked = self.capacity if asked is None else min(asked, self.capacity)
        self.written = 0


class Engine:
    """One live queue. ``run()`` is what the device does when it is notified, until it is idle."""

    split_ring: type[split_rings.DeviceRing] = split_rings.DeviceRing
    packed_ring: type[packed_rings.DeviceRing] = packed_rings.DeviceRing

    def __init__(self, memory: memoryview, address: int, store: split_rings.Store, signal: Callable[[], None]) -> None:
        self.memory = memory
        self.address = address
        self.store = store
        self.signal = signal
        self.levers = {"order": "fifo", "hold": "0", "batch": "1", "publish": "each", "signal": "each", "junk": "off"}
        self.ring: split_rings.DeviceRing | packed_rings.DeviceRing
        self.in_order = False
        self.todo: list[Job] = []  # fetched, unfinished, oldest first
        self.finished: list[Job] = []  # in the order of completion
        self.filled: dict[int, Job] = {}  # IN_ORDER: finished, by serial
        self.serial = 0  # of the next buffer fetched
        self.oldest = 0  # IN_ORDER: serial of the next buffer to hand back
        self.answers: deque[int | None] = deque()
        self.gap: Callable[[], None] | None = None
        self.live = False
        self.dice = 1
        self.number = 0  # of the queue
        self.siblings: list[Engine] = [self]  # those of all queues

    # -- life

    def start(
        self, features: int, size: int, areas: tuple[int, int, int], available: int, used: int, restarted: bool = False
    ) -> None:
        """The queue is live, at these positions."""
        packed = bool(features & spec.RING_PACKED)
        kind = self.packed_ring if packed else self.split_ring
        used = self.base_used(available, used) if restarted and packed else used
        ring = kind(self.memory, self.address, self.store, features, size, *areas, available, used)
        ring.restarted = restarted
        self.keep_signalled(ring, restarted)
        self.ring = ring
        self.in_order = bool(features & spec.IN_ORDER)
        self.live = True
        if isinstance(ring, packed_rings.DeviceRing):
            ring.junk = spec.DESC_F_NEXT if self.levers["junk"] == "on" else 0

    def base_used(self, available: int, used: int) -> int:
        """Where using goes on after a restart: a counter of its own."""
        return used

    def keep_signalled(self, ring: split_rings.DeviceRing | packed_rings.DeviceRing, restarted: bool) -> None:
        """A new life begins with nothing signalled."""

    def reset(self) -> None:
        """Device reset."""
        self.halt()

    def reset_queue(self) -> None:
        """Queue reset."""
        self.halt()

    def halt(self) -> None:
        """Device or queue reset: forget everything."""
        self.live = False
        self.todo.clear()
        self.finished.clear()
        self.forget()
        self.serial = self.oldest = 0
        self.answers.clear()
        self.gap = None

    def forget(self) -> None:
        """Forget what completed but was not handed back."""
        self.filled.clear()

    def stop(self) -> int:
        """Finish what was fetched (vhost-user: in-flight requests are completed), report the position."""
        hold, self.levers["hold"] = self.levers["hold"], "0"
        self.work()
        self.flush(True)
        self.notify_driver()
        self.levers["hold"] = hold
        self.live = False
        self.serial = self.oldest = 0
        return self.base()

    def base(self) -> int:
        """The position reported by a stop."""
        return self.ring.base()

    # -- what happens when the driver notifies

    def run(self) -> None:
        """Fetch, work, hand back, and arm the doorbell, until a look after arming finds nothing."""
        ring = self.ring
        while self.live and ring.waiting() <= ring.size:  # with more, the driver broke its rules: not before a reset
            ring.silence()
            while len(self.todo) < ring.size and self.fetch():
                pass
            self.work()
            self.flush(True)
            if self.levers["signal"] == "last":
                self.notify_driver()
            action, self.gap = self.gap, None
            if action is not None:
                action()
            ring.arm()
            # With as many held back as there can be, what still seems to wait is garbage.
            if not self.look_again() or len(self.todo) >= ring.size:
                return

    def look_again(self) -> bool:
        """Whether something became available while the doorbell was being armed (2.7.10.2)."""
        return self.ring.waiting() > 0

    def fetch(self) -> bool:
        """Fetch one buffer if there is one."""
        chain = self.ring.fetch()
        if chain is None:
            return False
        asked = self.answers.popleft() if self.answers else None
        job = Job(chain, self.serial, asked)
        if self.usable(job):
            self.serial += 1
            self.todo.append(job)
        return True

    def usable(self, job: Job) -> bool:
        """Every buffer is usable, and comes back."""
        return True

    def work(self) -> None:
        """Finish fetched buffers in the order that the lever says, all but the oldest that it holds."""
        hold = self.levers["hold"]
        keep = len(self.todo) if hold == "all" else min(int(hold), len(self.todo))
        ready = self.todo[keep:]
        del self.todo[keep:]
        order = self.levers["order"]
        if order == "lifo":
            ready.reverse()
        elif order == "shuffle":
            ready = self.shuffled(ready)
        single = self.levers["batch"] == "1"
        each = self.levers["publish"] == "each"
        for job in ready:
            self.answer(job)
            self.finished.append(job)
            self.filled[job.serial] = job
            if single:
                self.flush(each)

    def shuffled(self, jobs: list[Job]) -> list[Job]:
        """Some other order, the same in every run."""
        out = []
        while jobs:
            self.dice = (self.dice * 1103515245 + 12345) & 0x7FFFFFFF
            out.append(jobs.pop((self.dice >> 8) % len(jobs)))
        return out

    def answer(self, job: Job) -> None:
        """Read what is readable, write what is asked."""
        memory, base = self.memory, self.address
        end = len(memory)
        chain = job.chain
        parts = [
            memory[address - base : address - base + length].tobytes()
            for address, length in chain.readable
            if 0 <= address - base <= end - length
        ]
        asked = min(job.asked, self.room(chain))  # garbage may say that there is room for gigabytes
        data = reply(parts[0] if len(parts) == 1 else b"".join(parts), asked)
        done = 0
        for address, length in chain.writable:
            offset = address - base
            piece = data[done : done + length]
            if not 0 <= offset <= end - length:
                break
            memory[offset : offset + len(piece)] = piece
            done += len(piece)
        job.written = done

    def room(self, chain: Chain) -> int:
        """Bytes of the writable elements up to the first that is not in memory."""
        total = 0
        for address, length in chain.writable:
            if not 0 <= address - self.address <= len(self.memory) - length:
                break
            total += length
        return min(total, len(self.memory))

    # -- handing back

    def flush(self, advance: bool) -> None:
        """Hand back what may be handed back: the finished ones, under IN_ORDER from the oldest on (6.2)."""
        if not self.in_order:
            for job in self.finished:
                self.hand_back([job], advance)
        else:
            while self.filled:
                batch = self.batch()
                if not batch:
                    break
                self.hand_back(batch, advance)
        self.finished.clear()
        if advance and self.levers["publish"] != "each" and isinstance(self.ring, split_rings.DeviceRing):
            self.publish_all()

    def publish_all(self) -> None:
        """Publish several used elements in one idx step."""
        ring = self.ring
        if ring.memory[ring.device + 2 : ring.device + 4].tobytes() != ring.used.to_bytes(2, "little"):
            ring.publish()
            if self.levers["signal"] == "each":
                self.notify_driver()

    def batch(self) -> list[Job]:
        """The next run to hand back: finished, from the oldest on, all but its last completely written."""
        limit = self.window()
        longest = self.levers["batch"]
        most = limit if longest == "all" else min(int(longest), limit)
        jobs: list[Job] = []
        while len(jobs) < most:
            job = self.filled.get(self.oldest)
            if job is None:
                break
            del self.filled[self.oldest]
            self.oldest += 1
            jobs.append(job)
            if not self.may_skip(job):
                break
        return jobs

    def window(self) -> int:
        """How many buffers are fetched and not handed back."""
        return self.serial - self.oldest

    def may_skip(self, job: Job) -> bool:
        """Whether *job* may stand inside a batch: skipped buffers count as completely used (2.7.9)."""
        return job.written == job.capacity

    def hand_back(self, jobs: Sequence[Job], advance: bool) -> None:
        """Return a run of buffers with one used entry."""
        publish = advance and self.levers["publish"] == "each"
        self.ring.use([job.chain for job in jobs], self.length(jobs), publish)
        if self.levers["signal"] == "each" and (publish or isinstance(self.ring, packed_rings.DeviceRing)):
            self.notify_driver()

    def length(self, jobs: Sequence[Job]) -> int:
        """The used length of a run: what was written into its last buffer."""
        return jobs[-1].written

    def notify_driver(self) -> None:
        """Send a used buffer notification if the driver asks for one."""
        if self.ring.calls():
            self.signal()
