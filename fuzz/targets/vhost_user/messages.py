"""The vhost-user messages as scapy layers: to build, to take apart, to look at (``Header(data).show()``).

Knows the layouts of the protocol's document. Must not know sockets or sessions. Importing this costs a
quarter of a second and more, so whoever needs it does so inside a function.
"""

from __future__ import annotations

import sys
from typing import ClassVar

from scapy.fields import (
    FieldLenField,
    FlagsField,
    IntEnumField,
    IntField,
    LEIntEnumField,
    LEIntField,
    LELongField,
    LEShortField,
    LongField,
    PacketListField,
    ShortField,
    StrLenField,
)
from scapy.packet import Packet, bind_layers

from oracles import vhost_user as vu

# «Native byte order»: the protocol never leaves the machine.
_LITTLE = sys.byteorder == "little"
_U16 = LEShortField if _LITTLE else ShortField
_U32 = LEIntField if _LITTLE else IntField
_U64 = LELongField if _LITTLE else LongField
_ENUM = LEIntEnumField if _LITTLE else IntEnumField
_FORMAT = "<I" if _LITTLE else ">I"


class _Layer(Packet):  # type: ignore[misc]  # scapy's types don't hold
    """A structure that ends where its fields do; what follows it in a list is the next one's."""

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes | None]:
        """What is ours of *s* after our fields, and what isn't (scapy calls this)."""
        return b"", s


class Header(Packet):  # type: ignore[misc]  # as above
    """Every message's first 12 bytes; *size* is that of the payload, filled in if it is None."""

    name = "vhost-user"
    fields_desc: ClassVar = [
        _ENUM("request", 0, vu.NAMES),
        FlagsField("flags", vu.VERSION, -32 if _LITTLE else 32, ["v1", "v2", "reply", "need_reply"]),
        _U32("size", None),
    ]

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Fill in the size (scapy calls this)."""
        if self.size is None:
            pkt = pkt[:8] + len(pay).to_bytes(4, sys.byteorder)
        return pkt + pay


class Number(_Layer):
    """A 64-bit number: features, protocol features, status, queue count, an acknowledgement."""

    fields_desc: ClassVar = [_U64("value", 0)]


class VringDescriptor(_Layer):
    """Which queue a kick, call or error descriptor is for: bits 0 to 7; bit 8: no descriptor comes with it."""

    fields_desc: ClassVar = [_U64("value", 0)]


class VringState(_Layer):
    """A queue and a number: size, base, whether it is enabled."""

    fields_desc: ClassVar = [_U32("index", 0), _U32("num", 0)]


class VringAddress(_Layer):
    """Where the areas of a queue are, as user addresses."""

    fields_desc: ClassVar = [
        _U32("index", 0),
        _U32("flags", 0),
        _U64("descriptor", 0),
        _U64("used", 0),
        _U64("available", 0),
        _U64("log", 0),
    ]


class MemoryRegion(_Layer):
    """One piece of shared memory; its file descriptor is passed beside the message."""

    fields_desc: ClassVar = [
        _U64("guest_address", 0),
        _U64("length", 0),
        _U64("user_address", 0),
        _U64("mmap_offset", 0),
    ]


class MemoryTable(_Layer):
    """All shared memory."""

    fields_desc: ClassVar = [
        FieldLenField("count", None, count_of="regions", fmt=_FORMAT),
        _U32("padding", 0),
        PacketListField("regions", [], MemoryRegion, count_from=lambda packet: packet.count),
    ]


class Config(_Layer):
    """A part of the configuration space."""

    fields_desc: ClassVar = [
        _U32("offset", 0),
        FieldLenField("length", None, length_of="region", fmt=_FORMAT),
        _U32("flags", 0),
        StrLenField("region", b"", length_from=lambda packet: packet.length),
    ]


PAYLOADS: dict[int, type[Packet]] = {
    vu.GET_FEATURES: Number,
    vu.SET_FEATURES: Number,
    vu.SET_MEM_TABLE: MemoryTable,
    vu.SET_VRING_NUM: VringState,
    vu.SET_VRING_ADDR: VringAddress,
    vu.SET_VRING_BASE: VringState,
    vu.GET_VRING_BASE: VringState,
    vu.SET_VRING_KICK: VringDescriptor,
    vu.SET_VRING_CALL: VringDescriptor,
    vu.SET_VRING_ERR: VringDescriptor,
    vu.GET_PROTOCOL_FEATURES: Number,
    vu.SET_PROTOCOL_FEATURES: Number,
    vu.GET_QUEUE_NUM: Number,
    vu.SET_VRING_ENABLE: VringState,
    vu.GET_CONFIG: Config,
    vu.SET_STATUS: Number,
    vu.GET_STATUS: Number,
}
for _request, _payload in PAYLOADS.items():
    bind_layers(Header, _payload, request=_request)


def template(request: int) -> bytes:
    """The bytes of *request* with all numbers 0: one memory region, no configuration bytes."""
    payload = PAYLOADS[request]
    filled = payload(regions=[MemoryRegion()]) if payload is MemoryTable else payload()
    return bytes(Header(request=request) / filled)
