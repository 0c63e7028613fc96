"""Cases of a device's registers: what ``vqfuzz check`` runs on virtio-pci and virtio-mmio, QEMU's and the models'.

Knows which case looks at which rules. Must not know how a transport is reached, or what stands in a report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fuzz.cases import Check, NotOffered, register_suspend
from fuzz.cases import register_cases as made
from fuzz.cases.register_bench import Case, run
from fuzz.targets import Target
from fuzz.targets.registers import Registers
from fuzz.verdict import CONFORMS, Outcome
from oracles.registers import MMIO, PCI


@runtime_checkable
class HasRegisters(Protocol):
    """A session whose device can be driven by its registers."""

    def registers(self) -> Registers:
        """The device, and nobody else's any more."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """One case; *rules*: that it looks at, on both transports, on virtio-pci, and on virtio-mmio."""

    case: Case
    rules: str
    pci: str = ""
    mmio: str = ""
    transports: tuple[str, ...] = (PCI, MMIO)

    @property
    def name(self) -> str:
        """As reports have it."""
        return self.case.__name__.replace("_", "-")

    def looked_at(self, transport: str) -> tuple[str, ...]:
        """The rules, on one transport."""
        return tuple(f"{self.rules} {self.pci if transport == PCI else self.mmio}".split())


_SEQUENCE = "ST-SEQ ST-NOCLEAR F-ACCEPT-OFFERED F-VALIDATE F-NOFAIL-UNKNOWN ST-NO-LATE-FEAT ST-NO-EARLY-KICK"
_PCI = "PCI-DRV-RO PCI-DRV-QSIZE PCI-DRV-ENABLE-LAST PCI-DRV-NO-DISABLE PCI-QSETUP PCI-MSIX-DRV PCI-KICK-FORM"
_MMIO = "MM-DRV-ACCESS MM-DRV-IGNORE MM-DRV-QSIZE MM-KICK-FORM"
_RESET_PCI = "PCI-RESET PCI-DRV-RESET-WAIT PCI-ISR-DRV"
_QUEUE_RESET = "VQR-REENABLE-DEV VQR-DEV-SCOPE VQR-DRV-VERIFY VQR-REENABLE-DRV"
_ACCEPT = "F-VERSION1 F-ACCESS-PLATFORM F-PACKED-ACCEPT F-ORDER-PLATFORM"
ROWS = (
    Row(made.offer, "INO-BIT F-VERSION1 F-OFFER-DEPS F-RESERVED-RANGE", "PCI-CAPS", "MM-ID"),
    Row(made.initialize, _SEQUENCE, _PCI, _MMIO),
    Row(made.accept_all, _ACCEPT, "F-NOTIF-CONFIG-ACCEPT"),
    Row(made.subsets, "F-SUBSET F-RENEG", "PCI-FEAT-WINDOW"),
    Row(made.wrong_window, "F-RESERVED-RANGE"),
    Row(made.refused, "ST-FAIL ST-FAILED-RESET"),
    Row(made.configuration, "CFG-ALLOW-READ CFG-READ ST-CFG-READ-EARLY"),
    Row(made.changing, "", "PCI-CFGGEN PCI-ISR", "MM-CFGGEN"),
    Row(made.reset, "RST-STATUS0", _RESET_PCI, "RST-DRV-WAIT MM-INT"),
    Row(made.sizes, "", "PCI-QSIZE0 PCI-QSIZE-POW2 PCI-NOTIFY-CAP"),
    Row(made.sizes_agreed, "", "PCI-QSIZE-POW2", transports=(PCI,)),
    Row(made.queue_reset, _QUEUE_RESET, "PCI-QRESET PCI-DRV-QRESET", "MM-QRESET MM-DRV-QRESET"),
    Row(made.vectors, "", "PCI-MSIX-DEV", transports=(PCI,)),
    Row(made.without_vector, "", "PCI-NOVECTOR", transports=(PCI,)),
    Row(made.config_without_vector, "", "PCI-CFG-INT", transports=(PCI,)),
    Row(made.interrupt_status, "", "", "MM-INT MM-DRV-INT", transports=(MMIO,)),
    Row(made.disabled, "", "", "MM-NOTREADY MM-DRV-READY", transports=(MMIO,)),
    Row(made.needs_reset, "ST-NEEDS-RESET"),
    Row(register_suspend.sleep, "SUS-DEV-QUIET SUS-DEV-RESULT SUS-DRV-VERIFY SUS-DRV-RESUME SUS-DRV-WHEN"),
    Row(register_suspend.busy, "SUS-DEV-DRAIN SUS-DEV-QUIET SUS-DRV-QUIET"),
    Row(register_suspend.too_early, "SUS-DEV-IGNORE"),
    Row(register_suspend.config_written, "SUS-DEV-CFG"),
    Row(register_suspend.config_changed, "SUS-DEV-DEFER SUS-DEV-QUIET"),
)  # fmt: skip


def transport_of(target: Target) -> str:
    """The transport by which a target is reached, as far as its name tells; '': none with registers."""
    if target.name.startswith("qemu:"):
        return MMIO if target.name.partition(",")[0].endswith("-device") else PCI
    kind = target.name.partition(":")[0]
    return {"model-pci": PCI, "model-mmio": MMIO}.get(kind, "")


def cases(target: Target) -> Sequence[Check]:
    """The cases of a target, each on a session of its own; none if it has no registers."""
    transport = transport_of(target)
    return [
        Check(f"registers/{row.name}", row.looked_at(transport), "", _runner(target, row))
        for row in ROWS
        if transport in row.transports
    ]


def _runner(target: Target, row: Row) -> _Runner:
    return _Runner(target, row)


@dataclass(frozen=True, slots=True)
class _Runner:
    """Opens a session and runs the case on it."""

    target: Target
    row: Row

    def __call__(self) -> Outcome:
        session = self.target.open()
        if not isinstance(session, HasRegisters):
            session.close()
            raise NotOffered("its registers can't be reached")
        session.unsettled = True
        try:
            outcome = run(self.row.case, session.registers())
            session.unsettled = outcome.verdict != CONFORMS
            return outcome
        except NotOffered:
            session.unsettled = False
            raise
        finally:
            session.close()
