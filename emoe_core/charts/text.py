"""Text in pictures: Pillow's own font first, a system font for letters that it lacks, escapes for the rest."""

from functools import lru_cache

from PIL import ImageDraw, ImageFont

from .theme import Colour

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

#: Tried in this order; Pillow looks for them in the font folders of Linux, Windows and macOS. The broad ones come first.
SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "segoeui.ttf",
    "arial.ttf",
    "Arial Unicode.ttf",
    "LiberationSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "YuGothM.ttc",
    "msgothic.ttc",
    "msyh.ttc",
    "malgun.ttf",
    "Hiragino Sans GB.ttc",
    "wqy-zenhei.ttc",
    "NotoSansDevanagari-Regular.ttf",
    "Nirmala.ttf",
    "NotoSansThai-Regular.ttf",
)
_NOWHERE = "\U0010fffe"  # a code point that no font has a letter for
_PLAIN = {"\u2013": "-", "\u2014": "-", "\u2212": "-", "\u00d7": "x", "\u2192": "->", "\u2264": "<=", "\u2265": ">="}


@lru_cache(maxsize=32)
def own_font(size: int) -> Font:
    """The font that Pillow brings, in pixels; a fixed small one where Pillow was built without FreeType."""
    return ImageFont.load_default(size)


@lru_cache(maxsize=256)
def system_font(name: str, size: int) -> Font | None:
    """A font of this machine, or None."""
    try:
        return ImageFont.truetype(name, size)
    except (OSError, ImportError):
        return None


def _has(font: Font, letter: str) -> bool:
    if not isinstance(font, ImageFont.FreeTypeFont):
        return ord(letter) < 256
    if letter.isspace():
        return True
    shape, missing = font.getmask(letter), font.getmask(_NOWHERE)
    return (shape.size, bytes(shape)) != (missing.size, bytes(missing))


@lru_cache(maxsize=8192)
def _font_for(letter: str, size: int, others: tuple[str, ...]) -> Font | None:
    own = own_font(size)
    if _has(own, letter):
        return own
    for name in others:
        font = system_font(name, size)
        if font is not None and _has(font, letter):
            return font
    return None


def runs(text: str, size: int) -> list[tuple[str, Font]]:
    """The text in pieces of one font each; letters in no font are written as escapes."""
    found: list[tuple[str, Font]] = []
    for letter in text.replace("\n", " ").replace("\t", " "):
        font = _font_for(letter, size, SYSTEM_FONTS) if letter.isprintable() else None
        if font is None:
            letter = _PLAIN.get(letter) or letter.encode("unicode_escape").decode("ascii")
            font = own_font(size)
        if found and found[-1][1] is font:
            found[-1] = (found[-1][0] + letter, font)
        else:
            found.append((letter, font))
    return found


def width_of(text: str, size: int) -> float:
    """Width in pixels."""
    return sum(font.getlength(piece) for piece, font in runs(text, size))


def fitted(text: str, size: int, room: float) -> str:
    """The text, cut with an ellipsis where it is wider than `room`."""
    if width_of(text, size) <= room:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        if width_of(text[:middle].rstrip() + "…", size) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…" if low else ""


def draw_text(drawing: ImageDraw.ImageDraw, x: float, y: float, text: str, size: int, colour: Colour) -> None:
    """Sets the text with its left end at x and its middle line (half the height of an x above the base line) at y."""
    for piece, font in runs(text, size):
        if isinstance(font, ImageFont.FreeTypeFont):
            drawing.text((x, y + size * 0.35), piece, fill=colour, font=font, anchor="ls")
        else:
            drawing.text((x, y - size * 0.5), piece, fill=colour, font=font)
        x += font.getlength(piece)
