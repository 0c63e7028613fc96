"""Behind virtio-scsi: a disk to read and write, one that changes its size, and one that comes and goes."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from fuzz.targets.qemu.behind import storage

_HOTPLUG, _CHANGE = 1 << 1, 1 << 2  # 5.6.3
#: num_queues, seg_max, max_sectors, cmd_per_lun, event_info_size, sense_size, cdb_size (5.6.4)
_CONFIG = struct.Struct("<IIIIIII")
_OTHER_SIZE = 1 << 20  # bytes
_MENDED = 11  # the major version since which commands can be aborted
_OTHERS = [
    *("-blockdev", "driver=file,node-name=other0,filename={folder}/other.raw,aio=threads"),
    *("-blockdev", "driver=null-co,node-name=null0,read-zeroes=on"),
]
_LATE = {"driver": "scsi-hd", "id": "late0", "bus": "vq.0", "scsi-id": 0, "lun": 2, "drive": "null0", "share-rw": True}


class Behind(storage.Storage):
    """A SCSI host with one target that has two logical units, or three, and two queues for commands."""

    device_class = "scsi"
    queues = 4
    accept = _HOTPLUG | _CHANGE
    uncut = frozenset(range(queues))
    unmeasured = frozenset(range(queues))
    least = 4
    facts = (
        "10.0.2, 11.1.3: all device-readable and all device-writable bytes behind the first element of either kind are "
        "taken for data (2.7.4.1); so requests are cut here as drivers cut them",
        "10.0.2, 11.1.3: the used length of a command counts room for sense data that was not written, and data that "
        "was read (2.7.8.2); so nothing is said about lengths here",
        "10.0.2, 11.1.3: requests in flight when their queue is reset come back on it once it is enabled again "
        "(2.6.1.1)",
        "10.0.2, 11.1.3: a read that failed and was tried again has a negative residual (5.6.6.1)",
        "10.0.2: aborting a command that is being carried out, alone or with its task set, never ends, and nothing "
        "else goes on; so that is not done before 11 unless a program says so",
    )
    pulses = (("resize", ("2", "1")), ("plug", ("in", "out")))

    def __init__(self) -> None:
        super().__init__()
        self._plugged = False

    def before(self, given: Mapping[str, str]) -> list[str]:
        """The disks' contents."""
        words = super().before(given)
        # Nothing is suspended here: QEMU waits for requests that task management is to end.
        self.levers = self.movable = tuple(lever for lever in self.movable if lever[0] != storage.SUSPEND)
        return [*words, *_OTHERS]

    def plain(self, given: Mapping[str, str]) -> list[str]:
        """The same without a way to steer them."""
        return [*super().plain(given), *_OTHERS]

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """As many queues for commands as we use."""
        return {"num_queues": str(self.queues - 2)}

    def after(self, given: Mapping[str, str]) -> list[str]:
        """The disks that are always there."""
        words: list[str] = []
        for lun, (drive, properties) in enumerate(((storage.NODE, storage.PROPERTIES), ("other0", {}))):
            place = {"bus": "vq.0", "scsi-id": "0", "lun": str(lun), "drive": drive}
            words += ["-device", ",".join(["scsi-hd", *(f"{k}={v}" for k, v in {**place, **properties}.items())])]
        return words

    def files(self) -> tuple[tuple[str, int], ...]:
        """The disks' contents."""
        return (*super().files(), ("other.raw", _OTHER_SIZE))

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """Sizes of parts of requests, and what the first disk has."""
        *_, sense, cdb = _CONFIG.unpack_from(config)
        blocks = storage.SIZE // storage.SECTOR
        capacity = blocks - storage.RESERVED // storage.SECTOR
        disks = ("capacity", capacity), ("blocks", blocks), ("luns", 2)
        return *disks, ("sense_size", sense), ("cdb_size", cdb), ("aborts", int(self._major() >= _MENDED))

    def _major(self) -> int:
        """QEMU's major version, or 0."""
        version = self.monitor.execute("query-version")
        numbers = version.get("qemu") if isinstance(version, dict) else None
        return int(numbers.get("major", 0)) if isinstance(numbers, dict) else 0

    def ready(self) -> None:
        """A new QEMU, without the disk that comes and goes."""
        super().ready()
        self._plugged = False

    def fresh(self) -> None:
        """The disks as they were at first."""
        super().fresh()
        self._plug("out")

    def lever(self, name: str, value: str) -> None:
        """Move a lever, resize a disk, or plug one."""
        if name == "resize" and value in ("1", "2"):
            self.monitor.execute("block_resize", node_name="other0", size=int(value) * _OTHER_SIZE)
        elif name == "plug":
            self._plug(value)
        else:
            super().lever(name, value)

    def _plug(self, value: str) -> None:
        if value == "in" and not self._plugged:
            self.monitor.execute("device_add", **_LATE)
        elif value == "out" and self._plugged:
            self.monitor.execute("device_del", id=_LATE["id"])
        self._plugged = value == "in"
