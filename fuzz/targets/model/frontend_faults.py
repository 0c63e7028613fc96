"""Planted faults of our own front-end, and back-ends that offer less or forgive more, without which some can't show.

Each replaces one small method. Knows both ends; must not know who looks for faults, nor how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuzz.targets.model.backend import Backend
from fuzz.targets.vhost_user import protocol
from fuzz.targets.vhost_user.frontend import Frontend
from oracles import spec
from oracles import vhost_user as vu


@dataclass(frozen=True, slots=True)
class BackendFault:
    """A planted fault: its name, what is wrong, the rule that is broken, and either end with it.

    A fault of *ours* may need a back-end that offers less, or forgives more: *kind*, which has no fault then.
    """

    name: str
    text: str
    rule: str
    kind: type[Backend] = Backend
    ours: type[Frontend] = Frontend


# -- our own front-end, and back-ends that forgive it ------------------------------------------------------------------


class Plain(Backend):
    """A back-end of the old kind: without protocol features."""

    features = Backend.features & ~vu.PROTOCOL_FEATURES


class Single(Backend):
    """A back-end with one fixed number of queues."""

    protocol = Backend.protocol & ~vu.MQ


class Telling(Backend):
    """A back-end that claims to make use of what a notification tells."""

    features = Backend.features | spec.NOTIFICATION_DATA


class Forgiving(Backend):
    """A back-end that takes guest addresses for user addresses."""

    def set_vring_addr(self, payload: bytes, descriptors: list[int]) -> None:
        """Translate what is no user address."""
        number, flags, *addresses = vu.ADDRESSES.unpack(payload)
        for place, address in enumerate(addresses[:3]):
            for region in self.regions.all:
                if region.guest <= address < region.guest + region.size:
                    addresses[place] += region.user - region.guest
        super().set_vring_addr(vu.ADDRESSES.pack(number, flags, *addresses), descriptors)


class _VersionZero(Frontend):
    def own(self) -> None:
        self.send(vu.HEADER.pack(vu.SET_OWNER, 0, 0))


class _LateDescriptors(Frontend):
    def _riding(self, count: int) -> tuple[int, int]:
        return 0, count

    def _first(self, message: bytes, descriptors: Sequence[int]) -> int:
        if not descriptors:
            return super()._first(message, descriptors)
        self._connection.sendmsg([message[:1]], [])
        return 1 + super()._first(message[1:], descriptors)


class _AsksAnyway(Frontend):
    def learn(self) -> None:
        super().learn()
        if not self.has_protocol_features:
            self.number(vu.GET_PROTOCOL_FEATURES)


class _Bit30(Frontend):
    def set_features(self, features: int) -> None:
        super().set_features(features | vu.PROTOCOL_FEATURES)


class _OwnsTwice(Frontend):
    def own(self) -> None:
        super().own()
        super().own()


class _TwoDescriptors(Frontend):
    def share(self, guest: int, size: int, user: int, descriptor: int) -> None:
        self.send(protocol.memory_table(guest, size, user), [descriptor, descriptor])


class _GuestAddresses(Frontend):
    shift = 0

    def share(self, guest: int, size: int, user: int, descriptor: int) -> None:
        super().share(guest, size, user, descriptor)
        self.shift = guest - user

    def place(self, queue: int, size: int, base: int, areas: tuple[int, int, int]) -> None:
        shift = self.shift
        super().place(queue, size, base, (areas[0] + shift, areas[1] + shift, areas[2] + shift))


class _AddressesFirst(Frontend):
    def place(self, queue: int, size: int, base: int, areas: tuple[int, int, int]) -> None:
        self.send(protocol.vring_addresses(queue, areas[0], areas[2], areas[1]))
        self.send(protocol.vring(vu.SET_VRING_NUM, queue, size))
        self.send(protocol.vring(vu.SET_VRING_BASE, queue, base))


class _SizeAgain(Frontend):
    size = 0

    def place(self, queue: int, size: int, base: int, areas: tuple[int, int, int]) -> None:
        super().place(queue, size, base, areas)
        self.size = size

    def enable(self, queue: int, on: bool = True) -> None:
        self.send(protocol.vring(vu.SET_VRING_NUM, queue, self.size))
        super().enable(queue, on)


class _EnablesAnyway(Frontend):
    def enable(self, queue: int, on: bool = True) -> None:
        self.send(protocol.vring(vu.SET_VRING_ENABLE, queue, int(on)))


class _BaseNumber(Frontend):
    def base_request(self, queue: int) -> bytes:
        return protocol.vring(vu.GET_VRING_BASE, queue, 1)


class _CountsAnyway(Frontend):
    def queue_count(self) -> int:
        return self.number(vu.GET_QUEUE_NUM)


class _WideStatus(Frontend):
    def set_status(self, status: int) -> None:
        super().set_status(status | 0x100)


class _TellsMore(Frontend):
    def set_features(self, features: int) -> None:
        super().set_features(features | spec.NOTIFICATION_DATA)


class _NoInjection(Frontend):
    def inject(self, queue: int, kick: int) -> None:
        pass


class _GivesMemoryTwice(Frontend):
    def remove_region(self, guest: int, size: int, user: int, descriptor: int) -> None:
        self.send(protocol.memory_region(vu.REM_MEM_REG, guest, size, user), [descriptor])


class _AreaFirst(Frontend):
    def track(self, bases: Sequence[int], area: bytes, descriptor: int) -> None:
        self.send(area, [descriptor])
        super().track(bases, area, descriptor)


#: what we must find in ourselves
FRONT_END = (
    BackendFault("f01", "SET_OWNER has version 0", "VU-HDR", ours=_VersionZero),
    BackendFault("f02", "descriptors come behind the first byte", "VU-FD-FIRST", ours=_LateDescriptors),
    BackendFault(
        "f03",
        "protocol features are asked for without bit 30",
        "VU-PF-LEGAL",
        Plain,
        _AsksAnyway,
    ),
    BackendFault("f04", "bit 30 is accepted though not offered", "VU-BIT30", Plain, _Bit30),
    BackendFault("f05", "SET_OWNER is sent twice", "VU-OWNER", ours=_OwnsTwice),
    BackendFault("f06", "SET_MEM_TABLE has a descriptor too many", "VU-MEM", ours=_TwoDescriptors),
    BackendFault(
        "f07",
        "rings are placed by guest addresses",
        "VU-ADDR",
        Forgiving,
        _GuestAddresses,
    ),
    BackendFault("f08", "SET_VRING_ADDR comes before SET_VRING_NUM", "VU-MSG-ORDER", ours=_AddressesFirst),
    BackendFault("f09", "SET_VRING_NUM comes after SET_VRING_KICK", "VU-SETNUM", ours=_SizeAgain),
    BackendFault(
        "f10",
        "SET_VRING_ENABLE is sent without bit 30",
        "VU-ENABLE-LEGAL",
        Plain,
        _EnablesAnyway,
    ),
    BackendFault("f11", "GET_VRING_BASE has a number", "VU-BASE-NUM0", ours=_BaseNumber),
    BackendFault("f12", "GET_QUEUE_NUM is sent without MQ", "VU-QNUM", Single, _CountsAnyway),
    BackendFault("f13", "SET_STATUS is more than a byte", "VU-STATUS", ours=_WideStatus),
    BackendFault("f14", "NOTIFICATION_DATA is accepted", "VU-FEAT-IO", Telling, _TellsMore),
    BackendFault("f15", "no kick is injected", "VU-KICK-INJECT", ours=_NoInjection),
    BackendFault("f16", "REM_MEM_REG has a descriptor", "VU-MEM-SLOTS", ours=_GivesMemoryTwice),
    BackendFault("f17", "the inflight area comes before any ring", "VU-BASE-BEFORE-INFLIGHT", ours=_AreaFirst),
)
