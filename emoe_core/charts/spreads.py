"""Quantiles of many groups, one below the other."""

import math
from collections.abc import Sequence

from PIL import Image

from ..errors import EMoEError
from .canvas import Canvas, label_of, ticks
from .text import width_of
from .theme import mixed

_ROW = 1.9  # height of a row in letters
Quantiles = tuple[float, float, float, float, float]


def spreads(
    labels: Sequence[str],
    quantiles: Sequence[Quantiles],
    *,
    notes: Sequence[str] | None = None,
    title: str = "",
    x_label: str = "",
    highlight: Sequence[bool] | None = None,
    width: int = 720,
    theme: str = "light",
    scale: float = 1.0,
) -> Image.Image:
    """One row per group: a line for the middle 90 %, a bar for the middle half, a dot for the median.

    Args:
        quantiles: 5 %, 25 %, 50 %, 75 % and 95 % of each group.
        notes: text at the right of each row.
        highlight: groups in the second colour.

    Raises:
        EMoEError: no groups, lists of unequal lengths, or a number that is not finite.
    """
    if not labels or any(v is not None and len(v) != len(labels) for v in (quantiles, notes, highlight)):
        raise EMoEError("The chart of quantiles needs five numbers per label, and at least one label.")
    if not all(math.isfinite(value) for row in quantiles for value in row):
        raise EMoEError("The chart of quantiles has a number that is not finite.")
    letter = max(8, round(13 * scale))
    small, pad = max(8, round(letter * 0.9)), letter * 0.8
    head = pad + (letter * 1.9 if title else 0)
    foot = small * 1.6 + pad + (small * 1.5 if x_label else 0)
    canvas = Canvas((width, max(120, math.ceil(head + foot + len(labels) * letter * _ROW))), theme, scale)
    if title:
        canvas.text(pad, pad + letter * 0.6, title, size=round(letter * 1.2))
    first, last = min(row[0] for row in quantiles), max(row[-1] for row in quantiles)
    air = 0.03 * (last - first) or 0.5
    first, last = first - air, last + air
    left = pad + min(max(width_of(t, small) for t in labels), width * 0.4) + small * 0.6
    right = width - pad - (max(width_of(t, small) for t in notes) + small if notes else 0)
    bottom = canvas.height - foot

    def x(value: float) -> float:
        return left + (value - first) / (last - first) * (right - left)

    found = ticks(first, last, max(2, int((right - left) / (small * 5))))
    for value in found:
        canvas.line([(x(value), head), (x(value), bottom)], canvas.theme.grid)
        step = found[1] - found[0] if len(found) > 1 else value
        canvas.text(x(value), bottom + small, label_of(value, step), canvas.theme.faint, "centre", small)
    for place, (low, lower, middle, upper, high) in enumerate(quantiles):
        y = head + (place + 0.5) * letter * _ROW
        colour = canvas.theme.series[1 if highlight is not None and highlight[place] else 0]
        canvas.text(left - small * 0.6, y, labels[place], None, "right", small, left - small * 0.6 - pad + 1)
        canvas.line([(x(low), y), (x(high), y)], colour, 1.5)
        light = mixed(colour, canvas.theme.paper, 0.45)
        canvas.box(x(lower), y - letter * 0.5, max(x(upper), x(lower) + 1), y + letter * 0.5, light)
        canvas.dot(x(middle), y, 3.5, colour)
        if notes:
            canvas.text(width - pad, y, notes[place], canvas.theme.faint, "right", small)
    if x_label:
        canvas.text(right, canvas.height - pad - small * 0.4, x_label, canvas.theme.faint, "right", small)
    return canvas.finished()
