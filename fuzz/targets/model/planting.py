"""Planted faults: each is the reference device with one small method replaced, usually by one line.

They are the test of the tests: every one must be found, shrunk and named by the right rule, and the
device without them must never be accused. ``rules`` are the names under which a finding counts,
the most telling first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuzz.targets.model.engine import Engine
from oracles import packed_rings, spec, split_rings
from oracles.split_rings import Chain

LIVE = ("INO-LIVE", "VQ-LIVE")


@dataclass(frozen=True, slots=True)
class Fault:
    """A planted fault: its name, what is wrong, where it can be seen, and the rules that should say so."""

    name: str
    text: str
    rules: tuple[str, ...]
    engine: type[Engine]
    layouts: tuple[str, ...] = spec.LAYOUTS
    in_order: tuple[bool, ...] = (False, True)
    features: int = 0  # needed for it to show
    bound: int = 1000  # programs within which it must be found
    aimed: str = ""  # why random programs need not find it: then only its own program shows it
    base: type[Engine] = Engine  # the same device without it
    device: str = "any"  # the class of device that it is
    queues: int = 1
    hints: tuple[tuple[str, int], ...] = ()  # what that class must know


FAULTS: dict[str, Fault] = {}

SPLIT, PACKED, ON = (spec.SPLIT,), (spec.PACKED,), (True,)
WARNED = "it gives a warning and no failure, and random programs are searched for failures"


def plant(
    name: str,
    text: str,
    rules: tuple[str, ...],
    engine: type[Engine],
    layouts: tuple[str, ...] = spec.LAYOUTS,
    in_order: tuple[bool, ...] = (False, True),
    features: int = 0,
    aimed: str = "",
    queues: int = 1,
) -> None:
    """Enter a fault under *name*: what is wrong, the rules that fit, and the device that has it.

    Raises ValueError if the name is taken.
    """
    if name in FAULTS:
        raise ValueError(f"two planted faults are called {name}")
    FAULTS[name] = Fault(name, text, rules, engine, layouts, in_order, features, aimed=aimed, queues=queues)


def engine_with(
    split: dict[str, object] | None = None,
    packed: dict[str, object] | None = None,
    own: dict[str, object] | None = None,
) -> type[Engine]:
    """An Engine with these methods replaced in its split ring, its packed ring, or itself."""
    body: dict[str, object] = dict(own or {})
    if split:
        body["split_ring"] = type("Ring", (split_rings.DeviceRing,), split)
    if packed:
        body["packed_ring"] = type("Ring", (packed_rings.DeviceRing,), packed)
    return type("Faulty", (Engine,), body)


Split = split_rings.DeviceRing
Packed = packed_rings.DeviceRing
Chains = Sequence[Chain]


def as_finished(engine: Engine, advance: bool) -> None:
    """Buffers come back in the order in which they were finished."""
    for job in engine.finished:
        engine.hand_back([job], advance)
        engine.oldest += 1
    engine.finished.clear()
    engine.filled.clear()
    if advance and engine.levers["publish"] != "each" and isinstance(engine.ring, Split):
        engine.publish_all()


class Unasked(Engine):
    """In-order batches, whatever was negotiated."""

    def start(
        self, features: int, size: int, areas: tuple[int, int, int], available: int, used: int, restarted: bool = False
    ) -> None:
        """As ever, and then in order."""
        super().start(features, size, areas, available, used, restarted)
        self.in_order = True
