"""Guests without booting one: their file system, the agent's words, what a kernel says when it dies, and names."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path
from typing import cast

import pytest

from fuzz.targets import TargetError
from fuzz.targets.guests import build, console, counting, initramfs, kernels, machine_qemu, machine_uml
from fuzz.targets.guests.guest import Guest
from fuzz.targets.served.machine import OFF, STARTING, Handed

# --- the file system --------------------------------------------------------------------------------------------------

#: a file «ab» of 3 bytes, rwxr-xr-x, inode 7: magic, 13 fields of 8 digits, name and zero byte, data; filled up to 4
BY_HAND = (
    b"070701" b"00000007" b"000081ed" b"00000000" b"00000000" b"00000001" b"00000000" b"00000003"
    b"00000000" b"00000000" b"00000000" b"00000000" b"00000003" b"00000000"
    b"ab\0" b"\0\0\0" b"xyz" b"\0"
)  # fmt: skip


def test_a_member_of_an_archive_is_what_it_is_by_hand() -> None:
    assert initramfs.entry("ab", 0o100755, b"xyz", 7) == BY_HAND


def test_an_archive_has_folders_the_console_files_and_a_trailer() -> None:
    whole = initramfs.archive([("init", b"agent")], ("dev",))
    assert len(whole) % 512 == 0
    assert names(whole) == ["dev", "dev/console", "init", "TRAILER!!!"]
    console_ = whole[116:]
    assert console_[:22] == b"0707010000000200002180", "a character device"
    assert console_[6 + 8 * 9 : 6 + 8 * 11] == b"0000000500000001"


def names(archive: bytes) -> list[str]:
    """Names of all members, read by the format's own lengths."""
    found, at = [], 0
    while at < len(archive) and archive[at : at + 6] == b"070701":
        size, length = (int(archive[at + 6 + 8 * field :][:8], 16) for field in (6, 11))
        found.append(archive[at + 110 : at + 110 + length - 1].decode())
        at += (110 + length + 3 & ~3) + (size + 3 & ~3)
    return found


