"""A small network device (5.1) on the reference device's rings: every frame that is sent comes in again.

Knows rings through the device's half only, and of frames that they begin behind a header. It merges receive buffers
(VIRTIO_NET_F_MRG_RXBUF): queue 0 is for frames that come in, queue 1 for those that go out.
"""

from __future__ import annotations

from collections import deque

from fuzz.devices.net import HEADER
from fuzz.targets.model.engine import Engine
from oracles import packed_rings, split_rings
from oracles.split_rings import Chain


class Network(Engine):
    """One of the two queues."""

    rooms: deque[Chain]  # for frames that come in

    def keep_signalled(self, ring: split_rings.DeviceRing | packed_rings.DeviceRing, restarted: bool) -> None:
        """A new life begins without room."""
        self.rooms = deque()

    def run(self) -> None:
        """Keep room for what comes in, or send what is to go out."""
        ring = self.ring
        ring.silence()
        while (chain := ring.fetch()) is not None:
            if self.number:
                self.send(chain)
            else:
                self.rooms.append(chain)
        ring.arm()

    def send(self, chain: Chain) -> None:
        """A frame goes out, and comes in again."""
        start = [address - self.address for address, _ in chain.readable]
        pieces = [self.memory[at : at + length] for at, (_, length) in zip(start, chain.readable, strict=True)]
        data = self.frame(b"".join(pieces)[HEADER:])
        self.ring.use([chain], 0)
        self.notify_driver()
        if self.siblings[0].live:
            self.siblings[0].deliver(data)  # type: ignore[attr-defined]  # all queues are of this class

    def frame(self, data: bytes) -> bytes:
        """The frame as it comes in."""
        return data

    def deliver(self, data: bytes) -> None:
        """A frame comes in; without enough room it is lost."""
        taken: list[Chain] = []
        need = HEADER + len(data)
        while need > 0 and self.rooms:
            taken.append(self.rooms.popleft())
            need -= self.share(taken[-1], need)
        if need > 0:
            self.rooms = deque(taken)
            return
        data = bytes(HEADER - 2) + len(taken).to_bytes(2, "little") + data
        for place, chain in enumerate(taken):
            share = self.share(chain, len(data))
            self.fill(chain, data[:share])
            data = data[share:]
            self.ring.use([chain], share, False)
            self.visible(place + 1 == len(taken))

    def share(self, chain: Chain, left: int) -> int:
        """How much of *left* bytes goes into this buffer: as much as it takes."""
        return min(left, sum(length for _, length in chain.writable))

    def fill(self, chain: Chain, data: bytes) -> None:
        """Write *data* into the buffer."""
        for address, length in chain.writable:
            offset = address - self.address
            self.memory[offset : offset + len(data[:length])] = data[:length]
            data = data[length:]

    def visible(self, last: bool) -> None:
        """One more buffer of a frame was used: they become visible together, with the last."""
        if last and isinstance(self.ring, split_rings.DeviceRing):
            self.ring.publish()
            self.notify_driver()
