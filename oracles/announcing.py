"""Whether a used buffer notification is due: what either layout's reader keeps about it (2.7.7, 2.8.10).

Knows when a driver may insist on being told, and when it may not. What a use asks for, and by which
words, is the layout's business.
"""

from __future__ import annotations

from oracles.model import Buffer, Case, Virtqueue

WHY = {
    "flags": "our suppression flags ask for one after every use",
    "event": "the event index was passed",
    "batch": "the event index was passed inside a batch",
}
"""Why a notification is due, in words."""


class Announcing:
    """The notifying half of a reader.

    ``done`` collects the buffers found used, for whoever scans them; ``lint`` what is suspicious and
    legal; ``due`` why a notification is owed and has not been heard, or ''; ``exact``: observations
    come from a store log, in the order in which things happened.
    """

    def __init__(self, queue: Virtqueue, event_idx: bool) -> None:
        self.queue = queue
        self.event_idx = event_idx
        self.done: list[Buffer] = []
        self.lint: list[Case] = []
        self.due = ""
        self.credit = False  # a notification was heard before what it announces was seen
        self.ambiguous = False  # our suppression words changed and we have not looked since
        self.exact = False
        self.flags = 0  # our suppression words
        self.event = 0

    def suppress(self, flags: int, event: int) -> None:
        """Our words changed: a notification that is due may now be withheld rightly."""
        self.flags, self.event = flags, event
        self.due = ""
        self.ambiguous = not self.exact

    def called(self) -> None:
        """A notification was heard: for what was due, or for what the next look will show."""
        if self.exact and not self.due:
            unwanted = self.unwanted()
            if unwanted:
                case = Case("spurious", self.queue)
                case.what = unwanted
                self.lint.append(case)
        self.due = ""
        self.credit = not self.exact

    def unwanted(self) -> str:
        """What says that a notification with nothing due is one that we asked not to get; '': nothing does."""
        return ""

    def rechecked(self) -> None:
        """The driver has looked: what is used from here on is used under the present words, and not yet announced."""
        self.ambiguous = self.credit = False

    def owe(self, why: str) -> None:
        """A use asked for a notification."""
        if not self.credit:
            self.due = self.due or why
