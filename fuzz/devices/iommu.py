"""virtio-iommu (5.13): endpoints, domains and mappings on queue 0, room for fault reports on queue 1.

Knows requests, statuses and properties. Must not know rings, or which device answers.

Which requests succeed depends on what came before, and a reset takes all domains away: so a status is only said to
be wrong where the request alone decides it. Mappings are drawn in slots of equal size, of which unmap takes whole
ones, so that no mapping is ever to be split (5.13.6.6.1).
"""

from __future__ import annotations

import struct
from functools import partial

from fuzz.choices import Choices
from fuzz.devices import Message
from fuzz.devices.forms import Forms, cut, pick, values, words
from fuzz.program import Limits, Request

_HALF, _WORD, _LONG = 0xFF, (1 << 32) - 1, (1 << 64) - 1
_HEAD = struct.Struct("<B3x")  # type (5.13.6)
_FAULT = struct.Struct("<B3xIIIQ")  # reason, flags, endpoint, reserved, address (5.13.6.9)
_TYPES = {"attach": 1, "detach": 2, "map": 3, "unmap": 4, "probe": 5}
_TAIL = 4  # bytes: the status and three more
_STATUSES = ("OK", "IOERR", "UNSUPP", "DEVERR", "INVAL", "RANGE", "NOENT", "FAULT", "NOMEM")
_INVAL, _NOENT = 4, 6
_RESV_MEM = 1
_SLOT = 16  # pages
_WEIGHED = ("attach", "attach", "attach", "detach", "map", "map", "map", "unmap", "unmap", "probe")

_ENDPOINT, _DOMAIN = {"endpoint": (0, _WORD, 0)}, {"domain": (0, _WORD, 1)}
_RANGE = {"virt": (0, _LONG, 0), "size": (1, _LONG, 4096)}
FORMS: Forms = {
    "attach": {**_DOMAIN, **_ENDPOINT, "flags": (0, _WORD, 0), "reserved": (0, _WORD, 0)},
    "detach": {**_DOMAIN, **_ENDPOINT},
    "map": {**_DOMAIN, **_RANGE, "phys": (0, _LONG, 0), "flags": (0, _WORD, 3)},
    "unmap": {**_DOMAIN, **_RANGE},
    "probe": _ENDPOINT,
    "event": {"length": (_FAULT.size, 4096, _FAULT.size)},
}


