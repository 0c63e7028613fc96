"""The vhost-user protocol's numbers: messages, protocol features, flags, and the sizes of replies.

Knows what stands in the document of the protocol (``docs/interop/vhost-user.rst`` of QEMU). Must not know any
state, socket or role. All fields have the native byte order of the machine.
"""

from __future__ import annotations

import struct

# Front-end message types
GET_FEATURES = 1
SET_FEATURES = 2
SET_OWNER = 3
RESET_OWNER = 4
SET_MEM_TABLE = 5
SET_LOG_BASE = 6
SET_LOG_FD = 7
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
SET_BACKEND_REQ_FD = 21
GET_CONFIG = 24
SET_CONFIG = 25
GET_INFLIGHT_FD = 31
SET_INFLIGHT_FD = 32
RESET_DEVICE = 34
VRING_KICK = 35
GET_MAX_MEM_SLOTS = 36
ADD_MEM_REG = 37
REM_MEM_REG = 38
SET_STATUS = 39
GET_STATUS = 40

NAMES: dict[int, str] = {
    value: name
    for name, value in list(globals().items())
    if isinstance(value, int) and name.startswith(("GET_", "SET_", "RESET_", "VRING_", "ADD_", "REM_"))
}

# Back-end message types, on a channel of their own
BACKEND_VRING_CALL = 4
BACKEND_VRING_ERR = 5

#: feature bit of vhost-user itself, never shown to a driver (VHOST_USER_F_PROTOCOL_FEATURES)
PROTOCOL_FEATURES = 1 << 30
#: another one that no driver sees: pages that are written are to be logged (VHOST_F_LOG_ALL)
LOG_ALL = 1 << 26

# Protocol features
MQ = 1 << 0
LOG_SHMFD = 1 << 1
REPLY_ACK = 1 << 3
BACKEND_REQ = 1 << 5
CONFIG = 1 << 9
INFLIGHT = 1 << 12
RESET = 1 << 13
INBAND = 1 << 14
MEM_SLOTS = 1 << 15
STATUS = 1 << 16

# Header flags
VERSION = 1
VERSION_MASK = 3
REPLY = 1 << 2
NEED_REPLY = 1 << 3

NO_FD = 1 << 8  # in the number of SET_VRING_KICK, CALL and ERR: no descriptor comes with it
LOG_PAGE = 4096
#: of a ring's flags in SET_VRING_ADDR: writes to the used ring are logged, too
LOG_USED = 1

HEADER = struct.Struct("=III")  # request, flags, bytes that follow
U64 = struct.Struct("=Q")
VRING_STATE = struct.Struct("=II")  # queue, number
ADDRESSES = struct.Struct("=II4Q")  # queue, flags, descriptor, used, available, log
REGION = struct.Struct("=4Q")  # guest address, bytes, user address, offset into the descriptor's file
CONFIG_HEAD = struct.Struct("=III")  # offset, bytes, flags
LOG_BASE = struct.Struct("=QQ")  # bytes, offset
INFLIGHT_HEAD = struct.Struct("=QQHH")  # bytes, offset, queues, their size; often padded to 24 bytes
#: of an inflight area: features, version, entries, then what the layout has
INFLIGHT_SPLIT = struct.Struct("=QHHHH")  # last_batch_head, used_idx
INFLIGHT_PACKED = struct.Struct("=QHHHHHHBB7x")  # free_head, old, used_idx, old, used_wrap_counter, old
ENTRY_SPLIT = struct.Struct("=B5xHQ")  # inflight, next, counter
ENTRY_PACKED = struct.Struct("=BxHHHQHHIQ")  # inflight, next, last, num, counter, id, flags, len, addr


def name(request: int) -> str:
    """What a message is called, for people."""
    return NAMES.get(request, f"message {request}")


def reply_sizes(request: int, negotiated: int, payload: bytes) -> tuple[int, ...]:
    """Sizes that the reply to *request* may have by that message's own text; none: it has no reply of its own."""
    if request in (GET_FEATURES, GET_PROTOCOL_FEATURES, GET_VRING_BASE, GET_QUEUE_NUM, GET_MAX_MEM_SLOTS, GET_STATUS):
        return (8,)
    if request == SET_LOG_BASE and negotiated & LOG_SHMFD:
        return (0, 8, 16)  # the text says that there is one, not what is in it
    if request == GET_INFLIGHT_FD:
        return (20, 24)
    if request == GET_CONFIG and len(payload) >= CONFIG_HEAD.size:
        size = CONFIG_HEAD.unpack_from(payload)[1]
        return (0, CONFIG_HEAD.size, CONFIG_HEAD.size + size)
    return ()
