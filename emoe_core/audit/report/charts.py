"""The report's charts by column: what to collect first, the distributions of scores, and how much higher each group is."""

from ...pages.markup import Both, Content, Html, join, tag
from ...pages.rows import Scale, bar, dot, drawing, key, line, path
from ...pages.wording import between, percent, short, signed
from ..result import AuditResult, GroupStats, Priority
from .names import Names
from .rows import chart, row, score_scale, spread, tone
from .wording import say


def is_reference(result: AuditResult, group: GroupStats) -> bool:
    return f"{group.column}={group.value}" in result.references


def finding_of(result: AuditResult, group: GroupStats) -> Both:
    """What was found of a group, in words."""
    return say("key_reference" if is_reference(result, group) else f"finding_{group.finding.replace(' ', '_')}")


def chance(delta: float) -> float:
    """How often a prompt of the group scores higher, from Cliff's delta."""
    return (1 + delta) / 2


def priorities(result: AuditResult, names: Names, column: str) -> Html:
    """The groups that data would help first, ordered by the sure part of their gap."""
    found = [p for p in result.priorities if p.column == column]
    if not found:
        compared = [g for g in result.of_column(column) if g.effect is not None]
        return tag("p", say("none_higher" if compared else "nothing_compared", count=str(len(compared))))
    lows = [100 * chance(result.group(p.column, p.value).effect.delta_low) for p in found]  # type: ignore[union-attr]
    scale = Scale(10 * min(5, min(lows) // 10), 100.0, " %")
    rows = [_priority(result, names, priority, place, scale) for place, priority in enumerate(found, start=1)]
    legend = [
        key("sure", say("key_sure")),
        key("likely", say("key_likely")),
        key("interval", say("key_interval")),
    ]
    effect = result.group(column, found[0].value).effect
    against = names.against(column, effect.against) if effect else say("others")
    asked = say("first_axis_paired" if effect and effect.paired else "first_axis", against=against)
    note = say("dagger_note") if any(result.group(column, p.value).explained for p in found) else ""
    return join(
        tag("p", asked, cls="axis-name"), chart(rows, scale, *legend), tag("p", note, cls="note") if note else ""
    )


def _priority(result: AuditResult, names: Names, priority: Priority, place: int, scale: Scale) -> Html:
    group = result.group(priority.column, priority.value)
    assert group.effect is not None  # only compared groups are ranked
    middle, low, high = (
        scale(100 * chance(v)) for v in (group.effect.delta, group.effect.delta_low, group.effect.delta_high)
    )
    half = scale(50.0)
    picture = drawing(
        scale.grid(),
        bar("likely", half, middle),
        bar("sure", half, max(half, low)),
        line("interval", low, high),
        path("zero", f"M{half:g} 0V24"),
    )
    numbers: list[Content] = [percent(chance(group.effect.delta))]
    numbers.append(tag("small", between(chance(group.effect.delta_low), chance(group.effect.delta_high))))
    if group.explained:
        numbers.append(tag("sup", "†"))
    if priority.weight != 1:
        numbers.append(tag("small", say("weight", weight=f"{priority.weight:g}")))
    return row(names, priority.column, priority.value, picture, *numbers, rank=place)


def distributions(result: AuditResult, names: Names, column: str) -> Html:
    """The distribution of each group's scores, and the share that a gate would block."""
    groups = [g for g in result.of_column(column) if g.score is not None]
    if not groups:
        return tag("p", say("nothing_scored"))
    scale = score_scale(result.bins, groups)
    rows = []
    for group in groups:
        assert group.score is not None
        cls = tone(group, is_reference(result, group))
        numbers: list[Content] = [short(group.score.median)]
        if group.blocked is not None:
            numbers.append(tag("small", say("blocked_short", share=percent(group.blocked))))
        picture = drawing(scale.grid(), spread(group.score, result.bins, scale, cls))
        rows.append(row(names, column, group.value, picture, *numbers))
    legend = _tones(groups, result)
    return join(tag("p", say("spread_axis"), cls="axis-name"), chart(rows, scale, *legend))


def _tones(groups: list[GroupStats], result: AuditResult) -> list[Html]:
    used = {tone(group, is_reference(result, group)) for group in groups}
    return [key(cls, say(f"key_{cls}")) for cls in ("higher", "none", "lower", "reference") if cls in used]


def effects(result: AuditResult, names: Names, column: str) -> Html:
    """The difference of each group with its interval, in the score's own unit."""
    groups = [g for g in result.of_column(column) if g.effect is not None]
    if not groups:
        return tag("p", say("nothing_compared", count="0"))
    ends = [v for g in groups if g.effect for v in (g.effect.shift_low, g.effect.shift_high)]
    air = 0.04 * ((max(*ends, 0.0) - min(*ends, 0.0)) or 1.0)
    scale = Scale(min(*ends, 0.0) - air, max(*ends, 0.0) + air)
    rows = []
    groups.sort(key=lambda g: -(g.effect.shift if g.effect else 0.0))
    for group in groups:
        effect = group.effect
        assert effect is not None
        cls = tone(group, False)
        picture = drawing(
            scale.grid(),
            path("zero", f"M{scale(0):g} 0V24"),
            line(f"whisker {cls}", scale(effect.shift_low), scale(effect.shift_high)),
            dot(cls, scale(effect.shift)),
        )
        told = say("range", low=signed(effect.shift_low), high=signed(effect.shift_high))
        rows.append(row(names, column, group.value, picture, signed(effect.shift), tag("small", told)))
    paired = any(g.effect and g.effect.paired for g in groups)
    first = groups[0].effect
    against = names.against(column, first.against) if first else say("others")
    asked = say("effect_axis_paired" if paired else "effect_axis", against=against)
    return join(tag("p", asked, cls="axis-name"), chart(rows, scale, *_tones(groups, result)))
