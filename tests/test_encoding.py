"""Program text and bytes: what is written is read back, what is wrong is said in one line, nothing is fatal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.encoding import MAX_TEXT, ProgramError, dump, from_bytes, line, load, repair
from fuzz.program import (
    Lever,
    Limits,
    Notify,
    Program,
    Publish,
    Queue,
    QueueReset,
    Receive,
    Request,
    Reset,
    Restart,
    Supply,
    Suppress,
)
from fuzz.strategies import programs
from oracles import spec

EVERYTHING = """\
virtqueue-program 1
queue split 4
queue split 8 start=65530
features indirect_desc event_idx version_1 in_order ring_reset
lever order=lifo
supply out:16 in:512
supply in:64 indirect held
supply out:1 out:1 in:8 indirect=1 answer=4 gap queue=1
supply out:0
publish
publish queue=1
notify
notify force queue=1
receive 2
receive 1 asleep queue=1
suppress disable
suppress enable queue=1
suppress event ahead=0
suppress event ahead=3 queue=1
suppress enable junk queue=1
queue-reset
queue-reset size=16 queue=1
restart
restart queue=1
reset
"""

EVERYTHING_PROGRAM = Program(
    spec.SPLIT,
    (Queue(4), Queue(8, 65530)),
    spec.INDIRECT_DESC | spec.EVENT_IDX | spec.VERSION_1 | spec.IN_ORDER | spec.RING_RESET,
    "any",
    (
        Lever("order", "lifo"),
        Supply((16,), (512,)),
        Supply((), (64,), indirect=0, held=True),
        Supply((1, 1), (8,), indirect=1, answer=4, gap=True, queue=1),
        Supply((0,)),
        Publish(),
        Publish(1),
        Notify(),
        Notify(True, 1),
        Receive(2),
        Receive(1, True, 1),
        Suppress("disable"),
        Suppress("enable", queue=1),
        Suppress("event"),
        Suppress("event", 3, 1),
        Suppress("enable", 0, 1, True),
        QueueReset(),
        QueueReset(16, 1),
        Restart(),
        Restart(1),
        Reset(),
    ),
)

REQUESTS = """\
virtqueue-program 1
device blk
queue packed 5
features version_1 in_order
supply read sector=0 length=4096 cut=1,511,rest indirect
supply write sector=7 length=512 cut=rest,100,rest held gap
supply flush
"""

REQUESTS_PROGRAM = Program(
    spec.PACKED,
    (Queue(5),),
    spec.VERSION_1 | spec.IN_ORDER,
    "blk",
    (
        Supply(request=Request("read", (("sector", 0), ("length", 4096))), cut=(1, 511, 0), indirect=0),
        Supply(request=Request("write", (("sector", 7), ("length", 512))), cut=(0, 100, 0), held=True, gap=True),
        Supply(request=Request("flush")),
    ),
)


# --- text that is right -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "program"), [(EVERYTHING, EVERYTHING_PROGRAM), (REQUESTS, REQUESTS_PROGRAM)])
def test_every_word_is_read_and_written(text, program):
    assert load(text) == program
    assert dump(program) == text


def test_people_may_write_it_differently():
    text = """\
virtqueue-program 1   # the version of the form
# features first, and in any order

features in_order version_1
device any
  queue\tpacked 5\r
