"""virtio-rng (5.4) for drivers: what it gives is far from random, so that one can tell where it comes from."""

from __future__ import annotations

from fuzz.targets.served.kinds import MARK, mark, whole


class Device:
    """A source of entropy."""

    name = "rng"
    queues = 1
    features = 0
    config = b""
    about: tuple[int, ...] = (0,)
    gives: tuple[int, ...] = (0,)

    def fill(self, queue: int, number: int, readable: bytes, room: int, length: int | None) -> bytes:
        """Whole marks; a device must write at least one byte (5.4.6.2)."""
        size = whole(length, room)
        return b"".join(mark(place, number) for place in range(-(-size // MARK)))[:size]

    def answer(self, queue: int, number: int, readable: bytes, room: int) -> bytes | None:
        """As much as there is room for."""
        return self.fill(queue, number, readable, room, None)

    def traces(self, queue: int, data: bytes) -> list[bytes]:
        """Every 16 bytes."""
        return [data[at : at + MARK] for at in range(0, len(data), MARK)]

    def speaks(self, queue: int) -> bool:
        """A driver that comes up is never kept waiting."""
        return True

    def wanted(self, queue: int, tag: int) -> bytes:
        """Nobody asks for anything in particular."""
        return b""
