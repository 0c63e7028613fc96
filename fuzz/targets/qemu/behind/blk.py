"""Behind virtio-blk: a disk of which requests can be held, slowed down and failed (see storage)."""

from __future__ import annotations

from collections.abc import Mapping

from fuzz.targets.qemu.behind import storage

_FLUSH, _MQ = 1 << 9, 1 << 12  # 5.2.3
_SERIAL = "vqfuzz-disk-20-bytes"


class Behind(storage.Storage):
    """A block device with two queues."""

    device_class = "blk"
    queues = 2
    accept = _FLUSH | _MQ  # without MQ only the first queue would be there to use (5.2.5)
    facts = (
        "10.0.2, 11.1.3: get_id writes the serial and one NUL, and yet says that all 21 bytes are used (2.7.8.2); so "
        "the serial is 20 bytes long here, unless serial= is given",
        "10.0.2, 11.1.3: requests in flight when their queue is reset come back on it once it is enabled again "
        "(2.6.1.1)",
        "10.0.2, 11.1.3: a request that failed is tried again without what was cut off its first and last elements, so "
        "one whose header or status shares an element with data is misread then (2.7.4.1)",
    )

    def before(self, given: Mapping[str, str]) -> list[str]:
        """The graph. Where an error is not to stop the machine, it would be the device's answer: then there is none."""
        words = super().before(given)
        if not {given.get("rerror", "stop"), given.get("werror", "stop")} <= {"stop"}:
            self.levers = self.movable = tuple(lever for lever in self.levers if lever[0] != storage.FAIL)
        return words

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """The drive, and as many queues as we use: by default QEMU offers one for each processor."""
        common = {"num-queues": str(self.queues), "serial": _SERIAL}
        return {**common, "drive": storage.NODE, **storage.PROPERTIES} if self.ours else common

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """How many sectors there are to use (5.2.4)."""
        capacity = int.from_bytes(config[:8], "little")
        return (("capacity", capacity - (storage.RESERVED // storage.SECTOR if self.ours else 0)),)
