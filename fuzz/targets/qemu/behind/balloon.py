"""Behind virtio-balloon: somebody who asks for statistics, and wants more memory or less."""

from __future__ import annotations

from collections.abc import Mapping

from fuzz.targets.qemu import behind

# 5.5.3: tell the host before pages are used; statistics; hinting; reporting. Not PAGE_POISON, for which the driver
# would have to write to the configuration space.
_MUST_TELL_HOST, _STATS_VQ, _FREE_PAGE_HINT, _PAGE_REPORTING = 1 << 0, 1 << 1, 1 << 3, 1 << 5
_PAGE = 4096
_SELDOM = 1_000_000  # seconds
_DEVICE = "/machine/peripheral/vq"
_MEGABYTES = {"less": 64, "more": 2048}


class Behind(behind.Behind):
    """A balloon with all its queues, but that for hints only if the user asks for it."""

    device_class = "balloon"
    queues = 4
    accept = _MUST_TELL_HOST | _STATS_VQ | _FREE_PAGE_HINT | _PAGE_REPORTING
    #: Statistics are asked for, so that the buffer with those before comes back; the guest is to have less or more.
    pulses = (("stats", ("ask",)), ("target", ("less", "more")))
    facts = (
        "10.0.2, 11.1.3: a statistics buffer that the device holds when its queue is reset comes back on that queue "
        "once it is enabled again (2.6.1.1)",
        "11.1.3: the thread that takes hints sends no used buffer notifications (2.7.7.2), which 10.0.2 does; so there "
        "is no queue for hints here, unless free-page-hint=on is given",
    )

    def before(self, given: Mapping[str, str]) -> list[str]:
        """The thread in which hints are taken."""
        if given.get("free-page-hint") != "on":
            return []
        self.queues = 5
        return [] if "iothread" in given else ["-object", "iothread,id=io0"]

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """What a balloon can do."""
        common = {"free-page-reporting": "on"}
        return {**common, "iothread": "io0"} if self.queues == 5 else common

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """Pages that may be named, and whether there is a queue for hints."""
        pages = ("spare", behind.SPARE // _PAGE), ("spare_pages", behind.SPARE_SIZE // _PAGE)
        return *pages, ("hinting", int(bool(features & _FREE_PAGE_HINT)))

    def reconfigure(self) -> bool:
        """The guest is to have less memory."""
        self.monitor.execute("balloon", value=_MEGABYTES["less"] << 20)
        return True

    def lever(self, name: str, value: str) -> None:
        """Ask for statistics, or for memory."""
        if name == "stats":
            for seconds in (0, _SELDOM):  # QEMU asks at once when it begins to ask now and then
                self.monitor.execute("qom-set", path=_DEVICE, property="guest-stats-polling-interval", value=seconds)
        elif name == "target" and value in _MEGABYTES:
            self.monitor.execute("balloon", value=_MEGABYTES[value] << 20)
