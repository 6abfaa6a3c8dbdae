"""Line charts and histograms, and their axes: the frame between them, their numbers, and the legend above them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from ..errors import EMoEError
from .canvas import Canvas, label_of, ticks
from .text import width_of
from .theme import Colour, mixed

_LEGEND = 0.45  # title and legend take at most this share of the height; an ellipsis replaces the rest


@dataclass
class Frame:
    """The part of a canvas between the axes; `x` and `y` give the pixel of a number."""

    canvas: Canvas
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    percent: tuple[bool, bool] = (False, False)

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)


def draw_axes(frame: Frame, title: str, x_label: str, y_label: str, legend: Sequence[tuple[str, Colour, bool]]) -> None:
    """Title, legend, grid and numbers; sets the frame's edges."""
    canvas, letter = frame.canvas, frame.canvas.letter
    small, pad = canvas.small, canvas.pad
    canvas.title(title)
    y = pad + letter * 1.9 if title else pad
    y = _legend(canvas, [entry for entry in legend if entry[0]], y, pad, small)
    if y_label:
        canvas.text(pad, y + small * 0.6, y_label, canvas.theme.faint, size=small)
        y += small * 1.5
    frame.top = y + small * 0.5
    frame.bottom = canvas.height - pad - small * 1.6 - (small * 1.5 if x_label else 0)
    y_ticks = ticks(*frame.y_range, max(2, int((frame.bottom - frame.top) / (letter * 2.6))))
    y_texts = [label_of(v, _step(y_ticks), frame.percent[1]) for v in y_ticks]
    frame.left = pad + max((width_of(t, small) for t in y_texts), default=0) + small * 0.6
    frame.right = canvas.width - pad * 1.6
    for value, text in zip(y_ticks, y_texts, strict=True):
        canvas.line([(frame.left, frame.y(value)), (frame.right, frame.y(value))], canvas.theme.grid)
        canvas.text(frame.left - small * 0.5, frame.y(value), text, canvas.theme.faint, "right", small)
    x_ticks = _x_ticks(frame, small)
    for value in x_ticks:
        x = frame.x(value)
        canvas.line([(x, frame.bottom), (x, frame.bottom + letter * 0.3)], canvas.theme.faint)
        text = label_of(value, _step(x_ticks), frame.percent[0])
        canvas.text(x, frame.bottom + small, text, canvas.theme.faint, "centre", small)
    canvas.line([(frame.left, frame.bottom), (frame.right, frame.bottom)], canvas.theme.faint)
    if x_label:
        canvas.text(frame.right, canvas.height - pad - small * 0.4, x_label, canvas.theme.faint, "right", small)


def _x_ticks(frame: Frame, small: int) -> list[float]:
    """As many numbers as fit side by side without touching."""
    for most in range(10, 1, -1):
        found = ticks(*frame.x_range, most)
        widest = max((width_of(label_of(v, _step(found), frame.percent[0]), small) for v in found), default=0)
        if len(found) * (widest + small * 1.2) <= frame.right - frame.left:
            return found
    return ticks(*frame.x_range, 2)


def _step(values: Sequence[float]) -> float:
    return values[1] - values[0] if len(values) > 1 else abs(values[0]) if values else 0.0


def _legend(canvas: Canvas, entries: Sequence[tuple[str, Colour, bool]], y: float, pad: float, small: int) -> float:
    """Names beside a piece of their line, in as many rows as fit; returns where the chart below may begin."""
    if not entries:
        return y
    x, swatch, row = pad, small * 1.6, small * 1.5
    for name, colour, dashed in entries:
        room = min(width_of(name, small), canvas.width - 2 * pad - swatch - small)
        if x > pad and x + swatch + small * 0.5 + room > canvas.width - pad:
            if y + 2 * row > canvas.height * _LEGEND:
                canvas.text(canvas.width - pad, y + small * 0.5, "…", align="right", size=small)
                break
            x, y = pad, y + row
        canvas.line([(x, y + small * 0.5), (x + swatch, y + small * 0.5)], colour, 2.5, 4.0 if dashed else 0.0)
        canvas.text(x + swatch + small * 0.5, y + small * 0.5, name, size=small, room=room + 1)
        x += swatch + small * 2 + room
    return y + row


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
