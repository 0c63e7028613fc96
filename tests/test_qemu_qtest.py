"""The clients of QEMU's qtest and monitor sockets against a peer that says what stands in a script."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from fuzz.targets import TargetError
from fuzz.targets.qemu import qtest as module
from fuzz.targets.qemu.qmp import Qmp
from fuzz.targets.qemu.qtest import Closed, Qtest, Refused, Silent


@pytest.fixture
def pair():
    """Our end and QEMU's. What is answered next may be written before it is asked for."""
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def qtest(pair):
    return Qtest(pair[0], 0.05)


def heard(theirs):
    """What was sent to QEMU so far."""
    theirs.setblocking(False)
    return theirs.recv(1 << 16).decode()


@contextmanager
def busy(work, *arguments):
    """*work* in a thread of its own, which ends by itself."""
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)
        assert not thread.is_alive()


# --- qtest: answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 7, 1 << 16])
def test_answers_may_be_split_anywhere_with_interrupts_in_between(pair, qtest, monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    theirs = pair[1]
    theirs.sendall(b"IRQ raise 10\nOK\nOK 0x00000005\r\nIRQ raise 3\nIRQ lower 10\nOK little\n")
    qtest.post("outl 0xcf8 0x80000000")
    assert qtest.ask("inl 0xcfc", "endianness") == ["0x00000005", "little"]
    assert qtest.raised == {3}
    theirs.sendall(b"OK 0x0badcafe\n")
    assert qtest.read(0x1000, 4) == bytes.fromhex("0badcafe")
    assert heard(theirs) == "outl 0xcf8 0x80000000\ninl 0xcfc\nendianness\nread 0x1000 0x4\n"
    theirs.sendall(b"OK 0x10\nOK 7\n")
    assert qtest.numbers("inb 0x1", "inb 0x2") == [16, 7]


def test_nothing_is_sent_before_it_is_wanted_and_nothing_asked_twice(pair, qtest):
    theirs = pair[1]
    qtest.post("writeb 0x1 0x1", "writeb 0x2 0x2")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    qtest.flush()
    qtest.flush()
    assert heard(theirs) == "writeb 0x1 0x1\nwriteb 0x2 0x2\n"
    theirs.sendall(b"OK\nOK\n")
    before = time.monotonic()
    qtest.settle()
    assert before <= qtest.replied <= time.monotonic()


def test_a_ping_waits_for_what_is_owed_and_asks_only_if_nothing_is(pair, qtest):
    theirs = pair[1]
    qtest.post("writew 0x1 0x0")
    qtest.flush()
    theirs.sendall(b"OK\n")
    qtest.ping()
    theirs.sendall(b"OK little\n")
    qtest.ping()
    assert heard(theirs) == "writew 0x1 0x0\nendianness\n"


def test_the_log_has_every_command_as_it_was_sent(pair, qtest):
    qtest.post("unseen")
    qtest.flush()
    qtest.log = []
    pair[1].sendall(b"OK\n" * 4)
    qtest.post("a")
    qtest.post("b")
    qtest.ask("c")
    assert qtest.log == ["a", "b", "c"]


def test_a_refusal_is_named_and_the_conversation_goes_on(pair, qtest):
    theirs = pair[1]
    theirs.sendall(b"OK\nFAIL Unknown command 'clock_step'\nOK 0x7\n")
    with pytest.raises(Refused, match=r"^answered \"FAIL Unknown command 'clock_step'\" to the qtest command 'clock_s"):
        qtest.ask("endianness", "clock_step 100", "inb 0x1")
    theirs.sendall(b"OK 0x8\n")
    assert qtest.ask("inb 0x2") == ["0x8"]  # the answer to what comes next, not one that was left over


def test_an_interrupted_question_leaves_the_conversation_in_step(pair, qtest):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    theirs = pair[1]
    qtest.limit(5.0)
    theirs.sendall(b"OK 0x1\nOK")
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            qtest.ask("inb 0x1", "inb 0x2", "inb 0x3")
    finally:
        signal.signal(signal.SIGALRM, before)
    theirs.sendall(b" 0x2\nOK 0x3\nOK 0x4\n")
    assert qtest.numbers("inb 0x4") == [4]


def test_nonsense_where_a_number_is_wanted_is_a_refusal(pair, qtest):
    pair[1].sendall(b"OK 0x1\nOK little\n")
    with pytest.raises(Refused, match=r"where numbers are wanted$"):
        qtest.numbers("inb 0x1", "inb 0x2")


# --- qtest: no answers ------------------------------------------------------------------------------------------------


def test_a_peer_that_is_gone_is_gone_however_it_shows(pair, qtest):
    theirs = pair[1]
    theirs.sendall(b"OK\nOK 0x")
    theirs.close()
    with pytest.raises(Closed, match=r"^ended, or closed its qtest socket$"):
        qtest.ask("a", "b")
    qtest.post("c")
    with pytest.raises(Closed):
        qtest.flush()
    qtest.close()
    with pytest.raises(Closed):
        qtest.ask("d")


def test_silence_ends_at_the_limit(qtest):
    for limit in (0.05, 0.1):
        qtest.limit(limit)
        began = time.monotonic()
        with pytest.raises(Silent, match=rf"^does not answer 'endianness' within {limit} s: its main loop hangs$"):
            qtest.ping()
        assert limit * 0.9 <= time.monotonic() - began < limit + 2


@pytest.mark.parametrize("words", [b"O", b"IRQ raise 1\n"])
def test_a_peer_that_says_everything_but_an_answer_is_silent(pair, qtest, words):
    theirs = pair[1]

    def trickle():
        for _ in range(20):
            theirs.send(words)
            time.sleep(0.01)

    with busy(trickle), pytest.raises(Silent):
        qtest.ping()


def test_each_answer_may_take_as_long_as_the_limit(pair, qtest):
    def slow():
        for _ in range(5):
            time.sleep(0.1)
            pair[1].send(b"OK\n")

    qtest.limit(0.4)
    with busy(slow):
        assert qtest.ask(*["writeb 0x1 0x1"] * 5) == [""] * 5


def test_a_peer_that_takes_no_command_is_silent(qtest):
    with pytest.raises(Silent, match=r"^takes no command for 0.05 s: its main loop hangs$"):
        qtest.ask("write 0x0 0x80000 0x" + "00" * 0x80000)


class Stubborn(threading.Thread):
    """Answers each command with a write of its own, as QEMU does, and reads none meanwhile: it blocks until we read."""

    def __init__(self, theirs):
        super().__init__()
        self.theirs = theirs
        self.served = 0

    def run(self):
        received = b""
        while data := self.theirs.recv(512):
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                self.theirs.sendall(b"OK " + line + b"\n")
                self.served += 1


@pytest.mark.parametrize("way", ["at once", "one by one", "asked"])
def test_thousands_of_commands_in_flight_block_nobody(pair, way):
    ours, theirs = pair
    qtest = Qtest(ours, 5.0)
    peer = Stubborn(theirs)
    peer.start()
    commands = [f"writew 0xe0003000 {number:#x}" for number in range(3000)]
    if way == "asked":
        assert qtest.ask(*commands) == commands
    else:
        for command in commands:
            qtest.post(command)
            if way == "one by one":
                qtest.flush()
    assert qtest.ask("inb 0x1", "inb 0x2") == ["inb 0x1", "inb 0x2"]
    qtest.close()
    peer.join(5)
    assert peer.served == 3002


# --- the monitor ------------------------------------------------------------------------------------------------------

GREETING = b'{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}, "capabilities": ["oob"]}}\r\n'
DONE = b'{"return": {}}\r\n'


@pytest.fixture
def monitor(pair):
    """A monitor whose greeting has been said, and whose capabilities are agreed on."""
    pair[1].sendall(GREETING + DONE)
    return Qmp(pair[0], 0.05)


def test_monitor_commands_and_what_they_return(pair, monitor):
    theirs = pair[1]
    theirs.sendall(b'{"event": "STOP", "timestamp": {}}\n{"return": {"status": "paused"}}\n')
    assert monitor.execute("query-status") == {"status": "paused"}
    theirs.sendall(b'{"return": "virtio-backend\\r\\n"}\r\n')
    monitor.log = []
    assert monitor.human("info qtree") == "virtio-backend\r\n"
    said = [json.loads(line) for line in heard(theirs).splitlines()]
    assert [command["execute"] for command in said] == ["qmp_capabilities", "query-status", "human-monitor-command"]
    assert said[2]["arguments"] == {"command-line": "info qtree"}  # an underscore stands for a hyphen
    assert [event["event"] for event in monitor.events] == ["STOP"]
    assert [json.loads(line) for line in monitor.log] == said[2:]


def test_the_monitor_s_answers_may_come_in_pieces(pair, monitor):
    def pieces():
        for byte in b'{"event": "RESUME"}\r\n{"return": [1, 2, 3]}\r\n':
            pair[1].send(bytes([byte]))
            time.sleep(0.0005)

    with busy(pieces):
        assert monitor.execute("query-things") == [1, 2, 3]


def test_what_the_monitor_refuses_is_told_in_its_words(pair, monitor):
    theirs = pair[1]
    theirs.sendall(b'{"error": {"class": "CommandNotFound", "desc": "The command foo has not been found"}}\n' + DONE)
    with pytest.raises(TargetError, match=r"^QEMU refuses foo: The command foo has not been found$"):
        monitor.execute("foo")
    assert monitor.execute("bar") == {}


def test_only_the_newest_events_are_kept(pair, monitor):
    pair[1].sendall(b"".join(b'{"event": "E%d"}\n' % number for number in range(200)) + DONE)
    assert monitor.execute("x") == {}
    assert [event["event"] for event in monitor.events] == [f"E{number}" for number in range(136, 200)]


def test_a_monitor_that_says_nothing_or_is_gone(pair, monitor):
    theirs = pair[1]
    theirs.sendall(b"no JSON\n[1]\n")
    with pytest.raises(Silent, match=r"^does not answer the monitor command stop within 0.05 s$"):
        monitor.execute("stop")
    theirs.close()
    with pytest.raises(Closed, match=r"^ended, or closed its monitor socket$"):
        monitor.execute("cont")
    monitor.close()
    with pytest.raises(Closed):
        monitor.execute("cont")
