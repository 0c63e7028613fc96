"""Observations beside what the device does in rings: registers, vhost-user conversations, what a driver exposes.

Part of ``trace``, which has their text form with that of all others. Knows nothing of rules, roles or targets.
"""

from __future__ import annotations

from typing import NamedTuple

Extent = tuple[int, int]
"""(address or offset, length in bytes)."""


class Wrote(NamedTuple):
    """A register of the transport was written by the driver (4.1.4.3, 4.2.2): its name as the specification has it.

    The entry's queue number is the queue that the driver means; the device only sees what was selected.
    """

    register: str  # such as device_status, queue_size, QueueReady
    value: int
    width: int = 4  # bytes
    at: int = 0  # bytes into it: config, Config, queue_notify, and the upper half of a 64-bit field of virtio-pci


class Read(NamedTuple):
    """A register of the transport was read by the driver, and had this value."""

    register: str
    value: int
    width: int = 4
    at: int = 0


class Capability(NamedTuple):
    """A structure that virtio-pci's list of capabilities shows (4.1.4)."""

    type: int
    bar: int
    offset: int
    length: int
    multiplier: int = 0  # notify_off_multiplier, of a notification structure


class Configured(NamedTuple):
    """Features that the implementation was told by name to offer (*on*) or not to offer (*off*), by whoever runs it."""

    on: int
    off: int = 0


class Meant(NamedTuple):
    """From here on the driver breaks a rule that binds itself, on purpose: a SHOULD, or to see what comes of it."""

    rule: str


class Interrupted(NamedTuple):
    """An interrupt arrived: an MSI-X message of *vector*; 65535: the one line that there is."""

    vector: int = 65535


class Connected(NamedTuple):
    """A vhost-user connection was made: what follows is said on it."""


class Sent(NamedTuple):
    """The front-end sent a vhost-user message; *descriptors*: how many came with its first byte, *later*: behind it."""

    request: int
    flags: int
    payload: bytes
    descriptors: int = 0
    later: int = 0


class Got(NamedTuple):
    """The back-end sent a vhost-user message, header as it came; *payload*: as much of it as came."""

    request: int
    flags: int
    size: int
    payload: bytes
    descriptors: int = 0


class HungUp(NamedTuple):
    """The back-end closed the connection."""


class Kicked(NamedTuple):
    """The front-end signalled the kick descriptor of a ring by itself, no driver having asked for it."""


class Activity(NamedTuple):
    """A vhost-user back-end did something to a ring, as it shows from outside.

    *what*: used (buffers came back), executed (a request had its effect), called (the call descriptor was signalled),
    stale (one that another has replaced was), errored (the error descriptor was), again (a buffer came
    back for the second time).
    """

    what: str
    buffers: int = 1


class Tracked(NamedTuple):
    """The part of the inflight area that is a ring's, as found while nothing happens; *used*: used idx or position.

    *heads*: of the buffers that are available and not used, in the order in which they became available.
    """

    layout: str
    size: int
    data: bytes
    used: int
    heads: tuple[int, ...] = ()


class Logged(NamedTuple):
    """The log of dirty pages: *data* from the bit for *address* on. *written*: where memory was seen to change."""

    address: int
    data: bytes
    written: tuple[Extent, ...] = ()


class Exposed(NamedTuple):
    """The driver's side of a ring, or an indirect table, now reads *data* at *address*: at the moment of the store
    where the driver's stores are logged, else as found by looking, what publishes it last. From the start all is 0."""

    address: int
    data: bytes


class Looked(NamedTuple):
    """The device has looked at all that the driver exposes. *waited*: and a notification that was due has come.
    *logged*: no store of the driver is missing in the trace; else what was stored twice alike shows once or not."""

    waited: bool = False
    logged: bool = True


class Returned(NamedTuple):
    """The driver handed up the buffer with this head or buffer id, as used with *length* bytes written."""

    id: int
    length: int


class Filled(NamedTuple):
    """The device wrote to the outstanding buffer with this head or buffer id, before it uses it.

    *data*: of each piece that the driver's upper half may be handed by itself, the first 16 bytes, short ones with
    zeros behind them, except for the last.
    """

    id: int
    data: bytes


class Delivered(NamedTuple):
    """The driver's upper half got data: its first 16 bytes, or all if it is less.

    *wanted*: what it must begin with, if it is what the request asked for. *last*: it came in the buffer that was
    handed up last; else nobody says in which.
    """

    data: bytes
    wanted: bytes = b""
    last: bool = False


class Asked(NamedTuple):
    """The driver's upper half was asked to expose a buffer with elements of these lengths; what shows of it follows."""

    readable: tuple[int, ...] = ()
    writable: tuple[int, ...] = ()


class Answered(NamedTuple):
    """What the driver's upper half said when it was asked for something.

    *what*: refused (it takes no buffer of so many *elements* now), empty (none has come back that it did not hand up),
    quiet (notifications are enabled, and there is nothing to hand up), delayed (enabled, for when most have come
    back), awake (it looks by itself): after quiet and delayed it looks again only when it is notified.
    """

    what: str
    elements: int = 0
