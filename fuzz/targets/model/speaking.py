"""The back-end's end of a vhost-user connection: messages in, replies and acknowledgements out.

Speaks over any stream socket; ``pump()`` deals with all that is there and returns, so it runs in a loop, or by hand in
the front-end's own thread. Knows headers and descriptors. Must not know what any message means.
"""

from __future__ import annotations

import os
import socket
import struct
from array import array
from collections.abc import Callable

from oracles import vhost_user as vu

_ROOM = socket.CMSG_SPACE(4 * 8)
_PIECE = 1 << 12  # bytes read at a time: what a header promises may be 4 GiB, and need not come


class Refused(Exception):
    """The message can't be followed: its acknowledgement says so."""


class Gone(Exception):
    """The connection is over."""


Handler = Callable[[bytes, list[int]], "bytes | None"]
"""What follows a message: takes payload and descriptors, and returns the reply's payload, or None without one."""


class Speaker:
    """Reads *connection*, which it closes; ``handlers``: by request."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.negotiated = 0
        self.gift = -1  # descriptor that goes with the reply
        self.open = True
        self.handlers: dict[int, Handler] = {}

    def pump(self) -> None:
        """Deal with every message that is there."""
        try:
            while self.open and self._message():
                pass
        except Gone:
            self.close()

    def _message(self) -> bool:
        descriptors: list[int] = []
        try:
            if not self._waiting():
                return False
            head = self._receive(vu.HEADER.size, descriptors)
            request, flags, size = vu.HEADER.unpack(head)
            payload = (self._receive(size, descriptors)) if size else b""
            self.deal(request, flags, payload, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _waiting(self) -> bool:
        """Whether a header is there; nobody waits for the rest of one."""
        try:
            data = self.connection.recv(vu.HEADER.size, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        return len(data) == vu.HEADER.size

    def _receive(self, size: int, descriptors: list[int]) -> bytes:
        data = b""
        while len(data) < size:
            try:
                piece = min(size - len(data), _PIECE)
                more, ancillary, _, _ = self.connection.recvmsg(piece, _ROOM, socket.MSG_CMSG_CLOEXEC)
            except OSError:
                raise Gone from None
            for level, kind, raw in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors.extend(array("i", raw[: len(raw) // 4 * 4]))
            if not more:
                raise Gone
            data += more
        return data

    def deal(self, request: int, flags: int, payload: bytes, descriptors: list[int]) -> None:
        """One message: follow it, answer it. What is left of *descriptors* is closed."""
        failed = 0
        answer: bytes | None = None
        try:
            handler = self.handlers.get(request)
            if handler is None:
                raise Refused
            answer = handler(payload, descriptors)
        except (Refused, ValueError, OSError, struct.error):
            failed = 1
        if answer is not None:
            self.reply(request, answer)
        elif self.acknowledges(request, flags):
            self.reply(request, vu.U64.pack(failed))

    def acknowledges(self, request: int, flags: int) -> bool:
        """Whether a message without a reply of its own gets one."""
        own = vu.reply_sizes(request, self.negotiated, bytes(vu.CONFIG_HEAD.size))
        return bool(flags & vu.NEED_REPLY and self.negotiated & vu.REPLY_ACK and not own)

    def reply(self, request: int, payload: bytes) -> None:
        """Answer *request*."""
        message = vu.HEADER.pack(request, self.reply_flags(), len(payload)) + payload
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [self.gift]))] if self.gift >= 0 else []
        try:
            self.connection.sendmsg([message], ancillary)
        except OSError:
            raise Gone from None
        finally:
            if self.gift >= 0:
                os.close(self.gift)
                self.gift = -1

    def reply_flags(self) -> int:
        """Of a reply's header."""
        return vu.VERSION | vu.REPLY

    def close(self) -> None:
        """The connection is over."""
        self.open = False
        self.connection.close()
