"""The target ``qemu-guest:KERNEL``: a stock kernel in QEMU, which passes our devices on to it.

Nothing but TCG is relied on. Knows QEMU's command line. Must not know rings, nor programs.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import which

from fuzz.targets import TargetError
from fuzz.targets.guests import kernels
from fuzz.targets.guests.counting import ASK, CountedGuest, Counting, code_of, has_plugins
from fuzz.targets.guests.guest import KINDS, OUTSTANDING, Guest
from fuzz.targets.guests.kernels import Kernel
from fuzz.targets.guests.machine_uml import ENTER
from fuzz.targets.guests.target import GuestTarget, limits, options, target
from fuzz.targets.process import first_line
from fuzz.targets.served.kinds import load
from fuzz.targets.served.machine import Slot

NAME = "qemu-guest"
VARIABLE = "VQFUZZ_QEMU"
PROGRAM = "qemu-system-x86_64"
SIZE = 256  # of the virtqueues, as user-mode Linux has them, unless the device fixes it
_MEMORY = "128M"
_STARTING = 180.0  # seconds, on a busy machine without virtualization
_FIRST = 4  # number of the first device on the bus
#: of the kernel: no timer that a busy machine makes fail, and nothing that only costs time here: half of booting
_APPEND = (
    "console=ttyS0", "vqfuzz_tty=/dev/ttyS1", "tsc=reliable", "no_timer_check", "nokaslr", "mitigations=off",
    "nr_cpus=1", "lsm=capability", "ipv6.disable=1", "init_on_alloc=0", "nowatchdog", "cryptomgr.notests",
    "initcall_blacklist=load_system_certificate_list,scx_init",
)  # fmt: skip
_DEVICES = {
    "blk": f"vhost-user-blk-pci,num-queues=1,queue-size={SIZE}",
    "rng": "vhost-user-rng-pci",
    "net": "virtio-net-pci",
    "vsock": "vhost-user-vsock-pci",
}
_SIZES = {"rng": 4, "vsock": 128}
_TEST = "vhost-user-test-device-pci"


def program() -> list[str]:
    """The words that start QEMU: of the environment, else those of the usual program."""
    return shlex.split(os.environ.get(VARIABLE, "")) or [PROGRAM]


def generic() -> list[str]:
    """The words that start a QEMU with a device that can be any: of the environment, else sid's. Raises TargetError."""
    if os.environ.get(VARIABLE):
        return program()
    usr = kernels.sid_usr()
    if not usr:
        raise TargetError(f"device=test needs QEMU 11: scripts/install-targets --sid, or set {VARIABLE}")
    return [sys.executable, "-I", str(ENTER), usr, f"/usr/bin/{PROGRAM}"]


class QemuGuest(Guest):
    """One QEMU. *test*: with its generic device, which knows no class, in place of the class's own."""

    name = NAME

    def __init__(self, kernel: Kernel, kind: str, test: bool, strict: bool) -> None:
        super().__init__(kernel, kind, strict)
        self.test = test
        self.counting: Counting | None = None

    def count(self, counting: Counting) -> QemuGuest:
        """Have it count its kernel's code."""
        self.counting = counting
        self.inherited["counters"] = counting.shared.descriptor
        return self

    def ask(self) -> QemuGuest:
        """Have it say where its kernel's code lies."""
        self.append = (*self.append, ASK)
        return self

    def words_of(self, slots: Sequence[Slot]) -> tuple[list[str], dict[str, str]]:
        """No firmware that looks for disks: the first who speaks to a device is the kernel."""
        words = [
            *(generic() if self.test else program()), "-accel", "tcg", "-cpu", "max", "-M", "q35,memory-backend=m",
            "-m", _MEMORY, "-object", f"memory-backend-memfd,id=m,size={_MEMORY},share=on", "-nodefaults",
            "-no-user-config", "-no-reboot", "-display", "none", "-bios", "qboot.rom",
            "-chardev", "file,id=console,path=/dev/stdout,append=on", "-serial", "chardev:console",
            "-chardev", "pipe,id=agent,path={folder}/agent", "-serial", "chardev:agent",
            "-kernel", str(self.kernel.image), "-initrd", "{folder}/initrd",
            "-append", " ".join((*_APPEND, *self.append)),
        ]  # fmt: skip
        for number, slot in enumerate(slots):
            words += self._device(number, slot)
        if self.counting is not None:
            return [*words, *self.counting.words], self.counting.environment
        return words, {}

    def _device(self, number: int, slot: Slot) -> list[str]:
        name = f"c{number}"
        words = ["-chardev", f"socket,id={name},path={slot.socket}"]
        if self.test:
            kind = load(slot.kind)
            about = f"{_TEST},virtio-id={KINDS[slot.kind]},num_vqs={kind.queues},config_size={len(kind.config)}"
            about += f",vq_size={SIZE}"
        else:
            about = _DEVICES[slot.kind]
        if slot.kind == "net" and not self.test:
            words += ["-netdev", f"vhost-user,id=n{number},chardev={name}"]
            about += f",netdev=n{number}"
        else:
            about += f",chardev={name}"
        modes = f"packed={_switch(slot.packed)},in_order={_switch(slot.in_order)}"
        return [*words, "-device", f"{about},addr={number + _FIRST:#x},{modes}"]


def _switch(on: bool) -> str:
    return "on" if on else "off"


def make(words: str, plugin: Callable[[], Path]) -> GuestTarget:
    """The target that ``qemu-guest:[KERNEL][,modules=DIR][,kind=KIND][,device=test][,warn=panic][,coverage=on]`` names.

    *plugin*: makes the file of a plugin that counts. Raises TargetError.
    """
    named, chosen = options(words, ("modules", "kind", "device", "warn", "coverage"))
    kernel = kernels.find(named, chosen.get("modules", ""))
    kind = chosen.get("kind", "blk")
    test = chosen.get("device", "") == "test"
    if "device" in chosen and not test:
        raise TargetError(f"{NAME} has no device {chosen['device']!r}: test, or none for that of the class")
    if not test and kind not in _DEVICES:
        raise TargetError(f"QEMU has no vhost-user device of class {kind} but the generic one: add device=test")
    facts = {"kernel": kernel.version, "image": str(kernel.image)}

    def guest() -> QemuGuest:
        return QemuGuest(kernel, kind, test, "warn" in chosen)

    def told() -> dict[str, str]:
        return {**facts, "version": first_line([*qemu(), "--version"])}

    qemu = generic if test else program
    size = SIZE if test else _SIZES.get(kind, SIZE)
    if "coverage" not in chosen:
        return target(words, kind, size, _STARTING, guest, told)
    file = plugin()
    has_plugins(qemu(), file)
    code = code_of(kernel, kind, lambda: guest().ask(), _STARTING)
    facts["counted"] = f"code from {code.start:#x} to {code.end:#x}"
    counting = Counting(file, code)
    return CountedGuest(
        words, lambda: guest().count(counting), kind, limits(size), counting=counting, most=OUTSTANDING[kind],
        starting=_STARTING, facts=told,
    )  # fmt: skip


def available() -> str:
    """'' if it can be used, else what is missing."""
    if which(program()[0]) is None:
        return f"{program()[0]} is not installed (Debian: qemu-system-x86)"
    try:
        kernels.find("")
    except TargetError as error:
        return str(error)
    return ""
