"""Charts of curves: inline SVG as wide as there is room, with the numbers of the axes beside it as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..charts.canvas import label_of, ticks
from .markup import Content, Html, tag
from .rows import Scale, path


@dataclass(frozen=True)
class Curve:
    """A line of a plot, or with `upper` the band between two.

    Attributes:
        cls: its class in style.css.
    """

    cls: str
    xs: Sequence[float]
    ys: Sequence[float]
    upper: Sequence[float] = ()


def plot(curves: Sequence[Curve], across: Scale, up: Scale, x_title: Content, *legend: Content) -> Html:
    """Curves over one another, the first below; their numbers stand in a table beside, so a screen reader skips it."""
    x_ticks, y_ticks = ticks(across.low, across.high, 6), ticks(up.low, up.high, 5)
    x_step, y_step = (found[1] - found[0] if len(found) > 1 else 1.0 for found in (x_ticks, y_ticks))
    lines = "".join(f"M{across(x)} 0V100" for x in x_ticks) + "".join(f"M0 {_down(up, y)}H100" for y in y_ticks)
    parts = [path("grid", lines), *(path(f"curve {one.cls}", _drawn(one, across, up)) for one in curves)]
    picture = Html(
        '<svg class="area" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f"{''.join(parts)}</svg>"
    )
    beside = (tag("span", label_of(y, y_step) + up.unit, style=f"top:{_down(up, y)}%") for y in y_ticks)
    below = (tag("span", label_of(x, x_step) + across.unit, style=f"left:{across(x)}%") for x in x_ticks)
    return tag(
        "div",
        tag("p", *legend, cls="legend"),
        tag("div", tag("div", *beside, cls="upright"), picture, tag("div", *below, cls="ticks"), cls="plot"),
        tag("p", x_title, cls="note x-title"),
        aria_hidden="true",
    )


def _down(scale: Scale, value: float) -> float:
    return round(100 - scale(value), 2)


def _drawn(one: Curve, across: Scale, up: Scale) -> str:
    points = [(across(x), _down(up, y)) for x, y in zip(one.xs, one.ys, strict=True)]
    if one.upper:
        points += [(across(x), _down(up, y)) for x, y in zip(reversed(one.xs), reversed(one.upper), strict=True)]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) + ("Z" if one.upper else "")
