"""The model: as a clean device it is never accused, and each planted fault is named by a rule of its own."""

from __future__ import annotations

from itertools import product

import pytest

from fuzz.driver_side import run
from fuzz.encoding import load
from fuzz.generate import exhaustive, nth
from fuzz.program import Limits, Program
from fuzz.proof.ring import planted
from fuzz.targets import QueueConfig, TargetError
from fuzz.targets.model import ADDRESS, LEVERS, OFFERED, Model
from fuzz.targets.model.faults import FAULTS, Fault
from fuzz.verdict import CONFORMS, VIOLATES, Outcome
from oracles import spec
from oracles.oracle import judge
from oracles.rules import registry
from oracles.trace import dump
from oracles.trace import load as load_trace

MODES = [(layout, in_order) for layout in spec.LAYOUTS for in_order in (False, True)]


def program(head: str, steps: str) -> Program:
    """*head*: layout, size, features besides version_1; *steps*: separated by semicolons."""
    layout, size, *features = head.split()
    lines = ["virtqueue-program 1", f"queue {layout} {size}", " ".join(["features version_1", *features])]
    return load("\n".join([*lines, *(step.strip() for step in steps.split(";"))]) + "\n")


def execute(made: Program, fault: str = "") -> Outcome:
    return run(made, Model(fault).open())


