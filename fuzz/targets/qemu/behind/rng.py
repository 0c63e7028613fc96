"""Behind virtio-rng: QEMU's own generator, which never runs dry."""

from __future__ import annotations

from collections.abc import Mapping

from fuzz.targets.qemu import behind


class Behind(behind.Behind):
    """An entropy source."""

    device_class = "rng"

    def before(self, given: Mapping[str, str]) -> list[str]:
        """The built-in source, unless the user names another."""
        return [] if "rng" in given else ["-object", "rng-builtin,id=rng0"]

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """Where the bytes come from."""
        return {"rng": "rng0"}