class Device:
    """One run of one program.

    *hints*: endpoint0, endpoint1, …: those that there are, all of them; absent: one that is not among them; page: the
    granularity; probe: bytes of properties; phys: an address that may be mapped to.
    """

    name = "iommu"

    def __init__(self, hints: dict[str, int]) -> None:
        self._probe = hints.get("probe", 512)
        self._absent = hints.get("absent")
        self._endpoints = _endpoints(hints)

    # --- requests -----------------------------------------------------------------------------------------------------

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Few endpoints and domains, so that requests concern each other."""
        hints = dict(limits.hints)
        integer = choices.integer
        if queue == 1:
            request = Request("event", (("length", _FAULT.size + integer(0, 3) // 3 * 8),))
        else:
            kind = ("attach", "attach", "attach", "detach", "map", "map", "map", "unmap", "unmap", "probe")[
                integer(0, 9)
            ]
            request = Request(kind, tuple(self._drawn(kind, choices, hints).items()))
        message = self.message(request, 0, queue)
        readable, writable = len(message.readable), message.writable
        return request, cut(choices, readable, writable, 0 if queue else _HEAD.size, 0 if queue else _TAIL)

    @staticmethod
    def _drawn(kind: str, choices: Choices, hints: dict[str, int]) -> dict[str, int]:
        """Fields of a request."""
        integer = choices.integer
        endpoints = _endpoints(hints) or (0,)
        if "absent" in hints and integer(0, 7) == 7:
            endpoints = (hints["absent"],)
        fields = {}
        if kind != "probe":
            fields["domain"] = 1 + integer(0, 3) // 3
        if kind in ("attach", "detach", "probe"):
            fields["endpoint"] = pick(choices, endpoints)
        if kind == "attach":
            fields["flags"] = integer(0, 15) // 15  # ATTACH_F_BYPASS
        page = hints.get("page", 4096)
        if kind in ("map", "unmap"):
            fields["virt"] = integer(0, 7) * _SLOT * page
        if kind == "map":
            fields["size"] = page * pick(choices, (1, 1, 2, 3, 8, _SLOT))
            fields["phys"] = hints.get("phys", 0) + integer(0, 15) * page
            fields["flags"] = pick(choices, (1, 2, 3, 7))
        elif kind == "unmap":
            fields["size"] = page * _SLOT * pick(choices, (1, 1, 2, 8))
        return fields

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return words(self.name, FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        kind, given = request.kind, values(FORMS, request)
        if kind == "event":
            return Message(b"", given["length"], self._reported, completes=False)
        head = _HEAD.pack(_TYPES[kind])
        if kind == "probe":
            return Message(head + struct.pack("<I64x", given["endpoint"]), self._probe + _TAIL, _probed)
        if kind in ("attach", "detach"):
            body = struct.pack("<II", given["domain"], given["endpoint"])
            body += struct.pack("<II", given["flags"], given["reserved"]) if kind == "attach" else bytes(8)
        else:
            end = min(given["virt"] + given["size"] - 1, _LONG)
            body = struct.pack("<IQQ", given["domain"], given["virt"], end)
            body += struct.pack("<QI", given["phys"], given["flags"]) if kind == "map" else bytes(4)
        return Message(head + body, _TAIL, partial(_answered, self._demanded(kind, given)))

    # --- answers ------------------------------------------------------------------------------------------------------

    def _demanded(self, kind: str, given: dict[str, int]) -> tuple[int, ...]:
        """Statuses one of which the device must give to a request whatever came before; none: it depends."""
        found = []
        if kind == "attach" and (given["reserved"] or given["flags"] & ~1):
            found.append(_INVAL)  # 5.13.6.3.2
        if kind == "map" and given["flags"] & ~7:
            found.append(_INVAL)  # 5.13.6.5.2
        if kind in ("attach", "detach") and given["endpoint"] == self._absent:
            found.append(_NOENT)  # 5.13.6.3.2, 5.13.6.4.2
        return tuple(found)

    def _reported(self, used: int, data: bytes) -> str:
        """5.13.6.9: a report as long as it is known, of an endpoint that there is."""
        if 0 <= used < _FAULT.size:
            return ""  # an older format is allowed (5.13.6.9.2)
        reason, _, endpoint, _, _ = _FAULT.unpack_from(data)
        if self._endpoints and endpoint not in self._endpoints:
            return f"a fault (reason {reason}) of endpoint {endpoint:#x}, which there is not (5.13.6.9.2)"
        return ""


def _endpoints(hints: dict[str, int]) -> tuple[int, ...]:
    return tuple(value for name, value in hints.items() if name.startswith("endpoint"))


def _answered(demanded: tuple[int, ...], used: int, data: bytes) -> str:
    """5.13.6: a status that there is, and the one that is demanded. Used without a byte: the device can't tell."""
    status = data[-_TAIL]
    if used == 0 and not demanded:
        return ""
    if status >= len(_STATUSES):
        return f"status {status}, which is none of the specification (5.13.6)"
    if demanded and status not in demanded:
        return f"status {_STATUSES[status]}, must be {' or '.join(_STATUSES[other] for other in demanded)} (5.13.6)"
    return ""


def _probed(used: int, data: bytes) -> str:
    """5.13.6.7.2: properties one behind the other, each as long as it says."""
    wrong = _answered((), used, data)
    if wrong or used == 0 or data[-_TAIL]:
        return wrong
    properties = data[:-_TAIL]
    at = 0
    while at + 4 <= len(properties):
        kind, length = struct.unpack_from("<HH", properties, at)
        if not kind & 0xFFF:
            break
        if at + 4 + length > len(properties):
            return f"the property at byte {at} is {length} bytes long and reaches beyond the end (5.13.6.7.2)"
        if kind == _RESV_MEM and length != 20:
            return f"a RESV_MEM property at byte {at} with length {length}, not 20 (5.13.6.8.1)"
        at += 4 + length
    return ""
