"""A run as JSON lines: for tools, and to make any other report of it later.

The first line names the schema and its version; then a line for each result; the last line is the summary, so a
file without it is one of a run that was cut off. ``events.schema.json`` beside this module says what stands in
each. Fields may be added within a version, and readers leave alone what they don't know. Knows results.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields
from typing import Any

from fuzz.report import kinds
from fuzz.results import STATUSES, Result, Run
from fuzz.trouble import UsageTrouble

SCHEMA, VERSION = "vqfuzz-events", 1
_KINDS = {"str": str, "int": int, "bool": bool, "float": (int, float)}
_HEAD = {"target": str, "command": str, "seed": int, "spec": str, "strict": bool, "vqfuzz": str, "started": str}


def render(run: Run) -> str:
    """All lines."""
    return head(run) + "".join(line(one) for one in run.results) + tail(run)


def head(run: Run) -> str:
    """The first line: what runs, known before it does."""
    return _line({
        "schema": SCHEMA, "version": VERSION, "event": "run", "vqfuzz": run.version, "target": run.target,
        "command": run.command, "seed": run.seed, "spec": run.spec, "strict": run.strict, "started": run.started,
        "describe": run.describe,
    })  # fmt: skip


def line(result: Result) -> str:
    """The line of one result: its fields as they are."""
    return _line({"event": "result", **asdict(result)})


def tail(run: Run) -> str:
    """The last line: what it came to."""
    counts = kinds.count(run.results)
    return _line({
        "event": "summary", "code": run.code, "seconds": run.seconds, "results": len(run.results),
        "failures": len(run.failures()), "counts": {name: counts[name] for name in kinds.KINDS if counts[name]},
        "notes": run.notes,
    })  # fmt: skip


def _line(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False) + "\n"


# --- back again -------------------------------------------------------------------------------------------------------


def load(text: str, name: str) -> Run:
    """The run that the lines *text* of the file *name* tell of. Raises UsageTrouble: one line, with the mend."""
    events = [_event(one, f"{name}:{place}") for place, one in enumerate(text.split("\n"), 1) if one.strip()]
    if not events or events[0].get("schema") != SCHEMA:
        raise UsageTrouble(f"{name}: no {SCHEMA} file, for its first line names no such schema; make one with --json")
    if events[0].get("version") != VERSION:
        raise UsageTrouble(
            f"{name}: version {events[0].get('version')!r} of {SCHEMA}, and this vqfuzz reads version {VERSION}; "
            "read it with the vqfuzz that wrote it"
        )
    if events[-1].get("event") != "summary":
        raise UsageTrouble(f"{name}: ends without its summary, so the run was cut off; make it again")
    run = _head(events[0], name)
    for place, event in enumerate(events[1:-1], 2):
        if event.get("event") != "result":
            raise UsageTrouble(f"{name}:{place}: not a result; there is one run in a file")
        run.results.append(_result(event, f"{name}:{place}"))
    last = f"{name}:{len(events)}"
    run.code, run.seconds = (
        int(_get(event := events[-1], "code", int, last)),
        float(_get(event, "seconds", (int, float), last)),
    )
    run.notes = [str(note) for note in _get(event, "notes", list, last)]
    if event.get("results") != len(run.results):
        raise UsageTrouble(f"{last}: {event.get('results')} results are told, and there are {len(run.results)}")
    return run


def _event(text: str, place: str) -> dict[str, Any]:
    try:
        event = json.loads(text)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise UsageTrouble(f"{place}: not a JSON object; make the file again with --json")
    return event


def _get(event: dict[str, Any], name: str, kind: Any, place: str) -> Any:
    value = event.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UsageTrouble(f"{place}: {name} is missing or of the wrong type ({value!r}); make the file again")
    return value


def _head(event: dict[str, Any], name: str) -> Run:
    facts = {one: _get(event, one, kind, f"{name}:1") for one, kind in _HEAD.items()}
    facts["version"] = facts.pop("vqfuzz")
    describe = _get(event, "describe", dict, f"{name}:1")
    return Run(**facts, describe={str(key): str(value) for key, value in describe.items()})


def _result(event: dict[str, Any], place: str) -> Result:
    facts = {}
    for one in fields(Result):
        if one.name in event or one.default is MISSING:
            facts[one.name] = _get(event, one.name, _KINDS[str(one.type)], place)
    if facts["status"] not in STATUSES:
        raise UsageTrouble(f"{place}: no status is called {facts['status']!r}; there are {', '.join(STATUSES)}")
    return Result(**facts)
