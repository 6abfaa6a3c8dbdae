"""The world map: territories coloured by the median score of their group."""

from ...pages.markup import Both, Html, escaped, join, render, tag
from ...pages.wording import commas, short
from ..result import AuditResult, GroupStats
from .names import TERRITORY, Names, data, territory_code
from .wording import say

CLASSES = 6


def columns(result: AuditResult, names: Names) -> list[str]:
    """The columns that a map can show."""
    return [c for c in result.columns if names.kinds[c] == TERRITORY and any(g.score for g in result.of_column(c))]


def world_map(result: AuditResult, names: Names, column: str) -> Html:
    """One column on the map, with its legend and the groups that could not be drawn."""
    world = data("world")
    scored = [g for g in result.of_column(column) if g.score is not None]
    by_code = {code: g for g in reversed(scored) if (code := territory_code(g.value)) in world["places"]}
    edges = steps([g.score.median for g in by_code.values() if g.score])
    land, dots = [], []
    for code, shape in world["shapes"].items():
        group = by_code.get(code)
        land.append(_shape("path", code, group, edges, names, f'd="{shape}"'))
    for code, (x, y) in world["places"].items():
        if code in by_code and (code in world["small"] or code not in world["shapes"]):
            place = f'cx="{min(max(x, 9), world["width"] - 9):g}" cy="{y:g}" r="8"'
            dots.append(_shape("circle", code, by_code[code], edges, names, place))
    title = f"map-title-{result.columns.index(column)}"
    picture = Html(
        f'<svg class="map" viewBox="0 0 {world["width"]} {world["height"]}" role="img" aria-labelledby="{title}">'
        f"{''.join(land)}{''.join(dots)}</svg>"
    )
    missing = [g for g in scored if territory_code(g.value) not in world["places"]]
    notes = [tag("p", say("map_note"), cls="note")]
    if missing:
        said = join(*(tag("span", tag("bdi", names.group(column, g.value)), cls="listed") for g in missing[:20]))
        notes.insert(0, tag("p", say("map_missing", names=said, count=str(len(missing))), cls="note"))
    caption = tag("figcaption", say("map_caption", column=names.column(column)), id=title, cls="axis-name")
    return tag("figure", caption, picture, _legend(edges), *notes)


def steps(values: list[float]) -> list[float]:
    """Edges of the colour classes, one more than classes: equal widths from the lowest to the highest median."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if not low < high:
        high = low + 1e-9
    return [low + (high - low) * i / CLASSES for i in range(CLASSES + 1)]


def class_of(value: float, edges: list[float]) -> int:
    """The colour class of a median, 0 for the lowest."""
    return min(CLASSES - 1, max(0, sum(value >= edge for edge in edges[1:-1])))


def _shape(kind: str, code: str, group: GroupStats | None, edges: list[float], names: Names, place: str) -> str:
    if group is None or group.score is None:
        return f'<{kind} class="land" {place}/>'
    name = names.group(group.column, group.value)
    said = " · ".join(dict.fromkeys((name.en, name.ja)))
    told = escaped(f"{said}: {short(group.score.median)} (n = {group.n})")
    return f'<{kind} class="m{class_of(group.score.median, edges)}" data-code="{code}" {place}><title>{told}</title></{kind}>'


def _legend(edges: list[float]) -> Html:
    cells = [tag("span", tag("i", cls=f"m{i}"), short(edges[i]), cls="class") for i in range(CLASSES)]
    more = tag("span", tag("i", cls="land"), say("map_no_data"), cls="class")
    least, most = (tag("span", text, cls="end") for text in (say("map_low"), say("map_high")))
    return tag("p", least, *cells, most, more, cls="map-legend")


def extremes(result: AuditResult, names: Names, column: str, most: int = 8) -> tuple[Both, Both] | None:
    """Names of the territories with the highest and the lowest medians, or None when there are too few."""
    scored = [g for g in result.of_column(column) if g.score is not None]
    if len(scored) < 2 * most:
        return None
    name = [tag("bdi", render(names.group(column, g.value))) for g in (*scored[:most], *scored[-most:])]
    return commas([Both(one, one) for one in name[:most]]), commas([Both(one, one) for one in name[most:]])
