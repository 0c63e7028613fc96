"""The directed generator: programs that go where implementations go wrong.

Uniform steps hardly ever fill a ring, end exactly at its end, or reset it in the middle of a batch. So a
program here is a series of phases, each of which is about one of these; which phases exist in it is drawn
first, as are its buffer shapes, sizes and habits (swarm). Knows where the specification's boundaries are.
Must not know targets or anything that happened at run time.
"""

from __future__ import annotations

from fuzz.choices import Choices
from fuzz.draft import Draft, Facts, Phase, Ring, facts
from fuzz.pieces import approach, batch, collect, drain, how_many
from fuzz.program import Limits, Program, QueueReset, Reset, Restart, Suppress
from oracles import spec

#: What a program may cost the executor, in descriptors (tables included): long chains end a program early.
WORK = 2500


def directed(choices: Choices, limits: Limits) -> Program:
    """A program of phases, as long as there shall be more of them."""
    known = facts(limits)
    draft = Draft(choices, known)
    integer = draft.integer
    cap = limits.steps
    if not known.phases:
        known.phases = _possible(known)
    phases = known.phases
    mask = integer(0, (1 << len(phases)) - 1)
    phases = [phase for bit, phase in enumerate(phases) if mask >> bit & 1] or [burst]
    stop = (2, 4, 8, 16)[integer(0, 3)]
    last_ring, last_phase = len(draft.rings) - 1, len(phases) - 1
    while True:
        ring = draft.rings[integer(0, last_ring) if last_ring else 0]
        if last_ring and limits.device == "net":
            _feed(draft, ring)
        phases[integer(0, last_phase)](draft, ring)
        if draft.moved:
            draft.release()
        if not integer(0, stop) or len(draft.steps) >= cap or draft.work > WORK:
            break
    if integer(0, 7):
        for ring in draft.rings:
            if ring.out:
                draft.notify(ring)
                draft.receive(ring, len(ring.out))
    return Program(draft.layout, draft.queues, draft.features, limits.device, tuple(draft.steps))


def _possible(known: Facts) -> list[Phase]:
    """The phases that exist within some limits, looked up once."""
    actions = {"", *known.limits.actions}
    if known.restarts:
        actions.add("awkward")
    if known.limits.levers:
        actions.add("levers")
    if known.limits.pulses:
        actions.add("pulses")
    return [phase for phase, action in _PHASES if action in actions]


def _feed(draft: Draft, ring: Ring) -> None:
    """Network: what is sent comes back only where there is room to receive, so keep some there."""
    receiving = draft.rings[0]
    if ring is not receiving and len(receiving.out) < 2:
        draft.supplies(receiving, draft.integer(1, 4))
        draft.notify(receiving)


# --- phases ---


def burst(draft: Draft, ring: Ring) -> None:
    """Several buffers at once, and what comes of them."""
    batch(draft, ring, how_many(draft, ring.free or 1))
    collect(draft, ring)


def single(draft: Draft, ring: Ring) -> None:
    """One buffer after the other, each waited for: up to a lap and a bit."""
    for _ in range(how_many(draft, min(ring.size + 1, 12))):
        if not draft.supply(ring):
            drain(draft, ring)
            continue
        draft.notify(ring)
        draft.receive(ring, 1)


def fill(draft: Draft, ring: Ring) -> None:
    """Until not one descriptor is free."""
    integer = draft.integer
    if integer(0, 1):
        drain(draft, ring)
    if ring.free > 24:
        draft.exactly(ring, ring.free - integer(1, 16))
    if integer(0, 3) < 3:
        draft.supplies(ring, ring.free, bool(integer(0, 1)))
    else:
        for _ in range(24):
            if not draft.supply(ring):
                break
            draft.notify(ring)
    if ring.free:  # what is left is less than any shape takes, or a device class had nothing small
        draft.exactly(ring, ring.free)
    draft.notify(ring)
    collect(draft, ring)


def full_chain(draft: Draft, ring: Ring) -> None:
    """One chain of exactly as many descriptors as the ring has, and the buffer after it."""
    drain(draft, ring)
    if ring.free == ring.size and (ring.size <= 16 or draft.integer(0, 2) == 2):
        draft.exactly(ring, ring.size)
        drain(draft, ring)
    batch(draft, ring, how_many(draft, min(3, ring.free or 1)))
    collect(draft, ring)


