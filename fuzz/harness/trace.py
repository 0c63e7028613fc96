"""Trace text: written and read it is the same again; and no oracle fails on any trace, whatever it says."""

from fuzz.harness import start, texts
from fuzz.harness.lines import Lines
from fuzz.harness.raising import report

MODULES = (
    "oracles.trace",
    "oracles.oracle",
    "oracles.queue_oracle",
    "oracles.split",
    "oracles.packed",
    "oracles.driver_oracle",
)


def TestOneInput(data: bytes) -> None:
    """One input."""
    found = texts.trace_text(data)
    if found is not None:
        report(found)


if __name__ == "__main__":
    start.start(TestOneInput, MODULES, Lines("trace"))
