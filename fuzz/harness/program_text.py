"""Program text: what is read is written and read as the same again, and what is refused is refused in one line."""

from fuzz.harness import start, texts
from fuzz.harness.lines import Lines
from fuzz.harness.raising import report

MODULES = ("fuzz.reader", "fuzz.words", "fuzz.encoding", "fuzz.device_reader", "fuzz.wild_reader")


def TestOneInput(data: bytes) -> None:
    """One input."""
    found = texts.program_text(data)
    if found is not None:
        report(found)


if __name__ == "__main__":
    start.start(TestOneInput, MODULES, Lines("program_text"))
