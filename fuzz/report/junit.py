"""A run as JUnit XML, as Jenkins, GitLab and the others read it (the schema junit-10.xsd of Jenkins' xUnit plugin).

A suite for each phase, a test case for each result. What a target doesn't offer, what is accepted and what is
undecided is skipped, with the reason: none of it is a failure, and none of it has passed. Knows results.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from fuzz.report import kinds
from fuzz.results import NOT_OFFERED, PASSED, PHASES, REJECTED, UNDECIDED, Result, Run

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can't hold, not even escaped; a target's last words may have it."""


def render(run: Run) -> str:
    """The document, with its XML declaration and a line end."""
    facts = {"name": _clean(f"vqfuzz {run.target}"), **_numbers(run.results), "time": _time(run.seconds)}
    root = ET.Element("testsuites", facts)
    phases = [*PHASES, *sorted({one.phase for one in run.results} - set(PHASES))]
    for phase in phases:
        found = [one for one in run.results if one.phase == phase]
        if found:
            _suite(root, run, phase, found)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, run: Run, phase: str, found: Sequence[Result]) -> None:
    skipped = sum(_skip(one) is not None for one in found)
    seconds = _time(sum(one.seconds for one in found))
    numbers = {"name": f"vqfuzz {phase}", **_numbers(found), "skipped": str(skipped), "time": seconds}
    suite = ET.SubElement(root, "testsuite", numbers)
    if run.started:
        suite.set("timestamp", run.started)
    facts = {"target": run.target, "command": run.command, "seed": str(run.seed), "spec": run.spec,
             "strict": str(run.strict).lower(), "vqfuzz": run.version}  # fmt: skip
    facts |= {f"target.{name}": value for name, value in run.describe.items()}
    facts |= {f"note.{place}": note for place, note in enumerate(run.notes, 1)}
    properties = ET.SubElement(suite, "properties")
    for name, value in facts.items():
        ET.SubElement(properties, "property", name=_clean(name), value=_clean(value))
    for one in found:
        _case(suite, one)


def _case(suite: ET.Element, one: Result) -> None:
    case = ET.SubElement(suite, "testcase", name=_clean(one.name), classname=_clean(classname(one)),
                         time=_time(one.seconds))  # fmt: skip
    reason = _skip(one)
    if kinds.fails(one):
        failure = ET.SubElement(
            case, "failure", type=_clean(one.rule), message=_clean(f"{one.rule}: {kinds.sentence(one)}")
        )
        failure.text = _clean(one.report or kinds.sentence(one))
    elif reason is not None:
        ET.SubElement(case, "skipped", message=_clean(reason))
    told = _facts(one)
    if reason is not None or kinds.warns(one):  # what is told of it must not be lost
        told += ["", one.report] if one.report else []
    ET.SubElement(case, "system-out").text = _clean("\n".join(told))


def classname(one: Result) -> str:
    """The section as a class: virtio.2.7.13, which tools fold by chapter; vhost-user.Ring states; a phase."""
    section = kinds.number(one)
    if not section:
        return f"vqfuzz.{one.phase}"
    return f"{'virtio' if section[0].isdecimal() else kinds.VHOST_USER}.{section}"


def _skip(one: Result) -> str | None:
    """Why it counts as skipped, or None."""
    if one.status == NOT_OFFERED:
        return f"not offered: {one.message or 'the target lacks what this needs'}"
    if one.status == UNDECIDED:
        return f"undecided: {one.message or 'only a wait expired'}"
    if kinds.accepted(one):
        return f"accepted: {one.known}"
    return None if kinds.fails(one) or one.status in (PASSED, REJECTED) else one.status


def _facts(one: Result) -> list[str]:
    """What is known of a result, a line each."""
    facts = {"rule": one.rule, "level": one.level, "status": one.status, "layout": one.layout, "title": one.title,
             "where": one.cite, "severity": one.severity, "reproduced": one.reproduced, "find": one.find,
             "message": one.message}  # fmt: skip
    return [f"{name}: {' '.join(value.split())}" for name, value in facts.items() if value]


def _numbers(found: Sequence[Result]) -> dict[str, str]:
    return {"tests": str(len(found)), "failures": str(sum(map(kinds.fails, found))), "errors": "0"}


def _time(seconds: float) -> str:
    return f"{max(0.0, seconds):.3f}"


def _clean(text: str) -> str:
    """*text* without what XML can't hold, which is shown as an escape."""
    return _FORBIDDEN.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
