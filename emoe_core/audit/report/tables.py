"""The report's tables: all figures, the effect of length and wording, the cheap baselines, and the settings."""

import json
from collections.abc import Sequence

from ...pages.frame import DASH, table
from ...pages.markup import Both, Content, Html, join, plain, prompt, tag
from ...pages.wording import MINUS, between, commas, listed, percent, short, signed, told, whole
from ..result import Adjusted, AuditResult, GroupStats
from .charts import finding_of
from .names import Names
from .wording import say, texts


def name_of(names: Names, group: GroupStats) -> Html:
    code = names.code(group.column, group.value)
    return join(tag("bdi", names.group(group.column, group.value)), tag("small", " ", code) if code else "")


def figures(result: AuditResult, names: Names, column: str) -> Html:
    """Every number of a column's groups."""
    groups = result.of_column(column)
    gated = any(g.blocked is not None for g in groups)
    head = [
        "group",
        "prompts",
        "median",
        "q05_q95",
        *(["blocked"] if gated else []),
        "delta",
        "shift",
        "p_holm",
        "finding",
    ]
    rows: list[Sequence[Content]] = []
    for g in groups:
        e, d = g.effect, g.score
        cells: list[Content] = [name_of(names, g), whole(g.n)]
        cells += [short(d.median), f"{short(d.q05)}–{short(d.q95)}"] if d else [DASH, DASH]
        if gated:
            cells.append(_blocked(g))
        if e is None:
            cells += [DASH, DASH, DASH]
        else:
            cells.append(_with_range(e.delta, e.delta_low, e.delta_high))
            cells.append(
                join(signed(e.shift), " (", say("range", low=signed(e.shift_low), high=signed(e.shift_high)), ")")
            )
            cells.append("< 0.0001" if e.p_holm < 1e-4 else f"{e.p_holm:.4f}")
        cells.append(finding_of(result, g))
        rows.append(cells)
    key = f"figures-{result.columns.index(column)}"
    inner = table(say("figures_of", column=names.column(column)), [say(f"head_{h}") for h in head], rows, key)
    tests = dict.fromkeys(g.effect.test for g in groups if g.effect)
    note = tag("p", say("figures_note", tests=commas([_test(name) for name in tests]) if tests else DASH), cls="note")
    return tag("details", tag("summary", say("all_figures", column=names.column(column))), inner, note, cls="tail")


def _test(name: str) -> Both:
    key = f"test_{name.lower().replace(' ', '_').replace('-', '_')}"
    return say(key) if key in texts() else Both(plain(name), plain(name))


def _blocked(g: GroupStats) -> Content:
    if g.blocked is None or g.blocked_low is None or g.blocked_high is None:
        return DASH
    return join(percent(g.blocked), " (", between(g.blocked_low, g.blocked_high), ")")


def causes(result: AuditResult, names: Names, column: str) -> Html:
    """For each group that differs: what is left of its difference at equal length and wording."""
    rows: list[Sequence[Content]] = []
    for g in result.of_column(column):
        if g.effect is None or g.finding not in ("higher", "lower"):
            continue
        rows.append([name_of(names, g), _two(g.effect.delta), _adjusted(g.adjusted), _verdict(g), _marks(g.adjusted)])
    if not rows:
        return tag("p", say("no_differences"))
    key = f"causes-{result.columns.index(column)}"
    head = [say(f"head_{h}") for h in ("group", "delta", "adjusted", "verdict", "marks")]
    return table(say("causes_of", column=names.column(column)), head, rows, key)


def _two(value: float | None) -> str:
    """A number with two decimals."""
    return DASH if value is None else f"{value:.2f}".replace("-", MINUS)


def _with_range(value: float, low: float, high: float) -> Html:
    return join(_two(value), " (", say("range", low=_two(low), high=_two(high)), ")")


def _adjusted(found: Adjusted | None) -> Content:
    if found is None or found.delta is None or found.low is None or found.high is None:
        return DASH
    return _with_range(found.delta, found.low, found.high)


def _verdict(group: GroupStats) -> Both:
    found = group.adjusted
    if not group.explained:
        return say("verdict_remains")
    if found is None or found.delta is None:
        return say("verdict_unknown")
    return say("verdict_inseparable" if set(found.marks) - {"shared_english"} else "verdict_explained")