#: fault, queue and features, the program's steps, the rule that names what is seen: all by hand.
MINIMAL = [
    ("a01", "split 4 in_order", "lever batch=2; supply in:8; supply in:8; notify", "INO-S-BATCH-ID"),
    ("a01", "packed 4 in_order", "lever batch=2; supply in:8; supply in:8; supply in:8; notify", "INO-P-BATCH-ID"),
    ("a02", "packed 8 in_order", "lever batch=2; supply out:1 in:1; supply in:1; supply in:1; notify",
     "INO-P-BATCH-SLOT"),
    ("a03", "split 4 in_order", "lever batch=2; supply in:8; supply in:8; notify", "INO-S-BATCH-IDX"),
    ("a04", "split 4 in_order", "lever batch=2; supply in:8; supply in:8; notify", "INO-S-BATCH-SLOT"),
    ("a05", "split 4 in_order", "lever order=lifo; supply in:8; supply in:8; notify", "INO-ORDER"),
    ("a05", "packed 4 in_order", "lever order=lifo; supply in:8; supply in:8; notify", "INO-ORDER"),
    ("a06", "split 2 in_order", "lever order=lifo; supply in:8; supply in:8; notify", "INO-LIVE"),
    ("a06", "packed 2 in_order", "lever order=lifo; supply in:8; supply in:8; notify", "INO-LIVE"),
    ("a07", "packed 3 in_order", "supply out:1 out:1 in:1; notify", "INO-LIVE"),
    ("a07", "packed 5 in_order",
     "supply out:1 out:1 out:1 in:1; notify; receive 1; supply out:1 out:1 out:1 in:1; notify", "INO-LIVE"),
    ("a08", "split 4 in_order",
     "lever hold=1; supply out:1 in:8; supply in:8; notify; reset; lever hold=0; supply in:8; supply in:8; notify",
     "INO-RESTART"),
    ("a08", "split 4 in_order",
     "lever hold=1; supply in:8; supply in:8; notify; reset; lever hold=0; supply in:8; supply in:8; notify",
     "S-USED-LEN-WRITTEN"),
    ("a08", "packed 4 in_order",
     "lever hold=1; supply in:8; supply in:8; notify; reset; lever hold=0; supply in:8; supply in:8; notify",
     "P-USED-LEN"),
    ("a09", "split 4", "supply out:1; notify", "VQ-LIVE"),
    ("a09", "split 4 in_order", "supply out:1; notify", "INO-LIVE"),
    ("a09", "packed 4", "supply out:1; notify", "VQ-LIVE"),
    ("a09", "packed 4 in_order", "supply out:1; notify", "INO-LIVE"),
    ("a10", "split 4 in_order", "lever batch=2; supply in:8; supply in:8; notify", "INO-BATCH-LEN"),
    ("a10", "packed 4 in_order", "lever batch=2; supply out:1 in:8; supply in:8; notify", "INO-BATCH-LEN"),
    ("a11", "split 4 in_order", "lever batch=2; supply in:8 answer=3; supply in:8; notify", "INO-SKIP-FULL"),
    ("a11", "packed 4 in_order", "lever batch=2; supply in:8 answer=3; supply in:8; notify", "INO-SKIP-FULL"),
    ("a12", "packed 3 in_order",
     "lever batch=2; supply in:1; notify; receive 1; supply in:1; supply in:1; supply in:1; notify", "INO-P-SKIP-WRAP"),
    ("a13", "packed 3", "supply out:1 out:1 in:1; notify; receive 1; supply in:1; notify", "P-FULL-CHAIN"),
    ("a14", "packed 3", "supply out:1 out:1 in:1; notify", "P-ID-LAST"),
    ("a15", "packed 4", "supply out:1 in:1; notify", "P-ID-LAST"),
    ("a16", "packed 4", "supply in:1; notify", "P-USED-ORDER"),
    ("a17", "packed 3",
     "supply in:1; supply in:1; notify; receive 2; supply out:1 in:1; notify; supply in:1; notify", "VQ-LIVE"),
    ("a17", "packed 3", "supply out:1 in:1; notify; receive 1; supply out:1 in:1; notify", "P-NO-EARLY-USE"),
    ("a18", "packed 4 indirect_desc", "supply out:4 in:8 indirect; notify", "P-IND-LEN"),
    ("a19", "split 4", "supply in:8; notify", "S-USED-LEN-ORDER"),
    ("a19", "split 4 in_order", "supply in:8; notify", "S-USED-LEN-ORDER"),
    ("a20", "split 1", "supply in:8; notify; receive 1", "VQ-LIVE"),
    ("a20", "split 2 in_order", "supply in:8; supply in:8; notify", "S-USED-IDX-START"),
    ("a21", "split 2", "supply in:8; supply in:8 held; notify", "VQ-LIVE"),
    ("a22", "split 4", "supply out:1 in:8; notify", "S-USED-LEN-MAX"),
    ("a22", "packed 4 in_order", "supply out:1 in:8; notify", "P-USED-LEN"),
    ("a23", "split 4", "supply in:8 answer=3; notify", "S-USED-LEN-WRITTEN"),
    ("a23", "packed 4", "supply in:8 answer=3; notify", "P-USED-LEN"),
    ("a24", "split 4 indirect_desc", "supply out:4 in:8 indirect=1; notify", "S-IND-TAIL"),
    ("a25", "packed 4 indirect_desc in_order", "supply out:1 in:1 indirect; supply in:1; notify", "P-IND-ONESLOT"),
    ("a26", "split 4 event_idx", "lever publish=all; lever batch=all; supply in:8; supply in:8; notify",
     "S-UN-DEV-EV-MUST"),
    ("a27", "split 4 event_idx", "supply in:8; notify; receive 1; reset; supply in:8; notify", "S-UN-DEV-EV-MUST"),
    ("a28", "packed 2 event_idx",
     "lever signal=last; supply in:1; notify; receive 1; suppress event ahead=1; supply in:1; supply in:1; notify",
     "P-EV-DESC-DEV"),
    ("a29", "split 4", "supply in:8; supply in:8 gap; notify", "VQ-LIVE"),
    ("a29", "packed 4 in_order", "supply in:8; supply in:8 gap; notify", "INO-LIVE"),
    ("a30", "split 4 event_idx", "supply in:8; notify; receive 1; supply in:8; notify", "VQ-LIVE"),
    ("a31", "split 4", "supply in:8; notify; restart", "VU-BASE-SPLIT"),
    ("a31", "packed 4", "supply in:8; notify; restart", "VU-BASE-PACKED"),
    ("a32", "packed 2", "supply out:1 in:1; notify; receive 1; restart; supply in:1; notify", "VU-SETBASE"),
    ("a33", "split 4 in_order", "supply out:1 in:8; notify; receive 1; restart; supply in:8; notify", "VU-RESTART"),
    ("canary", "split 4", "supply in:8; notify", "S-USED-LEN-MAX"),
    ("canary", "packed 4", "supply in:8; notify", "P-USED-LEN"),
]  # fmt: skip
IDS = [f"{fault}-{head.replace(' ', '-')}" for fault, head, _, _ in MINIMAL]


