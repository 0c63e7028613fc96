"""Rules of the vhost-user protocol: each is named alone by its planted fault, and real back-ends are not accused."""

from __future__ import annotations

import gc
import os
import time

import pytest

from fuzz.cases.vhost_user import cases, hold, talks
from fuzz.misspoken import judged
from fuzz.proof import folder
from fuzz.proof.vhost_user import planted, write
from fuzz.registry import make
from fuzz.targets import TargetError, TargetHung, TargetMisspoke
from fuzz.targets.model.backend_faults import FAULTS
from fuzz.targets.model.vhost_user import ModelVhostUser
from fuzz.trouble import UsageTrouble
from fuzz.verdict import CONFORMS, CRASHED, OUR_FAULT, VIOLATES
from oracles import message_oracle, spec
from oracles import vhost_user as vu
from oracles.conversation import Conversation
from oracles.message_rules import ADVICE, rule_ids
from oracles.oracle import judge
from oracles.rules import Level, registry
from oracles.trace import Connected, Got, HungUp, Sent, Started, dump, load
from tests import fake_backend as fake
from tests.fake_backend import FakeBackend
from tests.vhost_user_kit import QUEUE, WANTED, target_at

PLANTED = planted()
ALL = pytest.mark.parametrize("one", PLANTED, ids=lambda one: f"{one.name}-{one.rule}")


def named(outcome):
    """The rules that an outcome names, as violation or warning."""
    found = {warning.rule for warning in outcome.warnings}
    return found | ({outcome.violation.rule} if outcome.violation else set())


# --- each rule and its fault ------------------------------------------------------------------------------------------


@ALL
def test_a_fault_is_named_by_its_rule_alone(one):
    outcome = one.run(True)
    assert named(outcome) == {one.rule}
    advice = registry()[one.rule].level is Level.SHOULD
    assert outcome.verdict == (CONFORMS if advice else OUR_FAULT if one.ours else VIOLATES)


@ALL
def test_without_its_rule_nothing_is_named(one):
    outcome = one.run(True, frozenset({one.rule}))
    assert (outcome.verdict, named(outcome)) == (CONFORMS, set())


@ALL
def test_the_case_conforms_without_the_fault(one):
    outcome = one.run(False)
    assert (outcome.verdict, named(outcome)) == (CONFORMS, set())
    assert judge(load(dump(outcome.trace))) == (None, [])


def test_the_corpus_is_what_the_faults_say(tmp_path):
    written = write(tmp_path)
    assert len(written) == len(FAULTS)
    for path in written:
        kept = folder() / path.name
        assert kept.read_text() == path.read_text(), f"{kept}: write it anew with fuzz.proof.vhost_user.write"


@ALL
def test_a_saved_trace_is_judged_alike(one):
    violation, warnings = judge(load((folder() / one.corpus).read_text()))
    assert {one.rule} == {found.rule for found in (violation, *warnings) if found}


def test_judge_names_the_rule_on_the_command_line(cli):
    done = cli("judge", folder() / "VU-REPLY-ACK.vqtrace")
    assert done.returncode == 1
    assert "VU-REPLY-ACK: SET_VRING_ADDR asked to be acknowledged and was not" in done.stdout


def test_every_checked_rule_of_messages_has_a_fault():
    assert {one.rule for one in PLANTED} == set(rule_ids())
    assert {rule.id for rule in registry().values() if rule.id in rule_ids() and rule.level is Level.SHOULD} == ADVICE


def test_every_rule_is_looked_at_by_a_case():
    looked = {rule for talk in talks() for rule in talk.rules}
    assert looked == set(rule_ids())
    names = [talk.name for talk in talks()]
    assert len(names) == len(set(names))


# --- the oracle by hand -----------------------------------------------------------------------------------------------


def said(*messages):
    return [(0, Connected()), *((0, message) for message in messages)]


