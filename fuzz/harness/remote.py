"""Programs on a target in another process, named by VQFUZZ_REMOTE, such as exec:'./my-backend --socket {socket}'.

Where that process shares its counters (``vqfuzz cov-runtime``), libFuzzer sees them as its own; else this is blind.
"""

import os

from fuzz.harness import start
from fuzz.harness.programs import Programs
from fuzz.harness.raising import report

TARGET = "VQFUZZ_REMOTE"
PROGRAMS = Programs(os.environ.get(TARGET, ""))


def TestOneInput(data: bytes) -> None:
    """One input."""
    found = PROGRAMS.look(data)
    if found is not None:
        report(found)


if __name__ == "__main__":
    if not PROGRAMS.words:
        start.fail(f"no target: {TARGET} must name one, such as exec:'./my-backend --socket {{socket}}'", 2)
    # What starts there must not be bound to the fuzzer's own library, nor look for libraries where we do.
    for name in ("LD_PRELOAD", "LD_LIBRARY_PATH"):
        os.environ.pop(name, None)
    try:
        PROGRAMS.counted()
    except Exception as error:  # whatever is wrong with it is said in one line
        start.fail(str(error), 3)
    start.start(TestOneInput, (), PROGRAMS)
