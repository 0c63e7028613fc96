"""What stands beside each fuzz target: seeds, a dictionary, options. build.sh runs this with the builder's Python.

    python3 -m scripts.oss_fuzz.beside               the names of the harnesses that are built
    python3 -m scripts.oss_fuzz.beside NAME OUT      writes NAME_seed_corpus.zip, NAME.dict and NAME.options to OUT

Knows the three files. Must not import a harness, which needs atheris.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fuzz.harness.seeds import seeds
from scripts.oss_fuzz import seeding
from scripts.oss_fuzz.contract import LONGEST_WORD
from scripts.oss_fuzz.seeding import Seed

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same files make the same archive


class Beside(NamedTuple):
    """Seeds besides the harness's own, the words of its inputs, and the bytes of the longest."""

    more: Callable[[], Iterable[Seed]]
    words: Callable[[], Iterable[bytes]]
    longest: int


#: «remote» is not built: it needs a target in another process, which a builder has no command for.
TABLE = {
    "model_split": Beside(partial(seeding.drawn, "model", "split"), seeding.words_of_programs, 1 << 16),
    "model_packed": Beside(partial(seeding.drawn, "model", "packed"), seeding.words_of_programs, 1 << 16),
    "driver_split": Beside(partial(seeding.drawn, "model-driver", "split"), seeding.words_of_programs, 1 << 16),
    "driver_packed": Beside(partial(seeding.drawn, "model-driver", "packed"), seeding.words_of_programs, 1 << 16),
    "program_text": Beside(seeding.texts, seeding.words_of_programs, 1 << 14),
    "program_bytes": Beside(seeding.choices, seeding.words_of_choices, 1 << 12),
    "trace": Beside(seeding.traces, seeding.words_of_traces, 1 << 16),
    "vhost_user_messages": Beside(seeding.conversations, seeding.words_of_conversations, 1 << 12),
    "report_inputs": Beside(seeding.nothing, seeding.words_of_reports, 1 << 14),
}


def names() -> list[str]:
    """The harnesses that are built, by name."""
    return list(TABLE)


def write(name: str, out: Path) -> None:
    """Write the three files of *name* to *out*. A harness without a row begins as one for programs does."""
    like = name if name in TABLE else "model_split"
    beside = TABLE[like]
    found = dict(seeds(like)) | dict(beside.more())
    with zipfile.ZipFile(out / f"{name}_seed_corpus.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for seed, data in sorted(found.items()):
            archive.writestr(zipfile.ZipInfo(seed, _LONG_AGO), data)
    words = sorted(word for word in beside.words() if 2 <= len(word) <= LONGEST_WORD)
    (out / f"{name}.dict").write_text("".join(f"{quoted(word)}\n" for word in words), encoding="utf-8")
    (out / f"{name}.options").write_text(f"[libfuzzer]\nmax_len = {beside.longest}\n", encoding="utf-8")


def quoted(word: bytes) -> str:
    """*word* as a line of a dictionary."""
    return '"' + "".join(chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\x{b:02x}" for b in word) + '"'


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(*names(), sep="\n")
    else:
        write(sys.argv[1], Path(sys.argv[2]))