def module(depends: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0"


def test_modules_come_behind_what_they_need_and_unpacked(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "virtio_net.ko.xz").write_bytes(lzma.compress(module("net-failover,built_in")))
    (tmp_path / "deep" / "net_failover.ko").write_bytes(module("failover"))
    (tmp_path / "failover.ko.gz").write_bytes(gzip.compress(module("")))
    (tmp_path / "virtio_blk.ko").write_bytes(module(""))
    loaded = initramfs.ordered(tmp_path, "net")
    assert [name for name, _ in loaded] == ["failover", "net_failover", "virtio_net"]
    assert loaded[2][1] == module("net-failover,built_in")
    assert initramfs.ordered(tmp_path, "rng") == [], "what is no file is built in"
    (tmp_path / "vmw_vsock_virtio_transport.ko").write_bytes(module("vmw_vsock_virtio_transport_common,vsock"))
    (tmp_path / "vmw_vsock_virtio_transport_common.ko").write_bytes(module("vsock"))
    (tmp_path / "vsock.ko").write_bytes(module(""))
    assert [name for name, _ in initramfs.ordered(tmp_path, "vsock")] == [
        "vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport",
    ]  # fmt: skip
    image = initramfs.packed(b"agent", loaded)
    assert image == initramfs.packed(b"agent", loaded)
    assert names(gzip.decompress(image))[-4:-1] == [
        "modules/00-failover.ko", "modules/01-net_failover.ko", "modules/02-virtio_net.ko",
    ]  # fmt: skip


def test_a_broken_module_is_named(tmp_path: Path) -> None:
    (tmp_path / "virtio_blk.ko.xz").write_bytes(b"no xz")
    with pytest.raises(TargetError, match=r"virtio_blk\.ko\.xz can't be read"):
        initramfs.ordered(tmp_path, "blk")


# --- the agent's words ------------------------------------------------------------------------------------------------


def test_the_agent_is_understood_in_any_pieces() -> None:
    said = (
        b"boot noise\ndevice 0 virtio0 2\ndevice 1 virtio3 2\nready 7.3.4\nstate 1 working\nfeatures 1 d70000204\r\n"
        b"h 1 3e2 512 e2030000000000000300000061626364\nh 1 ff -5 -\nh 1 cut\nh 9 1 1 -\n"
        b"failed 0 bind: No such device\nstate"
    )
    for step in (1, 7, len(said)):
        heard = console.Listener(2)
        assert heard.devices[0].state == STARTING
        for at in range(0, len(said), step):
            heard.feed(said[at : at + step])
        assert heard.release == "7.3.4"
        assert [device.state for device in heard.devices] == ["failed: bind: No such device", "working"]
        assert (heard.devices[1].name, heard.devices[1].kind, heard.devices[1].features) == ("virtio3", 2, 0xD70000204)
        check = bytes.fromhex("e2030000000000000300000061626364")
        assert heard.devices[1].handed == [Handed(0x3E2, 512, check), Handed(0xFF, -5, b"")]


def test_a_device_that_a_guest_lacks_is_said_when_it_has_booted() -> None:
    heard = console.Listener(2)
    heard.feed(b"device 0 virtio0 2\nready 7\n")
    assert [device.state for device in heard.devices] == [OFF, "failed: the guest has no such device"]


def test_where_a_kernel_has_its_code_is_heard() -> None:
    heard = console.Listener(1)
    heard.feed(b"code ffffffff81cdba00 ffffffff81ce4dd0\n")
    assert heard.code == (0xFFFFFFFF81CDBA00, 0xFFFFFFFF81CE4DD0)
    heard.feed(b"code zz\n")
    assert heard.code[1] == 0xFFFFFFFF81CE4DD0


# --- a kernel that counts ---------------------------------------------------------------------------------------------


def without_plugins(folder: Path) -> str:
    """A program that is to QEMU without plugins what it says."""
    program = folder / "qemu"
    program.write_text("#!/bin/sh\necho 'qemu: -plugin: invalid option' >&2\nexit 1\n")
    program.chmod(0o755)
    return str(program)


def test_a_qemu_without_plugins_says_so_in_a_line(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQFUZZ_QEMU", without_plugins(cached))
    with pytest.raises(TargetError, match=r"^coverage=on needs a QEMU built with plugins .*: qemu: -plugin: invalid"):
        machine_qemu.make("qemu-guest:7,coverage=on", lambda: cached / "tcg.so")


def test_where_the_code_lies_is_asked_once_for_each_kernel(cached: Path) -> None:
    kernel = kernels.find("7")
    asked: list[FakeGuest] = []

    def ask() -> Guest:
        asked.append(FakeGuest("code 10 2f\ndevice 0 virtio0 2\nready 7\n"))
        return cast("Guest", asked[-1])

    for _ in range(2):
        assert counting.code_of(kernel, "blk", ask, 5.0) == counting.Code(0x10, 0x2F)
    assert [guest.closed for guest in asked] == [True]
    kernel.image.write_bytes(b"another")
    counting.code_of(kernel, "blk", ask, 5.0)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("said", "died", "line"),
    [
        ("code 0 0\nready 7\n", "", r"7\.10 1 does not say where virtio_ring\.c is"),
        ("", "the guest ended: no word why", r"can't be asked where its code lies: the guest ended: no word why"),
        ("", "", r"can't be asked where its code lies: it does not come up in 0\.1 s"),
    ],
)
def test_a_kernel_that_does_not_say_where_its_code_lies_is_a_line(
    cached: Path, said: str, died: str, line: str
) -> None:
    guest = FakeGuest(said, died)
    with pytest.raises(TargetError, match=line):
        counting.code_of(kernels.find("7"), "blk", lambda: cast("Guest", guest), 0.1)
    assert guest.closed


class FakeGuest:
    """Says what it is told to."""

    def __init__(self, said: str, died: str = "") -> None:
        self.heard = console.Listener(0)
        self.said, self.died = said, died
        self.closed = False

    def boot(self, slots: tuple[()]) -> None:
        self.heard.feed(self.said.encode())

    def alive(self) -> str:
        return self.died

    def close(self) -> None:
        self.closed = True


def test_counts_of_a_guest_say_only_what_was_reached() -> None:
    counters = counting.Reached()
    try:
        counters.wanted = True
        counters.clear()
        counters.memory[4096 + 7], counters.memory[4096 + 9] = 200, 1
        assert counters.hits() == [(7, 1), (9, 1)]
        counters.keep()
        counters.memory[4096 + 8] = 1
        assert counters.hits() == [(7, 1), (9, 1)]
    finally:
        counters.close()


# --- a kernel's last words --------------------------------------------------------------------------------------------

OOPS = """\
[    3.117000] virtio_blk virtio0: [vda] 65536 512-byte logical blocks
[    3.201423] BUG: kernel NULL pointer dereference, address: 0000000000000008
[    3.201500] Oops: Oops: 0002 [#1] SMP NOPTI
[    3.201600] RIP: 0010:virtqueue_get_buf_ctx_split+0x9c/0x1a0
[    3.202000] Kernel panic - not syncing: Fatal exception in interrupt
"""


def test_what_killed_a_kernel_is_told_in_a_line() -> None:
    assert console.panic(OOPS) == (
        "BUG: kernel NULL pointer dereference, address: 0000000000000008; in virtqueue_get_buf_ctx_split+0x9c/0x1a0; "
        "Kernel panic - not syncing: Fatal exception in interrupt"
    )
    assert console.panic("Kernel panic - not syncing: Attempted to kill init!\n") == (
        "Kernel panic - not syncing: Attempted to kill init!"
    )
    assert console.panic("[    1.0] virtio_blk virtio0: all is well\n") == ""


def test_warnings_are_words_and_with_warn_panic_the_end() -> None:
    text = "[ 4.5] WARNING: CPU: 0 PID: 9 at drivers/virtio/virtio_ring.c:42 detach_buf+0x1/0x2\n[ 4.6] fine\n"
    assert console.warnings(text) == ["WARNING: CPU: 0 PID: 9 at drivers/virtio/virtio_ring.c:42 detach_buf+0x1/0x2"]
    text += "[ 4.7] Kernel panic - not syncing: kernel: panic_on_warn set ...\n"
    assert console.panic(text) == (
        "WARNING: CPU: 0 PID: 9 at drivers/virtio/virtio_ring.c:42 detach_buf+0x1/0x2; "
        "Kernel panic - not syncing: kernel: panic_on_warn set ..."
    )


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two kernels and nothing else."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("6.12", "7.10"):
        folder = tmp_path / "vqfuzz" / "guests" / name
        folder.mkdir(parents=True)
        (folder / "vmlinuz").write_bytes(b"")
        (folder / ".complete").write_text(f"linux-image-{name} 1\n")
    return tmp_path


def test_kernels_are_found_by_the_beginning_of_their_version(cached: Path) -> None:
    assert kernels.find("7").name == kernels.find("7.10").name == kernels.find("").name == "7.10"
    assert kernels.find("6.12").version == "linux-image-6.12 1"
    with pytest.raises(TargetError, match=r"no kernel '7\.1'.*6\.12, 7\.10"):
        kernels.find("7.1")
    with pytest.raises(TargetError, match="user-mode Linux is not installed"):
        kernels.find_uml("")
    with pytest.raises(TargetError, match="is no program"):
        kernels.find_uml("no-such-program")


def test_an_image_is_named_by_its_path(cached: Path) -> None:
    image = cached / "bzImage"
    image.write_bytes(b"")
    assert kernels.find(str(image)).modules == cached / "modules"
    (cached / "there").mkdir()
    assert kernels.find(str(image), str(cached / "there")).modules == cached / "there"
    with pytest.raises(TargetError, match="is no folder with modules"):
        kernels.find(str(image), str(cached / "elsewhere"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("qemu-guest:7,kind=gpu", r"qemu-guest has no kind=gpu: there are net, blk, console, rng, vsock"),
        ("qemu-guest:7,color=red", r"qemu-guest has no option 'color=red': modules=, kind=, device=, warn=, coverage="),
        ("qemu-guest:7,warn=on", r"qemu-guest has no warn=on: panic, or nothing"),
        ("qemu-guest:7,coverage=off", r"qemu-guest has no coverage=off: on, or nothing"),
        ("qemu-guest:7,device=other", r"qemu-guest has no device 'other'"),
        ("qemu-guest:7,kind=console", r"no vhost-user device of class console but the generic one: add device=test"),
    ],
)
def test_wrong_words_are_answered_by_a_line(cached: Path, words: str, line: str) -> None:
    with pytest.raises(TargetError, match=line):
        machine_qemu.make(words, Path)


def test_uml_has_no_devices_of_qemu(cached: Path) -> None:
    with pytest.raises(TargetError, match="uml has no option 'device=test'"):
        machine_uml.make("uml:,device=test")


def test_the_c_library_that_a_program_asks_for_decides_whose_it_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    program = tmp_path / "linux"
    program.write_bytes(b"\x7fELF\0GLIBC_2.9\0GLIBC_2.34\0")
    assert machine_uml.usr_for(program) == ""
    program.write_bytes(b"\x7fELF\0GLIBC_2.34\0GLIBC_2.38\0")
    with pytest.raises(TargetError, match=r"linux needs glibc 2\.38, and here is 2\.36: install sid's"):
        machine_uml.usr_for(program)
    (tmp_path / "vqfuzz" / "sid").mkdir(parents=True)
    (tmp_path / "vqfuzz" / "sid" / ".complete").write_text("")
    assert machine_uml.usr_for(program) == str(tmp_path / "vqfuzz" / "sid" / "usr")


def test_without_a_compiler_there_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(TargetError, match="no C compiler"):
        build.agent()
