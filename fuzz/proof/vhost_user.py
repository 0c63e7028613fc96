"""Faults of the vhost-user protocol, each with a conversation on which one rule alone names it.

Back-end faults stand in the reference back-end, front-end faults in our own front-end in front of it. What is kept
in the corpus of rules is the trace of the fault. Knows the model behind vhost-user and its cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.cases.vhost_user import Talk, hold, talks
from fuzz.targets.model.backend import Backend
from fuzz.targets.model.backend_faults import FAULTS, BackendFault
from fuzz.targets.model.vhost_user import ModelVhostUser
from fuzz.targets.vhost_user.frontend import Frontend
from fuzz.verdict import Outcome
from oracles.trace import dump

#: conversations for faults that the first one that looks at their rule does not show
_SHOWN_BY = {
    "v01": "replies", "v09": "status", "v11": "memory slots", "v13": "disabled at first", "v20": "polled",
    "v29": "in flight, packed", "f16": "memory slots", "f17": "in flight",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProtocolFault:
    """One fault and the conversation that shows it."""

    fault: BackendFault
    talk: Talk

    @property
    def name(self) -> str:
        """As ``model-vhost-user:NAME`` knows it."""
        return self.fault.name

    @property
    def text(self) -> str:
        """What is wrong, in one line."""
        return self.fault.text

    @property
    def rule(self) -> str:
        """The rule that names it."""
        return self.fault.rule

    @property
    def corpus(self) -> str:
        """The file of the fault's trace: the front-end's, where a rule binds both sides, says so."""
        both = sum(other.rule == self.rule for other in FAULTS.values()) > 1
        return f"{self.rule}.front-end.vqtrace" if both and self.ours else f"{self.rule}.vqtrace"

    @property
    def ours(self) -> bool:
        """Whether it is the front-end's."""
        return self.fault.ours is not Frontend

    def run(self, faulty: bool, without: frozenset[str] = frozenset()) -> Outcome:
        """Hold the conversation, with the fault or without it."""
        kind = self.fault.kind if faulty or self.ours else Backend
        target = ModelVhostUser(kind=kind, ours=self.fault.ours if faulty else Frontend)
        try:
            return hold(self.talk, target, without)
        finally:
            target.close()


def planted() -> Sequence[ProtocolFault]:
    """All faults, in the order of their names: the back-end's, then the front-end's."""
    by_name = {talk.name: talk for talk in talks()}
    found = []
    for name, fault in sorted(FAULTS.items(), key=lambda item: (item[0][0] == "f", item[0])):
        shown = _SHOWN_BY.get(name) or next(talk.name for talk in by_name.values() if fault.rule in talk.rules)
        found.append(ProtocolFault(fault, by_name[shown]))
    return found


def write(place: Path) -> list[Path]:
    """(Re)write the traces of all faults into the folder *place*; the files."""
    written = []
    for one in planted():
        path = place / one.corpus
        path.write_text(dump(one.run(True).trace), encoding="utf-8")
        written.append(path)
    return written
