"""The reader of the steps that a program has where we are the device, and their writers.

Knows the words of these lines. Must not know files, headers, or what happens to a program.
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz.program import (
    CALLBACK_MODES,
    MISUSES,
    USE_ORDERS,
    Add,
    Call,
    Callbacks,
    DeviceStep,
    Get,
    Kick,
    Misuse,
    Use,
)
from fuzz.words import MAX_BUFFER, Problem, closest, number, options_of, short

SHARED = frozenset({"suppress", "reset", "queue-reset", "restart"})
"""Steps of either side."""
_MOST = 0xFFFF
Span = dict[str, tuple[int, int]]
"""Numbers that a line may have, by name: the queue's, between the first and the last."""


def _add(words: list[str], on: Span) -> Add:
    readable: list[int] = []
    writable: list[int] = []
    lengths = [word for word in words if not word.startswith("queue=")]
    queue = options_of([word for word in words if word.startswith("queue=")], on).numbers.get("queue", 0)
    for word in lengths:
        side, colon, length = word.partition(":")
        if not colon or side not in ("out", "in"):
            raise Problem(f"unknown word «{short(word)}»; elements are out:LENGTH and in:LENGTH")
        if side == "out" and writable:
            raise Problem("a readable element after a writable one; put all out: before all in: (2.7.4.2)")
        (readable if side == "out" else writable).append(number(length, side, 1, MAX_BUFFER))
    if not lengths:
        raise Problem("this buffer has no elements; add out:LENGTH or in:LENGTH")
    if sum(readable) + sum(writable) > MAX_BUFFER:
        raise Problem("this buffer is larger than 1 MiB; make its elements shorter")
    return Add(tuple(readable), tuple(writable), queue)


def _kick(words: list[str], on: Span) -> Kick:
    return Kick(options_of(words, on).numbers.get("queue", 0))


def _count(words: list[str], verb: str) -> int:
    if not words or not words[0].isdigit():
        raise Problem(f"«{verb}» takes how many; write e.g. «{verb} 1»")
    return number(words[0], "the count", 1, _MOST)


def _get(words: list[str], on: Span) -> Get:
    count = _count(words, "get")
    numbers, flags = options_of(words[1:], on, ("asleep",))
    return Get(count, "asleep" in flags, numbers.get("queue", 0))


def _callbacks(words: list[str], on: Span) -> Callbacks:
    if not words or words[0] not in CALLBACK_MODES:
        raise Problem(f"«callbacks» takes one word; {closest(words[0] if words else '', CALLBACK_MODES)}")
    return Callbacks(words[0], options_of(words[1:], on).numbers.get("queue", 0))


def _use(words: list[str], on: Span) -> Use:
    count = _count(words, "use")
    numbers, flags = options_of(words[1:], {"length": (0, MAX_BUFFER), **on}, (*USE_ORDERS, "singly", "junk"))
    orders = [order for order in USE_ORDERS if order in flags]
    if len(orders) > 1:
        raise Problem(f"«{orders[0]}» and «{orders[1]}»; buffers are used in one order")
    order = orders[0] if orders else "oldest"
    return Use(count, numbers.get("length"), order, "singly" in flags, "junk" in flags, numbers.get("queue", 0))


def _call(words: list[str], on: Span) -> Call:
    numbers, flags = options_of(words, on, ("force",))
    return Call("force" in flags, numbers.get("queue", 0))


def _misuse(words: list[str], on: Span) -> Misuse:
    what, equals, value = words[0].partition("=") if words else ("", "", "")
    if what not in MISUSES:
        raise Problem(f"«misuse» takes one word, or one with a number; {closest(what, MISUSES)}")
    queue = options_of(words[1:], on).numbers.get("queue", 0)
    return Misuse(what, number(value, what, 0, 0xFFFFFFFF) if equals else 0, queue)


DEVICE_LINES: dict[str, Callable[[list[str], Span], DeviceStep]] = {
    "add": _add,
    "kick": _kick,
    "get": _get,
    "callbacks": _callbacks,
    "use": _use,
    "call": _call,
    "misuse": _misuse,
}


# --- writing ---------------------------------------------------------------------------------------------------------


def _on(queue: int) -> str:
    return f" queue={queue}" if queue else ""


def _use_line(step: Use) -> str:
    words = [f"use {step.count}"]
    words += [f"length={step.length}"] if step.length is not None else []
    words += [step.order] if step.order != "oldest" else []
    words += ["singly"] if step.singly else []
    words += ["junk"] if step.junk else []
    return " ".join(words) + _on(step.queue)


DEVICE_WRITERS: dict[type, Callable[..., str]] = {
    Add: lambda step: (
        " ".join(["add", *(f"out:{length}" for length in step.readable), *(f"in:{length}" for length in step.writable)])
        + _on(step.queue)
    ),
    Kick: lambda step: "kick" + _on(step.queue),
    Get: lambda step: f"get {step.count}" + (" asleep" if step.asleep else "") + _on(step.queue),
    Callbacks: lambda step: f"callbacks {step.mode}" + _on(step.queue),
    Use: _use_line,
    Call: lambda step: "call" + (" force" if step.force else "") + _on(step.queue),
    Misuse: lambda step: f"misuse {step.what}" + (f"={step.value}" if step.value else "") + _on(step.queue),
}
