"""What an exported script tells from memory, by its awk: what is wrong, that it is right, or that it can't be told."""

from __future__ import annotations

import subprocess

import pytest

from fuzz.report import qtest_proof
from fuzz.report.qtest_proof import ENDED, Facts, Proof
from fuzz.verdict import BROKEN, CRASHED, HUNG, VIOLATES, Outcome
from oracles import spec
from oracles.oracle import judge
from oracles.rules import Violation
from oracles.trace import Allowed, Called, Changed, SawDescriptor, SawUsed, Started, Stored, Suppressed
from tests.traces_by_hand import (
    CALLED,
    CASES,
    DESCRIPTOR,
    DEVICE,
    IDLE,
    TOLD,
    O,
    available,
    b,
    desc,
    four,
    one,
    packed,
    split,
)

MEMORY, STATUS, LANDING = 0x10000, 0xE0000014, 0x100000


class Machine:
    """What a QEMU would hold: the device's stores of a trace, and the trace as a driver sees it who looks at each."""

    def __init__(self, trace):
        self.memory = bytearray(0x10000)
        self.status = 15
        self.landed = 0
        self.seen = []
        self.idx, self.size, self.layout = 0, 0, ""
        for observation in trace:
            self.do(observation)

    def put(self, address, data):
        self.memory[address - MEMORY : address - MEMORY + len(data)] = data

    def do(self, observation):
        if isinstance(observation, Started):
            self.idx, self.size, self.layout = observation.used, observation.size, observation.layout
        if isinstance(observation, Called):
            self.landed = 1
        if isinstance(observation, Suppressed):
            self.landed = 0  # what came so far was taken note of
        if isinstance(observation, Changed):
            self.put(observation.address, observation.data)
        if isinstance(observation, SawUsed):
            self.put(DEVICE + 2, observation.idx.to_bytes(2, "little"))
            self.put(DEVICE + 4 + 8 * (self.idx % self.size), observation.elements)
        if isinstance(observation, Allowed):
            words = (observation.event, observation.flags) if self.layout == spec.PACKED else (observation.flags,)
            self.put(DEVICE, b"".join(word.to_bytes(2, "little") for word in words))
        if not isinstance(observation, Stored):
            self.seen.append((0, observation))
            return
        self.put(observation.address, observation.data)
        place, offset = divmod(observation.address - DESCRIPTOR, 16)
        if observation.address == DEVICE + 2:
            self.look(int.from_bytes(observation.data, "little"))
        elif self.layout == spec.PACKED and 0 <= place < self.size and offset == 14:
            self.seen.append((0, SawDescriptor(place, bytes(self.memory[16 * place : 16 * place + 16]))))

    def look(self, new):
        steps = (new - self.idx) & 0xFFFF
        ring = DEVICE + 4 - MEMORY
        places = [(self.idx + step) % self.size for step in range(steps if steps <= self.size else 0)]
        data = b"".join(self.memory[ring + 8 * place : ring + 8 * place + 8] for place in places)
        self.idx = new
        self.seen.append((0, SawUsed(new, bytes(data), (1 << len(places)) - 1)))

    def answer(self, address, length):
        if address == STATUS:
            return bytes([self.status])
        if address >= LANDING:
            return self.landed.to_bytes(length, "little")
        return bytes(self.memory[address - MEMORY : address - MEMORY + length])


def facts(machine=None, shared=(0, 0), register=(0, 0)):
    return Facts((STATUS, 1), LANDING, shared, bytes(machine.memory) if machine else b"", MEMORY, register)


def judged(machine) -> Outcome | None:
    """The outcome of what was seen, cut where it is bad."""
    violation, _ = judge(machine.seen)
    if violation is None:
        return None
    end = violation.event + 1 if violation.event >= 0 else len(machine.seen)
    return Outcome(VIOLATES, violation, trace=machine.seen[:end])


def awk(proof: Proof, verdict: str, answers, ended: int = ENDED):
    """Run the program on *answers*; None: nothing was ever answered."""
    lines = [] if answers is None else ["OK\n", *(f"OK 0x{data.hex()}\n" for data in answers), "OK\n"]
    command = ["awk", "-v", f"ended={ended}", qtest_proof.program(proof, verdict)]
    return subprocess.run(command, input="".join(lines), capture_output=True, text=True, check=False)


def told(proof, machine, verdict=VIOLATES):
    done = awk(proof, verdict, [machine.answer(*place) for place in proof.reads])
    assert not done.stderr, done.stderr
    assert done.stdout.splitlines()[-1].split(":")[0] == {0: "RIGHT", 1: "WRONG", 2: "UNCLEAR"}[done.returncode]
    return done


