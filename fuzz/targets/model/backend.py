"""The reference back-end of vhost-user: what each message means, in front of rings that the model's engine serves.

Small methods, so that a planted fault can replace exactly one of them. Knows messages; the connection, regions,
rings and the inflight area are others' business.
"""

from __future__ import annotations

import os
import socket

from fuzz.targets.model import inflight
from fuzz.targets.model.engine import Engine
from fuzz.targets.model.inflight import Area, PackedArea, SplitArea
from fuzz.targets.model.regions import Regions, mapped
from fuzz.targets.model.speaking import Gone, Refused, Speaker
from fuzz.targets.model.vring import Log, Vring
from oracles import spec
from oracles import vhost_user as vu

FEATURES = (
    spec.VERSION_1 | spec.INDIRECT_DESC | spec.EVENT_IDX | spec.RING_PACKED | spec.IN_ORDER
    | vu.PROTOCOL_FEATURES | vu.LOG_ALL
)  # fmt: skip
PROTOCOL = (
    vu.MQ | vu.LOG_SHMFD | vu.REPLY_ACK | vu.BACKEND_REQ | vu.CONFIG | vu.INFLIGHT | vu.RESET | vu.INBAND
    | vu.MEM_SLOTS | vu.STATUS
)  # fmt: skip
SLOTS = 8
CONFIG = bytes(range(0x41, 0x51))  # the configuration space: 16 bytes, all of them read-only
_STATUS_NEEDED = 0x4  # DRIVER_OK