def seam(draft: Draft, ring: Ring) -> None:
    """A chain over the end of the ring, alone or in a batch."""
    integer = draft.integer
    size = ring.size
    before = approach(draft, ring, integer(1, min(3, size)))
    if before < ring.free:
        if before > 1 and integer(0, 1):
            draft.exactly(ring, 1, bool(integer(0, 1)))
            before -= 1
        if before < ring.free:  # late in a program there may have been no buffer as small as that
            draft.exactly(ring, integer(before + 1, min(ring.free, before + 3)), bool(integer(0, 1)))
    batch(draft, ring, integer(1, 3))
    collect(draft, ring)


def across(draft: Draft, ring: Ring) -> None:
    """A batch that begins shortly before the end of the ring and goes on behind it."""
    before = approach(draft, ring, how_many(draft, min(ring.size, 8)))
    batch(draft, ring, min(before + draft.integer(0, 2), 16))
    collect(draft, ring)


def lap(draft: Draft, ring: Ring) -> None:
    """Round the ring quickly, a chain at a time."""
    size = ring.size
    part = (size, max(1, size - 1), (size >> 1) + 1, min(3, size))[draft.integer(0, 3)]
    for _ in range(draft.integer(1, 3) if size <= 16 else 1):
        drain(draft, ring)
        if part <= ring.free:
            draft.exactly(ring, part)
    drain(draft, ring)


def sawtooth(draft: Draft, ring: Ring) -> None:
    """Stay full: what is received is supplied again at once."""
    integer = draft.integer
    draft.supplies(ring, 12)
    draft.notify(ring)
    for _ in range(integer(1, 6)):
        draft.receive(ring, integer(1, max(1, min(2, len(ring.out)))))
        while draft.supply(ring) and integer(0, 1):
            pass
        draft.notify(ring)


def sleepy(draft: Draft, ring: Ring) -> None:
    """Wait for a used buffer notification, perhaps asking for it late; the ring's end in between, perhaps."""
    integer = draft.integer
    if integer(0, 1) and (ring.size <= 16 or integer(0, 3) == 3):
        approach(draft, ring, integer(1, min(ring.size, 3)))
    at = len(draft.steps)
    batch(draft, ring, how_many(draft, ring.free or 1))
    draft.steps.insert(at, _suppression(draft, ring))
    if ring.out:
        count = len(ring.out) if integer(0, 1) else integer(1, len(ring.out))
        asleep, draft.asleep = draft.asleep, 4
        draft.receive(ring, count)
        draft.asleep = asleep


def late(draft: Draft, ring: Ring) -> None:
    """Ask for a notification behind the end of the ring, and have it passed by what lies across the end."""
    integer = draft.integer
    if not draft.event_idx:
        sleepy(draft, ring)
        return
    before = approach(draft, ring, integer(1, min(ring.size, 3)))
    after = integer(0, 1)
    draft.suppress(ring, "event", min(before + after, ring.size - 1))
    slots = before + after + integer(0, 2)
    if 0 < slots <= ring.free and integer(0, 1):
        draft.exactly(ring, slots, bool(integer(0, 1)))
        batch(draft, ring, 1)
    else:
        batch(draft, ring, slots)
    draft.receive(ring, len(ring.out) or 1)


def _suppression(draft: Draft, ring: Ring) -> Suppress:
    """Ask for a notification that what is outstanding will bring about."""
    integer = draft.integer
    if not draft.event_idx or not integer(0, 3):
        return Suppress("enable", 0, ring.queue)
    units = sum(ring.out) if draft.packed else len(ring.out)
    kind = integer(0, 5)
    if kind < 2 or not units:
        ahead = 0
    elif kind == 2:
        ahead = units - 1
    else:
        ahead = integer(0, units - 1)
    return Suppress("event", min(ahead, ring.size - 1), ring.queue)


def silent(draft: Draft, ring: Ring) -> None:
    """Notifications off, while buffers are used; then on again."""
    draft.suppress(ring, "disable")
    asleep, draft.asleep = draft.asleep, 0
    batch(draft, ring, how_many(draft, min(ring.free, 6) or 1))
    collect(draft, ring)
    draft.asleep = asleep
    draft.suppress(ring, "enable")
    if draft.integer(0, 1) and draft.supply(ring):
        draft.notify(ring)
        draft.receive(ring, len(ring.out))


def awkward(draft: Draft, ring: Ring) -> None:
    """Reset or restart with buffers in every state; several short lives, in which all counters are small."""
    integer = draft.integer
    if integer(0, 2) == 2:
        drain(draft, ring)
    for _ in range(integer(1, 3)):
        _half_done(draft, ring)
        _again(draft, ring)
        draft.release()
        if integer(0, 1):
            batch(draft, ring, integer(1, 4))
            collect(draft, ring)
    if integer(0, 2) == 2:
        single(draft, ring)
    drain(draft, ring)