def _marks(found: Adjusted | None) -> Content:
    if found is None:
        return DASH
    if found.marks:
        return listed([say(f"property_{name}") for name in found.marks])
    if found.why:
        return say(f"note_{found.why}")
    return tag("span", plain(found.note), lang="en") if found.note else DASH  # from a result without codes


def properties(result: AuditResult) -> Html:
    """How each property of the text correlates with the score."""
    rows: list[Sequence[Content]]
    rows = [[say(f"property_{c.name}"), _two(c.overall), _two(c.within)] for c in result.confounders]
    return table(say("properties"), [say(f"head_{h}") for h in ("property", "rho", "rho_within")], rows, "properties")


def baselines(result: AuditResult, names: Names, column: str) -> Html:
    """The groups' differences in the scores that need no ensemble."""
    groups = [g for g in result.of_column(column) if g.effect is not None and g.baselines]
    if not groups:
        return Html("")
    kinds = list(dict.fromkeys(b.name for g in groups for b in g.baselines))
    rows = []
    for g in groups:
        assert g.effect is not None
        found = {b.name: b for b in g.baselines}
        cells: list[Content] = [name_of(names, g), _two(g.effect.delta)]
        for kind in kinds:
            b = found.get(kind)
            cells.append(_with_range(b.delta, b.delta_low, b.delta_high) if b else DASH)
        rows.append(cells)
    head = [say("head_group"), say("head_delta_score"), *(say(f"baseline_{kind}") for kind in kinds)]
    inner = table(
        say("baselines_of", column=names.column(column)), head, rows, f"baselines-{result.columns.index(column)}"
    )
    return inner if len(rows) <= 20 else tag("details", tag("summary", names.column(column)), inner, cls="tail")


def agreement(result: AuditResult) -> Html:
    """How similarly the baselines rank the prompts."""
    known = [(name, rho) for name, rho in result.agreement.items() if rho is not None]
    return join(*(tag("p", say("agreement", name=say(f"baseline_{name}"), rho=_two(rho))) for name, rho in known))


def left_out(result: AuditResult) -> Html:
    """Rows that could not be read or scored."""
    if not result.failed and not result.bad:
        return tag("p", say("nothing_left_out"))
    said = tag("p", say("left_out_counts", bad=whole(result.bad), failed=whole(result.failed)))
    items = [tag("li", prompt(line, 300), lang="en") for line in result.rejected]
    more = result.failed + result.bad - len(items)
    rest = tag("p", say("left_out_more", count=whole(more)), cls="note") if more > 0 else ""
    folded = tag(
        "details", tag("summary", say("left_out_show", count=whole(len(items)))), tag("ul", *items), cls="tail"
    )
    return join(said, folded if items else "", rest)


def settings(result: AuditResult) -> Html:
    """What the scores depend on, so that the audit can be repeated."""
    rows: list[Sequence[Content]] = [
        [say("setting_file"), prompt(result.name)],
        [say("setting_created"), tag("code", result.created)],
        [say("setting_fingerprint"), tag("code", result.fingerprint)],
        [say("setting_id"), prompt(result.id_column) if result.id_column else DASH],
        [say("setting_references"), prompt(", ".join(result.references)) if result.references else DASH],
        [say("setting_calibration"), told(result.calibration) if result.calibration else DASH],
        [say("setting_alpha"), f"{result.alpha:g}"],
    ]
    for expert in result.experts:
        file = str(expert.get("file") or "")
        made_of: list[Content] = [prompt(file, 160) if file else ""]
        if identity := str(expert.get("identity") or ""):
            made_of.append(tag("code", identity[:16]))
        rows.append([say("setting_expert", name=prompt(str(expert.get("name", "")), 80)), join(*made_of)])
    for name, value in result.settings.items():
        if name in ("experts", "text_encoders"):
            value = [str(one)[:16] for one in value]
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append([tag("code", plain(str(name), 60)), tag("code", plain(text))])
    return table(say("settings_title"), [say("head_setting"), say("head_value")], rows, "settings")
