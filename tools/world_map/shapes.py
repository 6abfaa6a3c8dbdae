"""From TopoJSON in degrees to SVG paths in the Equal Earth projection, simplified so that neighbours still touch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

WIDTH = 2000
MARGIN = 8
TOLERANCE = 1.5  # smallest triangle, in square units of the drawing, for which a point is kept
SMALL = 70.0  # territories whose box has a smaller area (square units) are also drawn as a dot
LEFT_OUT = {"AQ"}
_CODE = {"Kosovo": "XK"}  # it has no number in ISO 3166
#: Centres (degrees east and north) of inhabited territories that Natural Earth draws as parts of another one.
PARTS = {
    "BQ": (-68.26, 12.18),
    "CC": (96.83, -12.17),
    "CX": (105.69, -10.49),
    "GF": (-53.13, 3.93),
    "GP": (-61.55, 16.25),
    "MQ": (-61.02, 14.64),
    "RE": (55.53, -21.12),
    "SJ": (16.0, 78.5),
    "TK": (-171.85, -9.2),
    "YT": (45.17, -12.83),
}


def equal_earth(degrees: Points) -> Points:
    """The projection of Savric, Patterson and Jenny (2018, doi 10.1080/13658816.2018.1504949), y pointing up."""
    a = (1.340264, -0.081106, 0.000893, 0.003796)
    longitude, latitude = np.radians(degrees[:, 0]), np.radians(degrees[:, 1])
    theta = np.arcsin(math.sqrt(3) / 2 * np.sin(latitude))
    slope = 9 * a[3] * theta**8 + 7 * a[2] * theta**6 + 3 * a[1] * theta**2 + a[0]
    x = 2 * math.sqrt(3) * longitude * np.cos(theta) / (3 * slope)
    y = a[3] * theta**9 + a[2] * theta**7 + a[1] * theta**3 + a[0] * theta
    return np.column_stack([x, y])


class Drawing:
    """Puts projected points on the sheet."""

    def __init__(self, points: Points) -> None:
        flat = equal_earth(points)
        self._low, self._high = flat.min(axis=0), flat.max(axis=0)
        self._scale = (WIDTH - 2 * MARGIN) / (self._high[0] - self._low[0])
        self.height = math.ceil((self._high[1] - self._low[1]) * self._scale) + 2 * MARGIN

    def __call__(self, degrees: Points) -> Points:
        flat = equal_earth(degrees)
        x, y = flat[:, 0] - self._low[0], self._high[1] - flat[:, 1]
        return np.column_stack([x, y]) * self._scale + MARGIN


def arcs_of(topology: dict[str, Any]) -> list[Points]:
    """The lines of a TopoJSON file in degrees."""
    scale, shift = (np.array(topology["transform"][name]) for name in ("scale", "translate"))
    return [np.cumsum(np.array(arc, dtype=np.float64), axis=0) * scale + shift for arc in topology["arcs"]]


def unwrapped(degrees: Points) -> Points:
    """A line whose longitudes continue past 180 instead of jumping to -180."""
    return np.column_stack([np.unwrap(degrees[:, 0], period=360.0), degrees[:, 1]])


def simplified(line: Points, draw: Drawing) -> Points:
    """Visvalingam and Whyatt (1993): the points whose triangle with their neighbours is smallest go first; ends stay."""
    sheet = draw(unwrapped(line))
    kept = list(range(len(line)))
    while len(kept) > (4 if np.array_equal(line[0], line[-1]) else 2):
        a, b, c = sheet[kept[:-2]], sheet[kept[1:-1]], sheet[kept[2:]]
        areas = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (c - a)[:, 0] * (b - a)[:, 1]) / 2
        least = int(areas.argmin())
        if areas[least] > TOLERANCE:
            break
        del kept[least + 1]
    return line[kept]


def cut(ring: Points) -> list[Points]:
    """A closed ring; one that crosses the date line becomes one ring on each side."""
    whole = unwrapped(ring)
    low, high = whole[:, 0].min(), whole[:, 0].max()
    if low >= -180 and high <= 180:
        return [ring]
    turn = 180.0 if high > 180 else -180.0
    shift = np.array([360.0 if high > 180 else -360.0, 0.0])
    sides = [_side(whole, turn, sign) for sign in (1, -1)]
    outer = 1 if high > 180 else 0  # the side past the line goes to the other end of the map
    return [side - shift if place == outer else side for place, side in enumerate(sides) if len(side) > 3]


def _side(ring: Points, turn: float, sign: int) -> Points:
    """The part of a ring where sign * (turn - longitude) >= 0 (Sutherland and Hodgman 1974)."""
    found = []
    for a, b in zip(ring[:-1], ring[1:], strict=True):
        inside, then = sign * (turn - a[0]) >= 0, sign * (turn - b[0]) >= 0
        if inside:
            found.append(a)
        if inside != then:
            found.append(a + (b - a) * (turn - a[0]) / (b[0] - a[0]))
    return np.array([*found, found[0]]) if found else np.empty((0, 2))


def rings_of(geometry: dict[str, Any]) -> Iterable[list[int]]:
    polygons = [geometry["arcs"]] if geometry["type"] == "Polygon" else geometry["arcs"]
    return (ring for polygon in polygons for ring in polygon)


def joined(ring: list[int], arcs: list[Points]) -> Points:
    """The ring's points; a negative number is an arc in reverse."""
    parts = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in ring]
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def path_of(rings: Iterable[Points]) -> str:
    """A path of whole numbers, each point relative to the one before; rings without an area are left out."""
    text = ""
    for ring in rings:
        whole = np.rint(ring).astype(int)
        whole = whole[np.r_[True, np.any(np.diff(whole, axis=0) != 0, axis=1)]]
        if len(whole) < 4:
            continue
        steps = np.diff(whole[:-1], axis=0)
        text += f"M{whole[0][0]} {whole[0][1]}l" + " ".join(f"{x} {y}" for x, y in steps).replace(" -", "-") + "Z"
    return text


