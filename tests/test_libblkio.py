"""libblkio as a driver under test: where the library is looked for, and the real one."""

from __future__ import annotations

import pytest

from fuzz import encoding, registry
from fuzz.confirm import Runner
from fuzz.targets import TargetError
from fuzz.targets.served import libblkio
from fuzz.targets.served.machine import Handed
from oracles import spec

PROGRAM = """\
virtqueue-program 1
role device
queue split 256
features version_1
use 5 reversed
call
use 3 singly
use 12 youngest
call
"""
real = pytest.mark.target("libblkio")


def test_the_library_is_looked_for_where_the_environment_says(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(libblkio.VARIABLE, str(tmp_path))
    assert libblkio.library() is None
    assert libblkio.missing() == (
        "libblkio or its header is not here (scripts/install-targets --libblkio, or VQFUZZ_LIBBLKIO)"
    )
    with pytest.raises(TargetError, match="libblkio or its header is not here"):
        libblkio.reader()
    for folder, name in (("usr/include", "blkio.h"), ("usr/lib", "libblkio.so.1.5.0")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).touch()
    (tmp_path / "usr/lib/libblkio.so").symlink_to("libblkio.so.1.5.0")
    found = libblkio.library()
    assert found is not None
    assert found.version == "1.5.0"
    assert found.flags == (
        f"-I{tmp_path}/usr/include", f"-L{tmp_path}/usr/lib", f"-Wl,-rpath,{tmp_path}/usr/lib", "-lblkio"
    )  # fmt: skip


def test_reports_are_read() -> None:
    assert libblkio.parse("7 512 " + "0a" * 16) == Handed(7, 512, b"\n" * 16)
    assert libblkio.parse("8 -5 " + "a5" * 16).result == -5
    with pytest.raises(TargetError, match="takes nothing behind its name"):
        libblkio.make("libblkio:x")


@real
def test_all_that_libblkio_reads_is_what_we_wrote() -> None:
    target = registry.make("libblkio")
    runner = Runner(target)
    for _ in range(2):  # another process, and another connection, each time
        outcome = runner.run(encoding.load(PROGRAM))
        assert (outcome.verdict, outcome.reason) == ("CONFORMS", "")
        assert outcome.chains >= 20
        assert sum(type(seen).__name__ == "Delivered" for _, seen in outcome.trace) >= 5
    assert target.starts == 1
    target.close()


@real
def test_libblkio_takes_event_idx() -> None:
    target = registry.make("libblkio")
    assert target.probe().features == spec.VERSION_1 | spec.EVENT_IDX
    target.close()