supply indirect=0 out:1""".replace("indirect=0 out:1", "out:1 queue=0 indirect=0")
    text += "   # a comment with «words» that mean nothing: supply\nreceive 01\nsuppress event\n"
    assert dump(load(text)) == (
        "virtqueue-program 1\nqueue packed 5\nfeatures version_1 in_order\n"
        "supply out:1 indirect\nreceive 1\nsuppress event ahead=0\n"
    )


def test_features_default_to_version_1():
    assert load("virtqueue-program 1\nqueue split 8").features == spec.VERSION_1


queue_numbers = st.integers(0, 2)
lengths = st.lists(st.integers(0, 5000), max_size=4).map(tuple)


@st.composite
def supplies(draw, layout):
    readable, writable = draw(lengths), draw(lengths)
    if not readable and not writable:
        writable = (1,)
    count = len(readable) + len(writable)
    direct = st.just(0) if layout == spec.PACKED else st.integers(0, count - 1)
    return Supply(
        readable,
        writable,
        indirect=draw(st.none() | direct),
        held=draw(st.booleans()),
        gap=draw(st.booleans()),
        answer=draw(st.none() | st.integers(0, sum(writable))),
        queue=draw(queue_numbers),
    )


@st.composite
def valid_programs(draw):
    """Every field of every step, likely on a real ring or not."""
    layout = draw(st.sampled_from(spec.LAYOUTS))
    sizes = st.sampled_from([8, 16, 32768]) if layout == spec.SPLIT else st.integers(8, spec.MAX_SIZE)
    queues = draw(st.lists(st.builds(Queue, sizes, st.integers(0, 0xFFFF)), min_size=3, max_size=3).map(tuple))
    features = spec.VERSION_1
    for bit in draw(st.sets(st.sampled_from([bit for bit in spec.FEATURE_NAMES.values() if bit != spec.RING_PACKED]))):
        features |= bit
    step = st.one_of(
        supplies(layout),
        st.builds(Publish, queue_numbers),
        st.builds(Notify, st.booleans(), queue_numbers),
        st.builds(Receive, st.integers(1, 0xFFFF), st.booleans(), queue_numbers),
        st.builds(Suppress, st.sampled_from(["enable", "disable"]), st.just(0), queue_numbers),
        st.builds(Suppress, st.just("event"), st.integers(0, 0xFFFF), queue_numbers),
        st.just(Reset()),
        st.builds(QueueReset, st.just(0) | sizes, queue_numbers),
        st.builds(Restart, queue_numbers),
        st.builds(Lever, st.sampled_from(["order", "link-2"]), st.sampled_from(["all", "0", "x_y"])),
    )
    steps = draw(st.lists(step, max_size=8).map(tuple))
    return Program(layout, queues, features, "any", steps)


@given(valid_programs())
def test_valid_programs_come_back(program):
    assert load(dump(program)) == program


@given(programs(Limits(queues=3, empty_elements=True, levers=(("order", ("fifo", "lifo")),))))
def test_generated_programs_come_back(program):
    assert load(dump(program)) == program


def test_line_is_the_line_of_the_text():
    assert [line(step) for step in EVERYTHING_PROGRAM.steps] == EVERYTHING.splitlines()[4:]


# --- text that is wrong: the message is all that a person sees --------------------------------------------------------

HEAD = "virtqueue-program 1\nqueue split 4\nfeatures version_1\n"
PACKED = "virtqueue-program 1\nqueue packed 5\n"
BLK = "virtqueue-program 1\ndevice blk\nqueue split 4\n"

WRONG = [
    ("", "1: this is no virtqueue program; its first line must be «virtqueue-program 1»"),
    ("queue split 4", "1: this is no virtqueue program; its first line must be «virtqueue-program 1»"),
    ("# one\nvirtqueue-program 1", "1: this is no virtqueue program; its first line must be «virtqueue-program 1»"),
    ("virtqueue-program 2", "1: version 2 is not known; this reader knows version 1"),
    ("virtqueue-program 1\n\n# nothing\n", "1: no queue line before this; add «queue split 8» above the steps"),
    ("virtqueue-program 1\nnotify", "2: no queue line before this; add «queue split 8» above the steps"),
    (HEAD + "suply out:1", "4: unknown word «suply»; did you mean «supply»?"),
    (HEAD + "supply out:1 hold", "4: unknown word «hold»; did you mean «held»?"),
    (HEAD + "reset queue=0", "4: unknown word «queue=0»; take it out"),
    (HEAD + "notify\0", "4: a NUL byte; programs are plain text, is this another file?"),
    (HEAD + "# \0", "4: a NUL byte; programs are plain text, is this another file?"),
    (HEAD + "notify\nqueue split 4", "5: «queue» stands after a step; move it up, before the first one"),
    ("virtqueue-program 1\nqueue split", "2: «queue» takes a layout and a size; write e.g. «queue split 8»"),
    ("virtqueue-program 1\nqueue splt 8", "2: unknown layout «splt»; did you mean «split»?"),
    ("virtqueue-program 1\nqueue split 6", "2: a split queue of 6; its size is a power of two, take 4 or 8 (2.7)"),
    ("virtqueue-program 1\nqueue split 65536", "2: the size 65536 is out of range; 1..32768 is possible"),
    ("virtqueue-program 1\nqueue packed 0", "2: the size 0 is out of range; 1..32768 is possible"),
    ("virtqueue-program 1\nqueue packed x", "2: the size is «x»; write a decimal number in 1..32768"),
    ("virtqueue-program 1\nqueue packed 4 start=65536", "2: start 65536 is out of range; 0..65535 is possible"),
    (
        "virtqueue-program 1\nqueue packed 4\nqueue split 4",
        "3: a split queue after a packed one; all queues of a program have one layout",
    ),
    ("virtqueue-program 1\n" + "queue split 1\n" * 65, "66: too many queues; 64 is the most"),
    (
        "virtqueue-program 1\nfeatures in_order",
        "2: «version_1» is missing; add it, older interfaces are not spoken",
    ),
    ("virtqueue-program 1\nfeatures version_1 inorder", "2: unknown feature «inorder»; did you mean «in_order»?"),
    ("virtqueue-program 1\nfeatures version_1 packed", "2: «packed» is said by the queue line; take it out here"),
    ("virtqueue-program 1\nfeatures version_1 version_1", "2: «version_1» stands twice; once is enough"),
    (HEAD + "features version_1", "4: a second features line; name all of them in one"),
    ("virtqueue-program 1\ndevice blok", "2: unknown device class «blok»; did you mean «blk»?"),
    ("virtqueue-program 1\ndevice", "2: «device» takes one word; write e.g. «device blk»"),
    ("virtqueue-program 1\ndevice blk\ndevice any", "3: a second device line; a program has one device"),
    (HEAD + "supply", "4: this buffer has no elements; add out:LENGTH or in:LENGTH"),
    (HEAD + "supply held", "4: this buffer has no elements; add out:LENGTH or in:LENGTH"),
    (
        HEAD + "supply in:1 out:1",
        "4: a readable element after a writable one; put all out: before all in: (2.7.4.2)",
    ),
    (HEAD + "supply to:1", "4: unknown word «to:1»; elements are out:LENGTH and in:LENGTH"),
    (HEAD + "supply out:-1", "4: out is «-1»; write a decimal number in 0..1048576"),
    (HEAD + "supply out:1_0", "4: out is «1_0»; write a decimal number in 0..1048576"),
    (HEAD + "supply out:٣", "4: out is «٣»; write a decimal number in 0..1048576"),
    (HEAD + "supply in:1048577", "4: in 1048577 is out of range; 0..1048576 is possible"),
    (HEAD + "supply out:1048576 in:1", "4: this buffer is larger than 1 MiB; make its elements shorter"),
    (
        HEAD + "supply out:1 out:1 out:1 out:1 in:1",
        "4: this buffer takes 5 descriptors and queue 0 has 4; use fewer elements, «indirect», or a larger queue",
    ),
    (HEAD + "supply out:1 in:1 indirect=2", "4: indirect=2 leaves none of 2 elements for the table; make it smaller"),
    (
        PACKED + "supply out:1 in:1 indirect=1",
        "3: packed lists never mix direct and indirect descriptors (2.8.5); write «indirect» alone",
    ),
    (HEAD + "supply out:1 answer=1", "4: answer 1 is out of range; 0..0 is possible"),
    (HEAD + "supply out:1 answer", "4: «answer» has no number; write answer=N"),
    (HEAD + "supply out:1 held=1", "4: «held» takes no value; write it alone"),
    (HEAD + "supply out:1 gap gap", "4: «gap» stands twice; once is enough"),
    (HEAD + "supply out:1 queue=1", "4: queue 1 is out of range; 0..0 is possible"),
    (HEAD + "supply read sector=0", "4: a request «read» of no device; add «device blk» or so above the queues"),
    (BLK + "supply out:16 in:1", "4: elements are for «device any»; name a request of «blk»"),
    (BLK + "supply read sector=0 sector=1", "4: «sector» stands twice; once is enough"),
    (BLK + "supply read cut=1,0", "4: cut 0 is out of range; 1..1048576 is possible"),
    (BLK + "supply read sector=-1", "4: sector is «-1»; write a decimal number in 0..18446744073709551615"),
    (BLK + "supply flush answer=1", "4: unknown word «answer=1»; known: indirect=, queue=, indirect, held, gap"),
    (HEAD + "receive", "4: «receive» takes how many; write e.g. «receive 1»"),
    (HEAD + "receive asleep", "4: «receive» takes how many; write e.g. «receive 1»"),
    (HEAD + "receive 0", "4: the count 0 is out of range; 1..65535 is possible"),
    (HEAD + "suppress", "4: «suppress» takes a mode; known: enable, disable, event"),
    (HEAD + "suppress enabled", "4: unknown mode «enabled»; did you mean «enable»?"),
    (HEAD + "suppress enable ahead=1", "4: unknown word «ahead=1»; known: queue=, junk"),
    (HEAD + "queue-reset size=3", "4: a split queue of 3; its size is a power of two, take 2 or 4 (2.7)"),
    (HEAD + "lever order", "4: «lever» takes one name=value; write e.g. «lever order=lifo»"),
    (HEAD + "lever order=LIFO", "4: «lever» takes one name=value; write e.g. «lever order=lifo»"),
    (HEAD + "notify " + "x" * 99, "4: unknown word «" + "x" * 37 + "…»; known: queue=, force"),
    (HEAD + "notify \x1b[2J", "4: unknown word «\\x1b[2J»; known: queue=, force"),
    ("#" * (MAX_TEXT + 1), "1: larger than 1 MiB; programs are a few kilobytes, is this another file?"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[message[:60] for _, message in WRONG])
def test_what_is_wrong_is_said_in_one_line(text, message):
    with pytest.raises(ProgramError) as raised:
        load(text, "some.vq")
    assert str(raised.value) == f"some.vq:{message}"


def test_device_class_says_what_is_wrong_with_its_requests():
    with pytest.raises(ProgramError, match=r"^x:4: blk has no request 'raed'"):
        load(BLK + "supply raed sector=0", "x")


def test_a_queue_may_hold_what_it_holds_after_its_reset():
    steps = "queue-reset size=8\nsupply " + "out:1 " * 8
    assert len(load(HEAD + steps).steps) == 2


texts = st.text() | st.text(st.sampled_from("queue split packed supply out:1 =\n 0123456789"))


def read(text: str) -> Program | str:
    """The program, or what the reader said against it."""
    try:
        return load(text)
    except ProgramError as error:
        return str(error)


@given(texts)
def test_reader_raises_nothing_else(text):
    for whole in (text, "virtqueue-program 1\n" + text, HEAD + text):
        program = read(whole)
        assert "\n" not in program if isinstance(program, str) else load(dump(program)) == program


# --- repairing --------------------------------------------------------------------------------------------------------


def test_repair_leaves_out_what_it_cannot_read():
    text = EVERYTHING.replace("virtqueue-program 1", "virtqueue-program 0").replace("receive 2", "recieve 2")
    program, left_out = repair(text.replace("restart\n", "restart now\n"))
    assert left_out == [
        "line 1: version 0 is not known; this reader knows version 1",
        "line 14: unknown word «recieve»; did you mean «receive»?",
        "line 23: unknown word «now»; known: queue=",
    ]
    gone = (Receive(2), Restart())
    assert program == replace(EVERYTHING_PROGRAM, steps=tuple(s for s in EVERYTHING_PROGRAM.steps if s not in gone))


def test_repair_of_what_is_right_says_nothing():
    assert repair(REQUESTS) == (REQUESTS_PROGRAM, [])


def test_repair_assumes_header_and_queue():
    program, left_out = repair("notify\nfeatures version_1")
    assert program == Program(queues=(Queue(8),), steps=(Notify(),))
    assert left_out == [
        "line 1: no «virtqueue-program 1»; taken as if it were there",
        "line 1: no queue line before this; «queue split 8» taken",
        "line 2: «features» stands after a step; move it up, before the first one",
    ]


@given(texts)
@example("\0")
@example("#" * (MAX_TEXT + 1))
def test_repair_is_total(text):
    for whole in (text, HEAD + text):
        program, _ = repair(whole)
        assert load(dump(program)) == program


SETTLED = Limits(actions=frozenset({"reset", "restart", "gap", "asleep"}))


@given(programs(SETTLED).filter(lambda program: program.steps), st.data())
def test_repair_loses_no_more_than_the_damaged_line(program, data):
    lines = dump(program).splitlines()
    place = data.draw(st.integers(len(lines) - len(program.steps), len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[place]) - 1))
    lines[place] = lines[place][:at] + data.draw(st.sampled_from("x= 9:\0")) + lines[place][at + 1 :]
    mended, left_out = repair("\n".join(lines))
    index = place - (len(lines) - len(program.steps))
    assert len(left_out) <= 1
    others = mended.steps if left_out else mended.steps[:index] + mended.steps[index + 1 :]
    assert others == program.steps[:index] + program.steps[index + 1 :]


# --- bytes ------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
@example(b"")
@example(bytes(1000))
@example(b"\xff" * 1000)
def test_any_bytes_are_a_valid_program(data):
    limits = Limits(queues=2, levers=(("order", ("fifo", "lifo")), ("hold", ("0", "1"))))
    program = from_bytes(data, limits)
    assert load(dump(program)) == program
    assert from_bytes(data, limits) == program
