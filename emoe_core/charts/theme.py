"""Colours of the charts."""

from dataclasses import dataclass

from ..errors import EMoEError

Colour = tuple[int, int, int]

#: Anchors of viridis (Smith and van der Walt, 2015, CC0), a perceptually uniform map, at equal steps, in [0, 1].
VIRIDIS = (
    (0.267, 0.005, 0.329),
    (0.283, 0.141, 0.458),
    (0.254, 0.265, 0.530),
    (0.207, 0.372, 0.553),
    (0.164, 0.471, 0.558),
    (0.128, 0.567, 0.551),
    (0.135, 0.659, 0.518),
    (0.267, 0.749, 0.441),
    (0.478, 0.821, 0.318),
    (0.741, 0.873, 0.150),
    (0.993, 0.906, 0.144),
)


@dataclass(frozen=True)
class Theme:
    """Colours of one look; lines take those of `series` in this order."""

    paper: Colour
    ink: Colour
    faint: Colour
    grid: Colour
    series: tuple[Colour, ...]
    mark: Colour


_BLUE, _VERMILION, _GREEN, _PURPLE = (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167)
_ORANGE, _SKY, _YELLOW = (230, 159, 0), (86, 180, 233), (240, 228, 66)

THEMES = {
    "light": Theme(
        (255, 255, 255),
        (28, 28, 30),
        (96, 96, 102),
        (226, 226, 230),
        (_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE, _SKY, (70, 70, 75)),
        (28, 28, 30),
    ),
    "dark": Theme(
        (26, 26, 30),
        (236, 236, 240),
        (168, 168, 176),
        (62, 62, 70),
        (_SKY, _ORANGE, _GREEN, _PURPLE, _YELLOW, (240, 112, 40), (190, 190, 196)),
        (236, 236, 240),
    ),
}


def theme_named(name: str) -> Theme:
    """A theme by its name; an `EMoEError` for an unknown one."""
    if name not in THEMES:
        raise EMoEError(f"There is no chart theme '{name}'; choose {' or '.join(THEMES)}.")
    return THEMES[name]


def viridis(share: float) -> Colour:
    """The map's colour at `share` in [0, 1], interpolated linearly between the anchors."""
    place = min(max(share, 0.0), 1.0) * (len(VIRIDIS) - 1)
    low = min(int(place), len(VIRIDIS) - 2)
    part = place - low
    red, green, blue = (
        round(255 * (a * (1 - part) + b * part)) for a, b in zip(VIRIDIS[low], VIRIDIS[low + 1], strict=True)
    )
    return red, green, blue


def mixed(top: Colour, bottom: Colour, share: float) -> Colour:
    """`share` of `top` over `bottom`: a transparent colour on a plain ground."""
    red, green, blue = (round(a * share + b * (1 - share)) for a, b in zip(top, bottom, strict=True))
    return red, green, blue


def readable_on(ground: Colour) -> Colour:
    """Black or white, whichever has the higher contrast on `ground` (relative luminance, WCAG 2)."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in ground]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if light > 0.179 else (255, 255, 255)
