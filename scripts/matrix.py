#!/usr/bin/env python3
"""Fuzz every QEMU device in all four modes, and print a table of what came of it.

    scripts/matrix.py [--seconds 20] [--jobs 2] [--only blk,net] [--avoid full-ring] [--in-order] [--out DIR] [QEMU …]

Each QEMU is a command, such as qemu-system-x86_64 or 'scripts/sid-run /usr/bin/qemu-system-x86_64' (both by default).
Finds are kept in DIR, a folder for each device, QEMU and mode. Ends with exit status 1 if there were any.
"""

import argparse
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DEVICES = (
    *("blk-pci", "blk-device", "net-pci", "scsi-pci", "rng-pci", "serial-pci", "balloon-pci", "keyboard-pci"),
    *("mouse-pci", "tablet-pci", "crypto-pci", "9p-pci", "sound-pci", "iommu-pci", "mem-pci", "pmem-pci", "gpu-pci"),
    "rtc-pci",
)
QEMUS = ("qemu-system-x86_64", f"{ROOT / 'scripts' / 'sid-run'} /usr/bin/qemu-system-x86_64")
LAST = re.compile(r"^(\d+) programs? in .*? · .*? · (\d+) buffers? used", re.MULTILINE)
FAIL = re.compile(r"^(?:FAIL|FLAKY:?)\s+(\S+)", re.MULTILINE)
KNOWN = re.compile(r"^known (\S+): met (\d+)", re.MULTILINE)


class Row(NamedTuple):
    """What came of one run."""

    device: str
    qemu: str
    mode: str
    programs: str
    chains: str
    finds: str


def version(qemu: str) -> str:
    """The number of its version."""
    done = subprocess.run([*qemu.split(), "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\S+)", done.stdout)
    return found[1] if found else "?"


def fuzz(options: argparse.Namespace, device: str, qemu: str, packed: bool, in_order: bool) -> Row:
    """One run in one mode."""
    words = f"qemu:virtio-{device}" + (",in_order=on" if in_order else "") + (",packed=on" if packed else "")
    mode = ("packed" if packed else "split") + (" in order" if in_order else "")
    number = version(qemu)
    out = options.out / f"{device}-{number}-{mode.replace(' ', '-')}"
    command = [sys.executable, "-m", "fuzz", "fuzz", words, "--qemu", qemu, "--seed", str(options.seed), "--continue"]
    command += ["--layout", "packed" if packed else "split", "--in-order", "on" if in_order else "off"]
    command += [word for avoid in options.avoid if in_order for word in ("--avoid", avoid)]
    command += ["--time", f"{options.seconds}s", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = LAST.search(done.stdout)
    if last is None:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return Row(device, number, mode, "-", "-", said)
    finds = FAIL.findall(done.stdout) + [f"known: {name} x{count}" for name, count in KNOWN.findall(done.stdout)]
    return Row(device, number, mode, last[1], last[2], ", ".join(finds) or "none")


def main() -> int:
    """All of them, a line each as they are done, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("qemu", nargs="*", default=list(QEMUS))
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--in-order", action="store_true", help="only the modes that are in order")
    parser.add_argument("--avoid", action="append", default=[], help="in the modes that are in order")
    parser.add_argument("--out", type=Path, default=Path("vqfuzz-out/matrix").absolute())
    options = parser.parse_args()
    only = options.only.split(",") if options.only else []
    devices = [device for device in DEVICES if not only or device in only or device.rpartition("-")[0] in only]
    modes = product(devices, options.qemu, (False, True), (True,) if options.in_order else (False, True))

    def one(mode: tuple[str, str, bool, bool]) -> Row:
        row = fuzz(options, *mode)
        print(*row, sep=" · ", file=sys.stderr, flush=True)
        return row

    with ThreadPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(one, modes))
    widths = [max(len(row[column]) for row in rows) for column in range(len(Row._fields))]
    for row in [Row(*Row._fields), Row(*("-" * width for width in widths)), *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    return 1 if any(not row.finds.startswith(("none", "known")) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
