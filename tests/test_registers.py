"""Registers of virtio-pci and virtio-mmio: the oracle, the models, their planted faults and those of our driver."""

from __future__ import annotations

from typing import Any

import pytest

from fuzz import registry as targets
from fuzz.cases import NotOffered
from fuzz.cases import registers as register_cases
from fuzz.cases.register_bench import run
from fuzz.cases.registers import ROWS, cases
from fuzz.proof import folder
from fuzz.proof.registers import planted
from fuzz.targets import QueueConfig, TargetError
from fuzz.targets.model import register_faults, register_file
from fuzz.targets.model.register_target import RegisterModel
from fuzz.targets.registers import Driver, Ignored, Refused
from fuzz.trouble import UsageTrouble
from fuzz.verdict import CONFORMS, OUR_FAULT, VIOLATES
from oracles import oracle, register_asking, registers, spec, trace
from oracles.rules import Level, registry
from oracles.trace import Capability, Configured, Idle, Interrupted, Meant, Read, Wrote

PLANTED = planted()
faults = pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
transports = pytest.mark.parametrize("transport", ["pci", "mmio"])


def names(outcome):
    """Every rule that an outcome names."""
    own = [outcome.violation.rule] if outcome.violation else []
    return [*own, *(warning.rule for warning in outcome.warnings)]


# --- proof ------------------------------------------------------------------------------------------------------------


@faults
def test_the_fault_is_named_by_its_rule_alone(fault):
    outcome = fault.run(True)
    assert names(outcome) == [fault.rule]
    rule = registry()[fault.rule]
    assert (outcome.violation is None) == (rule.level in (Level.SHOULD, Level.LINT))
    if outcome.violation is not None:
        by_us = rule.subject == "driver" or fault.tamper is not None
        assert outcome.verdict == (OUR_FAULT if by_us else VIOLATES)


@faults
def test_without_the_fault_the_case_conforms(fault):
    outcome = fault.run(False)
    assert (outcome.verdict, names(outcome), outcome.reason) == (CONFORMS, [], "")


@faults
def test_without_the_rule_nothing_is_said(fault):
    outcome = fault.run(True, frozenset({fault.rule}))
    assert (outcome.verdict, names(outcome)) == (CONFORMS, [])


@faults
def test_the_trace_in_the_corpus_judges_to_its_rule(fault):
    entries = list(trace.load((folder() / fault.corpus).read_text(encoding="utf-8")))
    violation, warnings = oracle.judge(entries)
    assert [*([violation.rule] if violation else []), *(one.rule for one in warnings)] == [fault.rule]
    assert trace.dump(fault.run(True).trace) == trace.dump(entries), "made anew with fuzz.proof.registers.write()"


def test_every_rule_of_registers_is_proven():
    ids = set(register_asking.rule_ids())
    assert ids <= set(registry())
    assert {fault.rule for fault in PLANTED} == ids | {"MM-NOTREADY", "SUS-DEV-DRAIN"}, "those two are seen in rings"
    names_ = [fault.name for fault in PLANTED]
    assert len(names_) == len(set(names_))


def test_every_fault_of_the_model_is_in_a_row():
    used = {fault.fault for fault in PLANTED if fault.fault}
    assert used == set(register_faults.FAULTS)


def test_warnings_are_what_binds_no_more_than_should():
    for id_ in register_asking.rule_ids():
        assert (id_ in register_asking.WARNINGS) == (registry()[id_].level in (Level.SHOULD, Level.LINT)), id_


def test_every_checked_rule_of_registers_is_looked_at_by_a_case():
    looked = {rule for row in ROWS for transport in row.transports for rule in row.looked_at(transport)}
    assert looked == {fault.rule for fault in PLANTED}


# --- the models -------------------------------------------------------------------------------------------------------


@transports
def test_the_model_conforms_in_all_cases(transport):
    target: Any = RegisterModel(transport)
    for check in cases(target):
        outcome = check.run()
        assert (outcome.verdict, names(outcome), outcome.reason) == (CONFORMS, [], ""), check.name


@transports
def test_a_case_gives_the_same_trace_each_time(transport):
    target: Any = RegisterModel(transport)
    for check in cases(target):
        assert trace.dump(check.run().trace) == trace.dump(check.run().trace), check.name


def test_other_targets_have_no_cases_of_registers():
    assert cases(targets.make("model")) == []


def test_a_device_that_lacks_the_feature_is_not_asked(monkeypatch):
    monkeypatch.setattr(register_file.Device, "missing", spec.SUSPEND)
    device = RegisterModel("pci").open().registers()
    sleep = next(row for row in ROWS if row.name == "sleep")
    with pytest.raises(NotOffered, match=r"^suspend is not offered$"):
        run(sleep.case, device)


@pytest.mark.parametrize("words", ["model-pci", "model-mmio", "model-pci:sticky-isr", "model-mmio:both-bits"])
def test_the_models_are_targets_by_name(words):
    assert targets.make(words).name == words


def test_an_unknown_fault_is_one_line_with_the_mend():
    with pytest.raises(UsageTrouble, match=r"model-pci has no fault 'sticky-irs'; the nearest is 'sticky-isr'"):
        targets.make("model-pci:sticky-irs")
    with pytest.raises(UsageTrouble, match="model-pci has no fault 'both-bits'"):
        targets.make("model-pci:both-bits")


