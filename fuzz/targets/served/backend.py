"""Our end of one device's connection: memory in one range, a ring that a program serves, others that serve themselves.

Builds on the reference back-end's messages. A front-end may set the device up any number of times: a firmware first,
with a queue size and features of its own, then an operating system. Knows messages and rings' places. Must not judge.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress

from fuzz.targets.model import inflight
from fuzz.targets.model.backend import Backend
from fuzz.targets.model.inflight import Area
from fuzz.targets.model.speaking import Refused
from fuzz.targets.model.vring import Vring
from fuzz.targets.served.honest import HonestQueue
from fuzz.targets.served.keeping import RingClass, ring_class
from fuzz.targets.served.kinds import Kind
from fuzz.targets.served.memory import OneRange
from oracles import spec
from oracles import vhost_user as vu

RING_FEATURES = spec.VERSION_1 | spec.INDIRECT_DESC | spec.EVENT_IDX
PROTOCOL = vu.MQ | vu.REPLY_ACK | vu.BACKEND_REQ | vu.CONFIG | vu.RESET | vu.MEM_SLOTS | vu.STATUS | vu.INFLIGHT
_CONFIG = 256  # bytes of configuration space that may be asked for; what the class has not is 0
_FIRST = 1 << 15  # of a packed virtqueue that begins: position 0, wrap counter 1


class Served(Backend):
    """One connection of a device of class *kind* that offers *features*."""

    protocol = PROTOCOL

    def __init__(self, connection: socket.socket, kind: Kind, features: int) -> None:
        super().__init__(connection, queues=kind.queues)
        self.kind = kind
        self.features = features | kind.features | vu.PROTOCOL_FEATURES
        self.config = bytearray(kind.config.ljust(_CONFIG, b"\0"))
        self.regions: OneRange = OneRange()
        self.mine: int | None = None  # the queue that a program serves
        self.honest: dict[int, HonestQueue] = {}
        self.areas: dict[int, Area] = {}  # of queues that began, where they keep what is in flight

    # -- rings

    def may_run(self, ring: Vring) -> bool:
        """Whether a ring is started and enabled. QEMU's generic devices take STATUS, and never say DRIVER_OK."""
        return ring.started and ring.enabled

    def ready(self, number: int) -> bool:
        """Whether a ring is live."""
        ring = self.rings[number]
        return self.open and bool(ring.size) and self.may_run(ring) and self.places(ring) is not None

    def places(self, ring: Vring) -> tuple[int, int, int] | None:
        """Offsets of descriptors, driver area and device area in the range, once all are known."""
        descriptor, used, available = (self.regions.guest(address) for address in ring.addresses[:3])
        if self.regions.space is None or descriptor is None or available is None or used is None:
            return None
        low = self.regions.space.low
        return descriptor - low, available - low, used - low

    def positions(self, ring: Vring) -> tuple[int, int]:
        """Where the available and the used side begin (split: idx; packed: position | wrap << 15).

        Some front-ends say 0 for a packed virtqueue that begins, and some only the available side.
        """
        if self.accepted & spec.RING_PACKED:
            available, used = ring.base & 0xFFFF, ring.base >> 16
            return (available, used or available) if ring.base else (_FIRST, _FIRST)
        places = self.places(ring)
        space = self.regions.space
        assert places is not None
        assert space is not None
        used = int.from_bytes(space.view[places[2] + 2 : places[2] + 4], "little")
        return ring.base & 0xFFFF, used

    def serve(self, ring: Vring) -> None:
        """Serve a ring that no program is about, if it is live."""
        number = ring.number
        if not self.ready(number) or number == self.mine:
            self.honest.pop(number, None)
            return
        if number not in self.honest:
            self._begin(ring, self.positions(ring))
        self._run(number)

    def _begin(self, ring: Vring, positions: tuple[int, int]) -> None:
        places, space, number = self.places(ring), self.regions.space, ring.number
        assert places is not None
        assert space is not None
        self.honest[number] = HonestQueue(
            self.kind, number, space.view, space.low, self.accepted, ring.size, places, positions,
            lambda: self.call_for(number), self.ring_class(ring),
        )  # fmt: skip

    def ring_class(self, ring: Vring) -> RingClass:
        """The class of the ring that serves a queue: it keeps its part of the inflight area, if that has room."""
        packed = bool(self.accepted & spec.RING_PACKED)
        area = self.areas.get(ring.number)
        if area is None:
            area = self.area_of(ring)
            if area is not None and len(area.view) >= inflight.room(packed, ring.size):
                self.areas[ring.number] = area
        return ring_class(packed, self.areas.get(ring.number))

    def _run(self, number: int) -> None:
        if self.honest[number].run():
            self.others(number)

    def hand_over(self, number: int, positions: tuple[int, int]) -> None:
        """The program that served the queue is over: it serves itself from there on."""
        self.mine = None
        if self.ready(number):
            self._begin(self.rings[number], positions)
            self._run(number)

    def others(self, number: int) -> None:
        """What one queue was told may be answered on another."""
        for other, queue in list(self.honest.items()):
            if other != number and queue.kept:
                queue.run()

    def call_for(self, number: int) -> None:
        """Notify the driver of a queue."""
        call = self.rings[number].call
        if call >= 0:
            with suppress(OSError):
                os.eventfd_write(call, 1)

    def descriptors(self) -> list[int]:
        """What is to be waited for: the connection, and kicks of rings that serve themselves."""
        if not self.open:
            return []
        return [self.connection.fileno(), *(ring.kick for ring in self.rings if self._kickable(ring))]

    def _kickable(self, ring: Vring) -> bool:
        return ring.kick >= 0 and ring.number != self.mine

    def poll(self) -> None:
        """Serve what was kicked. Some front-ends' descriptors would block: they are asked first."""
        kicks = {ring.kick: ring for ring in self.rings if self._kickable(ring)}
        for descriptor in select.select(list(kicks), [], [], 0)[0] if kicks else ():
            with suppress(OSError):
                os.eventfd_read(descriptor)
            self.serve(kicks[descriptor])
        for ring in self.rings:
            if ring.polling:
                self.serve(ring)

    # -- messages that mean something else here

    def set_features(self, payload: bytes, descriptors: list[int]) -> None:
        """A driver begins: what was before is over."""
        self.honest.clear()
        self.areas.clear()
        super().set_features(payload, descriptors)

    def set_inflight_fd(self, payload: bytes, descriptors: list[int]) -> None:
        """The area to use, from where queues begin next."""
        super().set_inflight_fd(payload, descriptors)
        self.areas.clear()

    def set_vring_addr(self, payload: bytes, descriptors: list[int]) -> None:
        """Where a ring is; it begins anew there."""
        super().set_vring_addr(payload, descriptors)
        self.honest.pop(vu.VRING_STATE.unpack_from(payload)[0], None)

    def set_vring_base(self, payload: bytes, descriptors: list[int]) -> None:
        """Where it goes on."""
        super().set_vring_base(payload, descriptors)
        self.honest.pop(vu.VRING_STATE.unpack_from(payload)[0], None)

    def stop(self, ring: Vring) -> int:
        """Stop a ring; where it is."""
        queue = self.honest.pop(ring.number, None)
        base = self._base(ring) if queue is None else queue.ring.base()
        ring.stop()
        return base

    def _base(self, ring: Vring) -> int:
        """A program's ring: split, up to what was used; packed, nobody goes on there."""
        if self.accepted & spec.RING_PACKED or self.places(ring) is None:
            return ring.base
        return self.positions(ring)[1]

    def reset_device(self, payload: bytes, descriptors: list[int]) -> None:
        """As before any driver."""
        self.honest.clear()
        super().reset_device(payload, descriptors)

    def set_status(self, payload: bytes, descriptors: list[int]) -> None:
        """How far the driver is; 0 ends all that it began."""
        if len(payload) < vu.U64.size:
            raise Refused
        if not vu.U64.unpack_from(payload)[0] & 0xFF:
            self.honest.clear()
            for ring in self.rings:
                ring.forget()
        super().set_status(payload, descriptors)

    def set_config(self, payload: bytes, descriptors: list[int]) -> None:
        """A driver may write a field that is its own (5.2.4: the cache's mode): nothing follows from it."""

    def close(self) -> None:
        """The connection is over."""
        self.honest.clear()
        super().close()
