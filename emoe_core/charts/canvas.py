"""The canvas that charts are drawn on: smooth shapes, crisp text, and numbers on axes."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..errors import EMoEError
from .text import draw_text, fitted, width_of
from .theme import Colour, theme_named

_FINE = 4  # shapes are drawn this much larger and averaged down
SMALLEST = (160, 120)
Point = tuple[float, float]


class Canvas:
    """An unfinished picture; places are pixels from the upper left corner.

    Shapes are drawn at once, text at the end: it lies on top of all shapes and never leaves the picture.

    Raises:
        EMoEError: a size too small to hold a chart, or an unknown theme.
    """

    def __init__(self, size: tuple[int, int], theme: str, scale: float) -> None:
        if size[0] < SMALLEST[0] or size[1] < SMALLEST[1]:
            raise EMoEError(f"A chart of {size[0]} x {size[1]} pixels is too small; give it at least 160 x 120.")
        self.width, self.height = size
        self.theme = theme_named(theme)
        self.scale = scale
        self.letter, self.small, self.pad = letters(scale)
        self._shapes = Image.new("RGB", (self.width * _FINE, self.height * _FINE), self.theme.paper)
        self._drawing = ImageDraw.Draw(self._shapes)
        self._texts: list[tuple[float, float, str, int, Colour]] = []

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1.0, dashes: float = 0.0) -> None:
        """A line through the points; `dashes` is the length of a dash and of a gap, 0 for none."""
        pieces = [list(points)] if dashes <= 0 else _dashed(points, dashes * self.scale)
        thick = max(1, round(width * self.scale * _FINE))
        for piece in pieces:
            if len(piece) > 1:
                self._drawing.line([(x * _FINE, y * _FINE) for x, y in piece], colour, thick, joint="curve")

    def area(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        if len(points) > 2:
            self._drawing.polygon([(x * _FINE, y * _FINE) for x, y in points], fill=colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A filled rectangle."""
        if right > left and bottom > top:
            self._drawing.rectangle((left * _FINE, top * _FINE, right * _FINE - 1, bottom * _FINE - 1), fill=colour)

    def dot(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A filled circle with a thin rim in the background's colour, to stand out on a line."""
        for r, fill in ((radius + 1.5, self.theme.paper), (radius, colour)):
            r *= self.scale * _FINE
            self._drawing.ellipse((x * _FINE - r, y * _FINE - r, x * _FINE + r, y * _FINE + r), fill=fill)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        colour: Colour | None = None,
        align: str = "left",
        size: int | None = None,
        room: float | None = None,
    ) -> None:
        """Text with its `left`, `centre` or `right` end at x and its middle at y; cut to `room` and kept inside."""
        size = size or self.letter
        margin = 2.0
        text = fitted(text, size, min(room if room is not None else math.inf, self.width - 2 * margin))
        width = width_of(text, size)
        x -= {"left": 0.0, "centre": width / 2, "right": width}[align]
        x = min(max(x, margin), self.width - margin - width)
        y = min(max(y, size * 0.6 + 1), self.height - size * 0.6 - 1)
        self._texts.append((x, y, text, size, colour or self.theme.ink))

    def title(self, text: str) -> None:
        """A heading at the upper left, if there is one."""
        if text:
            self.text(self.pad, self.pad + self.letter * 0.6, text, size=round(self.letter * 1.2))

    def name(self, left: float, y: float, text: str) -> None:
        """The name of a row that begins at `left`."""
        end = left - self.small * 0.6
        self.text(end, y, text, None, "right", self.small, end - self.pad + 1)

    def finished(self) -> Image.Image:
        """The picture, RGB."""
        picture = self._shapes.reduce(_FINE)
        drawing = ImageDraw.Draw(picture)
        for text in self._texts:
            draw_text(drawing, *text)
        return picture


def letters(scale: float) -> tuple[int, int, float]:
    """Height of letters, height of small ones, and the margin, in pixels."""
    letter = max(8, round(13 * scale))
    return letter, max(8, round(letter * 0.9)), letter * 0.8


def _dashed(points: Sequence[Point], length: float) -> list[list[Point]]:
    """The line through the points, cut into dashes with gaps of the same length."""
    pieces: list[list[Point]] = []
    piece: list[Point] = []
    on, left = True, length
    for (x0, y0), (x1, y1) in pairwise(points):
        way, done = math.hypot(x1 - x0, y1 - y0), 0.0
        if on and not piece:
            piece = [(x0, y0)]
        while way - done > left:
            done += left
            at = (x0 + (x1 - x0) * done / way, y0 + (y1 - y0) * done / way)
            if on:
                pieces.append([*piece, at])
            on, left, piece = not on, length, [at] if not on else []
        left -= way - done
        if on:
            piece.append((x1, y1))
    return [*pieces, piece] if on and len(piece) > 1 else pieces


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers (steps of 1, 2, 2.5 or 5 times a power of ten) from low to high."""
    span = high - low
    if not (span > 0 and math.isfinite(span)):
        return [low]
    step = power = 10.0 ** math.floor(math.log10(span / max(most, 1)))
    for factor in (1, 2, 2.5, 5, 10, 20):
        step = factor * power
        if math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9) + 1 <= most:
            break
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def label_of(value: float, step: float, percent: bool = False) -> str:
    """A tick as text, with the digits that its step needs."""
    if percent:
        value, step = value * 100, step * 100
    if value and (abs(value) >= 1e6 or abs(value) < 1e-4):
        text = f"{value:.4g}"
    else:
        digits = next((d for d in range(8) if abs(round(step, d) - step) <= 1e-6 * abs(step)), 8) if step else 0
        text = f"{value + 0.0:.{digits}f}"
    return f"{text} %" if percent else text


def as_array(*pictures: Image.Image) -> NDArray[np.float32]:
    """Pictures of one size as [B, H, W, 3] in [0, 1], like ComfyUI's IMAGE."""
    return np.stack([np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0 for picture in pictures])


def stack(pictures: Sequence[Image.Image], columns: int = 1) -> Image.Image:
    """Pictures in a grid, row by row; all should have one size and theme."""
    if not pictures:
        raise EMoEError("There is no chart to put together.")
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    rows = math.ceil(len(pictures) / columns)
    ground = pictures[0].getpixel((0, 0))
    whole = Image.new("RGB", (width * min(columns, len(pictures)), height * rows), ground)
    for place, picture in enumerate(pictures):
        whole.paste(picture, (place % columns * width, place // columns * height))
    return whole
