"""What harnesses begin with on a service: their own seeds, what of the corpus is too much for one machine; and words.

All of it is the same each time. Knows the forms that the harnesses read. Must not know archives or dictionaries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from fuzz.harness.seeds import programs, seeds
from fuzz.reader import HEADER

ROOT = Path(__file__).resolve().parent.parent.parent

Seed = tuple[str, bytes]
"""(name of a file, an input)."""
_WORD = re.compile(r"(?<!\w)(?![0-9a-f]+\b)[a-z][a-z0-9_-]*[=:]?")  # no numbers in hexadecimal


def _files(pattern: str) -> Iterator[Seed]:
    corpus = ROOT / "corpus"
    for path in sorted(corpus.rglob(pattern)):
        yield "-".join(path.relative_to(corpus).parts), path.read_bytes()


def nothing() -> Iterator[Seed]:
    """No more than the harness's own."""
    yield from ()


# --- programs ---------------------------------------------------------------------------------------------------------


def texts() -> Iterator[Seed]:
    """Every program of the corpus as it was written, with its comments."""
    return _files("*.vq")


def choices() -> Iterator[Seed]:
    """Bytes that choose a program: short, long and very long ones, for each of the limits that the harness takes."""
    from fuzz.choices import Seeded

    for which in range(4):
        for length in (0, 8, 64, 256, 1024):
            draw = Seeded(length + which).integer
            yield f"{which}-{length}", bytes([which, *(draw(0, 255) for _ in range(length))])


def drawn(target: str, layout: str) -> Iterator[Seed]:
    """Programs for *target* and one *layout* that these bytes choose."""
    from fuzz import encoding
    from fuzz.registry import make

    limits = replace(make(target).limits, layouts=(layout,))
    for name, data in choices():
        yield f"drawn-{name}", encoding.dump(encoding.from_bytes(data, limits)).encode()


def words_of_programs() -> set[bytes]:
    """The words of the grammar; and those of the corpus, where options have values."""
    from fuzz.device_reader import DEVICE_LINES
    from fuzz.reader import STEP_LINES
    from oracles import spec

    words = {HEADER, *STEP_LINES, *DEVICE_LINES, *spec.FEATURE_NAMES}
    for _, data in texts():
        lines = [line.partition("#")[0] for line in data.decode().splitlines()]
        words.update(_WORD.findall("\n".join(lines)))
    return _encoded(words)


def words_of_choices() -> set[bytes]:
    """Numbers at which something ends, as choices are read: big-endian."""
    ends = {edge + step for edge in (0x80, 0x100, 0x8000, 0x10000) for step in (-1, 0, 1)}
    return {number.to_bytes(size, "big") for number in ends for size in (2, 4) if number < 1 << 8 * size}


# --- traces -----------------------------------------------------------------------------------------------------------


def traces() -> Iterator[Seed]:
    """What our reference device does with the programs of the corpus that any device can run."""
    from fuzz.confirm import Runner
    from fuzz.registry import make
    from oracles import trace

    runner = Runner(make("model"))
    for name, program in programs():
        if program.device == "any" and program.role == "driver" and not program.hostile:
            yield f"{name}.vqtrace", trace.dump(runner.run(program).trace).encode()


def words_of_traces() -> set[bytes]:
    """The words of observations and of their values."""
    from oracles import trace

    words = {trace.HEADER, *trace.KINDS}
    for _, data in seeds("trace"):
        words.update(_WORD.findall(data.decode()))
    return _encoded(words)


# --- vhost-user -------------------------------------------------------------------------------------------------------


def conversations() -> Iterator[Seed]:
    """The conversations of the corpus, as that harness reads them; and as a front-end sends them, byte for byte."""
    from oracles import trace
    from oracles import vhost_user as vu

    for name, data in _files("*.vqtrace"):
        told, sent = bytearray(), bytearray()
        for queue, seen in trace.load(data.decode()):
            if isinstance(seen, trace.Sent | trace.Got):
                kind, size = (0 if isinstance(seen, trace.Sent) else 4) | queue % 4 << 4, min(len(seen.payload), 79)
                told += bytes([kind, seen.request % 256, seen.flags % 256, size]) + seen.payload[:size]
            if isinstance(seen, trace.Sent):
                sent += vu.HEADER.pack(seen.request, seen.flags, len(seen.payload)) + seen.payload
        if told:
            yield f"{name}-told", bytes(told)
        if sent:
            yield f"{name}-sent", bytes(sent)


def words_of_conversations() -> set[bytes]:
    """Heads of messages, and feature bits."""
    from oracles import vhost_user as vu

    requests = [value for name, value in vars(vu).items() if name.isupper() and isinstance(value, int) and value < 64]
    heads = {vu.HEADER.pack(request, vu.VERSION | flags, size)
             for request in requests for flags, size in ((0, 0), (vu.NEED_REPLY, 8))}  # fmt: skip
    return heads | {(1 << bit).to_bytes(8, "little") for bit in (26, 28, 29, 30, 32, 34, 35, 40)}


# --- what reports are made of -----------------------------------------------------------------------------------------


def words_of_reports() -> set[bytes]:
    """Keys and values of all of these."""
    texts_of = [data[1:].decode() for _, data in seeds("report_inputs")]
    return _encoded(set(re.findall(r"[\w-]{2,40}", "\n".join(texts_of))))


def _encoded(words: Iterable[str]) -> set[bytes]:
    return {word.encode() for word in words}
