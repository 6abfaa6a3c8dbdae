"""Horizontal bars and matrices: charts with a name for every row."""

import math
from collections.abc import Callable, Sequence

from PIL import Image

from ..errors import EMoEError
from .canvas import Canvas, label_of, ticks
from .lines import Mark
from .text import width_of
from .theme import mixed, readable_on, viridis

_ROW = 1.9  # height of a row in letters


def bars(
    labels: Sequence[str],
    values: Sequence[float],
    *,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    title: str = "",
    x_label: str = "",
    marks: Sequence[Mark] = (),
    x_range: tuple[float, float] | None = None,
    percent: bool = False,
    highlight: Sequence[bool] | None = None,
    width: int = 720,
    theme: str = "light",
    scale: float = 1.0,
) -> Image.Image:
    """One bar per label, from 0, with an interval from low to high where given; the height follows the number of bars.

    Args:
        highlight: bars in the second colour. A value that is NaN has no bar and says "none".

    Raises:
        EMoEError: no bars, or lists of unequal lengths.
    """
    if not labels or any(v is not None and len(v) != len(labels) for v in (values, low, high, highlight)):
        raise EMoEError("The chart of bars needs one value per label, and at least one label.")
    letter = max(8, round(13 * scale))
    small, pad = max(8, round(letter * 0.9)), letter * 0.8
    head = pad + (letter * 1.9 if title else 0) + (small * 1.5 if marks else 0)
    foot = small * 1.6 + pad + (small * 1.5 if x_label else 0)
    canvas = Canvas((width, max(120, math.ceil(head + foot + len(labels) * letter * _ROW))), theme, scale)
    if title:
        canvas.text(pad, pad + letter * 0.6, title, size=round(letter * 1.2))
    ends = [v for part in (values, low, high) if part is not None for v in part] + [m.x for m in marks] + [0.0]
    finite = [v for v in ends if math.isfinite(v)]
    first, last = x_range or (min(finite), max(finite) if max(finite) > min(finite) else min(finite) + 1.0)
    texts = [
        "none" if not math.isfinite(v) else label_of(v, 0.01 if percent else _fine(finite), percent) for v in values
    ]
    left = pad + min(max(width_of(t, small) for t in labels), width * 0.4) + small * 0.6
    right = width - pad - max(width_of(t, small) for t in texts) - small
    bottom = canvas.height - foot

    def x(value: float) -> float:
        return left + (min(max(value, first), last) - first) / (last - first) * (right - left)

    found = ticks(first, last, max(2, int((right - left) / (small * 5))))
    for value in found:
        canvas.line([(x(value), head), (x(value), bottom)], canvas.theme.grid)
        step = found[1] - found[0] if len(found) > 1 else value
        canvas.text(x(value), bottom + small, label_of(value, step, percent), canvas.theme.faint, "centre", small)
    for place, value in enumerate(values):
        y = head + (place + 0.5) * letter * _ROW
        canvas.text(left - small * 0.6, y, labels[place], None, "right", small, left - small * 0.6 - pad + 1)
        if math.isfinite(value):
            colour = canvas.theme.series[1 if highlight is not None and highlight[place] else 0]
            start, end = sorted((x(0.0), x(value)))
            canvas.box(
                start, y - letter * 0.6, max(end, start + 1), y + letter * 0.6, mixed(colour, canvas.theme.paper, 0.8)
            )
        if low is not None and high is not None and math.isfinite(low[place]) and math.isfinite(high[place]):
            canvas.line([(x(low[place]), y), (x(high[place]), y)], canvas.theme.ink, 1.5)
        canvas.text(width - pad, y, texts[place], canvas.theme.faint, "right", small)
    for mark in marks:
        canvas.line([(x(mark.x), head), (x(mark.x), bottom)], canvas.theme.mark, 1.2, 3.0)
        canvas.text(x(mark.x), head - small * 0.8, mark.label, None, "centre", small)
    if x_label:
        canvas.text(right, canvas.height - pad - small * 0.4, x_label, canvas.theme.faint, "right", small)
    return canvas.finished()


def matrix(
    values: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str = "",
    text: Callable[[float], str] | None = None,
    value_range: tuple[float, float] | None = None,
    cell: tuple[int, int] = (72, 34),
    theme: str = "light",
    scale: float = 1.0,
) -> Image.Image:
    """A heat map: one cell per pair of row and column, dark for low and yellow for high, with its number; NaN is left empty.

    Args:
        text: writes the number of a cell; three significant digits where None, no number for "".
        value_range: the numbers of the darkest and the brightest colour.
        cell: width and height of a cell in pixels, before `scale`.

    Raises:
        EMoEError: no cells, or names that do not fit the numbers.
    """
    if not rows or not columns or len(values) != len(rows) or any(len(row) != len(columns) for row in values):
        raise EMoEError("The matrix needs a name for every row and column, and at least one of each.")
    letter = max(8, round(13 * scale))
    small, pad = max(8, round(letter * 0.9)), letter * 0.8
    wide, tall = cell[0] * scale, cell[1] * scale
    left = pad + min(max(width_of(name, small) for name in rows), 240 * scale) + small * 0.6
    top = pad + (letter * 1.9 if title else 0) + small * 1.6
    size = (math.ceil(left + wide * len(columns) + pad), math.ceil(top + tall * len(rows) + pad))
    if title:
        size = (max(size[0], math.ceil(width_of(title, round(letter * 1.2)) + 2 * pad)), size[1])
    canvas = Canvas((max(size[0], 160), max(size[1], 120)), theme, scale)
    if title:
        canvas.text(pad, pad + letter * 0.6, title, size=round(letter * 1.2))
    finite = [v for row in values for v in row if math.isfinite(v)]
    low, high = value_range or ((min(finite), max(finite)) if finite else (0.0, 1.0))
    write = text or (lambda value: f"{value:.3g}")
    for place, name in enumerate(columns):
        canvas.text(left + (place + 0.5) * wide, top - small * 0.8, name, None, "centre", small, wide - 4)
    for line, name in enumerate(rows):
        y = top + line * tall
        canvas.text(left - small * 0.6, y + tall / 2, name, None, "right", small, left - small * 0.6 - pad + 1)
        for place, value in enumerate(values[line]):
            x = left + place * wide
            ground = canvas.theme.grid
            if math.isfinite(value):
                ground = viridis((value - low) / (high - low) if high > low else 0.5)
                canvas.text(x + wide / 2, y + tall / 2, write(value), readable_on(ground), "centre", small, wide - 4)
            canvas.box(x + 1, y + 1, x + wide - 1, y + tall - 1, ground)
    return canvas.finished()


def _fine(values: Sequence[float]) -> float:
    """A step that shows three digits of the largest number."""
    top = max(map(abs, values)) or 1.0
    return 10.0 ** (math.floor(math.log10(top)) - 2)
