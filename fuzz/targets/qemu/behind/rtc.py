"""Behind virtio-rtc: the clock of this machine, which needs no help."""

from __future__ import annotations

from fuzz.targets.qemu import behind

_ALARM = 1 << 0


class Behind(behind.Behind):
    """A clock."""

    device_class = "rtc"
    queues = 2  # the second one only with alarms (5.23.2)
    accept = _ALARM
    vectors = False

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """Whether there are alarms; what the device can do never changes."""
        return (("alarm", int(bool(features & _ALARM))), ("steady", 1))
