#!/usr/bin/env python3
"""Which engine finds planted faults with the fewest programs: writes docs/engines.md, measured in one go.

Programs are counted, not seconds, so that a busy machine changes nothing. A fault counts as found at the first program
on which the target is judged to fail, whatever the rule; limits are the target's own, so nothing is told about where to
look. Run it at low priority: nice -n 19 scripts/engines.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fuzz.confirm import Runner  # noqa: E402  # found by the line above
from fuzz.engines import DEFAULT, Source, make  # noqa: E402  # as above
from fuzz.registry import make as make_target  # noqa: E402  # as above
from fuzz.verdict import BAD  # noqa: E402  # as above

#: The faults: of devices in their order, batches, rings, stores, notifications and lives; of drivers.
FAULTS: tuple[str, ...] = (
    "model:failed-ahead", "model:a08", "model:a12", "model:a32", "model:a33", "model:fills-after-reset",
    "model:event-inside-batch-missed", "model:a27",
    "model-driver:a36", "model-driver:a42", "model-driver:a43", "model-driver:a46",
)  # fmt: skip
DOCUMENT = ROOT / "docs" / "engines.md"


@dataclass(frozen=True, slots=True)
class Column:
    """One engine: how it is called in the table, and how it is asked. *child*: settings of one that needs a process."""

    title: str
    engine: str = ""
    child: tuple[bool, bool] | None = None  # whether we mutate, whether states count as coverage


COLUMNS = (
    Column("plain random", "random"),
    Column("Hypothesis", "hypothesis"),
    Column("directed", "directed"),
    Column("directed, guided by protocol states", "state"),
    Column("atheris, its own mutator", child=(False, False)),
    Column("atheris, our mutator", child=(True, False)),
    Column("atheris, our mutator, states counted", child=(True, True)),
)
First = Callable[[Column, str, int, int], int]


def first(column: Column, words: str, seed: int, cap: int) -> int:
    """The number of the first program that fails, of an engine in this process; cap + 1 if none of *cap* does."""
    target = make_target(words)
    runner = Runner(target)
    engine = make(column.engine, Source(words, "", seed, "legal", target.limits))
    try:
        for number in range(1, cap + 1):
            program = engine.next()
            assert program is not None
            outcome = runner.run(program)
            if outcome.verdict in BAD:
                return number
            engine.ran(program, outcome)
        return cap + 1
    finally:
        engine.close()
        target.close()


def first_of_child(column: Column, words: str, seed: int, cap: int) -> int:
    """The same of libFuzzer, which never returns: in a copy of this process, whose code is instrumented by now."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            os.dup2(2, 1)
            _fuzz(column, words, seed, cap, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as file:
        told = file.read()
    os.waitpid(child, 0)
    if not told:
        raise SystemExit(f"{column.title} on {words}, seed {seed}: libFuzzer ended without an answer")
    return int(told)


def _fuzz(column: Column, words: str, seed: int, cap: int, answer: int) -> None:
    """In the copy: tell *answer* the number, and end."""
    from fuzz.harness import serving, start

    assert column.child is not None
    mutator, states = column.child

    class Counting(serving.Served):
        def tell(self, find: str = "") -> None:
            if find or self.count >= cap:
                os.write(answer, str(self.count if find else cap + 1).encode())
                os._exit(0)

    target = make_target(words)
    settings: dict[str, Any] = {"words": words, "qemu": "", "avoid": [], "runs": cap, "version": "1.4",
                                "strict": False, "limits": serving.limits_to_json(target.limits)}  # fmt: skip
    served = Counting(json.loads(json.dumps(settings)))
    if states:
        served.bank = start.Bank(serving.STATES)
    sys.argv = ["engines", f"-seed={seed}"]
    modules = start.DRIVER if words.startswith("model-driver") else start.DEVICE

    def test(data: bytes) -> None:
        served.serve(data)

    start.start(test, modules, served if mutator else None)


# --- the table --------------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """Progress."""
    sys.stderr.write(text + "\n")


def measure(columns: Sequence[Column], faults: Sequence[str], seeds: Sequence[int], cap: int) -> list[list[list[int]]]:
    """Numbers of programs: by column, fault and seed. Engines in this process come first: then it is instrumented."""
    table = []
    for column in columns:
        began = time.process_time() + os.times().children_user
        if column.child is not None:
            from fuzz.harness import start

            start.instrument(start.DRIVER, lambda data: None, False)
        one: First = first if column.child is None else first_of_child
        table.append([[one(column, words, seed, cap) for seed in seeds] for words in faults])
        missed, programs = total(table[-1], cap)
        spent = time.process_time() + os.times().children_user - began
        say(f"{column.title}: {missed} without a find, {programs} programs, {spent:.0f} s of processor time")
    return table


def cell(numbers: Sequence[int], cap: int) -> str:
    """The median; how many seeds found it, if not all did."""
    found = sum(number <= cap for number in numbers)
    middle = int(median(numbers))
    told = f">{cap}" if middle > cap else str(middle)
    return told if found == len(numbers) else f"{told} ({found}/{len(numbers)})"


def total(column: Sequence[Sequence[int]], cap: int) -> tuple[int, int]:
    """(seeds that found nothing, programs of all together): less is better."""
    numbers = [number for fault in column for number in fault]
    return sum(number > cap for number in numbers), sum(min(number, cap) for number in numbers)


def text_of(words: str) -> str:
    """What is wrong with a target."""
    kind, _, fault = words.partition(":")
    if kind == "model":
        from fuzz.targets.model.faults import FAULTS as OF_DEVICE

        return OF_DEVICE[fault].text
    from fuzz.targets.model_driver.faults import FAULTS as OF_DRIVER

    return OF_DRIVER[fault].text


def document(columns: Sequence[Column], faults: Sequence[str], seeds: Sequence[int], cap: int,
             table: Sequence[Sequence[Sequence[int]]]) -> str:  # fmt: skip
    """docs/engines.md."""
    totals = [total(column, cap) for column in table]
    best = min(range(len(columns)), key=lambda place: totals[place])
    runs = len(faults) * len(seeds)
    lines = [
        "# Engines",
        "",
        "How many programs it takes to find a planted fault, with each of the engines of `vqfuzz fuzz --engine`: the",
        f"median of {len(seeds)} seeds, at most {cap} programs each. Where not all found it, it says how many did.",
        "Nothing is told to them about where to look, and no corpus is given.",
        "",
        "| target | what is wrong | " + " | ".join(column.title for column in columns) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for place, words in enumerate(faults):
        cells = [cell(column[place], cap) for column in table]
        lines.append(f"| `{words}` | {text_of(words)} | " + " | ".join(cells) + " |")
    lines.append(
        f"| **all** | searches without a find, of {runs} | " + " | ".join(str(one[0]) for one in totals) + " |"
    )
    lines.append("| | programs of all searches together | " + " | ".join(str(one[1]) for one in totals) + " |")
    lines += [
        "",
        f"The fewest searches without a find, and then the fewest programs, needs: **{columns[best].title}**. "
        f"The default engine is `{DEFAULT}`.",
        "",
        "- «plain random» draws of the same language of programs, each kind of step and each number alike.",
        "- «Hypothesis» draws bytes that the directed generator decodes (`fuzz.strategies`).",
        "- «guided by protocol states» keeps programs that reached a new occupancy, batch size, wrap, backlog or",
        "  mix of tables (`fuzz.states`), and changes them; a quarter of what it runs is directed.",
        "- atheris sees the coverage of the oracle alone, never that of the model with the fault. Its own mutator",
        "  changes bytes, which the directed generator decodes; ours changes programs, and makes a new one every",
        "  fourth time. In the last column, states of the protocol are counters of libFuzzer, too: that is the",
        "  combination of all that guides, and the engine `atheris` as it stands.",
        "",
        f"Repeat it with `nice -n 19 scripts/engines.py --cap {cap} --seeds {len(seeds)}`, which writes this file.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, and write the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cap", type=int, default=300, help="programs of one search (300)")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (5)")
    parser.add_argument("--out", type=Path, default=DOCUMENT, help="the document (docs/engines.md)")
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), metavar="TARGET")
    options = parser.parse_args()
    seeds = range(1, options.seeds + 1)
    table = measure(COLUMNS, options.faults, seeds, options.cap)
    options.out.write_text(document(COLUMNS, options.faults, seeds, options.cap, table), encoding="utf-8")
    say(f"{options.out} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
