"""Programs on the reference device with a split ring: whatever we do, nobody is accused, and nothing fails."""

from dataclasses import replace

from fuzz.harness import start
from fuzz.harness.programs import Programs
from fuzz.harness.raising import report

PROGRAMS = Programs("model", lambda limits: replace(limits, layouts=("split",)))


def TestOneInput(data: bytes) -> None:
    """One input."""
    found = PROGRAMS.look(data)
    if found is not None:
        report(found)


if __name__ == "__main__":
    start.start(TestOneInput, start.DEVICE, PROGRAMS)
