"""virtio-net: frames and commands byte by byte, and what may come, in one buffer or over several."""

from __future__ import annotations

import struct

import pytest

from fuzz import devices
from fuzz.choices import Seeded
from fuzz.devices import net
from fuzz.program import Limits, Request
from tests.device_kit import assert_draws_well, message, said

ALL = 1 << 18 | 1 << 19 | 1 << 20 | 1 << 23
COMMANDS = [*("promisc", "allmulti", "alluni", "nomulti", "nouni", "nobcast"), "mac_table", "mac_address"]
COMMANDS += ["vlan_add", "vlan_del"]
PREFILL = b"\x9a"


def network(**hints):
    return devices.load("net", {"echo": 1, **hints})


def send(device, buffer, length=64):
    return device.message(Request("frame", (("length", length),)), buffer, 1).readable


def came(frame, flags=0, kind=0, buffers=1):
    return struct.pack("<BBHHHHH", flags, kind, 0, 0, 0, 0, buffers) + frame


def test_frames_are_right():
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    for length in (net.MIN_FRAME, 60, 511, net.MAX_FRAME):
        data = send(network(), 70000, length)
        assert data[:12] == bytes(12)
        assert len(data) == 12 + length
        packet = Ether(data[12:])
        assert packet[IP].len == length - 14
        assert packet[UDP].len == length - 34
        assert packet[UDP].chksum == 0
        checksum = packet[IP].chksum
        del packet[IP].chksum
        assert Ether(bytes(packet))[IP].chksum == checksum


def test_template_is_built_once():
    assert net.template() is net.template()


def test_echoes():
    device = network()
    frames = [send(device, number, 60 + number)[12:] for number in range(5)]
    room = device.message(Request("room"), 9, 0)
    assert (room.readable, room.writable, room.completes) == (b"", 1526, False)

    def check(data):
        return room.check(len(data), data + b"\x9a" * (room.writable - len(data)))

    assert check(came(frames[0])) == ""
    assert check(came(frames[0])) == "the frame of buffer 0 came after that of buffer 0"
    assert check(came(frames[3])) == ""  # 1 and 2 were lost, which is legal
    assert check(came(frames[2])) == "the frame of buffer 2 came after that of buffer 3"
    assert check(came(frames[4][:-1] + b"\xff")) == "the frame of buffer 4 came back changed"
    assert check(came(frames[4][:-1])) == "the frame of buffer 4 came back changed"
    assert check(came(frames[4])) == ""
    assert check(came(net.frame(77, 60))) == "a frame of 60 bytes that nobody sent"
    assert check(came(bytes(60))) == "a frame of 60 bytes that nobody sent"
    assert check(came(b"short")) == "a frame of 5 bytes that nobody sent"


def test_header_is_judged():
    room = network().message(Request("room"), 0, 0)
    other = network(echo=0).message(Request("room"), 0, 0)
    frame = bytes(60)
    assert "flags 1, gso_type 0" in room.check(72, came(frame, flags=1))
    assert "flags 0, gso_type 3" in other.check(72, came(frame, kind=3))
    assert other.check(72, came(frame, buffers=0x9A9A)) == "num_buffers 39578 without MRG_RXBUF (5.1.6.4.1)"
    assert network(echo=0, num_buffers=0).message(Request("room"), 0, 0).check(72, came(frame, buffers=0)) == ""
    assert other.check(72, came(frame)) == ""  # whoever doesn't echo may send what it likes
    assert other.check(5, bytes(5)) == ""  # too short to say anything; the ring's rules may
    assert other.check(4000, came(frame)) == ""


def test_rooms_in_one_piece():
    limits = Limits(uncut=frozenset({0}))
    choices = Seeded(3)
    device = network()
    assert {device.draw(choices, 0, limits)[1] for _ in range(200)} == {()}
    assert len({device.draw(choices, 1, limits)[1] for _ in range(200)}) > 20


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (
            Request("ping"),
            f"net has no request 'ping'; it has room (queue 0), frame (queue 1), and {', '.join(COMMANDS)}",
        ),
        (Request("frame", (("size", 1),)), "frame has no field 'size'; it has length"),
        (Request("frame", (("length", 1515),)), "length of frame is 54 to 1514, not 1515"),
        (Request("room", (("length", 11),)), "length of room is 12 to 65562, not 11"),
        (Request("room", (("length", 12),)), None),
        (Request("vlan_add", (("id", 4096),)), "id of vlan_add is 0 to 4095, not 4096"),
        (Request("mac_table", (("on", 1),)), "mac_table has no field 'on'; it has unicast and multicast"),
        (Request("room"), None),
    ],
)
def test_words(request_, text):
    assert network().words(request_) == text


def test_draws():
    limits = Limits(device="net", hints=(("mrg_rxbuf", 1), ("control", ALL)))
    assert_draws_well("net", (0, 1, 2), {"room", "frame", *COMMANDS}, limits)


# --- several buffers (5.1.6.4) ----------------------------------------------------------------------------------------


def rooms(device, *lengths, begin=0):
    """A check for each of several rooms, to be given what came in it."""
    found = []
    for buffer, length in enumerate(lengths, begin):
        made = message(device, "room", buffer, length=length)
        assert made.writable == length
        found.append(lambda data, check=made.check, length=length: check(len(data), data.ljust(length, PREFILL)))
    return found


