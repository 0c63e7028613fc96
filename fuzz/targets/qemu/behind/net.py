"""Behind virtio-net: a peer on a socket that sends back whatever it gets, and frames of its own when told to.

Knows QEMU's network back-ends and what they keep queued. Must not know rings or programs.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from fuzz.devices.net import MAX_FRAME, MIN_FRAME, PEERS, frame
from fuzz.targets.qemu import behind

# 5.1.3; commands need the control queue, and some of them a feature of their own
_MRG_RXBUF, _STATUS, _CTRL_VQ = 1 << 15, 1 << 16, 1 << 17
_COMMANDS = 1 << 18 | 1 << 19 | 1 << 20 | 1 << 23  # CTRL_RX, CTRL_VLAN, CTRL_RX_EXTRA, CTRL_MAC_ADDR

_LINK: behind.Named = (("link", ("up", "down")),)
_PACKETS: dict[str, tuple[int, ...]] = {
    "60": (60,),
    "54": (MIN_FRAME,),
    "512": (512,),
    "1514": (MAX_FRAME,),
    "burst": (60, MAX_FRAME, MIN_FRAME, 600, MAX_FRAME, 100),
}
_MOST = 256  # frames that the peer keeps for later; a network may lose the rest
_AT_ONCE = 4  # frames that QEMU is given before it has read them; the fewer, the fewer it must forget


class Behind(behind.Behind):
    """A network card on a link to our peer."""

    device_class = "net"
    accept = _MRG_RXBUF | _STATUS | _CTRL_VQ | _COMMANDS
    pulses = (("packet", tuple(_PACKETS)),)
    facts = (
        "10.0.2, 11.1.3: frames sent while the link is down are dropped carelessly: with IN_ORDER their buffers never "
        "come back, or QEMU hangs; on packed rings, they have the id of the list's first descriptor; with status=off, "
        "the link is never down here",
        "10.0.2, 11.1.3: without MRG_RXBUF num_buffers is left as it was (5.1.6.4.1), so it is not looked at then",
    )

    def __init__(self) -> None:
        super().__init__()
        self._peer: socket.socket | None = None
        self._waiting: deque[bytes] = deque()  # frames that QEMU takes later
        self._count = 0  # frames of its own that the peer sent
        self._gave = False  # whether QEMU may have frames that it has not delivered
        self._down = False

    def before(self, given: Mapping[str, str]) -> list[str]:
        """The back-end. Without STATUS a driver can't see whether the link is up, so then it is."""
        self.levers = () if given.get("status") == "off" else _LINK
        self.queues = 2 if given.get("ctrl_vq") == "off" else 3  # QEMU has the control queue in any case
        return ["-netdev", "dgram,id=net0,local.type=fd,local.str={peer}"]

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """The address is that to which frames go, for when the card is told to take no others."""
        return {"netdev": "net0", "mac": "02:00:00:00:00:02"}

    def descriptors(self) -> dict[str, socket.socket]:
        """A new link for each QEMU."""
        self.close()
        self._peer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._peer.setblocking(False)
        return {"peer": theirs}

    def alone(self) -> dict[str, str]:
        """A hub with nothing else in it."""
        return {"peer": "hubport,id=net0,hubid=0"}

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """What is negotiated, and who sends."""
        control = features & _COMMANDS if features & _CTRL_VQ else 0
        merges = int(bool(features & _MRG_RXBUF))
        return (("echo", 1), ("peer", 1), ("mrg_rxbuf", merges), ("num_buffers", merges), ("control", control))

    def ready(self) -> None:
        """A new QEMU has nothing, and its link is up."""
        self._waiting.clear()
        self._count = 0
        self._gave = self._down = False

    def release(self) -> None:
        """The link is up; what the peer has still goes over it."""
        self._link(False)

    def fresh(self) -> None:
        """The link is up, and QEMU delivers nothing of before."""
        self._receive()
        self._waiting.clear()
        self._count = 0
        self._link(False)
        if self._gave:
            # A card that can't take a frame leaves it in a queue, and QEMU reads no other; pausing empties that queue.
            # (A link that is down would do as well, but see the facts: the device may be live still.)
            for _ in range(_AT_ONCE):
                self._blink()
                if not self._unread():
                    break
            self._blink()
            self._gave = False

    def lever(self, name: str, value: str) -> None:
        """Cut the link and mend it; send frames."""
        if value in dict(self.levers).get(name, ()):
            self._link(value == "down")
        elif name == "packet" and value in _PACKETS:
            for length in _PACKETS[value]:
                self._waiting.append(frame(self._count, length, PEERS))
                self._count += 1
            self._send()

    def reconfigure(self) -> bool:
        """The link's state is another one, if the driver can see it."""
        if self.levers:
            self._link(not self._down)
        return bool(self.levers)

    def pump(self) -> None:
        """Send back what came."""
        if self._receive() or self._waiting:
            self._send()

    def close(self) -> None:
        """Hang up."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def _link(self, down: bool) -> None:
        if down != self._down:
            self._down = down
            self.monitor.execute("set_link", name="net0", up=not down)

    def _receive(self) -> bool:
        """Take what QEMU sent; whether there was anything. A QEMU that ended is noticed elsewhere."""
        found = False
        with suppress(OSError):  # BlockingIOError: that was all
            while self._peer is not None:
                self._waiting.append(self._peer.recv(1 << 16))
                found = True
        return found

    def _send(self) -> None:
        """Send what is waiting, in order, as far as QEMU takes it now."""
        while len(self._waiting) > _MOST:
            self._waiting.pop()
        if self._peer is None or self._unread():
            return
        with suppress(OSError):  # BlockingIOError: later
            for _ in range(min(_AT_ONCE, len(self._waiting))):
                self._peer.send(self._waiting[0])
                self._gave = True
                self._waiting.popleft()

    def _unread(self) -> int:
        """Bytes that QEMU was sent and has not read."""
        if self._peer is None:
            return 0
        with suppress(OSError):
            return int(struct.unpack("i", fcntl.ioctl(self._peer, termios.TIOCOUTQ, bytes(4)))[0])
        return 0

    def _blink(self) -> None:
        """Pause the machine for a moment."""
        self.monitor.execute("stop")
        self.monitor.execute("cont")
