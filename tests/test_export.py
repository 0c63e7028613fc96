"""Finds on QEMU devices as shell scripts: the record of a run, its chapters, and scripts that show what was found."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from fuzz.program import Notify, Program, Queue, Receive, Request, Supply
from fuzz.report.qtest_log import Known, Ran, chapters
from fuzz.report.qtest_proof import Proof
from fuzz.report.qtest_script import About, Stock, script
from fuzz.targets.qemu.private import Window
from fuzz.verdict import CRASHED, Outcome
from oracles import spec
from oracles.trace import Entry, Started, Supplied
from tests.conftest import target_version
from tests.qemu_kit import HERE, SID

AT = 0x100000000
#: QEMU 10.0.2 counts the entries of indirect tables as if they were descriptors of the ring
LOST = """virtqueue-program 1
device blk
queue split 2
features indirect_desc version_1 in_order
supply read sector=0 length=512 indirect held
supply get_id indirect
notify
"""
#: a request that is in flight when its queue is reset comes back on the queue that follows
REVIVED = """virtqueue-program 1
device blk
queue split 4
features version_1 ring_reset
lever suspend=read
supply read sector=0 length=3584
notify
queue-reset
supply read sector=1 length=512
notify
"""
#: 2.7.5.3.2, which QEMU doesn't follow
MIXED = """virtqueue-program 1
device blk
queue split 4
features indirect_desc version_1
supply read sector=0 length=512 cut=4,12,rest indirect=1
notify
"""
FINE = """virtqueue-program 1
device rng
queue split 4
features version_1
supply entropy length=8
notify
receive 1
"""


# --- the record -------------------------------------------------------------------------------------------------------


class Qemu:
    """Guest memory."""

    def __init__(self):
        self.memory = bytearray(0x1000)
        self.reads = 0

    def read(self, address, size):
        self.reads += 1
        return bytes(self.memory[address - AT : address - AT + size])

    def obey(self, lines):
        for line in lines:
            word, address, *rest = line.split()
            value = int(rest[-1], 0)
            data = value.to_bytes(2, "little") if word == "writew" else bytes.fromhex(rest[-1][2:])
            self.memory[int(address, 0) - AT : int(address, 0) - AT + len(data)] = data
        return lines


@pytest.fixture
def qemu():
    return Qemu()


@pytest.fixture
def window(qemu):
    return Window(0x1000, AT, qemu.read)


def test_stores_become_commands_in_their_order(window, qemu):
    words = window.cast("H")
    window[0x20:0x30] = bytes(range(16))
    words[1] = 0x102
    words[1] = 0x103
    window[0x40:0x44] = bytes(4)
    lines = qemu.obey(window.commands())
    assert lines == [
        "write 0x100000020 0x10 0x000102030405060708090a0b0c0d0e0f",
        "writew 0x100000002 0x102",
        "writew 0x100000002 0x103",
        "write 0x100000040 0x4 0x00000000",
    ]
    assert window.commands() == []


def test_loads_show_what_qemu_wrote(window, qemu):
    words = window.cast("H")
    words[4] = 7
    qemu.obey(window.commands())
    qemu.memory[8] = 9
    window.stale = True
    assert words[4] == 9
    assert window[8:10].tobytes() == b"\x09\0"
    assert window.seen()[8:] == b"\x09\0"


# --- chapters ---------------------------------------------------------------------------------------------------------

PROGRAM = Program(
    "split",
    (Queue(2),),
    spec.VERSION_1,
    "blk",
    (Supply(request=Request("read", (("sector", 0), ("length", 512)))), Notify(), Receive(1)),
)
TRACE: list[Entry] = [
    (0, Started("split", 2, spec.VERSION_1, AT + 0x40, AT + 0x80, AT + 0xC0, (AT, 0x1000))),
    (0, Supplied(0, 0, 2, 16, 513, ((AT + 0x200, 16), (AT + 0x220, 513)))),
]
LOG = [
    "outl 0xcf8 0x80001010",
    "outl 0xcfc 0xffffffff",
    "outl 0xcf8 0x80001010",
    "outl 0xcfc 0xe0000000",
    "writel 0xe0000000 0x100000",
    "writeb 0xe0004014 0x0",
    "# session",
    '{"execute": "cont"}',
    f"write {AT + 0x100:#x} 0x40 0x{'fb' * 64}",
    "writeb 0xe0004014 0xf",
    "# step 1",
    f"write {AT + 0x1F0:#x} 0x40 0x{'fb' * 16 + '07' * 16 + 'fb' * 16 + '85' * 16}",
    f"writew {AT + 0x82:#x} 0x1",
    "# step 2",
    "writew 0xe0003000 0x0",
    "# step 3",
    "writel 0x100004 0x0",
    "# step 4",
    '{"execute": "stop"}',
    "writel 0x100004 0x0",
]
KNOWN = Known(
    {"writew 0xe0003000 0x0": "notify queue 0"},
    {0xE0004014: "device_status"},
    range(AT, AT + 0x1000),
    range(0x100000, 0x101000),
)


def told(whole=False, interrupts=False):
    run = Ran(PROGRAM, TRACE, [0.1, 0.1, 0.3])
    return chapters(LOG, [run], KNOWN, whole=whole, interrupts=interrupts)


def test_chapters_have_what_matters():
    none = -1
    found = [
        (chapter.title, [re.sub(" +# ", " # ", line) for line in chapter.lines], chapter.pause) for chapter in told()
    ]
    assert found == [
        (
            "What firmware does: the device gets its addresses, and messages for interrupts.",
            ["outl 0xcf8 0x80001010", "outl 0xcfc 0xe0000000", "writel 0xe0000000 0x100000"],
            none,
        ),
        (
            "set-up with the ring features version_1 (3.1.1)",
            ["writeb 0xe0004014 0xf # device_status: ACKNOWLEDGE DRIVER FEATURES_OK DRIVER_OK"],
            0,
        ),
        (
            "step 1: supply read sector=0 length=512",
            [
                f"write {AT + 0x200:#x} 0x10 0x{'07' * 16} # b0, to be read",
                f"writew {AT + 0x82:#x} 0x1 # avail.idx",
            ],
            none,
        ),
        ("step 2: notify", ["writew 0xe0003000 0x0 # notify queue 0"], 0),
        ("step 3: receive 1", [], 0.6),
        ("step 4: nothing; no step is left", ['{"execute": "stop"}'], none),
    ]


def test_all_of_memory_is_told_where_it_matters():
    lines = [line for chapter in told(whole=True) for line in chapter.lines]
    assert f"memset {AT + 0x100:#x} 0x40 0xfb" in [line.partition("#")[0].strip() for line in lines]
    assert any("85858585" in line for line in lines)


def test_interrupts_that_were_taken_note_of_are_forgotten_but_for_the_last():
    lines = [line.partition("#")[0].strip() for chapter in told(interrupts=True) for line in chapter.lines]
    assert lines.count("writel 0x100004 0x0") == 1


# --- scripts ----------------------------------------------------------------------------------------------------------


def run(path, shell="sh", qemu=""):
    environment = {name: value for name, value in os.environ.items() if name != "QEMU"}
    environment |= {"QEMU": qemu} if qemu else {}
    return subprocess.run([shell, path], env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_words_survive_the_shell(tmp_path, shell):
    """Options with blanks, quotes and dollars reach QEMU as they are, and so does every command."""
    words = ["-one", 'a "b" $c `d` \\e', "-two", '{folder}/f "g" $h\'i', "-three", "file=json:{\"a\":: 'b'}"]
    fake = tmp_path / "qemu"
    fake.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" > "$OUT/words"\nwhile IFS= read -r line; do\n'
        'printf "%s\n" "$line" >> "$OUT/commands"\necho OK\ndone\nexit 33\n'
    )
    fake.chmod(0o755)
    stock = Stock(words, (("disk", 4096),))
    text = script(About("qemu:virtio-rng-pci", "QEMU 1", [PROGRAM]), Outcome(CRASHED, reason="it's dead"), told(),
                  Proof([(0x10, 1)], ['judge(0, "alive")']), stock)  # fmt: skip
    (tmp_path / "script").write_text(text)
    done = run(tmp_path / "script", shell, f"env OUT={tmp_path} {fake}")
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stderr == ""
    assert done.stdout == "RIGHT: alive.\n"
    got = (tmp_path / "words").read_text().splitlines()
    folder = got[3].removesuffix('/f "g" $h\'i')
    assert got[:6] == [word.replace("{folder}", folder) for word in words]
    commands = (tmp_path / "commands").read_text().splitlines()
    assert "writew 0xe0003000 0x0" in commands
    assert commands[-2:] == ["read 0x10 0x1", "outb 0xf4 0x10"]
    assert not any("#" in line for line in commands)
    assert not os.path.exists(folder), "the script cleans up"


@pytest.fixture
def exported(cli, tmp_path):
    """Export a program; returns what the command said, and the script's path."""

    def export(text, target, *options):
        (tmp_path / "p.vq").write_text(text)
        out = tmp_path / "script"
        done = cli("export", tmp_path / "p.vq", "--as", "qtest", "--target", target, "--out", out, *options)
        return done, out

    return export


