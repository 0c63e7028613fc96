"""A find on a driver as one Python script: it plays the device, and tells whether the one rule is broken.

Knows the templates in ``driver_script/`` and what each step of a program becomes. Runs nothing, and knows no target:
what meets the driver is a template with its values.
"""

from __future__ import annotations

import pprint
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fuzz import __version__, encoding
from fuzz.program import Add, Call, Callbacks, Get, Kick, Program, QueueReset, Reset, Restart, Step, Suppress, Use
from fuzz.report.text import where
from fuzz.trouble import EnvironmentTrouble
from fuzz.verdict import BROKEN, CRASHED, HUNG, UNDECIDED, Outcome
from oracles import spec
from oracles.driver_asking import moments
from oracles.driver_oracle import DriverQueueOracle
from oracles.rules import registry

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).resolve().parent / "driver_script"
WIDTH = 118
ORDERED = frozenset({"INO-S-DESC-SEQ"})  # rules about where in the table a chain begins
_FAMILIES = {"returned": "returned", "overlooked": "overlooked", "refused": "refused", "unnotified": "kick",
             "unwanted": "kick"}  # fmt: skip
_ENDS = {CRASHED: "crashed", HUNG: "hung", BROKEN: "broken", UNDECIDED: "stalled"}
_IMPORTS = {
    "linux": "mmap os shlex socket struct subprocess sys tempfile",
    "vhost_user": "ctypes mmap os select signal socket struct subprocess sys tempfile time",
}


@dataclass(frozen=True, slots=True)
class Driver:
    """How a script meets the driver."""

    template: str  # linux | vhost_user
    seen_on: str  # the driver, and its version
    usage: tuple[tuple[str, str], ...]  # (arguments, what they bring about)
    values: Mapping[str, object]  # of the template
    asked: bool = True  # its upper half can be asked
    prefix: bytes = b""  # what each buffer begins with that we write
    least: int = 0  # bytes that are written at least
    echo: bool = False  # what comes back on its first queue, it sends on the second
    sources: Mapping[str, str] = field(default_factory=dict)  # what the script must bring along, by file name


def family_of(outcome: Outcome) -> str:
    """What kind of proof shows *outcome*."""
    if outcome.violation is None:
        return _ENDS.get(outcome.verdict, "rings")
    rule = outcome.violation.rule
    if rule in ORDERED:
        return "order"
    return next((_FAMILIES[moment] for moment in sorted(moments(rule)) if moment in _FAMILIES), "rings")


def script(program: Program, outcome: Outcome, driver: Driver) -> str:
    """The script. Raises EnvironmentTrouble if jinja2 is missing."""
    environment = _environment()
    family = family_of(outcome)
    features = program.features | (spec.RING_PACKED if program.layout == spec.PACKED else 0)
    rule = registry().get(outcome.rule)
    sizes = tuple(queue.size for queue in program.queues)
    shared = {"family": family, "asked": driver.asked, "features": features, "sizes": sizes, "echo": driver.echo,
              "steps": {_name(step) for step in program.steps}, "event_idx": bool(features & spec.EVENT_IDX),
              "indirect": bool(features & spec.INDIRECT_DESC), "least": driver.least, "layout": program.layout,
              "in_order": bool(features & spec.IN_ORDER), "ring_reset": bool(features & spec.RING_RESET)}  # fmt: skip
    at = outcome.violation.queue if outcome.violation is not None else 0

    def part(name: str, **more: object) -> str:
        return environment.get_template(f"{name}.py.j2").render({**shared, **more})

    text = part(
        "device",
        about=_about(program, outcome, driver),
        imports=_imports(driver.template),
        names=" ".join(spec.feature_names(features)),
        ring=part(program.layout),
        driver=part(driver.template, **driver.values),
        prefix=driver.prefix,
        at=at,
        need=outcome.violation.position if outcome.violation is not None else 0,
        rule=outcome.rule,
        program="\n".join(_calls(program, outcome)),
        right=f"{rule.id} does not show" if rule is not None else "the driver goes on",
        data="\n".join(_data(outcome, family, at)),
    )
    text = re.sub(r"\n\n+(?=(?:def|class) )", "\n\n\n", re.sub(r"\n{4,}", "\n\n\n", text))
    return text.replace("@HARNESS@\n", _sources(driver.sources)).rstrip() + "\n"


def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise EnvironmentTrouble("--as python needs the Python package jinja2, which is not installed") from None
    return Environment(loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                       autoescape=False)  # fmt: skip  # it is no HTML


def _imports(template: str) -> str:
    lines = textwrap.wrap(", ".join(_IMPORTS[template].split()), WIDTH - len("import "), break_on_hyphens=False)
    froms = ["from collections import deque"] + (["from pathlib import Path"] if template == "linux" else [])
    return "\n".join([f"import {line.rstrip(',')}" for line in lines] + froms)


