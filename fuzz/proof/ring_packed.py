"""Rules of packed rings, and of all rings as they show on packed ones: (rule, layout, fault of the model) each."""

from __future__ import annotations

ROWS: tuple[tuple[str, str, str], ...] = ()
