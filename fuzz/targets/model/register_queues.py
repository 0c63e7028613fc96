"""The part of the reference device's registers that is about one queue, the selected one.

Knows what is written to a queue's registers and read from them. A planted fault replaces one small method. What an
engine does with a queue that is live is its own business.
"""

from __future__ import annotations

from fuzz.targets.model.engine import Engine
from oracles import registers, spec
from oracles.registers import DRIVER_OK, MMIO, NO_VECTOR

QUEUES, SIZE = 2, 256


class Queue:
    """What the registers say of one virtqueue."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.clear()

    def clear(self) -> None:
        """As after a reset."""
        self.size = SIZE
        self.vector = NO_VECTOR
        self.enabled = 0
        self.busy = 0  # reads until its reset is over
        self.areas = dict.fromkeys(((area, half) for area in registers.AREAS for half in (0, 4)), 0)

    def place(self, area: str) -> int:
        """Address of an area."""
        return self.areas[area, 0] | self.areas[area, 4] << 32


class QueueRegisters:
    """Registers of the queues; the device adds all others, and what these attributes are."""

    transport: str
    address: int
    status: int
    features: int
    config_vector: int
    selects: dict[str, int]
    queues: list[Queue]
    engines: list[Engine]

    @property
    def queue(self) -> Queue | None:
        """The one that is selected."""
        number = self.selects["queue_select"]
        return self.queues[number] if number < QUEUES else None

    def start(self, number: int) -> None:
        """The queue is live, if it is enabled and the driver is ready."""
        queue = self.queues[number]
        if queue.enabled and self.status & DRIVER_OK:
            areas = tuple(queue.place(area) - self.address for area in registers.AREAS)
            first = 1 << 15 if self.features & spec.RING_PACKED else 0
            self.engines[number].start(self.features, queue.size, (areas[0], areas[1], areas[2]), first, first)

    def read_queue_size(self, at: int, width: int) -> int:
        """The size of the queue, or the largest one before it was written."""
        return self.queue.size if self.queue else 0

    def read_queue_size_max(self, at: int, width: int) -> int:
        """The largest size of the queue."""
        return SIZE if self.queue else 0

    def write_queue_size(self, value: int, at: int, width: int) -> None:
        """The size of the queue."""
        if self.queue:
            self.queue.size = value

    def read_queue_msix_vector(self, at: int, width: int) -> int:
        """What the queue is mapped to."""
        return self.queue.vector if self.queue else NO_VECTOR

    def write_queue_msix_vector(self, value: int, at: int, width: int) -> None:
        """Map the queue."""
        if self.queue:
            self.queue.vector = value if value <= QUEUES else NO_VECTOR

    def read_config_msix_vector(self, at: int, width: int) -> int:
        """What configuration changes are mapped to."""
        return self.config_vector

    def write_config_msix_vector(self, value: int, at: int, width: int) -> None:
        """Map configuration changes."""
        self.config_vector = value if value <= QUEUES else NO_VECTOR

    def read_queue_enable(self, at: int, width: int) -> int:
        """Whether the queue is enabled."""
        return self.queue.enabled if self.queue else 0

    def write_queue_enable(self, value: int, at: int, width: int) -> None:
        """Enable it; virtio-mmio also lets it be disabled."""
        queue = self.queue
        if queue is None:
            return
        if value:
            queue.enabled, queue.busy = 1, 0
            self.start(queue.number)
        elif self.transport == MMIO:
            queue.enabled = 0
            self.disable(queue)

    def disable(self, queue: Queue) -> None:
        """QueueReady is 0: the rings are left alone."""
        self.engines[queue.number].halt()

    def read_queue_notify_off(self, at: int, width: int) -> int:
        """Each queue has a place of its own."""
        return self.queue.number if self.queue else 0

    def read_queue_notif_config_data(self, at: int, width: int) -> int:
        """What to say in a notification, with NOTIF_CONFIG_DATA."""
        return 0x100 + self.queue.number if self.queue else 0

    def read_queue_reset(self, at: int, width: int) -> int:
        """1 as long as the reset goes on."""
        queue = self.queue
        if queue is None or not queue.busy:
            return 0
        queue.busy -= 1
        return 1

    def write_queue_reset(self, value: int, at: int, width: int) -> None:
        """Reset the queue; that takes a moment."""
        if self.queue and value == 1 and self.features & spec.RING_RESET:
            self.reset_queue(self.queue)

    def reset_queue(self, queue: Queue) -> None:
        """Everything of it as at first; its vector is its driver's."""
        vector = queue.vector
        queue.clear()
        queue.vector = vector
        queue.busy = 1
        self.engines[queue.number].halt()

    def write_area(self, name: str, value: int, half: int) -> None:
        """Half of an area's address."""
        if self.queue:
            self.queue.areas[name, half] = value

    def read_area(self, name: str, half: int) -> int:
        """Half of an area's address."""
        return self.queue.areas[name, half] if self.queue else 0
