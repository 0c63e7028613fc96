"""A libFuzzer harness for tests: the process named in ECHO is asked about each input, and its code guides the search.

Ends with exit status 42 when the process has looked as deep as it can.
"""

from __future__ import annotations

import os
import subprocess
import sys

import atheris

from fuzz.coverage.libfuzzer import Registered
from fuzz.targets.counters import VARIABLE, SharedCounters


def main() -> None:
    """Fuzz with the arguments of the command line."""
    counters = SharedCounters()
    counters.wanted = True
    environment = {**os.environ, VARIABLE: f"fd:{counters.descriptor}"}
    child = subprocess.Popen([os.environ["ECHO"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                             env=environment, pass_fds=[counters.descriptor])  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    taken, given = child.stdin, child.stdout
    taken.write(bytes(16))
    given.read(1)  # it runs
    registered = Registered(counters)

    def one_input(data: bytes) -> None:
        registered.begin()
        taken.write(data[:16].ljust(16, b"\0"))
        answer = given.read(1)
        registered.replay()
        if answer == b"2":
            os._exit(42)

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
