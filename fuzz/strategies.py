"""Programs as a Hypothesis strategy, for test suites of one's own.

One ``st.binary()`` is drawn and decoded, which is twenty times as fast as drawing steps one by one and
goes where the directed generator goes. Knows Hypothesis; the only module that does. Must not know targets.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from fuzz.encoding import from_bytes
from fuzz.program import Limits, Program

#: Choices beyond these bytes come from their checksum, so longer inputs would only shrink more slowly.
MOST_BYTES = 400


def programs(
    limits: Limits | None = None, layout: str | None = None, in_order: bool | None = None
) -> st.SearchStrategy[Program]:
    """Programs within *limits*; *layout* and *in_order* narrow them down further."""
    drawn = limits or Limits()
    if layout is not None:
        drawn = replace(drawn, layouts=(layout,))
    if in_order is not None:
        drawn = replace(drawn, in_order=(in_order,))
    return st.binary(max_size=MOST_BYTES).map(lambda data: from_bytes(data, drawn))
