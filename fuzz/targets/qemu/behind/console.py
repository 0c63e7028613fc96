"""Behind virtio-serial: a console and a port, each on a TCP connection to us; we send back what we get.

Knows chardevs and ports. Their send buffers are as small as there are, so that QEMU must hold back what it
can't write: when our side reads nothing («hold»), a few thousand characters are enough.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress

from fuzz.devices.console import own
from fuzz.targets import TargetError
from fuzz.targets.qemu import behind

_MULTIPORT = 1 << 1
_PORTS = 3  # console, port, and one that is plugged in and out
_HOT = "vqhot"
_LENGTHS = ("1", "16", "512", "4096")
_MOST = 1 << 16
_TIMEOUT = 5.0
_ROOM = 4096  # with less, segments are dropped at times, and sent again 0.2 s later
_AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: close() resets the connection


class Behind(behind.Behind):
    """Two peers, of which neither says anything but what it was told, or asked to say."""

    device_class = "console"
    queues = 6  # of ports 0 and 1, and the control queues (5.3.2)
    accept = _MULTIPORT
    levers = (("hold", ("off", "on")),)
    pulses = (("console", _LENGTHS), ("port", _LENGTHS), ("plug", ("in", "out")))
    facts = (
        "the console's port drops characters that its chardev does not take at once",
        "10.0.2, 11.1.3: PORT_NAME ends in a NUL, which 5.3.6.2 leaves out",
        "10.0.2, 11.1.3: a control message longer than its buffer has a used length beyond the buffer (2.7.8.2); so "
        "these buffers are long here",
        "10.0.2, 11.1.3: a port whose characters are held back when it is hung up never returns their buffer; so it is "
        "not hung up here, unless a program says «lever line=hangup»",
        "10.0.2, 11.1.3: such a buffer comes back after its queue was reset (2.6.1.1)",
    )

    def __init__(self) -> None:
        super().__init__()
        self._peers = {"console": Peer(), "port": Peer()}
        self._holding = False
        self._plugged = False

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """As few ports as we use, and so as few queues."""
        return {"max_ports": str(_PORTS)}

    def before(self, given: Mapping[str, str]) -> list[str]:
        """Servers on sockets that we made."""
        return [
            word
            for name in self._peers
            for word in ("-chardev", f"socket,id={name},fd={{{name}}},server=on,wait=off,nodelay=on")
        ]

    def after(self, given: Mapping[str, str]) -> list[str]:
        """What is plugged in from the beginning."""
        return [
            *("-device", "virtconsole,bus=vq.0,nr=0,chardev=console"),
            *("-device", "virtserialport,bus=vq.0,nr=1,chardev=port,name=vqfuzz.port"),
        ]

    def descriptors(self) -> dict[str, socket.socket]:
        """The sockets on which QEMU waits for us."""
        return {name: peer.listen() for name, peer in self._peers.items()}

    def alone(self) -> dict[str, str]:
        """Nobody listens, and nobody says anything."""
        return {name: f"null,id={name}" for name in self._peers}

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """We echo; and max_nr_ports of the configuration space (5.3.4)."""
        return (("echo", 1), ("ports", int.from_bytes(config[4:8], "little") if features & _MULTIPORT else 1))

    def ready(self) -> None:
        """A new QEMU, with nothing plugged in, and nobody connected."""
        self._plugged = False
        for peer in self._peers.values():
            peer.used = True

    def fresh(self) -> None:
        """New connections: what was on its way to QEMU or from it belongs to no program any more."""
        self.release()
        self._plug(False)
        used = {name: peer for name, peer in self._peers.items() if peer.used}
        for peer in used.values():
            peer.connect()
        deadline = time.monotonic() + _TIMEOUT
        while used and time.monotonic() < deadline:  # else the first program's buffers meet the old connection
            listed = self.monitor.execute("query-chardev")
            served = {entry["label"]: entry["filename"] for entry in listed} if isinstance(listed, list) else {}
            used = {name: peer for name, peer in used.items() if not served[name].endswith(f":{peer.port}")}

    def release(self) -> None:
        """Listen again."""
        self._holding = False
        self.pump()

    def lever(self, name: str, value: str) -> None:
        """Stop listening; say something; hang up; plug another port in or out."""
        if name == "hold":
            self._holding = value == "on"
        elif name in self._peers and value.isdecimal() and len(value) < 6:
            self._peers[name].say(min(int(value), _MOST))
        elif (name, value) == ("line", "hangup"):
            self._peers["port"].connect()
        elif name == "plug":
            self._plug(value == "in")
        self.pump()

    def _plug(self, wanted: bool) -> None:
        """Have a third port, or not; a person may have left no room for it."""
        if wanted == self._plugged:
            return
        with suppress(TargetError):
            if wanted:
                self.monitor.execute(
                    "device_add", driver="virtserialport", id=_HOT, bus="vq.0", nr=_PORTS - 1, name="vqfuzz.hot"
                )
            else:
                self.monitor.execute("device_del", id=_HOT)
            self._plugged = wanted

    def pump(self) -> None:
        """Hear and speak, if we are there."""
        if not self._holding:
            for peer in self._peers.values():
                peer.pump()

    def holding(self) -> bool:
        """Whether nobody reads what QEMU writes."""
        return self._holding

    def close(self) -> None:
        """Hang up for good."""
        for peer in self._peers.values():
            peer.close()


class Peer:
    """The other side of a chardev: sends back what it gets, and words of its own between."""

    def __init__(self) -> None:
        self._address: tuple[str, int] = ("", 0)
        self._line: socket.socket | None = None
        self.port = 0  # our end's
        self.used = True  # something was said on this connection, or there is none
        self._unsent = bytearray()
        self._words = 0  # characters of its own so far

    def listen(self) -> socket.socket:
        """The socket for QEMU to wait on; connections to it inherit the smallest send buffer."""
        self.close()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(4)
        self._address = listener.getsockname()
        return listener

    def connect(self) -> None:
        """Hang up, if there is a connection, and call. Does nothing if QEMU is gone."""
        self.close()
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        line.settimeout(_TIMEOUT)
        try:
            line.connect(self._address)
        except OSError:
            line.close()
            return
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # QEMU notices a connection that is reset, whereas one that is closed it must read from.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        line.setblocking(False)
        self._line, self.port, self.used = line, line.getsockname()[1], False

    def say(self, length: int) -> None:
        """Words of its own."""
        self.used = True
        self._unsent += own(self._words, length)
        self._words += length

    def pump(self) -> None:
        """Take what came, send what there is."""
        if self._line is None:
            return
        try:
            with suppress(BlockingIOError):
                while data := self._line.recv(1 << 16):
                    self.used = True
                    self._unsent += data
            with suppress(BlockingIOError):
                while self._unsent:
                    del self._unsent[: self._line.send(self._unsent)]
        except OSError:  # QEMU hung up: it is gone, and whoever talks to it will find out
            self.close()

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()
            self._line = None
            self.used = True
        self._unsent.clear()
