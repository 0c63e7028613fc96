"""A conversation with a vhost-user back-end over a connected socket.

Knows messages, replies and how long to wait for them. Must not know shared memory, processes or what a
session is for. The peer may be anything: whatever it sends ends in one of the exceptions below.

With REPLY_ACK every message asks to be acknowledged, so that failures surface where they happen. The
acknowledgements are collected later, all at once: waiting for each would triple the cost of a set-up.
"""

from __future__ import annotations

import socket
import time
from array import array
from collections.abc import Sequence

from fuzz.targets.vhost_user import protocol

_LARGEST_REPLY = 4096  # bytes; nothing that we ask for has more
_WANTED_PROTOCOL_FEATURES = (
    protocol.MQ | protocol.REPLY_ACK | protocol.CONFIG | protocol.RESET | protocol.STATUS
)  # fmt: skip


class ConversationError(Exception):
    """One line about what went wrong, to be put after the name of the target."""


class Closed(ConversationError):
    """The back-end closed the connection, or it broke."""


class Silent(ConversationError):
    """No reply, or nothing taken from us, for as long as we wait."""


class Nonsense(ConversationError):
    """A reply that the protocol doesn't allow."""


class Refused(ConversationError):
    """The back-end acknowledged a message as failed."""


class Frontend:
    """The front-end's end of the connection *connection*, which it closes.

    *seconds*: how long a reply may take. *acknowledge*: ask for acknowledgements if the back-end can.
    After negotiate(): *features* and *protocol_features* offered (bit 30 masked from the former).
    """

    def __init__(self, connection: socket.socket, seconds: float = 5.0, acknowledge: bool = True) -> None:
        self.features = 0
        self.protocol_features = 0  # offered, not what was negotiated
        self.negotiated = 0  # protocol features
        self.has_protocol_features = False
        self.replied = False  # at least once
        self._connection = connection
        self._seconds = seconds
        self._acknowledge = acknowledge
        self._acknowledging = False
        self._waiting: list[int] = []  # requests whose acknowledgement is still to come, oldest first
        self._received = bytearray()

    def fileno(self) -> int:
        """Of the socket, for polling; -1 after close()."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close the connection. Never raises."""
        self._connection.close()

    def negotiate(self) -> None:
        """Learn what the back-end offers, agree on protocol features, become its owner.

        Raises a ConversationError, as do all methods below.
        """
        features = self._number(protocol.GET_FEATURES)
        self.features = features & ~protocol.PROTOCOL_FEATURES
        if features & protocol.PROTOCOL_FEATURES:
            self.has_protocol_features = True
            self.protocol_features = self._number(protocol.GET_PROTOCOL_FEATURES)
            self.negotiated = self.protocol_features & _WANTED_PROTOCOL_FEATURES
            self.send(protocol.number(protocol.SET_PROTOCOL_FEATURES, self.negotiated))
            self._acknowledging = self._acknowledge and bool(self.negotiated & protocol.REPLY_ACK)
        self.send(protocol.plain(protocol.SET_OWNER))

    def set_features(self, features: int) -> None:
        """Accept *features*, and bit 30 if it was offered, so that queues begin disabled."""
        bit = protocol.PROTOCOL_FEATURES if self.has_protocol_features else 0
        self.send(protocol.number(protocol.SET_FEATURES, features | bit))

    def queue_count(self) -> int:
        """How many queues the back-end has; 1 if it doesn't know the question."""
        return self._number(protocol.GET_QUEUE_NUM) if self.negotiated & protocol.MQ else 1

    def config(self, size: int) -> bytes:
        """The first *size* bytes of the configuration space; nothing if the back-end has none, or not so much."""
        if not self.negotiated & protocol.CONFIG:
            return b""
        payload = self._ask(protocol.get_config(size), (0, protocol.CONFIG_SIZE, protocol.CONFIG_SIZE + size))
        return payload[protocol.CONFIG_SIZE :]

    def vring_base(self, queue: int) -> int:
        """Stop *queue*; the position that the back-end reports."""
        index, base = protocol.VRING_STATE.unpack(self._ask(protocol.vring(protocol.GET_VRING_BASE, queue, 0), (8,)))
        if index != queue:
            raise Nonsense(f"replied to GET_VRING_BASE of queue {queue} with queue {index}")
        return int(base)

    def settle(self) -> None:
        """Return when everything sent has been dealt with."""
        if self._acknowledging:
            self._collect(self._deadline())
        else:
            self._number(protocol.GET_FEATURES)  # messages are dealt with in turn

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send *message* and, on its first byte, file descriptors. Doesn't wait for the acknowledgement."""
        request = protocol.HEADER.unpack_from(message)[0]
        if self._acknowledging:
            message = protocol.acknowledged(message)
            self._waiting.append(request)
        self._write(message, descriptors)

    def unasked(self) -> None:
        """Look at what the back-end sent though nothing was asked, if anything. Raises Closed or Nonsense."""
        if self._waiting:
            return  # acknowledgements, that nobody needed yet
        try:
            data = self._connection.recv(64, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            raise Closed(f"broke the connection: {error.strerror}") from None
        if data:
            raise Nonsense(f"sent a message that nobody asked for: {data[:32].hex()}")
        raise Closed("closed the connection")

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _deadline(self) -> float:
        return time.monotonic() + self._seconds

    def _write(self, message: bytes, descriptors: Sequence[int]) -> None:
        name = _name(protocol.HEADER.unpack_from(message)[0])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        deadline = self._deadline()
        try:
            self._connection.settimeout(self._seconds)
            sent = self._connection.sendmsg([message], ancillary)
            while sent < len(message):  # it stopped reading long ago
                self._connection.settimeout(max(0.001, deadline - time.monotonic()))
                sent += self._connection.send(memoryview(message)[sent:])
        except TimeoutError:
            raise Silent(f"doesn't read from its socket: {name} can't be sent after {self._seconds:g} s") from None
        except ConnectionError:
            raise Closed(f"closed the connection before {name}") from None
        except OSError as error:
            raise Closed(f"{name} can't be sent: {error.strerror}") from None

    def _number(self, request: int) -> int:
        return int(protocol.U64.unpack(self._ask(protocol.plain(request), (8,)))[0])

    def _ask(self, message: bytes, sizes: tuple[int, ...]) -> bytes:
        """The payload of the reply to *message*, which has one of these sizes."""
        self._write(message, ())
        deadline = self._deadline()
        self._collect(deadline)
        return self._reply(protocol.HEADER.unpack_from(message)[0], sizes, deadline)

    def _collect(self, deadline: float) -> None:
        waiting = self._waiting
        while waiting:
            request = waiting[0]
            answer = protocol.U64.unpack(self._reply(request, (8,), deadline))[0]
            del waiting[0]
            if answer:
                waiting.clear()  # what is still on its way would be taken for something else: no use after this
                raise Refused(f"refused {_name(request)} (it answered {answer})")

    def _reply(self, request: int, sizes: tuple[int, ...], deadline: float) -> bytes:
        name = _name(request)
        code, flags, size = protocol.HEADER.unpack(self._read(protocol.HEADER.size, name, deadline))
        if code != request:
            raise Nonsense(f"replied to {name} with {_name(code)}")
        if flags & protocol.VERSION_MASK != protocol.VERSION:
            raise Nonsense(f"replied to {name} with version {flags & protocol.VERSION_MASK}, there is only version 1")
        if not flags & protocol.REPLY:
            raise Nonsense(f"replied to {name} without the reply flag (flags {flags:#x})")
        if size not in sizes or size > _LARGEST_REPLY:
            right = " or ".join(map(str, sizes))
            raise Nonsense(f"replied to {name} with {size} bytes instead of {right}")
        payload = self._read(size, name, deadline)
        self.replied = True
        return payload

    def _read(self, size: int, name: str, deadline: float) -> bytes:
        """The next *size* bytes. File descriptors that come with them are closed by the kernel: we take none."""
        received = self._received
        while len(received) < size:
            try:
                self._connection.settimeout(max(0.001, deadline - time.monotonic()))
                data = self._connection.recv(_LARGEST_REPLY)
            except TimeoutError:
                raise Silent(f"doesn't reply to {name} within {self._seconds:g} s") from None
            except ConnectionError:
                raise Closed(f"closed the connection instead of replying to {name}") from None
            except OSError as error:
                raise Closed(f"no reply to {name}: {error.strerror}") from None
            if not data:
                raise Closed(f"closed the connection instead of replying to {name}")
            received += data
        taken = bytes(received[:size])
        del received[:size]
        return taken


def _name(request: int) -> str:
    return protocol.NAMES.get(request, f"message {request}")
