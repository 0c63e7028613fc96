"""Behind virtio-pmem: a file that is the persistent memory."""

from __future__ import annotations

from collections.abc import Mapping

from fuzz.targets.qemu import behind

_SIZE = 2 << 20  # bytes


class Behind(behind.Behind):
    """Persistent memory."""

    device_class = "pmem"
    vectors = False  # it has one interrupt for all
    singly = True
    facts = (
        "10.0.2, 11.1.3: of the requests that are available when a notification comes, only one is taken up; so each "
        "has a notification of its own here, unless a program says otherwise",
        "10.0.2: a notification with nothing available breaks the device",
        "10.0.2, 11.1.3: flushes in flight when the device or the queue is reset come back on the queue as it is then "
        "(2.4.1, 2.6.1.1)",
    )

    def memory(self, megabytes: int) -> str:
        """Room in the address space for it."""
        return f"{megabytes}M,slots=1,maxmem={megabytes + 64}M"

    def before(self, given: Mapping[str, str]) -> list[str]:
        """The memory, unless the user names some."""
        if "memdev" in given:
            return []
        return ["-object", f"memory-backend-file,id=pmem0,share=on,mem-path={{folder}}/pmem,size={_SIZE}"]

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """Which memory it is."""
        return {"memdev": "pmem0"}

    def files(self) -> tuple[tuple[str, int], ...]:
        """The memory's contents."""
        return (("pmem", _SIZE),)
