"""Cases of the inflight area, for back-ends that have one: what is in it, and a back-end that takes it up.

Requests stay in flight where the target has a lever that holds them back; where it has none, they may be over
before anybody looks. Knows the bench and the area's place; must not know rules but by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from fuzz.cases import NotOffered
from fuzz.cases.bench import PATIENCE, Bench, Line, Undecided
from fuzz.cases.vhost_user import Talk
from fuzz.targets.model.regions import mapped
from fuzz.targets.vhost_user import protocol
from oracles import spec
from oracles import vhost_user as vu
from oracles.trace import Idle, Tracked


class Area:
    """The inflight area of a bench: its descriptor, and our view of it."""

    def __init__(self, bench: Bench) -> None:
        frontend = bench.frontend
        queues = len(bench.queues)
        request = protocol.inflight(vu.GET_INFLIGHT_FD, 0, 0, queues, bench.size)
        payload = frontend.insist(request, (20, 24))
        self.size, self.offset, self.queues, self.entries = vu.INFLIGHT_HEAD.unpack_from(payload)
        if not self.size or not frontend.gifts:
            raise NotOffered("it has no inflight area to give")
        self.descriptor, frontend.gifts = frontend.gifts[0], frontend.gifts[1:]
        self.view = mapped(self.descriptor, self.size, self.offset)

    def give(self, bench: Bench) -> None:
        """Tell the back-end to use it."""
        message = protocol.inflight(vu.SET_INFLIGHT_FD, self.size, self.offset, self.queues, self.entries)
        bench.frontend.track([bench.line(number).base for number in bench.queues], message, self.descriptor)

    def tracked(self, bench: Bench, line: Line) -> Tracked:
        """What it says of *line*."""
        each = self.size // self.queues
        data = bytes(self.view[each * line.number : each * (line.number + 1)])
        used = line.used if line.layout == spec.SPLIT else line.used | line.wrap << 15
        return Tracked(line.layout, line.size, data, used, tuple(one[0] for one in line.out))

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


def _lever(bench: Bench, hold: str) -> None:
    """Hold requests back, where that is possible."""
    backend = getattr(bench.target, "backend", None)
    for ring in backend.rings if backend is not None else ():
        ring.levers["hold"] = hold


def _with_area(body: Callable[[Bench, Line, Area], None], bench: Bench) -> None:
    """*body*, with all queues running and an inflight area."""
    bench.introduce(needed=vu.INFLIGHT)
    bench.share()
    area = Area(bench)
    try:
        line = bench.line()
        area.give(bench)
        bench.others()
        bench.start(line)
        bench.ready()
        body(bench, line, area)
    finally:
        area.close()


def _in_flight(bench: Bench, line: Line, area: Area) -> None:
    """The area while requests are in flight, and when none is."""
    bench.supply(line, 3)
    bench.kick(line)
    bench.expect(line, 3)
    bench.log.append((line.number, area.tracked(bench, line)))
    if bench.certain:
        _lever(bench, "2")
        bench.supply(line, 3)
        bench.kick(line)
        bench.look(line)
        bench.log.append((line.number, area.tracked(bench, line)))
        _lever(bench, "0")
        bench.kick(line)
        bench.look(line)
    bench.log.append((line.number, area.tracked(bench, line)))


def _taken_up(bench: Bench, line: Line, area: Area) -> None:
    """The back-end is lost with requests in flight, and another gets the area."""
    bench.supply(line, 2)
    bench.kick(line)
    bench.expect(line, 2)
    _lever(bench, "all")
    bench.supply(line, 3)
    bench.kick(line)
    bench.look(line)
    bench.frontend.close()
    bench.target.ended(False)
    bench.look(line)
    bench.introduce(needed=vu.INFLIGHT)
    bench.share()
    for number in bench.queues:
        one = bench.line(number)
        one.base = one.used if one.layout == spec.SPLIT else (one.used | one.wrap << 15) * 0x10001
    area.give(bench)
    bench.others()
    bench.start(line)
    bench.ready()
    left = len(line.out)
    if not bench.served(line, left, PATIENCE):
        bench.log.append((line.number, Idle(bench.certain)))
        if not bench.certain:
            raise Undecided("a buffer that was in flight doesn't come back after the reconnection")
    bench.watch(line)


_SPLIT = ("VU-INFLIGHT-LAYOUT", "VU-INFLIGHT-SPLIT", "VU-BASE-BEFORE-INFLIGHT")
_PACKED = ("VU-INFLIGHT-LAYOUT", "VU-INFLIGHT-PACKED")
TALKS = (
    Talk("in flight", _SPLIT, partial(_with_area, _in_flight), spec.SPLIT),
    Talk(
        "in flight, packed", ("VU-INFLIGHT-LAYOUT", "VU-INFLIGHT-PACKED"), partial(_with_area, _in_flight), spec.PACKED
    ),
    Talk("taken up", ("VU-INFLIGHT-RESUBMIT",), partial(_with_area, _taken_up), spec.SPLIT),
    Talk("taken up, packed", ("VU-INFLIGHT-RESUBMIT",), partial(_with_area, _taken_up), spec.PACKED),
)
