"""Pictures as shapes with coordinates, in units of about a pixel: what a template writes down as SVG.

Knows timelines and frames. Must not know HTML; colours are names of classes, and every text is data to be escaped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fuzz.report.frames import Frame, Timeline

_GUTTER = 74  # left of a timeline
_COLUMN, _WIDEST = 30, 72  # a step of a timeline: at least, at most
_CHART = 312  # as wide as a timeline gets for the sake of few steps
_ROW = 26
_WIDTH = 344  # of a ring: what fits on a phone
_PLACE = 24  # height of a place of a ring
_CHAR = 6.7  # width of a character of 11 units


@dataclass(frozen=True, slots=True)
class Shape:
    """A rectangle, line or text; *kind* names its class."""

    form: str  # rect | line | text
    kind: str
    x: float
    y: float
    width: float = 0
    height: float = 0
    text: str = ""
    title: str = ""
    anchor: str = "start"


@dataclass(slots=True)
class Drawing:
    """A picture; *title* says what it is, *words* what it shows, for those who can't see it."""

    width: int
    height: int
    title: str
    words: str
    shapes: list[Shape] = field(default_factory=list)

    def rect(self, kind: str, x: float, y: float, width: float, height: float, title: str = "") -> None:
        """Add a rectangle."""
        self.shapes.append(Shape("rect", kind, x, y, width, height, title=title))

    def text(self, kind: str, x: float, y: float, text: str, anchor: str = "start", title: str = "") -> None:
        """Add a text whose base line begins at x, y, or is centred there with *anchor* middle."""
        self.shapes.append(Shape("text", kind, x, y, text=text, title=title, anchor=anchor))

    def line(self, kind: str, x: float, y: float, to_x: float, to_y: float) -> None:
        """Add a line."""
        self.shapes.append(Shape("line", kind, x, y, to_x, to_y))


_ENDS = {
    "used": ("✓", "used"),
    "wrong": ("✗", "what is wrong is about it"),
    "due": ("◀", "is due"),
    "outstanding": ("…", "still outstanding"),
    "reset": ("↺", "gone with a reset"),
}


def timeline(told: Timeline) -> Drawing:
    """Steps from left to right; signs of driver and device above, a bar for each buffer below."""
    count = len(told.steps)
    column = max(_COLUMN, min(_WIDEST, (_CHART - _GUTTER) // max(1, count)))
    width = _GUTTER + count * column + 12
    height = 3 * _ROW + len(told.bars) * 22 + 14
    bars = "; ".join(
        f"{bar.name} from step {told.steps[bar.first]} to {told.steps[bar.last]}, {_ENDS[bar.state][1]}"
        for bar in told.bars
    )
    drawing = Drawing(width, height, "Timeline of buffers", bars or "no buffer was outstanding")
    for row, (name, signs) in enumerate(
        [("step", [(step, "") for step in told.steps]), ("driver", told.driver), ("device", told.device)]
    ):
        y = row * _ROW
        drawing.text("head", 0, y + 18, name)
        for number, (sign, words) in enumerate(signs):
            middle = _GUTTER + number * column + column / 2
            if row and sign:
                kind = "wrong" if sign == "✗" else "driver" if row == 1 else "device"
                drawing.rect(f"sign {kind}", middle - 11, y + 3, 22, 20, _clip(words, 200))
            drawing.text("number" if not row else "mark", middle, y + 17.5, sign, "middle", _clip(words, 200))
    top = 3 * _ROW + 4
    for number in range(count + 1):
        x = _GUTTER + number * column
        drawing.line("grid", x, _ROW, x, height - 6)
    for row, bar in enumerate(told.bars):
        y = top + row * 22
        left = _GUTTER + bar.first * column + (0 if bar.earlier else 6)
        right = _GUTTER + (bar.last + 1) * column - 6
        sign, words = _ENDS[bar.state]
        drawing.text(f"name {bar.state}", 0, y + 14, bar.name)
        drawing.rect(f"bar {bar.state}", left, y + 2, right - left, 16, f"{bar.name}: {words}")
        drawing.text("mark", right - 9, y + 14.5, sign, "middle", f"{bar.name}: {words}")
    return drawing


def ring(frame: Frame) -> Drawing:
    """The places of a ring from top to bottom: number, what the driver and what the device wrote, marks."""
    height = 22 + len(frame.places) * _PLACE + (16 if frame.more else 0) + 2
    wrong = f"; place {frame.wrong} is wrong" if frame.wrong >= 0 else ""
    words = ", ".join(text for _, text in frame.pointers.values()) + wrong
    drawing = Drawing(_WIDTH, height, f"Ring after step {frame.step}", words)
    heads = ((20, "slot"), (52, "driver wrote"), (186, "device wrote"))
    for x, head in heads:
        drawing.text("head", x, 14, head)
    driver, device = (frame.pointers[side][0] for side in ("driver", "device"))
    for row, place in enumerate(frame.places):
        y = 22 + row * _PLACE
        kind = "wrong" if place.number == frame.wrong else "fresh" if place.fresh and place.device else "plain"
        drawing.rect("slot driver" if place.driver else "slot plain", 48, y, 132, _PLACE - 3)
        drawing.rect(f"slot {kind}", 182, y, 160, _PLACE - 3)
        drawing.text("number", 34, y + 15, str(place.number), "middle")
        drawing.text("cell", 53, y + 15, _clip(place.driver or "·", int(124 / _CHAR)), title=place.driver)
        room = 150 if kind == "plain" else 132
        drawing.text("cell", 187, y + 15, _clip(place.device or "·", int(room / _CHAR)), title=place.device)
        if kind != "plain":
            drawing.text(f"mark {kind}", 333, y + 15.5, "✗" if kind == "wrong" else "●", "middle")
        both = driver == device
        if place.number == driver:
            drawing.text("pointer", 3, y + 11 if both else y + 15, "▸", title=frame.pointers["driver"][1])
        if place.number == device:
            drawing.text("pointer", 3, y + 20 if both else y + 15, "▹", title=frame.pointers["device"][1])
    if frame.more:
        drawing.text("head", 53, height - 6, frame.more)
    return drawing


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
