"""Targets by the words that name them on the command line, each kind imported when it is named.

Knows which kinds there are. Must not know how any of them works: a missing scapy or QEMU breaks
nothing but the targets that need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from fuzz.targets import Target, TargetError
from fuzz.trouble import UsageTrouble

_OVER_SOCKET = "model-vhost-user"
_DRIVER = "model-driver"
_DPDK_DRIVER = "dpdk-virtio-user"
_LINUX = "linux-ring"
_SEABIOS = "seabios"
_BLKIO = "libblkio"
_UML = "uml"
_GUEST = "qemu-guest"
_ADDRESSED = re.compile(r"(exec|vhost-user)(\[[^]]*\])?:", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Known:
    """A target as ``vqfuzz targets`` lists it; *missing*: why it can't be used here, or ''."""

    words: str
    text: str
    role: str = "device"
    missing: str = ""


def make(words: str, qemu: str = "") -> Target:
    """The target that *words* name; *qemu*: the command that starts QEMU, if not the usual one.

    Raises UsageTrouble if no target is called so, TargetError if it can't be used.
    """
    if words.startswith("qemu:"):
        from fuzz.targets.qemu.target import make as make_qemu

        return make_qemu(words, qemu)
    if qemu:
        raise UsageTrouble(f"--qemu names the QEMU of targets qemu:DEVICE; {words} is none")
    if words == "model" or words.startswith("model:"):
        return _model(words)
    if words.partition(":")[0] == _DRIVER:
        return _model_driver(words.partition(":")[2])
    if words.partition(":")[0] == _DPDK_DRIVER:
        from fuzz.targets.dpdk_virtio_user import DpdkVirtioUser

        return cast("Target", DpdkVirtioUser(words.partition(":")[2]))
    if words.partition(":")[0] == _SEABIOS:
        from fuzz.targets.served.seabios import make as make_seabios

        return cast("Target", make_seabios(words))
    if words.partition(":")[0] in (_UML, _GUEST):
        return _guest(words)
    if words.partition(":")[0] == _BLKIO:
        from fuzz.targets.served.libblkio import make as make_libblkio

        return cast("Target", make_libblkio(words))
    if words.partition(":")[0] == _LINUX:
        from fuzz.targets.linux_ring.target import parse

        return cast("Target", parse(words))
    if words.partition(":")[0] == _OVER_SOCKET:
        return _model_over_socket(words.partition(":")[2])
    if words.partition(":")[0] in ("model-pci", "model-mmio"):
        return _register_model(words)
    if _ADDRESSED.match(words) or words in _presets():
        try:
            from fuzz.targets.vhost_user.target import make as make_vhost_user
        except ImportError as error:
            raise TargetError(f"{words} needs the Python package {error.name}, which is not installed") from None
        return cast("Target", make_vhost_user(words))
    raise UsageTrouble(
        f"no target is called {words!r}; the nearest is {_nearest(words)!r} (vqfuzz targets lists them all)"
    )


def _model(words: str) -> Target:
    from fuzz.targets.model import Model

    if words == "model":
        return cast("Target", Model())
    from fuzz.targets.model.faults import FAULTS
    from fuzz.targets.model.hostile_faults import HOSTILE

    fault = words.partition(":")[2]
    known = [*FAULTS, *HOSTILE]
    if fault not in known:
        raise UsageTrouble(
            f"the model has no fault {fault!r}; the nearest is {_closest(fault, known)!r} "
            f"(vqfuzz targets lists all {len(known)})"
        )
    return cast("Target", Model(fault))


def _model_over_socket(fault: str) -> Target:
    from fuzz.targets.model.backend_faults import FAULTS as OVER_SOCKET
    from fuzz.targets.model.faults import FAULTS
    from fuzz.targets.model.vhost_user import ModelVhostUser

    if fault and fault not in OVER_SOCKET and fault not in FAULTS:
        raise UsageTrouble(
            f"{_OVER_SOCKET} has no fault {fault!r}; the nearest is {_closest(fault, [*OVER_SOCKET, *FAULTS])!r} "
            f"(vqfuzz targets lists them all)"
        )
    return cast("Target", ModelVhostUser(fault))


def _register_model(words: str) -> Target:
    from fuzz.targets.model.register_target import RegisterModel

    kind, _, fault = words.partition(":")
    try:
        return cast("Target", RegisterModel(kind.removeprefix("model-"), fault))
    except TargetError as error:
        raise UsageTrouble(f"{error} (vqfuzz targets lists them all)") from None


def _model_driver(fault: str) -> Target:
    from fuzz.targets.model_driver import ModelDriver
    from fuzz.targets.model_driver.faults import FAULTS

    if fault and fault not in FAULTS:
        raise UsageTrouble(
            f"{_DRIVER} has no fault {fault!r}; the nearest is {_closest(fault, FAULTS)!r} "
            f"(vqfuzz targets lists all {len(FAULTS)})"
        )
    return cast("Target", ModelDriver(fault))


