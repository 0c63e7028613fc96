"""The specification's constants: feature bits, descriptor flags, structure formats.

Knows numbers and names. Must not know any state, role or target.
Sections are those of VIRTIO 1.4.
"""

from __future__ import annotations

import struct

SPLIT = "split"
PACKED = "packed"
LAYOUTS = (SPLIT, PACKED)
VERSIONS = ("1.1", "1.2", "1.3", "1.4")

# 6 Reserved Feature Bits
INDIRECT_DESC = 1 << 28
EVENT_IDX = 1 << 29
VERSION_1 = 1 << 32
ACCESS_PLATFORM = 1 << 33
RING_PACKED = 1 << 34
IN_ORDER = 1 << 35
ORDER_PLATFORM = 1 << 36
SR_IOV = 1 << 37
NOTIFICATION_DATA = 1 << 38
NOTIF_CONFIG_DATA = 1 << 39
RING_RESET = 1 << 40
ADMIN_VQ = 1 << 41
SUSPEND = 1 << 43

#: Names as program text and reports write them. Order is that of the bits.
FEATURE_NAMES: dict[str, int] = {
    "indirect_desc": INDIRECT_DESC,
    "event_idx": EVENT_IDX,
    "version_1": VERSION_1,
    "access_platform": ACCESS_PLATFORM,
    "packed": RING_PACKED,
    "in_order": IN_ORDER,
    "order_platform": ORDER_PLATFORM,
    "notification_data": NOTIFICATION_DATA,
    "ring_reset": RING_RESET,
    "suspend": SUSPEND,
}

# 2.7.5 The Virtqueue Descriptor Table, 2.8.6 Next Flag, 2.8.7 Indirect Flag
DESC_F_NEXT = 1
DESC_F_WRITE = 2
DESC_F_INDIRECT = 4
# 2.8.1 Driver and Device Ring Wrap Counters
DESC_F_AVAIL = 1 << 7
DESC_F_USED = 1 << 15

# 2.7.7, 2.7.10: split notification suppression flags
AVAIL_F_NO_INTERRUPT = 1
USED_F_NO_NOTIFY = 1
# 2.8.10 Driver and Device Event Suppression
EVENT_FLAGS_ENABLE = 0
EVENT_FLAGS_DISABLE = 1
EVENT_FLAGS_DESC = 2

MAX_SIZE = 32768
"""Largest queue size of either layout (2.7, 2.8)."""

# All fields are little-endian (2.7.5, 2.8.13).
DESCRIPTOR = struct.Struct("<QIHH")  # split: addr, len, flags, next; packed: addr, len, id, flags
USED_ELEMENT = struct.Struct("<II")  # id, len


def feature_names(features: int) -> list[str]:
    """Names of the ring feature bits set in *features*, in bit order; bits without a name are left out."""
    return [name for name, bit in FEATURE_NAMES.items() if features & bit]


def area_sizes(layout: str, size: int) -> tuple[int, int, int]:
    """Bytes of the descriptor, driver and device areas of a queue of *size* entries (2.7, 2.8.10).

    Split: descriptor table, available ring, used ring, both rings with their event word.
    """
    if layout == SPLIT:
        return 16 * size, 6 + 2 * size, 6 + 8 * size
    return 16 * size, 4, 4


def crosses(event: int, new: int, old: int) -> bool:
    """Whether a counter going from *old* to *new* passes *event*, all modulo 2^16 (2.7.7.2, 2.7.10.1)."""
    return (new - event - 1) & 0xFFFF < (new - old) & 0xFFFF
