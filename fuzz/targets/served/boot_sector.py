"""What SeaBIOS boots for us: a program of one sector that reads the disk through the firmware, again and again.

It says over QEMU's debug port what it got: a ``V`` when it begins; for each read an ``R``, the firmware's status, the
request (16 bytes, as int 13h takes it), then the first 16 bytes of each sector that was read.
"""

from __future__ import annotations

import struct

PORT = 0xE9
BEGINS, READ = ord("V"), ord("R")
#: what stands between an R and the sectors: status; of the request length, 0, sectors, offset, segment, first sector
REPORT = struct.Struct("<BBBHHHQ")
MOST = 8  # sectors of one read
_AT = 0x7C00  # where firmware loads a boot sector
_BUFFER = 0x8000
_DATA = 0x1C0  # offset in the sector of: the drive, then R, status, and the request
_DRIVE, _REPORT = _AT + _DATA, _AT + _DATA + 1
_STATUS, _REQUEST = _REPORT + 1, _REPORT + 2
_COUNT, _SECTOR = _REQUEST + 2, _REQUEST + 8


def _word(value: int) -> bytes:
    return value.to_bytes(2, "little")


_BEGIN = b"".join((
    b"\xfc",                                # cld
    b"\x31\xc0",                            # xor ax, ax
    b"\x8e\xd8",                            # mov ds, ax
    b"\x8e\xd0",                            # mov ss, ax
    b"\xbc" + _word(_AT),                   # mov sp, 0x7c00
    b"\x88\x16" + _word(_DRIVE),            # mov [drive], dl
    b"\xb0" + bytes([BEGINS]),              # mov al, 'V'
    b"\xe6" + bytes([PORT]),                # out 0xe9, al
))  # fmt: skip
_TELL = b"".join((
    b"\xb9\x10\x00",                        # mov cx, 16
    b"\xf3\x6e",                            # rep outsb
    b"\x81\xc6" + _word(512 - 16),          # add si, 496
    b"\x59",                                # pop cx
))  # fmt: skip
_SECTORS = b"\x51" + _TELL  # push cx
_SECTORS += b"\xe2" + bytes([256 - len(_SECTORS) - 2])  # loop to the push
_ROUND = b"".join((
    b"\x8a\x16" + _word(_DRIVE),            # mov dl, [drive]
    b"\xbe" + _word(_REQUEST),              # mov si, request
    b"\xb4\x42",                            # mov ah, 0x42
    b"\xcd\x13",                            # int 0x13
    b"\x88\x26" + _word(_STATUS),           # mov [status], ah
    b"\xba" + _word(PORT),                  # mov dx, 0xe9
    b"\xbe" + _word(_REPORT),               # mov si, report
    b"\xb9" + _word(1 + REPORT.size),       # mov cx, its size
    b"\xf3\x6e",                            # rep outsb
    b"\x8b\x0e" + _word(_COUNT),            # mov cx, [sectors that were read]
    b"\xbe" + _word(_BUFFER),               # mov si, buffer
    b"\xe3" + bytes([len(_SECTORS)]),       # jcxz behind the loop
    _SECTORS,
    b"\xff\x06" + _word(_SECTOR),           # inc word [first sector]
    b"\xa1" + _word(_SECTOR),               # mov ax, [first sector]
    b"\x25" + _word(MOST - 1),              # and ax, 7
    b"\x40",                                # inc ax
    b"\xa3" + _word(_COUNT),                # mov [sectors], ax
))  # fmt: skip
_JUMP = b"\xeb" + bytes([256 - len(_ROUND) - 2])  # jmp to the round's begin
_REQUESTED = bytes([READ]) + REPORT.pack(0, 16, 0, 1, _BUFFER, 0, 1)


def sector() -> bytes:
    """The boot sector: 512 bytes."""
    code = (_BEGIN + _ROUND + _JUMP).ljust(_DATA, b"\0")
    return (code + b"\0" + _REQUESTED).ljust(510, b"\0") + b"\x55\xaa"
