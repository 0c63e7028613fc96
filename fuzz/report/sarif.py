"""A run as SARIF 2.1.0: what was found, with the rules that it breaks, for code scanning and editors.

Only what was found stands in it, accepted deviations too (``baselineState`` unchanged, and suppressed with the
reason): readers take every result for an alert. Knows results and the catalogue.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from urllib.parse import quote

from fuzz.report import kinds
from fuzz.results import Result, Run
from fuzz.trouble import TARGET, USAGE
from oracles.rules import Rule, registry

Json = dict[str, object]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_VIRTIO = "https://docs.oasis-open.org/virtio/virtio/v{0}/virtio-v{0}.html"
_VHOST_USER = "https://qemu-project.gitlab.io/qemu/interop/vhost-user.html"
#: TEXT is an error: what is described, or follows, decides whether a driver works as much as a MUST does.
_LEVELS = {"MUST": "error", "TEXT": "error", "SHOULD": "warning", "LINT": "note", "MAY": "note"}
#: What is no rule, and can be found nevertheless.
_VERDICTS = {
    "CRASHED": "the target died",
    "HUNG": "the target answers no more",
    "BROKEN": "the device gives up: it needs a reset, it says",
    "OUR_FAULT": "vqfuzz itself failed",
}


def render(run: Run) -> str:
    """The log, with a line end."""
    found = [one for one in run.results if one.status in kinds.BAD or kinds.warns(one)]
    ids = list(dict.fromkeys([*sorted({one.rule for one in run.results}, key=_order)]))
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(run, found, ids)]}
    return json.dumps(log, indent=1, ensure_ascii=False) + "\n"


def _order(rule: str) -> tuple[int, str]:
    """The catalogue's order; then by name."""
    known = list(registry())
    return (known.index(rule), "") if rule in registry() else (len(known), rule)


def _run(run: Run, found: list[Result], ids: list[str]) -> Json:
    driver: Json = {"name": "vqfuzz", "rules": [_rule(name, run) for name in ids]}
    if run.version:
        driver["version"] = driver["semanticVersion"] = run.version
    invocation: Json = {
        "commandLine": run.command,
        "exitCode": run.code,
        "executionSuccessful": run.code not in (USAGE, TARGET),
        "toolExecutionNotifications": [{"level": "note", "message": {"text": note}} for note in run.notes],
    }
    if run.started:
        invocation["startTimeUtc"] = run.started
    return {
        "tool": {"driver": driver},
        # the last part is empty: all before it is the category, so that several targets stand side by side
        "automationDetails": {"id": f"vqfuzz/{run.target}/"},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, run, ids.index(one.rule)) for one in found],
        "properties": {
            "target": run.target,
            "seed": run.seed,
            "spec": run.spec,
            "strict": run.strict,
            "seconds": round(run.seconds, 3),
            "describe": run.describe,
            "counts": dict(kinds.count(run.results)),
        },
    }


def _rule(name: str, run: Run) -> Json:
    rule = registry().get(name)
    if rule is None:
        text = _VERDICTS.get(name, name)
        return {
            "id": name,
            "shortDescription": {"text": text},
            "fullDescription": {"text": text},
            "helpUri": _VIRTIO.format(run.spec),
            "defaultConfiguration": {"level": "error"},
            "properties": {"tags": ["virtio"]},
        }
    level = rule.level_in(run.spec) or rule.level
    cite = rule.cite(run.spec)
    return {
        "id": name,
        "name": "".join(word.capitalize() for word in name.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.text},
        "help": {"text": f"{rule.text} {rule.seen} ({cite}; {rule.strength})"},
        "helpUri": _uri(rule, run.spec),
        "defaultConfiguration": {"level": _LEVELS[level.value]},
        "properties": {
            "tags": list(dict.fromkeys(("virtio", rule.subject, rule.layout))),
            "strength": rule.strength,
            "level": level.value,
            "cite": cite,
        },
    }


def _uri(rule: Rule, version: str) -> str:
    return _VHOST_USER if rule.document == "vhost-user" else _VIRTIO.format(version)


def _result(one: Result, run: Run, index: int) -> Json:
    program = _digest(one.rule, one.layout, one.program)
    told: Json = {
        "ruleId": one.rule,
        "ruleIndex": index,
        "level": _LEVELS.get(one.level, "error"),
        "message": {"text": f"{kinds.sentence(one)}" + (f" ({one.cite})" if one.cite else "")},
        "locations": [{"physicalLocation": {"artifactLocation": _artifact(one), "region": {"startLine": 1}}}],
        "partialFingerprints": {
            "primaryLocationLineHash": f"{program}:1",  # by which GitHub tells alerts apart
            "vqfuzzProgram/v1": program,
            "vqfuzzRule/v1": _digest(one.rule, one.layout),
        },
        "baselineState": "new" if one.new else "unchanged",
        "properties": {
            name: value
            for name, value in {
                "name": one.name, "layout": one.layout, "phase": one.phase, "status": one.status, "level": one.level,
                "section": one.section, "severity": one.severity, "reproduced": one.reproduced, "find": one.find,
                "also": one.also, "program": one.program, "report": one.report, "target": run.target,
            }.items()
            if value != ""
        },
    }  # fmt: skip
    if kinds.accepted(one):
        told["suppressions"] = [{"kind": "external", "status": "accepted", "justification": one.known}]
    return told


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _artifact(one: Result) -> Json:
    path = PurePosixPath(kinds.file_of(one))
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(str(path)), "uriBaseId": "%SRCROOT%"}
