"""JSON lines come back as the run that they tell of; and reports are written whole or not at all."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fuzz.report import files, jsonl, junit, outputs
from fuzz.results import STATUSES, Run
from fuzz.trouble import EnvironmentTrouble, UsageTrouble
from tests.report_kit import result, run

EVENTS = Path(__file__).parent.parent / "fuzz" / "report" / "events.schema.json"
EMPTY = Run("model", "vqfuzz check model")


# --- JSON lines -------------------------------------------------------------------------------------------------------


def test_json_lines_are_valid_and_come_back_as_the_same_run() -> None:
    text = jsonl.render(run())
    schema = json.loads(EVENTS.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for line in text.splitlines():
        jsonschema.Draft202012Validator(schema).validate(json.loads(line))
    assert jsonl.load(text, "x.jsonl") == run()
    assert json.loads(text.splitlines()[0])["schema"] == "vqfuzz-events"
    assert json.loads(text.splitlines()[-1])["failures"] == 3


def test_json_lines_lose_nothing_of_a_number() -> None:
    told = replace(EMPTY, seconds=1 / 3, results=[result("INO-ORDER/split", "passed", seconds=2 / 3)])
    assert jsonl.load(jsonl.render(told), "x") == told


def test_the_schema_of_json_lines_knows_every_field_and_status() -> None:
    schema = json.loads(EVENTS.read_text(encoding="utf-8"))["$defs"]
    event = json.loads(jsonl.line(run().results[0]))
    assert list(schema["result"]["properties"]) == list(event)
    assert schema["result"]["properties"]["status"]["enum"] == list(STATUSES)
    assert list(schema["run"]["properties"]) == list(json.loads(jsonl.head(run())))
    assert list(schema["summary"]["properties"]) == list(json.loads(jsonl.tail(run())))


def test_readers_leave_alone_what_a_later_vqfuzz_adds() -> None:
    lines = [json.loads(line) for line in jsonl.render(run()).splitlines()]
    for event in lines:
        event["later"] = {"a": 1}
    assert jsonl.load("\n".join(json.dumps(event) for event in lines), "x") == run()


def broken(change: str) -> str:
    lines = jsonl.render(run()).splitlines()
    events = [json.loads(line) for line in lines]
    event: Any = copy.deepcopy(events)
    if change == "version":
        event[0]["version"] = 2
    elif change == "schema":
        event[0]["schema"] = "other"
    elif change == "cut":
        event.pop()
    elif change == "status":
        event[3]["status"] = "odd"
    elif change == "type":
        event[2]["new"] = 1
    elif change == "lost":
        event.pop(2)
    elif change == "text":
        return "\n".join([*lines[:2], "{", *lines[2:]])
    return "\n".join(json.dumps(one) for one in event)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("version", "x.jsonl: version 2 of vqfuzz-events, and this vqfuzz reads version 1;"),
        ("schema", "x.jsonl: no vqfuzz-events file"),
        ("cut", "x.jsonl: ends without its summary"),
        ("status", "x.jsonl:4: no status is called 'odd'"),
        ("type", "x.jsonl:3: new is missing or of the wrong type (1)"),
        ("lost", "x.jsonl:10: 9 results are told, and there are 8"),
        ("text", "x.jsonl:3: not a JSON object"),
    ],
)
def test_json_lines_that_cannot_be_read_are_refused_in_one_line(change: str, said: str) -> None:
    with pytest.raises(UsageTrouble) as caught:
        jsonl.load(broken(change), "x.jsonl")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_report_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.xml"
    files.writable(path)
    assert list(tmp_path.iterdir()) == []
    files.write(path, "one")
    files.write(path, "two")
    assert [one.name for one in path.parent.iterdir()] == ["report.xml"]
    assert path.read_text() == "two"


def test_a_report_that_cannot_be_finished_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.xml"
    files.write(path, "before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentTrouble, match=r"report\.xml can't be written: no space left on device"):
        files.write(path, "after")
    assert [one.name for one in tmp_path.iterdir()] == ["report.xml"]
    assert path.read_text() == "before"


def test_a_link_stays_one_and_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    files.write(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "text"
    files.writable(Path("/dev/null"))
    files.write(Path("/dev/null"), "text")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("place", ["folder", "file/report.xml"])
def test_what_cannot_be_written_is_said_before_the_run(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentTrouble, match=f"{place} can't be written: .*; name another file"):
        files.writable(tmp_path / place)


def test_all_outputs_are_checked_before_and_written_after(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"report.{name}" for name in outputs.FORMATS}
    outputs.check(paths)
    assert list(tmp_path.iterdir()) == []
    outputs.write(run(), paths)
    assert {one.name for one in tmp_path.iterdir()} == {path.name for path in paths.values()}
    assert (tmp_path / "report.junit").read_bytes() == junit.render(run()).encode()
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentTrouble, match="file/x can't be written"):
        outputs.check({"junit": tmp_path / "file" / "x"})
    with pytest.raises(UsageTrouble, match="--sarif and --junit name the same file"):
        outputs.check({"junit": tmp_path / "x", "sarif": tmp_path / "y" / ".." / "x"})
