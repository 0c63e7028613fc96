"""A program in the making: its header and habits, and an estimate of what each step does to the ring.

The estimate is as if every buffer were used in order; where a target differs, the program is still a
program. Knows the steps and what they take. Must not know targets or anything that happened at run time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from fuzz.choices import Choices
from fuzz.program import (
    Lever,
    Limits,
    Notify,
    Publish,
    Queue,
    Receive,
    Step,
    Suppress,
)
from fuzz.shapes import Shape, Shapes
from oracles import spec

if TYPE_CHECKING:
    from fuzz.devices import DeviceClass

#: Levers that hold buffers back, so they are moved only for a moment. All others change how a buffer is used,
#: or how soon, but never whether.
HOLDING = frozenset({"hold", "suspend", "pause", "fail", "link"})

#: All outstanding buffers of a program together, in bytes.
MEMORY = 1 << 20

#: Largest size to which a queue grows in a reset.
RESIZE = 256

# Steps are frozen and few of them differ: looking one up is five times as fast as making it.
_publish = lru_cache(64)(Publish)
_receive = lru_cache(4096)(Receive)
_suppress = lru_cache(4096)(Suppress)
_lever = lru_cache(512)(Lever)


Phase = Callable[["Draft", "Ring"], None]


class Facts:
    """What follows from limits alone; made once for all programs within them."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        optional = limits.features | (spec.RING_RESET if "queue_reset" in limits.actions else 0)
        self.optional = [bit for bit in spec.FEATURE_NAMES.values() if bit & optional]
        self.sizes = {spec.SPLIT: limits.split_sizes, spec.PACKED: limits.packed_sizes}
        self.small = {layout: _between(sizes, 2, 8) for layout, sizes in self.sizes.items()}
        self.medium = {layout: _between(sizes, 9, 64) for layout, sizes in self.sizes.items()}
        self.harmless = [lever for lever in limits.levers if lever[0] not in HOLDING]
        self.holding = [lever for lever in limits.levers if lever[0] in HOLDING]
        self.neutral = {name: values[0] for name, values in limits.levers}
        self.restarts = [action for action in ("reset", "queue_reset", "restart") if action in limits.actions]
        self.phases: list[Phase] = []  # filled in by fuzz.phases, which knows them
        self.device: DeviceClass | None = None
        if limits.device != "any":
            from fuzz.devices import load  # late: device classes may be missing what they need

            self.device = load(limits.device, dict(limits.hints))

    def resizes(self, layout: str, size: int) -> tuple[int, ...]:
        """Sizes that a queue of *size* may take after its reset: any, but the very large ones only to shrink."""
        return tuple(other for other in self.sizes[layout] if other <= max(size, RESIZE)) or (size,)

    def share(self, queues: tuple[Queue, ...], layout: str) -> int:
        """Bytes for each descriptor, so that all that can be outstanding together is modest."""
        grown = 0
        if "queue_reset" in self.limits.actions:
            grown = max((size for size in self.sizes[layout] if size <= RESIZE), default=0)
        return max(1, MEMORY // sum(max(queue.size, grown) for queue in queues))


def _between(sizes: tuple[int, ...], low: int, high: int) -> tuple[int, ...]:
    return tuple(size for size in sizes if low <= size <= high) or sizes


@lru_cache(64)
def facts(limits: Limits) -> Facts:
    """The facts of *limits*, made once."""
    return Facts(limits)


class Ring:
    """What the generator believes about one queue."""

    __slots__ = ("exact", "free", "notify", "out", "palette", "position", "queue", "size")

    def __init__(self, queue: int, size: int) -> None:
        self.queue = queue
        self.size = size
        self.position = 0  # of the next descriptor, modulo size
        self.free = size
        self.out: deque[int] = deque()  # descriptors of each buffer supplied and not received
        self.palette: list[Shape] = []
        self.exact: dict[int, Shape] = {}  # shapes by the descriptors that they take
        self.notify = Notify(False, queue)

    def reset(self, size: int) -> None:
        """Empty again, at position 0."""
        if size != self.size:
            self.palette = [shape for shape in self.palette if shape.slots <= size]
            self.exact.clear()  # a table's length is bound by the size
        self.size = self.free = size
        self.position = 0
        self.out.clear()


class Draft:
    """A program in the making."""

    def __init__(self, choices: Choices, known: Facts) -> None:
        self.choices = choices
        self.integer = integer = choices.integer
        self.known = known
        self.steps: list[Step] = []
        self.work = 0  # descriptors so far, tables included: what the program costs the executor
        limits = known.limits
        self.layout = limits.layouts[integer(0, len(limits.layouts) - 1)]
        self.packed = self.layout == spec.PACKED
        self.features = self._draw_features(limits)
        self.event_idx = bool(self.features & spec.EVENT_IDX)
        self.queues = self._draw_queues(limits)
        self.most_work = 5000 + 2 * sum(queue.size for queue in self.queues)  # small buffers only, beyond
        self.shapes = Shapes(choices, limits, self.features, self.packed, known.share(self.queues, self.layout))
        self.shapes.device = known.device
        self.rings = [Ring(number, queue.size) for number, queue in enumerate(self.queues)]
        for ring in self.rings:
            self._draw_palette(ring)
        #: of four waits, how many are asleep; and of four bursts, how many are made available in one step
        self.asleep = (0, 1, 2, 4)[integer(0, 3)] if "asleep" in limits.actions else 0
        self.held = integer(0, 4)
        self.forced = integer(0, 7) == 7  # whether some notifications are sent though the device wants none
        #: of sixteen notifications, how many are followed by something that happens on the other side
        self.stirred = (0, 1, 2, 4)[integer(0, 3)] if limits.pulses else 0
        self.moved: dict[str, str] = {}  # levers that are not neutral
        self.blocked = False
        for name, values in known.harmless:
            if integer(0, 2):
                self.lever(name, values[integer(1, len(values) - 1) if integer(0, 1) else -1])

    def _draw_features(self, limits: Limits) -> int:
        integer = self.integer
        features = spec.VERSION_1
        in_order = limits.in_order
        if in_order[0] if len(in_order) == 1 else integer(0, 3):
            features |= spec.IN_ORDER
        for bit in self.known.optional:
            if integer(0, 2):
                features |= bit
        return features

    def _draw_queues(self, limits: Limits) -> tuple[Queue, ...]:
        """Few and small mostly: what is wrong shows there first."""
        integer = self.integer
        count = limits.queues
        if count > 1 and limits.device == "any":
            count = integer(1, count)
        queues = []
        for _ in range(count):
            kind = integer(0, 9)
            known = self.known.small if kind < 6 else self.known.medium if kind < 9 else self.known.sizes
            sizes = known[self.layout]
            size = sizes[integer(0, len(sizes) - 1)]
            start = 0
            if "start" in limits.actions and not self.packed and integer(0, 1):
                start = self._draw_start(size)
            queues.append(Queue(size, start))
        return tuple(queues)

    def _draw_start(self, size: int) -> int:
        """Counters begin shortly before they wrap, change sign, or reach some other power of two or ring end."""
        integer = self.integer
        kind = integer(0, 5)
        before = integer(0, min(2 * size, 20))
        if kind < 2:
            return -before & 0xFFFF
        if kind == 2:
            return 0x8000 - before
        if kind == 3:
            return ((1 << integer(1, 15)) - before) & 0xFFFF
        if kind == 4:
            return integer(0, 2 * size - 1)
        return integer(0, 0xFFFF)

    def _draw_palette(self, ring: Ring) -> None:
        draw = self.shapes.draw
        ring.palette = [draw(ring.queue, ring.size) for _ in range(self.integer(1, 4))]

    # --- single steps, with what they do to the estimate ---

    def supply(self, ring: Ring, held: bool = False) -> bool:
        """A buffer of any shape that fits; False if none does."""
        free = ring.free
        if not free:
            return False
        palette = ring.palette
        at = self.integer(0, 31)
        shape = palette[at % len(palette)] if at < 31 and palette else self.shapes.draw(ring.queue, ring.size)
        if shape.slots > free or (self.work > self.most_work and shape.work > 4):
            fitting = self._exact(ring, self.integer(1, min(free, 4)))
            if fitting is None:
                return False
            shape = fitting
        slots = shape.slots
        self.steps.append(shape.as_held() if held else shape.plain)
        self.work += shape.work
        ring.free = free - slots
        ring.out.append(slots)
        ring.position += slots
        return True

    def supplies(self, ring: Ring, count: int, held: bool = False) -> None:
        """As many buffers as fit, up to *count*: all alike, or each of its own shape."""
        palette = ring.palette
        count = min(count, max(8, self.known.limits.steps - len(self.steps)))
        if count > 1 and palette and self.integer(0, 2):
            shape = palette[self.integer(0, len(palette) - 1)]
            alike = min(count, ring.free // shape.slots, max(self.most_work - self.work, 0) // shape.work)
            self.put(ring, shape, held, alike)  # ten times as fast as one by one
            count -= alike
        supply = self.supply
        for _ in range(count):
            if not supply(ring, held):
                return

    def exactly(self, ring: Ring, slots: int, held: bool = False) -> bool:
        """A buffer of exactly *slots* descriptors; a device class may have none."""
        shape = self._exact(ring, slots) if self.work <= self.most_work else None
        if shape is None:
            return self.supply(ring, held)
        self.put(ring, shape, held)
        return True

    def _exact(self, ring: Ring, slots: int) -> Shape | None:
        """One that was drawn before mostly: what is new in it is its place, not its shape."""
        shape = ring.exact.get(slots)
        if shape is None or self.integer(0, 3) == 3:
            shape = self.shapes.exactly(ring.queue, slots, ring.size)
            if shape is not None:
                ring.exact[slots] = shape
        return shape

    def put(self, ring: Ring, shape: Shape, held: bool = False, times: int = 1) -> None:
        """Supply *shape*, which fits so many times."""
        slots = shape.slots
        self.steps.extend([shape.as_held() if held else shape.plain] * times)
        self.work += shape.work * times
        ring.free -= slots * times
        ring.out.extend([slots] * times)
        ring.position += slots * times

    def notify(self, ring: Ring) -> None:
        """Notify if the device wants it; rarely in any case."""
        self.steps.append(Notify(True, ring.queue) if self.forced and self.integer(0, 3) == 3 else ring.notify)
        if self.stirred and self.integer(0, 15) < self.stirred:
            self.pulse()

    def pulse(self) -> None:
        """Something happens on the device's other side, once."""
        pulses = self.known.limits.pulses
        name, values = pulses[self.integer(0, len(pulses) - 1)]
        self.steps.append(_lever(name, values[self.integer(0, len(values) - 1)]))

    def receive(self, ring: Ring, count: int) -> None:
        """Receive *count* of the outstanding buffers."""
        asleep = self.asleep == 4 or (self.asleep > 0 and self.integer(0, 3) < self.asleep)
        self.steps.append(_receive(count, asleep, ring.queue))
        out = ring.out
        if self.blocked:
            return
        if count >= len(out):
            ring.free = ring.size
            out.clear()
        else:
            for _ in range(count):
                ring.free += out.popleft()

    def publish(self, ring: Ring) -> None:
        """Make what is held available."""
        self.steps.append(_publish(ring.queue))

    def suppress(self, ring: Ring, mode: str, ahead: int = 0) -> None:
        """Write our event suppression."""
        self.steps.append(_suppress(mode, ahead, ring.queue))

    def lever(self, name: str, value: str) -> None:
        """Move a lever, and remember whether it holds buffers back."""
        if self.moved.get(name, self.known.neutral[name]) == value:
            return
        self.steps.append(_lever(name, value))
        if value == self.known.neutral[name]:
            del self.moved[name]
        else:
            self.moved[name] = value
        self.blocked = any(other in HOLDING for other in self.moved)

    def release(self) -> None:
        """Move the levers back that hold buffers."""
        if self.blocked:
            for name in [name for name in self.moved if name in HOLDING]:
                self.lever(name, self.known.neutral[name])