@pytest.mark.parametrize(("fault", "head", "steps", "rule"), MINIMAL, ids=IDS)
def test_fault_is_named(fault: str, head: str, steps: str, rule: str) -> None:
    made = program(head, steps)
    assert len(made.steps) <= 9
    outcome = execute(made, fault)
    assert (outcome.verdict, outcome.rule) == (VIOLATES, rule), outcome.violation or outcome.reason
    assert rule in FAULTS[fault].rules
    clean = execute(made)
    assert clean.verdict == CONFORMS, clean.violation or clean.reason
    assert not clean.warnings


def test_every_fault_has_a_minimal_program() -> None:
    """Here, or in the corpus of rules (test_proof_ring)."""
    here = {fault for fault, *_ in MINIMAL}
    assert here | {row.fault for row in planted()} == set(FAULTS)
    assert {fault: sorted({made.split()[0] for name, made, *_ in MINIMAL if name == fault}) for fault in here} == {
        name: sorted(fault.layouts) for name, fault in FAULTS.items() if name in here
    }


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_a_fault_that_is_not_searched_for_says_why(fault: Fault) -> None:
    assert fault.aimed == "" or len(fault.aimed) > 20


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_counted_under_known_rules(fault: str) -> None:
    """Names that a finding may carry must exist, or a fault could only ever be found under another."""
    unknown = set(FAULTS[fault].rules) - set(registry())
    assert not unknown, f"{fault} counts findings of rules that nobody knows"


#: In flight, batches, chains, a full ring, a ring end, suppression, both resets, and a restart.
MIXED = """lever {}; supply out:3 in:5; supply in:9 answer=4; notify; supply in:2 held; supply out:1; notify force;
    receive 2; lever hold=0; suppress disable; supply out:2 in:3 in:4 indirect; notify; receive 9; suppress enable;
    supply in:1; supply in:1; supply out:1; supply in:300; notify; receive 3; restart; supply in:7; supply out:5 in:6;
    notify; queue-reset size=2; supply in:3 gap; supply in:4; notify; receive 1; reset; supply out:1 in:1; notify;
    receive 2"""


@pytest.mark.parametrize(("layout", "in_order"), MODES)
def test_clean_model_conforms_at_every_lever(layout: str, in_order: bool) -> None:
    head = f"{layout} 4 indirect_desc event_idx ring_reset" + " in_order" * in_order
    used = set()
    warned = set()
    for values in product(*(values for _, values in LEVERS)):
        levers = "; lever ".join(f"{name}={value}" for (name, _), value in zip(LEVERS, values, strict=True))
        outcome = execute(program(head, MIXED.format(levers)))
        assert outcome.verdict == CONFORMS, f"{levers}: {outcome.violation or outcome.reason}"
        used.add(outcome.chains)
        warned |= {(warning.rule, *values[:2]) for warning in outcome.warnings}
    assert min(used) >= 10
    assert not warned  # the model hands back in order, whatever the order in which it works


@pytest.mark.parametrize(("layout", "in_order"), MODES)
def test_clean_model_conforms_without_event_index(layout: str, in_order: bool) -> None:
    head = f"{layout} 4 ring_reset" + " in_order" * in_order
    for order, publish in product(("fifo", "lifo", "shuffle"), ("each", "all")):
        outcome = execute(program(head, MIXED.format(f"order={order}; lever publish={publish}")))
        assert outcome.verdict == CONFORMS, f"{order} {publish}: {outcome.violation or outcome.reason}"


