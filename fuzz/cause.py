"""Why a process ended, from what it printed: sanitizers' reports, failed assertions, panics; and how bad that is.

Knows the forms of these texts. Must not know processes or programs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MEMORY, CRASH, HANG, WEDGED, REJECTED = SEVERITIES = (
    "memory safety",
    "crash",
    "hang",
    "wedged",
    "rejected cleanly",
)

#: what is memory safety in a sanitizer's words; the rest of what it says is a crash
_UNSAFE = re.compile(
    r"overflow|use-after|use of uninit|uninitialized|double-free|bad-free|invalid-free|SEGV|BUS|wild|"
    r"container-overflow|stack-buffer|heap-buffer|global-buffer|dynamic-stack|memcpy-param-overlap|"
    r"misaligned address|null pointer|insufficient space|data race|out of bounds",
    re.IGNORECASE,
)
_NOT_UNSAFE = re.compile(r"signed integer overflow|stack-overflow", re.IGNORECASE)
_LINES = (
    re.compile(r"(?:ERROR|WARNING): (?:Address|Memory|Thread|Leak|HWAddress)Sanitizer: .*"),
    re.compile(r"\S+:\d+:\d+: runtime error: .*"),
    re.compile(r"thread '.*' (?:\(\d+\) )?panicked at .*"),
    re.compile(r".*: Assertion [`'].*' failed\.?"),
    re.compile(r"(?:.*:)?ERROR:\S+:\d+:.*(?:assertion failed|should not be reached).*"),
    re.compile(r"\*\*\* (?:stack smashing|buffer overflow) detected \*\*\*.*"),
    re.compile(r"(?:malloc|free|realloc|corrupted|munmap_chunk|double free)\b.*(?:invalid|corrupt|size|list|top).*"),
    re.compile(r"PANIC in .*|.*: Bad ram offset .*|qemu: fatal: .*"),
)
_HEAP = re.compile(r"\*\*\* |^(?:malloc|free|realloc|corrupted|munmap_chunk|double free)\b")
_FRAME = re.compile(r"^\s*#\d+ 0x[0-9a-f]+ (?:in )?(.*)")
#: frames of the run-time libraries: whoever called them is who did it
_FOREIGN = re.compile(
    r"^(?:__(?:asan|interceptor|sanitizer|ubsan|msan|tsan|lsan|GI_|libc|pthread)|_*(?:mem|str|wcs)[a-z_]+\b|malloc\b|"
    r"free\b|calloc\b|realloc\b|abort\b|raise\b|operator |g_|_start\b)|sanitizer_common|/(?:libasan|libc)\b|libc\.so"
)


@dataclass(frozen=True, slots=True)
class Cause:
    """*line*: what was reported; *frame*: the first function of the program's own in it, or ''; *unsafe*: whether
    memory was misused."""

    line: str
    frame: str = ""
    unsafe: bool = False

    def __str__(self) -> str:
        return f"{self.line} in {self.frame}" if self.frame else self.line

    @property
    def key(self) -> str:
        """The same for the same defect: without addresses, process numbers, sizes."""
        text = re.sub(r"0x[0-9a-f]+|==\d+==|\b(?:pid|T)\d+\b|\(\d+\)", "", str(self))
        return " ".join(re.sub(r"\b\d{3,}\b", "N", text).split())


def find(text: str) -> Cause | None:
    """The last report in *text*, what a process printed; None if there is none."""
    lines = text.splitlines()
    for at in range(len(lines) - 1, -1, -1):
        for pattern in _LINES:
            match = pattern.search(lines[at])
            if match is not None:
                line = match.group().strip()
                unsafe = bool(_HEAP.search(line) or (_UNSAFE.search(line) and not _NOT_UNSAFE.search(line)))
                unsafe = unsafe and ("Sanitizer" in line or "runtime error" in line or bool(_HEAP.search(line)))
                return Cause(line, _frame(lines[at + 1 :]), unsafe)
    return None


def _frame(lines: list[str]) -> str:
    """The first frame of the first stack that is not a library's."""
    started = False
    for line in lines[:40]:
        match = _FRAME.match(line)
        if match is None:
            if started:
                break
            continue
        started = True
        words = match.group(1).strip()
        if not _FOREIGN.search(words):
            return re.sub(r" \(BuildId.*\)|\+0x[0-9a-f]+", "", words)
    return ""


_BAD_SIGNALS = ("SIGSEGV", "SIGBUS", "SIGILL")


def of_crash(reason: str, cause: Cause | None) -> str:
    """How bad an end is: *reason* says by which signal."""
    if cause is not None and cause.unsafe:
        return MEMORY
    if cause is None or "Sanitizer" not in cause.line:
        return MEMORY if any(signal in reason for signal in _BAD_SIGNALS) else CRASH
    return CRASH
