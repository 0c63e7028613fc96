"""A vhost-user back-end for tests that speaks the protocol well, or badly in one chosen way.

As a thread: ``with FakeBackend(path, behaviour) as backend``; as a process: ``fake_backend.py SOCKET BEHAVIOUR``.
Standard library only, and nothing of what it tests. Serves no ring: a kick is answered by a call.
"""

from __future__ import annotations

import array
import mmap
import os
import select
import signal
import socket
import struct
import sys
import threading
import time

HEADER = struct.Struct("=III")
(GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE) = (1, 2, 3, 5)
(SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE) = (8, 9, 10, 11)
(SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR) = (12, 13, 14)
(GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE) = (15, 16, 17, 18)
(GET_CONFIG, RESET_DEVICE, SET_STATUS) = (24, 34, 39)

#: SEG_MAX, FLUSH, INDIRECT_DESC, bit 30, VERSION_1, IN_ORDER
FEATURES = 1 << 2 | 1 << 9 | 1 << 28 | 1 << 30 | 1 << 32 | 1 << 35
MQ, REPLY_ACK, CONFIG, RESET, STATUS = 1 << 0, 1 << 3, 1 << 9, 1 << 13, 1 << 16


class FakeBackend:
    """Serves one connection after the other. What came is kept: *requests*, (request, payload, descriptors)."""

    def __init__(self, path: str, behaviour: str = "good", protocol: int = MQ | REPLY_ACK | CONFIG) -> None:
        self.behaviour, _, argument = behaviour.partition(":")
        self.argument = int(argument or 0)
        self.protocol = protocol
        self.requests: list[tuple[int, bytes, int]] = []
        self.connections = 0
        self.tables = 0  # memory tables, over all connections
        self.memory: mmap.mmap | None = None
        self._kicks: dict[int, int] = {}
        self._calls: dict[int, int] = {}
        self._stopping, self._stop = os.pipe()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(8)
        self._thread = threading.Thread(target=self.serve)

    def __enter__(self) -> FakeBackend:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stop, b".")
        self._thread.join()
        self._listener.close()
        os.close(self._stopping)
        os.close(self._stop)

    def serve(self) -> None:
        while self._listener.fileno() in select.select([self._listener.fileno(), self._stopping], [], [])[0]:
            connection = self._listener.accept()[0]
            self.connections += 1
            with connection:
                try:
                    self._talk(connection)
                except (EOFError, ConnectionError):
                    pass
                finally:
                    for descriptor in [*self._kicks.values(), *self._calls.values()]:
                        os.close(descriptor)
                    self._kicks.clear()
                    self._calls.clear()
                    if self.memory:
                        self.memory.close()
                        self.memory = None

    def _talk(self, connection: socket.socket) -> None:
        if self.behaviour == "close-at-once":
            return
        if self.behaviour == "reset-first" and self.connections <= self.argument:
            time.sleep(0.01)  # for the first message to arrive: unread, it makes the other side see a reset
            return
        while True:
            readable = select.select([connection.fileno(), self._stopping, *self._kicks.values()], [], [])[0]
            if self._stopping in readable:
                raise EOFError
            for queue, kick in self._kicks.items():
                if kick in readable:
                    os.read(kick, 8)
                    self._kicked(connection, queue)
            if connection.fileno() in readable:
                self._take(connection)

    def _kicked(self, connection: socket.socket, queue: int) -> None:
        if self.behaviour == "crash-on-kick":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.behaviour == "exit-on-kick":
            sys.stderr.write("==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\nmore\n")
            sys.stderr.flush()
            os._exit(1)
        if self.behaviour == "close-on-kick":
            raise EOFError
        if self.behaviour == "stray-on-kick":
            connection.sendall(HEADER.pack(GET_FEATURES, 5, 8) + bytes(8))
        os.write(self._calls[queue], struct.pack("=Q", 1))

    def _take(self, connection: socket.socket) -> None:
        data, descriptors = _receive(connection, HEADER.size)
        request, flags, size = HEADER.unpack(data)
        payload, more = _receive(connection, size) if size else (b"", [])
        descriptors += more
        self.requests.append((request, payload, len(descriptors)))
        self._remember(request, payload, descriptors)
        if self.behaviour == "hang-on" and request == self.argument:
            select.select([self._stopping], [], [])
            raise EOFError
        if self.behaviour == "close-on" and request == self.argument:
            raise EOFError
        answer = self._answer(request, payload)
        if answer is None and flags & 8 and self.protocol & REPLY_ACK:
            refused = self.behaviour == "refuse" and request == self.argument
            answer = struct.pack("=Q", 1 if refused else 0)
        if answer is not None:
            self._reply(connection, request, answer)

    def _remember(self, request: int, payload: bytes, descriptors: list[int]) -> None:
        if request == SET_MEM_TABLE:
            self.tables += 1
            if self.behaviour == "crash-at-table" and self.tables == self.argument:
                os.kill(os.getpid(), signal.SIGSEGV)
            self.memory = mmap.mmap(descriptors[0], struct.unpack_from("=Q", payload, 16)[0])
        elif request in (SET_VRING_KICK, SET_VRING_CALL):
            table = self._kicks if request == SET_VRING_KICK else self._calls
            previous = table.pop(payload[0], None)
            if previous is not None:
                os.close(previous)
            table[payload[0]] = descriptors.pop()
        elif request == GET_VRING_BASE:
            os.close(self._kicks.pop(payload[0]))
        for descriptor in descriptors:
            os.close(descriptor)

    def _answer(self, request: int, payload: bytes) -> bytes | None:
        if request == GET_FEATURES:
            return struct.pack("=Q", FEATURES)
        if request == GET_PROTOCOL_FEATURES:
            return struct.pack("=Q", self.protocol)
        if request == GET_QUEUE_NUM:
            return struct.pack("=Q", 3)
        if request == GET_VRING_BASE:
            return struct.pack("=II", payload[0], 77)
        if request == GET_CONFIG:
            size = struct.unpack_from("=I", payload, 4)[0]
            return payload[:12] + struct.pack("=Q", 2048) + bytes(size - 8)
        return None

    def _reply(self, connection: socket.socket, request: int, answer: bytes) -> None:
        code, flags, size = request, 5, len(answer)
        if self.behaviour == "wrong-code":
            code = SET_OWNER
        elif self.behaviour == "wrong-version":
            flags = 6
        elif self.behaviour == "no-reply-flag":
            flags = 1
        elif self.behaviour == "wrong-size":
            size, answer = 4, answer[:4]
        elif self.behaviour == "huge":
            size = 0xFFFFFFFF
        message = HEADER.pack(code, flags, size) + answer
        if self.behaviour == "trickle":
            for byte in message:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        elif self.behaviour == "descriptors":
            gift = array.array("i", [self._listener.fileno()] * 3)
            connection.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, gift)])
        else:
            connection.sendall(message)


def _receive(connection: socket.socket, size: int) -> tuple[bytes, list[int]]:
    data = b""
    descriptors: list[int] = []
    while len(data) < size:
        more, found, _, _ = socket.recv_fds(connection, size - len(data), 8)
        descriptors += found
        if not more:
            raise EOFError
        data += more
    return data, descriptors


def main(path: str, behaviour: str) -> None:
    """What a back-end's program does."""
    if behaviour == "exit-1":
        print("no such disk: vda", flush=True)
        sys.exit(1)
    if behaviour == "never-listens":
        print("thinking", flush=True)
        time.sleep(60)
    if behaviour == "chatty":
        sys.stdout.write("".join(f"line {number}\n" for number in range(100_000)))
        sys.stdout.flush()
    if behaviour == "slow":
        time.sleep(0.3)
        behaviour = "good"
    backend = FakeBackend(path, behaviour)
    print("ready", flush=True)
    backend.serve()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
