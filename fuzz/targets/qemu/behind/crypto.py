"""Behind virtio-crypto: QEMU's own ciphers, which can be made slow."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from fuzz.targets.qemu import behind

_RATES = ("off", "100", "20")


class Behind(behind.Behind):
    """One data queue, for the built-in backend has no more, and the control queue."""

    device_class = "crypto"
    queues = 2
    levers = (("rate", _RATES),)  # requests for data in a second: those beyond it wait
    serves = 20  # sessions outlive a device reset, and there are 256
    facts = ("sessions outlive a device reset",)

    def __init__(self) -> None:
        super().__init__()
        self._rate = "off"

    def before(self, given: Mapping[str, str]) -> list[str]:
        """The built-in ciphers, unless the user names others."""
        return [] if "cryptodev" in given else ["-object", "cryptodev-backend-builtin,id=crypto0"]

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """Who computes."""
        return {"cryptodev": "crypto0"}

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """Behind the data queues comes the control queue (5.9.2)."""
        return ("control", struct.unpack_from("<4xI", config)[0]), ("stays", 1)

    def ready(self) -> None:
        """A new QEMU is as fast as it can."""
        self._rate = "off"

    def fresh(self) -> None:
        """As fast as it can."""
        self.lever("rate", "off")

    def lever(self, name: str, value: str) -> None:
        """Limit how many requests are done in a second."""
        if name != "rate" or value == self._rate or value not in _RATES:
            return
        self._rate = value
        limit = 0 if value == "off" else int(value)
        self.monitor.execute("qom-set", path="/objects/crypto0", property="throttle-ops", value=limit)
