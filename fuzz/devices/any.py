"""The class «any»: read everything, answer with as many bytes as asked, a pattern that depends on what was read.

Spoken by devices that are ours. Because the answer depends on every readable byte in order, a device
that misreads descriptors can't hide it.
"""

from __future__ import annotations

from zlib import crc32

#: Bytes 1..0x7f without a long run of equal ones: what drivers and devices write, never a canary.
PATTERN = bytes((place * 37 + (place >> 5) * 11 + (place >> 11) * 5) % 127 + 1 for place in range(1 << 16)) * 2


def question(buffer: int, length: int) -> bytes:
    """The readable bytes of the buffer with serial number *buffer*."""
    start = buffer * 61 & 0xFFFF
    return _repeat(start, length)


def reply(readable: bytes, length: int) -> bytes:
    """The answer of *length* bytes to a request with these readable bytes."""
    return _repeat(crc32(readable) & 0xFFFF, length)


def _repeat(start: int, length: int) -> bytes:
    if length <= 1 << 16:
        return PATTERN[start : start + length]
    return (PATTERN[start : start + (1 << 16)] * (length // (1 << 16) + 1))[:length]
