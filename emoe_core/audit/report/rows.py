"""Charts that are lists: one row per group, with its name, a drawing as wide as there is room, and its numbers.

The drawings are inline SVG, stretched to the row's width. Lines keep their thickness and no letters are inside, so a chart
is as readable on a phone as on a wall. The numbers beside the drawings say the same to users of a screen reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...charts.canvas import label_of, ticks
from ..result import Distribution, GroupStats
from .markup import Content, Html, join, tag
from .names import Names
from .wording import say, whole

SHOWN = 15
_TALL = 24.0


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
        return path("grid", "".join(f"M{self(t)} 0V{_TALL:g}" for t in ticks(self.low, self.high, most)))


def path(cls: str, d: str) -> Html:
    return Html(f'<path class="{cls}" d="{d}"/>')


def line(cls: str, x0: float, x1: float, y: float = _TALL / 2) -> Html:
    return path(cls, f"M{x0:g} {y:g}H{x1:g}")


def dot(cls: str, x: float, y: float = _TALL / 2) -> Html:
    """A line without length and with round ends, which stays round however the drawing is stretched."""
    return path(f"dot {cls}", f"M{x:g} {y:g}h0")


def bar(cls: str, x0: float, x1: float, low: float = 6.0, high: float = _TALL - 6.0) -> Html:
    return path(cls, f"M{x0:g} {low:g}H{x1:g}V{high:g}H{x0:g}Z")


def drawing(*parts: Html) -> Html:
    return Html(
        f'<svg class="strip" viewBox="0 0 100 {_TALL:g}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f"{''.join(parts)}</svg>"
    )


def row(names: Names, column: str, value: str, picture: Html, *numbers: Content, rank: int | None = None) -> Html:
    """One group's row."""
    code = names.code(column, value)
    name = tag("bdi", names.group(column, value), cls="name")
    title = [tag("span", name, tag("small", " ", code) if code else "")]
    if rank is not None:
        title.insert(0, tag("span", str(rank), cls="rank"))
    told = tag("span", *numbers, cls="numbers")
    return tag("li", tag("span", *title, cls="title"), picture, told, cls="row")


def chart(rows: Sequence[Html], scale: Scale, *legend: Content) -> Html:
    """Rows below an axis; rows beyond `SHOWN` are folded away."""
    head = join(tag("p", *legend, cls="legend") if legend else "", scale.axis())
    shown = tag("ul", *rows[:SHOWN], cls="rows")
    if len(rows) <= SHOWN + 3:
        return tag("div", head, tag("ul", *rows, cls="rows"), cls="chart")
    more = tag("summary", say("more_groups", count=whole(len(rows) - SHOWN)))
    tail = tag("details", more, scale.axis(), tag("ul", *rows[SHOWN:], cls="rows"), cls="tail")
    return tag("div", head, shown, tail, cls="chart")


def key(cls: str, text: Content) -> Html:
    """An entry of a legend."""
    return tag("span", tag("i", cls=f"key {cls}"), text, cls="entry")


def tone(group: GroupStats, reference: bool) -> str:
    """The colour class of a group."""
    return "reference" if reference else {"higher": "higher", "lower": "lower"}.get(group.finding, "none")


def score_scale(bins: Sequence[float], groups: Sequence[GroupStats]) -> Scale:
    """The scores' axis: the bins, without the parts of the outer ones that only reach out to extreme scores."""
    if len(bins) > 3:
        step = bins[2] - bins[1]
        return Scale(bins[1] - step, bins[-2] + step)
    known = [g.score for g in groups if g.score]
    return Scale(min(d.minimum for d in known), max(d.maximum for d in known)) if known else Scale(0, 1)


def spread(found: Distribution, bins: Sequence[float], scale: Scale, cls: str) -> Html:
    """Histogram as a hill, quartiles as a bar, the middle 90 % as a line, the median as a dot."""
    hill = ""
    heights = smoothed(found.histogram)
    top = max(heights, default=0.0)
    if top:
        points = [
            (scale((a + b) / 2), _TALL - 2 - (_TALL - 4) * height / top)
            for a, b, height in zip(bins, bins[1:], heights, strict=False)
        ]
        first, last = scale(bins[0]), scale(bins[-1])
        hill = f"M{first:g} {_TALL - 2:g}" + "".join(f"L{x:g} {y:.1f}" for x, y in points) + f"L{last:g} {_TALL - 2:g}Z"
    middle = _TALL - 6
    return join(
        path(f"hill {cls}", hill),
        line(f"whisker {cls}", scale(found.q05), scale(found.q95), middle),
        line(f"box {cls}", scale(found.q25), scale(found.q75), middle),
        dot(cls, scale(found.median), middle),
    )


def smoothed(counts: Sequence[int]) -> list[float]:
    """The histogram smoothed with a triangle kernel, wider for fewer prompts: a hill, not a comb."""
    n, size = sum(counts), len(counts)
    half = 4 if n < 100 else 3 if n < 400 else 2 if n < 2000 else 1
    kernel = {step: half - abs(step) for step in range(1 - half, half)}
    return [
        sum(weight * counts[i + step] for step, weight in kernel.items() if 0 <= i + step < size) / half**2
        for i in range(size)
    ]
