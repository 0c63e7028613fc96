"""A hostile program on a target: run, and what becomes of the target afterwards.

A connection that the device closed is fine if a new one works: the program's tail is run there. What a program without
its hostile steps breaks in the same way is no find of this mode. Knows outcomes and targets. Must not know rings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fuzz import cause as causes
from fuzz.hostile_queue import PLAIN
from fuzz.hostile_side import tail
from fuzz.program import Poke, Program, Wild
from fuzz.targets import Session, Target, TargetBroken, TargetDied, TargetError, TargetHung
from fuzz.verdict import BAD, BROKEN, CONFORMS, CRASHED, HUNG, OUR_FAULT, VIOLATES, WEDGED, Outcome

PATIENCE = 20.0
"""Seconds for which what answers no more may still come back, before it counts as a hang."""

Drive = Callable[[Program, Session], Outcome]
_SEVERE = {VIOLATES: causes.MEMORY, HUNG: causes.HANG, WEDGED: causes.WEDGED}


def run(target: Target, session: Session, program: Program, drive: Drive) -> Outcome:
    """Run *program* on *session*, and its tail on another where that is needed; *drive* executes one program.

    Raises TargetError only if the target can't be used before anything hostile happened.
    """
    target.spare()
    outcome = drive(program, session)
    if outcome.verdict == HUNG and target.revives(PATIENCE):
        # It was told to write hundreds of megabytes, say. What it does then is its right, but of no more use to us.
        outcome.verdict, outcome.rejected, outcome.reason = CONFORMS, f"slow: {outcome.reason}", ""
        session.close()
        target.restart()
        return _judged(target, outcome)
    outcome = _afterwards(target, session, program, outcome, drive)
    if outcome.verdict in (VIOLATES, WEDGED) and _as_bad_without(target, session, program, outcome, drive):
        told = outcome.violation.rule if outcome.violation is not None else outcome.reason
        outcome.verdict, outcome.violation = CONFORMS, None
        outcome.reason = f"not judged: it does so without anything hostile, too: {told}"
    return _judged(target, outcome)


def _judged(target: Target, outcome: Outcome) -> Outcome:
    """The outcome with its severity and its cause; what runs is ended if it is of no use any more."""
    verdict = outcome.verdict
    if verdict == CRASHED:
        cause = causes.find(target.words())
        outcome.severity = causes.of_crash(outcome.reason, cause)
        if cause is not None:
            outcome.cause = cause.key
            if cause.line not in outcome.reason:
                outcome.reason += f"; {cause}"
    elif verdict in _SEVERE:
        outcome.severity = _SEVERE[verdict]
    elif outcome.rejected:
        outcome.severity = causes.REJECTED
    if verdict in BAD and verdict != OUR_FAULT:
        target.restart()
    return outcome


def _afterwards(target: Target, session: Session, program: Program, outcome: Outcome, drive: Drive) -> Outcome:
    """What became of the device: ended, closed its connection, or was told so much that only a new session helps."""
    if outcome.verdict == CRASHED:
        ended = target.ending()
        if ended or target.name.startswith(("model", "qemu:")):  # these have no connection to be closed
            return outcome
        outcome.verdict, outcome.rejected = CONFORMS, outcome.reason
    elif not (outcome.renew and outcome.verdict == CONFORMS):
        return outcome
    session.close()
    again = replace(program, steps=tail(program))
    try:
        fresh = target.open()
    except TargetDied as died:
        return _ends(outcome, CRASHED, str(died))
    except TargetHung as hung:
        return _ends(outcome, HUNG, f"no new session: {hung}")
    except (TargetError, TargetBroken) as error:
        ended = target.ending()
        return _ends(outcome, CRASHED if ended else WEDGED, ended or f"no new session: {error}")
    ended = target.ending()
    if ended:
        fresh.close()
        return _ends(outcome, CRASHED, f"{target.name} ended: {ended}")
    try:
        later = drive(again, fresh)
    except TargetError as error:
        return _ends(outcome, WEDGED, f"on a new session: {error}")
    finally:
        fresh.close()
    return _joined(program, outcome, later, len(program.steps) - len(again.steps))


def _ends(outcome: Outcome, verdict: str, reason: str) -> Outcome:
    outcome.verdict, outcome.reason = verdict, reason
    return outcome


def _joined(program: Program, outcome: Outcome, later: Outcome, skipped: int) -> Outcome:
    """One outcome of both sessions."""
    before = len(outcome.trace)
    del outcome.marks[skipped:]
    outcome.marks += [before] * (skipped - len(outcome.marks)) + [before + mark for mark in later.marks]
    outcome.trace += later.trace
    outcome.chains += later.chains
    outcome.reached = skipped + later.reached
    outcome.verdict = later.verdict
    outcome.reason = later.reason
    violation = later.violation
    if violation is not None and violation.rule == "VQ-DATA" and program.device not in PLAIN:
        outcome.verdict, outcome.violation = CONFORMS, None  # an echo of what went before, say
    elif later.verdict in (VIOLATES, BROKEN):
        said = f"{violation.rule}: {violation.message}" if violation is not None else later.reason
        outcome.verdict, outcome.reason = WEDGED, f"on a new session: {said}"
    return outcome


def _as_bad_without(target: Target, session: Session, program: Program, outcome: Outcome, drive: Drive) -> bool:
    """Whether the program fails in the same way without its hostile steps."""
    session.close()
    target.restart()
    plain = replace(program, steps=tuple(step for step in program.steps if not isinstance(step, Poke | Wild)))
    fresh = target.open()
    try:
        other = drive(plain, fresh)
    finally:
        fresh.close()
    if outcome.verdict == WEDGED:
        return other.verdict in BAD
    return other.rule == outcome.rule
