"""Faults of registers, each with a case on which one rule alone names it.

The device's are planted in the models behind registers, the driver's in our own accesses (``register_driver``).
The file of each is the trace of the fault, for ``vqfuzz judge``; ``write`` makes them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.cases import register_cases as made
from fuzz.cases import register_suspend as asleep
from fuzz.cases.register_bench import Case, Tamper, run
from fuzz.proof import folder
from fuzz.proof.register_driver import ROWS as DRIVER_ROWS
from fuzz.targets.model.register_faults import FAULTS
from fuzz.targets.model.register_target import RegisterModel
from fuzz.verdict import Outcome
from oracles import trace
from oracles.registers import MMIO, PCI

#: rule, transport, fault of the model, case
DEVICE_ROWS: tuple[tuple[str, str, str, Case], ...] = (
    ("INO-BIT", PCI, "in-order-moved", made.offer),
    ("F-VERSION1", PCI, "legacy", made.offer),
    ("F-OFFER-DEPS", PCI, "lonely-feature", made.offer),
    ("F-RESERVED-RANGE", PCI, "reserved-feature", made.offer),
    ("F-SUBSET", PCI, "picky", made.subsets),
    ("F-RENEG", PCI, "once", made.subsets),
    ("PCI-FEAT-WINDOW", PCI, "low-half", made.subsets),
    ("RST-STATUS0", MMIO, "flickers", made.reset),
    ("PCI-RESET", PCI, "stays-enabled", made.reset),
    ("MM-INT", MMIO, "both-bits", made.changing),
    ("ST-NEEDS-RESET", PCI, "silent-error", made.needs_reset),
    ("PCI-QRESET", PCI, "reset-queue-enabled", made.queue_reset),
    ("MM-QRESET", MMIO, "reset-queue-enabled", made.queue_reset),
    ("VQR-DEV-SCOPE", PCI, "reset-all-queues", made.queue_reset),
    ("VQR-REENABLE-DEV", PCI, "fixed-size", made.queue_reset),
    ("CFG-ALLOW-READ", PCI, "hidden-config", made.configuration),
    ("PCI-CFGGEN", PCI, "same-generation", made.changing),
    ("MM-CFGGEN", MMIO, "same-generation", made.changing),
    ("PCI-CAPS", PCI, "no-isr", made.offer),
    ("PCI-NOTIFY-CAP", PCI, "short-notify", made.sizes),
    ("PCI-QSIZE0", PCI, "endless-queues", made.sizes),
    ("PCI-QSIZE-POW2", PCI, "odd-size", made.sizes_agreed),
    ("PCI-MSIX-DEV", PCI, "other-vector", made.vectors),
    ("PCI-ISR", PCI, "sticky-isr", made.changing),
    ("PCI-NOVECTOR", PCI, "default-vector", made.without_vector),
    ("PCI-CFG-INT", PCI, "default-config", made.config_without_vector),
    ("MM-ID", MMIO, "version-1", made.offer),
    ("MM-NOTREADY", MMIO, "ready-ignored", made.disabled),
    ("SUS-DEV-IGNORE", PCI, "eager-suspend", asleep.too_early),
    ("SUS-DEV-CFG", PCI, "writable-asleep", asleep.config_written),
    ("SUS-DEV-QUIET", PCI, "chatty-asleep", asleep.config_changed),
    ("SUS-DEV-DEFER", PCI, "forgets-change", asleep.config_changed),
    ("SUS-DEV-RESULT", PCI, "half-asleep", asleep.sleep),
    ("SUS-DEV-DRAIN", PCI, "late-signal", asleep.busy),
)


@dataclass(frozen=True, slots=True)
class RegisterFault:
    """One row: the fault shows on the case, and *rule* alone names it."""

    rule: str
    name: str
    text: str
    transport: str
    case: Case
    fault: str = ""  # of the model
    tamper: Callable[[], Tamper] | None = None  # of the driver
    extra: int = 0  # features that the device offers besides
    corpus: str = ""  # the file of the fault's trace

    def run(self, faulty: bool, without: frozenset[str] = frozenset()) -> Outcome:
        """Run the case on the model, with the fault or without it."""
        model = RegisterModel(self.transport, self.fault if faulty else "", self.extra)
        tamper = self.tamper() if faulty and self.tamper is not None else None
        return run(self.case, model.open().registers(), without, tamper)


def planted() -> Sequence[RegisterFault]:
    """All rows, the device's first."""
    rows = [
        RegisterFault(
            rule, f"{transport}-{fault}", FAULTS[fault].text, transport, case, fault, corpus=f"{rule}.vqtrace"
        )
        for rule, transport, fault, case in DEVICE_ROWS
    ]
    both = {row.rule for row in rows}  # rules that bind the driver, too, have two files
    for rule, transport, text, case, extra, tamper in DRIVER_ROWS:
        file = f"{rule}.driver.vqtrace" if rule in both else f"{rule}.vqtrace"
        rows.append(RegisterFault(rule, f"driver-{rule.lower()}", text, transport, case, "", tamper, extra, file))
    return rows


def write(place: Path | None = None) -> list[Path]:
    """Write the trace of every fault into the corpus of rules; the files."""
    place = place or folder()
    written = []
    for one in planted():
        path = place / one.corpus
        path.write_text(trace.dump(one.run(True).trace), encoding="utf-8")
        written.append(path)
    return written
