"""Where the things that a case speaks of lie: areas of the rings, and parts of buffers.

Knows addresses and buffers. Knows no rule: it is told what a case is, and adds what lies where.
"""

from __future__ import annotations

from oracles import spec
from oracles.model import Case
from oracles.trace import Started


def locate(case: Case, started: Started) -> None:
    """Give *case* the areas of a queue that began so, and what of its buffers lies where something changed."""
    case.cause = started.cause
    sizes = spec.area_sizes(started.layout, started.size)
    places = (started.descriptor, started.driver, started.device)
    for name, place, length in zip(("descriptor", "driver", "device"), places, sizes, strict=True):
        case.spans[f"{started.layout} {name}"] = (place, length)
    if case.moment != "changed":
        return
    queue = case.queue
    for buffer in (*queue.by_id.values(), *queue.held, *queue.used):
        part = buffer.part(case.address)
        if part is not None and part[0] != "writable":
            case.spans[f"{started.layout} {part[0]}"] = part[1]
    for buffer in queue.batched():
        part = buffer.part(case.address)
        if part is not None and part[0] == "writable":
            case.spans["batch"] = part[1]


def expected(case: Case) -> str:
    """What the model would have accepted at this place, in a few words."""
    queue = case.queue
    if case.moment not in ("used", "descriptor") or not queue.by_id:
        return ""
    oldest = queue.oldest()
    if not queue.in_order:
        return "an outstanding buffer: " + " ".join(repr(buffer) for buffer in queue.older(6))
    place = case.slot if case.moment == "used" else case.old
    return f"{oldest} (id {oldest.id}), or a batch that begins with it, at {place}"
