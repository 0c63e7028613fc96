"""A QEMU device over qtest: the whole driver beside the least that could drive it, and what a set-up takes.

Wall-clock time, since most of it is QEMU's: figures of one run stand side by side, those of two runs do not.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

from bench.bare import SIZE, Bare
from bench.measuring import Row, Size, take_turns
from fuzz import generate
from fuzz.choices import Seeded
from fuzz.confirm import Runner
from fuzz.program import Limits, Notify, Program, Queue, Receive, Request, Step, Supply
from fuzz.targets import QueueConfig
from fuzz.targets.qemu import qtest
from fuzz.targets.qemu.target import PROGRAM, VARIABLE, make
from fuzz.verdict import CONFORMS
from oracles import spec

BATCHES = (1, 16, 64)
_CHAINS = 512  # of a session
_DISK = " -blockdev driver=null-co,node-name=n0,read-zeroes=on,size=16777216"
_QUEUE = QueueConfig(8, 64, 192, 256)
_WORDS = "qemu:virtio-blk-pci,drive=n0,in_order=on,packed=on"


def program(choices: Seeded, layout: str, batch: int) -> Program:
    """Reads of one sector, as a driver cuts them: supply a batch, notify, take it back, again and again."""
    steps: list[Step] = []
    for _ in range(_CHAINS // batch):
        for number in range(batch):
            request = Request("read", (("sector", choices.integer(0, 1023)), ("length", 512)))
            steps.append(Supply(request=request, cut=(16, 512, 1), held=number + 1 < batch))
        steps += [Notify(), Receive(batch)]
    return Program(layout, (Queue(SIZE),), spec.VERSION_1 | spec.IN_ORDER, "blk", tuple(steps))


def _bare(target: Any, layout: str, batch: int) -> float:
    began = time.perf_counter()
    session = target.open()
    driver = Bare(session, layout)
    for _ in range(_CHAINS // batch):
        driver.batch(batch)
    session.close()
    return (time.perf_counter() - began) / _CHAINS


def _whole(runner: Runner, seeds: Iterator[int], layout: str, batch: int) -> float:
    began = time.perf_counter()
    outcome = runner.run(program(Seeded(next(seeds)), layout, batch))
    assert outcome.verdict == CONFORMS, f"{outcome.verdict}: {outcome.reason or outcome.violation}"
    assert outcome.chains == _CHAINS // batch * batch
    return (time.perf_counter() - began) / _CHAINS


def _fuzz(runner: Runner, numbers: Iterator[int], programs: int, limits: Limits) -> float:
    began = time.perf_counter()
    for _ in range(programs):
        outcome = runner.run(generate.nth(1, next(numbers), limits))
        assert outcome.verdict == CONFORMS, f"{outcome.verdict}: {outcome.reason or outcome.violation}"
    return (time.perf_counter() - began) / programs


def _set_up(target: Any, times: int, unread: int) -> float:
    """Seconds from opening a session to DRIVER_OK and through the reset that closes it."""
    usual, qtest.UNREAD = qtest.UNREAD, unread
    try:
        began = time.perf_counter()
        for _ in range(times):
            session = target.open()
            session.start(spec.VERSION_1, [_QUEUE])
            session.close()
        return (time.perf_counter() - began) / times
    finally:
        qtest.UNREAD = usual


def _new(target: Any) -> float:
    target.restart()
    began = time.perf_counter()
    session = target.open()
    session.start(spec.VERSION_1, [_QUEUE])
    took = time.perf_counter() - began
    session.close()
    return took


def measure_shim(size: Size) -> Iterator[Row]:
    """Chains per second: the driver with all that it watches, beside the bare ring code; then what surrounds them."""
    command = os.environ.get(VARIABLE) or PROGRAM
    if not os.environ.get(VARIABLE) and shutil.which(PROGRAM) is None:
        yield Row("QEMU over qtest", "not installed")
        return
    target = make(_WORDS, command + _DISK)
    rng = make("qemu:virtio-rng-pci,in_order=on,packed=on", command)
    try:
        yield Row("QEMU over qtest", target.describe().get("version", "").removeprefix("QEMU emulator "))
        yield from _rates(target, rng, size)
    finally:
        target.close()
        rng.close()


def _rates(target: Any, rng: Any, size: Size) -> Iterator[Row]:
    runner, seeds = Runner(target), count(1)
    works: dict[str, Callable[[], float]] = {}
    for layout in spec.LAYOUTS:
        for batch in BATCHES:
            works[f"{layout}, batches of {batch}"] = partial(_whole, runner, seeds, layout, batch)
            works[f"bare {layout}, batches of {batch}"] = partial(_bare, target, layout, batch)
    works["programs"] = partial(_fuzz, Runner(rng), count(), size.programs, rng.limits)
    for name, unread in (("set-up", qtest.UNREAD), ("set-up one by one", 1)):
        works[name] = partial(_set_up, target, 4 * size.repetitions, unread)
    works["new"] = partial(_new, target)
    times = {name: timed.seconds for name, timed in take_turns(works, 3 * size.repetitions).items()}
    for layout in spec.LAYOUTS:
        for batch in BATCHES:
            name = f"{layout}, batches of {batch}"
            whole, bare = 1 / times[name], 1 / times[f"bare {name}"]
            yield Row(f"virtio-blk, {name}", f"{whole:,.0f} chains/s", f"{whole / bare:.0%} of bare",
                      "≥ 50%", whole >= bare / 2)  # fmt: skip
            yield Row("  ring code alone", f"{bare:,.0f} chains/s")
    yield Row("generated programs, virtio-rng, seed 1", f"{1 / times['programs']:,.0f}/s")
    pipelined, single = times["set-up"] * 1e3, times["set-up one by one"] * 1e3
    yield Row("open, set-up, reset", f"{pipelined:.2f} ms", f"{single:.2f} ms command by command")
    yield Row("a new QEMU until DRIVER_OK", f"{times['new'] * 1e3:.0f} ms")
