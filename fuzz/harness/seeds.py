"""Inputs to begin with, for each harness: from the corpus, and from what our own writers write.

Knows where the corpus is, and the form of each harness's inputs. Must not know any fuzzer.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from fuzz import baseline, encoding, proof
from fuzz.finds import SCHEMA
from fuzz.generate import nth
from fuzz.plan import corpus
from fuzz.program import Limits, Program
from fuzz.report import jsonl
from fuzz.results import FAILED, PASSED, Result, Run
from fuzz.words import Problem
from oracles import vhost_user as vu

_KNOWN = Path(__file__).resolve().parents[2] / "corpus" / "known"
_DRAWN = 8  # programs of the generator beside those of the corpus, which has few of drivers
_SOME = 64  # bytes of programs' texts that choose programs


def seeds(name: str) -> Iterator[tuple[str, bytes]]:
    """(name, input) of every seed of the harness *name*."""
    if name in ("model_split", "model_packed", "driver_split", "driver_packed"):
        side, layout = name.split("_")
        role = "device" if side == "driver" else "driver"
        limits = Limits(role=role, layouts=(layout,), longest_element=512)
        for number in range(_DRAWN):
            yield f"drawn-{number}", encoding.dump(nth(1, number, limits)).encode()
        for label, program in programs():
            if (
                program.layout == layout
                and program.device == "any"
                and (program.role == "device") == (side == "driver")
            ):
                yield label, encoding.dump(program).encode()
    elif name in ("program_text", "remote"):
        for label, program in programs():
            yield label, encoding.dump(program).encode()
    elif name == "program_bytes":
        for label, program in programs():
            yield label, encoding.dump(program).encode()[-_SOME:]
    elif name == "trace":
        for path in sorted(proof.folder().glob("*.vqtrace")):
            yield path.stem, path.read_bytes()
    elif name == "vhost_user_messages":
        yield from _messages()
    elif name == "report_inputs":
        yield from _reports()
    else:
        raise Problem(f"no harness is called {name!r}")


def programs() -> Iterator[tuple[str, Program]]:
    """The programs of the corpus: by idea, and by rule."""
    for label, program in corpus():
        yield label.replace("/", "-"), program
    for path in sorted(proof.folder().glob("*.vq")):
        yield path.stem, encoding.load(path.read_text(encoding="utf-8"), str(path))


def _messages() -> Iterator[tuple[str, bytes]]:
    """A conversation as ``texts`` takes it apart, and what a back-end and a front-end hear."""
    number, state = vu.U64.pack(1 << 32 | vu.PROTOCOL_FEATURES), vu.VRING_STATE.pack(0, 8)
    said = (
        (0, vu.GET_FEATURES, b""),
        (4, vu.GET_FEATURES, number),
        (0, vu.SET_PROTOCOL_FEATURES, vu.U64.pack(vu.REPLY_ACK | vu.MQ)),
        (0, vu.SET_FEATURES, number),
        (0, vu.SET_VRING_NUM, state),
        (0, vu.SET_VRING_KICK, vu.U64.pack(0)),
        (7, 0, b""),
        (0, vu.GET_VRING_BASE, state),
        (4, vu.GET_VRING_BASE, state),
        (6, 0, b""),
    )
    yield "conversation", b"".join(bytes([kind, request, 4 * (kind == 4), len(payload)]) + payload
                                   for kind, request, payload in said)  # fmt: skip
    yield "requests", b"".join(vu.HEADER.pack(request, vu.VERSION, len(payload)) + payload
                               for kind, request, payload in said if not kind)  # fmt: skip
    reply = vu.VERSION | vu.REPLY
    yield "replies", b"".join(struct.pack("=III", request, reply, len(payload)) + payload
                              for kind, request, payload in said if kind == 4)  # fmt: skip


def _reports() -> Iterator[tuple[str, bytes]]:
    """One of each kind; the first byte tells which."""
    for path in sorted(_KNOWN.glob("*.toml")):
        yield path.stem, b"d" + path.read_bytes()
    results = [
        Result("INO-ORDER/split", "INO-ORDER", "split", "conformance", FAILED, message="b1 before b0"),
        Result("corpus/wrap", "", "packed", "corpus", PASSED),
    ]
    run = Run("model", "vqfuzz check model", describe={"version": "1"}, results=results, notes=["a note"])
    accepted = baseline.draft(run).replace(baseline.TO_BE_FILLED_IN, "accepted until then")
    yield "baseline", b"b" + accepted.encode() + b"expires = 2031-01-31\n"
    yield "events", b"e" + jsonl.render(run).encode()
    meta = {
        "schema": SCHEMA, "id": "ino-order-00000000", "rule": "INO-ORDER", "verdict": "VIOLATES", "message": "late",
        "reason": "", "target": "model:a05", "describe": {"version": "1"}, "seed": 1, "index": 2, "patient": False,
        "versions": {"vqfuzz": "1"}, "words": "", "runs": {"again": 5, "of": 5}, "before": 0, "marks": [0, 1],
        "shrunk": {"before": 9, "after": 3, "executions": 40, "seconds": 0.5, "complete": True}, "also_seen": 3,
    }  # fmt: skip
    yield "find", b"m" + json.dumps(meta).encode()
