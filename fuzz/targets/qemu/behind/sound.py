"""Behind virtio-sound: a sound card that plays into nothing and records silence, in real time."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping

from fuzz.targets.qemu import behind

_WAITS = ("1", "5", "20")


class Behind(behind.Behind):
    """A stream either way."""

    device_class = "sound"
    queues = 4
    pulses = (("pass", _WAITS),)  # milliseconds: sound takes its time
    serves = 1  # what was to be played or recorded outlives a device reset

    def before(self, given: Mapping[str, str]) -> list[str]:
        """No sound, but often: a period of the timer is a millisecond."""
        return [] if "audiodev" in given else ["-audiodev", "none,id=audio0,timer-period=1000"]

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """Where sound goes."""
        return {"audiodev": "audio0"}

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """How many items there are (5.14.4); QEMU's first half of the streams plays."""
        jacks, streams, chmaps = struct.unpack_from("<III", config)
        return ("jacks", jacks), ("streams", streams), ("chmaps", chmaps), ("outputs", (streams + 1) // 2)

    def lever(self, name: str, value: str) -> None:
        """Let time pass."""
        if name == "pass" and value in _WAITS:
            time.sleep(int(value) / 1000)
