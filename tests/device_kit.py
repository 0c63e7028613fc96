"""What is asked of every device class, and short ways to write its requests."""

from __future__ import annotations

import re

from fuzz import devices, encoding
from fuzz.choices import Seeded
from fuzz.program import Limits, Program, Queue, Request, Supply, divide

MOST_ELEMENTS = 32
PREFILL_RUN = re.compile(rb"([\x80-\xf9])\1{7}")  # what a device that copies could be said not to have written


def drawn(name, queues, limits):
    """(queue, request, cut) of 200 seeds, on each of *queues* in turn."""
    device = devices.load(name, dict(limits.hints))
    for seed in range(200):
        queue = queues[seed % len(queues)]
        yield (queue, *device.draw(Seeded(seed), queue, limits))


def assert_draws_well(name, queues, kinds, limits=None):
    """Requests of all *kinds*, right ones; cuts sum up; the same choices make the same; they survive as text."""
    limits = limits or Limits(device=name)
    steps = []
    found = set()
    for queue, request, cut in drawn(name, queues, limits):
        device = devices.load(name, dict(limits.hints))
        assert device.words(request) is None
        made = device.message(request, 0, queue)
        readable, writable = divide(len(made.readable), made.writable, cut)
        assert (sum(readable), sum(writable)) == (len(made.readable), made.writable)
        assert 0 < len(readable) + len(writable) <= MOST_ELEMENTS
        assert not PREFILL_RUN.search(made.readable)
        steps.append(Supply(request=request, cut=cut, queue=queue))
        found.add(request.kind)
    assert [(step.queue, step.request, step.cut) for step in steps] == list(drawn(name, queues, limits))
    assert found == set(kinds)
    assert len({step.cut for step in steps}) > 10
    program = Program(queues=(Queue(256),) * (max(queues) + 1), device=name, steps=tuple(steps))
    assert encoding.load(encoding.dump(program)) == program


def message(device, kind, buffer=0, queue=0, **fields):
    """What becomes of a request."""
    return device.message(Request(kind, tuple(fields.items())), buffer, queue)


def said(device, kind, **fields):
    """What the class says against a request that a person wrote."""
    return device.words(Request(kind, tuple(fields.items())))
