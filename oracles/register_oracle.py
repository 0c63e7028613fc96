"""The oracle of a device's registers: accesses, interrupts and idle times in, violations out.

One for each trace, beside the oracles of its virtqueues. A pure function in steps, as they are. It stops at the
first violation; what breaks a SHOULD is a warning, once.
"""

from __future__ import annotations

from oracles import register_driver_rules, register_rules, register_transport_rules, registers
from oracles.register_asking import WARNINGS, broken, rule_ids
from oracles.register_log import READ, WRITE, Access, Log
from oracles.rules import Violation
from oracles.trace import Capability, Configured, Idle, Interrupted, Meant, Observation, Read, Resetting, Wrote

__all__ = ["KINDS", "WARNINGS", "RegisterOracle", "register_driver_rules", "register_rules",
           "register_transport_rules", "rule_ids"]  # fmt: skip
#: What is its business alone; Idle and Resetting are others', too.
KINDS = frozenset({Wrote, Read, Capability, Configured, Meant, Interrupted})


class RegisterOracle:
    """Judges one device at its registers. ``feed`` each observation in order; it returns a Violation or None."""

    def __init__(self, without: frozenset[str] = frozenset(), unasked: frozenset[str] = frozenset()) -> None:
        self.without = without
        self.unasked = unasked
        self.log = Log()
        self.warnings: list[Violation] = []
        self._warned: set[str] = set()

    def feed(self, queue: int, observation: Observation) -> Violation | None:
        """Judge one observation. Never raises on any sequence of well-typed observations."""
        log = self.log
        if isinstance(observation, Wrote | Read):
            return self._access(queue, observation)
        if isinstance(observation, Interrupted):
            return self._judge(Access("interrupt", value=observation.vector))
        if isinstance(observation, Idle):
            return self._judge(Access("idle", value=int(observation.final)))
        if isinstance(observation, Capability):
            log.capabilities.append(observation)
        elif isinstance(observation, Configured):
            log.on, log.off = observation
        elif isinstance(observation, Meant):
            log.meant.add(observation.rule)
        elif isinstance(observation, Resetting) and observation.what == "suspend":
            log.settled = True
        return None

    def conclude(self) -> Violation | None:
        """No observation follows."""
        return self._listed() or self._judge(Access("end", "trace"))

    def _access(self, queue: int, seen: Wrote | Read) -> Violation | None:
        name, value, width, at = seen
        register = registers.found(name)
        self.log.transport = self.log.transport or registers.transport_of(name)
        common = name if register is None else register.common
        moment = WRITE if isinstance(seen, Wrote) else READ
        half = at if register is None else at + register.half
        return self._listed() or self._judge(Access(moment, common, value, width, half, queue, name))

    def _listed(self) -> Violation | None:
        """The list of capabilities is complete when anything else is done."""
        log = self.log
        if log.listed or not log.capabilities:
            return None
        log.listed = True
        return self._judge(Access("end", "capabilities"))

    def _judge(self, access: Access) -> Violation | None:
        """Name what *access* breaks; warnings are kept, and what follows them may still be broken."""
        found = broken(self.log, access, self.without, self.unasked)
        queue = access.queue if access.name == "queue_notify" else self.log.selected
        self.log.enter(access)
        for id_, message in found:
            if id_ not in WARNINGS:
                return Violation(id_, message, queue=queue)
        for id_, message in found[:1]:
            if id_ not in self._warned:
                self._warned.add(id_)
                self.warnings.append(Violation(id_, message, queue=queue))
        return None
