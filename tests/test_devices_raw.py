"""The class «raw»: bytes of the program's own, and any answer is right."""

from __future__ import annotations

import pytest

from fuzz.devices import load
from fuzz.devices.raw import LONGEST
from fuzz.encoding import ProgramError, dump
from fuzz.encoding import load as read
from fuzz.generate import nth
from fuzz.program import Limits, Request, Supply

RAW = Limits(device="raw", split_sizes=(2, 8, 64), packed_sizes=(3, 8))


def message(**fields):
    return load("raw", {}).message(Request("bytes", tuple(fields.items())), 0, 0)


def test_the_words_begin_the_bytes():
    made = message(out=12, w0=0x0807060504030201, w1=0xFFFFFFFF0C0B0A09)
    assert made.readable == bytes(range(1, 13))
    assert made.writable == 0
    assert made.check(3, b"abc") == ""
    longer = message(out=20, w1=1, **{"in": 5})
    assert longer.readable[:16] == bytes(8) + b"\1" + bytes(7)
    assert (len(longer.readable), longer.writable) == (20, 5)
    assert message(out=20).readable != bytes(20)  # without words, a pattern


def test_programs_of_it_are_written_and_read():
    words = set()
    for index in range(100):
        made = nth(1, index, RAW)
        assert read(dump(made)) == made
        speaker = load("raw", {})
        for step in made.steps:
            if isinstance(step, Supply):
                assert step.request is not None
                assert speaker.words(step.request) is None
                words |= {name for name, _ in step.request.fields}
    assert {"out", "in", "w0", "w7"} <= words


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("supply bytes out=0 in=0", "bytes has no bytes; add out= or in="),
        ("supply bytes w0=1", "bytes has no bytes; add out= or in="),
        ("supply bits out=1", "raw has no request 'bits'; it has bytes"),
        ("supply bytes out=1 w8=1", "bytes has no field 'w8'"),
        (f"supply bytes out={LONGEST + 1}", "out of bytes is 0 to 65536, not 65537"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(line, wrong):
    with pytest.raises(ProgramError) as error:
        read(f"virtqueue-program 1\ndevice raw\nqueue split 8\nfeatures version_1\n{line}\n", "p.vq")
    assert str(error.value).startswith("p.vq:5: ")
    assert wrong in str(error.value)
