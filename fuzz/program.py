"""A test program: frozen data that says what we do, as driver or as device, and nothing about any target's state.

A whole program exists before any of it runs. A seed, Hypothesis, a fuzzer's bytes, a corpus file and
a person all make the same thing. Knows the words of the specification; must not know targets.

Every program means something on every target: execution clamps what can't be done (a supply that
doesn't fit is left out, ``receive 9`` with two outstanding receives two) by rules that depend on the
program alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Union

from oracles import spec


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a device class, e.g. ``read sector=0 length=4096``; the class turns it into bytes."""

    kind: str
    fields: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Supply:
    """Put one buffer in the ring (2.7.13, 2.8.21).

    Either *readable* and *writable* element lengths are given, or a *request* with the *cut* that
    divides its bytes into elements: see :func:`divide`.
    """

    readable: tuple[int, ...] = ()
    writable: tuple[int, ...] = ()
    request: Request | None = None
    cut: tuple[int, ...] = ()
    #: how many leading elements stay direct when the rest goes into an indirect table; None: no table.
    #: More than 0 exists on split rings only (2.7.5.3.2); packed lists never mix (2.8.5), so there it counts as 0.
    indirect: int | None = None
    held: bool = False  # written, but made available only together with the next one that isn't held
    gap: bool = False  # done while the device is between «ring drained» and «doorbell armed», where a target can
    answer: int | None = None  # class «any»: bytes the device is asked to write; None: all
    queue: int = 0


@dataclass(frozen=True, slots=True)
class Publish:
    """Make held buffers available, without a notification."""

    queue: int = 0


@dataclass(frozen=True, slots=True)
class Notify:
    """Publish what is held and notify the device if its event suppression asks for it; *force*: in any case."""

    force: bool = False
    queue: int = 0


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait until *count* buffers are used (or all that are owed), and reclaim exactly so many.

    *asleep*: look at the ring only after a notification, or when re-arming says that something is there.
    """

    count: int = 1
    asleep: bool = False
    queue: int = 0


@dataclass(frozen=True, slots=True)
class Suppress:
    """Write our event suppression: *mode* is enable, disable or event; event: *ahead* used buffers (split)
    or descriptors (packed) past the place up to which we have received.

    *junk*, on split rings only: the word that has no meaning there says the opposite: used_event without EVENT_IDX;
    flags with it, where a driver must keep it at 0 (2.7.7.1). A device must ignore it (2.7.7.2)."""

    mode: str = "enable"
    ahead: int = 0
    queue: int = 0
    junk: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Device reset and set-up anew (2.4, 3.1.1), with whatever is in flight."""


@dataclass(frozen=True, slots=True)
class QueueReset:
    """Reset one queue and enable it again (2.6.1), with *size* entries if not 0."""

    size: int = 0
    queue: int = 0


@dataclass(frozen=True, slots=True)
class Restart:
    """Stop one queue and start it where it stopped (vhost-user: GET_VRING_BASE, then SET_VRING_BASE and KICK)."""

    queue: int = 0


@dataclass(frozen=True, slots=True)
class Lever:
    """Move a lever of the target: how it behaves within what is legal, or what happens on its other side.

    A pulse (see ``Limits.pulses``) is such a step, too. Targets that don't know it ignore it.
    """

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Poke:
    """Write what no driver writes, where the driver writes: into what stands in a queue's memory right now.

    *what* and the names in *values* are those of ``fuzz.wild.POKES``; *place* counts from 0, modulo how many
    there are; *address* is one of ``fuzz.wild.ADDRESSES``, or '' where it stays. Of a buffer that is held, it
    changes what will be made available; else what the device may be looking at.
    """

    what: str
    place: int = 0
    address: str = ""
    values: tuple[tuple[str, int], ...] = ()
    queue: int = 0


@dataclass(frozen=True, slots=True)
class Wild:
    """Something on the control plane that no driver does: *way* say, a message, or register, an access to one.

    *name* and the names in *values* are those of ``fuzz.wild.WAYS``. Targets without such a plane ignore it.
    """

    way: str
    name: str
    values: tuple[tuple[str, int], ...] = ()


# --- where we are the device: first what the driver's upper half is asked, then what we do ---------------------------


@dataclass(frozen=True, slots=True)
class Add:
    """Ask the driver to make a buffer available, with elements of these lengths; it may refuse."""

    readable: tuple[int, ...] = ()
    writable: tuple[int, ...] = ()
    queue: int = 0


@dataclass(frozen=True, slots=True)
class Kick:
    """Let the driver notify us of what was added, if our words ask for that."""

    queue: int = 0


