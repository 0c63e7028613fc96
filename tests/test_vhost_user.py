"""The vhost-user session against a back-end that behaves well: what it gets to see, and what works."""

from __future__ import annotations

import pytest

from fuzz.targets import QueueConfig, TargetError
from fuzz.targets.vhost_user.session import GUEST_ADDRESS, USER_ADDRESS
from fuzz.targets.vhost_user.target import make
from oracles import spec
from tests import fake_backend as fake
from tests.fake_backend import FakeBackend
from tests.vhost_user_kit import QUEUE, WANTED, target_at


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s")


def test_start_sends_what_the_protocol_wants(path):
    with FakeBackend(path) as backend:
        target = target_at(path)
        session = target.open()
        session.start(WANTED, [QUEUE, QueueConfig(4, 512, 640, 704)])
        assert session.called(0, 1)
        session.close()
        target.close()
    kinds = [request for request, _, _ in backend.requests]
    ring = [8, 10, 9, 14, 13, 12, 18]  # size, base, addresses, error, call, kick last, enable
    assert kinds[:7] == [1, 15, 16, 3, 17, 2, 5]  # 17: how many rings there are, as two are more than anybody must have
    assert kinds[7:21] == ring * 2
    payloads = {request: payload for request, payload, _ in backend.requests[:14]}
    assert int.from_bytes(payloads[fake.SET_FEATURES], "little") == WANTED | 1 << 30 | 1 << 9
    assert payloads[fake.SET_VRING_BASE] == (0).to_bytes(4, "little") + (65530).to_bytes(4, "little")
    assert payloads[fake.SET_MEM_TABLE][8:16] == GUEST_ADDRESS.to_bytes(8, "little")
    areas = [USER_ADDRESS + at for at in (QUEUE.descriptor, QUEUE.device, QUEUE.driver)]
    assert payloads[fake.SET_VRING_ADDR][8:32] == b"".join(area.to_bytes(8, "little") for area in areas)
    passed = {request: count for request, _, count in backend.requests}
    assert {request for request, count in passed.items() if count} == {5, 12, 13, 14}


def test_packed_positions_travel_in_one_number(path):
    with FakeBackend(path) as backend:
        target = target_at(path)
        backend_features = fake.FEATURES | spec.RING_PACKED
        session = target.open()
        session.frontend.features = backend_features  # the fake only serves bytes: any layout is one
        session.start(WANTED | spec.RING_PACKED, [QueueConfig(8, 64, 192, 256, 0x8003, 0x8001)])
        target.close()
    base = next(payload for request, payload, _ in backend.requests if request == fake.SET_VRING_BASE)
    assert base[4:] == (0x8001_8003).to_bytes(4, "little")


def test_memory_is_shared_and_cleared_for_the_next(path):
    with FakeBackend(path) as backend:
        target = target_at(path)
        session = target.open()
        session.start(WANTED, [QUEUE])
        session.memory[4000] = 0x5A
        words = session.memory.cast("H")  # somebody who holds on to a part of it
        assert backend.memory is not None
        assert backend.memory[4000] == 0x5A
        session.close()
        again = target.open()
        assert again.memory[4000] == 0
        assert words[2000] == 0
        target.close()


@pytest.mark.parametrize("protocol", [fake.MQ | fake.REPLY_ACK | fake.CONFIG, fake.MQ, fake.CONFIG | fake.STATUS])
def test_works_with_and_without_acknowledgements(path, protocol):
    with FakeBackend(path, protocol=protocol) as backend:
        target = target_at(path)
        for _ in range(3):
            session = target.open()
            session.start(WANTED, [QUEUE])
            assert session.called(0, 1)
            assert session.stop(0) == 77
            session.resume(0, QUEUE)
            assert session.called(0, 1)
            session.notify(0)
            assert session.called(0, 1)
            assert not session.called(0, 0.01)
            session.reset()
            session.start(WANTED, [QUEUE])
            assert session.called(0, 1)
            session.close()
        target.close()
    assert backend.connections == 6  # without RESET_DEVICE, a reset is a new connection
    status = [payload[0] for request, payload, _ in backend.requests if request == fake.SET_STATUS]
    assert status == ([0xF] * 6 if protocol & fake.STATUS else [])


def test_reset_device_keeps_the_connection(path):
    with FakeBackend(path, protocol=fake.REPLY_ACK | fake.RESET) as backend:
        target = target_at(path)
        session = target.open()
        session.start(WANTED, [QUEUE])
        session.reset()
        session.start(WANTED, [QUEUE])
        assert session.called(0, 1)
        target.close()
    assert backend.connections == 1
    assert [request for request, _, _ in backend.requests].count(fake.RESET_DEVICE) == 1


def test_reset_by_stopping_keeps_the_connection_and_reports_status(path):
    with FakeBackend(path, protocol=fake.REPLY_ACK | fake.STATUS) as backend:
        target = target_at(path)
        target.reset_by = "stop"
        target.stop_spreads = True
        session = target.open()
        session.start(WANTED, [QUEUE, QUEUE])
        session.stop(0)
        session.resume(0, QUEUE)
        session.reset()
        session.start(WANTED, [QUEUE, QUEUE])
        assert session.called(1, 1)
        target.close()
    assert backend.connections == 1
    kinds = [(request, payload[0]) for request, payload, _ in backend.requests if request in (11, 39)]
    assert kinds == [(39, 15), (11, 0), (11, 0), (11, 1), (39, 0), (39, 15), (11, 0), (11, 1), (39, 0)]
    enabled = [payload[0::4] for request, payload, _ in backend.requests if request == fake.SET_VRING_ENABLE]
    assert enabled[2:5] == [b"\0\1", b"\1\0", b"\1\1"]  # the other queue is disabled and enabled anew


def test_probe_tells_what_is_offered(path):
    with FakeBackend(path):
        target = make(f"vhost-user:{path}")
        offer = target.probe()
        target.close()
    assert target.limits.device == "blk"
    assert target.limits.layouts == (spec.SPLIT,)
    assert target.limits.in_order == (False, True)
    assert target.limits.features == spec.INDIRECT_DESC
    assert target.limits.hints == (("capacity", 2048),)
    assert (offer.queues, len(offer.config)) == (3, 60)
    details = dict(offer.details)
    assert details["ring features"] == "indirect_desc version_1 in_order"
    assert details["protocol features"] == "mq reply_ack config"
    assert target.describe()["target"] == f"vhost-user:{path}"


def test_brackets_choose_the_device_class(path):
    with FakeBackend(path, protocol=fake.REPLY_ACK):
        with pytest.raises(TargetError, match=r"can't be told: write vhost-user\[blk\]: or vhost-user\[net\]:"):
            make(f"vhost-user:{path}")
        target = make(f"vhost-user[net]:{path}")
        assert (target.limits.device, target.limits.queues) == ("net", 2)
        target.close()
