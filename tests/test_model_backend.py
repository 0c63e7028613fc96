"""The reference back-end where no case goes: in-band notifications, several regions, what it refuses."""

from __future__ import annotations

import socket

import pytest

from fuzz.cases.bench import Bench
from fuzz.targets.model.vhost_user import ModelVhostUser
from fuzz.targets.vhost_user import protocol
from fuzz.targets.vhost_user.frontend import Refused
from oracles import vhost_user as vu


@pytest.fixture
def bench():
    target = ModelVhostUser()
    bench = Bench(target)
    yield bench
    bench.close()
    target.close()


def test_kicks_and_calls_in_band(bench):
    frontend = bench.introduce(vu.REPLY_ACK | vu.BACKEND_REQ | vu.INBAND)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        frontend.send(protocol.plain(vu.SET_BACKEND_REQ_FD), [theirs.fileno()])
        bench.share()
        line = bench.line()
        bench.place(line)
        frontend.enable(line.number)
        bench.supply(line)
        frontend.send(protocol.vring(vu.VRING_KICK, line.number, 0))
        frontend.settle()
        assert bench.served(line, 1, 0)
        request, flags, size = vu.HEADER.unpack(ours.recv(12))
        assert (request, flags, size) == (vu.BACKEND_VRING_CALL, vu.VERSION, vu.VRING_STATE.size)
        assert vu.VRING_STATE.unpack(ours.recv(size)) == (line.number, 0)


@pytest.mark.parametrize(
    "message",
    [
        protocol.vring(vu.SET_VRING_NUM, 9, 8),
        protocol.number(vu.SET_FEATURES, 1 << 63),
        protocol.vring_addresses(0, 1, 2, 3),
        protocol.memory_region(vu.REM_MEM_REG, 1, 2, 3),
        protocol.plain(vu.SET_VRING_NUM),
        protocol.plain(99),
    ],
)
def test_what_can_not_be_followed_is_refused(bench, message):
    frontend = bench.introduce()
    frontend.send(message)
    with pytest.raises(Refused):
        frontend.settle()
    assert frontend.number(vu.GET_FEATURES)


def test_no_more_regions_than_slots(bench):
    frontend = bench.introduce()
    slots = frontend.number(vu.GET_MAX_MEM_SLOTS)
    for place in range(slots):
        frontend.add_region(place << 20, 4096, place << 20, bench.shared.descriptor)
    frontend.settle()
    frontend.add_region(slots << 20, 4096, slots << 20, bench.shared.descriptor)
    with pytest.raises(Refused):
        frontend.settle()
