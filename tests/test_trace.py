"""The text form of traces: what is written is read back the same, and what can't be read is named with its line."""

from __future__ import annotations

import contextlib
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles.trace import HEADER, KINDS, Observation, Started, TraceError, dump, dump_line, load, load_line

number = st.integers(0, (1 << 64) - 1)
extent = st.tuples(number, number)
VALUES: dict[object, st.SearchStrategy[Any]] = {
    int: number,
    str: st.text(max_size=20),
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
    tuple[int, int]: extent,
    tuple[tuple[int, int], ...]: st.lists(extent, max_size=4).map(tuple),
    tuple[int, ...]: st.lists(number, max_size=4).map(tuple),
}
TEXTS: dict[str, st.SearchStrategy[Any]] = {
    "layout": st.sampled_from(["split", "packed"]),
    "cause": st.sampled_from(["init", "reset", "queue_reset", "restart"]),
    "what": st.sampled_from(["device", "queue", "stop"]),
    "wrong": st.text(max_size=20),
    "base": st.one_of(st.just(-1), number),
}


def kind_of(kind: type[Observation]) -> st.SearchStrategy[Observation]:
    hints = get_type_hints(kind)
    fields = {name: TEXTS[name] if name in TEXTS else VALUES[hints[name]] for name in kind._fields}
    if kind is Started:
        fields["size"] = st.integers(0, 1 << 16)
    return st.builds(kind, **fields)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_read_back(name: str) -> None:
    @given(st.integers(0, 70), kind_of(KINDS[name]))
    def check(queue: int, observation: Observation) -> None:
        line = dump_line(queue, observation)
        assert load_line(line) == (queue, observation)
        assert list(load(f"{HEADER}\n{line}\n")) == [(queue, observation)]
        assert line.split()[:2] == [str(queue), name]

    check()


@given(st.lists(st.tuples(st.integers(0, 3), st.one_of([kind_of(kind) for kind in KINDS.values()])), max_size=8))
def test_traces_are_read_back(entries: list[tuple[int, Observation]]) -> None:
    assert list(load(dump(entries))) == entries


def test_a_trace_by_hand() -> None:
    text = """vqtrace 1
# a comment, then an empty line

0 started layout=split size=4 features=900000000 descriptor=10000 driver=11000 device=12000 memory=10000+65536
0 supplied buffer=0 id=2 slots=3 readable=4 writable=8 elements=13000+4,13010+8
0 published buffers=1
1 notified
0 stored address=12004 data=0200000008000000
0 scanned buffer=0 kept=4+2 wrong=byte%203%25
0 idle final=yes
"""
    entries = list(load(text))
    assert [queue for queue, _ in entries] == [0, 0, 0, 1, 0, 0, 0]
    assert [tuple(observation) for _, observation in entries] == [
        ("split", 4, 0x900000000, 0x10000, 0x11000, 0x12000, (0x10000, 65536), 0, 0, 1, "init", True),
        (0, 2, 3, 4, 8, ((0x13000, 4), (0x13010, 8)), (0, 0), 0, (), False),
        (1,),
        (False,),
        (0x12004, bytes.fromhex("0200000008000000")),
        (0, ((4, 2),), "byte 3%", "any"),
        (True, True),
    ]
    assert dump(entries).splitlines()[1:] == [line for line in text.splitlines()[3:] if line]


def test_nothing_but_the_header_is_a_trace() -> None:
    assert list(load(dump([]))) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 seen idx=1", "no observation is called 'seen'"),
        ("0", "QUEUE KIND"),
        ("notified 0", "QUEUE KIND"),
        ("-1 notified", "QUEUE KIND"),
        ("0 published", "published lacks buffers"),
        ("0 supplied buffer=0 id=0", "supplied lacks slots, readable, writable"),
        ("0 published buffers=1 buffers=1", "'buffers', or has it twice"),
        ("0 started layout=split size=65537 features=1 descriptor=1 driver=1 device=1 memory=0+8", "queue of 65537"),
        ("0 published buffers=1 what=2", "no field 'what'"),
        ("0 published 1", "no field '1'"),
        ("0 published buffers=", "(invalid literal|is no number)"),
        ("0 published buffers=one", "(invalid literal|is no number)"),
        ("0 published buffers=0x1", "(invalid literal|is no number)"),
        ("0 published buffers=-1", "never negative"),
        ("0 supplied buffer=0 id=-5 slots=1 readable=0 writable=0", "never negative"),
        ("0 stored address=-1 data=00", "never negative"),
        ("0 stored address=zz data=00", "(invalid literal|is no number)"),
        ("0 stored address=1 data=0", "fromhex"),
        ("0 stored address=1 data=0x00", "fromhex"),
        ("0 idle final=true", "final is yes or no"),
        ("0 idle final=1", "final is yes or no"),
        ("0 scanned buffer=0 kept=4", r"'4' is not ADDRESS\+LENGTH"),
        ("0 scanned buffer=0 kept=4+2,", r"'' is not ADDRESS\+LENGTH"),
        ("0 scanned buffer=0 kept=4+-2", "never negative"),
        ("0 resetting what=stop base=-2", "never negative"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(line: str, said: str) -> None:
    with pytest.raises(TraceError, match=f"^line 4: .*{said}"):
        list(load(f"{HEADER}\n# comment\n0 notified\n{line}\n"))


@pytest.mark.parametrize("text", ["", "\n", "vqtrace", "vqtrace 2\n", "0 notified\n", "\nvqtrace 1\n"])
def test_other_files_are_no_traces(text: str) -> None:
    with pytest.raises(TraceError, match="line 1: not a trace"):
        list(load(text))


@given(st.text(max_size=60))
def test_any_text_is_a_trace_or_an_error(text: str) -> None:
    for whole in (text, f"{HEADER}\n{text}", f"{HEADER}\n0 {text}", f"{HEADER}\n0 started {text}"):
        with contextlib.suppress(TraceError):
            assert dump(load(whole)).startswith(HEADER)


def test_defaults_are_left_out() -> None:
    started = Started("split", 4, 0, 0, 0, 0, (0, 0))
    assert dump_line(0, started) == "0 started layout=split size=4 features=0 descriptor=0 driver=0 device=0 memory=0+0"
