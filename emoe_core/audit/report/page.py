"""The whole page, section by section."""

from collections.abc import Callable
from pathlib import Path

from ...io.files import explained, write_whole
from ...pages.frame import check_language, section, tiles, top, whole_page
from ...pages.markup import Both, Content, Html, join, plain, prompt, tag
from ...pages.wording import between, listed, percent, told, whole
from ..result import FEW, HIGHER, AuditResult
from . import charts, details, tables, world
from .charts import chance
from .names import Names
from .wording import say, texts


def html(result: AuditResult, language: str = "en") -> str:
    """The report as text. Both languages are in it; `language` ("en" or "ja") is shown first.

    Raises:
        EMoEError: an unknown language.
    """
    check_language(language)
    names = Names(result)
    sections = [
        ("first", _by_column(result, names, charts.priorities)),
        ("map", join(*(_map(result, names, column) for column in world.columns(result, names)))),
        ("spread", _by_column(result, names, charts.distributions, tables.figures)),
        ("sure", _by_column(result, names, charts.effects)),
        ("groups", details.groups(result, names)),
        ("why", join(_by_column(result, names, tables.causes), tables.properties(result))),
        ("baselines", join(tables.agreement(result), _by_column(result, names, tables.baselines, titled=False))),
        ("left", tables.left_out(result)),
        ("limits", tag("ul", *(tag("li", say(f"limit_{place}")) for place in range(1, 7)), cls="plain")),
        ("settings", tables.settings(result)),
    ]
    if not result.columns:
        sections = [(key, body) for key, body in sections if key in ("left", "limits", "settings")]
    shown = [(key, body) for key, body in sections if body]
    title = texts()["title"][language]
    main = [_summary(result, names), *(section(say, key, body) for key, body in shown)]
    foot = tag("footer", tag("p", say("foot")), tag("p", say("foot_map"), cls="note"))
    about = say("about", name=prompt(result.name, 80), date=tag("span", result.created[:10], cls="date"))
    head = top(say, about, [key for key, _ in shown])
    return whole_page(f"{title} – {plain(result.name, 80)}", language, [head, tag("main", *main), foot])


def write(result: AuditResult, path: str | Path, language: str = "en") -> Path:
    """Writes the report; the file is complete or absent.

    Raises:
        EMoEError: an unknown language, or the file cannot be written.
    """
    path, text = Path(path), html(result, language)
    with explained(f"The report '{path}' cannot be written", "choose another folder"):
        write_whole(path, text)
    return path


def _by_column(
    result: AuditResult, names: Names, *makers: Callable[[AuditResult, Names, str], Html], titled: bool = True
) -> Html:
    parts = []
    for column in result.columns:
        found = join(*(make(result, names, column) for make in makers))
        if found:
            several = titled and len(result.columns) > 1
            parts.append(join(tag("h3", names.column(column)) if several else "", found))
    return join(*parts)


def _map(result: AuditResult, names: Names, column: str) -> Html:
    found = world.extremes(result, names, column)
    ends = tag("p", say("map_extremes", high=found[0], low=found[1])) if found else ""
    return join(world.world_map(result, names, column), ends)


# --- the summary ------------------------------------------------------------------------------------------------------


def _summary(result: AuditResult, names: Names) -> Html:
    parts: list[Content] = [tag("h2", say("summary_title"), id="summary-title")]
    parts += [tag("p", _first(result, names, column), cls="headline") for column in result.columns]
    if not result.columns:
        parts.append(tag("p", say("no_columns"), cls="headline"))
    parts.append(_tiles(result))
    sure = [_how_sure(result, names, column) for column in result.columns]
    parts.append(tag("ul", *(tag("li", line) for line in sure if line), tag("li", say("higher_is_less")), cls="plain"))
    if result.messages:
        lines = (tag("li", told(message)) for message in result.messages[:12])
        rest = len(result.messages) - 12
        more = tag("li", say("more_notices", count=whole(rest))) if rest > 0 else ""
        parts.append(tag("aside", tag("h3", say("notices")), tag("ul", *lines, more), cls="notices"))
    return tag("section", *parts, id="summary", aria_labelledby="summary-title")


def _first(result: AuditResult, names: Names, column: str) -> Content:
    found = [p for p in result.priorities if p.column == column]
    if not found:
        compared = any(g.effect is not None for g in result.of_column(column))
        return say("headline_none" if compared else "headline_few", column=names.column(column))
    top = listed([_strong(names, column, p.value) for p in found[:3]])
    return say("headline", column=names.column(column), groups=top)


def _strong(names: Names, column: str, value: str) -> Both:
    name = names.group(column, value)
    return Both(tag("strong", tag("bdi", name.en)), tag("strong", tag("bdi", name.ja)))


def _how_sure(result: AuditResult, names: Names, column: str) -> Content:
    found = [p for p in result.priorities if p.column == column]
    compared = [g for g in result.of_column(column) if g.finding != FEW]
    if not found or not compared:
        return ""
    group = result.group(column, found[0].value)
    assert group.effect is not None
    line = say(
        "how_sure_paired" if group.effect.paired else "how_sure",
        group=tag("b", names.group(column, group.value)),
        against=tag("b", names.against(column, group.effect.against)),
        share=percent(chance(group.effect.delta)),
        interval=between(chance(group.effect.delta_low), chance(group.effect.delta_high)),
    )
    higher = sum(g.finding == HIGHER for g in compared)
    count = say("how_many", column=names.column(column), higher=whole(higher), compared=whole(len(compared)))
    doubt = sum(g.explained for g in compared if g.finding == HIGHER)
    said: Content = say("doubt", count=whole(doubt), higher=whole(higher)) if doubt else ""
    if doubt == higher > 1:
        said = say("doubt_all")
    return join(count, " ", line, " ", said)


def _tiles(result: AuditResult) -> Html:
    compared = [g for g in result.groups if g.finding != FEW]
    found = tiles(
        (whole(result.prompts), say("tile_prompts")),
        (whole(len(result.experts)), say("tile_experts")),
        (whole(len(result.groups)), say("tile_groups")),
        (whole(sum(g.finding == HIGHER for g in compared)), say("tile_higher")),
    )
    experts = [prompt(str(e.get("name", "")), 60) for e in result.experts]
    note = tag("p", say("experts_are", names=Html(", ".join(experts))), cls="note") if experts else ""
    return join(found, note)
