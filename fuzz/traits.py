"""What a program exercises, in words: for lists of known deviations, and for people who narrow a search.

Knows programs alone. What a step does to the ring is estimated as if buffers were used in order, and only when
the device was notified of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

from fuzz import wild
from fuzz.program import (
    Lever,
    Notify,
    Poke,
    Program,
    QueueReset,
    Receive,
    Request,
    Reset,
    Restart,
    Supply,
    Suppress,
    Wild,
    directly,
    divide,
)
from fuzz.trouble import UsageTrouble
from oracles import spec

Hints = tuple[tuple[str, int], ...]

#: Every word that traits() may give, other than names of features, «lever NAME» and «request KIND».
WORDS = (
    "split", "packed", "full ring", "whole ring", "several queues", "table", "direct before table", "held", "reset",
    "queue reset", "other size", "restart", "suppression", "event", "forced notification",
)  # fmt: skip


_HOSTILE = ("poke ", "say ", "register ")  # and what is poked, said or accessed


def words(typed: Iterable[str]) -> frozenset[str]:
    """Traits as a person types them: full-ring or «full ring». Raises UsageTrouble for one that there is not."""
    found = set()
    for word in typed:
        name = word if word in spec.FEATURE_NAMES else word.replace("-", " ").lower()
        way, _, rest = word.lower().replace(" ", "-").partition("-")
        if rest in wild.WAYS.get(way, ()):
            name = f"{way} {rest}"  # whose own name has hyphens
        if name not in (*WORDS, *spec.FEATURE_NAMES) and not name.startswith(("lever ", "request ", *_HOSTILE)):
            close = get_close_matches(name, [*WORDS, *spec.FEATURE_NAMES], 1, 0.0)[0].replace(" ", "-")
            raise UsageTrouble(f"nothing in programs is called {word!r}; the nearest is {close!r}")
        found.add(name)
    return frozenset(found)


def traits(program: Program, hints: Hints = ()) -> frozenset[str]:
    """The words that hold for *program*; *hints*: what the device class knows of the target (``Limits.hints``)."""
    found = {program.layout, *spec.feature_names(program.features)}
    if len(program.queues) > 1:
        found.add("several queues")
    occupied: list[list[int]] = [[] for _ in program.queues]  # descriptors of each outstanding buffer
    told = [0] * len(program.queues)  # of these, how many the device was notified of: only they can be received
    sizes = [queue.size for queue in program.queues]
    for step in program.steps:
        if isinstance(step, Supply) and step.queue < len(sizes):
            count = elements(program, step, hints)
            _supply(program, step, count, sizes[step.queue], occupied[step.queue], found)
        elif isinstance(step, Receive) and step.queue < len(sizes):
            count = min(step.count, told[step.queue])
            del occupied[step.queue][:count]
            told[step.queue] -= count
        elif isinstance(step, Suppress):
            found.add("event" if step.mode == "event" else "suppression")
        elif isinstance(step, Notify) and step.queue < len(sizes):
            told[step.queue] = len(occupied[step.queue])
            found |= {"forced notification"} if step.force else set()
        elif isinstance(step, Lever):
            found.add(f"lever {step.name}")
        elif isinstance(step, Poke | Wild):
            found.add(f"poke {step.what}" if isinstance(step, Poke) else f"{step.way} {step.name}")
        elif isinstance(step, Reset):
            found.add("reset")
            occupied, told = [[] for _ in sizes], [0] * len(sizes)
        elif isinstance(step, QueueReset) and program.features & spec.RING_RESET and step.queue < len(sizes):
            found.add("queue reset")
            occupied[step.queue], told[step.queue] = [], 0
            if step.size not in (0, sizes[step.queue]):
                found.add("other size")
                sizes[step.queue] = step.size
        elif isinstance(step, Restart):
            found.add("restart")
    return frozenset(found)


def _supply(program: Program, step: Supply, count: int, size: int, occupied: list[int], found: set[str]) -> None:
    direct = directly(step, count, program.layout, program.features)
    slots = direct + (direct < count)
    if direct < count:
        found.add("direct before table" if direct else "table")
    if step.request is not None:
        found.add(f"request {step.request.kind}")
    if step.held:
        found.add("held")
    if not 0 < slots <= size:
        return  # left out when it runs
    if slots > size - sum(occupied):
        found.add("full ring")  # left out, or it fits exactly since something came back earlier than thought
        return
    occupied.append(slots)
    if slots == size:
        found.add("whole ring")
    if sum(occupied) == size:
        found.add("full ring")


def elements(program: Program, step: Supply, hints: Hints = ()) -> int:
    """How many elements a buffer has."""
    if step.request is None:
        return len(step.readable) + len(step.writable)
    readable, writable = _parts(program.device, step.request, step.queue, hints)
    first, second = divide(readable, writable, step.cut)
    return len(first) + len(second)


@lru_cache(4096)  # few requests of a program differ, and a class is made anew for each
def _parts(device: str, request: Request, queue: int, hints: Hints) -> tuple[int, int]:
    from fuzz.devices import load  # late: only programs of a device class need it

    message = load(device, dict(hints)).message(request, 0, queue)
    return len(message.readable), message.writable