ASKED = Sent(vu.GET_FEATURES, 1, b"")
TOLD = Got(vu.GET_FEATURES, 5, 8, vu.U64.pack(1 << 30 | spec.VERSION_1))


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        ((ASKED, TOLD), None),
        ((ASKED, Got(1, 1, 8, bytes(8))), "VU-HDR"),
        ((ASKED, Got(1, 5, 4, bytes(4))), "VU-REPLY-SET"),
        ((ASKED, Got(1, 5, 0xFFFFFFFF, b"")), "VU-REPLY-SET"),
        ((ASKED, Got(99, 5, 8, bytes(8))), "VU-REPLY-SET"),
        ((ASKED, TOLD, TOLD), "VU-NO-STRAY"),
        ((TOLD,), "VU-NO-STRAY"),
        ((ASKED, TOLD, Sent(15, 1, b""), ASKED, TOLD), "VU-PF-EARLY"),
        ((ASKED, TOLD, Sent(15, 1, b""), HungUp()), None),  # that may have any reason
        ((ASKED, TOLD, Sent(2, 1, vu.U64.pack(spec.VERSION_1)), HungUp()), None),
        ((ASKED, TOLD, Sent(16, 1, vu.U64.pack(8)), Sent(2, 9, vu.U64.pack(1 << 32)), HungUp()), None),
        ((ASKED, TOLD, Sent(16, 1, vu.U64.pack(8)), Sent(3, 9, b""), Got(3, 5, 4, bytes(4))), "VU-REPLY-ACK"),
        ((ASKED, HungUp()), None),
        ((Sent(vu.SET_VRING_ENABLE, 1, b""),), None),
    ],
)
def test_messages(messages, rule):
    violation, _ = judge(said(*messages))
    assert (violation.rule if violation else None) == rule


def test_a_second_acknowledgement_of_what_has_a_reply():
    both = Sent(vu.GET_FEATURES, 9, b"")
    violation, _ = judge(said(ASKED, TOLD, Sent(16, 1, vu.U64.pack(8)), both, TOLD, TOLD))
    assert violation is not None
    assert violation.rule == "VU-REPLY-ACK"


def test_after_a_dropped_rule_replies_are_not_judged():
    violation, warnings = judge(said(ASKED, Got(99, 5, 8, bytes(8)), TOLD, TOLD), {"VU-REPLY-SET"})
    assert (violation, warnings) == (None, [])


def test_a_queue_run_with_what_was_not_accepted_is_our_fault():
    accepted = Sent(vu.SET_FEATURES, 1, vu.U64.pack(spec.VERSION_1))
    started = Started("split", 8, spec.VERSION_1 | spec.IN_ORDER, 0, 256, 512, (0, 4096))
    violation, _ = judge([*said(ASKED, TOLD, accepted), (0, started)])
    assert violation is not None
    assert (violation.rule, violation.ours) == ("VU-FEAT-IO", True)
    assert "in_order" in violation.message


def test_a_connection_begins_with_clean_books():
    talk = said(ASKED, TOLD, Sent(vu.SET_OWNER, 1, b""))
    assert judge(talk * 2) == (None, [])


def test_payloads_of_any_length_break_nothing():
    for request in range(45):
        for size in (0, 1, 7, 8, 9, 40, 48):
            for flags in (1, 5, 9):
                oracle = message_oracle.MessageOracle()
                oracle.talk = Conversation(offered=1 << 30, negotiated=0xFFFFF)
                oracle.feed(0, Sent(request, flags, bytes(size)))
                oracle.feed(0, Got(request, 5, size, bytes(size)))
                oracle.conclude()