def centre(rings: list[Points]) -> tuple[float, float]:
    """Centre of gravity of the largest ring."""

    def area(ring: Points) -> float:
        x, y = (ring - ring[0]).T
        return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)

    ring = max(rings, key=lambda r: abs(area(r)))
    x, y = (ring - ring[0]).T
    cross, whole = x[:-1] * y[1:] - x[1:] * y[:-1], area(ring)
    if whole == 0:
        return float(ring[0][0]), float(ring[0][1])
    middle = ring[0] + [((x[:-1] + x[1:]) * cross).sum() / (6 * whole), ((y[:-1] + y[1:]) * cross).sum() / (6 * whole)]
    return float(middle[0]), float(middle[1])


def world(
    coarse: dict[str, Any], middle: dict[str, Any], fine: dict[str, Any], codes: dict[str, str]
) -> dict[str, Any]:
    """Shapes from the coarse map; territories missing there get their place from the finer ones."""

    def drawn(geometry: dict[str, Any], lines: list[Points]) -> list[Points]:
        return [draw(part) for ring in rings_of(geometry) for part in cut(joined(ring, lines))]

    def code_of(geometry: dict[str, Any]) -> str:
        return _CODE.get(geometry["properties"]["name"], codes.get(geometry.get("id", ""), ""))

    wanted = [g for g in coarse["objects"]["countries"]["geometries"] if code_of(g) not in LEFT_OUT]
    arcs = arcs_of(coarse)
    draw = Drawing(np.concatenate([part for g in wanted for ring in rings_of(g) for part in cut(joined(ring, arcs))]))
    lines = [simplified(arc, draw) for arc in arcs]
    shapes: dict[str, str] = {}
    places: dict[str, list[float]] = {}
    small = set()
    for geometry in wanted:
        code = code_of(geometry)
        shapes[code] = shapes.get(code, "") + path_of(drawn(geometry, lines))
        if code:
            rings = drawn(geometry, arcs)
            places[code] = [round(v, 1) for v in centre(rings)]
            if max(float(np.prod(np.ptp(ring, axis=0))) for ring in rings) < SMALL or not shapes[code]:
                small.add(code)
    for topology in (middle, fine):
        finer = arcs_of(topology)
        for geometry in topology["objects"]["countries"]["geometries"]:
            code = code_of(geometry)
            if code and code not in places and code not in LEFT_OUT and "arcs" in geometry:
                places[code] = [round(v, 1) for v in centre(drawn(geometry, finer))]
                small.add(code)
    for code, degrees in PARTS.items():
        if code not in places:
            places[code] = [round(float(v), 1) for v in draw(np.array([degrees]))[0]]
            small.add(code)
    shapes = {code: path for code, path in sorted(shapes.items()) if path}
    return {"width": WIDTH, "height": draw.height, "shapes": shapes, "places": places, "small": sorted(small)}
