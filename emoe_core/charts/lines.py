"""Line charts and histograms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from ..errors import EMoEError
from .axes import Frame, draw_axes
from .canvas import Canvas
from .theme import mixed

SIZE = (720, 440)
Numbers = Sequence[float]


@dataclass(frozen=True)
class Series:
    """One line: places x and y, and optionally the band from low to high. NaN leaves a gap.

    Attributes:
        dashed: for a reference line.
        steps: the value holds until the next place, instead of a straight line to it.
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    dashed: bool = False
    steps: bool = False


@dataclass(frozen=True)
class Mark:
    """A marked place: an upright line at x with its label, and a dot where y is given."""

    x: float
    label: str
    y: float | None = None


def line_chart(
    series: Sequence[Series],
    *,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    marks: Sequence[Mark] = (),
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    percent: tuple[bool, bool] = (False, False),
    size: tuple[int, int] = SIZE,
    theme: str = "light",
    scale: float = 1.0,
) -> Image.Image:
    """Lines over one pair of axes, with bands, marks and a legend.

    Args:
        x_range, y_range: ends of the axes; chosen from the numbers where None.
        percent: whether the x and the y axis show their numbers, which are shares, in percent.
        size: pixels, width first.
        scale: size of letters and lines; 2 for a picture shown at half its size.

    Raises:
        EMoEError: no finite point, or series of unequal lengths.
    """
    for one in series:
        lengths = {len(v) for v in (one.x, one.y, one.low, one.high) if v is not None}
        if len(lengths) > 1:
            raise EMoEError(f"The chart's series '{one.name}' has x and y of different lengths.")
    xs = [float(v) for one in series for v in one.x] + [mark.x for mark in marks]
    ys = [float(v) for one in series for part in (one.y, one.low, one.high) if part is not None for v in part]
    ys += [mark.y for mark in marks if mark.y is not None]
    canvas = Canvas(size, theme, scale)
    frame = Frame(canvas, x_range or _span(xs), y_range or _span(ys, 0.04), percent=percent)
    colours = [canvas.theme.series[i % len(canvas.theme.series)] for i in range(len(series))]
    draw_axes(frame, title, x_label, y_label, [(s.name, c, s.dashed) for s, c in zip(series, colours, strict=True)])
    for one, colour in zip(series, colours, strict=True):
        if one.low is not None and one.high is not None:
            for part in _parts(one.x, one.low, one.high):
                upper, lower = [(x, h) for x, _, h in part], [(x, low) for x, low, _ in part]
                edge = [*_path(frame, upper, one.steps), *reversed(_path(frame, lower, one.steps))]
                canvas.area(edge, mixed(colour, canvas.theme.paper, 0.18))
    for one, colour in zip(series, colours, strict=True):
        for part in _parts(one.x, one.y, one.y):
            path = _path(frame, [(x, y) for x, y, _ in part], one.steps)
            canvas.line(path, colour, 1.5 if one.dashed else 2.0, 5.0 if one.dashed else 0.0)
            if len(part) == 1:
                canvas.dot(*path[0], 3.0, colour)
    _marks(frame, marks)
    return canvas.finished()


def histogram(
    groups: Mapping[str, Numbers] | Numbers,
    *,
    title: str = "",
    x_label: str = "",
    y_label: str = "share of prompts",
    marks: Sequence[Mark] = (),
    bins: int = 30,
    size: tuple[int, int] = SIZE,
    theme: str = "light",
    scale: float = 1.0,
) -> Image.Image:
    """How often values occur, with marked places; several named groups are drawn over each other, and each adds up to 1.

    Raises:
        EMoEError: no finite value.
    """
    named = dict(groups) if isinstance(groups, Mapping) else {"": groups}
    clean = {name: [float(v) for v in values if math.isfinite(v)] for name, values in named.items()}
    low, high = _span([v for values in clean.values() for v in values] + [m.x for m in marks])
    edges = np.linspace(low, high, max(bins, 1) + 1)
    heights = {n: np.histogram(v, edges)[0] / len(v) for n, v in clean.items() if v}
    canvas = Canvas(size, theme, scale)
    top = max(float(h.max()) for h in heights.values()) or 1.0
    frame = Frame(canvas, (low, high), (0.0, top * 1.06), percent=(False, True))
    colours = dict(zip(heights, canvas.theme.series * (1 + len(heights) // len(canvas.theme.series)), strict=False))
    draw_axes(frame, title, x_label, y_label, [(n, c, False) for n, c in colours.items() if n])
    for name, shares in heights.items():
        for (left, right), share in zip(pairwise(edges), shares, strict=True):
            fill = mixed(colours[name], canvas.theme.paper, 0.75 if len(heights) == 1 else 0.3)
            canvas.box(frame.x(left) + 0.5, frame.y(float(share)), frame.x(right) - 0.5, frame.bottom, fill)
    if len(heights) > 1:
        for name, shares in heights.items():
            outline = [(frame.x(x), frame.y(float(s))) for e, s in zip(pairwise(edges), shares, strict=True) for x in e]
            canvas.line([(frame.left, frame.bottom), *outline, (frame.right, frame.bottom)], colours[name], 1.5)
    _marks(frame, marks)
    return canvas.finished()


def _span(values: Numbers, air: float = 0.0) -> tuple[float, float]:
    """From the lowest to the highest finite value, with a margin; an empty span is widened."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        raise EMoEError("The chart has no finite number to show.")
    low, high = min(finite), max(finite)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        wide = 0.5 * abs(high) or 0.5
        return low - wide, high + wide
    return low - air * (high - low), high + air * (high - low)


def _parts(x: Numbers, low: Numbers, high: Numbers) -> list[list[tuple[float, float, float]]]:
    """Stretches of points without NaN."""
    parts: list[list[tuple[float, float, float]]] = [[]]
    for point in zip(map(float, x), map(float, low), map(float, high), strict=True):
        if all(math.isfinite(v) for v in point):
            parts[-1].append(point)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _path(frame: Frame, points: Sequence[tuple[float, float]], steps: bool) -> list[tuple[float, float]]:
    """Pixels of a line, kept between the axes."""
    if steps:
        points = [p for a, b in pairwise(points) for p in (a, (b[0], a[1]))] + list(points[-1:])
    return [
        (
            min(max(frame.x(x), frame.left), frame.right),
            min(max(frame.y(y), frame.top), frame.bottom),
        )
        for x, y in points
    ]


def _marks(frame: Frame, marks: Sequence[Mark]) -> None:
    canvas, small = frame.canvas, frame.canvas.small
    for place, mark in enumerate(marks):
        if not (math.isfinite(mark.x) and frame.x_range[0] <= mark.x <= frame.x_range[1]):
            continue
        x = frame.x(mark.x)
        canvas.line([(x, frame.top), (x, frame.bottom)], canvas.theme.mark, 1.2, 3.0)
        if mark.y is not None and math.isfinite(mark.y):
            canvas.dot(x, min(max(frame.y(mark.y), frame.top), frame.bottom), 4.5, canvas.theme.mark)
        left = x > (frame.left + frame.right) / 2
        at = x - small * 0.5 if left else x + small * 0.5
        room = max((x - frame.left if left else frame.right - x) - small * 0.5, 0)
        canvas.text(
            at, frame.top + small * (0.7 + 1.4 * place), mark.label, None, "right" if left else "left", small, room
        )
