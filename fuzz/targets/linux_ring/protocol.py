"""Requests to the process with the driver, and its answers: the C structures of harness/harness.c.

Knows bytes. Must not know what they bring about.
"""

from __future__ import annotations

import struct
from enum import IntEnum

REQUEST = struct.Struct(
    "=IIIIQII"
)  # op, readable, writable, number, value, queue, 0; (address, length) of each element follows
ANSWER = struct.Struct("=qqqqqq")  # result, features, size, descriptor, driver, device; tokens may follow
QUEUES = 4
MOST = 4096  # elements of a request, tokens of an answer
LONGEST = ANSWER.size + 8 * MOST


class Op(IntEnum):
    """What the driver's upper half is asked for."""

    START = 1
    ADD = 2
    KICK = 3
    INTERRUPT = 4
    GET = 5
    CALLBACKS = 6
    RESET_QUEUE = 7
    RESET = 8
    TAKEN = 9
    BROKEN = 10
    FAIL = 11


def request(op: int, number: int = 0, value: int = 0, queue: int = 0) -> bytes:
    """A request without elements."""
    return REQUEST.pack(op, 0, 0, number, value, queue, 0)


def add(token: int, readable: int, elements: list[tuple[int, int]], queue: int = 0) -> bytes:
    """A request for a buffer of *elements*, (address, length), the first *readable* of them for the device to read."""
    flat = [number for element in elements for number in element]
    head = REQUEST.pack(Op.ADD, readable, len(elements) - readable, 0, token, queue, 0)
    return head + struct.pack(f"={len(flat)}Q", *flat)
