"""What reports are made of: baselines, lists of known deviations, find.json, events."""

from fuzz.harness import start, texts
from fuzz.harness.lines import Lines
from fuzz.harness.raising import report

MODULES = ("fuzz.baseline", "fuzz.deviations", "fuzz.finds", "fuzz.report.jsonl")


def TestOneInput(data: bytes) -> None:
    """One input."""
    found = texts.report_inputs(data)
    if found is not None:
        report(found)


if __name__ == "__main__":
    start.start(TestOneInput, MODULES, Lines("report_inputs"))