class Backend(Speaker):
    """Serves *connection*, which it closes. *queues*: how many rings it has."""

    features = FEATURES
    protocol = PROTOCOL

    def __init__(self, connection: socket.socket, engine: type[Engine] = Engine, queues: int = 1) -> None:
        super().__init__(connection)
        self.eager = True  # else a ring runs at a kick only, not as soon as it may
        self.log = Log()
        self.rings = [Vring(number, engine, self.log) for number in range(queues)]
        self.regions = Regions()
        self.accepted = 0
        self.status = 0
        self.owned = False
        self.config = bytearray(CONFIG)
        self.channel: socket.socket | None = None  # for our own requests
        self.area: memoryview | None = None  # inflight, of all queues
        self.area_entries = 0
        self.handlers = {getattr(vu, name.upper()): getattr(self, name) for name in _HANDLED}

    # -- life

    def pump(self) -> None:
        """Deal with every message that is there, then with every kick."""
        super().pump()
        if self.open:
            self.poll()

    def poll(self) -> None:
        """Serve rings that were kicked, or that are to be polled."""
        for ring in self.rings:
            if (ring.kicked() or ring.polling) and self.wakes(ring):
                self.serve(ring)

    def wakes(self, ring: Vring) -> bool:
        """Whether a kick makes the ring run."""
        return True

    def close(self) -> None:
        """The connection is over: let go of everything, leaving memory as it is."""
        if not self.open:
            return
        for ring in self.rings:
            ring.close()
        self.regions.clear()
        self.area = None
        if self.channel is not None:
            self.channel.close()
        super().close()

    # -- the device

    def ring(self, number: int) -> Vring:
        """Ring *number*. Raises Refused."""
        if number >= len(self.rings):
            raise Refused
        return self.rings[number]

    def may_run(self, ring: Vring) -> bool:
        """Whether *ring* is to be served."""
        ready = not self.negotiated & vu.STATUS or bool(self.status & _STATUS_NEEDED)
        return ring.started and ring.enabled and ready

    def serve(self, ring: Vring) -> None:
        """Serve *ring*, if it may be, and start its engine if it has none."""
        if not self.may_run(ring):
            return
        if ring.engine is None:
            region = self.regions.by_user(ring.addresses[0])
            if region is None or not ring.size:
                return
            ring.area = self.area_of(ring)
            ring.start(self.accepted, region)
        if self.eager:
            ring.run()

    def area_of(self, ring: Vring) -> Area | None:
        """The inflight area of *ring*, if there is one."""
        if self.area is None:
            return None
        packed = bool(self.accepted & spec.RING_PACKED)
        each = inflight.room(packed, self.area_entries)
        view = self.area[each * ring.number : each * (ring.number + 1)]
        return self.packed_area(view, ring.size) if packed else self.split_area(view, ring.size)

    split_area: type[SplitArea] = SplitArea
    packed_area: type[PackedArea] = PackedArea

    # -- messages, by name: each takes payload and descriptors, and returns the reply's payload or None

    def get_features(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        """What the device can."""
        return vu.U64.pack(self.features)

    def set_features(self, payload: bytes, descriptors: list[int]) -> None:
        """What of it is used; without bit 30, all rings are enabled."""
        bits = _number(payload)
        if bits & ~self.features or not self.acceptable(bits):
            raise Refused
        self.accepted = bits
        self.log.on = bool(bits & vu.LOG_ALL)
        if not bits & vu.PROTOCOL_FEATURES:
            self.enable_all()

    def acceptable(self, bits: int) -> bool:
        """Whether a subset of what was offered will do."""
        return True

    def enable_all(self) -> None:
        """Enable all rings at once."""
        for ring in self.rings:
            ring.enabled = True

    def get_protocol_features(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        """What of the protocol there is."""
        return vu.U64.pack(self.protocol)

    def set_protocol_features(self, payload: bytes, descriptors: list[int]) -> None:
        """What of it is used."""
        self.negotiated = _number(payload)
        if self.contradicts(self.negotiated):
            raise Gone

    def contradicts(self, negotiated: int) -> bool:
        """Whether in-band notifications lack what they need."""
        needed = vu.BACKEND_REQ | vu.REPLY_ACK
        return bool(negotiated & vu.INBAND) and negotiated & needed != needed

    def set_owner(self, payload: bytes, descriptors: list[int]) -> None:
        """Somebody is there."""
        self.owned = True

    def reset_owner(self, payload: bytes, descriptors: list[int]) -> None:
        """Deprecated: nothing happens."""

    def get_queue_num(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        """How many rings there are."""
        return vu.U64.pack(len(self.rings))

    def set_mem_table(self, payload: bytes, descriptors: list[int]) -> None:
        """All memory, anew."""
        count = int.from_bytes(payload[:4], "little")
        if count > SLOTS or count > len(descriptors):
            raise Refused
        self.regions.clear()
        for place in range(count):
            guest, size, user, offset = vu.REGION.unpack_from(payload, 8 + vu.REGION.size * place)
            self.regions.add(guest, size, user, offset, descriptors[place])

    def get_max_mem_slots(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        """How many regions there may be."""
        return vu.U64.pack(SLOTS)

    def add_mem_reg(self, payload: bytes, descriptors: list[int]) -> None:
        """One more region."""
        if len(self.regions.all) >= SLOTS or len(descriptors) != 1:
            raise Refused
        guest, size, user, offset = vu.REGION.unpack_from(payload, 8)
        self.regions.add(guest, size, user, offset, descriptors[0])

    def rem_mem_reg(self, payload: bytes, descriptors: list[int]) -> None:
        """One region less."""
        guest, size, user, _ = vu.REGION.unpack_from(payload, 8)
        if not self.regions.remove(guest, size, user):
            raise Refused

    def set_log_base(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        """Where pages that are written are logged."""
        if len(descriptors) != 1:
            raise Refused
        size, offset = vu.LOG_BASE.unpack_from(payload)
        self.log.view = mapped(descriptors[0], size, offset)
        return vu.U64.pack(0)

    def set_log_fd(self, payload: bytes, descriptors: list[int]) -> None:
        """Nobody is told when the log changes."""

    def set_vring_num(self, payload: bytes, descriptors: list[int]) -> None:
        """The size of a ring."""
        number, size = vu.VRING_STATE.unpack(payload)
        self.ring(number).size = size

    def set_vring_addr(self, payload: bytes, descriptors: list[int]) -> None:
        """Where the areas of a ring are."""
        number, flags, *addresses = vu.ADDRESSES.unpack(payload)
        ring = self.ring(number)
        if any(self.regions.by_user(address) is None for address in addresses[:3]):
            raise Refused
        ring.flags = flags
        ring.addresses = (addresses[0], addresses[1], addresses[2], addresses[3])

    def set_vring_base(self, payload: bytes, descriptors: list[int]) -> None:
        """Where a ring goes on."""
        number, base = vu.VRING_STATE.unpack(payload)
        self.ring(number).base = base

    def get_vring_base(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        """Stop a ring."""
        number, _ = vu.VRING_STATE.unpack(payload)
        return vu.VRING_STATE.pack(number, self.stop(self.ring(number)))

    def stop(self, ring: Vring) -> int:
        """Stop *ring*; where it stopped."""
        return ring.stop()

    def set_vring_kick(self, payload: bytes, descriptors: list[int]) -> None:
        """How a ring is kicked; it is started by that."""
        number = _number(payload)
        ring = self.ring(number & 0xFF)
        ring.take("kick", descriptors.pop() if descriptors else -1)
        ring.started, ring.polling = True, self.polls(number)
        self.started(ring)

    def polls(self, number: int) -> bool:
        """Whether a ring is to be polled: no descriptor comes with it."""
        return bool(number & vu.NO_FD) and not self.negotiated & vu.INBAND

    def started(self, ring: Vring) -> None:
        """A ring was started: what is there is served without waiting for a kick."""
        self.serve(ring)

    def set_vring_call(self, payload: bytes, descriptors: list[int]) -> None:
        """How the driver is notified."""
        self.ring(_number(payload) & 0xFF).take("call", descriptors.pop() if descriptors else -1)

    def set_vring_err(self, payload: bytes, descriptors: list[int]) -> None:
        """How errors are told."""
        self.ring(_number(payload) & 0xFF).take("error", descriptors.pop() if descriptors else -1)

    def set_vring_enable(self, payload: bytes, descriptors: list[int]) -> None:
        """Enable or disable a ring."""
        number, on = vu.VRING_STATE.unpack(payload)
        ring = self.ring(number)
        ring.enabled = self.enabling(ring, bool(on))
        self.serve(ring)

    def enabling(self, ring: Vring, on: bool) -> bool:
        """Whether *ring* is enabled now; it is remembered while it is stopped."""
        return on

    def vring_kick(self, payload: bytes, descriptors: list[int]) -> None:
        """A kick in-band."""
        ring = self.ring(vu.VRING_STATE.unpack(payload)[0])
        ring.started = True
        self.serve(ring)

    def set_backend_req_fd(self, payload: bytes, descriptors: list[int]) -> None:
        """The channel for our own requests; with in-band notifications, calls go there."""
        self.channel = socket.socket(fileno=descriptors.pop())
        if self.negotiated & vu.INBAND:
            for ring in self.rings:
                ring.say = self.call

    def call(self, number: int) -> None:
        """Notify the driver in-band."""
        assert self.channel is not None
        payload = vu.VRING_STATE.pack(number, 0)
        self.channel.sendall(vu.HEADER.pack(vu.BACKEND_VRING_CALL, vu.VERSION, len(payload)) + payload)

    def get_config(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        """A part of the configuration space; a payload of nothing if there is no such part."""
        offset, size, flags = vu.CONFIG_HEAD.unpack_from(payload)
        if offset + size > len(self.config):
            return b""
        return vu.CONFIG_HEAD.pack(offset, size, flags) + self.config[offset : offset + size]

    def set_config(self, payload: bytes, descriptors: list[int]) -> None:
        """Write the configuration space, all of which is read-only but in a migration."""
        offset, size, flags = vu.CONFIG_HEAD.unpack_from(payload)
        if not self.may_write(flags) or offset + size > len(self.config):
            raise Refused
        self.config[offset : offset + size] = payload[vu.CONFIG_HEAD.size :][:size]

    def may_write(self, flags: int) -> bool:
        """Whether read-only fields may be written."""
        return bool(flags & 1)

    def get_inflight_fd(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        """A new inflight area."""
        _, _, queues, entries = vu.INFLIGHT_HEAD.unpack_from(payload)
        packed = bool(self.accepted & spec.RING_PACKED)
        size = self.area_size(queues * inflight.room(packed, entries))
        self.gift = os.memfd_create("inflight", os.MFD_CLOEXEC)
        os.ftruncate(self.gift, size)
        return vu.INFLIGHT_HEAD.pack(size, 0, queues, entries) + bytes(4)

    def area_size(self, size: int) -> int:
        """How large the area is told to be."""
        return size

    def set_inflight_fd(self, payload: bytes, descriptors: list[int]) -> None:
        """The area to use, with what is in it."""
        if len(descriptors) != 1:
            raise Refused
        size, offset, _, self.area_entries = vu.INFLIGHT_HEAD.unpack_from(payload)
        self.area = mapped(descriptors[0], size, offset)

    def reset_device(self, payload: bytes, descriptors: list[int]) -> None:
        """The initial state, but owned."""
        for ring in self.rings:
            ring.forget()
        self.status = 0
        self.area = None

    def set_status(self, payload: bytes, descriptors: list[int]) -> None:
        """How far the driver has got; 0 is a reset."""
        self.status = _number(payload) & 0xFF
        for ring in self.rings:
            self.serve(ring)

    def get_status(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        """The same."""
        return vu.U64.pack(self.status)


def _number(payload: bytes) -> int:
    if len(payload) < 8:
        raise Refused
    return int(vu.U64.unpack_from(payload)[0])


_HANDLED = (
    "get_features", "set_features", "get_protocol_features", "set_protocol_features", "set_owner", "reset_owner",
    "get_queue_num", "set_mem_table", "get_max_mem_slots", "add_mem_reg", "rem_mem_reg", "set_log_base", "set_log_fd",
    "set_vring_num", "set_vring_addr", "set_vring_base", "get_vring_base", "set_vring_kick", "set_vring_call",
    "set_vring_err", "set_vring_enable", "vring_kick", "set_backend_req_fd", "get_config", "set_config",
    "get_inflight_fd", "set_inflight_fd", "reset_device", "set_status", "get_status",
)  # fmt: skip
