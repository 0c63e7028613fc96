"""The vhost-user session and target against back-ends that behave badly, in one way each."""

from __future__ import annotations

import os
import re
import resource
import shlex
import signal
import socket
import sys
import time

import pytest

from fuzz.targets import TargetDied, TargetError, TargetHung, TargetMisspoke
from fuzz.targets.presets import ACTIONS
from fuzz.targets.vhost_user.session import VhostUserSession
from fuzz.targets.vhost_user.target import make
from oracles import spec
from tests import fake_backend as fake
from tests.fake_backend import FakeBackend
from tests.small_driver import listen
from tests.vhost_user_kit import QUEUE, SCRIPT, WANTED, descriptors, one_line, target_at, target_of


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s")


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        ("close-at-once", r"closed the connection (instead of replying to|before) GET_FEATURES"),
        ("wrong-code", "replied to GET_FEATURES with SET_OWNER"),
        ("wrong-version", "replied to GET_FEATURES with version 2, there is only version 1"),
        ("no-reply-flag", r"replied to GET_FEATURES without the reply flag \(flags 0x1\)"),
        ("wrong-size", "replied to GET_FEATURES with 4 bytes instead of 8"),
        ("huge", "replied to GET_FEATURES with 4294967295 bytes instead of 8"),
        ("hang-on:1", r"doesn't reply to GET_FEATURES within 0.3 s"),
        ("trickle", r"doesn't reply to GET_FEATURES within 0.3 s"),
        ("close-on:15", "closed the connection instead of replying to GET_PROTOCOL_FEATURES"),
    ],
)
def test_nonsense_while_opening_is_one_line(path, behaviour, text):
    before = descriptors()
    with FakeBackend(path, behaviour):
        target = target_at(path)
        with pytest.raises(TargetError, match=f"^fake {text}$") as error:
            target.open()
        one_line(error)
        target.close()
    assert descriptors() == before


def test_probe_reports_nonsense_too(path):
    with FakeBackend(path, "wrong-size"), pytest.raises(TargetError, match="4 bytes instead of 8") as error:
        make(f"vhost-user:{path}")
    one_line(error)


def test_nobody_listens(path):
    with pytest.raises(TargetError, match=f"vhost-user:{path} can't be reached: nobody listens there"):
        make(f"vhost-user:{path}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)  # the file is there, but nobody behind it
    with pytest.raises(TargetError, match="nobody listens there"):
        make(f"vhost-user:{path}")
    with pytest.raises(TargetError, match="can't be reached: "):
        make("vhost-user:" + "x" * 200)


def test_features_not_offered_are_named(path):
    with FakeBackend(path):
        target = target_at(path)
        session = target.open()
        with pytest.raises(TargetError) as error:
            session.start(spec.VERSION_1 | spec.RING_PACKED, [QUEUE])
        target.close()
    assert one_line(error) == "fake does not offer packed; it offers indirect_desc version_1 in_order"


def test_a_refused_message_is_named(path):
    with FakeBackend(path, f"refuse:{fake.SET_VRING_ADDR}"):
        target = target_at(path)
        session = target.open()
        with pytest.raises(TargetError) as error:
            session.start(WANTED, [QUEUE])
        target.close()
    assert one_line(error) == "fake refused SET_VRING_ADDR (it answered 1)"


def test_closing_during_start_is_no_find_if_nothing_died(path):
    with FakeBackend(path, f"close-on:{fake.SET_VRING_NUM}"):
        target = target_at(path)
        session = target.open()
        with pytest.raises(TargetError, match="closed the connection"):
            session.start(WANTED, [QUEUE])
        target.close()


def test_closing_while_in_use_is_death(path):
    with FakeBackend(path, "close-on-kick"):
        target = target_at(path)
        session = target.open()
        session.start(WANTED, [QUEUE])
        with pytest.raises(TargetDied, match=r"^fake closed the connection$"):
            session.called(0, 5)
        target.close()


def test_a_message_nobody_asked_for(path):
    with FakeBackend(path, "stray-on-kick"):
        target = target_at(path)
        session = target.open()
        session.start(WANTED, [QUEUE])
        with pytest.raises(TargetMisspoke, match="sent a message that nobody asked for: 0100") as error:
            listen(session)
        assert error.value.used
        target.close()


def test_hanging_while_in_use(path):
    with FakeBackend(path, f"hang-on:{fake.GET_VRING_BASE}"):
        target = target_at(path)
        session = target.open()
        session.start(WANTED, [QUEUE])
        with pytest.raises(TargetHung, match=r"doesn't reply to GET_VRING_BASE within 0.3 s"):
            session.stop(0)
        target.close()


def test_connections_that_are_reset_are_tried_again(path):
    with FakeBackend(path, "reset-first:5") as backend:
        target = target_at(path)
        target.open().close()
        target.close()
    assert backend.connections == 6


def test_descriptors_sent_to_us_are_not_kept(path):
    before = descriptors()
    with FakeBackend(path, "descriptors"):
        target = target_at(path)
        for _ in range(5):
            session = target.open()
            session.start(WANTED, [QUEUE])
            session.close()
        target.close()
    assert descriptors() == before


def test_running_out_of_descriptors_is_one_line():
    target, other = target_of("good"), target_of("good")
    session = target.open()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 50, hard))
    hoard: list[int] = []
    try:
        with pytest.raises(OSError, match="Too many"):
            hoard.extend(os.dup(0) for _ in range(1000))
        with pytest.raises(TargetError, match=r"^no file descriptors are left: raise the limit \(ulimit -n\)$"):
            session.start(WANTED, [QUEUE])
        with pytest.raises(TargetError) as error:
            other.open()
        one_line(error)
    finally:
        other.close()
        for descriptor in hoard:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    started(target).close()
    target.close()


