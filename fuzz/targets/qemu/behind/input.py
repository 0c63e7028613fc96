"""Behind virtio-keyboard, -mouse, -tablet and -multitouch: somebody who presses keys and moves things.

Knows QEMU's names of keys and axes, and which device hears of which.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from fuzz.devices.input import ABS, KEY, LED, REL, REP, SYN
from fuzz.targets import TargetError
from fuzz.targets.qemu import behind

Event = dict[str, object]

_KEYS = ("a", "shift", "ret", "f12")
_BUTTONS = ("left", "middle", "side")
_WAYS = ("1", "20", "3000")
_TOUCHES = ("begin", "update", "end")
#: what can happen to each kind of device, and the types of events that it has
_PULSES: dict[str, behind.Named] = {
    "keyboard": (("press", _KEYS), ("release", _KEYS), ("type", ("2", "5"))),
    "mouse": (("move", _WAYS), ("click", _BUTTONS), ("wheel", ("up", "down"))),
    "tablet": (("point", _WAYS), ("click", _BUTTONS), ("wheel", ("up", "down"))),
    "multitouch": (("touch", _TOUCHES), ("slide", _WAYS)),
}
_TYPES = {
    "keyboard": (SYN, KEY, LED, REP),
    "mouse": (SYN, KEY, REL),
    "tablet": (SYN, KEY, REL, ABS),
    "multitouch": (SYN, KEY, ABS),
}


class Behind(behind.Behind):
    """A user. *kind*: of device."""

    device_class = "input"
    queues = 2
    unmeasured = frozenset({1})
    facts = (
        "10.0.2, 11.1.3: status buffers have a used length of 8, and nothing is or could be written to them (2.7.8.2); "
        "so nothing is said about their lengths here",
        "11.1.3: a device without lights that is sent the state of one (status type=17) aborts QEMU; so none is sent",
        "10.0.2, 11.1.3: on a packed ring, event buffers of several descriptors that are too few for an update are put "
        "back wrongly, and later ones taken from their middle (2.8.6); so they are whole here with packed=on",
    )

    def __init__(self, kind: str = "keyboard") -> None:
        super().__init__()
        self.pulses = _PULSES[kind]
        self._known = dict(self.pulses)
        self._types = sum(1 << number for number in _TYPES[kind])

    def before(self, given: Mapping[str, str]) -> list[str]:
        """No back-end; whether there may be packed rings is known now."""
        self.uncut = frozenset({0} if given.get("packed") == "on" else ())
        return []

    def hints(self, features: int, config: bytes) -> tuple[tuple[str, int], ...]:
        """Which types of events the device has."""
        return (("types", self._types),)

    def lever(self, name: str, value: str) -> None:
        """Something happens: each time one update of the device, which ends in SYN_REPORT."""
        if value not in self._known.get(name, ()):
            return
        for events in _updates(name, value):
            with suppress(TargetError):  # while the device is not live, QEMU knows nobody who would hear of it
                self.monitor.execute("input-send-event", events=events)


def _updates(name: str, value: str) -> list[list[Event]]:
    """QEMU's events, those of one update together."""
    if name == "press":
        return [[_key(value, True)]]
    if name == "release":
        return [[_key(value, False)]]
    if name == "type":
        return [[_key(key, down) for down in (True, False) for key in _KEYS[: int(value)]]]
    if name == "click":
        return [[_button(value, True)], [_button(value, False)]]
    if name == "wheel":
        return [[_button(f"wheel-{value}", True)], [_button(f"wheel-{value}", False)]]
    if name == "touch":
        return [[_touch(value, 0)], [_touch(value, 1)]]
    if name == "slide":
        return [[_touch("data", 0, axis, int(value)) for axis in "xy"]]
    return [[_move("rel" if name == "move" else "abs", axis, int(value)) for axis in "xy"]]


def _key(key: str, down: bool) -> Event:
    return {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": key}}}


def _button(button: str, down: bool) -> Event:
    return {"type": "btn", "data": {"down": down, "button": button}}


def _move(kind: str, axis: str, value: int) -> Event:
    return {"type": kind, "data": {"axis": axis, "value": value}}


def _touch(kind: str, slot: int, axis: str = "x", value: int = 0) -> Event:
    data = {"type": kind, "slot": slot, "tracking-id": slot, "axis": axis, "value": value}
    return {"type": "mtt", "data": data}