def _half_done(draft: Draft, ring: Ring) -> None:
    """Some buffers, of which the target holds some back or only a part is received."""
    integer = draft.integer
    holding = draft.known.holding
    if holding and integer(0, 2):
        name, values = holding[integer(0, len(holding) - 1)]
        draft.lever(name, values[integer(1, len(values) - 1) if integer(0, 1) else 1])
        batch(draft, ring, integer(2, 4))
    else:
        batch(draft, ring, how_many(draft, min(ring.free, 6) or 1))
    if integer(0, 1):
        collect(draft, ring)
    elif integer(0, 3) == 3:
        draft.supply(ring, bool(integer(0, 1)))


def _again(draft: Draft, ring: Ring) -> None:
    """Begin anew, in one of the ways that there are."""
    action = draft.known.restarts[draft.integer(0, len(draft.known.restarts) - 1)]
    if action == "reset":
        draft.steps.append(Reset())
        for other in draft.rings:
            other.reset(other.size)
    elif action == "restart":
        draft.steps.append(Restart(ring.queue))
    elif draft.features & spec.RING_RESET:
        sizes = draft.known.resizes(draft.layout, ring.size)
        size = 0 if draft.integer(0, 1) else sizes[draft.integer(0, len(sizes) - 1)]
        draft.steps.append(QueueReset(size, ring.queue))
        ring.reset(size or ring.size)


def gap(draft: Draft, ring: Ring) -> None:
    """A buffer that comes just when the device believes that there is none."""
    integer = draft.integer
    if integer(0, 1):
        drain(draft, ring)
    draft.supplies(ring, integer(1, 3))
    if ring.free and ring.palette:
        shape = ring.palette[0]
        if shape.slots <= ring.free:
            draft.put(ring, shape)
            draft.steps[-1] = shape.as_gap()
    draft.notify(ring)
    if ring.out:
        draft.receive(ring, len(ring.out))


def levers(draft: Draft, ring: Ring) -> None:
    """Another habit of the target, from now on."""
    known = draft.known.limits.levers
    name, values = known[draft.integer(0, len(known) - 1)]
    draft.lever(name, values[draft.integer(0, len(values) - 1)])
    burst(draft, ring)


def pulses(draft: Draft, ring: Ring) -> None:
    """Something happens on the other side, once or several times: buffers wait for it, or come too late for it."""
    integer = draft.integer
    early = integer(0, 3) == 3
    count = integer(1, 4)
    if early:
        for _ in range(count):
            draft.pulse()
    waiting = {ring.queue: ring}
    for _ in range(integer(0, min(len(draft.rings) - 1, 2))):
        other = draft.rings[integer(0, len(draft.rings) - 1)]
        waiting[other.queue] = other
    for other in waiting.values():
        batch(draft, other, how_many(draft, min(other.free, 6) or 1))
    if not early:
        for _ in range(count):
            draft.pulse()
    for other in waiting.values():
        if other.out:
            draft.receive(other, min(count, len(other.out)) if integer(0, 2) else len(other.out))


def loose(draft: Draft, ring: Ring) -> None:
    """A few steps in no order at all."""
    integer = draft.integer
    for _ in range(integer(1, 8)):
        kind = integer(0, 9)
        if kind < 5:
            draft.supply(ring, not integer(0, 2))
        elif kind == 5:
            draft.notify(ring)
        elif kind < 8:
            draft.receive(ring, integer(1, len(ring.out) + 1))
        elif kind == 8:
            draft.publish(ring)
        else:
            mode = ("enable", "disable", "event")[integer(0, 2 if draft.event_idx else 1)]
            draft.suppress(ring, mode, integer(0, 3) if mode == "event" else 0)


#: Phases, and the action that limits must allow for each; what has many variants stands here twice.
_PHASES: tuple[tuple[Phase, str], ...] = (
    (burst, ""),
    (single, ""),
    (fill, ""),
    (full_chain, ""),
    (seam, ""),
    (across, ""),
    (lap, ""),
    (sawtooth, ""),
    (silent, ""),
    (loose, ""),
    (levers, "levers"),
    (pulses, "pulses"),
    (pulses, "pulses"),
    (sleepy, "asleep"),
    (late, "asleep"),
    (gap, "gap"),
    (awkward, "awkward"),
    (awkward, "awkward"),
)
