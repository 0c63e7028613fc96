"""What all reports ask of a result: does it fail, is it accepted, where is it told, in which chapter does it stand.

Knows results. Must not know any format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fuzz import results
from fuzz.results import PHASES, Result, Run
from oracles import spec

ACCEPTED = "accepted"
#: Columns of a summary: the statuses, with what was accepted apart.
KINDS = (results.PASSED, results.REJECTED, results.WEDGED, results.FAILED, results.UNDECIDED, ACCEPTED,
         results.NOT_OFFERED)  # fmt: skip
BAD = (results.FAILED, results.WEDGED)
VHOST_USER = "vhost-user"
_SMALLEST = "minimal.vq"  # in a find's folder

_CHAPTERS = {
    "2.1": "Device Status Field",
    "2.2": "Feature Bits",
    "2.3": "Notifications",
    "2.4": "Device Reset",
    "2.5": "Device Configuration Space",
    "2.6": "Virtqueues",
    "2.7": "Split Virtqueues",
    "2.8": "Packed Virtqueues",
    "2.9": "Driver Notifications",
    "3.1": "Device Initialization",
    "3.2": "Device Operation",
    "3.3": "Device Cleanup",
    "3.4": "Device Suspend",
    "4.1": "Virtio Over PCI Bus",
    "4.2": "Virtio Over MMIO",
    "5": "Device Types",
    "6": "Reserved Feature Bits",
}
#: 1.1 has no chapter on resets, so the others stand one earlier.
_CHAPTERS_1_1 = _CHAPTERS | {
    "2.4": "Device Configuration Space",
    "2.5": "Virtqueues",
    "2.6": "Split Virtqueues",
    "2.7": "Packed Virtqueues",
    "2.8": "Driver Notifications",
}
_PHASES = {
    "boundary": "Boundaries",
    "corpus": "Corpus",
    "fuzz": "Generated programs",
    "hostile": "Hostile input",
}


def fails(result: Result) -> bool:
    """Whether it makes the run fail."""
    return result.status in BAD and result.new


def accepted(result: Result) -> bool:
    """Whether it would make the run fail, were it not known."""
    return result.status in BAD and not result.new


def warns(result: Result) -> bool:
    """Whether a report is made of it that fails nothing: a SHOULD without --strict, something suspicious."""
    return result.status == results.PASSED and bool(result.report)


def kind(result: Result) -> str:
    """One of KINDS."""
    return ACCEPTED if accepted(result) else result.status


def count(found: Iterable[Result]) -> Counter[str]:
    """How many there are of each kind."""
    return Counter(kind(result) for result in found)


def lacking(found: Iterable[Result]) -> Counter[str]:
    """Why results were not looked at: reasons, and of how many."""
    return Counter(sentence(one) for one in found if one.status == results.NOT_OFFERED)


def sentence(result: Result) -> str:
    """What happened, in one line; never empty."""
    said = " ".join(printable(result.message).split()) or result.title or result.status
    return said + (f" (seen {result.also + 1} times)" if result.also else "")


def printable(text: str) -> str:
    """*text* with what would steer a terminal shown as an escape; a target's last words may have it."""
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else " " if sign == "\r" else f"\\x{ord(sign):02x}"
        for sign in text
    )


def number(result: Result) -> str:
    """The one section number or title that it stands under; of «split, packed» that of its layout. May be ''."""
    parts = result.section.split(", ")
    if not parts[0][:1].isdecimal():
        return result.section
    return parts[-1] if result.layout == spec.PACKED else parts[0]


def chapter(result: Result) -> str:
    """A chapter's number such as 2.7, or vhost-user, or a phase, for what stands under no section."""
    section = number(result)
    if not section:
        return result.phase
    if not section[0].isdecimal():
        return VHOST_USER
    parts = section.split(".")
    return parts[0] if parts[0] in ("5", "6") else ".".join(parts[:2])


def heading(name: str, version: str) -> str:
    """A chapter's number and title by that version of VIRTIO, or a phase in words."""
    if name == VHOST_USER:
        return "vhost-user protocol"
    if name in PHASES:
        return _PHASES.get(name, "Conformance")
    title = (_CHAPTERS_1_1 if version == "1.1" else _CHAPTERS).get(name, "")
    return f"{name} {title}".rstrip()


def by_chapter(run: Run) -> dict[str, list[Result]]:
    """All results by chapter, in the order of the specification; then vhost-user, then phases."""
    chapters: dict[str, list[Result]] = {}
    for result in run.results:
        chapters.setdefault(chapter(result), []).append(result)
    return {name: chapters[name] for name in sorted(chapters, key=_place)}


def _place(name: str) -> tuple[int, list[int]]:
    if name[:1].isdecimal():
        return 0, [int(part) for part in name.split(".")]
    if name == VHOST_USER:
        return 1, []
    return 2, [PHASES.index(name) if name in PHASES else len(PHASES)]


def file_of(result: Result) -> str:
    """The smallest program's file: in the find's folder, or of the corpus of rules, or what a later phase calls it."""
    if result.find.endswith((".vq", ".vqtrace")):
        return result.find
    if result.find:
        return f"{result.find.rstrip('/')}/{_SMALLEST}"
    if result.phase == PHASES[0]:  # a rule was looked at; which one, its name says
        return f"corpus/rules/{result.name.partition('/')[0]}.{result.layout or 'both'}.vq"
    name = result.name.strip("/")
    return name if name.endswith(".vq") else f"{result.phase}/{name}.vq"


def what(run: Run) -> str:
    """The target with its version, for headings."""
    version = run.describe.get("version", "")
    return f"{run.target} ({version})" if version else run.target
