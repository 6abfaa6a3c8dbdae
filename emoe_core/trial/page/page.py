"""The whole page, section by section."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from ...io.files import explained, write_whole
from ...pages.frame import DASH, check_language, section, table, tiles, top, whole_page
from ...pages.markup import Both, Content, Html, join, plain, prompt, tag
from ...pages.plots import Curve, plot
from ...pages.rows import Scale, bar, chart, dot, drawing, key, line, path, row
from ...pages.wording import between, percent, short, whole
from ..by_prompt import Group
from ..evidence import Evidence
from ..foresight import EDGE, ENSEMBLE, Found
from ..labels import MARKS
from .look import look_section
from .record import coverage, record
from .shots import See, no_pictures, shots
from .wording import TEXTS, first, judge_of, reading_name, say, two


def html(shown: Evidence, see: See = no_pictures, language: str = "en", date: str = "") -> str:
    """The page as text. Both languages are in it; `language` ("en" or "ja") is shown first.

    Args:
        see: opens a picture of the trial.
        date: of the page; today when empty.

    Raises:
        EMoEError: an unknown language.
    """
    check_language(language)
    sections = [
        ("readings", _readings(shown)),
        ("quarters", _quarters(shown)),
        ("coverage", _coverage(shown)),
        ("set", _set(shown)),
        (
            "surprises",
            shots([("certain_bad", shown.certain_bad), ("uncertain_good", shown.uncertain_good)], see),
        ),
        ("groups", _groups(shown)),
        ("agreement", _agreement(shown)),
        ("look", look_section(shown)),
        ("rule", _rule()),
        ("limits", tag("ul", *(tag("li", say(f"limit_{place}")) for place in range(1, 6)), cls="plain")),
    ]
    found = [(name, body) for name, body in sections if body]
    main = reading_name(shown.main.name if shown.main else DASH)

    def lead(name: str, **values: Content) -> Both:
        return say(name, **values, main=main)

    date = date or datetime.now(timezone.utc).date().isoformat()
    about = say("about", name=prompt(shown.name, 80), date=tag("span", date, cls="date"))
    content = [
        top(say, about, [name for name, _ in found]),
        tag("main", _summary(shown), *(section(lead, name, body) for name, body in found)),
        tag("footer", tag("p", say("foot"))),
    ]
    title = TEXTS.all["title"][language]
    return whole_page(f"{title} – {plain(shown.name, 80)}", language, content, pictures=True)


def write(shown: Evidence, folder: str | Path, see: See = no_pictures, language: str = "en") -> tuple[Path, Path]:
    """Writes trial.html and trial.json into a folder, which is made; each file is complete or absent.

    Raises:
        EMoEError: an unknown language, or a file cannot be written.
    """
    folder, text = Path(folder), html(shown, see, language)
    page, numbers = folder / "trial.html", folder / "trial.json"
    with explained(f"The trial's page cannot be written to '{folder}'", "choose another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(page, text)
        write_whole(numbers, json.dumps(record(shown), ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    return page, numbers


# --- the summary ------------------------------------------------------------------------------------------------------


def _summary(shown: Evidence) -> Html:
    judge = judge_of(shown.labels)
    said: list[Content] = [
        say("labels_marks") if shown.labels == MARKS else say("labels_judge", judge=prompt(judge, 60))
    ]
    said += [say(f"left_{name}", judge=prompt(judge, 60)) for name in shown.excluded]
    said.append(say("auroc_means"))
    numbers = tiles(
        (whole(shown.pictures), say("tile_pictures", drawn=whole(shown.drawn))),
        (whole(shown.bad), say("tile_bad")),
        (whole(len(shown.labelled)), say("tile_prompts")),
        (whole(len(shown.experts)) if shown.experts else DASH, say("tile_experts")),
    )
    named = [prompt(name, 60) for name in shown.experts if name]
    return tag(
        "section",
        tag("h2", say("summary_title"), id="summary-title"),
        tag("p", say(f"rule_{shown.rule}"), cls=f"verdict {shown.rule}"),
        tag("p", first(shown), cls="headline"),
        numbers,
        tag("p", say("experts_are", names=Html(", ".join(named))), cls="note") if named else "",
        tag("ul", *(tag("li", one) for one in said), cls="plain"),
        id="summary",
        aria_labelledby="summary-title",
    )


# --- readings ---------------------------------------------------------------------------------------------------------


def _tone(shown: Evidence, one: Found) -> str:
    if shown.main is not None and one.name == shown.main.name:
        return "higher"
    return "lower" if one.kind == ENSEMBLE else "none"


def _readings(shown: Evidence) -> Html:
    """AUROC of every reading and baseline, those of several models first."""
    found = sorted(shown.found, key=lambda one: (one.kind != ENSEMBLE, -one.value))
    ends = [end for one in found for end in (one.low, one.high, one.value)]
    scale = Scale(min(0.4, 0.1 * int(10 * min(ends))), 1.0)
    rows = []
    for one in found:
        tone = _tone(shown, one)
        picture = drawing(
            scale.grid(),
            path("zero", f"M{scale(EDGE):g} 0V24"),
            line(f"whisker {tone}", scale(one.low), scale(one.high)),
            dot(tone, scale(one.value)),
        )
        told = say("range", low=two(one.low), high=two(one.high))
        rows.append(row([tag("span", reading_name(one.name))], picture, two(one.value), tag("small", told)))
    keys = {"higher": "key_main", "lower": "key_ensemble", "none": "key_baseline"}
    used = dict.fromkeys(_tone(shown, one) for one in found)
    legend = [key(tone, say(text)) for tone, text in keys.items() if tone in used]
    axis = tag("p", say("readings_axis"), cls="axis-name")
    return join(axis, chart(rows, scale, *legend, more=lambda count: whole(count)), _reading_table(shown, found))


def _reading_table(shown: Evidence, found: Sequence[Found]) -> Html:
    main = reading_name(shown.main.name) if shown.main else DASH
    rows: list[Sequence[Content]] = []
    for one in found:
        kind = say(f"kind_{one.kind.replace(' ', '_')}")
        cells = [
            reading_name(one.name),
            kind,
            _ranged(one.value, one.low, one.high),
            whole(one.pictures),
            whole(one.bad),
        ]
        gap: Content = DASH
        if one.against is not None:
            gap = _ranged(one.against.value, one.against.low, one.against.high)
        rows.append([*cells, gap, _finding(shown, one)])
    head = [say(f"head_{name}") for name in ("reading", "kind", "auroc", "pictures", "bad")]
    return table(say("readings_table"), [*head, say("head_gap", main=main), say("head_verdict")], rows, "readings")


def _finding(shown: Evidence, one: Found) -> Content:
    if one.against is None or shown.main is None:
        return say("is_main") if shown.main is not None and one.name == shown.main.name else DASH
    main = reading_name(shown.main.name)
    if one.against.low > 0:
        return say("clearly_better", main=main)
    return say("clearly_worse", main=main) if one.against.high < 0 else say("not_clear")


def _ranged(value: float, low: float, high: float) -> Both:
    return say("with_range", value=two(value), low=two(low), high=two(high))


# --- quarters, coverage -----------------------------------------------------------------------------------------------


def _quarters(shown: Evidence) -> Html:
    if not shown.quarters:
        return tag("p", say("quarters_few"))
    scale = Scale(0.0, 100.0, " %")
    rows = []
    for number, one in enumerate(shown.quarters, start=1):
        middle, low, high = (scale(100 * value) for value in (one.share, one.low, one.high))
        picture = drawing(scale.grid(), bar("likely", scale(0.0), middle), line("interval", low, high))
        name: list[Content] = [say("quarter", number=str(number))]
        ends = {1: "quarter_first", len(shown.quarters): "quarter_last"}
        if number in ends:
            name.append(tag("small", " ", say(ends[number])))
        told = say("prompts_scores", prompts=whole(one.prompts), low=short(one.low_score), high=short(one.high_score))
        rows.append(
            row(
                [tag("span", *name)],
                picture,
                percent(one.share),
                tag("small", between(one.low, one.high)),
                tag("small", told),
            )
        )
    axis = tag("p", say("quarters_axis"), cls="axis-name")
    return join(axis, chart(rows, scale, more=lambda count: whole(count)))


def _coverage(shown: Evidence) -> Html:
    report = shown.report
    if report is None or shown.oracle is None:
        return tag("p", say("coverage_none"))
    across = 100 * report.coverage
    band = 100 * report.risk_band
    own, best = 100 * report.curve.risk_at(report.coverage), 100 * shown.oracle.risk_at(report.coverage)
    start = min(len(across) - 1, max(0, int(100 * 2 / len(report.scores))))  # what fewer than two prompts say is noise
    chosen = slice(start, None)
    chance = 100 * float(report.bad.mean())
    highest = max(float(own[chosen].max()), float(band[1][chosen].max()), chance, 10.0)
    picture = plot(
        [
            Curve("band", across[chosen].tolist(), band[0][chosen].tolist(), band[1][chosen].tolist()),
            Curve("oracle", across[chosen].tolist(), best[chosen].tolist()),
            Curve("random", [float(across[start]), 100.0], [chance, chance]),
            Curve("score", across[chosen].tolist(), own[chosen].tolist()),
        ],
        Scale(0.0, 100.0, " %"),
        Scale(0.0, min(100.0, 10 * (highest // 10 + 1)), " %"),
        say("coverage_x"),
        key("score", say("key_score")),
        key("random", say("key_random")),
        key("oracle", say("key_oracle")),
    )
    rows: list[Sequence[Content]] = [
        [
            percent(one["pass"]),
            percent(one["bad_among_passed"]),
            percent(one["good_lost"]),
            _seconds(one["seconds_saved_per_100"]),
        ]
        for one in coverage(shown)
    ]
    head = [say(f"head_{name}") for name in ("pass", "risk", "lost", "saved")]
    area = report.areas["aurc"]
    low, high = area["interval"]
    mean = say(
        "areas",
        **{
            name: percent(value)
            for name, value in zip(("value", "low", "high"), (area["value"], low, high), strict=True)
        },
        random=percent(area["random"]),
        oracle=percent(area["oracle"]),
    )
    return join(
        tag("p", say("coverage_axis"), cls="axis-name"),
        picture,
        tag("p", mean, cls="note"),
        table(say("coverage_table"), head, rows, "coverage"),
        tag("p", _seconds_note(shown), cls="note"),
    )


def _seconds(value: float | None) -> Content:
    return DASH if value is None else say("seconds", count=whole(round(value)))


def _seconds_note(shown: Evidence) -> Both:
    if shown.seconds is None:
        return say("seconds_unknown")
    which = "seconds_with_score" if shown.with_score else "seconds_alone"
    return say(which, seconds=f"{shown.seconds:.3g}", each=f"{shown.each:.3g}")


# --- what to set ------------------------------------------------------------------------------------------------------


def _set(shown: Evidence) -> Html:
    advice = shown.advice
    if advice is None:
        return Html("")
    main = reading_name(shown.main.name) if shown.main else DASH
    lines: list[Content] = [
        say("set_line", preset=advice.preset, policy=advice.policy, alpha=f"{advice.alpha:g}", mode=advice.mode),
        say(advice.why, **({"main": main} if advice.why in ("advice_other", "advice_one_model") else {})),
    ]
    if advice.threshold is not None:
        lines.append(say("set_threshold", threshold=short(advice.threshold), alpha=percent(advice.alpha)))
    rows: list[Sequence[Content]] = []
    for one in shown.offers:
        cells: list[Content] = [tag("code", f"{one.policy} {one.alpha:g}")]
        if one.threshold is None or one.does is None:
            cells += [say("no_threshold"), DASH, DASH, DASH, DASH, DASH]
        else:
            told = ("blocked", "good_blocked", "bad_blocked", "bad_among_passed")
            cells += [short(one.threshold), *(percent(one.does[name]) for name in told)]
            cells.append(_seconds(shown.saved(one.does["blocked"])))
        rows.append(cells)
    head = [say(f"head_{name}") for name in ("policy", "threshold", "blocked", "lost", "caught", "risk", "saved")]
    offers = (
        join(table(say("offers_table"), head, rows, "offers"), tag("p", say("offers_note"), cls="note")) if rows else ""
    )
    return join(tag("ul", *(tag("li", one) for one in lines), cls="plain"), offers)


# --- groups, judges, the rule -----------------------------------------------------------------------------------------


def _groups(shown: Evidence) -> Html:
    columns: dict[str, list[Group]] = {}
    for one in shown.groups:
        columns.setdefault(one.column, []).append(one)
    parts = []
    for place, (column, groups) in enumerate(columns.items()):
        rows: list[Sequence[Content]] = []
        for one in groups:
            share = join(percent(one.share), " (", between(one.low, one.high), ")")
            known: Content = say("too_few")
            if one.auroc is not None:
                known = _ranged(one.auroc, one.auroc_low, one.auroc_high)
            rows.append([prompt(one.value, 60), whole(one.prompts), share, known])
        head = [say(f"head_{name}") for name in ("group", "prompts", "share", "auroc_within")]
        parts.append(table(say("groups_of", column=prompt(column, 60)), head, rows, f"groups-{place}"))
    return join(*parts)


def _agreement(shown: Evidence) -> Html:
    rows: list[Sequence[Content]] = []
    for judge, one in shown.agreement.items():
        known = _ranged(one.value, one.low, one.high) if one.value == one.value else DASH
        rows.append([prompt(judge, 60), whole(one.pictures), known])
    if not rows:
        return Html("")
    return table(
        say("agreement_table"), [say(f"head_{name}") for name in ("judge", "pictures", "kappa")], rows, "agreement"
    )


def _rule() -> Html:
    edge = f"{EDGE:g}"
    said = [say("rule_is_proved", edge=edge), say("rule_is_refuted", edge=edge), say("rule_is_undecided")]
    items = (tag("li", one) for one in said)
    return join(tag("ul", *items, cls="plain"), tag("p", say("rule_sequence")), tag("p", say("rule_main")))
