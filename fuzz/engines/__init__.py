"""Where a campaign's programs come from: engines, by name. The same programs to the same reports, whoever chose them.

directed: the generator that knows where implementations go wrong; random: the same language, nothing aimed at;
state: what reached new states of the protocol is kept and changed; hypothesis; atheris: libFuzzer, in a process of
its own, guided by coverage of the oracle. Knows which there are. Must not know what becomes of a program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fuzz.program import Limits, Program
from fuzz.trouble import EnvironmentTrouble, UsageTrouble
from fuzz.verdict import Outcome
from oracles import spec

NAMES = ("directed", "random", "state", "hypothesis", "atheris")
DEFAULT = "directed"
_LIBRARIES = {"hypothesis": ("hypothesis", "hypothesis"), "atheris": ("atheris", "fuzz")}


@dataclass(frozen=True, slots=True)
class Source:
    """What programs are for: *words* and *qemu* name the target, *limits* are what there is of it after all options."""

    words: str
    qemu: str
    seed: int
    mode: str
    limits: Limits
    runs: int | None = None
    avoid: frozenset[str] = frozenset()
    version: str = spec.VERSIONS[-1]
    strict: bool = False


class Engine(Protocol):
    """One source of programs."""

    drawn: int  # programs made so far; those that it ran itself, too
    over: bool  # whether none will follow
    apart: bool  # whether it runs programs by itself, and only hands over those that fail
    used: int  # buffers used by those, and the layouts and features that they had, since somebody took note
    shapes: list[tuple[str, int]]

    def next(self) -> Program | None:
        """The next program, whose number was ``drawn`` before; None if there is none yet."""
        ...

    def ran(self, program: Program, outcome: Outcome) -> None:
        """What came of it."""
        ...

    def close(self) -> None:
        """Let go of everything. Never raises."""
        ...


def check(name: str) -> None:
    """See that the engine *name* can be used. Raises UsageTrouble, EnvironmentTrouble: one line."""
    if name not in NAMES:
        raise UsageTrouble(f"no engine is called {name!r}; there are {', '.join(NAMES)}")
    library, extra = _LIBRARIES.get(name, ("", ""))
    if library:
        from importlib.util import find_spec

        if find_spec(library) is None:
            raise EnvironmentTrouble(
                f"the engine {name} needs the Python package {library}, which is not installed: "
                f"pip install 'vqfuzz[{extra}]'"
            )


def make(name: str, source: Source) -> Engine:
    """The engine *name*."""
    check(name)
    if name == "hypothesis":
        from fuzz.engines.examples import Examples

        return Examples(source)
    if name == "atheris":
        from fuzz.engines.libfuzzer import LibFuzzer

        return LibFuzzer(source)
    from fuzz.engines import plain

    return {"directed": plain.Directed, "random": plain.Plain, "state": plain.States}[name](source)