def assert_written(done, mended):
    """There is a script; only a QEMU of another version than the one it was found in may be *mended*."""
    if "conforms" in done.stderr and target_version("qemu-system-x86_64") != "10.0.2":
        pytest.skip(mended)
    assert done.returncode == 0, done.stderr
    assert "the script shows it on QEMU" in done.stderr


@HERE
def test_lost_completion_shows_on_a_stock_qemu_and_not_on_one_that_is_mended(exported):
    done, out = exported(LOST, "qemu:virtio-blk-pci,in_order=on")
    assert_written(done, "this QEMU loses no completion")
    shown = run(out)
    assert shown.returncode == 1, shown.stderr
    assert "WRONG: b1 (id 1) was never used." in shown.stdout
    assert "INO-LIVE" in shown.stdout
    text = out.read_text()
    assert "# step 3: notify" in text
    assert "blkdebug" not in text, "what stands behind the device is as plain as it can be"
    if target_version("sid:qemu-system-x86") is not None:
        fixed = run(out, qemu=SID)
        assert fixed.returncode == 0, fixed.stdout + fixed.stderr
        assert "RIGHT: what must come back came back." in fixed.stdout


@HERE
def test_levers_and_queue_resets_are_in_the_script(exported):
    done, out = exported(REVIVED, "qemu:virtio-blk-pci,queue_reset=on")
    assert_written(done, "this QEMU forgets requests when their queue is reset")
    shown = run(out)
    assert shown.returncode == 1, shown.stderr
    assert "used.ring[1] = {id 3, len 3585}: no outstanding buffer" in shown.stdout
    assert "break read_aio held" in out.read_text()


@HERE
def test_a_device_that_gives_up_on_virtio_mmio(exported):
    done, out = exported(MIXED, "qemu:virtio-blk-device")
    assert_written(done, "this QEMU follows mixed chains")
    shown = run(out)
    assert shown.returncode == 1
    assert "WRONG: DEVICE_NEEDS_RESET is set." in shown.stdout
    assert "missing headers" in shown.stdout


# --- bad input --------------------------------------------------------------------------------------------------------


@HERE
def test_what_conforms_is_not_exported(exported):
    done, out = exported(FINE, "qemu:virtio-rng-pci")
    assert done.returncode == 0
    assert "nothing to export" in done.stderr
    assert not out.exists()


def test_other_targets_have_no_script(exported):
    done, out = exported(FINE, "model")
    assert done.returncode == 2
    assert "qemu:DEVICE" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not out.exists()


@HERE
def test_a_script_that_can_not_be_written(cli, tmp_path):
    (tmp_path / "p.vq").write_text(MIXED)
    done = cli("export", tmp_path / "p.vq", "--as", "qtest", "--target", "qemu:virtio-blk-pci", "--out", tmp_path)
    assert done.returncode == 3
    assert "can't be written" in done.stderr
    assert len(done.stderr.splitlines()) == 1
