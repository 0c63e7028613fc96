"""virtio-console: control messages byte by byte, and what may come back from a peer that echoes."""

from __future__ import annotations

import pytest

from fuzz import devices
from fuzz.devices.console import characters, own
from tests.device_kit import assert_draws_well, message, said

KINDS = ("room", "write", "control", "port_open", "port_ready", "device_ready")
QUEUES = (0, 1, 2, 3, 4, 5)
PREFILL = b"\x99"


def console(**hints):
    return devices.load("console", {"echo": 1, "ports": 3, **hints})


def room(device, length=64, queue=4, buffer=100):
    """The check of a receive buffer, given what comes."""
    made = message(device, "room", buffer, queue, length=length)
    assert (made.readable, made.writable, made.completes) == (b"", length, False)
    return lambda data, used=None: made.check(len(data) if used is None else used, data.ljust(length, PREFILL))


def test_draws():
    assert_draws_well("console", QUEUES, KINDS)


def test_driver_messages():
    device = console()
    assert message(device, "port_open", queue=3, port=1, value=1).readable == bytes.fromhex("01000000 0600 0100")
    assert message(device, "port_ready", queue=3, port=2, value=0).readable == bytes.fromhex("02000000 0300 0000")
    assert message(device, "device_ready", queue=3).readable == bytes.fromhex("00000000 0000 0100")
    assert message(device, "write", 7, 5, length=10).readable == characters(7, 5, 10)
    assert message(device, "write", 7, 5, length=10).writable == 0


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ("02000000 0100 0000", ""),
        ("03000000 0100 0000", "port 3 is added, and max_nr_ports is 3 (5.3.6.2.1)"),
        ("00000000 0200 0000", ""),
        ("00000000 0400 0100", ""),
        ("01000000 0600 0100", ""),
        ("01000000 0600 0200", "PORT_OPEN has value 2, it is 0 or 1 (5.3.6.2)"),
        ("00000000 0500 0000 50001900", ""),
        ("00000000 0500 0000", "a RESIZE of 8 bytes lacks columns or rows (5.3.6.2)"),
        ("01000000 0700 0100 76716600", ""),
        ("01000000 0700 0100 c328", "a port's name is no UTF-8 (5.3.6.2)"),
        ("01000000 0000 0100", "control event 0, which no device sends (5.3.6.2)"),
        ("01000000 0800 0000", "control event 8, which no device sends (5.3.6.2)"),
        ("01000000 06", "a control message of 5 bytes, it has 8 at least (5.3.6.2)"),
    ],
)
def test_device_messages(data, wrong):
    made = message(console(), "control", queue=2, length=32)
    assert not made.completes
    data = bytes.fromhex(data)
    assert made.check(len(data), data.ljust(32, PREFILL)) == wrong
    if len(data) >= 8 and "RESIZE" not in wrong and "UTF-8" not in wrong:
        assert made.check(-1, data.ljust(32, PREFILL)) == wrong  # no length was told (2.8.4)


def test_echoes():
    device = console()
    message(device, "write", 0, 5, length=20)
    message(device, "write", 1, 5, length=30)
    stream = characters(0, 5, 20) + characters(1, 5, 30)
    assert room(device)(stream[:7]) == ""
    assert room(device)(stream[7:25]) == ""
    assert room(device)(stream[25:]) == ""
    assert "not written, or not in this order" in room(device)(stream[:7])  # twice


@pytest.mark.parametrize(
    "change", [lambda data: data[::-1], lambda data: data[:5] + data[6:], lambda data: b"~~" + data]
)
def test_changed_echoes(change):
    device = console()
    message(device, "write", 0, 5, length=40)
    assert "not written, or not in this order" in room(device)(change(characters(0, 5, 40)))


def test_echoes_of_the_other_port():
    device = console()
    message(device, "write", 0, 1, length=40)
    assert "40 characters came back" in room(device, queue=4)(characters(0, 1, 40))
    assert room(device, queue=0)(characters(0, 1, 40)) == ""


def test_losses():
    """A reset may swallow the rest of a buffer, whole buffers, and what came into a buffer that nobody looked at."""
    device = console()
    for buffer in range(4):
        message(device, "write", buffer, 5, length=30)
    first, _, third, fourth = (characters(buffer, 5, 30) for buffer in range(4))
    assert room(device)(first[:10] + third[:5]) == ""
    assert room(device)(third[20:]) == ""
    assert room(device)(fourth[3:]) == ""
    assert room(device)(first[:10]) != ""


def test_what_never_was():
    """A buffer that finds no room in the ring is asked for anew under its number."""
    device = console()
    message(device, "write", 0, 5, length=10)
    message(device, "write", 0, 5, length=20)
    assert room(device)(characters(0, 5, 20)) == ""


def test_own_words_between():
    device = console()
    message(device, "write", 0, 5, length=10)
    echo = characters(0, 5, 10)
    assert room(device)(echo[:3] + own(40, 5) + echo[3:] + own(45, 3)) == ""
    assert "words came changed" in room(device)(own(40, 5) + own(46, 3))


def test_unknown_lengths():
    """A packed ring need not tell how much was written: then what is no prefill was (2.8.4)."""
    device = console()
    message(device, "write", 0, 5, length=10)
    assert room(device)(characters(0, 5, 10), -1) == ""
    assert "3 characters came back" in room(device)(b"abc", -1)
    assert room(device)(b"abc", 65) == ""  # more than there is room for is the ring's business


def test_nothing_is_known_without_an_echo():
    assert room(console(echo=0))(b"anything") == ""


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("write", {"length": 65536}, None),
        ("write", {"length": 0}, "length of write is 1 to 65536, not 0"),
        ("control", {"length": 7}, "length of control is 8 to 65536, not 7"),
        ("port_open", {"port": 1, "value": 0}, None),
        ("port_open", {"id": 1}, "port_open has no field 'id'; it has port and value"),
        ("resize", {}, "console has no request 'resize'; it has room (queues 0, 4), write (queues 1, 5), control "
                       "(queue 2) and device_ready, port_open, port_ready (queue 3)"),
    ],
)  # fmt: skip
def test_words(kind, fields, wrong):
    assert said(console(), kind, **fields) == wrong
