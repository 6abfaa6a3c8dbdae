"""The audit's two charts as pictures: what to collect first, and the distribution of each group's scores."""

from collections.abc import Callable

from PIL import Image

from ..charts import Mark, bars, spreads
from ..charts.canvas import Canvas
from .report.names import Names
from .result import HIGHER, AuditResult

MOST = 40  # groups per column in a picture
WIDTH = 960


def priorities_picture(result: AuditResult, theme: str = "light") -> Image.Image:
    """For each column the groups that data would help first, highest need at the top: how often a prompt of the group
    scores higher than its counterpart, with the 95 % interval."""

    def drawn(names: Names, column: str) -> Image.Image:
        ranked = [result.group(column, p.value) for p in result.priorities if p.column == column]
        effects = [(g, g.effect) for g in ranked[:MOST] if g.effect is not None]
        if not effects:
            return _note(f"{column}: no group is surely less known", theme)
        return bars(
            [names.group(column, g.value).en for g, _ in effects],
            [(1 + e.delta) / 2 for _, e in effects],
            low=[(1 + e.delta_low) / 2 for _, e in effects],
            high=[(1 + e.delta_high) / 2 for _, e in effects],
            title=f"Collect first: {column}{_part(len(effects), len(ranked))}",
            x_label=f"prompts that score higher than {names.against(column, effects[0][1].against).en}",
            marks=[Mark(0.5, "no difference")],
            x_range=(0.0, 1.0),
            percent=True,
            highlight=[True] * len(effects),
            width=WIDTH,
            theme=theme,
            scale=1.2,
        )

    return _by_column(result, drawn, theme)


def distributions_picture(result: AuditResult, theme: str = "light") -> Image.Image:
    """For each column the groups' medians, quartiles and middle 90 %, highest median at the top. Less known groups have the
    second colour, and a calibration adds the share that a gate would block."""

    def drawn(names: Names, column: str) -> Image.Image:
        scored = [(g, g.score) for g in result.of_column(column) if g.score is not None]
        shown = scored[:MOST]
        if not shown:
            return _note(f"{column}: nothing was scored", theme)
        blocked = [f"{100 * g.blocked:.0f} % blocked" if g.blocked is not None else "" for g, _ in shown]
        return spreads(
            [names.group(column, g.value).en for g, _ in shown],
            [(d.q05, d.q25, d.median, d.q75, d.q95) for _, d in shown],
            notes=blocked if any(blocked) else None,
            title=f"Scores by {column}{_part(len(shown), len(scored))}",
            x_label="score; higher is less known",
            highlight=[g.finding == HIGHER for g, _ in shown],
            width=WIDTH,
            theme=theme,
            scale=1.2,
        )

    return _by_column(result, drawn, theme)


def _by_column(result: AuditResult, drawn: Callable[[Names, str], Image.Image], theme: str) -> Image.Image:
    """A picture for each column, one below the other, all of one width and each with its own height."""
    names = Names(result)
    parts = [drawn(names, column) for column in result.columns] or [_note("The audit has no group column", theme)]
    whole = Image.new("RGB", (WIDTH, sum(part.height for part in parts)))
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole


def _part(shown: int, all_: int) -> str:
    return "" if shown == all_ else f" ({shown} of {all_} groups)"


def _note(text: str, theme: str) -> Image.Image:
    canvas = Canvas((WIDTH, 120), theme, 1.2)
    canvas.text(WIDTH / 2, 60, text, align="centre")
    return canvas.finished()
