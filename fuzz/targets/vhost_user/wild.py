"""vhost-user messages that no front-end sends: wrong sizes, numbers, descriptors and moments.

Knows the protocol's layouts. Must not know sessions. Works on a copy of the socket, past the conversation: whatever
is answered is read and thrown away.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from array import array
from contextlib import suppress

_HEADER = struct.Struct("=III")
_VERSION = 1
_NUMBERS = {
    "get-features": 1, "set-features": 2, "set-owner": 3, "reset-owner": 4, "set-mem-table": 5, "set-log-base": 6,
    "set-vring-num": 8, "set-vring-addr": 9, "set-vring-base": 10, "get-vring-base": 11, "set-vring-kick": 12,
    "set-vring-call": 13, "set-vring-err": 14, "get-protocol-features": 15, "set-protocol-features": 16,
    "get-queue-num": 17, "set-vring-enable": 18, "get-config": 24, "set-config": 25, "get-inflight-fd": 31,
    "set-inflight-fd": 32, "add-mem-reg": 37, "rem-mem-reg": 38, "set-status": 39, "get-status": 40,
}  # fmt: skip
_MOMENT = 0.02  # seconds in which an answer may come
_MOST = 32  # descriptors with one message
#: SCM_RIGHTS of so many is what the protocol allows at most


def say(number: int, name: str, values: dict[str, int], memory: int, shared: tuple[int, int]) -> None:
    """Send the message *name* over the socket *number*. *memory*, *shared*: its descriptor, (user address, bytes)."""
    payload = _payload(name, values, shared)
    request = values.get("value", 999) if name == "unknown" else _NUMBERS[name]
    message = _HEADER.pack(request, values.get("flags", _VERSION), values.get("size", len(payload))) + payload
    message = message[: max(1, len(message) - values.get("short", 0))]
    usual = 1 if name in ("set-mem-table", "add-mem-reg", "set-vring-kick", "set-vring-call", "set-vring-err") else 0
    descriptors = _descriptors(min(values.get("fds", usual), _MOST), values.get("fd"), memory)
    try:
        with socket.socket(fileno=os.dup(number)) as connection:
            connection.settimeout(1.0)
            with suppress(OSError):  # closed already, or it reads no more: both are answers
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
                connection.sendmsg([message], ancillary)
                if select.select([connection], [], [], _MOMENT)[0]:
                    connection.recv(4096)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _descriptors(count: int, kind: int | None, memory: int) -> list[int]:
    made = []
    for _ in range(count):
        if kind is None:
            made.append(os.dup(memory))
        elif kind % 4 == 0:
            made.append(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        elif kind % 4 == 1:
            reader, writer = os.pipe()
            os.close(writer)
            made.append(reader)
        elif kind % 4 == 2:
            made.append(os.memfd_create("vqfuzz", os.MFD_CLOEXEC))
            os.ftruncate(made[-1], 4096)
        else:
            made.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
    return made


def _payload(name: str, values: dict[str, int], shared: tuple[int, int]) -> bytes:
    value, queue = values.get("value", 0), values.get("queue", 0)
    user, length = shared
    where = (user, 0, user + length, user + length - 16, 0xFFFFFFFFFFFFFFF0)[values.get("where", 0) % 5]
    if name in ("set-vring-num", "set-vring-base", "get-vring-base", "set-vring-enable"):
        return struct.pack("=II", queue, value)
    if name == "set-vring-addr":
        return struct.pack("=II4Q", queue, values.get("flags", 0), where, where, where, 0)
    if name in ("set-mem-table", "add-mem-reg", "rem-mem-reg"):
        # the region is never larger than its file: beyond its end, reading would be an error of ours (SIGBUS)
        region = struct.pack("=4Q", 1 << 32, 4096, where, 0)
        if name == "set-mem-table":
            return struct.pack("=II", values.get("count", 1), 0) + region
        return bytes(8) + region
    if name in ("get-config", "set-config"):
        size = values.get("length", 8)
        return struct.pack("=III", values.get("offset", 0), size, 0) + bytes(min(size, 256))
    if name in ("get-inflight-fd", "set-inflight-fd"):
        return struct.pack("=QQHH", 4096, 0, queue & 0xFFFF, value & 0xFFFF) + bytes(4)
    if name == "set-log-base":
        return struct.pack("=QQ", 4096, 0)
    if name in ("get-features", "set-owner", "reset-owner", "get-protocol-features", "get-queue-num", "get-status"):
        return b""
    return struct.pack("=Q", value)
