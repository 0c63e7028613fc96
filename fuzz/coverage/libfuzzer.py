"""Counters of another process as libFuzzer's own: it clears them before an input, and reads them behind it.

libFuzzer is told of them as of a module that was loaded: a table of counters, and a table of as many places.
Comparisons are replayed through the hooks that instrumented code calls, so that its dictionary learns what the other
process looks for. Knows the core that atheris brings along. Must not know what a harness does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path

from fuzz.targets.counters import Compared, Counted, Counters
from fuzz.trouble import EnvironmentTrouble

_PROBE = "LLVMFuzzerRunDriver"  # what tells a process or a library that has libFuzzer in it
_HOOK = "__sanitizer_cov_trace_cmp{}"
MOST = 64
"""Comparisons replayed for one input: more would cost more than they tell."""
_WIDTHS = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}


class _Place(ctypes.Structure):
    """A row of the table of places: an address, and whether a function begins there."""

    _fields_ = (("address", ctypes.c_size_t), ("flags", ctypes.c_size_t))


def register(target: object) -> Registered | None:
    """What *target* counts, told to libFuzzer; None if it does not count. It must have been started.

    Raises EnvironmentTrouble if there is no libFuzzer.
    """
    counters = target.counters() if isinstance(target, Counted) else None
    return None if counters is None else Registered(counters)


class Registered:
    """*counters*, of which libFuzzer knows from now on, for as long as this process lives.

    Call before ``atheris.Fuzz()``, when the target has begun to count: the places that it has by then are told, as
    libFuzzer has no room for more later. In a harness: begin() before each input, replay() behind it.
    Raises EnvironmentTrouble if there is no libFuzzer.
    """

    def __init__(self, counters: Counters) -> None:
        core = core_library()
        self.counters = counters
        self._hooks = {width: getattr(core, _HOOK.format(width)) for width in _WIDTHS}
        for width, hook in self._hooks.items():
            hook.argtypes, hook.restype = (_WIDTHS[width], _WIDTHS[width]), None
        self._map = (ctypes.c_uint8 * len(counters.memory)).from_buffer(counters.memory)
        self._tables = [self._tell(core, start, length) for start, length in counters.places()]

    def _tell(self, core: ctypes.CDLL, start: int, length: int) -> ctypes.Array[_Place]:
        """One run of counters, and a table of places that are nowhere: only their number matters."""
        # by name, since a name of two underscores is another one inside of a class
        counters, places = (
            getattr(core, name) for name in ("__sanitizer_cov_8bit_counters_init", "__sanitizer_cov_pcs_init")
        )
        for function in (counters, places):
            function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_void_p), None
        first = ctypes.addressof(self._map) + start
        table = (_Place * length)()
        for number, row in enumerate(table):
            row.address = first + number + 1
        counters(first, first + length)
        places(ctypes.addressof(table), ctypes.addressof(table) + ctypes.sizeof(table))
        return table

    def begin(self) -> None:
        """An input begins: comparisons made before are none of its own. The counters libFuzzer clears itself."""
        self.counters.forget()

    def replay(self) -> int:
        """Tell libFuzzer of the last comparisons since begin(); how many there were."""
        return self.tell(self.counters.compared()[-MOST:])

    def tell(self, compared: Iterable[Compared]) -> int:
        """Tell libFuzzer of these comparisons; how many there were."""
        count = 0
        for one in compared:
            self._hooks[one.size](one.left, one.right)
            count += 1
        return count


def core_library() -> ctypes.CDLL:
    """What has libFuzzer in it: this process, if it was preloaded (OSS-Fuzz does that), else the core of atheris."""
    here = ctypes.CDLL(None)
    if hasattr(here, _PROBE):
        return here
    try:
        import atheris  # late: only harnesses need it
    except ImportError:
        raise EnvironmentTrouble("the Python package atheris is not installed: pip install vqfuzz[fuzz]") from None
    folder = Path(atheris.__file__).parent
    for path in sorted(folder.glob("core_with_libfuzzer*.so")):
        core = ctypes.CDLL(str(path))
        if hasattr(core, _PROBE):
            return core
    raise EnvironmentTrouble(f"nothing in {folder} has libFuzzer in it: {_PROBE} is missing")


__all__ = ["MOST", "Registered", "register"]
