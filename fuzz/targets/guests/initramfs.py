"""A guest's file system in memory: the agent as /init, and the modules that its devices need, in loading order.

Knows the cpio format «newc» and what modules say of themselves. Must not know what a guest does.
"""

from __future__ import annotations

import gzip
import lzma
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fuzz.targets import TargetError

_MAGIC = b"070701"  # newc, without checksums
_TRAILER = "TRAILER!!!"
_CONSOLE = (5, 1)  # device numbers of /dev/console
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_SUFFIX = re.compile(r"\.ko(\.xz|\.gz)?$")
#: what drives a class of devices; a kernel that has it built in has no such file
MODULES = {
    "blk": "virtio_blk", "net": "virtio_net", "rng": "virtio_rng", "console": "virtio_console",
    "vsock": "vmw_vsock_virtio_transport",
}  # fmt: skip


def entry(name: str, mode: int, data: bytes = b"", number: int = 0, device: tuple[int, int] = (0, 0)) -> bytes:
    """One member of an archive: header of 13 fields of 8 hex digits, name and data, each filled up to 4 bytes."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
    head = _MAGIC + b"".join(b"%08x" % field for field in fields) + path
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def archive(files: Iterable[tuple[str, bytes]], folders: Sequence[str] = ()) -> bytes:
    """A newc archive of *folders*, /dev/console and *files* (name, bytes), all of them executable; times are 0."""
    parts = [entry(name, stat.S_IFDIR | 0o755, number=at) for at, name in enumerate(folders, 1)]
    parts.append(entry("dev/console", stat.S_IFCHR | 0o600, b"", len(parts) + 1, _CONSOLE))
    for name, data in files:
        parts.append(entry(name, stat.S_IFREG | 0o755, data, len(parts) + 1))
    parts.append(entry(_TRAILER, 0))
    whole = b"".join(parts)
    return whole + bytes(-len(whole) % 512)


def packed(agent: bytes, modules: Sequence[tuple[str, bytes]]) -> bytes:
    """What a kernel takes as its initrd: gzip, the same bytes for the same input. *modules* are in loading order."""
    files = [(f"modules/{at:02}-{name}.ko", data) for at, (name, data) in enumerate(modules)]
    return gzip.compress(archive([("init", agent), *files], ("dev", "modules")), 6, mtime=0)


def name_of(file: Path) -> str:
    """A module's name: that of its file, with underscores."""
    return _SUFFIX.sub("", file.name).replace("-", "_")


def needed_by(module: bytes) -> list[str]:
    """Names of the modules that an unpacked one needs, as it says itself."""
    found = _DEPENDS.search(module)
    return [name.replace("-", "_") for name in found[1].decode().split(",") if name] if found else []


def unpacked(file: Path) -> bytes:
    """The bytes of a module, which may be compressed. Raises TargetError."""
    try:
        data = file.read_bytes()
        if file.suffix == ".xz":
            return lzma.decompress(data)
        return gzip.decompress(data) if file.suffix == ".gz" else data
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise TargetError(f"the module {file} can't be read: {getattr(error, 'strerror', None) or error}") from None


def ordered(folder: Path, kind: str) -> list[tuple[str, bytes]]:
    """The modules below *folder* that a class of devices needs, each behind what it needs itself: (name, bytes)."""
    files = {name_of(file): file for file in sorted(folder.rglob("*.ko*")) if _SUFFIX.search(file.name)}
    loaded: dict[str, bytes] = {}
    _load(MODULES[kind], files, loaded)
    return list(loaded.items())


def _load(name: str, files: Mapping[str, Path], loaded: dict[str, bytes], above: tuple[str, ...] = ()) -> None:
    if name in loaded or name not in files or name in above:
        return  # a module that is no file is built in, or the kernel says what it misses
    data = unpacked(files[name])
    for needed in needed_by(data):
        _load(needed, files, loaded, (*above, name))
    loaded[name] = data
