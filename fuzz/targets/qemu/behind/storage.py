"""A disk in QEMU's block layer, whose requests can be made to hang, crawl, or fail and be tried again.

Knows QEMU's block drivers and how to steer them while it runs. Must not know which device the disk is in.

From the device down: ``disk0`` throttles, ``raw0`` tells blkdebug of every read and write, ``debug0`` (blkdebug)
suspends or fails them, ``file0`` is a real file, whose threads complete requests in any order. A second way
in, ``hand0``, is ours: the human monitor's qemu-io reaches the graph through it. (Through a node's name it
would make a way in of its own each time, and QEMU hangs when that is closed while a request is suspended.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from fuzz.targets.qemu import behind

NODE = "disk0"  # what a device takes for its drive
SIZE = 16 << 20  # bytes
SECTOR = 512
#: Bytes at the end that belong to the lever ``fail``: no request should go there.
RESERVED = 8 * SECTOR

_FILE = "filename={folder}/disk.raw,cache.no-flush=on,aio=threads"

#: What fails, in the order of blkdebug's states; it goes from one to the next at every write of zeros, which no
#: driver asks for unless it negotiated WRITE_ZEROES. State 1 is the first.
_FAILS = (("none", ()), ("read", ("read",)), ("write", ("write",)), ("on", ("read", "write")))
_EIO = 5

#: A throttle lets pass as much as a tenth of a second's worth at once. So that much is used up first, and what is
#: beyond it makes the next request wait.
_RATE = 20_000  # sectors a second
_AT_ONCE = _RATE // 10

SUSPEND = "suspend"
LATENCY = "latency"
PAUSE = "pause"
FAIL = "fail"
#: In QEMU, stopping the machine waits for a suspended request, which then never ends: only one of these at a time.
_EXCLUSIVE = (SUSPEND, PAUSE, FAIL)

LEVERS: behind.Named = (
    (SUSPEND, ("none", "read", "write")),  # the next such request stays where it is until the lever is moved back
    (LATENCY, ("0", "10", "1")),  # ms until the next request goes; then a twentieth of one for each sector
    (PAUSE, ("off", "on")),  # whether the virtual machine is paused
    (FAIL, tuple(name for name, _ in _FAILS)),  # the machine stops at an error, and tries again when it goes on
)
#: Properties of a device that takes our drive: held at an error instead of answered, and willing to share.
PROPERTIES = {"share-rw": "on", "rerror": "stop", "werror": "stop"}


def _graph() -> list[str]:
    """QEMU's options for all nodes."""
    rules: list[str] = []
    for state, (_, failing) in enumerate(_FAILS, 1):
        for kind in ("read", "write"):
            # without a rule for no error, that of the state before would stay in force
            rule = {"event": f"{kind}_aio", "state": state, "iotype": kind, "errno": _EIO if kind in failing else 0}
            rules += [f"inject-error.{len(rules) // 4}.{name}={value}" for name, value in rule.items()]
    for state in range(1, len(_FAILS) + 1):
        rule = {"event": "pwritev_zero", "state": state, "new_state": state % len(_FAILS) + 1}
        rules += [f"set-state.{state - 1}.{name}={value}" for name, value in rule.items()]
    hand = {"driver": "throttle", "throttle-group": "slow0", "file": "raw0", "discard": "unmap"}
    return [
        *("-blockdev", f"driver=file,node-name=file0,{_FILE}"),
        *("-blockdev", ",".join(["driver=blkdebug,node-name=debug0,image=file0", *rules])),
        *("-blockdev", "driver=raw,node-name=raw0,file=debug0"),
        *("-object", "throttle-group,id=slow0"),
        *("-blockdev", f"driver=throttle,node-name={NODE},file=raw0,throttle-group=slow0"),
        *("-drive", "if=none,id=hand0,file=json:" + json.dumps(hand).replace(",", ",,")),
    ]


class Storage(behind.Behind):
    """What blk and scsi have in common: the graph and its levers. Nothing of it if the user brings a drive."""

    def __init__(self) -> None:
        super().__init__()
        self.ours = True
        self.movable = LEVERS  # by whoever writes a program; ``levers`` are those that are drawn
        self._moved: dict[str, str] = {}  # levers that are not neutral

    def before(self, given: Mapping[str, str]) -> list[str]:
        """The graph."""
        self.ours = "drive" not in given
        self.levers = self.movable = LEVERS if self.ours else ()
        return _graph() if self.ours else []

    def plain(self, given: Mapping[str, str]) -> list[str]:
        """The file alone."""
        return ["-blockdev", f"driver=file,node-name={NODE},{_FILE}"] if self.ours else []

    def files(self) -> tuple[tuple[str, int], ...]:
        """The disk's contents."""
        return (("disk.raw", SIZE),) if self.ours else ()

    def ready(self) -> None:
        """A new QEMU: nothing is moved in it."""
        self._moved.clear()

    def fresh(self) -> None:
        """Move everything back."""
        for name in list(self._moved):
            self._move(name, dict(LEVERS)[name][0])

    def before_reset(self) -> None:
        """A device reset waits for all requests, so none may be suspended."""
        if SUSPEND in self._moved:
            self._move(SUSPEND, "none")

    def holding(self) -> bool:
        """Whether requests may stay where they are."""
        return any(name in self._moved for name in _EXCLUSIVE)

    def lever(self, name: str, value: str) -> None:
        """Move a lever, and those back that can't go with it."""
        values = dict(self.movable).get(name, ())
        if value not in values or value == self._moved.get(name, values[0]):
            return
        for other in _EXCLUSIVE:
            if name in _EXCLUSIVE and other in self._moved:
                self._move(other, dict(LEVERS)[other][0])
        if value != values[0] or name in self._moved:
            self._move(name, value)

    def _move(self, name: str, value: str) -> None:
        neutral = value == dict(LEVERS)[name][0]
        {SUSPEND: self._suspend, LATENCY: self._slow, PAUSE: self._pause, FAIL: self._fail}[name](value, neutral)
        if neutral:
            del self._moved[name]
        else:
            self._moved[name] = value

    def _hand(self, words: str) -> None:
        self.monitor.human(f'qemu-io hand0 "{words}"')

    def _suspend(self, value: str, neutral: bool) -> None:
        # Removing a breakpoint also lets go on whoever stopped there.
        self._hand("remove_break held" if neutral else f"break {value}_aio held")

    def _slow(self, value: str, neutral: bool) -> None:
        limits = {"iops-total": 0, "iops-size": 0} if neutral else {"iops-total": _RATE, "iops-size": SECTOR}
        self.monitor.execute("qom-set", path="/objects/slow0", property="limits", value=limits)
        if not neutral:
            # A discard costs as much as a read or write, and goes no further than the throttle.
            self._hand(f"discard -q 0 {(_AT_ONCE + int(value) * _RATE // 1000) * SECTOR}")

    def _pause(self, value: str, neutral: bool) -> None:
        self.monitor.execute("cont" if neutral else "stop")

    def _fail(self, value: str, neutral: bool) -> None:
        names = [name for name, _ in _FAILS]
        steps = names.index(value) - names.index(self._moved.get(FAIL, names[0]))
        for _ in range(steps % len(names)):
            self._hand(f"write -q -z {SIZE - SECTOR} {SECTOR}")
        if neutral:
            # Stopping waits until every request has failed that is going to; going on forgets that any of them
            # wanted the machine stopped, and tries all of them again.
            self.monitor.execute("stop")
            self.monitor.execute("cont")