# --- what is said ----------------------------------------------------------------------------------------------------


def _verdict(outcome: Outcome, layout: str) -> list[str]:
    violation = outcome.violation
    rule = registry().get(outcome.rule)
    if outcome.verdict == UNDECIDED:
        return ["the driver supplies nothing more, though all that it supplied was used"]
    if violation is None or rule is None:
        return [outcome.reason or outcome.verdict]
    return [rule.title, f"{where(rule, layout)}; rule {rule.id} of vqfuzz: {rule.text}", f"Seen: {violation.message}"]


def _about(program: Program, outcome: Outcome, driver: Driver) -> str:
    """The script's docstring. Up to «Made by» it is what is said of the driver in the end."""
    first, *others = _verdict(outcome, program.layout)
    lines = [first, "", *others, ""] if others else [first, ""]
    lines += [
        f"Made by vqfuzz {__version__} from a run on {driver.seen_on}. It plays the device, with Python 3.9 alone."
    ]
    lines += ["", *(f"    python3 THIS-FILE {words:12}# {text}" for words, text in driver.usage)]
    lines += ["", "Exit status: 1 it is wrong, 0 it is right, 2 that can't be told.", "", "The program:", ""]
    lines += [f"    {line}" for line in encoding.dump(program).splitlines()]
    text = "\n".join(
        piece for line in lines for piece in (textwrap.wrap(line, WIDTH, subsequent_indent=_indent(line)) or [""])
    )
    return '"""' + text.replace("\\", "\\\\").replace('"', '\\"') + '\n"""'


def _indent(line: str) -> str:
    return " " * (len(line) - len(line.lstrip()))


# --- what is done ----------------------------------------------------------------------------------------------------


def _calls(program: Program, outcome: Outcome) -> list[str]:
    """Each step, as a comment, above what it is."""
    lines = encoding.dump(program).splitlines()[-len(program.steps) :] if program.steps else []
    calls: list[str] = []
    steps = list(zip(lines, program.steps, strict=True))
    for line, step in steps if outcome.verdict == UNDECIDED else steps[: outcome.reached]:
        number = getattr(step, "queue", 0)
        calls += [f"    # {line}", f"    {f'queue{number}' if number else 'device'}.{_call(step)}"]
    return calls or ["    pass"]


def _name(step: Step) -> str:
    """The method that a step calls."""
    return "queue_reset" if isinstance(step, QueueReset) else type(step).__name__.lower()


def _call(step: Step) -> str:
    """A step as the call of a method."""
    if isinstance(step, Add):
        return f"add({list(step.readable)}, {list(step.writable)})"
    if isinstance(step, Get):
        return f"get({step.count}{', asleep=True' if step.asleep else ''})"
    if isinstance(step, Use):
        words = [str(step.count), *([f"length={step.length}"] if step.length is not None else [])]
        words += [f"order={step.order!r}"] if step.order != "oldest" else []
        words += ["singly=True"] if step.singly else []
        return f"use({', '.join(words + (['junk=True'] if step.junk else []))})"
    if isinstance(step, Callbacks):
        return f"callbacks({step.mode!r})"
    if isinstance(step, Suppress):
        return f"suppress({step.mode!r}{f', {step.ahead}' if step.ahead else ''})"
    if isinstance(step, Call):
        return f"call({'force=True' if step.force else ''})"
    if isinstance(step, QueueReset):
        return f"queue_reset({step.size or ''})"
    return {Kick: "kick()", Reset: "reset()", Restart: "restart()"}[type(step)]


def _data(outcome: Outcome, family: str, at: int) -> list[str]:
    """What the script compares with."""
    if family != "rings" or outcome.violation is None:
        return []
    oracle = DriverQueueOracle()
    for number, seen in outcome.trace:
        if number == at:
            oracle.feed(seen)
    follower = oracle.follower
    assert follower is not None
    table, driver = bytes(follower.descriptor), bytes(follower.driver)
    found = {}
    for slot in range(len(table) // 16):
        _, length, first, second = spec.DESCRIPTOR.unpack_from(table, 16 * slot)
        if table[16 * slot : 16 * slot + 16] != bytes(16):
            found[slot] = (length, first, second)
    return [
        f"# length, flags and next (packed: length, id, flags) of descriptors\nDESCRIPTORS = {pprint.pformat(found)}",
        f"DRIVER_AREA = bytes.fromhex({driver.hex()!r})",
    ]


def _sources(sources: Mapping[str, str]) -> str:
    """Files that the script brings along, as they are."""
    if not sources:
        return ""
    parts = ["HARNESS = {"]
    for name, text in sources.items():
        quoted = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        parts.append(f'    "{name}": """\\\n{quoted}""",')
    return "\n".join([*parts, "}", "", ""])
