"""Rules that other queues or failing requests tell, as they show on packed rings: (rule, layout, fault) each."""

from __future__ import annotations

ROWS: tuple[tuple[str, str, str], ...] = (
    ("INO-PER-QUEUE", "packed", "waits-for-other-queues"),
    ("INO-OFFER", "packed", "second-queue-unordered"),
    ("INO-ERR", "packed", "failed-ahead"),
)
