"""SeaBIOS as a driver under test: the firmware of a real QEMU, and the sector that it boots from our disk."""

from __future__ import annotations

import struct

import pytest

from fuzz import encoding, registry
from fuzz.confirm import Runner
from fuzz.targets import TargetError
from fuzz.targets.served import boot_sector
from fuzz.targets.served.seabios import SeaBios, make
from oracles import spec

PROGRAM = """\
virtqueue-program 1
role device
queue split 128
features version_1
use 1
call
suppress disable
use 1 singly
use 1
use 1
call
"""
qemu = pytest.mark.target("qemu-system-x86_64")


def test_the_boot_sector_is_a_program_that_firmware_takes() -> None:
    sector = boot_sector.sector()
    assert (len(sector), sector[510:]) == (512, b"\x55\xaa")
    assert sector[:21].hex() == "fc31c08ed88ed0bc007c8816c07db056e6e98a16c0"  # cld … out 0xe9, 'V'; mov dl, [drive]
    request = sector[0x1C3:][:16]
    assert request == struct.pack("<BBHHHQ", 16, 0, 1, 0x8000, 0, 1)
    jump = sector[18:0x1C0].rstrip(b"\0")
    assert jump[-2] == 0xEB
    assert jump[-1] - 256 + len(jump) == 0  # back to the first read


def test_what_the_boot_sector_says_is_taken_in_whole_reports() -> None:
    machine = SeaBios("q35")
    machine._works = True
    report = b"R" + boot_sector.REPORT.pack(0, 16, 0, 2, 0x8000, 0, 5) + b"a" * 16 + b"b" * 16
    failed = b"R" + boot_sector.REPORT.pack(4, 16, 0, 0, 0x8000, 0, 6)
    machine._rest = report + failed + report[:20]
    assert [tuple(getattr(one, name) for name in ("tag", "result", "check")) for one in machine._parse()] == [
        (5, 512, b"a" * 16), (6, 512, b"b" * 16), (6, -4, b""),
    ]  # fmt: skip
    assert machine._parse() == []
    machine._rest += report[20:]
    assert len(machine._parse()) == 2


def test_there_are_two_machines() -> None:
    with pytest.raises(TargetError, match="q35 and pc; there is no 'microvm'"):
        make("seabios:microvm")


@qemu
@pytest.mark.parametrize("name", ["seabios", "seabios:pc"])
def test_firmware_boots_from_our_disk_and_reads_on(name: str) -> None:
    target = registry.make(name)
    runner = Runner(target)
    outcome = runner.run(encoding.load(PROGRAM))
    assert (outcome.verdict, outcome.reason) == ("CONFORMS", "")
    assert outcome.chains >= 25  # the boot sector, what is read before the first step, and one for each step
    assert any(type(seen).__name__ == "Delivered" for _, seen in outcome.trace)
    target.close()


@qemu
def test_firmware_accepts_version_1_and_nothing_else() -> None:
    target = registry.make("seabios")
    offer = target.probe()
    assert offer.features == spec.VERSION_1
    assert "128 entries" in offer.facts()["queue"]
    assert "QEMU" in offer.facts()["version"]
    target.close()


@qemu
def test_a_program_that_misleads_firmware_ends_in_time() -> None:
    target = registry.make("seabios")
    outcome = Runner(target).run(encoding.load(PROGRAM + "misuse id=9\nuse 1\ncall force\n"))
    assert outcome.verdict in ("CONFORMS", "UNDECIDED", "CRASHED")
    target.close()
