"""virtio-mem (5.15): blocks of memory are plugged and unplugged, and their state is asked for.

Knows requests, responses and which blocks are certainly in which state. Must not know rings, or which device answers.

What is plugged at first is unknown, for it survives device resets and programs. A block's state is known from the
moment that a request which changes it was answered, if no other such request was on its way meanwhile: devices may
process buffers in any order.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from fuzz.choices import Choices
from fuzz.devices import Message, forms
from fuzz.devices.cutting import cut
from fuzz.program import Limits, Request

_REQUEST = struct.Struct("<H6sQH6s")  # type, padding, addr, nb_blocks, padding
_RESPONSE = struct.Struct("<H6xH")  # type, padding, state
_TYPES = {"plug": 0, "unplug": 1, "unplug_all": 2, "state": 3}
_RANGE = {"block": (0, 1 << 32, 0), "count": (0, 0xFFFF, 1), "shift": (0, 1 << 32, 0)}
_FORMS: forms.Forms = {kind: {} if kind == "unplug_all" else _RANGE for kind in _TYPES}
_ACK, _NACK, _BUSY, _ERROR = range(4)
_RESPONSES = ("ACK", "NACK", "BUSY", "ERROR")
_STATES = ("PLUGGED", "UNPLUGGED", "MIXED")
_PADDING = b"\x11\x22\x33\x44\x55\x66"  # the device ignores it


@dataclass(slots=True)
class _Block:
    """What is known of a block."""

    plugged: bool | None = None
    requests: int = 0  # that may change it, supplied so far
    pending: int = 0  # of these, not yet answered


@dataclass(slots=True)
class _Asked:
    """A request for some blocks, and what was known of them when it was supplied."""

    kind: str
    blocks: list[_Block]
    invalid: bool  # misaligned, for no block, or for blocks outside of the region
    usable: bool  # certainly inside of the usable region
    known: list[bool | None] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    answered: bool = False

    def certain(self) -> list[bool | None]:
        """The state in which the device found each block, where that is certain."""
        pairs = zip(self.blocks, self.stamps, self.known, strict=True)
        return [state if block.requests == stamp else None for block, stamp, state in pairs]


class Device:
    """One run of one program.

    *hints*: address and blocks of the region, block_size; usable: blocks that are certainly in the usable region.
    """

    name = "mem"

    def __init__(self, hints: dict[str, int]) -> None:
        self._address = hints.get("address", 1 << 32)
        self._size = hints.get("block_size", 1 << 20)
        self._usable = hints.get("usable", 0)
        self._blocks = [_Block() for _ in range(hints.get("blocks", 16))]
        self._last: tuple[int, Callable[[], None]] | None = None  # the last buffer, and how to forget it

    # --- requests -----------------------------------------------------------------------------------------------------

    def draw(self, choices: Choices, queue: int, limits: Limits) -> tuple[Request, tuple[int, ...]]:
        """Mostly few blocks that collide; sometimes the region's end, and what must be rejected."""
        integer = choices.integer
        kinds = ("state", "plug", "unplug", "plug", "state", "unplug", "plug", "unplug_all")
        kind = kinds[integer(0, len(kinds) - 1)]
        ways = cut(choices, (_REQUEST.size, _RESPONSE.size), _REQUEST.size, _RESPONSE.size)
        if kind == "unplug_all":
            return Request(kind), ways
        blocks = dict(limits.hints).get("blocks", 16)
        count = (1, 1, 1, 1, 1, 2, 3, blocks, blocks // 2, integer(1, blocks))[integer(0, 9)]
        block = (integer(0, 3), integer(0, blocks - 1), integer(0, blocks - 1), blocks - count)[integer(0, 3)]
        odd = integer(0, 15)  # one in sixteen each: no block, not aligned, beyond the end
        if odd == 15:
            count = 0
        elif odd == 14:
            return Request(kind, (("block", block), ("count", count), ("shift", (1, 4096)[integer(0, 1)]))), ways
        elif odd == 13:
            block = blocks - count + 1
        return Request(kind, (("block", block), ("count", count))), ways

    def words(self, request: Request) -> str | None:
        """What is wrong with *request*, or None."""
        return forms.words(self.name, _FORMS, request)

    def message(self, request: Request, buffer: int, queue: int) -> Message:
        """The bytes of *request*."""
        last, self._last = self._last, None
        if last is not None and last[0] == buffer:
            last[1]()  # what had this number found no room in the ring: it never was
        kind, fields = request.kind, forms.values(_FORMS, request)
        block, count, shift = (fields.get(name, 0) for name in _RANGE)
        address = (self._address + block * self._size + shift) & (1 << 64) - 1
        if kind == "unplug_all":  # only its type is looked at
            asked = _Asked(kind, self._blocks, False, True)
        else:
            misplaced = shift % self._size != 0 or block + count > len(self._blocks)
            blocks = [] if misplaced else self._blocks[block : block + count]
            asked = _Asked(kind, blocks, misplaced or not count, block + count <= self._usable)
        readable = _REQUEST.pack(_TYPES[kind], _PADDING, address, count, _PADDING)
        return Message(readable, _RESPONSE.size, self._expect(asked, buffer))

    # --- answers ------------------------------------------------------------------------------------------------------

    def _expect(self, asked: _Asked, buffer: int) -> Callable[[int, bytes], str]:
        """Note what is known now, and that from now on it may change."""
        asked.known = [block.plugged for block in asked.blocks]
        changes = asked.kind != "state"
        if changes:
            alone = [not block.pending for block in asked.blocks]
            for block in asked.blocks:
                block.plugged = None
                block.requests += 1
                block.pending += 1
            self._last = buffer, lambda: _forget(asked)
        asked.stamps = [block.requests for block in asked.blocks]

        def check(used: int, data: bytes) -> str:
            type_, state = _RESPONSE.unpack(data)
            if type_ >= len(_RESPONSES):
                return f"response type {type_} (none of the specification)"
            wrong = _wrong(asked, type_, state)
            if changes and not asked.answered:
                asked.answered = True
                _settle(asked, alone, type_ == _ACK)
            return wrong

        return check


def _forget(asked: _Asked) -> None:
    """The request was never made available."""
    for block, known, stamp in zip(asked.blocks, asked.known, asked.stamps, strict=True):
        block.pending -= 1
        if block.requests == stamp:
            block.plugged = known


def _settle(asked: _Asked, alone: list[bool], done: bool) -> None:
    """The request was answered: what is known from now on."""
    states = [asked.kind == "plug"] * len(asked.blocks) if done else asked.known
    for block, stamp, only, state in zip(asked.blocks, asked.stamps, alone, states, strict=True):
        block.pending -= 1
        if only and block.requests == stamp:
            block.plugged = state


def _wrong(asked: _Asked, type_: int, state: int) -> str:
    """What is wrong with a response (5.15.6.3 to 5.15.6.6), or ''."""
    answer = f"{asked.kind} is answered with {_RESPONSES[type_]}"
    if asked.kind == "unplug_all":
        return "" if type_ in (_ACK, _BUSY) else answer
    if asked.invalid:
        return "" if type_ in (_ERROR, _BUSY) else f"{answer}, though no such blocks are there"
    certain = asked.certain()
    if asked.kind == "state":
        return _wrong_state(answer, asked.usable, certain, type_, state)
    unfit = asked.kind == "plug"  # the state in which the request must be rejected
    if type_ == _ACK and unfit in certain:
        return f"{answer}, though a block was {'' if unfit else 'un'}plugged already"
    if type_ == _ERROR and asked.usable and all(known is (not unfit) for known in certain):
        return f"{answer}, though all blocks were {'un' if unfit else ''}plugged"
    return ""


def _wrong_state(answer: str, usable: bool, certain: list[bool | None], type_: int, state: int) -> str:
    if type_ != _ACK:
        return f"{answer}, though such blocks are there" if usable else ""
    if state >= len(_STATES):
        return f"state {state} (none of the specification)"
    wrong = ""
    if state != 0 and all(certain):
        wrong = "all are plugged"
    elif state != 1 and all(known is False for known in certain):
        wrong = "none is plugged"
    elif state == 0 and False in certain:
        wrong = "one is unplugged"
    elif state == 1 and True in certain:
        wrong = "one is plugged"
    return f"the blocks' state is {_STATES[state]}, but {wrong}" if wrong else ""