@pytest.mark.parametrize("words", ["model-pci", "model-mmio"])
def test_programs_run_through_registers(cli, words):
    done = cli("fuzz", words, "--runs", 25, "--seed", 3, "--layout", "both", "--in-order", "both")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no violation" in done.stdout


def test_a_queue_starts_at_its_beginning_only():
    session = RegisterModel("pci").open()
    with pytest.raises(TargetError, match="starts at its beginning"):
        session.start(spec.VERSION_1, [QueueConfig(8, 0x1000, 0x2000, 0x3000, 5, 5)])
    with pytest.raises(TargetError, match="can't be stopped"):
        session.stop(0)


def test_the_driver_leaves_alone_what_is_no_device():
    device = RegisterModel("mmio", "version-1").open().registers()
    with pytest.raises(Ignored):
        Driver(device).identify()


def test_the_driver_sets_failed_when_it_is_refused():
    device = RegisterModel("pci").open().registers()
    driver = Driver(device)
    with pytest.raises(Refused, match="FEATURES_OK does not stay"):
        driver.begin(lambda offered: spec.VERSION_1)
    assert device.read("device_status") & registers.FAILED


# --- the oracle -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "observation",
    [
        Wrote("QueueReady", 1),
        Wrote("queue_notify", 0x10003, 4, 12),
        Read("config", 255, 1, 3),
        Capability(2, 4, 0x3000, 8, 4),
        Configured(spec.IN_ORDER, spec.RING_PACKED),
        Meant("F-PACKED-ACCEPT"),
        Interrupted(),
        Interrupted(3),
    ],
    ids=lambda observation: type(observation).__name__,
)
def test_observations_of_registers_survive_text(observation):
    assert trace.load_line(trace.dump_line(2, observation)) == (2, observation)


def test_nothing_that_a_trace_may_hold_breaks_the_oracle():
    """Selectors without bounds, registers that nobody has, reads before writes: said, or passed over, never raised."""
    huge = (1 << 32) - 1
    entries: list[trace.Observation] = [
        Read("device_feature", huge), Wrote("device_feature_select", huge), Read("device_feature", huge),
        Wrote("driver_feature_select", huge), Wrote("driver_feature", huge), Read("driver_feature", 1),
        Wrote("queue_select", huge), Read("queue_size", huge, 2), Read("queue_enable", 1, 2), Read("isr", 3, 1),
        Read("", 0), Wrote("nonsense", 1), Read("Nonsense", 1), Interrupted(7), Idle(True), Capability(9, 0, 0, 0),
        Configured(huge, huge), Meant("NO-RULE"), Read("config", 5, 8, huge),
    ]  # fmt: skip
    for start in range(len(entries)):
        one = oracle.Oracle()
        for observation in (*entries[start:], *entries[:start]):
            one.feed(0, observation)
        one.conclude()


def test_a_wait_that_is_not_final_accuses_nobody():
    """RST-STATUS0 and SUS-DEV-RESULT need to have waited for so long that it counts."""
    one = oracle.Oracle()
    log: list[trace.Observation] = [Wrote("device_status", 0, 1), Read("device_status", 15, 1), Idle(False)]
    assert [one.feed(0, observation) for observation in log] == [None] * 3
    violation = one.feed(0, Idle(True))
    assert violation is not None
    assert violation.rule == "RST-STATUS0"


def test_what_is_done_on_purpose_is_not_asked_about():
    log = [Wrote("queue_notify", 0, 2)]
    violation, _ = oracle.judge([(0, observation) for observation in log])
    assert violation is not None
    assert violation.rule == "ST-NO-EARLY-KICK"
    assert oracle.judge([(0, Meant("ST-NO-EARLY-KICK")), (0, log[0])]) == (None, [])


def test_rules_that_do_not_bind_are_not_asked():
    log = [(0, Wrote("queue_notify", 0, 2))]
    assert oracle.judge(log, unasked={"ST-NO-EARLY-KICK"}) == (None, [])


def test_registers_have_the_places_of_the_specification():
    pci, mmio = registers.PCI_REGISTERS, registers.MMIO_REGISTERS
    assert (pci["queue_reset"].offset, pci["device_status"].width, pci["queue_device"].offset) == (58, 1, 48)
    assert (mmio["QueueReset"].offset, mmio["ConfigGeneration"].offset, mmio["QueueDriverHigh"].half) == (0xC0, 0xFC, 4)
    assert registers.transport_of("Status") == registers.MMIO
    assert registers.device_type(registers.PCI, 0x1001) == registers.device_type(registers.PCI, 0x1042) == 2


def test_the_transport_of_a_target_shows_in_its_name():
    class Named(RegisterModel):
        def __init__(self, name):
            super().__init__("pci")
            self.name = name

    def named(name: str) -> str:
        target: Any = Named(name)
        return register_cases.transport_of(target)

    assert named("qemu:virtio-rng-device,in_order=on") == registers.MMIO
    assert named("qemu:virtio-blk-pci") == registers.PCI
    assert named("qemu-storage-daemon") == ""
