"""Drivers that break their rules: the reference device is accused of nothing, and every planted failure is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from fuzz import cause, encoding, hostile
from fuzz.confirm import Needs, Runner, minimise
from fuzz.guard import Guard, Reach
from fuzz.program import Limits, Notify, Poke, Program, Receive, Reset, Supply, Wild
from fuzz.simpler import measure, simpler
from fuzz.targets import TargetBroken
from fuzz.targets.model import Model, ModelSession
from fuzz.targets.model.engine import Engine, Job
from fuzz.targets.model.hostile_faults import HOSTILE
from fuzz.traits import traits, words
from fuzz.verdict import CONFORMS, WEDGED
from fuzz.wild import ADDRESSES, POKES, WAYS
from oracles import spec
from oracles.oracle import judge
from oracles.trace import Changed, Entry, Poked, Started, Stored, dump, load

BLK = Limits(device="blk", layouts=("split",), in_order=(False,), hints=(("capacity", 100),))
PCI = replace(BLK, actions=BLK.actions - {"restart"}, layouts=("split", "packed"))
HEAD = "virtqueue-program 1\nqueue split 4\nqueue split 4\nfeatures indirect_desc version_1\n"


# --- programs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [Limits(), BLK, PCI], ids=["any", "vhost-user", "pci"])
def test_generated_programs_survive_their_text(limits: Limits) -> None:
    seen: set[str] = set()
    for index in range(400):
        made = hostile.nth(5, index, limits)
        assert made == hostile.nth(5, index, limits)
        assert encoding.load(encoding.dump(made)) == made
        assert made.hostile
        seen |= {
            step.what if isinstance(step, Poke) else step.way for step in made.steps if isinstance(step, Poke | Wild)
        }
    assert seen == set(POKES) | {Limits(): set(), BLK: {"say"}, PCI: {"register"}}[limits]


def test_every_hostile_program_ends_in_what_must_work() -> None:
    made = hostile.nth(1, 3, Limits())
    last = max(at for at, step in enumerate(made.steps) if isinstance(step, Reset))
    kinds = [type(step) for step in made.steps[last + 1 :]]
    assert kinds == [Supply, Notify, Receive] * len(made.queues)


def test_mixed_mode_alternates() -> None:
    assert [hostile.drawn("mixed", 1, index, Limits()).hostile for index in range(4)] == [False, True, False, True]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("poke", "«poke» takes what; known: chain"),
        ("poke chane 0 len=1", "did you mean «chain»?"),
        ("poke chain 0", "this changes nothing; add one of len=, flags=, toggle=, next="),
        ("poke chain 0 len=0x100000000", "len 4294967296 is out of range; 0..4294967295 is possible"),
        ("poke chain 0 addr=nowhere", "unknown address «nowhere»"),
        ("poke head value=1 value=2", "«value» stands twice"),
        ("poke head addr=null", "unknown word «addr=null»"),
        ("poke head value=1 queue=2", "queue 2 is out of range; 0..1 is possible"),
        ("say set-vring-number queue=1", "did you mean «set-vring-num»?"),
        ("register queue_size size=1", "unknown word «size=1»"),
    ],
)
def test_wrong_text_is_told(line: str, said: str) -> None:
    with pytest.raises(encoding.ProgramError) as told:
        encoding.load(HEAD + line + "\n", "p")
    assert str(told.value).startswith("p:5: ")
    assert said in str(told.value)


def test_flags_and_numbers_are_written_as_people_do() -> None:
    text = HEAD + "poke chain 1 addr=high len=0xffffffff flags=next+indirect next=7 queue=1\nsay unknown value=0xffff\n"
    assert encoding.dump(encoding.load(text)) == text


def test_every_word_can_be_read_back() -> None:
    for way, names in WAYS.items():
        for name, fields in names.items():
            step = Wild(way, name, tuple((field, (1 << min(bits, 64)) - 1) for field, bits in fields.items()))
            assert encoding.load(HEAD + encoding.line(step) + "\n").steps == (step,)
    for address in ADDRESSES:
        poke = Poke("table", 3, address)
        assert encoding.load(HEAD + encoding.line(poke) + "\n").steps == (poke,)


def test_every_move_makes_a_step_simpler() -> None:
    for index in range(60):
        for step in hostile.nth(8, index, BLK).steps:
            if isinstance(step, Poke | Wild):
                small = measure(Program(steps=(step,)))
                for other in simpler(step):
                    assert measure(Program(steps=(other,))) < small


def test_hostile_steps_are_traits() -> None:
    found = traits(encoding.load(HEAD + "poke head value=1\nsay set-vring-num queue=1\nregister queue_size value=1\n"))
    assert {"poke head", "say set-vring-num", "register queue_size"} <= found
    assert words(["poke-head", "say-set-vring-num", "register-queue_size"]) <= found


# --- judging ----------------------------------------------------------------------------------------------------------


def test_the_reference_device_is_never_accused() -> None:
    target = Model()
    runner = Runner(target)
    for index in range(300):
        outcome = runner.run(hostile.nth(77, index, target.limits))
        assert (outcome.verdict, outcome.reason) == (CONFORMS, ""), f"program {index}: {outcome.rule} {outcome.reason}"


@pytest.mark.parametrize("name", HOSTILE)
def test_planted_failures_are_found_and_shrunk(name: str) -> None:
    target = Model(name)
    runner, fault = Runner(target), HOSTILE[name]
    for index in range(1000):
        program = hostile.nth(1, index, target.limits)
        outcome = runner.run(program)
        if outcome.verdict != CONFORMS:
            break
    assert (outcome.verdict, outcome.severity) == (fault.verdict, fault.severity)
    smaller = minimise(runner, program, outcome, Needs(outcome.rule))
    assert len(smaller.program.steps) <= 7
    assert Runner(Model()).run(smaller.program).verdict == CONFORMS
    found, _ = judge(load(dump(smaller.outcome.trace)))
    if fault.verdict == "VIOLATES":
        assert found is not None
        assert found.rule == outcome.rule


def test_a_fault_of_every_day_is_no_matter_of_this_mode() -> None:
    target = Model("a05")
    runner = Runner(target)
    outcomes = [runner.run(hostile.nth(1, index, target.limits)) for index in range(60)]
    assert {outcome.verdict for outcome in outcomes} == {CONFORMS}
    assert any("not judged" in outcome.reason for outcome in outcomes)


class Careful(Engine):
    """Says that it needs a reset where a head is none."""

    def usable(self, job: Job) -> bool:
        if job.chain.id >= self.ring.size:
            raise TargetBroken("careful sets DEVICE_NEEDS_RESET")
        return True


class CarefulModel(Model):
    def open(self) -> ModelSession:
        return ModelSession(Careful, self._raw)


WRONG_HEAD = HEAD + (
    "supply out:8 in:8 held\npoke head value=0xffff\nnotify force\nreceive 1\nsupply in:1\nnotify\n"
    "reset\nsupply in:8\nnotify\nreceive 1\n"
)


def test_a_device_that_needs_a_reset_and_works_then_rejected_cleanly() -> None:
    outcome = Runner(CarefulModel()).run(encoding.load(WRONG_HEAD))
    assert outcome.verdict == CONFORMS
    assert outcome.severity == "rejected cleanly"
    assert "NEEDS_RESET" in outcome.rejected
    assert outcome.chains == 1  # the one behind the reset


def test_a_device_that_stays_broken_is_wedged() -> None:
    outcome = Runner(Model("h03")).run(encoding.load(WRONG_HEAD), patient=True)
    assert outcome.verdict == WEDGED
    assert outcome.reason.startswith("after the reset: VQ-LIVE")


def test_another_queue_goes_on_while_one_is_poked() -> None:
    text = (
        HEAD
        + "supply in:8 held\npoke head value=0xffff\nnotify force\n"
        + "supply in:4 queue=1\nnotify queue=1\nreceive 1 queue=1\n"
    )
    outcome = Runner(Model()).run(encoding.load(text))
    assert outcome.verdict == CONFORMS
    assert outcome.chains == 1


# --- what may be written ----------------------------------------------------------------------------------------------


def _entry(address: int, length: int, flags: int = 0, follower: int = 0) -> bytes:
    return spec.DESCRIPTOR.pack(address, length, flags, follower)


def test_a_descriptor_allows_what_it_says_and_said() -> None:
    reach = Reach((0x1000, 0x1000))
    reach.note(0, _entry(0x1100, 16), False, set(), False)
    reach.note(0, _entry(0x1200, 32), False, set(), True)
    assert reach.extents == {(0x100, 16), (0x100, 32), (0x200, 16), (0x200, 32)}
    reach.note(16, _entry((1 << 64) - 16, 0x1010), False, set(), False)  # wraps, and ends where our memory begins
    reach.note(32, _entry((1 << 64) - 16, 0x1020), False, set(), False)
    assert (0, 16) in reach.extents
    assert not reach.loose


@pytest.mark.parametrize(
    ("address", "length", "loose"),
    [(0x1100, 32, False), (0x1100, 48, True), (0x1104, 16, True), (0x3000, 64, False), (0x1100, 8, False)],
)
def test_a_table_that_is_none_allows_anything(address: int, length: int, loose: bool) -> None:
    reach = Reach((0x1000, 0x1000))
    reach.note(0, _entry(address, length, spec.DESC_F_INDIRECT), False, {(0x1100, 32)}, True)
    assert reach.loose is loose


def test_the_guard_tells_the_first_stray() -> None:
    memory = memoryview(bytearray(256))
    guard = Guard(memory, 256)
    memory[10], memory[100], memory[101] = 1, 2, 3
    assert guard.strays([(0, 50)]) == (100, bytes([2, 3]) + bytes(14))
    assert guard.strays([(0, 50), (100, 2)]) is None
    guard.remember()
    assert guard.strays([]) is None


def test_the_oracle_judges_a_poked_queue_by_its_strays_alone() -> None:
    started = Started("split", 4, spec.VERSION_1, 0x1000, 0x1100, 0x1200, (0x1000, 0x1000))
    garbage = Stored(0x1202, b"\x09\x00")
    assert judge([(0, started), (0, garbage)])[0] is not None
    assert judge([(0, started), (0, Poked("poke head value=1")), (0, garbage)]) == (None, [])
    found, _ = judge([(0, started), (0, Poked("poke head value=1")), (0, Changed(0x1800, b"x"))])
    assert found is not None
    assert found.rule == "VQ-OOB"
    again: list[Entry] = [(0, started), (0, Poked("x")), (0, started._replace(cause="reset")), (0, garbage)]
    assert judge(again)[0] is not None
    assert list(load(dump([(0, Poked("poke chain 0 len=1"))]))) == [(0, Poked("poke chain 0 len=1"))]


# --- why a process ended ----------------------------------------------------------------------------------------------

ASAN = """\
=================================================================
==123==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000000014 at pc 0x55d bp 0x7ff sp 0x7fe
WRITE of size 4 at 0x602000000014 thread T0
    #0 0x7f45 in __interceptor_memcpy ../src/libsanitizer/sanitizer_common/interceptors.inc:827
    #1 0x55d in queue_size backend.c:31
    #2 0x55e in main backend.c:60
