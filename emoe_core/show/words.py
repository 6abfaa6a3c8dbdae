"""The words of a prompt, coloured by what each adds to the score."""

from collections.abc import Sequence

from PIL import Image

from ..charts.canvas import Canvas
from ..charts.text import width_of
from ..charts.theme import Colour, mixed
from ..scoring.attribution import Attribution, Word

_RAISES, _LOWERS, _PAPER = (230, 159, 0), (86, 180, 233), (255, 255, 255)


def words_picture(found: Attribution, width: int = 768) -> Image.Image:
    """The prompt with a colour behind every word: orange where it raises the uncertainty, blue where it lowers it."""
    size, pad, row = 26, 20.0, 46.0
    highest = max((abs(change) for _, change in found.ranked()), default=0.0)
    pieces = _rows(found, size, width - 2 * pad)
    height = int(70 + row * len(pieces) + 56)
    canvas = Canvas((width, max(height, 120)), "light", 1.0)
    canvas.text(pad, 32, f"uncertainty {found.score:.4g}", size=22)
    y = 70.0 + row / 2
    for line in pieces:
        x = pad
        for text, word in line:
            wide = width_of(text, size)
            if word is not None:
                change = found.change(word) or 0.0
                canvas.box(x - 3, y - 18, x + wide + 3, y + 18, colour_of(change, highest))
            canvas.text(x, y, text, (20, 20, 20), size=size)
            x += wide
        y += row
    _legend(canvas, highest, pad, canvas.height - 26)
    return canvas.finished()


def colour_of(change: float, highest: float) -> Colour:
    """White for no change, orange for the highest rise, blue for an equal fall."""
    share = min(abs(change) / highest, 1.0) if highest > 0 else 0.0
    return mixed(_RAISES if change > 0 else _LOWERS, _PAPER, share)


def _rows(found: Attribution, size: int, room: float) -> list[list[tuple[str, Word | None]]]:
    """Words and the text between them, broken into lines before a word that does not fit."""
    rows: list[list[tuple[str, Word | None]]] = [[]]
    used, at = 0.0, 0
    for word in found.words:
        between, text = " ".join(found.prompt[at : word.start].split("\n")), word.text
        wide = width_of(between, size) + width_of(text, size)
        if rows[-1] and used + wide > room:
            rows.append([])
            used, between = 0.0, between.strip()
        if between:
            rows[-1].append((between, None))
        rows[-1].append((text, word))
        used += width_of(between, size) + width_of(text, size)
        at = word.end
    if rest := found.prompt[at:].strip():
        rows[-1].append((rest, None))
    return rows


def _legend(canvas: Canvas, highest: float, left: float, y: float) -> None:
    entries: Sequence[tuple[str, Colour]] = (
        (f"raises it by up to {highest:.3g}", _RAISES),
        ("lowers it", _LOWERS),
    )
    for text, colour in entries:
        canvas.box(left, y - 8, left + 16, y + 8, colour)
        canvas.text(left + 24, y, text, canvas.theme.faint, size=18)
        left += 60 + width_of(text, 18)
