"""Horizontal bars, quantiles and matrices: charts with a name for every row."""

import math
from collections.abc import Callable, Sequence

from PIL import Image

from ..errors import EMoEError
from .canvas import Canvas, label_of, letters, ticks
from .lines import Mark
from .text import width_of
from .theme import mixed, readable_on, viridis

_ROW = 1.9  # height of a row in letters
Quantiles = tuple[float, float, float, float, float]


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
    ends = [v for part in (values, low, high) if part is not None for v in part] + [m.x for m in marks] + [0.0]
    finite = [v for v in ends if math.isfinite(v)]
    span = x_range or (min(finite), max(finite) if max(finite) > min(finite) else min(finite) + 1.0)
    texts = [
        "none" if not math.isfinite(v) else label_of(v, 0.01 if percent else _fine(finite), percent) for v in values
    ]
    rows = _Rows(labels, texts, span, title, x_label, (width, theme, scale), percent, bool(marks))
    canvas, letter, x = rows.canvas, rows.canvas.letter, rows.x
    for place, value in enumerate(values):
        y = rows.begin(place)
        if math.isfinite(value):
            colour = canvas.theme.series[1 if highlight is not None and highlight[place] else 0]
            start, end = sorted((x(0.0), x(value)))
            canvas.box(
                start, y - letter * 0.6, max(end, start + 1), y + letter * 0.6, mixed(colour, canvas.theme.paper, 0.8)
            )
        if low is not None and high is not None and math.isfinite(low[place]) and math.isfinite(high[place]):
            canvas.line([(x(low[place]), y), (x(high[place]), y)], canvas.theme.ink, 1.5)
    for mark in marks:
        canvas.line([(x(mark.x), rows.head), (x(mark.x), rows.bottom)], canvas.theme.mark, 1.2, 3.0)
        canvas.text(x(mark.x), rows.head - canvas.small * 0.8, mark.label, None, "centre", canvas.small)
    return canvas.finished()


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
    first, last = min(row[0] for row in quantiles), max(row[-1] for row in quantiles)
    air = 0.03 * (last - first) or 0.5
    rows = _Rows(labels, notes or (), (first - air, last + air), title, x_label, (width, theme, scale))
    canvas, letter, x = rows.canvas, rows.canvas.letter, rows.x
    for place, (low, lower, middle, upper, high) in enumerate(quantiles):
        y = rows.begin(place)
        colour = canvas.theme.series[1 if highlight is not None and highlight[place] else 0]
        canvas.line([(x(low), y), (x(high), y)], colour, 1.5)
        light = mixed(colour, canvas.theme.paper, 0.45)
        canvas.box(x(lower), y - letter * 0.5, max(x(upper), x(lower) + 1), y + letter * 0.5, light)
        canvas.dot(x(middle), y, 3.5, colour)
    return canvas.finished()


class _Rows:
    """A chart with one row per label: its name at the left, a note at the right, and the numbers of the span below."""

    def __init__(
        self,
        labels: Sequence[str],
        notes: Sequence[str],
        span: tuple[float, float],
        title: str,
        x_label: str,
        look: tuple[int, str, float],
        percent: bool = False,
        marked: bool = False,
    ) -> None:
        width, theme, scale = look
        self.labels, self.notes, self.span = labels, notes, span
        letter, small, pad = letters(scale)
        self.head = pad + (letter * 1.9 if title else 0) + (small * 1.5 if marked else 0)
        foot = small * 1.6 + pad + (small * 1.5 if x_label else 0)
        height = math.ceil(self.head + foot + len(labels) * letter * _ROW)
        self.canvas = canvas = Canvas((width, max(120, height)), theme, scale)
        canvas.title(title)
        self.left = pad + min(max(width_of(t, small) for t in labels), width * 0.4) + small * 0.6
        self.right = width - pad - (max(width_of(t, small) for t in notes) + small if notes else 0)
        self.bottom = canvas.height - foot
        found = ticks(*span, max(2, int((self.right - self.left) / (small * 5))))
        for value in found:
            x = self.x(value)
            canvas.line([(x, self.head), (x, self.bottom)], canvas.theme.grid)
            step = found[1] - found[0] if len(found) > 1 else value
            canvas.text(x, self.bottom + small, label_of(value, step, percent), canvas.theme.faint, "centre", small)
        if x_label:
            canvas.text(self.right, canvas.height - pad - small * 0.4, x_label, canvas.theme.faint, "right", small)

    def x(self, value: float) -> float:
        """The pixel of a number, kept within the span."""
        first, last = self.span
        return self.left + (min(max(value, first), last) - first) / (last - first) * (self.right - self.left)

    def begin(self, place: int) -> float:
        """Writes a row's name and note; returns its middle."""
        canvas, small = self.canvas, self.canvas.small
        y = self.head + (place + 0.5) * canvas.letter * _ROW
        canvas.name(self.left, y, self.labels[place])
        if self.notes:
            canvas.text(canvas.width - canvas.pad, y, self.notes[place], canvas.theme.faint, "right", small)
        return y


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
    letter, small, pad = letters(scale)
    wide, tall = cell[0] * scale, cell[1] * scale
    left = pad + min(max(width_of(name, small) for name in rows), 240 * scale) + small * 0.6
    top = pad + (letter * 1.9 if title else 0) + small * 1.6
    size = (math.ceil(left + wide * len(columns) + pad), math.ceil(top + tall * len(rows) + pad))
    if title:
        size = (max(size[0], math.ceil(width_of(title, round(letter * 1.2)) + 2 * pad)), size[1])
    canvas = Canvas((max(size[0], 160), max(size[1], 120)), theme, scale)
    canvas.title(title)
    finite = [v for row in values for v in row if math.isfinite(v)]
    low, high = value_range or ((min(finite), max(finite)) if finite else (0.0, 1.0))
    write = text or (lambda value: f"{value:.3g}")
    for place, name in enumerate(columns):
        canvas.text(left + (place + 0.5) * wide, top - small * 0.8, name, None, "centre", small, wide - 4)
    for line, name in enumerate(rows):
        y = top + line * tall
        canvas.name(left, y + tall / 2, name)
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