def test_queue_reset_is_not_part_of_the_protocol(path):
    with FakeBackend(path):
        target = target_at(path)
        session = target.open()
        with pytest.raises(TargetError, match="no queue reset"):
            session.reset_queue(0)
        assert "queue_reset" not in ACTIONS
        target.close()


def test_closing_never_raises_and_may_be_repeated(path):
    with FakeBackend(path, "hang-on:12"):
        target = target_at(path, 0.1)
        session = target.open()
        with pytest.raises(TargetHung):
            session.start(WANTED, [QUEUE])
        session.close()
        session.close()
        target.close()
        target.close()


# --- processes of ours ------------------------------------------------------------------------------------------------


def started(target):
    session = target.open()
    session.start(WANTED, [QUEUE])
    return session


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        ("crash-on-kick", "fake closed the connection: killed by SIGSEGV; it said: ready"),
        (
            "exit-on-kick",
            "fake closed the connection: exit status 1; "
            "it said: ERROR: AddressSanitizer: heap-use-after-free on address 0x1",
        ),
    ],
)
def test_a_crash_tells_how_and_the_last_words(behaviour, text):
    target = target_of(behaviour)
    session = started(target)
    with pytest.raises(TargetDied) as error:
        session.called(0, 5)
    assert one_line(error) == text
    session.close()
    assert isinstance(started(target), VhostUserSession)  # a new process serves the next program
    target.close()


def test_a_hung_process_is_replaced():
    target = target_of(f"hang-on:{fake.GET_VRING_BASE}")
    session = started(target)
    pid = int(target.describe()["pid"])
    with pytest.raises(TargetHung):
        session.stop(0)
    session.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    target.open()
    assert int(target.describe()["pid"]) != pid
    target.close()


def test_a_process_that_died_between_programs_is_reported_once():
    target = target_of("good")
    started(target).close()
    os.kill(int(target.describe()["pid"]), signal.SIGABRT)
    time.sleep(0.05)
    with pytest.raises(TargetDied, match="ended after its last connection: killed by SIGABRT"):
        target.open()
    started(target).close()
    target.close()


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        ("exit-1", r"python.* ended before it accepted a connection: exit status 1; it said: no such disk: vda"),
        ("wrong-code", "replied to GET_FEATURES with SET_OWNER"),
        ("slow", None),
        ("chatty", None),
    ],
)
def test_commands(behaviour, text):
    words = f"exec:{shlex.quote(sys.executable)} -S {shlex.quote(str(SCRIPT))} {{socket}} {behaviour}"
    if text is None:
        target = make(words)
        assert str(SCRIPT) in target.describe()["command"]
        started(target).close()
        target.close()
    else:
        with pytest.raises(TargetError, match=text) as error:
            make(words)
        one_line(error)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("exec:backend --socket=/tmp/x", "lacks {socket}: write it where the path of the socket goes"),
        ("exec:", "the command is empty"),
        ("exec:'unfinished {socket}", "can't be read: no closing quotation"),
        ("exec:no-such-program {socket}", "no-such-program is not installed, or not on the PATH"),
        ("exec[disk]:x {socket}", "there is no device class 'disk' for exec: it is blk or net"),
        ("vhost-user:", "lacks the path of a socket"),
        ("qemu-storage-demon", "the nearest is 'qemu-storage-daemon'"),
    ],
)
def test_wrong_words_are_answered_with_the_mend(words, text):
    with pytest.raises(TargetError, match=re.escape(text)) as error:
        make(words)
    one_line(error)
