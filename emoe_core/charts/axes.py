"""Axes: the frame between them, their numbers, and the legend above them."""

from collections.abc import Sequence
from dataclasses import dataclass

from .canvas import Canvas, label_of, ticks
from .text import width_of
from .theme import Colour

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
