"""What device a back-end is, by what it offers or what the user says in brackets, and what can be drawn for it.

Knows device classes by name and by their feature bits. Must not know how a back-end is reached.
"""

from __future__ import annotations

from fuzz.program import Limits
from fuzz.targets import Offer, TargetError
from fuzz.targets.presets import ACTIONS
from oracles import spec

CONFIG = 60  # bytes of configuration space asked for: virtio-blk's up to write zeroes
_NET_MRG_RXBUF = 1 << 15  # 5.1.3; no virtio-blk bit
_BLK_FLUSH = 1 << 9  # 5.2.3
_BLK_USUAL = 1 << 2 | 1 << 6 | _BLK_FLUSH  # SEG_MAX, BLK_SIZE, FLUSH: most offer one of them
#: of each class: queues that it must have, its feature bits that we accept
CLASSES: dict[str, tuple[int, int]] = {
    "blk": (1, _BLK_FLUSH),
    "net": (2, 0),
    "fs": (2, 0),
    "vsock": (2, 0),
    "raw": (1, 0),
}
#: What may be said of a back-end in brackets, for its device class to know.
FACTS = ("capacity", "forgets", "echo", "num_buffers")


def guess(offer: Offer) -> str:
    """The class of a device that offers this, or '' if it can't be told."""
    if offer.features & _NET_MRG_RXBUF:
        return "net"
    capacity = int.from_bytes(offer.config[:8], "little")
    if offer.features & _BLK_USUAL and len(offer.config) == CONFIG and 0 < capacity < 1 << 40:
        return "blk"
    return ""


def limits(device: str, offer: Offer) -> Limits:
    """What may be drawn for a back-end that offers this."""
    features = offer.features
    capacity = int.from_bytes(offer.config[:8], "little")
    return Limits(
        layouts=spec.LAYOUTS if features & spec.RING_PACKED else (spec.SPLIT,),
        in_order=(False, True) if features & spec.IN_ORDER else (False,),
        features=features & (spec.INDIRECT_DESC | spec.EVENT_IDX),
        device=device,
        queues=CLASSES[device][0],
        actions=ACTIONS,
        mixed_indirect=False,  # few devices follow 2.7.5.3.2 there, and that would hide everything else
        hints=(("capacity", capacity),) if device == "blk" and capacity else (),
    )


def bracketed(kind: str, brackets: str | None) -> tuple[str | None, list[tuple[str, int]]]:
    """The device class, and the facts about it, of ``[blk,forgets=1]``. Raises TargetError."""
    if brackets is None:
        return None, []
    device, *rest = brackets.split(",")
    if device not in CLASSES:
        raise TargetError(f"there is no device class {device!r} for {kind}: it is {' or '.join(CLASSES)}")
    facts = []
    for word in rest:
        name, _, value = word.partition("=")
        if name not in FACTS or not value.isdecimal():
            raise TargetError(f"{word!r} is no fact about a device: write one of {', '.join(FACTS)}, as in forgets=1")
        facts.append((name, int(value)))
    return device, facts
