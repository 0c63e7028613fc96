"""Planted faults of a network device: frames that come in, alone or over several buffers (5.1.6.4).

Each replaces one small method of ``network``. Knows that device; must not know who looks for them.
"""

from __future__ import annotations

from fuzz.targets.model.network import Network
from fuzz.targets.model.planting import FAULTS, SPLIT, Fault, Split
from oracles.split_rings import Chain

_AIMED = "it takes a network device: programs for it never stop a queue, which this one has no idea of"


def _plant(name: str, text: str, rule: str, **own: object) -> None:
    engine = type("Faulty", (Network,), own)
    hints = (("echo", 1), ("mrg_rxbuf", 1))
    FAULTS[name] = Fault(
        name, text, (rule,), engine, SPLIT, aimed=_AIMED, base=Network, device="net", queues=2, hints=hints
    )


def _changed(engine: Network, data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 0xFF,))


def _half(engine: Network, chain: Chain, left: int) -> int:
    room = sum(length for _, length in chain.writable)
    return left if left <= room else room - 1


def _one_by_one(engine: Network, last: bool) -> None:
    if isinstance(engine.ring, Split):
        engine.ring.publish()
        engine.notify_driver()


_plant("last-byte-changed", "the last byte of a frame comes in changed", "VQ-DATA", frame=_changed)
_plant("merged-not-filled", "buffers of a merged frame are not filled", "DT-NET-MRG-FULL", share=_half)
_plant("merged-one-by-one", "buffers of a merged frame become visible one by one", "DT-NET-MRG-TOGETHER",
       visible=_one_by_one)  # fmt: skip
