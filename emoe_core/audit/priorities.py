"""Which groups to collect data for first."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import EMoEError
from .result import HIGHER, GroupStats, Priority

#: From a column ("" for any) and a value to a weight.
Weights = dict[tuple[str, str], float]


def rank(groups: Sequence[GroupStats]) -> tuple[Priority, ...]:
    """Groups that score higher than the others, by weight times the lower end of the effect's interval.

    The lower end is used instead of the effect so that a large but uncertain gap does not come before a sure one.
    """
    needy = [(g, g.effect) for g in groups if g.finding == HIGHER and g.effect is not None]
    scored = [(g, e, g.weight * max(0.0, e.delta_low)) for g, e in needy]
    scored.sort(key=lambda item: (-item[2], -item[1].delta, item[0].column, item[0].value))
    sums: dict[str, float] = {}
    for group, _, need in scored:
        sums[group.column] = sums.get(group.column, 0.0) + need
    found = []
    for place, (group, effect, need) in enumerate(scored, start=1):
        whole = sums[group.column]
        weighed = "" if group.weight == 1 else f", weight {group.weight:g}"
        doubt = "; length or shared wording may explain part of it" if group.explained else ""
        chance = (1 + effect.delta) / 2
        where = "on {} % of the prompts" if effect.paired else "in {} % of comparisons"
        reason = (
            f"scores higher than {effect.against} {where.format(round(100 * chance))} "
            f"(95 % interval {50 * (1 + effect.delta_low):.0f} to {50 * (1 + effect.delta_high):.0f} %){weighed}{doubt}"
        )
        share = need / whole if whole > 0 else 0.0
        found.append(
            Priority(
                place,
                group.column,
                group.value,
                need,
                share,
                group.weight,
                effect.delta,
                effect.delta_low,
                reason,
            )
        )
    return tuple(found)


def read_weights(path: str | Path) -> Weights:
    """The user's weights from a small table: a column named `weight`, and one named like the group column.

    `language,weight` gives weights to languages; a second column named `group` or `value` matches any column.

    Raises:
        EMoEError: the file has no such columns, or a weight is no number of at least 0; the message names the line.
    """
    from ..prompts import read_table

    weights: Weights = {}
    for line, entry in read_table(path):
        lowered = {name.strip().lower(): name for name in entry}
        others = [name for name in entry if name.strip().lower() != "weight"]
        if "weight" not in lowered or len(others) != 1:
            raise EMoEError(
                f"The weights '{path}' need two columns, weight and one named like the groups' column (language, ...); "
                f"they have {', '.join(entry)}."
            )
        try:
            weight = float(entry[lowered["weight"]])
        except ValueError:
            weight = -1.0
        if not 0 <= weight < float("inf"):
            raise EMoEError(f"Line {line} of the weights '{path}' has no weight of 0 or more; write a number.")
        name = others[0].strip()
        weights["" if name.lower() in ("group", "value") else name, entry[others[0]].strip()] = weight
    return weights


def weight_of(weights: Weights, column: str, value: str) -> float | None:
    """The weight of a group, ignoring the case of the column's name; None without a weight."""
    found = weights.get((column, value), weights.get(("", value)))
    if found is None:
        found = next((w for (c, v), w in weights.items() if c.lower() == column.lower() and v == value), None)
    return found