def _guest(words: str) -> Target:
    if words.partition(":")[0] == _UML:
        from fuzz.targets.guests.machine_uml import make as make_uml

        return cast("Target", make_uml(words))
    from fuzz.coverage.build import plugin_file
    from fuzz.targets.guests.machine_qemu import make as make_guest

    return cast("Target", make_guest(words, plugin_file))


def _presets() -> list[str]:
    from fuzz.targets.presets import PRESETS

    return list(PRESETS)


def _closest(words: str, among: Iterable[str]) -> str:
    from difflib import get_close_matches

    return get_close_matches(words, list(among), 1, 0.0)[0]


def _nearest(words: str) -> str:
    ours = ["model", "model-pci", "model-mmio", _OVER_SOCKET, _DRIVER, _DPDK_DRIVER, _SEABIOS, _BLKIO, _UML, _GUEST]
    names = [*ours, "linux-ring:SRC", *_presets(), "vhost-user:PATH", "exec:COMMAND", "qemu:DEVICE"]
    heads = {name.partition(":")[0]: name for name in reversed(names)}
    head = _closest(words.partition(":")[0].partition("[")[0], [*heads])
    return _closest(words, names) if words in names else heads[head]


def known() -> Iterator[Known]:
    """All targets, in the order in which people read them."""
    from fuzz.targets.presets import PRESETS

    yield Known("model", "Python reference device, in this process: conforms, and is as awkward as is legal")
    yield Known("model:FAULT", "the same with a planted fault; they are listed below")
    yield Known(_OVER_SOCKET, "the same device as a vhost-user back-end, behind a socket and shared memory of its own")
    yield Known("model-pci", "the same device behind the registers of virtio-pci; model-pci:FAULT plants one there")
    yield Known("model-mmio", "the same device behind the registers of virtio-mmio; model-mmio:FAULT plants one there")
    yield Known(_DRIVER, "Python reference driver, in this process: we are the device; also model-driver:FAULT",
                "driver")  # fmt: skip
    from fuzz.targets.dpdk_virtio_user import available as has_testpmd

    missing = "" if has_testpmd() else "dpdk-testpmd is not installed (Debian: dpdk-dev)"
    yield Known(_DPDK_DRIVER, "DPDK's virtio driver under testpmd, which forwards; with :rx it only "
                "receives, with :tx it sends; VQFUZZ_DPDK_TESTPMD names another", "driver", missing)  # fmt: skip
    from fuzz.targets.served.seabios import available as has_firmware

    missing = "" if has_firmware() else "qemu-system-x86_64 is not installed (Debian: qemu-system-x86)"
    yield Known(_SEABIOS, "SeaBIOS under QEMU: firmware that reads our disk and boots from it a sector that reads on; "
                "seabios:pc is another machine, VQFUZZ_QEMU names another QEMU", "driver", missing)  # fmt: skip
    from fuzz.targets.guests.machine_qemu import available as lacks_guest
    from fuzz.targets.guests.machine_uml import available as lacks_uml

    yield Known("uml:BINARY", "the drivers of user-mode Linux, a guest that is a process; uml: is the one installed by "
                "scripts/install-targets --linux-guests", "driver", lacks_uml())  # fmt: skip
    yield Known("qemu-guest:KERNEL", "a kernel's drivers in a guest of QEMU: an image, or a version that is installed, "
                "as in qemu-guest:7.3; VQFUZZ_QEMU names another QEMU", "driver", lacks_guest())  # fmt: skip
    from fuzz.targets.served.libblkio import missing as lacks

    yield Known(_BLKIO, "libblkio's driver of disks in a program of ours, compiled here; VQFUZZ_LIBBLKIO names a "
                "folder that has the library and its header", "driver", lacks())  # fmt: skip
    yield Known("linux-ring:SRC", "Linux's virtio_ring.c, compiled here from a tree, a tarball or an installed version "
                "(scripts/install-targets --linux-sources); also SRC,build=sanitized", "driver")  # fmt: skip
    yield Known("vhost-user:SOCKET", "a vhost-user back-end that listens on SOCKET; vhost-user[blk]: says its class")
    yield Known(
        "exec:'CMD {socket}'",
        "a vhost-user back-end that we start, watch and restart; also exec[blk]:, or "
        "exec[raw]: for a device type that isn't among ours",
    )
    from fuzz.targets.qemu.target import PROGRAM
    from fuzz.targets.qemu.target import available as has_qemu

    missing = "" if has_qemu() else f"{PROGRAM} is not installed (Debian: qemu-system-x86)"
    text = "a QEMU device through qtest, such as qemu:virtio-blk-pci,in_order=on,packed=on; --qemu names another QEMU"
    yield Known("qemu:DEVICE", text, "device", missing)
    for name, preset in PRESETS.items():
        missing = ""
        try:
            from fuzz.targets.vhost_user.target import available

            if not available(name):
                missing = f"{preset.command[0]} is not installed (Debian: {preset.package})"
        except ImportError as error:
            missing = f"the Python package {error.name} is not installed"
        yield Known(name, preset.summary, "device", missing)
