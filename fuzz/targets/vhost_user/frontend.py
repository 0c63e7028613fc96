"""A conversation with a vhost-user back-end over a connected socket.

Knows messages, replies and how long to wait for them. Must not know processes or what a session is for. The peer
may be anything: whatever it sends ends in one of the exceptions below. All that is said stands in ``log``, for
the oracle to judge: nothing is judged here.

With REPLY_ACK every message asks to be acknowledged, so that failures surface where they happen. The
acknowledgements are collected later, all at once: waiting for each would triple the cost of a set-up.
"""

from __future__ import annotations

import os
import socket
import time
from array import array
from collections.abc import Sequence
from typing import Protocol

from fuzz.targets.vhost_user import protocol
from oracles import vhost_user as vu
from oracles.trace import Connected, Entry, Got, HungUp, Kicked, Sent

_LARGEST_REPLY = 4096  # bytes; nothing that we ask for has more
#: protocol features that a session uses
WANTED = vu.MQ | vu.REPLY_ACK | vu.CONFIG | vu.RESET | vu.STATUS
_ROOM = socket.CMSG_SPACE(4 * 8)  # descriptors that we take with one message


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


class Ringing(Protocol):
    """The event descriptors of a queue."""

    kick: int
    call: int
    error: int


class Frontend:
    """The front-end's end of the connection *connection*, which it closes.

    *seconds*: how long a reply may take. *acknowledge*: ask for acknowledgements if the back-end can. *wanted*:
    protocol features to agree on where offered. After negotiate(): *features* and *protocol_features* offered
    (bit 30 masked from the former).
    """

    def __init__(
        self, connection: socket.socket, seconds: float = 5.0, acknowledge: bool = True, wanted: int = WANTED
    ) -> None:
        self.log: list[Entry] = [(0, Connected())]
        self.gifts: list[int] = []  # descriptors that came with the last reply, ours to close
        self.accepted = 0  # features, with bit 30
        self.wanted = wanted
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
        self._drop_gifts()
        self._connection.close()

    def negotiate(self) -> None:
        """Learn what the back-end offers, agree on protocol features, become its owner.

        Raises a ConversationError, as do all methods below.
        """
        self.learn()
        if self.has_protocol_features:
            self.negotiated = self.protocol_features & self.wanted
            self.send(protocol.number(vu.SET_PROTOCOL_FEATURES, self.negotiated))
            self._acknowledging = self._acknowledge and bool(self.negotiated & vu.REPLY_ACK)
        self.own()

    def learn(self) -> None:
        """Ask for features, and for protocol features if there are any."""
        features = self.number(vu.GET_FEATURES)
        self.features = features & ~vu.PROTOCOL_FEATURES
        if features & vu.PROTOCOL_FEATURES:
            self.has_protocol_features = True
            self.protocol_features = self.number(vu.GET_PROTOCOL_FEATURES)

    def own(self) -> None:
        """Become the back-end's owner."""
        self.send(protocol.plain(vu.SET_OWNER))

    def set_features(self, features: int) -> None:
        """Accept *features*, and bit 30 if it was offered, so that queues begin disabled."""
        bit = vu.PROTOCOL_FEATURES if self.has_protocol_features else 0
        self.accepted = features | bit
        self.send(protocol.number(vu.SET_FEATURES, self.accepted))

    def share(self, guest: int, size: int, user: int, descriptor: int) -> None:
        """Share one region of memory."""
        self.send(protocol.memory_table(guest, size, user), [descriptor])

    def place(self, queue: int, size: int, base: int, areas: tuple[int, int, int]) -> None:
        """Size, position and areas of *queue*: descriptor, driver and device area, as user addresses."""
        self.send(protocol.vring(vu.SET_VRING_NUM, queue, size))
        self.send(protocol.vring(vu.SET_VRING_BASE, queue, base))
        self.send(protocol.vring_addresses(queue, areas[0], areas[2], areas[1]))

    def ring(self, queue: int, events: Ringing) -> None:
        """Give *queue* its event descriptors; the kick comes last, for it starts the queue."""
        self.send(protocol.number(vu.SET_VRING_ERR, queue), [events.error])
        self.send(protocol.number(vu.SET_VRING_CALL, queue), [events.call])
        self.send(protocol.number(vu.SET_VRING_KICK, queue), [events.kick])

    def enable(self, queue: int, on: bool = True) -> None:
        """Enable or disable *queue*, which is enabled anyway if bit 30 was not accepted."""
        if self.accepted & vu.PROTOCOL_FEATURES:
            self.send(protocol.vring(vu.SET_VRING_ENABLE, queue, int(on)))

    def inject(self, queue: int, kick: int) -> None:
        """Kick *queue*, that was just started: older texts start it then, newer ones with the descriptor."""
        os.eventfd_write(kick, 1)
        self.log.append((queue, Kicked()))

    def set_status(self, status: int) -> None:
        """Tell the status, where it can be told."""
        if self.negotiated & vu.STATUS:
            self.send(protocol.number(vu.SET_STATUS, status))

    def add_region(self, guest: int, size: int, user: int, descriptor: int) -> None:
        """Share one more region (CONFIGURE_MEM_SLOTS)."""
        self.send(protocol.memory_region(vu.ADD_MEM_REG, guest, size, user), [descriptor])

    def remove_region(self, guest: int, size: int, user: int, descriptor: int) -> None:
        """Share it no longer; its descriptor, which is known, need not go along."""
        self.send(protocol.memory_region(vu.REM_MEM_REG, guest, size, user))

    def track(self, bases: Sequence[int], area: bytes, descriptor: int) -> None:
        """Give the inflight area, after the positions of all queues: so that there are queues."""
        for queue, base in enumerate(bases):
            self.send(protocol.vring(vu.SET_VRING_BASE, queue, base))
        self.send(area, [descriptor])

    def queue_count(self) -> int:
        """How many queues the back-end has; 1 if it doesn't know the question."""
        return self.number(vu.GET_QUEUE_NUM) if self.negotiated & vu.MQ else 1

    def config(self, size: int) -> bytes:
        """The first *size* bytes of the configuration space; nothing if the back-end has none, or not so much."""
        if not self.negotiated & vu.CONFIG:
            return b""
        payload = self.ask(protocol.get_config(size), (0, vu.CONFIG_HEAD.size, vu.CONFIG_HEAD.size + size))
        return payload[vu.CONFIG_HEAD.size :]

    def base_request(self, queue: int) -> bytes:
        """The message that stops *queue*."""
        return protocol.vring(vu.GET_VRING_BASE, queue, 0)

    def vring_base(self, queue: int, insist: bool = False) -> int:
        """Stop *queue*; the position that the back-end reports. *insist*: see insist()."""
        message = self.base_request(queue)
        index, base = vu.VRING_STATE.unpack((self.insist if insist else self.ask)(message, (8,)))
        if index != queue:
            raise Nonsense(f"replied to GET_VRING_BASE of queue {queue} with queue {index}")
        return int(base)

    def settle(self) -> None:
        """Return when everything sent has been dealt with."""
        if self._acknowledging:
            self._collect(self._deadline())
        else:
            self.number(vu.GET_FEATURES)  # messages are dealt with in turn

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send *message* and, on its first byte, file descriptors. Doesn't wait for the acknowledgement."""
        request = vu.HEADER.unpack_from(message)[0]
        if self._acknowledging:
            message = protocol.acknowledged(message)
            self._waiting.append(request)
        self._write(message, descriptors)

    def raw(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send bytes as they are, whatever they are: nothing for the log, so nothing is judged of it."""
        self._connection.settimeout(self._seconds)
        try:
            self._first(data, descriptors)
        except TimeoutError:
            raise Silent(f"doesn't read from its socket for {self._seconds:g} s") from None
        except OSError as error:
            raise Closed(f"closed the connection: {error.strerror}") from None

    def drain(self, seconds: float) -> bytes:
        """Whatever comes within *seconds*, up to the size of a reply; nothing if nothing comes. Raises Closed."""
        self._connection.settimeout(seconds)
        try:
            data = self._connection.recv(_LARGEST_REPLY)
        except (TimeoutError, BlockingIOError):
            return b""
        except OSError as error:
            raise Closed(f"broke the connection: {error.strerror}") from None
        if not data:
            raise Closed("closed the connection")
        return data

    def unasked(self) -> None:
        """Look at what the back-end sent though nothing was asked, if anything. Raises Closed or Nonsense."""
        if self._waiting:
            return  # acknowledgements, that nobody needed yet
        try:
            data = self._connection.recv(64, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._closed(f"broke the connection: {error.strerror}") from None
        if not data:
            raise self._closed("closed the connection")
        request, flags, size = vu.HEADER.unpack(data[: vu.HEADER.size].ljust(vu.HEADER.size, b"\0"))
        self.log.append((0, Got(request, flags, size, data[vu.HEADER.size :][:size])))
        raise Nonsense(f"sent a message that nobody asked for: {data[:32].hex()}")

    def _closed(self, text: str) -> Closed:
        self.log.append((0, HungUp()))
        return Closed(text)

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _deadline(self) -> float:
        return time.monotonic() + self._seconds

    def _write(self, message: bytes, descriptors: Sequence[int]) -> None:
        request, flags, _ = vu.HEADER.unpack_from(message)
        name = vu.name(request)
        first, later = self._riding(len(descriptors))
        self.log.append((0, Sent(request, flags, message[vu.HEADER.size :], first, later)))
        deadline = self._deadline()
        try:
            self._connection.settimeout(self._seconds)
            sent = self._first(message, descriptors)
            while sent < len(message):  # it stopped reading long ago
                self._connection.settimeout(max(0.001, deadline - time.monotonic()))
                sent += self._connection.send(memoryview(message)[sent:])
        except TimeoutError:
            raise Silent(f"doesn't read from its socket: {name} can't be sent after {self._seconds:g} s") from None
        except ConnectionError:
            raise self._closed(f"closed the connection before {name}") from None
        except OSError as error:
            raise self._closed(f"{name} can't be sent: {error.strerror}") from None

    def _riding(self, count: int) -> tuple[int, int]:
        """Of *count* descriptors, how many go with the first byte, and how many behind it."""
        return count, 0

    def _first(self, message: bytes, descriptors: Sequence[int]) -> int:
        """Send *message*, the descriptors with its first byte; how many bytes went."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        return self._connection.sendmsg([message], ancillary)

    def number(self, request: int) -> int:
        """What the back-end answers to a message without payload: a 64-bit number."""
        return int(vu.U64.unpack(self.ask(protocol.plain(request), (8,)))[0])

    def ask(self, message: bytes, sizes: tuple[int, ...], descriptors: Sequence[int] = ()) -> bytes:
        """The payload of the reply to *message*, which has one of these sizes."""
        self._write(message, descriptors)
        deadline = self._deadline()
        self._collect(deadline)
        return self._reply(vu.HEADER.unpack_from(message)[0], sizes, deadline)

    def insist(self, message: bytes, sizes: tuple[int, ...], descriptors: Sequence[int] = ()) -> bytes:
        """ask(), with another question right behind it: an answer that is left out shows by the other's coming."""
        self._write(message, descriptors)
        self._write(protocol.plain(vu.GET_FEATURES), ())
        deadline = self._deadline()
        self._collect(deadline)
        payload = self._reply(vu.HEADER.unpack_from(message)[0], sizes, deadline)
        self._barrier(deadline)
        return payload

    def _barrier(self, deadline: float) -> None:
        """The answer to what was asked last, keeping what came with the one before."""
        kept, self.gifts = self.gifts, []
        self._reply(vu.GET_FEATURES, (8,), deadline)
        self.gifts += kept

    def _collect(self, deadline: float) -> None:
        waiting = self._waiting
        while waiting:
            request = waiting[0]
            answer = vu.U64.unpack(self._reply(request, (8,), deadline))[0]
            del waiting[0]
            if answer:
                waiting.clear()  # what is still on its way would be taken for something else: no use after this
                raise Refused(f"refused {vu.name(request)} (it answered {answer})")

    def _reply(self, request: int, sizes: tuple[int, ...], deadline: float) -> bytes:
        name = vu.name(request)
        self._drop_gifts()
        code, flags, size = vu.HEADER.unpack(self._read(vu.HEADER.size, name, deadline))
        wrong = _wrong(name, code == request, (code, flags, size), sizes)
        payload = self._payload(size, name, deadline, bool(wrong))
        self.log.append((0, Got(code, flags, size, payload, len(self.gifts))))
        if wrong:
            raise Nonsense(wrong)
        self.replied = True
        return payload

    def _payload(self, size: int, name: str, deadline: float, wrong: bool) -> bytes:
        """What follows the header; of a message that is *wrong* already, as much as there is."""
        if not wrong:
            return self._read(size, name, deadline)
        try:
            return self._read(min(size, _LARGEST_REPLY), name, min(deadline, time.monotonic() + 0.01))
        except ConversationError:
            return bytes(self._received)

    def _drop_gifts(self) -> None:
        for descriptor in self.gifts:
            os.close(descriptor)
        self.gifts = []

    def _read(self, size: int, name: str, deadline: float) -> bytes:
        """The next *size* bytes; file descriptors that come with them are *gifts*, until the next reply."""
        received = self._received
        while len(received) < size:
            try:
                self._connection.settimeout(max(0.001, deadline - time.monotonic()))
                # no more than this message has: descriptors come with whatever is read in one go
                data, ancillary, _, _ = self._connection.recvmsg(size - len(received), _ROOM, socket.MSG_CMSG_CLOEXEC)
            except TimeoutError:
                raise Silent(f"doesn't reply to {name} within {self._seconds:g} s") from None
            except ConnectionError:
                raise self._closed(f"closed the connection instead of replying to {name}") from None
            except OSError as error:
                raise self._closed(f"no reply to {name}: {error.strerror}") from None
            for level, kind, raw in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self.gifts.extend(array("i", raw[: len(raw) // 4 * 4]))
            if not data:
                raise self._closed(f"closed the connection instead of replying to {name}")
            received += data
        taken = bytes(received[:size])
        del received[:size]
        return taken


def _wrong(name: str, same: bool, header: tuple[int, int, int], sizes: tuple[int, ...]) -> str:
    """What is wrong with the header of a reply to *name*, or ''."""
    code, flags, size = header
    if not same:
        return f"replied to {name} with {vu.name(code)}"
    if flags & vu.VERSION_MASK != vu.VERSION:
        return f"replied to {name} with version {flags & vu.VERSION_MASK}, there is only version 1"
    if not flags & vu.REPLY:
        return f"replied to {name} without the reply flag (flags {flags:#x})"
    if size not in sizes or size > _LARGEST_REPLY:
        right = " or ".join(map(str, sizes))
        return f"replied to {name} with {size} bytes instead of {right}"
    return ""
