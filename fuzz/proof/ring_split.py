"""Rules of split rings, and of all rings as they show on split ones: (rule, layout, fault of the model) each."""

from __future__ import annotations

ROWS: tuple[tuple[str, str, str], ...] = ()
