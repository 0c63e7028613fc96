"""The page: it parses, refers to nothing outside, escapes what targets say, and stays small."""

from __future__ import annotations

import re
import time
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fuzz import finds
from fuzz.commands.reporting import report
from fuzz.confirm import Runner
from fuzz.program import Notify, Program, Queue, Receive, Supply
from fuzz.report import jsonl
from fuzz.report.cards import load
from fuzz.report.frames import BARS, COLUMNS, FRAMES, pictures
from fuzz.report.html import STYLE, anchor, render
from fuzz.report.page import Page, of_finds, of_run
from fuzz.results import FAILED, NOT_OFFERED, PASSED, UNDECIDED, Result, Run
from fuzz.selftest import search
from fuzz.targets.model import Model
from fuzz.targets.model.faults import FAULTS
from fuzz.trouble import UsageTrouble
from fuzz.verdict import CRASHED, Outcome
from oracles import spec

ROOT = Path(__file__).resolve().parent.parent
VOID = {"meta", "br", "link", "img", "input", "hr"}
HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)> ' \" & \x1b[31m\u202e\x00 {{ 7*7 }}"


class Checker(HTMLParser):
    """Sees that elements are closed as they were opened, ids are there once, and what refers to them is right."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.wrong: list[str] = []
        self.levels: list[int] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("aria-labelledby", "aria-describedby"):
                self.refers += value.split()
            if name == "href" and value.startswith("#"):
                self.refers.append(value[1:])
            elif name in ("href", "src", "srcset", "action", "data", "xlink:href", "poster", "background"):
                self.wrong.append(f"{tag} {name}={value}")
            if name.startswith("on") or name == "style":
                self.wrong.append(f"{tag} {name}")
        if tag == "th" and "scope" not in dict(attrs):
            self.wrong.append("th without scope")
        if tag == "svg" and dict(attrs).get("role") != "img":
            self.wrong.append("svg without a role")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")


def checked(text: str) -> Checker:
    """Parse, and complain about anything that is wrong in any page."""
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert not checker.wrong
    assert not checker.open
    assert len(checker.ids) == len(set(checker.ids))
    assert set(checker.refers) <= set(checker.ids)
    assert text.startswith("<!doctype html>\n<html lang=")
    assert not {"script", "link", "img", "iframe", "object"} & set(checker.tags)
    assert not re.search(r"url\(|@import|@font-face", text)
    assert checker.levels[0] == 1
    assert checker.levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(checker.levels, checker.levels[1:], strict=False))
    return checker


def find_in(folder: Path, fault: str = "a05", **meta: object) -> finds.Find:
    """A find of a planted fault, as the campaign saves it."""
    runner = Runner(Model(fault))
    found = search(runner, FAULTS[fault], 1, 300)
    assert found is not None
    _, program, outcome = found
    facts = {
        "rule": outcome.rule,
        "verdict": outcome.verdict,
        "message": outcome.violation.message if outcome.violation else "",
        "target": f"model:{fault}",
        "describe": {"target": f"model:{fault}"},
        "seed": 1,
        "index": 3,
        "first_marks": list(outcome.marks),
        "runs": {"again": 20, "of": 20},
        "versions": {"vqfuzz": "9.9"},
        "words": "",
        **meta,
    }
    return finds.save(folder, outcome.rule, program, outcome, facts)


def run_of(*results: Result, code: int = 1) -> Run:
    return Run(
        "exec:./dev {socket}",
        "vqfuzz check 'exec:./dev {socket}' --seed 4",
        4,
        version="0.1",
        started="2030-01-02T03:04:05Z",
        results=list(results),
        code=code,
        describe={"version": "7.1"},
        notes=["hostile input was left out"],
    )


RESULT = Result(
    "INO-ORDER/split",
    "INO-ORDER",
    "split",
    "conformance",
    FAILED,
    "buffers are used out of order",
    section="6.2",
    message="b1 came before b0",
    report="FAIL  INO-ORDER",
    program="virtqueue-program 1",
)


# --- what is on it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["a05", "a13", "canary", "a20"])
def test_page_of_a_find(tmp_path, fault):
    find = find_in(tmp_path, fault)
    text = render(of_finds(find.folder))
    checker = checked(text)
    assert find.meta["rule"] in text
    assert "reproduced" in text
    assert "20/20" in text
    assert text.count("<svg") >= 2
    assert "✗" in text
    assert "article" in checker.tags
    assert f"vqfuzz explain {find.folder}" in text


def test_page_of_a_folder_of_finds(tmp_path):
    names = [find_in(tmp_path, fault).id for fault in ("a05", "a13")]
    text = render(of_finds(tmp_path))
    checked(text)
    assert all(anchor(name) in text for name in names)
    assert "2 finds" in text


def test_smallest_program_is_the_one_that_is_shown(tmp_path):
    find = find_in(tmp_path)
    small = Program(spec.SPLIT, (Queue(2),), spec.VERSION_1 | spec.IN_ORDER, steps=(Supply((), (1,)), Notify()))
    outcome = Runner(Model()).run(small)
    finds.complete(find, small, outcome, "report\n")
    finds.update(find, marks=list(outcome.marks), shrunk={"before": 9, "after": 2, "executions": 3, "seconds": 0.1})
    card = load(find.folder)
    assert card.program.splitlines()[-2:] == ["supply in:1", "notify"]
    assert card.shrunk == "9 → 2 steps (3 executions, 0.1 s)"


def test_a_crash_is_marked_where_it_was_last_alive(tmp_path):
    program = Program(steps=(Supply((1,), (1,)), Notify()))
    outcome = Runner(Model()).run(program)
    facts: finds.Meta = {"rule": CRASHED, "verdict": CRASHED, "target": "model", "words": "Segmentation fault"}
    facts |= {"first_marks": list(outcome.marks), "runs": {"again": 0, "of": 5}}
    outcome.verdict = CRASHED
    find = finds.save(tmp_path, CRASHED, program, outcome, facts)
    card = load(find.folder)
    assert (card.word, card.words) == ("FLAKY", "Segmentation fault")
    assert card.panels[0].frames[-1][0].note == "✗ crashed"
    assert of_finds(find.folder).tone == "odd", "what never came back is not called found"


def test_page_of_a_check():
    results = [
        RESULT,
        replace(RESULT, name="INO-ORDER/packed", layout="packed", status=PASSED, message="", report=""),
        replace(RESULT, name="S-X/split", rule="S-X", status=NOT_OFFERED, message="no event_idx", section="2.7.10"),
        replace(RESULT, name="S-Y/split", rule="S-Y", status=UNDECIDED, message="a wait expired", section="2.7.6"),
        replace(RESULT, name="LINT-A/split", rule="LINT-A", status=PASSED, message="odd, but legal", level="LINT"),
        replace(RESULT, name="S-Z/split", rule="S-Z", new=False, known="a bug that we live with", message="known one"),
    ]
    page = of_run(run_of(*results))
    text = render(page)
    checked(text)
    assert page.heads == ["section", PASSED, FAILED, UNDECIDED, "accepted", NOT_OFFERED]
    assert page.summary == [
        ("2.7 Split Virtqueues", [0, 0, 1, 0, 1]),
        ("6 Reserved Feature Bits", [2, 1, 0, 1, 0]),
    ]
    assert page.lead == "2 passed, 1 failed, 1 undecided, 1 accepted, 1 not offered"
    assert page.warnings == [("LINT-A", "buffers are used out of order", "odd, but legal")]
    assert [card.rule for card in page.cards] == ["INO-ORDER"]
    assert [line.rule for line in page.lines] == ["INO-ORDER", "S-Y", "S-Z"]
    for words in (
        "a bug that we live with",
        "no event_idx",
        "a wait expired",
        "hostile input was left out",
        "exit",
        "odd, but legal",
    ):
        assert words in text


def test_page_with_no_finds():
    for run in (run_of(code=0), run_of(replace(RESULT, status=PASSED), code=0)):
        text = render(of_run(run))
        checked(text)
        assert "Nothing was found." in text
        assert "conforms" in text


def test_result_without_its_folder_is_told_from_what_it_says(tmp_path):
    page = of_run(run_of(replace(RESULT, find=str(tmp_path / "gone"))))
    assert page.cards[0].report == "FAIL  INO-ORDER"
    assert not page.cards[0].panels
    checked(render(page))


def test_result_with_its_folder_is_drawn(tmp_path):
    find = find_in(tmp_path)
    page = of_run(run_of(replace(RESULT, find=str(find.folder))))
    assert page.cards[0].panels[0].timeline is not None
    checked(render(page))


# --- hostile, huge ----------------------------------------------------------------------------------------------------


def test_hostile_words_are_text(tmp_path):
    find_in(tmp_path, message=HOSTILE, words=HOSTILE, target=HOSTILE, verdict=CRASHED, describe={HOSTILE: HOSTILE})
    texts = {one.name: HOSTILE for one in fields(Result) if one.type == "str"}
    hostile = replace(RESULT, **{**texts, "phase": "conformance", "status": FAILED})  # type: ignore[arg-type]  # all texts
    pages = [
        of_finds(tmp_path),
        of_run(replace(run_of(hostile), target=HOSTILE, notes=[HOSTILE], describe={"a": HOSTILE})),
    ]
    for page in pages:
        text = render(page)
        checked(text)
        assert "&lt;script&gt;alert(1)" in text
        assert "{{ 7*7 }}" in text
        assert not re.search("[\x00\x1b\u202e]", text)


def test_long_programs_give_small_pages(tmp_path):
    steps = [Supply((8,), (8,)) if number % 3 else Receive(1) for number in range(499)]
    program = Program(spec.PACKED, (Queue(256),), spec.VERSION_1, steps=(*steps, Notify(True)))
    outcome = Runner(Model()).run(program)
    drawn = pictures(program, outcome.trace, outcome.marks)
    assert len(drawn.frames) == FRAMES
    assert drawn.timeline is not None
    assert len(drawn.timeline.steps) == COLUMNS
    assert len(drawn.timeline.bars) <= BARS
    facts = {"rule": CRASHED, "verdict": CRASHED, "target": "model", "first_marks": list(outcome.marks)}
    for number in range(10):
        finds.save(tmp_path, f"R{number}", program, outcome, facts)
    began = time.monotonic()
    text = render(of_finds(tmp_path))
    assert len(text.encode()) < 2_000_000
    assert time.monotonic() - began < 20
    checked(text)


def test_many_results_give_small_pages():
    many = [replace(RESULT, name=f"R{number}/split", rule=f"R{number}", report="x" * 99_999) for number in range(900)]
    page = of_run(run_of(*many))
    assert len(page.cards) + page.left == 900
    assert len(render(page).encode()) < 2_000_000


#: What goes wrong before a queue is set up has no ring to be drawn.
EARLY = {"calls-before-driver-ok", "notifies-early"}


@pytest.mark.parametrize("fault", sorted({name for name, fault in FAULTS.items() if not fault.aimed} - EARLY))
def test_every_planted_fault_can_be_drawn(fault, tmp_path):
    """Both halves of a picture agree: what is wrong is marked once, and bars end where buffers do."""
    card = load(find_in(tmp_path, fault).folder)
    [panel] = card.panels
    assert panel.timeline is not None
    assert [frame.bad for frame, _ in panel.frames].count(True) == 1
    for _, drawing in panel.frames:
        assert all(0 <= shape.x <= drawing.width and 0 <= shape.y <= drawing.height for shape in drawing.shapes)
        rects = [shape for shape in drawing.shapes if shape.form == "rect"]
        assert all(shape.x + shape.width <= drawing.width for shape in rects)
    rects = [shape for shape in panel.timeline.shapes if shape.form == "rect"]
    assert all(shape.width > 0 and shape.x + shape.width <= panel.timeline.width for shape in rects)


# --- colours ----------------------------------------------------------------------------------------------------------


def _light(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_in_both_schemes(scheme):
    style = (ROOT / "fuzz/report" / STYLE).read_text()
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme]))
    pairs = [(front, back) for front in ("text", "soft", "link") for back in ("back", "card", "code")]
    pairs += [("good", "good-back"), ("bad", "bad-back"), ("odd", "odd-back"), ("bad", "card"), ("odd", "card")]
    pairs += [("text", "driver"), ("text", "device"), ("text", "bad-back"), ("text", "odd-back")]
    for front, back in pairs:
        high, low = sorted((_light(colours[front]), _light(colours[back])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{front} on {back}"


# --- the command, and files -------------------------------------------------------------------------------------------


def test_command_writes_the_page(tmp_path, cli):
    find = find_in(tmp_path / "finds")
    out = tmp_path / "page.html"
    done = cli("report", find.folder, "--out", out)
    assert done.returncode == 0
    checked(out.read_text())
    assert str(out) in done.stdout


def test_command_reads_events(tmp_path):
    events = tmp_path / "events.jsonl"
    events.write_text(jsonl.render(run_of(RESULT)))
    out = tmp_path / "page.html"
    assert report(events, out) == 0
    assert "b1 came before b0" in out.read_text()


def test_bad_input_is_one_line(tmp_path, cli):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/program.vq").write_text("nonsense\n")
    find = find_in(tmp_path / "finds")
    (find.folder / finds.TRACE).write_text("vqtrace 1\n0 nonsense\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for place in ("empty", "broken", "finds", "bytes", "absent"):
        done = cli("report", tmp_path / place, "--out", tmp_path / "x.html")
        assert done.returncode == 2, place
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "x.html").exists()


def test_marks_that_are_none_are_refused(tmp_path):
    find = find_in(tmp_path, first_marks=["a"])
    with pytest.raises(UsageTrouble, match="marks"):
        load(find.folder)


def test_place_that_cant_be_written(tmp_path, cli):
    find = find_in(tmp_path / "finds")
    for out in (tmp_path, find.folder / "find.json" / "page.html"):
        done = cli("report", find.folder, "--out", out)
        assert done.returncode == 3
        assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["finds"]


def test_empty_page_can_be_rendered():
    checked(render(Page("nothing", "conforms", "good")))


def test_outcome_without_a_trace_can_be_drawn():
    drawn = pictures(Program(steps=(Notify(),)), Outcome(CRASHED).trace, [])
    assert drawn.timeline is None
    assert not drawn.frames