@pytest.mark.parametrize(("layout", "in_order"), MODES)
@pytest.mark.parametrize("features", [0, spec.INDIRECT_DESC | spec.EVENT_IDX], ids=["plain", "indirect-event"])
def test_clean_model_conforms_in_all_tiny_programs(layout: str, in_order: bool, features: int) -> None:
    limits = Limits(
        layouts=(layout,),
        in_order=(in_order,),
        features=features,
        actions=frozenset({"reset", "restart", "queue_reset"}),
    )
    model = Model()
    count = 0
    for made in exhaustive(limits, 5, (1, 2)):
        outcome = run(made, model.open())
        assert outcome.verdict == CONFORMS, (made, outcome.violation or outcome.reason)
        count += 1
    assert count > 200


@pytest.mark.parametrize("seed", range(4))
def test_clean_model_conforms_in_generated_programs(seed: int) -> None:
    model = Model()
    chains = 0
    for index in range(60):
        made = nth(seed, index, model.limits)
        outcome = run(made, model.open())
        assert outcome.verdict == CONFORMS, (index, outcome.violation or outcome.reason)
        chains += outcome.chains
    assert chains > 500


def test_saved_trace_is_judged_as_live() -> None:
    """Also the warnings, and also those of the clean device: from text, by another oracle."""
    for fault, head, steps, rule in MINIMAL:
        for name in (fault, ""):
            outcome = execute(program(head, steps), name)
            violation, warnings = judge(load_trace(dump(outcome.trace)))
            assert (violation.rule if violation else "") == (rule if name else ""), (fault, violation)
            if violation is not None and outcome.violation is not None:
                assert violation.message == outcome.violation.message
            assert warnings == outcome.warnings


def test_reordering_is_looked_for_in_every_mode_where_order_binds() -> None:
    """The same device without IN_ORDER may return in any order."""
    for layout in spec.LAYOUTS:
        steps = "lever order=lifo; supply in:8; supply in:8; supply in:8; notify; receive 3"
        assert execute(program(f"{layout} 4", steps)).verdict == CONFORMS
        assert execute(program(f"{layout} 4 in_order", steps), "a05").rule == "INO-ORDER"


def test_unknown_fault_names_the_nearest() -> None:
    with pytest.raises(TargetError, match="no fault 'a055'; the nearest is 'a05'"):
        Model("a055")


def test_session_logs_stores_and_signals() -> None:
    """One chain by hand: what the device stores, in order, and nothing else."""
    session = Model().open()
    session.memory[:0x1000] = bytes(0x1000)
    seen: list[object] = []
    assert session.listen(lambda queue, observation: seen.append((queue, observation)))
    session.start(spec.VERSION_1, [QueueConfig(2, 0x100, 0x200, 0x300)])
    session.memory[0x100:0x110] = spec.DESCRIPTOR.pack(ADDRESS + 0x400, 4, spec.DESC_F_WRITE, 0)
    session.memory[0x202:0x204] = b"\1\0"
    session.notify(0)
    assert [(str(type(item[1]).__name__), *item[1]) for item in seen if isinstance(item, tuple)] == [
        ("Stored", ADDRESS + 0x300, b"\1\0"),  # do not notify
        ("Stored", ADDRESS + 0x304, b"\0\0\0\0\4\0\0\0"),
        ("Stored", ADDRESS + 0x302, b"\1\0"),
        ("Called",),
        ("Stored", ADDRESS + 0x300, b"\0\0"),
    ]
    assert session.called(0, 0.0)
    assert not session.called(0, 0.0)
    assert all(session.memory[0x400:0x404])
    assert session.memory[0x404] == 0


def test_unknown_levers_are_ignored() -> None:
    session = Model().open()
    before = dict(session.engines[0].levers)
    session.lever("colour", "red")
    session.lever("order", "sideways")
    assert session.engines[0].levers == before
    session.lever("order", "lifo")
    assert session.engines[0].levers == before | {"order": "lifo"}


def test_probe_offers_what_programs_can_want() -> None:
    assert Model().probe().features == OFFERED
    assert Model().describe() == {"target": "model"}
    assert Model("a05").describe() == {"target": "model:a05"}
