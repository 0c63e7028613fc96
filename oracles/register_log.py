"""What a log of register accesses has said so far: the state that the rules of registers are asked about.

Knows the meaning of registers, and nothing of rules: each access is judged first and entered then. What the device
is, is never looked at; only what was written to it and read from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from oracles import registers, spec
from oracles.registers import DRIVER_OK, FEATURES_OK, MMIO, NEEDS_RESET, NO_VECTOR, PCI, SUSPEND
from oracles.trace import Capability

WRITE, READ = "write", "read"
WINDOWS = 4  # of 32 feature bits: none is defined beyond


class Access(NamedTuple):
    """One observation, under the name that both transports share."""

    moment: str  # write | read | interrupt | idle | capability | end
    name: str = ""  # common name of a register, or as written if there is no such register
    value: int = 0
    width: int = 4
    at: int = 0
    queue: int = 0  # that the driver means
    written: str = ""  # the register's name in the trace


@dataclass(slots=True)
class Queue:
    """What was said of one virtqueue."""

    maximum: int = -1  # its size as read when nothing was written; -1: not known
    size: int = -1  # written; -1: not since the last reset
    areas: dict[tuple[str, int], int] = field(default_factory=dict)  # (area, half): address written
    vector: int = NO_VECTOR
    unread: bool = False  # the vector was written, and not read back
    enabled: bool = False  # the driver wrote 1
    disabling: bool = False  # virtio-mmio: it wrote 0, and has not read that back
    reset: str = ""  # of the queue: "" | asked | busy | done
    again: bool = False  # it was reset since the device was: what is configured now is its second life
    notify_off: int = -1
    data: int = -1  # queue_notif_config_data
    kicked: bool = False  # since the device was initialized


@dataclass(slots=True)
class Seen:
    """A part of the device configuration as it was read."""

    value: int
    generation: int
    epoch: int
    agreed: bool  # FEATURES_OK was set


@dataclass(slots=True)
class Log:
    """Everything that was said of one device."""

    transport: str = ""
    on: int = 0  # what it was configured to offer, and not to offer
    off: int = 0
    meant: set[str] = field(default_factory=set)
    capabilities: list[Capability] = field(default_factory=list)
    listed: bool = False  # the capabilities were judged
    known: dict[str, int] = field(default_factory=dict)  # magic, version, device_id, num_queues: as read
    select: dict[str, int] = field(default_factory=dict)  # selectors, as written
    offered: dict[int, int] = field(default_factory=dict)  # by window of 32 bits
    accepted: dict[int, int] = field(default_factory=dict)
    succeeded: set[int] = field(default_factory=set)  # sets that the device took
    status: int = 0  # written last, without what the device took back since
    shown: int = -1  # read last
    reset: str = ""  # "" | asked | done: of the device
    refused: bool = False  # FEATURES_OK did not stay
    reread: bool = False  # the status was read after FEATURES_OK was written
    queues: dict[int, Queue] = field(default_factory=dict)
    generation: int = -1  # of the configuration, as read last
    fresh: bool = False  # it was, and nothing but the configuration since
    epoch: int = 0
    config: dict[tuple[int, int], Seen] = field(default_factory=dict)
    stale: bool = False  # the configuration read differs from that of before, and no other generation was read since
    loop: list[tuple[int, int]] = field(default_factory=list)  # parts read since the generation was
    headless: bool = False  # … which was not, before them
    config_vector: int = NO_VECTOR
    config_unread: bool = False
    heard: int = 0  # bits of InterruptStatus that were read and not acknowledged
    quiet: bool = False  # the device was idle, and nothing was done to it since
    emptied: bool = False  # quiet, and the ISR status was read since
    last_vector: int = -1  # of the last interrupt
    announced: bool = False  # a configuration change notification arrived since DRIVER_OK or the last resume
    owed_isr: int = 0  # bits that an interrupt promised for the next read of the ISR status
    suspending: bool = False  # SUSPEND was written, and not seen to be in effect
    suspended: bool = False  # it was seen
    settled: bool = False  # … and what had been sent before is accounted for
    resuming: bool = False  # DRIVER_OK was written to a suspended device, and not seen
    before: dict[tuple[int, int], int] = field(default_factory=dict)  # the configuration when it was suspended
    meddled: dict[tuple[int, int], int] = field(default_factory=dict)  # what was written to it meanwhile

    # --- questions ----------------------------------------------------------------------------------------------------

    @property
    def selected(self) -> int:
        """The virtqueue that registers are about."""
        return self.select.get("queue_select", 0)

    @property
    def queue(self) -> Queue:
        """What is known of it."""
        return self.queues.setdefault(self.selected, Queue())

    def offer(self) -> int:
        """All feature bits that were read."""
        return _join(self.offered)

    def accept(self) -> int:
        """All feature bits that the driver wrote since the last reset."""
        return _join(self.accepted)

    def negotiated(self, bit: int) -> bool:
        """Whether a feature is in effect."""
        return bool(self.agreed and self.accept() & bit)

    @property
    def agreed(self) -> bool:
        """Whether FEATURES_OK was written and did not turn out to be refused."""
        return bool(self.status & FEATURES_OK) and not self.refused

    @property
    def running(self) -> bool:
        """Whether the driver wrote DRIVER_OK."""
        return bool(self.status & DRIVER_OK)

    def mapped(self) -> set[int]:
        """Vectors that something is mapped to."""
        return {self.config_vector, *(queue.vector for queue in self.queues.values())} - {NO_VECTOR}

    def config_announces(self, vector: int) -> bool:
        """Whether an interrupt with this vector can only mean the configuration."""
        queues = {queue.vector for queue in self.queues.values()}
        return vector == self.config_vector != NO_VECTOR and vector not in queues

    # --- entering -----------------------------------------------------------------------------------------------------

    def enter(self, access: Access) -> None:
        """*access* was judged: from now on it is known."""
        if access.moment in (WRITE, READ):
            self._loop(access)
            handler = getattr(self, f"_{access.moment}_{access.name}", None)
            if handler is not None:
                handler(access)
        elif access.moment == "interrupt":
            self._interrupt(access.value)
        elif access.moment == "idle" and access.value:
            self.quiet, self.emptied = True, False

    def _loop(self, access: Access) -> None:
        """What is read of the configuration between two reads of its generation (2.5.1)."""
        if access.moment == READ and access.name == "config":
            self.headless = not self.fresh
            self.loop.append((access.at, access.width))
        else:
            self.loop.clear()
            self.fresh = access.name == "config_generation"

    def _interrupt(self, vector: int) -> None:
        self.last_vector = vector
        if vector == 65535:
            self.owed_isr = 3 if self.transport == PCI else 0
        elif self.config_announces(vector):
            self.owed_isr |= registers.CONFIG
            self.announced = True

    def _stir(self) -> None:
        """Something was done to the device, so that more may come of it."""
        self.quiet = self.emptied = False

    def _write_device_status(self, access: Access) -> None:
        self._stir()
        self.epoch += 1
        value = access.value
        if value == 0:
            self._asked_reset()
            return
        added = value & ~self.status
        if added & FEATURES_OK:
            self.reread = False
        if value & SUSPEND and not self.suspended and not self.suspending:
            self.suspending = True
            self.before = {part: seen.value for part, seen in self.config.items()}
            self.meddled = {}
        elif (self.suspended or self.suspending) and value & DRIVER_OK:
            self.resuming = self.suspended or self.running
            self.suspended = self.suspending = self.announced = False
        elif added & DRIVER_OK:
            self.announced = False
        self.status = value

    def _asked_reset(self) -> None:
        """0 was written to the status: the driver forgets what it set up."""
        self.reset = "asked"
        self.status = 0
        self.shown = -1
        self.refused = self.reread = False
        self.accepted.clear()
        self.queues = {
            number: Queue(maximum=queue.maximum, notify_off=queue.notify_off, data=queue.data)
            for number, queue in self.queues.items()
        }
        self.config_vector, self.config_unread = NO_VECTOR, False
        self.heard = self.owed_isr = 0
        self.suspending = self.suspended = self.resuming = False
        self.before, self.meddled = {}, {}
        self.last_vector = -1

    def _read_device_status(self, access: Access) -> None:
        value = access.value
        self.shown = value
        if self.reset == "asked" and value == 0:
            self.reset = "done"
        if self.status & FEATURES_OK and not self.running:
            self.reread = True
            self.refused = not value & FEATURES_OK
            if not self.refused:
                self.succeeded.add(self.accept())
        if self.suspending and value & (SUSPEND | DRIVER_OK) == SUSPEND:
            self.suspending, self.suspended, self.settled = False, True, False
            self.status = value
            self.config.clear()
        elif self.resuming and value & (SUSPEND | DRIVER_OK) == DRIVER_OK:
            self.resuming = False
            self.status = value & ~NEEDS_RESET

    def _write_driver_feature(self, access: Access) -> None:
        self.accepted[self.select.get("driver_feature_select", 0)] = access.value

    def _read_device_feature(self, access: Access) -> None:
        self.offered[self.select.get("device_feature_select", 0)] = access.value

    def _write_device_feature_select(self, access: Access) -> None:
        self.select[access.name] = access.value

    _write_driver_feature_select = _write_queue_select = _write_device_feature_select

    def _known(self, access: Access) -> None:
        self.known[access.name] = access.value

    _read_magic = _read_version = _read_num_queues = _known

    def _read_device_id(self, access: Access) -> None:
        self.known[access.name] = registers.device_type(self.transport, access.value)

    # --- queues

    def _read_queue_size(self, access: Access) -> None:
        if self.queue.size < 0:
            self.queue.maximum = access.value

    def _read_queue_size_max(self, access: Access) -> None:
        self.queue.maximum = access.value

    def _write_queue_size(self, access: Access) -> None:
        self.queue.size = access.value

    def _write_queue_desc(self, access: Access) -> None:
        self.queue.areas[access.name, access.at] = access.value

    _write_queue_driver = _write_queue_device = _write_queue_desc

    def _write_queue_enable(self, access: Access) -> None:
        self._stir()
        queue = self.queue
        queue.disabling = queue.enabled and not access.value and self.transport == MMIO
        queue.enabled = bool(access.value)
        queue.reset = ""

    def _read_queue_enable(self, access: Access) -> None:
        if not access.value:
            self.queue.disabling = False

    def _write_queue_reset(self, access: Access) -> None:
        self._stir()
        if access.value == 1:
            queue = self.queue
            queue.reset, queue.again, queue.enabled = "asked", True, False
            queue.size, queue.kicked = -1, False
            queue.areas.clear()

    def _read_queue_reset(self, access: Access) -> None:
        if self.queue.reset in ("asked", "busy"):
            self.queue.reset = "busy" if access.value else "done"

    def _write_queue_msix_vector(self, access: Access) -> None:
        self.queue.vector, self.queue.unread = access.value, True

    def _read_queue_msix_vector(self, access: Access) -> None:
        self.queue.vector, self.queue.unread = access.value, False

    def _write_config_msix_vector(self, access: Access) -> None:
        self.config_vector, self.config_unread = access.value, True

    def _read_config_msix_vector(self, access: Access) -> None:
        self.config_vector, self.config_unread = access.value, False

    def _read_queue_notify_off(self, access: Access) -> None:
        self.queue.notify_off = access.value

    def _read_queue_notif_config_data(self, access: Access) -> None:
        self.queue.data = access.value

    def _write_queue_notify(self, access: Access) -> None:
        self._stir()
        self.queues.setdefault(access.queue, Queue()).kicked = True

    # --- configuration and interrupts

    def _read_config(self, access: Access) -> None:
        part = access.at, access.width
        old = self.config.get(part)
        if old is not None and old.value != access.value and self._same(old):
            self.stale = True
        self.config[part] = Seen(access.value, self.generation, self.epoch, self.agreed)

    def _same(self, old: Seen) -> bool:
        """Whether nothing was done since that may change the configuration, and the generation read is the same."""
        return old.epoch == self.epoch and old.generation == self.generation >= 0

    def _write_config(self, access: Access) -> None:
        self._stir()
        self.epoch += 1
        if self.suspended:
            self.meddled[access.at, access.width] = access.value

    def _read_config_generation(self, access: Access) -> None:
        self.generation = access.value
        self.stale = False

    def _read_isr(self, access: Access) -> None:
        self.owed_isr = 0
        self.emptied = self.quiet
        if access.value & registers.CONFIG:
            self.announced = True

    def _read_interrupt_status(self, access: Access) -> None:
        self.heard |= access.value
        if access.value & registers.CONFIG:
            self.announced = True

    def _write_interrupt_ack(self, access: Access) -> None:
        self.heard &= ~access.value
        self.emptied = self.quiet

    def notify_capability(self) -> Capability | None:
        """The preferred one is the first (4.1.4.1)."""
        return next((one for one in self.capabilities if one.type == registers.NOTIFY_CFG), None)


def _join(words: dict[int, int]) -> int:
    """Feature bits from their windows: as many as there may be (2.2)."""
    return sum((value & 0xFFFFFFFF) << 32 * window for window, value in words.items() if window < WINDOWS)


#: Features that need another one: network devices (5.1.3.1); no ring feature needs any.
NET = 1
NEEDS: dict[int, tuple[tuple[int, int], ...]] = {
    NET: (
        (7, 1 << 1), (8, 1 << 1), (9, 1 << 7 | 1 << 8), (10, 1 << 1), (11, 1 << 0), (12, 1 << 0),
        (13, 1 << 11 | 1 << 12), (14, 1 << 0), (18, 1 << 17), (19, 1 << 17), (21, 1 << 17), (22, 1 << 17),
        (23, 1 << 17),
    )
}  # fmt: skip


def lacking(device: int, features: int) -> str:
    """A feature in *features* that needs one of others which are not in it, in words; or ''. *device*: its type."""
    for bit, one_of in NEEDS.get(device, ()):
        if features >> bit & 1 and not features & one_of:
            others = " or ".join(str(other) for other in range(64) if one_of >> other & 1)
            return f"feature {bit} without {others}"
    return ""


def unknown(transport: str, features: int) -> int:
    """Bits that 1.4 reserves, and those that this transport does not have (2.2, 4.2.5)."""
    reserved = 1 << 25 | 1 << 26 | 1 << 31 | 1 << 42 | 0b111111 << 44
    foreign = spec.SR_IOV | spec.NOTIF_CONFIG_DATA | spec.ADMIN_VQ if transport == MMIO else 0
    return features & (reserved | foreign)
