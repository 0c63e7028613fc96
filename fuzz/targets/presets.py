"""Back-ends that are known by name: how to start each, what it serves, and facts about it.

A new back-end is one entry. Knows command lines and limits. Must not know how to speak to any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fuzz.program import Limits
from oracles import spec

#: what every vhost-user back-end can be asked to do: reset by connecting anew, stop and start a queue, start anywhere
ACTIONS = frozenset({"reset", "restart", "start", "asleep"})

_DISK = 16 * 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Preset:
    """One back-end.

    In *command* and *environment*, ``{socket}`` is the socket's path, ``{folder}`` a folder of its own (where
    *files*, (name, bytes), are created) and ``{cpus}`` the processors that we may use. The program is looked for
    on the PATH under the command's first word, or a command stands in the variable VQFUZZ_ with that word in capitals.
    """

    name: str  # on our command line
    summary: str
    command: tuple[str, ...]
    package: str  # that has it in Debian
    limits: Limits
    files: tuple[tuple[str, int], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    patience: float = 5.0  # seconds it may take from its start until it listens
    version: tuple[str, ...] = ()  # arguments that make it print its version
    version_line: str = ""  # or what its output says in front of it
    #: how to reset what lacks RESET_DEVICE: «reconnect», or «stop» all queues, as QEMU does, and start them again
    reset_by: str = "reconnect"
    stop_spreads: bool = False  # stopping one queue silences the others, until they are enabled anew
    facts: tuple[str, ...] = ()  # that explain what is found
    places: tuple[str, ...] = ()  # where the program may be, if it isn't on the PATH
    once: bool = False  # it serves one connection and ends, as it says: that is no crash


_QEMU = Preset(
    name="qemu-storage-daemon",
    summary="QEMU's virtio-blk on libvhost-user, over a raw file of 16 MiB; completes out of order",
    command=(
        "qemu-storage-daemon",
        "--blockdev",
        "driver=file,node-name=disk,filename={folder}/disk.raw,cache.no-flush=on",  # a flush of the host's disk: 30 ms
        "--export",
        "type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path={socket},writable=on",
    ),
    package="qemu-utils",
    files=(("disk.raw", _DISK),),
    version=("--version",),
    facts=(
        "10.0.2: a queue stopped with requests in flight is fatal: as they complete, it writes to the call descriptor "
        "that it closed, and gives up the connection (vu_panic: Error writing eventfd)",
        "a chain of direct descriptors that ends in an indirect one is not understood (2.7.5.3.2), so none is drawn",
        "10.0.2 to 11.1.3: whether a ring is enabled makes no difference: it executes requests once it is started",
    ),
    limits=Limits(
        layouts=(spec.SPLIT,),
        in_order=(False,),
        device="blk",
        actions=ACTIONS,
        mixed_indirect=False,
        hints=(("capacity", _DISK // 512),),
    ),
)

_DPDK = Preset(
    name="dpdk-vhost",
    summary="DPDK's vhost library under testpmd: virtio-net that sends back what it gets; split, packed, in order",
    command=(
        "dpdk-testpmd",
        "--lcores=0@({cpus}),1@({cpus})",  # two threads that float, so that one processor is enough
        *("--no-pci", "--no-huge", "-m", "256", "--no-telemetry", "-v"),
        "--vdev=net_vhost0,iface={socket},queues=1",
        *("--", "-i", "--no-mlockall", "--total-num-mbufs=8192"),
        *("--forward-mode=io", "--port-topology=loop", "--auto-start"),
    ),
    package="dpdk-dev",
    environment=(("RUNTIME_DIRECTORY", "{folder}"),),  # else it leaves a folder in /var/run/dpdk at every start
    patience=20.0,
    version_line="RTE Version",
    reset_by="stop",
    stop_spreads=True,
    facts=(
        "22.11 to 25.11: num_buffers of received frames is left as it was (5.1.6.4.1), so it is not looked at",
        "22.11 to 25.11, packed: when four frames come at once and four descriptors are available, each is taken for a "
        "buffer of its own, whatever its NEXT says; so ids of other than last descriptors come back",
        "22.11: where the header in front of a received frame spans more than two descriptors, the frame is written "
        "past the second of them",
        "22.11: stopping one queue silences the others, so these are enabled anew when it is resumed",
        "packed: the position that a stop reports has only its available half; at the start, used is set equal to it",
        "a chain of direct descriptors that ends in an indirect one is not understood (2.7.5.3.2), so none is drawn",
    ),
    limits=Limits(
        device="net",
        queues=2,
        actions=ACTIONS,
        mixed_indirect=False,
        hints=(("echo", 1), ("num_buffers", 0)),
    ),
)

_VIRTIOFSD = Preset(
    name="virtiofsd",
    summary="the vhost-user virtio-fs daemon (rust-vmm), over an empty folder",
    command=(
        "virtiofsd",
        "--shared-dir",
        "{folder}",
        "--socket-path",
        "{socket}",
        "--sandbox",
        "none",
        "--seccomp",
        "none",
    ),
    package="virtiofsd, Debian 13",
    places=("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"),
    patience=15.0,
    version=("--version",),
    once=True,
    facts=("it serves one connection and ends",),
    limits=Limits(
        layouts=(spec.SPLIT,),
        in_order=(False,),
        device="fs",
        queues=2,
        actions=ACTIONS,
        mixed_indirect=False,
    ),
)

_VSOCK = Preset(
    name="vhost-device-vsock",
    summary="rust-vmm's vhost-user virtio-vsock device, with nobody behind it",
    command=("vhost-device-vsock", "--guest-cid", "3", "--socket", "{socket}", "--uds-path", "{folder}/host"),
    package="vhost-device-vsock, Debian sid",
    version=("--version",),
    facts=(
        "0.3.0: a packet whose header is spread over two elements is never used (2.7.4.1), which would hide all else: "
        "packets are not cut",
    ),
    limits=Limits(
        layouts=(spec.SPLIT,),
        in_order=(False,),
        features=spec.EVENT_IDX,
        device="vsock",
        queues=2,
        actions=ACTIONS,
        mixed_indirect=False,
        uncut=frozenset({0, 1}),
    ),
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _QEMU,
        replace(
            _QEMU,
            name="qemu-storage-daemon:null",
            summary="the same over a null device: completes in order, reads are zeros, nothing is kept",
            command=(
                "qemu-storage-daemon",
                "--blockdev",
                f"driver=null-co,node-name=disk,size={_DISK},read-zeroes=on",
                *_QEMU.command[3:],
            ),
            files=(),
            limits=replace(_QEMU.limits, hints=(*_QEMU.limits.hints, ("forgets", 1))),
        ),
        _DPDK,
        replace(
            _DPDK,
            name="dpdk-vhost:whole",
            summary="the same with receive buffers of one element each, which is all that it handles well when packed",
            limits=replace(_DPDK.limits, uncut=frozenset({0})),
        ),
        _VIRTIOFSD,
        _VSOCK,
    )
}
