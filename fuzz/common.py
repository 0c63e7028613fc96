"""What several targets can all do: the limits within which a program means the same on each of them.

Knows limits and offers. Must not know what is done with the programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuzz.program import Levers, Limits, Program, Supply
from fuzz.trouble import UsageTrouble
from oracles import spec


@dataclass(frozen=True, slots=True)
class Part:
    """One of the targets: how it is called, its limits as narrowed to what it offers, and its feature bits."""

    label: str
    limits: Limits
    features: int


def common(parts: Sequence[Part]) -> Limits:
    """The limits that all of *parts* keep. Raises UsageTrouble, one line, if nothing is left."""
    every = [part.limits for part in parts]
    if len({limits.role for limits in every}) > 1:
        raise _nothing("side under test", [(part.label, _tested(part.limits)) for part in parts])
    device = _device(parts)
    served = [limits for limits in every if limits.device == device]
    most = min(limits.queues for limits in every)
    queues = min(limits.queues for limits in served) if device != "any" else most
    if queues > most:  # the programs of a class use all queues that it has
        raise _nothing("number of queues", [(part.label, str(part.limits.queues)) for part in parts])
    layouts = tuple(one for one in every[0].layouts if all(one in limits.layouts for limits in every))
    if not layouts:
        raise _nothing("layouts", [(part.label, " ".join(part.limits.layouts)) for part in parts])
    orders = tuple(one for one in every[0].in_order if all(one in limits.in_order for limits in every))
    if not orders:
        words = [" ".join("on" if one else "off" for one in part.limits.in_order) for part in parts]
        raise _nothing("in_order", [(part.label, word) for part, word in zip(parts, words, strict=True)])
    sizes = {}
    for layout in layouts:
        lists = [limits.split_sizes if layout == spec.SPLIT else limits.packed_sizes for limits in every]
        sizes[layout] = tuple(size for size in lists[0] if all(size in one for one in lists))
        if not sizes[layout]:
            named = zip(parts, lists, strict=True)
            raise _nothing(f"sizes of {layout} queues", [(part.label, " ".join(map(str, one))) for part, one in named])
    actions, uncut, features = every[0].actions, frozenset[int](), every[0].features
    for limits in every:
        actions, uncut, features = actions & limits.actions, uncut | limits.uncut, features & limits.features
    tables = [limits.longest_table for limits in every if limits.longest_table]
    return Limits(
        layouts=layouts,
        in_order=orders,
        features=features,
        split_sizes=sizes.get(spec.SPLIT, every[0].split_sizes),
        packed_sizes=sizes.get(spec.PACKED, every[0].packed_sizes),
        device=device,
        queues=queues,
        role=every[0].role,
        actions=actions,
        levers=_levers([limits.levers for limits in every]),
        pulses=_levers([limits.pulses for limits in every]),
        mixed_indirect=all(limits.mixed_indirect for limits in every),
        longest_table=min(tables) if len(tables) == len(every) else 0,
        empty_elements=all(limits.empty_elements for limits in every),
        longest_element=min(limits.longest_element for limits in every),
        steps=min(limits.steps for limits in every),
        uncut=uncut,
        singly=any(limits.singly for limits in every),
        hints=_hints(served),
    )


def _device(parts: Sequence[Part]) -> str:
    """The one class of all of them; «any» takes part in every class."""
    named = {part.limits.device for part in parts} - {"any"}
    if len(named) > 1:
        raise _nothing("device classes", [(part.label, part.limits.device) for part in parts])
    return named.pop() if named else "any"


def _nothing(what: str, found: Sequence[tuple[str, str]]) -> UsageTrouble:
    each = ", ".join(f"{label}: {words or 'none'}" for label, words in found)
    return UsageTrouble(f"these targets have no {what} in common ({each}), so no program runs on all of them")


def _levers(every: Sequence[Levers]) -> Levers:
    """Those that all have, with the values that all know, if the one that changes nothing is among them."""
    found = []
    for name, values in every[0]:
        others = [dict(levers).get(name, ()) for levers in every[1:]]
        kept = tuple(value for value in values if all(value in other for other in others))
        if kept and kept[0] == values[0]:
            found.append((name, kept))
    return tuple(found)


def _hints(served: Sequence[Limits]) -> tuple[tuple[str, int], ...]:
    """Facts for the device class; of numbers that differ the smallest, since all have so much."""
    known: dict[str, int] = {}
    for limits in served:
        for name, value in limits.hints:
            known[name] = min(value, known.get(name, value))
    return tuple(known.items())


def misfit(program: Program, limits: Limits, features: int) -> str:
    """Why a program doesn't belong within *limits* on targets that all offer *features*; '' if it does."""
    if program.role != limits.role:
        return "other side"
    if program.device != limits.device:
        return "other device class"
    if program.layout not in limits.layouts or program.in_order not in limits.in_order:
        return "layout or in_order"
    if program.features & ~(features | spec.VERSION_1 | spec.RING_PACKED):
        return "features"
    if len(program.queues) > limits.queues or (limits.device != "any" and len(program.queues) < limits.queues):
        return "queues"
    sizes = limits.split_sizes if program.layout == spec.SPLIT else limits.packed_sizes
    if not all(min(sizes) <= queue.size <= max(sizes) for queue in program.queues):
        return "queue sizes"
    if "start" not in limits.actions and any(queue.start for queue in program.queues):
        return "start"
    if not limits.mixed_indirect and any(isinstance(step, Supply) and step.indirect for step in program.steps):
        return "direct before table"
    return ""


def _tested(limits: Limits) -> str:
    """What it is that is under test."""
    return "a driver" if limits.role == "device" else "a device"