def test_small_rooms_are_for_mrg_rxbuf_alone():
    assert message(network(mrg_rxbuf=1), "room", length=12).writable == 12
    assert message(network(), "room", length=12).writable == net.MIN_ROOM
    small = {draw[0].fields[0][1] < net.MIN_ROOM for draw in drawn(hints=())}
    assert small == {False}
    assert {draw[0].fields[0][1] < net.MIN_ROOM for draw in drawn(hints=(("mrg_rxbuf", 1),))} == {False, True}


def drawn(hints):
    return [network().draw(Seeded(seed), 0, Limits(hints=hints)) for seed in range(50)]


def test_frame_over_several_buffers():
    device = network(mrg_rxbuf=1)
    frame = send(device, 0, 100)[12:]
    first, second, third = rooms(device, 40, 60, 100)
    whole = came(frame, buffers=3)
    assert (first(whole[:40]), second(whole[40:100]), third(whole[100:])) == ("", "", "")
    frame = send(device, 1, 60)[12:]
    (alone,) = rooms(device, 200)
    assert alone(came(frame)) == ""


def test_frame_with_a_changed_part():
    device = network(mrg_rxbuf=1)
    whole = came(send(device, 0, 100)[12:], buffers=2)
    first, second = rooms(device, 60, 60)
    assert first(whole[:60]) == ""
    assert second(whole[60:-1] + b"\0") == "the frame of buffer 0 came back changed"


def test_buffers_of_one_frame_are_full_but_for_the_last():
    device = network(mrg_rxbuf=1)
    whole = came(send(device, 0, 100)[12:], buffers=3)
    first, second = rooms(device, 40, 60)
    said = "DT-NET-MRG-FULL: 1 bytes are left, and yet 2 more buffers belong to the frame"
    assert first(whole[:39]) == said
    assert second(whole[39:79]) == ""  # once is enough
    third, fourth = rooms(device, 40, 80, begin=2)
    assert third(whole[79:]) == ""
    assert fourth(came(send(device, 1)[12:])) == ""  # and a new frame is one


def test_buffers_of_one_frame_come_together():
    device = network(mrg_rxbuf=1)
    whole = came(send(device, 0, 100)[12:], buffers=2)
    messages = [device.message(Request("room", (("length", 60),)), number, 0) for number in (2, 3)]
    assert messages[0].check(60, whole[:60]) == ""
    assert messages[0].together() == "DT-NET-MRG-TOGETHER: 1 more buffers belong to the frame, and are not used"
    assert messages[1].check(len(whole) - 60, whole[60:]) == ""
    assert messages[1].together() == ""


def test_number_of_buffers():
    (room,) = rooms(network(mrg_rxbuf=1), 1526)
    assert room(came(bytes(60), buffers=0)) == "num_buffers 0 with MRG_RXBUF (5.1.6.4.1)"


def test_rest_of_a_frame_that_a_reset_took():
    device = network(mrg_rxbuf=1)
    old, new = send(device, 0, 100)[12:], send(device, 1)[12:]
    first, _, third = rooms(device, 40, 100, 100)
    assert first(came(old, buffers=2)[:40]) == ""
    assert third(came(new)) == ""


# --- frames of the peer -----------------------------------------------------------------------------------------------


def test_frames_of_the_peer():
    device = network(peer=1)
    sent = send(device, 0)[12:]
    (room,) = rooms(device, net.MIN_ROOM)
    assert room(came(net.frame(0, 60, net.PEERS))) == ""
    assert room(came(sent)) == ""
    assert room(came(net.frame(4, net.MAX_FRAME, net.PEERS))) == ""
    assert room(came(net.frame(3, 60, net.PEERS))) == "frame 3 of the peer came after frame 4"
    assert room(came(net.frame(5, 61, net.PEERS)[:-1])) == "frame 5 of the peer came changed"
    assert room(came(net.frame(6, 60, net.PEERS) + b"\0")) == "frame 6 of the peer came changed"
    (other,) = rooms(network(), net.MIN_ROOM)
    assert other(came(net.frame(0, 60, net.PEERS))) == "a frame of 60 bytes that nobody sent"


# --- commands (5.1.6.5) -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields", "data"),
    [
        ("promisc", {"on": 1}, "0000 01"),
        ("allmulti", {}, "0001 00"),
        ("nobcast", {"on": 1}, "0005 01"),
        (
            "mac_table",
            {"unicast": 1, "multicast": 2},
            "0100 01000000 020000000000 02000000 01005e000000 01005e000001",
        ),
        ("mac_address", {"number": 5}, "0101 020000000005"),
        ("vlan_add", {"id": 0x123}, "0200 2301"),
        ("vlan_del", {"id": 1}, "0201 0100"),
    ],
)
def test_commands_are_those_of_the_specification(kind, fields, data):
    made = message(network(control=ALL), kind, queue=2, **fields)
    assert (made.readable, made.writable, made.completes) == (bytes.fromhex(data), 1, True)


def test_acknowledgements():
    allowed = message(network(control=1 << 18), "promisc", queue=2, on=1).check
    assert allowed(1, b"\0") == ""
    assert allowed(1, b"\1") == "ack 1, not VIRTIO_NET_OK (5.1.6.5)"
    unknown = message(network(control=1 << 18), "vlan_add", queue=2, id=1).check
    assert unknown(1, b"\0") == unknown(1, b"\1") == ""
    assert unknown(1, PREFILL) == "ack 154, neither OK nor ERR (5.1.6.5)"


def test_only_commands_that_are_allowed_are_drawn():
    limits = Limits(hints=(("control", 1 << 19),))
    assert {network().draw(Seeded(seed), 2, limits)[0].kind for seed in range(50)} == {"vlan_add", "vlan_del"}
    assert said(network(), "promisc", on=1) is None
