"""Messages of the vhost-user protocol as bytes.

Knows layouts; the numbers are the oracles'. Must not know sockets or sessions.

A session's set-up is a dozen messages and happens for every program, so bytes are not built by scapy
each time (0.1 ms and more a message): the layers of ``messages`` build one template of each kind that
has a structure, into which numbers are patched. Messages of a header and one or two numbers need no
template and no scapy. All fields have the native byte order of the machine.
"""

from __future__ import annotations

import struct
from functools import cache

from oracles import vhost_user as vu

PROTOCOL_FEATURE_NAMES: tuple[str, ...] = (
    "mq", "log_shmfd", "rarp", "reply_ack", "mtu", "backend_req", "cross_endian", "crypto_session", "pagefault",
    "config", "backend_send_fd", "host_notifier", "inflight_shmfd", "reset_device", "inband_notifications",
    "configure_mem_slots", "status", "xen_mmap", "shared_object", "device_state", "get_vring_base_inflight",
    "gpa_addresses",
)  # fmt: skip

_NUMBER = struct.Struct("=IIIQ")
_STATE = struct.Struct("=IIIII")


def plain(request: int) -> bytes:
    """A message without a payload."""
    return vu.HEADER.pack(request, vu.VERSION, 0)


def number(request: int, value: int) -> bytes:
    """A message whose payload is a 64-bit number."""
    return _NUMBER.pack(request, vu.VERSION, 8, value)


def vring(request: int, queue: int, value: int) -> bytes:
    """A message about one queue, with a number."""
    return _STATE.pack(request, vu.VERSION, 8, queue, value)


@cache
def _template(request: int) -> bytes:
    from fuzz.targets.vhost_user import messages  # late: brings scapy

    return messages.template(request)


def memory_table(guest: int, size: int, user: int) -> bytes:
    """SET_MEM_TABLE with one region that begins where its descriptor's file does."""
    message = bytearray(_template(vu.SET_MEM_TABLE))
    vu.REGION.pack_into(message, vu.HEADER.size + 8, guest, size, user, 0)
    return bytes(message)


def vring_addresses(queue: int, descriptor: int, used: int, available: int) -> bytes:
    """SET_VRING_ADDR; the addresses are user addresses."""
    message = bytearray(_template(vu.SET_VRING_ADDR))
    vu.ADDRESSES.pack_into(message, vu.HEADER.size, queue, 0, descriptor, used, available, 0)
    return bytes(message)


def get_config(size: int) -> bytes:
    """GET_CONFIG of the first *size* bytes, with room for them as the protocol wants it."""
    message = bytearray(_template(vu.GET_CONFIG)) + bytes(size)
    vu.HEADER.pack_into(message, 0, vu.GET_CONFIG, vu.VERSION, vu.CONFIG_HEAD.size + size)
    vu.CONFIG_HEAD.pack_into(message, vu.HEADER.size, 0, size, 0)
    return bytes(message)


def acknowledged(message: bytes) -> bytes:
    """The same message, asking for a reply (REPLY_ACK)."""
    request, flags, size = vu.HEADER.unpack_from(message)
    return vu.HEADER.pack(request, flags | vu.NEED_REPLY, size) + message[vu.HEADER.size :]


def protocol_names(features: int) -> list[str]:
    """Names of the protocol features set in *features*, in bit order; ``bit N`` for those without a name."""
    names = dict(enumerate(PROTOCOL_FEATURE_NAMES))
    return [names.get(bit, f"bit {bit}") for bit in range(64) if features >> bit & 1]


def memory_region(request: int, guest: int, size: int, user: int) -> bytes:
    """ADD_MEM_REG or REM_MEM_REG of a region that begins where its descriptor's file does."""
    return vu.HEADER.pack(request, vu.VERSION, 40) + bytes(8) + vu.REGION.pack(guest, size, user, 0)


def set_config(offset: int, data: bytes, migration: bool = False) -> bytes:
    """SET_CONFIG of *data* at *offset*; *migration*: read-only fields may be written, too."""
    payload = vu.CONFIG_HEAD.pack(offset, len(data), int(migration)) + data
    return vu.HEADER.pack(vu.SET_CONFIG, vu.VERSION, len(payload)) + payload


def log_base(size: int) -> bytes:
    """SET_LOG_BASE of a log of *size* bytes that begins where its descriptor's file does."""
    return vu.HEADER.pack(vu.SET_LOG_BASE, vu.VERSION, 16) + vu.LOG_BASE.pack(size, 0)


def inflight(request: int, size: int, offset: int, queues: int, entries: int) -> bytes:
    """GET_INFLIGHT_FD or SET_INFLIGHT_FD: an area for *queues* queues of *entries*; padded as C pads it."""
    return vu.HEADER.pack(request, vu.VERSION, 24) + vu.INFLIGHT_HEAD.pack(size, offset, queues, entries) + bytes(4)
