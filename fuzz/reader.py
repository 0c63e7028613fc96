"""The reader of program text: one line at a time, and what is wrong with it together with the mend.

Knows the words of the text form, and refuses what could never be meant (a buffer larger than its ring, a
readable element after a writable one). Must not know files, names of files, or what happens to a program.
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz.device_reader import DEVICE_LINES, SHARED
from fuzz.program import (
    ROLES,
    Lever,
    Notify,
    Program,
    Publish,
    Queue,
    QueueReset,
    Receive,
    Request,
    Reset,
    Restart,
    Step,
    Supply,
    Suppress,
)
from fuzz.words import MAX_BUFFER, VALUE, WORD, Options, Problem, closest, number, options_of, short
from oracles import spec

HEADER = "virtqueue-program"
VERSION = 1
MAX_QUEUES = 64
MAX_VALUE = (1 << 64) - 1

_MODES = ("enable", "disable", "event")


class Reader:
    """Takes one line after the other and remembers what the header said."""

    def __init__(self) -> None:
        self.version = 0
        self.device: str | None = None
        self.role = ""
        self.layout = ""
        self.queues: list[Queue] = []
        self.features: int | None = None
        self.steps: list[Step] = []
        self._largest: list[int] = []  # the largest size that a queue has had
        self._words: Callable[[Request], str | None] | None = None

    def program(self) -> Program:
        """What was read."""
        features = spec.VERSION_1 if self.features is None else self.features
        queues = tuple(self.queues) or (Queue(8),)
        role = self.role or ROLES[0]
        return Program(self.layout or spec.SPLIT, queues, features, self.device or "any", tuple(self.steps), role)

    def take(self, words: list[str]) -> None:
        """Read one line, already without its comment."""
        if not self.version:
            self._header(words)
            return
        first, rest = words[0], words[1:]
        if "\0" in first:
            raise Problem("a NUL byte; programs are plain text, is this another file?")
        if first in _HEAD_LINES:
            if self.steps:
                raise Problem(f"«{first}» stands after a step; move it up, before the first one")
            _HEAD_LINES[first](self, rest)
        elif first in STEP_LINES or first in DEVICE_LINES:
            self.begin_steps()
            self.steps.append(self._step(first, rest))
        else:
            known = [*STEP_LINES, *DEVICE_LINES, *_HEAD_LINES]
            raise Problem(f"unknown word «{short(first)}»; {closest(first, known)}")

    def _step(self, first: str, rest: list[str]) -> Step:
        """A step of the side that we are."""
        if self.role == "device":
            if first not in DEVICE_LINES and first not in SHARED:
                raise Problem(f"«{first}» is a step of a driver, and here we are the device; use «add», «use» or so")
            return DEVICE_LINES[first](rest) if first in DEVICE_LINES else STEP_LINES[first](self, rest)
        if first not in STEP_LINES:
            raise Problem(f"«{first}» is a step of a device; add «role device» above the queue to be one")
        return STEP_LINES[first](self, rest)

    def begin_steps(self) -> None:
        """The header must be whole now: a step begins, or the text has ended."""
        if not self.queues:
            raise Problem("no queue line before this; add «queue split 8» above the steps")

    def _header(self, words: list[str]) -> None:
        if len(words) != 2 or words[0] != HEADER:
            raise Problem(f"this is no virtqueue program; its first line must be «{HEADER} {VERSION}»")
        if words[1] != str(VERSION):
            raise Problem(f"version {short(words[1])} is not known; this reader knows version {VERSION}")
        self.version = VERSION

    def _device(self, words: list[str]) -> None:
        from fuzz.devices import CLASSES  # late: only texts that name one need it

        if self.device is not None:
            raise Problem("a second device line; a program has one device")
        if len(words) != 1:
            raise Problem("«device» takes one word; write e.g. «device blk»")
        if words[0] not in CLASSES:
            raise Problem(f"unknown device class «{short(words[0])}»; {closest(words[0], CLASSES)}")
        self.device = words[0]

    def _role(self, words: list[str]) -> None:
        if self.role:
            raise Problem("a second role line; we are one side of a program")
        if len(words) != 1 or words[0] not in ROLES:
            raise Problem("«role» takes one word, driver or device: the side that we are")
        if words[0] == "device" and len(self.queues) > 1:
            raise Problem(f"{len(self.queues)} queues above this; where we are the device a program has one")
        self.role = words[0]

    def _queue(self, words: list[str]) -> None:
        if len(words) < 2:
            raise Problem("«queue» takes a layout and a size; write e.g. «queue split 8»")
        layout = words[0]
        if layout not in spec.LAYOUTS:
            raise Problem(f"unknown layout «{short(layout)}»; {closest(layout, spec.LAYOUTS)}")
        if self.layout not in ("", layout):
            raise Problem(f"a {layout} queue after a {self.layout} one; all queues of a program have one layout")
        if self.role == "device" and self.queues:
            raise Problem("a second queue; where we are the device a program has one")
        if len(self.queues) == MAX_QUEUES:
            raise Problem(f"too many queues; {MAX_QUEUES} is the most")
        size = number(words[1], "the size", 1, spec.MAX_SIZE)
        _check_size(size, layout)
        options = options_of(words[2:], {"start": (0, 0xFFFF)})
        self.layout = layout
        self.queues.append(Queue(size, options.numbers.get("start", 0)))
        self._largest.append(size)

    def _features(self, words: list[str]) -> None:
        if self.features is not None:
            raise Problem("a second features line; name all of them in one")
        features = 0
        for word in words:
            if word == "packed":
                raise Problem("«packed» is said by the queue line; take it out here")
            bit = spec.FEATURE_NAMES.get(word)
            if bit is None:
                names = [name for name in spec.FEATURE_NAMES if name != "packed"]
                raise Problem(f"unknown feature «{short(word)}»; {closest(word, names)}")
            if features & bit:
                raise Problem(f"«{word}» stands twice; once is enough")
            features |= bit
        if not features & spec.VERSION_1:
            raise Problem("«version_1» is missing; add it, older interfaces are not spoken")
        self.features = features

    def _supply(self, words: list[str]) -> Supply:
        if words and WORD.fullmatch(words[0]) and words[0] not in _SUPPLY_FLAGS:
            return self._request(words)
        readable: list[int] = []
        writable: list[int] = []
        count = 0
        for word in words:
            side, colon, length = word.partition(":")
            if not colon:
                break
            if side not in ("out", "in"):
                raise Problem(f"unknown word «{short(word)}»; elements are out:LENGTH and in:LENGTH")
            if side == "out" and writable:
                raise Problem("a readable element after a writable one; put all out: before all in: (2.7.4.2)")
            (readable if side == "out" else writable).append(number(length, side, 0, MAX_BUFFER))
            count += 1
        if not count:
            raise Problem("this buffer has no elements; add out:LENGTH or in:LENGTH")
        if self.device not in (None, "any"):
            raise Problem(f"elements are for «device any»; name a request of «{self.device}»")
        if sum(readable) + sum(writable) > MAX_BUFFER:
            raise Problem("this buffer is larger than 1 MiB; make its elements shorter")
        options = options_of(words[count:], {**_INDIRECT, "answer": (0, sum(writable)), **self._on()}, _SUPPLY_FLAGS)
        step = _make_supply(options, tuple(readable), tuple(writable))
        if step.indirect and step.indirect >= count:
            raise Problem(f"indirect={step.indirect} leaves none of {count} elements for the table; make it smaller")
        self._mixes(step)
        self._fits(step.queue, count if step.indirect is None else step.indirect + 1)
        return step

    def _request(self, words: list[str]) -> Supply:
        if self.device in (None, "any"):
            raise Problem(f"a request «{short(words[0])}» of no device; add «device blk» or so above the queues")
        fields: dict[str, int] = {}
        cut: tuple[int, ...] = ()
        rest: list[str] = []
        for word in words[1:]:
            name, equals, value = word.partition("=")
            if name in fields or (name == "cut" and cut):
                raise Problem(f"«{name}» stands twice; once is enough")
            if name == "cut" and equals:
                cut = _cut(value)
            elif equals and WORD.fullmatch(name) and name not in ("indirect", "queue", "answer", *_SUPPLY_FLAGS):
                fields[name] = number(value, name, 0, MAX_VALUE)
            else:
                rest.append(word)
        request = Request(words[0], tuple(fields.items()))
        wrong = self._wrong(request)
        if wrong:
            raise Problem(wrong)
        step = _make_supply(options_of(rest, {**_INDIRECT, **self._on()}, _SUPPLY_FLAGS), (), (), request, cut)
        self._mixes(step)
        return step

    def _wrong(self, request: Request) -> str | None:
        """What the device class says against a request."""
        if self._words is None:
            from fuzz.devices import load as load_class

            self._words = load_class(self.device or "any", {}).words
        return self._words(request)

    def _mixes(self, step: Supply) -> None:
        if step.indirect and self.layout == spec.PACKED:
            raise Problem("packed lists never mix direct and indirect descriptors (2.8.5); write «indirect» alone")

    def _on(self) -> dict[str, tuple[int, int]]:
        return {"queue": (0, len(self.queues) - 1)}

    def _fits(self, queue: int, slots: int) -> None:
        if slots > self._largest[queue]:
            raise Problem(
                f"this buffer takes {slots} descriptors and queue {queue} has {self._largest[queue]}; "
                "use fewer elements, «indirect», or a larger queue"
            )

    def _publish(self, words: list[str]) -> Publish:
        return Publish(options_of(words, self._on()).numbers.get("queue", 0))

    def _notify(self, words: list[str]) -> Notify:
        options = options_of(words, self._on(), ("force",))
        return Notify("force" in options.flags, options.numbers.get("queue", 0))

    def _receive(self, words: list[str]) -> Receive:
        if not words or "=" in words[0] or words[0] == "asleep":
            raise Problem("«receive» takes how many; write e.g. «receive 1»")
        count = number(words[0], "the count", 1, 0xFFFF)
        options = options_of(words[1:], self._on(), ("asleep",))
        return Receive(count, "asleep" in options.flags, options.numbers.get("queue", 0))

    def _suppress(self, words: list[str]) -> Suppress:
        if not words or words[0] not in _MODES:
            said = f"unknown mode «{short(words[0])}»" if words else "«suppress» takes a mode"
            raise Problem(f"{said}; {closest(words[0] if words else '', _MODES)}")
        ahead = {"ahead": (0, 0xFFFF)} if words[0] == "event" else {}
        numbers, flags = options_of(words[1:], {**ahead, **self._on()}, ("junk",))
        return Suppress(words[0], numbers.get("ahead", 0), numbers.get("queue", 0), "junk" in flags)

    def _reset(self, words: list[str]) -> Reset:
        options_of(words, {})
        return Reset()

    def _queue_reset(self, words: list[str]) -> QueueReset:
        numbers = options_of(words, {"size": (1, spec.MAX_SIZE), **self._on()}).numbers
        size, queue = numbers.get("size", 0), numbers.get("queue", 0)
        _check_size(size, self.layout)
        self._largest[queue] = max(self._largest[queue], size)
        return QueueReset(size, queue)

    def _restart(self, words: list[str]) -> Restart:
        return Restart(options_of(words, self._on()).numbers.get("queue", 0))

    def _lever(self, words: list[str]) -> Lever:
        name, equals, value = words[0].partition("=") if len(words) == 1 else ("", "", "")
        if not equals or not WORD.fullmatch(name) or not VALUE.fullmatch(value):
            raise Problem("«lever» takes one name=value; write e.g. «lever order=lifo»")
        return Lever(name, value)

    def _poke(self, words: list[str]) -> Step:
        from fuzz.wild_reader import poke  # late: only hostile programs need it

        return poke(words, len(self.queues))

    def _say(self, words: list[str]) -> Step:
        from fuzz.wild_reader import wild

        return wild("say", words)

    def _register(self, words: list[str]) -> Step:
        from fuzz.wild_reader import wild

        return wild("register", words)


_SUPPLY_FLAGS = ("indirect", "held", "gap")
_INDIRECT = {"indirect": (0, spec.MAX_SIZE)}
_HEAD_LINES: dict[str, Callable[[Reader, list[str]], None]] = {
    "device": Reader._device,
    "role": Reader._role,
    "queue": Reader._queue,
    "features": Reader._features,
}
STEP_LINES: dict[str, Callable[[Reader, list[str]], Step]] = {
    "supply": Reader._supply,
    "publish": Reader._publish,
    "notify": Reader._notify,
    "receive": Reader._receive,
    "suppress": Reader._suppress,
    "reset": Reader._reset,
    "queue-reset": Reader._queue_reset,
    "restart": Reader._restart,
    "lever": Reader._lever,
    "poke": Reader._poke,
    "say": Reader._say,
    "register": Reader._register,
}


def _make_supply(
    options: Options,
    readable: tuple[int, ...],
    writable: tuple[int, ...],
    request: Request | None = None,
    cut: tuple[int, ...] = (),
) -> Supply:
    numbers, flags = options
    if "indirect" in flags:
        numbers["indirect"] = 0
    return Supply(
        readable,
        writable,
        request,
        cut,
        numbers.get("indirect"),
        "held" in flags,
        "gap" in flags,
        numbers.get("answer"),
        numbers.get("queue", 0),
    )


def _check_size(size: int, layout: str) -> None:
    """A split queue's size is a power of two (2.7); a packed one's need not be (2.8)."""
    if layout == spec.SPLIT and size & size - 1:
        below = 1 << size.bit_length() - 1
        raise Problem(f"a split queue of {size}; its size is a power of two, take {below} or {2 * below} (2.7)")


def _cut(value: str) -> tuple[int, ...]:
    """The lengths of a cut; 0 stands for ``rest``."""
    return tuple(0 if word == "rest" else number(word, "cut", 1, MAX_BUFFER) for word in value.split(","))
