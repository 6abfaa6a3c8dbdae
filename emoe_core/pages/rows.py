"""Charts that are lists: one row per thing, with its name, a drawing as wide as there is room, and its numbers.

The drawings are inline SVG, stretched to the row's width. Lines keep their thickness and no letters are inside, so a chart
is as readable on a phone as on a wall. The numbers beside the drawings say the same to users of a screen reader.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..charts.canvas import label_of, ticks
from .markup import Content, Html, join, tag

SHOWN = 15
TALL = 24.0


@dataclass(frozen=True)
class Scale:
    """From numbers to places between 0 and 100."""

    low: float
    high: float
    unit: str = ""

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def axis(self, most: int = 6) -> Html:
        """The numbers above a chart."""
        found = ticks(self.low, self.high, most)
        step = found[1] - found[0] if len(found) > 1 else 1.0
        marks = (tag("span", label_of(t, step) + self.unit, style=f"left:{self(t)}%") for t in found)
        return tag("div", tag("div", *marks, cls="ticks"), cls="axis", aria_hidden="true")

    def grid(self, most: int = 6) -> Html:
        """Upright lines at the axis's numbers."""
        return path("grid", "".join(f"M{self(t)} 0V{TALL:g}" for t in ticks(self.low, self.high, most)))


def path(cls: str, d: str) -> Html:
    return Html(f'<path class="{cls}" d="{d}"/>')


def line(cls: str, x0: float, x1: float, y: float = TALL / 2) -> Html:
    return path(cls, f"M{x0:g} {y:g}H{x1:g}")


def dot(cls: str, x: float, y: float = TALL / 2) -> Html:
    """A line without length and with round ends, which stays round however the drawing is stretched."""
    return path(f"dot {cls}", f"M{x:g} {y:g}h0")


def bar(cls: str, x0: float, x1: float, low: float = 6.0, high: float = TALL - 6.0) -> Html:
    return path(cls, f"M{x0:g} {low:g}H{x1:g}V{high:g}H{x0:g}Z")


def drawing(*parts: Html) -> Html:
    return Html(
        f'<svg class="strip" viewBox="0 0 100 {TALL:g}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f"{''.join(parts)}</svg>"
    )


def row(title: Sequence[Content], picture: Html, *numbers: Content) -> Html:
    """One row."""
    told = tag("span", *numbers, cls="numbers")
    return tag("li", tag("span", *title, cls="title"), picture, told, cls="row")


def chart(rows: Sequence[Html], scale: Scale, *legend: Content, more: Callable[[int], Content]) -> Html:
    """Rows below an axis; rows beyond `SHOWN` are folded away under what `more` says of their number."""
    head = join(tag("p", *legend, cls="legend") if legend else "", scale.axis())
    shown = tag("ul", *rows[:SHOWN], cls="rows")
    if len(rows) <= SHOWN + 3:
        return tag("div", head, tag("ul", *rows, cls="rows"), cls="chart")
    folded = tag("summary", more(len(rows) - SHOWN))
    tail = tag("details", folded, scale.axis(), tag("ul", *rows[SHOWN:], cls="rows"), cls="tail")
    return tag("div", head, shown, tail, cls="chart")


def key(cls: str, text: Content) -> Html:
    """An entry of a legend."""
    return tag("span", tag("i", cls=f"key {cls}"), text, cls="entry")
