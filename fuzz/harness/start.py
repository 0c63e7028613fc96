"""From an entry to libFuzzer: what is instrumented, which flags are given, who mutates.

Of our code only the oracles' is instrumented for programs, and of a parser the modules that it is made of: more
would cost several times the time for places that say nothing. Knows the library; the only module that does, so that
nothing else needs it. Must not know what a harness looks for.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Protocol

from fuzz.coverage.libfuzzer import core_library
from fuzz.harness.lines import Lines
from fuzz.trouble import TARGET

INSTRUMENT = "VQFUZZ_INSTRUMENT"
"""The variable that says what is instrumented: on (default), or off: nothing but the entry itself."""
MUTATOR = "VQFUZZ_MUTATOR"
"""The variable that says who mutates: on (default) we do, or off: libFuzzer mutates bytes."""
SELF = "VQFUZZ_SELF"
"""The variable that names the program which starts this harness, if it isn't argv[0]."""
MISSING = "the library atheris is not installed; get it with: pip install 'vqfuzz[fuzz]'"
_LONGEST = 1 << 16  # bytes of an input: the text of a program of some two hundred steps is a quarter of that
#: Flags unless given otherwise. Inputs must not begin small: the text of a program has a hundred bytes at least.
_FLAGS = {"-max_len": str(_LONGEST), "-len_control": "0", "-rss_limit_mb": "2560", "-timeout": "25"}
#: What starts argv[0] again, and comes to nothing, silently, if that is no program.
_AGAIN = ("-merge", "-set_cover_merge", "-fork", "-jobs", "-minimize_crash", "-cleanse_crash")
_ORACLES = (
    "oracles.model oracles.split oracles.packed oracles.split_rings oracles.packed_rings oracles.announcing "
    "oracles.beside oracles.locating oracles.asking oracles.order_rules oracles.split_rules oracles.packed_rules "
    "oracles.device_rules oracles.queue_oracle oracles.oracle oracles.poked"
).split()
_DRIVER_ORACLES = (
    "oracles.exposing oracles.split_driver oracles.packed_driver oracles.driver_asking oracles.driver_rules "
    "oracles.split_driver_rules oracles.packed_driver_rules oracles.driver_oracle oracles.upper_half oracles.mirror"
).split()
#: What is instrumented for which kind of harness.
DEVICE, DRIVER = tuple(_ORACLES), (*_DRIVER_ORACLES, *_ORACLES)

Test = Callable[[bytes], None]


class Mutating(Protocol):
    """Who makes inputs of inputs."""

    def mutate(self, data: bytes, most: int, seed: int) -> bytes:
        """Another input, of at most so many bytes."""
        ...

    def cross(self, first: bytes, second: bytes, most: int, seed: int) -> bytes:
        """An input made of two, of at most so many bytes."""
        ...


def available() -> bool:
    """Whether the library is installed."""
    try:
        import atheris
    except ImportError:
        return False
    return bool(atheris)


def functions(module: ModuleType) -> list[FunctionType]:
    """Every function that is defined in *module*, and every method of its classes."""
    found: list[FunctionType] = []
    classes = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    for space in (vars(module), *map(vars, classes)):
        for value in space.values():
            inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if isinstance(inner, FunctionType) and inner.__module__ == module.__name__:
                found.append(inner)
    return list(dict.fromkeys(found))


def instrument(modules: Sequence[str], test: Test, operands: bool) -> int:
    """Put counters into the functions of *modules* and into *test*; returns how many functions have some now.

    *operands*: what is compared is told to libFuzzer, too, which tries it in inputs: of use where it mutates bytes.
    """
    import atheris

    chosen = [test] if isinstance(test, FunctionType) else []
    if os.environ.get(INSTRUMENT, "on") != "off":
        for name in modules:
            chosen += functions(import_module(name))
    for one in chosen:
        one.__code__ = atheris.patch_code(one.__code__, operands)
    return len(chosen)


class Bank:
    """Counters of libFuzzer's for what is not code: numbers of any size, several of which may share a counter.

    Made before start().
    """

    def __init__(self, size: int) -> None:
        import atheris

        self._library = atheris
        first = atheris._reserve_counter()
        for _ in range(size - 1):
            atheris._reserve_counter()
        self._first, self._size = first, size

    def reach(self, features: Iterable[int]) -> None:
        """These were reached by the input that runs."""
        first, size = self._first, self._size
        bump = self._library._trace_branch  # another one once libFuzzer is there
        for feature in features:
            bump(first + (feature * 0x9E3779B1 >> 7) % size)


def end_with_parent(parent: int) -> None:
    """End when the process *parent* does, which has started this one."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit(0)


def bytewise(data: bytes, most: int) -> bytes:
    """*data* as libFuzzer would mutate it by itself, with what it has learnt of operands; only while it fuzzes."""
    mutate = core_library().LLVMFuzzerMutate  # what the library offers for this believes that nothing fuzzes
    room = ctypes.create_string_buffer(data[:most], most)
    return room.raw[: mutate(room, ctypes.c_size_t(min(len(data), most)), ctypes.c_size_t(most))]


def arguments(given: Sequence[str]) -> list[str]:
    """The command line with our flags where it has none of these. Exits if it would come to nothing."""
    names = {word.partition("=")[0] for word in given}
    if not names.isdisjoint(_AGAIN) and not os.stat(given[0]).st_mode & stat.S_IXUSR:
        which = next(name for name in _AGAIN if name in names)
        fail(f"{which} starts {given[0]} again, which is no program; use scripts/harness-run, which is one", 2)
    return [*given, *(f"{name}={value}" for name, value in _FLAGS.items() if name not in names)]


def fail(message: str, code: int) -> None:
    """One line, and the end."""
    sys.stderr.write(f"vqfuzz: {message}\n")
    sys.exit(code)


def start(test: Test, modules: Sequence[str], mutating: Mutating | None = None) -> None:
    """Fuzz *test* as the command line says. Never returns: libFuzzer ends the process."""
    if not available():
        fail(MISSING, TARGET)
    import atheris

    ours = mutating is not None and os.environ.get(MUTATOR, "on") != "off"
    if isinstance(mutating, Lines):
        mutating.bytewise = bytewise
    instrument(modules, test, not ours or isinstance(mutating, Lines))
    words = arguments([os.environ.get(SELF, sys.argv[0]), *sys.argv[1:]])
    if mutating is None or not ours:
        atheris.Setup(words, test)
    else:
        atheris.Setup(words, test, custom_mutator=mutating.mutate, custom_crossover=mutating.cross)
    atheris.Fuzz()