"""


@pytest.mark.parametrize(
    ("text", "line", "frame", "unsafe"),
    [
        (ASAN, "AddressSanitizer: heap-buffer-overflow", "queue_size backend.c:31", True),
        (
            "x\n==7==WARNING: MemorySanitizer: use-of-uninitialized-value\n    #0 0x1 in f a.c:1\n",
            "MemorySan",
            "f a.c:1",
            True,
        ),
        ("WARNING: ThreadSanitizer: data race (pid=9)\n", "ThreadSanitizer: data race", "", True),
        ("==1==ERROR: LeakSanitizer: detected memory leaks\n", "LeakSanitizer", "", False),
        ("a.c:3:7: runtime error: index 9 out of bounds for type 'int [4]'\n", "runtime error: index 9", "", True),
        ("a.c:3:7: runtime error: signed integer overflow: 1 + 2\n", "signed integer overflow", "", False),
        ("double free or corruption (!prev)\n", "double free", "", True),
        ("*** stack smashing detected ***: terminated\n", "stack smashing", "", True),
        ("qemu: ../hw/virtio/virtio.c:7: f: Assertion `a > b' failed.\n", "Assertion `a > b' failed", "", False),
        ("**\nERROR:../block.c:9:f: assertion failed: (a)\n", "assertion failed: (a)", "", False),
        ("thread 'main' panicked at src/main.rs:3:5:\nindex out of bounds\n", "panicked at src/main.rs", "", False),
    ],
)
def test_reports_are_understood(text: str, line: str, frame: str, unsafe: bool) -> None:
    found = cause.find(text)
    assert found is not None
    assert line in found.line
    assert (found.frame, found.unsafe) == (frame, unsafe)


def test_what_is_no_report_is_none() -> None:
    assert cause.find("vu_panic: Guest says index 65535 is available\nbye\n") is None


@pytest.mark.parametrize(
    ("reason", "text", "severity"),
    [
        ("killed by SIGSEGV", "", "memory safety"),
        ("killed by SIGBUS", "", "memory safety"),
        ("killed by SIGABRT", "f: Assertion `a' failed.", "crash"),
        ("killed by SIGABRT", "double free or corruption (!prev)", "memory safety"),
        ("exit status 1", ASAN, "memory safety"),
        ("exit status 23", "==1==ERROR: LeakSanitizer: detected memory leaks", "crash"),
        ("exit status 101", "thread 'x' panicked at a.rs:1:1:", "crash"),
    ],
)
def test_severity_follows_from_signal_and_report(reason: str, text: str, severity: str) -> None:
    assert cause.of_crash(reason, cause.find(text)) == severity


def test_addresses_make_no_other_cause() -> None:
    first, second = cause.find(ASAN), cause.find(ASAN.replace("602000000014", "604000000024").replace("123", "99"))
    assert first is not None
    assert second is not None
    assert first.key == second.key


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_finds_saves_and_replays(cli: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    done = cli("fuzz", "model:h05", "--mode", "hostile", "--seed", "1", "--runs", "200", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "severity  memory safety" in done.stdout
    assert "--mode hostile" in done.stdout.splitlines()[-1]
    (find,) = (tmp_path / "out").iterdir()
    again = cli("replay", find)
    assert again.returncode == 1
    assert "FAILS  CRASHED 1/1" in again.stdout
    assert cli("replay", find, "--target", "model").returncode == 0
    assert "poke chain" in cli("explain", find).stdout


def test_programs_that_are_kept_can_be_read() -> None:
    kept = sorted((Path(__file__).resolve().parent.parent / "corpus/found/hostile").rglob("*.vq"))
    assert kept
    for path in kept:
        assert encoding.load(path.read_text(encoding="utf-8"), str(path)).hostile
