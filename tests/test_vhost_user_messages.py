"""vhost-user messages: bytes made by hand from the protocol's document, against both ways to build them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.targets.vhost_user import protocol
from oracles import vhost_user as vu

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the bytes below are those of little-endian machines")

MESSAGES = [
    (protocol.plain(vu.SET_OWNER), "03000000 01000000 00000000"),
    (
        protocol.number(vu.SET_FEATURES, 0x0000_0009_7000_0001),
        "02000000 01000000 08000000 0100007009000000",
    ),
    (protocol.vring(vu.SET_VRING_NUM, 1, 256), "08000000 01000000 08000000 01000000 00010000"),
    (protocol.vring(vu.GET_VRING_BASE, 2, 0), "0b000000 01000000 08000000 02000000 00000000"),
    (
        protocol.memory_table(0x1_0000_0000, 0x20_0000, 0x74_0000_0000),
        "05000000 01000000 28000000 01000000 00000000"
        "0000000001000000 0000200000000000 0000000074000000 0000000000000000",
    ),
    (
        protocol.vring_addresses(1, 0x7400000040, 0x7400000500, 0x7400000400),
        "09000000 01000000 28000000 01000000 00000000"
        "4000000074000000 0005000074000000 0004000074000000 0000000000000000",
    ),
    (protocol.get_config(4), "18000000 01000000 10000000 00000000 04000000 00000000 00000000"),
    (
        protocol.acknowledged(protocol.number(vu.SET_VRING_KICK, 3)),
        "0c000000 09000000 08000000 0300000000000000",
    ),
]


@pytest.mark.parametrize(("message", "expected"), MESSAGES)
def test_bytes_are_those_of_the_document(message, expected):
    assert message.hex() == expected.replace(" ", "")


@pytest.mark.parametrize(("message", "expected"), MESSAGES)
def test_layers_take_apart_and_rebuild(message, expected):
    from fuzz.targets.vhost_user.messages import Header

    packet = Header(message)
    assert vu.NAMES[packet.request].startswith(("GET_", "SET_"))
    packet.size = None
    rebuilt = Header(request=packet.request, flags=packet.flags)
    assert bytes(rebuilt / packet.payload if packet.payload else rebuilt) == bytes.fromhex(expected)


def test_layers_name_the_fields():
    from fuzz.targets.vhost_user import messages

    packet = messages.Header(protocol.memory_table(0x1_0000_0000, 0x20_0000, 0x74_0000_0000))
    assert packet[messages.MemoryTable].count == 1
    region = packet[messages.MemoryTable].regions[0]
    assert (region.guest_address, region.length, region.user_address) == (0x1_0000_0000, 0x20_0000, 0x74_0000_0000)
    packet = messages.Header(protocol.acknowledged(protocol.vring(vu.SET_VRING_ENABLE, 5, 1)))
    assert (packet[messages.VringState].index, packet[messages.VringState].num) == (5, 1)
    assert str(packet.flags) == "v1+need_reply"


def test_two_regions_and_their_count():
    from fuzz.targets.vhost_user import messages

    table = messages.MemoryTable(regions=[messages.MemoryRegion(length=1), messages.MemoryRegion(length=2)])
    data = bytes(messages.Header(request=vu.SET_MEM_TABLE) / table)
    assert data[:20].hex() == "050000000100000048000000" + "0200000000000000"
    assert [region.length for region in messages.Header(data)[messages.MemoryTable].regions] == [1, 2]


def test_every_template_has_its_size():
    from fuzz.targets.vhost_user import messages

    for request in messages.PAYLOADS:
        template = messages.template(request)
        code, flags, size = vu.HEADER.unpack_from(template)
        assert (code, flags, size) == (request, 1, len(template) - 12)


def test_protocol_features_by_name():
    assert protocol.protocol_names(0x209) == ["mq", "reply_ack", "config"]
    assert protocol.protocol_names(1 << 16 | 1 << 40) == ["status", "bit 40"]


def test_simple_messages_need_no_scapy():
    """Whoever only asks what is offered doesn't wait for scapy."""
    script = """
import sys
import fuzz.targets.vhost_user.target
from fuzz.targets.vhost_user import protocol
from oracles import vhost_user as vu
protocol.number(vu.SET_FEATURES, 1), protocol.vring(vu.SET_VRING_NUM, 0, 8), protocol.plain(3)
assert "scapy" not in sys.modules
protocol.memory_table(0, 0, 0)
assert "scapy" in sys.modules
"""
    root = Path(__file__).resolve().parent.parent
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)