#: Traces that break a rule; some of them show nothing to a driver who only looks, as scripts do.
BREAKING = [(rule, trace) for rule, trace, _ in CASES if not rule.startswith(("VU-", "ST-"))]
BAD = [(rule, trace) for rule, trace in BREAKING if judged(Machine(trace)) is not None]


def test_most_of_them_can_be_seen():
    assert len(BAD) >= len(BREAKING) - 12


@pytest.mark.parametrize(("rule", "trace"), BAD, ids=[f"{n}-{case[0]}" for n, case in enumerate(BAD)])
def test_what_broke_a_rule_is_seen(rule, trace):
    machine = Machine(trace)
    outcome = judged(machine)
    assert outcome is not None
    proof = qtest_proof.prove(outcome, facts(machine))
    done = told(proof, machine)
    assert done.returncode == 1, done.stdout


def test_lost_completion():
    machine = Machine([*packed(O), *available(b(0), b(1, slots=2), b(2)), *TOLD, *desc(0, 0), *CALLED, *IDLE])
    outcome = judged(machine)
    assert outcome is not None
    assert outcome.rule == "INO-LIVE"
    proof = qtest_proof.prove(outcome, facts())
    done = told(proof, machine)
    assert done.returncode == 1
    assert "b1 (id 1) was never used" in done.stdout
    for position, id_ in ((1, 1), (3, 2)):
        machine.put(DESCRIPTOR + 16 * position + 12, bytes([id_, 0, 0x80, 0x80]))
    done = told(proof, machine)
    assert done.returncode == 0
    assert "b2 (id 2)" in done.stdout


def test_a_batch_gives_back_all_that_it_passes():
    machine = Machine([*split(O), *four(), *TOLD, *IDLE])
    outcome = judged(machine)
    assert outcome is not None
    proof = qtest_proof.prove(outcome, facts())
    machine.put(DEVICE, bytes.fromhex("0000 0400 03000000 08000000"))
    done = told(proof, machine)
    assert done.returncode == 0
    assert "used.ring[0] = {id 3, len 8}: b0 (id 0), b1 (id 1), b2 (id 2), b3 (id 3)" in done.stdout
    machine.put(DEVICE, bytes.fromhex("0000 0200 03000000 08000000"))
    assert "used.idx moved by less" in told(proof, machine).stdout


def test_missing_notification():
    machine = Machine([*split(), *four(), *TOLD, *one(0, 0), *IDLE])
    outcome = judged(machine)
    assert outcome is not None
    assert outcome.rule == "S-UN-DEV-MUST"
    proof = qtest_proof.prove(outcome, facts())
    assert proof.interrupts
    assert "no used buffer notification came (MSI-X vector 1)" in told(proof, machine).stdout
    machine.landed = 2
    machine.put(DEVICE, bytes.fromhex("0000 0200 00000000 08000000 01000000 08000000"))
    assert told(proof, machine).returncode == 0
    shared = qtest_proof.prove(outcome, facts(shared=(LANDING, 1)))
    assert told(shared, machine).returncode == 1, "2 is a configuration change"
    machine.landed = 3
    assert told(shared, machine).returncode == 0


def test_needs_reset():
    machine = Machine(split())
    proof = qtest_proof.prove(Outcome(BROKEN, reason="it said so"), facts())
    assert told(proof, machine, BROKEN).returncode == 0
    machine.status |= 64
    assert told(proof, machine, BROKEN).returncode == 1


def test_register_that_never_becomes_0():
    proof = qtest_proof.prove(Outcome(HUNG, reason="does not become reset"), facts(register=(0x10000, 2)))
    machine = Machine(split())
    assert told(proof, machine, HUNG).returncode == 0
    machine.put(0x10000, b"\1")
    assert "0x10000 is 1" in told(proof, machine, HUNG).stdout


@pytest.mark.parametrize(
    ("verdict", "ended", "code"),
    [(CRASHED, 139, 1), (CRASHED, 137, 2), (CRASHED, 33, 0), (HUNG, 137, 1), (HUNG, 134, 2), (VIOLATES, 134, 2)],
)
def test_how_qemu_ends_is_told(verdict, ended, code):
    violation = Violation("INO-LIVE", "b0 was never used") if verdict == VIOLATES else None
    trace = Machine([*split(O), *four(), *TOLD, *IDLE]).seen
    proof = qtest_proof.prove(Outcome(verdict, violation, "some reason", trace=trace), facts())
    done = awk(proof, verdict, [b"\x0f"], ended)
    assert done.returncode == code, done.stdout


def test_a_qemu_that_does_not_start_has_not_died():
    proof = qtest_proof.prove(Outcome(CRASHED, reason="killed"), facts())
    done = awk(proof, CRASHED, None, 1)
    assert done.returncode == 2
    assert "did not start" in done.stdout
