"""Behind virtio-9p: a folder of our own, with a few files that are known byte for byte.

Knows QEMU's options. The folder is below the temporary folder, and goes with the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir

from fuzz.devices.p9 import FILES
from fuzz.devices.p9_messages import file_data
from fuzz.targets.folders import RUN, Folder, sweep
from fuzz.targets.qemu import behind

_SIZES = (1, 4096, 4097, 70000)
_ID = "vqfs"


class Behind(behind.Behind):
    """A folder that the device exports."""

    device_class = "9p"
    facts = (
        "10.0.2, 11.1.3: requests in flight when their queue is reset come back on it once it is enabled again "
        "(2.6.1.1)",
    )

    def __init__(self) -> None:
        super().__init__()
        self._folder: Folder | None = None

    def before(self, given: Mapping[str, str]) -> list[str]:
        """The local file system, unless the user names another."""
        if "fsdev" in given:
            return []
        return ["-fsdev", f"local,id={_ID},path={self._share()},security_model=none"]

    def plain(self, given: Mapping[str, str]) -> list[str]:
        """A folder with files as large, for whoever doesn't care what is in them."""
        return [] if "fsdev" in given else ["-fsdev", f"local,id={_ID},path={{folder}}/share,security_model=none"]

    def plain_files(self) -> tuple[tuple[str, int], ...]:
        """These files."""
        return tuple((f"share/f{number}", size) for number, size in zip(range(FILES), _SIZES, strict=True))

    def properties(self, given: Mapping[str, str]) -> dict[str, str]:
        """What is exported, and the name it has for the driver."""
        return {"fsdev": _ID, "mount_tag": "vqfuzz"}

    def _share(self) -> Path:
        if self._folder is None:
            sweep(gettempdir(), RUN)
            self._folder = Folder(gettempdir(), RUN)
            for number, size in zip(range(FILES), _SIZES, strict=True):
                (self._folder.path / f"f{number}").write_bytes(file_data(0, size))
        return self._folder.path

    def fresh(self) -> None:
        """Away with what programs made."""
        if self._folder is not None:
            for number in range(FILES):
                (self._folder.path / f"c{number}").unlink(missing_ok=True)

    def close(self) -> None:
        """Away with the folder."""
        if self._folder is not None:
            self._folder.remove()
            self._folder = None