# --- in ordinary runs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "rule"),
    [("wrong-code", "VU-REPLY-SET"), ("wrong-version", "VU-HDR"), ("no-reply-flag", "VU-HDR"),
     ("wrong-size", "VU-REPLY-SET"), ("huge", "VU-REPLY-SET")],
)  # fmt: skip
def test_what_a_back_end_says_becomes_a_violation_with_a_trace(tmp_path, behaviour, rule):
    path = str(tmp_path / "s")
    with FakeBackend(path, behaviour):
        target = target_at(path)
        with pytest.raises(TargetMisspoke) as raised:
            target.open()
        target.close()
    outcome = judged(raised.value)
    assert (outcome.verdict, outcome.rule) == (VIOLATES, rule)
    again, _ = judge(load(dump(outcome.trace)))
    assert again is not None
    assert again.rule == rule


def test_what_no_rule_explains_is_what_it_was(tmp_path):
    path = str(tmp_path / "s")
    with FakeBackend(path, f"refuse:{fake.SET_VRING_ADDR}"):
        target = target_at(path)
        session = target.open()
        with pytest.raises(TargetMisspoke) as raised:
            session.start(WANTED, [QUEUE])
        target.close()
    with pytest.raises(TargetError, match="refused SET_VRING_ADDR"):
        judged(raised.value)
    assert judged(TargetMisspoke("x", (), True)).verdict == CRASHED


def test_a_program_finds_the_fault_of_a_back_end(cli, tmp_path):
    done = cli("fuzz", "model-vhost-user:v06", "--runs", "200", "--seed", "1", "--out", tmp_path / "out")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "VU-REPLY-ACK" in done.stdout


# --- the model behind vhost-user --------------------------------------------------------------------------------------


def test_the_clean_model_offers_and_passes_every_case():
    target = make("model-vhost-user")
    for case in cases(target):
        outcome = case.run()
        assert (outcome.verdict, named(outcome)) == (CONFORMS, set()), case.name
    target.close()


def test_a_case_is_deterministic():
    texts = set()
    for _ in range(2):
        target = ModelVhostUser()
        texts.add("".join(dump(hold(talk, target).trace) for talk in talks()))
        target.close()
    assert len(texts) == 1


def test_the_clean_model_is_not_accused_by_programs(cli):
    done = cli("fuzz", "model-vhost-user", "--runs", "300", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("fault", ["a05", "a12"])
def test_faults_of_rings_are_found_through_the_socket(cli, fault, tmp_path):
    done = cli("fuzz", f"model-vhost-user:{fault}", "--runs", "1000", "--seed", "1", "--out", tmp_path / "out")
    assert done.returncode == 1, done.stdout + done.stderr


def test_bytes_that_are_no_message_go_out_and_are_not_judged():
    target = ModelVhostUser()
    frontend = target.frontend(target.connect(), 1.0)
    frontend.negotiate()
    frontend.settle()
    said_so_far = list(frontend.log)
    frontend.raw(vu.HEADER.pack(999, 1, 0))
    frontend.raw(vu.HEADER.pack(vu.SET_MEM_TABLE, 9, 4) + b"\xff" * 4, [0])
    assert vu.HEADER.unpack_from(frontend.drain(0.1))[:2] == (vu.SET_MEM_TABLE, 5)
    assert frontend.drain(0.0) == b""
    assert frontend.log == said_so_far
    assert frontend.number(vu.GET_FEATURES)
    frontend.close()
    target.backend.close()
    target.close()


def test_a_reply_that_never_comes_is_no_violation_and_takes_no_time():
    target = make("model-vhost-user:v02")
    session = target.open()
    session.start(spec.VERSION_1, [QUEUE])
    began = time.monotonic()
    with pytest.raises(TargetHung, match="GET_VRING_BASE"):
        session.stop(0)
    assert time.monotonic() - began < 1
    target.close()


def test_an_unknown_fault_is_answered_with_the_nearest():
    with pytest.raises(UsageTrouble, match="no fault 'v0'; the nearest is 'v"):
        make("model-vhost-user:v0")


def test_no_descriptors_are_left():
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for one in PLANTED[:4]:
        one.run(True)
    target = ModelVhostUser()
    for talk in talks():
        hold(talk, target)
    target.close()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_other_targets_have_no_cases():
    assert cases(make("model")) == ()