@dataclass(frozen=True, slots=True)
class Get:
    """Ask the driver for up to *count* buffers that came back.

    *asleep*: only if it has a reason to look: a notification came since it said that nothing is there, or it did
    not say so.
    """

    count: int = 1
    asleep: bool = False
    queue: int = 0


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Ask the driver to disable used buffer notifications, enable them, or enable them for when most came back."""

    mode: str = "on"  # on | off | delayed
    queue: int = 0


@dataclass(frozen=True, slots=True)
class Use:
    """Use *count* buffers, or as many as are available: under IN_ORDER as one batch, else with an element each.

    *length*: bytes written to the last of them, and to each that has an element of its own; None: all that there
    are. *order*: oldest, reversed, youngest (under IN_ORDER always the oldest, in order). *singly*: each published by
    itself. *junk*: what a batch skips in a split used ring is filled with other buffers' ids; a packed used descriptor
    has NEXT.
    """

    count: int = 1
    length: int | None = None
    order: str = "oldest"
    singly: bool = False
    junk: bool = False
    queue: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """Send a used buffer notification if the driver's words asked for one since the last; *force*: in any case."""

    force: bool = False
    queue: int = 0


@dataclass(frozen=True, slots=True)
class Misuse:
    """Break a rule of devices: from here on only a crash or a hang of the driver counts, whatever its queue.

    *what*: id (*value* is used), length (so much is said to be written), again (what was used last), youngest (out
    of order), jump (the used position moves by *value*), flags (of a packed used descriptor).
    """

    what: str = "id"
    value: int = 0
    queue: int = 0


USE_ORDERS = ("oldest", "reversed", "youngest")
CALLBACK_MODES = ("on", "off", "delayed")
MISUSES = ("id", "length", "again", "youngest", "jump", "flags")
DeviceStep = Union[Add, Kick, Get, Callbacks, Use, Call, Misuse]

Step = Union[DeviceStep, Supply, Publish, Notify, Receive, Suppress, Reset, QueueReset, Restart, Lever, Poke, Wild]

ROLES = ("driver", "device")

#: Names of levers, and the values of each. The first value is the one at which a lever changes nothing.
Levers = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Queue:
    """One virtqueue as the program wants it; *start*: the position counters begin there, where a target can."""

    size: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """What runs: layout, queues, features, device class, then steps in order."""

    layout: str = spec.SPLIT
    queues: tuple[Queue, ...] = (Queue(8),)
    features: int = spec.VERSION_1  # ring features wanted, as bits; RING_PACKED follows from the layout
    device: str = "any"
    steps: tuple[Step, ...] = ()
    role: str = "driver"  # the side that we are

    @property
    def in_order(self) -> bool:
        """Whether VIRTIO_F_IN_ORDER is wanted."""
        return bool(self.features & spec.IN_ORDER)

    @property
    def hostile(self) -> bool:
        """Whether it does anything that a driver must not do."""
        return any(isinstance(step, Poke | Wild) for step in self.steps)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be drawn for a kind of target: static facts, known before any program is generated.

    Generation never looks at a running target; a lever that a target lacks is simply never drawn.
    """

    layouts: tuple[str, ...] = spec.LAYOUTS
    in_order: tuple[bool, ...] = (False, True)
    features: int = spec.INDIRECT_DESC | spec.EVENT_IDX  # optional bits to draw from
    split_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 64, 256)
    packed_sizes: tuple[int, ...] = (1, 2, 3, 5, 7, 8, 16, 64, 256)
    device: str = "any"
    queues: int = 1
    #: steps beyond supply, publish, notify, receive, suppress
    #: (as the device: reset, queue_reset, restart; hostile; passive: a driver whose upper half can't be asked; logged:
    #: its stores are seen when they happen)
    actions: frozenset[str] = frozenset({"reset", "queue_reset", "restart", "gap", "start", "asleep"})
    levers: Levers = ()
    pulses: Levers = ()  # what can be made to happen once, the simplest value first: a frame comes in, a key is pressed
    mixed_indirect: bool = True  # direct descriptors followed by an indirect one (A13 of the ambiguities)
    longest_table: int = 0  # most entries of an indirect table beyond the queue size rule; 0: the queue size
    empty_elements: bool = False
    longest_element: int = 4096
    steps: int = 120
    uncut: frozenset[int] = frozenset()  # queues whose requests stay whole: cut, they would hide everything else
    singly: bool = False  # each buffer gets a notification of its own, and there are no others
    role: str = "driver"  # the side that we are: device where a driver is under test
    hints: tuple[tuple[str, int], ...] = field(default=())  # facts for the device class (capacity, …)


def directly(step: Supply, count: int, layout: str, features: int) -> int:
    """How many of a buffer's *count* elements stand in the ring; the rest, if any, in an indirect table (2.7.5.3)."""
    if step.indirect is None or not features & spec.INDIRECT_DESC:
        return count
    return min(step.indirect, count - 1) if layout == spec.SPLIT else 0


def divide(readable: int, writable: int, cut: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Element lengths of a request with so many device-readable, then device-writable bytes.

    The lengths of *cut* in turn, the last one repeated until nothing is left; 0 (text: ``rest``) takes all
    that is left of the part, and no cut at all is ``rest``. Readable and writable bytes never share an
    element: the one at the border ends there, and the writable part goes on with the next length.
    """
    lengths = cut or (0,)
    last = len(lengths) - 1
    turn = 0
    parts: list[tuple[int, ...]] = []
    for total in (readable, writable):
        left = total
        part: list[int] = []
        while left:
            length = min(lengths[min(turn, last)] or left, left)
            part.append(length)
            left -= length
            turn += 1
        parts.append(tuple(part))
    return parts[0], parts[1]
