"""A table as a picture."""

import math
from collections.abc import Sequence

from PIL import Image

from ..errors import EMoEError
from .canvas import Canvas, letters
from .text import width_of
from .theme import mixed

_ROW = 1.9  # height of a row in letters
_WIDEST = 420  # pixels of a column, before `scale`


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    highlight: Sequence[bool] | None = None,
    theme: str = "light",
    scale: float = 1.0,
) -> Image.Image:
    """Rows of texts under a head; columns are as wide as they need to be, and all but the first are aligned at the right.

    Args:
        highlight: rows on a ground of their own.

    Raises:
        EMoEError: no rows, or rows that do not fit the head.
    """
    if not head or not rows or any(len(row) != len(head) for row in rows):
        raise EMoEError("The table needs a text for every column of every row, and at least one row.")
    letter, small, pad = letters(scale)
    gap = letter * 1.4
    widths = [
        min(_WIDEST * scale, max(width_of(text, small) for text in (head[place], *(row[place] for row in rows))))
        for place in range(len(head))
    ]
    top = pad + (letter * 1.9 if title else 0)
    wide = sum(widths) + gap * (len(head) - 1) + 2 * pad
    if title:
        wide = max(wide, width_of(title, round(letter * 1.2)) + 2 * pad)
    canvas = Canvas(
        (max(160, math.ceil(wide)), max(120, math.ceil(top + letter * _ROW * (len(rows) + 1) + pad))), theme, scale
    )
    canvas.title(title)

    def write(y: float, texts: Sequence[str], faint: bool) -> None:
        x = pad
        for place, (text, width) in enumerate(zip(texts, widths, strict=True)):
            at, align = (x, "left") if place == 0 else (x + width, "right")
            canvas.text(at, y, text, canvas.theme.faint if faint else None, align, small, width)
            x += width + gap

    write(top + letter * _ROW / 2, head, True)
    for number, row in enumerate(rows):
        start = top + letter * _ROW * (number + 1)
        if highlight is not None and highlight[number]:
            ground = mixed(canvas.theme.series[0], canvas.theme.paper, 0.15)
            canvas.box(pad / 2, start, canvas.width - pad / 2, start + letter * _ROW, ground)
        canvas.line([(pad, start), (canvas.width - pad, start)], canvas.theme.grid)
        write(start + letter * _ROW / 2, row, False)
    return canvas.finished()
