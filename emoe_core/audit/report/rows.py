"""The report's rows: a group's name before its drawing, and the distribution of its scores."""

from collections.abc import Sequence

from ...pages import rows
from ...pages.markup import Content, Html, join, tag
from ...pages.rows import TALL, Scale, dot, line, path
from ...pages.wording import whole
from ..result import Distribution, GroupStats
from .names import Names
from .wording import say


def row(names: Names, column: str, value: str, picture: Html, *numbers: Content, rank: int | None = None) -> Html:
    """One group's row."""
    code = names.code(column, value)
    name = tag("bdi", names.group(column, value), cls="name")
    title = [tag("span", name, tag("small", " ", code) if code else "")]
    if rank is not None:
        title.insert(0, tag("span", str(rank), cls="rank"))
    return rows.row(title, picture, *numbers)


def chart(found: Sequence[Html], scale: Scale, *legend: Content) -> Html:
    """Rows below an axis; those beyond the first are folded away."""
    return rows.chart(found, scale, *legend, more=lambda count: say("more_groups", count=whole(count)))


def tone(group: GroupStats, reference: bool) -> str:
    """The colour class of a group."""
    return "reference" if reference else {"higher": "higher", "lower": "lower"}.get(group.finding, "none")


def score_scale(bins: Sequence[float], groups: Sequence[GroupStats]) -> Scale:
    """The scores' axis: the bins, without the parts of the outer ones that only reach out to extreme scores."""
    if len(bins) > 3:
        step = bins[2] - bins[1]
        return Scale(bins[1] - step, bins[-2] + step)
    known = [g.score for g in groups if g.score]
    return Scale(min(d.minimum for d in known), max(d.maximum for d in known)) if known else Scale(0, 1)


def spread(found: Distribution, bins: Sequence[float], scale: Scale, cls: str) -> Html:
    """Histogram as a hill, quartiles as a bar, the middle 90 % as a line, the median as a dot."""
    hill = ""
    heights = smoothed(found.histogram)
    top = max(heights, default=0.0)
    if top:
        points = [
            (scale((a + b) / 2), TALL - 2 - (TALL - 4) * height / top)
            for a, b, height in zip(bins, bins[1:], heights, strict=False)
        ]
        first, last = scale(bins[0]), scale(bins[-1])
        hill = f"M{first:g} {TALL - 2:g}" + "".join(f"L{x:g} {y:.1f}" for x, y in points) + f"L{last:g} {TALL - 2:g}Z"
    middle = TALL - 6
    return join(
        path(f"hill {cls}", hill),
        line(f"whisker {cls}", scale(found.q05), scale(found.q95), middle),
        line(f"box {cls}", scale(found.q25), scale(found.q75), middle),
        dot(cls, scale(found.median), middle),
    )


def smoothed(counts: Sequence[int]) -> list[float]:
    """The histogram smoothed with a triangle kernel, wider for fewer prompts: a hill, not a comb."""
    n, size = sum(counts), len(counts)
    half = 4 if n < 100 else 3 if n < 400 else 2 if n < 2000 else 1
    kernel = {step: half - abs(step) for step in range(1 - half, half)}
    return [
        sum(weight * counts[i + step] for step, weight in kernel.items() if 0 <= i + step < size) / half**2
        for i in range(size)
    ]
