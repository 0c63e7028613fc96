"""The vhost-user protocol's numbers, and messages as bytes.

Knows message codes, feature bits and layouts. Must not know sockets or sessions.

A session's set-up is a dozen messages and happens for every program, so bytes are not built by scapy
each time (0.1 ms and more a message): the layers of ``messages`` build one template of each kind that
has a structure, into which numbers are patched. Messages of a header and one or two numbers need no
template and no scapy. All fields have the native byte order of the machine.
"""

from __future__ import annotations

import struct
from functools import cache

# Front-end message types: the requests that we send
GET_FEATURES = 1
SET_FEATURES = 2
SET_OWNER = 3
SET_MEM_TABLE = 5
SET_VRING_NUM = 8
SET_VRING_ADDR = 9
SET_VRING_BASE = 10
GET_VRING_BASE = 11
SET_VRING_KICK = 12
SET_VRING_CALL = 13
SET_VRING_ERR = 14
GET_PROTOCOL_FEATURES = 15
SET_PROTOCOL_FEATURES = 16
GET_QUEUE_NUM = 17
SET_VRING_ENABLE = 18
GET_CONFIG = 24
RESET_DEVICE = 34
SET_STATUS = 39
GET_STATUS = 40

NAMES: dict[int, str] = {
    value: name
    for name, value in list(globals().items())
    if isinstance(value, int) and name.startswith(("GET_", "SET_", "RESET_"))
}

#: feature bit of vhost-user itself, never shown to a driver (VHOST_USER_F_PROTOCOL_FEATURES)
PROTOCOL_FEATURES = 1 << 30

# Protocol features
MQ = 1 << 0
REPLY_ACK = 1 << 3
CONFIG = 1 << 9
RESET = 1 << 13
STATUS = 1 << 16
PROTOCOL_FEATURE_NAMES: tuple[str, ...] = (
    "mq", "log_shmfd", "rarp", "reply_ack", "mtu", "backend_req", "cross_endian", "crypto_session", "pagefault",
    "config", "backend_send_fd", "host_notifier", "inflight_shmfd", "reset_device", "inband_notifications",
    "configure_mem_slots", "status", "xen_mmap", "shared_object", "device_state", "get_vring_base_inflight",
    "gpa_addresses",
)  # fmt: skip

# Header flags
VERSION = 1
VERSION_MASK = 3
REPLY = 1 << 2
NEED_REPLY = 1 << 3

NO_FD = 1 << 8  # in the number of SET_VRING_KICK, CALL and ERR: no descriptor comes with it

HEADER = struct.Struct("=III")  # request, flags, bytes that follow
U64 = struct.Struct("=Q")
VRING_STATE = struct.Struct("=II")  # queue, number
_NUMBER = struct.Struct("=IIIQ")
_STATE = struct.Struct("=IIIII")
_ADDRESSES = struct.Struct("=II4Q")  # queue, flags, descriptor, used, available, log
_REGION = struct.Struct("=4Q")  # guest address, bytes, user address, offset into the descriptor's file
_CONFIG = struct.Struct("=III")  # offset, bytes, flags
CONFIG_SIZE = _CONFIG.size


def plain(request: int) -> bytes:
    """A message without a payload."""
    return HEADER.pack(request, VERSION, 0)


def number(request: int, value: int) -> bytes:
    """A message whose payload is a 64-bit number."""
    return _NUMBER.pack(request, VERSION, 8, value)


def vring(request: int, queue: int, value: int) -> bytes:
    """A message about one queue, with a number."""
    return _STATE.pack(request, VERSION, 8, queue, value)


@cache
def _template(request: int) -> bytes:
    from fuzz.targets.vhost_user import messages  # late: brings scapy

    return messages.template(request)


def memory_table(guest: int, size: int, user: int) -> bytes:
    """SET_MEM_TABLE with one region that begins where its descriptor's file does."""
    message = bytearray(_template(SET_MEM_TABLE))
    _REGION.pack_into(message, HEADER.size + 8, guest, size, user, 0)
    return bytes(message)


def vring_addresses(queue: int, descriptor: int, used: int, available: int) -> bytes:
    """SET_VRING_ADDR; the addresses are user addresses."""
    message = bytearray(_template(SET_VRING_ADDR))
    _ADDRESSES.pack_into(message, HEADER.size, queue, 0, descriptor, used, available, 0)
    return bytes(message)


def get_config(size: int) -> bytes:
    """GET_CONFIG of the first *size* bytes, with room for them as the protocol wants it."""
    message = bytearray(_template(GET_CONFIG)) + bytes(size)
    HEADER.pack_into(message, 0, GET_CONFIG, VERSION, _CONFIG.size + size)
    _CONFIG.pack_into(message, HEADER.size, 0, size, 0)
    return bytes(message)


def acknowledged(message: bytes) -> bytes:
    """The same message, asking for a reply (REPLY_ACK)."""
    request, flags, size = HEADER.unpack_from(message)
    return HEADER.pack(request, flags | NEED_REPLY, size) + message[HEADER.size :]


def protocol_names(features: int) -> list[str]:
    """Names of the protocol features set in *features*, in bit order; ``bit N`` for those without a name."""
    names = dict(enumerate(PROTOCOL_FEATURE_NAMES))
    return [names.get(bit, f"bit {bit}") for bit in range(64) if features >> bit & 1]
