"""Programs that bytes choose: always valid, always within limits, always the same."""

from fuzz.harness import start, texts
from fuzz.harness.raising import report

MODULES = ("fuzz.choices", "fuzz.generate", "fuzz.device_draws", "fuzz.fitting")


def TestOneInput(data: bytes) -> None:
    """One input."""
    found = texts.program_bytes(data)
    if found is not None:
        report(found)


if __name__ == "__main__":
    start.start(TestOneInput, MODULES)
