"""Programs as a Hypothesis strategy, for test suites of one's own.

One ``st.binary()`` is drawn and decoded, which is twenty times as fast as drawing steps one by one and
goes where the directed generator goes. Knows Hypothesis' strategies, which ``fuzz.engines.examples`` runs. Must not
know targets.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from fuzz.choices import Bytes, Choices
from fuzz.generate import program
from fuzz.program import Limits, Program

#: Choices beyond these bytes come from their checksum, so longer inputs would only shrink more slowly.
MOST_BYTES = 400

#: More decisions than nearly all programs take.
MOST_CHOICES = 1000


class Limited:
    """So many choices of another source, then always the lowest, at which every generator stops.

    Hypothesis shrinks by making its input smaller. Fewer bytes alone would mean another program, not a
    smaller one; fewer choices mean the beginning of the same.
    """

    def __init__(self, choices: Choices, most: int) -> None:
        self._integer = choices.integer
        self._left = most

    def integer(self, low: int, high: int) -> int:
        """A number in low..high."""
        if not self._left:
            return low
        self._left -= 1
        return self._integer(low, high)


def programs(
    limits: Limits | None = None, layout: str | None = None, in_order: bool | None = None
) -> st.SearchStrategy[Program]:
    """Programs within *limits*; *layout* and *in_order* narrow them down further.

    Hypothesis shortens a failing program at its end; ``fuzz.shrink.shrink`` also makes its beginning small.
    """
    drawn = limits or Limits()
    if layout is not None:
        drawn = replace(drawn, layouts=(layout,))
    if in_order is not None:
        drawn = replace(drawn, in_order=(in_order,))
    return st.builds(
        lambda most, data: program(Limited(Bytes(data), most), drawn),
        st.integers(0, MOST_CHOICES),
        st.binary(max_size=MOST_BYTES),
    )
