"""How a find leaves a harness: the report for people on stderr, then one line from a function named after the rule.

ClusterFuzz tells bugs apart by the names of the three innermost functions on the stack, and by nothing else; and
takes what looks like a stack, or like a separator of sanitizers, wherever it stands. Knows that. Must not know
programs or targets.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from types import FunctionType
from typing import NoReturn

_FRAME = re.compile(r'File "([^"\n]*)", line (\d+)')


class Broken(Exception):
    """A rule is broken, or a property of ours. ``str()`` is one line."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a harness found. *name*: the rule, verdict or property; *message*: one line; *text*: for people."""

    name: str
    message: str
    text: str = ""


def identifier(name: str) -> str:
    """*name* as a name of a function: INO-ORDER becomes INO_ORDER."""
    return re.sub(r"\W", "_", name) or "_"


def harmless(text: str) -> str:
    """*text* without what ClusterFuzz would take for a stack or a separator."""
    text = _FRAME.sub(r"\1:\2", text)
    return text.replace("====", "----").replace("== ERROR: ", "-- error: ")


def _break(message: str) -> NoReturn:
    raise Broken(message)


def report(found: Found) -> NoReturn:
    """Tell people, then raise Broken from a function that is called as the rule is."""
    if found.text:
        sys.stderr.write(harmless(found.text).rstrip("\n") + "\n")
        sys.stderr.flush()
    name = identifier(found.name)
    code = _break.__code__.replace(co_name=name, co_qualname=name)
    FunctionType(code, globals())(harmless(" ".join(found.message.split())))
    raise AssertionError("it returned")
