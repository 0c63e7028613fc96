"""The inflight area of devices that are served: kept while buffers are, taken up by who comes next."""

from __future__ import annotations

import os

import pytest

from fuzz.targets.served import kinds
from fuzz.targets.served.bench import Bench
from fuzz.targets.vhost_user import protocol
from oracles import spec, split_rings
from oracles import vhost_user as vu
from tests.served_kit import Guest, behind


@pytest.fixture
def bench():
    made = Bench([("blk", True, True)], kinds.load)
    yield made
    made.close()


@pytest.fixture
def guest(bench):
    made = Guest(bench.slots[0].socket)
    behind(bench, made.frontend.negotiate)
    yield made
    made.close()


def taken_up(device, packed):
    """The device's half of its queue, as a back-end makes it that knows the area alone."""
    device.areas.clear()
    ring = device.rings[0]
    view = device.regions.space.view

    def store(offset, data):
        view[offset : offset + len(data)] = data

    return device.ring_class(ring)(view, 0, store, device.accepted, 8, *device.places(ring), *device.positions(ring))


def in_flight(area, packed):
    """Entries of an area that say so, by number; what its header tells of what was used; counters."""
    head, entry, at = (vu.INFLIGHT_PACKED, vu.ENTRY_PACKED, 4) if packed else (vu.INFLIGHT_SPLIT, vu.ENTRY_SPLIT, 2)
    entries = [entry.unpack_from(area, head.size + entry.size * number) for number in range(8)]
    header = head.unpack_from(area)
    counters = [one[at] for one in entries if one[0]]
    return [number for number, one in enumerate(entries) if one[0]], header[5:] if packed else header[3:], counters


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_in_flight_is_kept_and_taken_up_by_who_comes_next(bench, packed) -> None:
    guest = Guest(bench.slots[0].socket)
    guest.frontend.wanted |= vu.INFLIGHT
    behind(bench, guest.frontend.negotiate)
    assert guest.frontend.negotiated & vu.INFLIGHT
    area = os.memfd_create("area", os.MFD_CLOEXEC)
    os.ftruncate(area, 4096)
    message = protocol.inflight(vu.SET_INFLIGHT_FD, 4096, 0, 1, 8)
    bench.leave_to_program(0, 0)
    try:
        features = spec.VERSION_1 | (spec.RING_PACKED if packed else 0)
        behind(bench, lambda: guest.frontend.set_features(features))
        behind(bench, lambda: guest.frontend.track([0], message, area))
        behind(bench, lambda: guest.begin(features, 8))
        device = bench.device(0)
        ring = taken_up(device, packed)
        ids = [guest.read_sector(5, 0)[0], guest.read_sector(6, 1)[0]]
        chains = [ring.fetch(), ring.fetch()]
        assert [chain.id for chain in chains] == ids
        assert in_flight(device.area, packed)[0] == ([0, 3] if packed else sorted(ids))
        ring.use([chains[1]], 513)  # the second comes back first
        entries, header, counters = in_flight(device.area, packed)
        assert entries == ([0] if packed else [ids[0]])
        assert header == ((3, 3, 1, 1) if packed else (ids[1], 1)), "where it was used up to"
        assert counters == [0]
        following = taken_up(device, packed)
        assert following.waiting()
        again = following.fetch()
        assert (again.id, again.readable, again.writable) == (ids[0], chains[0].readable, chains[0].writable)
        assert not following.waiting()
        following.use([again], 513)
        assert in_flight(device.area, packed)[0] == []
        for id_ in ids:
            guest.ring.reclaim(id_, 3)
        third = guest.read_sector(7, 2)[0]
        assert following.fetch().id == third, "and goes on behind it"
    finally:
        guest.close()
        os.close(area)


def test_without_an_area_or_room_in_it_nothing_is_kept(bench, guest) -> None:
    behind(bench, lambda: guest.begin(spec.VERSION_1, 8))
    device = bench.device(0)
    assert device.ring_class(device.rings[0]) is split_rings.DeviceRing
    device.area, device.area_entries = memoryview(bytearray(64)), 8
    assert device.ring_class(device.rings[0]) is split_rings.DeviceRing
    assert device.areas == {}
